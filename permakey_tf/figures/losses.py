"""Training curves from the metrics of runs: runs that differ only in the seed are one line."""

import numpy as np

from permakey_tf.errors import UserError
from permakey_tf.figures.runs import ShownRun
from permakey_tf.runs import families
from permakey_tf.runs.readers import Metrics, read_metrics
from permakey_tf.viz.curves import MAX_LOOKS, Charts, Curve, limits_without_spikes, looks

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
      UserError: a run that has reported nothing yet, two of one group with the same seed, or more
        groups than lines can be told apart.
    """
    groups = families.group(runs)
    if same := families.same_seeds(groups):
        raise UserError(f"{same}: leave one out")
    if len(groups) > MAX_LOOKS:
        raise UserError(f"{len(groups)} lines cannot be told apart: name fewer runs ({MAX_LOOKS})")
    group_looks = looks(len(groups))
    charts = {}
    for group, look in zip(groups, group_looks, strict=True):
        tables = [_losses(run) for run in group]
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
    names = families.labels([group[0].settings for group in groups], but=("seed",))
    entries = [_legend_entry(name, group) for name, group in zip(names, groups, strict=True)]
    legend = dict(zip(entries, group_looks, strict=True))
    return Charts("Training curves", charts, legend, _caption(charts))


def _caption(charts) -> str:
    """Says which charts do not show all."""
    cut = [title.split(":")[0] for title, curves in charts.items() if limits_without_spikes(curves)]
    return f"single spikes leave the charts of {', '.join(cut)}" if cut else ""


def _losses(run: ShownRun) -> Metrics:
    table = read_metrics(run.folder.path)
    if not any(table.values()):
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
    label = label or group[0].title
    return label if len(group) == 1 else f"{label} ({len(group)} seeds: mean and range)"
