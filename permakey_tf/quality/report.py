"""Writes the benchmark's results: JSON, CSV, Markdown and plots."""

import json
from pathlib import Path

from permakey_tf.quality import tables
from permakey_tf.quality.averages import Average, as_csv, as_table
from permakey_tf.quality.benchmark import Result, Row
from permakey_tf.quality.scoring import LEVELS
from permakey_tf.system.files import make_folder, write_text
from permakey_tf.viz import plots
from permakey_tf.viz.files import write_figure

_DPI = 150
# All that `write_report` writes.
FILES = (
    "quality.json",
    "quality.csv",
    "quality.md",
    "recall_curve.png",
    "precision_recall.png",
    "recall_by_category.png",
    "tracking.png",
)
AVERAGE_FILES = ("mean.md", "mean.csv")  # all that `write_average` writes


def write_report(result: Result, folder: str | Path) -> dict[str, Path]:
    """Writes everything into a folder; files of an earlier report are replaced.

    Returns:
      {what: path} of the files.

    Raises:
      UserError: the folder cannot be made, or a file not be written.
    """
    folder = make_folder(folder)
    values = json.dumps(tables.as_json(result), indent=1, allow_nan=False) + "\n"
    texts = {
        "all values": ("quality.json", values),
        "the same as a table": ("quality.csv", tables.as_csv(result)),
        "tables": ("quality.md", tables.as_markdown(result)),
    }
    for name, text in texts.values():
        write_text(folder / name, text)
    written = {what: folder / name for what, (name, _) in texts.items()}
    return written | _write_plots(result, folder)


def write_average(averages: list[Average], folder: str | Path) -> dict[str, Path]:
    """Writes the tables of `quality.averages`; earlier ones are replaced. As `write_report`."""
    folder = make_folder(folder)
    found = map(as_table, averages)
    texts = "".join(map(tables.table_as_markdown, found)), as_csv(averages)
    for name, text in zip(AVERAGE_FILES, texts, strict=True):
        write_text(folder / name, text)
    paths = (folder / name for name in AVERAGE_FILES)
    return dict(zip(("tables", "the same as a table"), paths, strict=True))


def _write_plots(result: Result, folder: Path) -> dict[str, Path]:
    config, first = result.config, result.sets[0]
    about = f"{result.data['game']}, {result.data['frames']:,} frames"
    paths = {
        "recall over distance": folder / "recall_curve.png",
        "precision over recall": folder / "precision_recall.png",
        "recall by category": folder / "recall_by_category.png",
        "tracking": folder / "tracking.png",
    }
    epsilons = range(config.max_epsilon + 1)
    near, over = {}, {}
    in_order = _in_best_order(result)
    for measure in ("recall", "precision", "f1"):
        name = "F1" if measure == "f1" else measure
        near[name] = _series(result, [(first, measure, at) for at in epsilons])
    for measure, share in (("recall", "tracks found"), ("precision", "keypoints that track")):
        places = [(first, f"tracking_{measure}", at) for at in config.windows]
        over[f"{share} ({measure})"] = _series(in_order, places)
    title = f"{first} within a distance: {about}"
    near_figure = plots.curves(near, epsilons, title, "distance, pixels")
    title = f"{first}, one keypoint an object: {about}"
    ranked = {"precision": _series(result, [(first, "precision_at_recall", at) for at in LEVELS])}
    ranked_figure = plots.curves(ranked, LEVELS, title, "recall")
    title = f"tracking of {first} within {config.epsilon} pixels, by tracked index: {about}"
    over_figure = plots.curves(over, config.windows, title, "window, frames")
    names = [name for name in result.groups if name not in result.sets]
    title = f"recall within {config.epsilon} pixels (lines: range over seeds): {about}"
    by_category = _series(result, [(name, "recall", config.epsilon) for name in names])
    category_figure = plots.dots(by_category, names, title, "recall")
    drawn = (near_figure, ranked_figure, category_figure, over_figure)
    for figure, path in zip(drawn, paths.values(), strict=True):
        write_figure(figure, [path], _DPI)
    return paths


def _in_best_order(result: Result) -> Result:
    """Each row as tracked, in its own place and under its own name, where it was tracked."""
    tracked = {(row.name, row.untracked_variant): row for row in result.rows if row.tracked}
    rows = [
        tracked.get((row.name, row.variant), row)._replace(variant=row.variant)
        for row in result.rows
        if not row.tracked
    ]
    return result._replace(rows=rows)


def _series(result: Result, places: list[tuple]) -> list[plots.Series]:
    """A line for every row that is drawn; `places` are (group, measure, at).

    Where there is a mean over seeds, it has the label and their range. Single seeds are drawn as
    thin lines, but not those of controls, which would only crowd the plot.
    """
    members: dict[tuple[str, str], list[Row]] = {}
    for row in result.rows:
        if row.family and row.kind != "seeds" and not row.tracked:
            members.setdefault((row.family, row.variant), []).append(row)
    numbers: dict[str, int] = {}
    variants: dict[str, int] = {}
    lines: list[plots.Series] = []
    for row in result.rows:
        if row.tracked:  # the same points
            continue
        if row.kind == "baseline":
            number = sum(line.kind == "baseline" for line in lines)
            lines.append(plots.Series(row.label, "baseline", number, 0, _values(row, places)))
            continue
        number = numbers.setdefault(row.family or row.name, len(numbers))
        variant = variants.setdefault(row.variant, len(variants))
        family = members.get((row.family, row.variant), [])
        is_member = row.kind != "seeds" and len(family) > 1
        if is_member and row.variant:
            continue
        kind = "member" if is_member else "control" if row.variant else "model"
        bounds = _range(family, places) if row.kind == "seeds" else ()
        label = "" if is_member else row.label
        lines.append(plots.Series(label, kind, number, variant, _values(row, places), *bounds))
    return lines


def _values(row: Row, places: list[tuple]) -> list[float]:
    return [tables.MeasureColumn("", *place).find(row.measures) for place in places]


def _range(rows: list[Row], places: list[tuple]) -> tuple[list[float], list[float]]:
    columns = list(zip(*(_values(row, places) for row in rows), strict=True))
    return [min(column) for column in columns], [max(column) for column in columns]
