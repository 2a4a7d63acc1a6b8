"""Training curves from the metrics of runs: runs that differ only in the seed are one line."""

import numpy as np

from permakey_tf.errors import UserError
from permakey_tf.figures.runs import ShownRun, game_name, labels, method_name
from permakey_tf.system.files import read_rows
from permakey_tf.viz.figures import MAX_LOOKS, Charts, Curve, looks

_TITLES = {
    "vae": "VAE: negative ELBO (nats a frame)",
    "lspn": "LSPN: prediction error",
    "pointnet": "PointNet: map reconstruction error",
    "transporter": "Transporter: reconstruction error",
}
_STAGES = ("train", "validation")


def build(runs: list[ShownRun]) -> Charts:
    """Losses of every module of the runs, one chart a module, one look a group of seeds.

    Raises:
      UserError: a run that has reported nothing yet, or more groups than lines can be told apart.
    """
    groups = group_by_settings(runs)
    if len(groups) > MAX_LOOKS:
        raise UserError(f"{len(groups)} lines cannot be told apart: name fewer runs ({MAX_LOOKS})")
    group_looks = looks(len(groups))
    charts = {}
    for group, look in zip(groups, group_looks, strict=True):
        tables = [read_metrics(run) for run in group]
        for column in tables[0]:
            stage, _, name = column.partition("/")
            if stage not in _STAGES or not name.startswith("loss_"):
                continue
            curve = _curve([table[column] for table in tables], look, stage == "validation")
            if curve is not None:
                module = name.removeprefix("loss_")
                charts.setdefault(_TITLES.get(module, module), []).append(curve)
    if not charts:
        raise UserError(f"{runs[0]} has reported no losses yet")
    names = labels([group[0] for group in groups], but=("seed",))
    entries = [_legend_entry(name, group) for name, group in zip(names, groups, strict=True)]
    return Charts("Training curves", charts, dict(zip(entries, group_looks, strict=True)))


def group_by_settings(runs: list[ShownRun]) -> list[list[ShownRun]]:
    """Runs with equal settings but for the seed, in the order of their first ones."""
    groups = {}
    for run in runs:
        key = tuple((name, value) for name, value in run.settings.items() if name != "seed")
        groups.setdefault(key, []).append(run)
    return list(groups.values())


def read_metrics(run: ShownRun) -> dict[str, dict[int, float]]:
    """{column: {step: value}} of metrics.csv.

    Raises:
      UserError: the file is missing or damaged, or has no row yet.
    """
    path = run.folder.path / "metrics.csv"
    try:
        names, rows = read_rows(path)
        table = {name: {} for name in names} if rows else {}
        for row in rows:
            step = int(row.pop("step"))
            for name, value in row.items():
                if value:
                    table[name][step] = float(value)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: the run has not begun") from error
    except (ValueError, KeyError) as error:
        raise UserError(f"{path} is damaged: {error!r}") from error
    if not table:
        raise UserError(f"{run} has reported no losses yet: leave it out, or draw them later")
    return table


def _curve(columns, look, validation) -> Curve | None:
    """Mean and range over runs, at the steps that all have reported; None if there are none."""
    steps = sorted(set.intersection(*(set(column) for column in columns)))
    if not steps:
        return None
    values = np.array([[column[step] for step in steps] for column in columns])
    parts = values.mean(axis=0), values.min(axis=0), values.max(axis=0)
    return Curve(np.array(steps), *parts, look, validation)


def _legend_entry(label, group) -> str:
    label = label or f"{game_name(group[0].game)}, {method_name(group[0].method)}"
    return label if len(group) == 1 else f"{label} ({len(group)} seeds: mean and range)"
