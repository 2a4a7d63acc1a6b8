"""The benchmark's results as tables (terminal, Markdown), CSV and JSON."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from permakey_tf.quality.benchmark import Result, Row
from permakey_tf.system import files, markdown

FORMAT = "permakey-quality"
FORMAT_VERSION = 2


class MeasureColumn(NamedTuple):
    """One measure: which group's, its name, at which distance or window length."""

    title: str
    group: str
    measure: str
    at: float | None = None

    def find(self, tree: dict | None):
        """The value in measures or ranges; None where it is missing."""
        value = (tree or {}).get(self.group, {}).get(self.measure)
        return value.get(self.at) if isinstance(value, dict) else value


class Table(NamedTuple):
    """Cells of text; the first column names the row."""

    title: str
    header: list[str]
    rows: list[list[str]]


def tables(result: Result) -> list[Table]:
    """Everything: the sets, by confidence too, recall by category, tracking, probe, bars, seeds."""
    made = [_set_table(result, name) for name in result.sets]
    made += [_confidence_table(result, name) for name in result.sets]
    made.append(_category_table(result))
    made += [_tracking_table(result, name, _windows(result, name)) for name in result.sets]
    probed = _probed(result)
    if probed:
        made.append(_table(result, "probe: R2 and error in pixels", probed, result.rows))
    return made + _bars_and_stability(result)


def summary(result: Result) -> list[Table]:
    """What the terminal shows: the first set (three times), recall by category, bars, seeds."""
    first = result.sets[0]
    made = [make(result, first) for make in (_set_table, _confidence_table)]
    made.append(_tracking_table(result, first, _windows(result, first, ("recall",))))
    return [*made, _category_table(result), *_bars_and_stability(result)]


def _set_table(result: Result, name: str) -> Table:
    return _table(result, f"{name}, {_near(result)}", _of_set(result, name))


def _confidence_table(result: Result, name: str) -> Table:
    columns = [
        MeasureColumn(title, name, measure)
        for title, measure in (
            ("F1", "best_f1"),
            ("recall", "best_recall"),
            ("precision", "best_precision"),
            ("threshold", "best_threshold"),
            ("average precision", "average_precision"),
        )
    ]
    title = f"{name}, one keypoint an object, at the best threshold of the fitting frames"
    return _table(result, title, columns)


def _tracking_table(result: Result, name: str, windows: list[MeasureColumn]) -> Table:
    """What depends on the indices of keypoints, in the detector's order and tracked."""
    columns = [
        MeasureColumn("TOP", name, "consistency"),
        MeasureColumn("same index", name, "consistency_of_found"),
        *windows,
    ]
    title = f"tracking of {name}, recall (r) and precision (p) over windows of frames"
    return _table(result, title, columns, result.rows)


def _category_table(result: Result) -> Table:
    columns = _by_category(result, "recall")
    return _table(result, f"recall by category, {_near(result)}", columns)


def _near(result: Result) -> str:
    return f"within {result.config.epsilon} pixels"


def _bars_and_stability(result: Result) -> list[Table]:
    """Tables of what only some rows have; left out where none has it."""
    bars = [MeasureColumn(title, "bars", title) for title in ("share", "chance")]
    stability = [
        MeasureColumn(title, "stability", measure)
        for title, measure in (
            ("matched in every frame", "distance"),
            ("matched once", "distance_fixed"),
            ("one model's frames shuffled", "distance_shuffled"),
        )
    ]
    made = []
    for title, columns in (
        ("share of keypoints on the bars", bars),
        ("distance between the keypoints of two seeds, pixels", stability),
    ):
        rows = [row for row in _untracked(result) if columns[0].find(row.measures) is not None]
        if rows:
            made.append(_table(result, title, columns, rows))
    return made


def _of_set(result: Result, name: str) -> list[MeasureColumn]:
    epsilon = result.config.epsilon
    columns = [MeasureColumn(m, name, m, epsilon) for m in ("recall", "precision")]
    columns.append(MeasureColumn("F1", name, "f1", epsilon))
    columns += [
        MeasureColumn("UAK", name, "unassigned"),
        MeasureColumn("redundant", name, "redundancy"),
    ]
    return columns


def _by_category(result: Result, measure: str) -> list[MeasureColumn]:
    names = [name for name in result.groups if name not in result.sets]
    return [MeasureColumn(name, name, measure, result.config.epsilon) for name in names]


def _windows(
    result: Result, name: str, measures: tuple[str, ...] = ("recall", "precision")
) -> list[MeasureColumn]:
    return [
        MeasureColumn(f"{length} {measure[0]}", name, f"tracking_{measure}", length)
        for length in result.config.windows
        for measure in measures
    ]


def _probed(result: Result) -> list[MeasureColumn]:
    names = [
        name for name in result.groups if any("probe_r2" in r.measures[name] for r in result.rows)
    ]
    return [
        MeasureColumn(f"{name} {title}", name, measure)
        for name in names
        for measure, title in (("probe_r2", "R2"), ("probe_error", "error"))
    ]


def _untracked(result: Result) -> list[Row]:
    """What does not depend on the order of keypoints is told once."""
    return [row for row in result.rows if not row.tracked]


def _table(result: Result, title: str, columns: list[MeasureColumn], rows=None) -> Table:
    cells = [
        [row.label, str(row.num_keypoints), *(_cell(row, column) for column in columns)]
        for row in (_untracked(result) if rows is None else rows)
    ]
    return Table(title, ["", "K", *(column.title for column in columns)], cells)


def _cell(row: Row, column: MeasureColumn) -> str:
    return shown(column.find(row.measures), column.find(row.range))


def shown(value: float | None, bounds: tuple[float, float] | None) -> str:
    """A cell's text: the value, and of several seeds their range; "-" where there is no value."""
    if value is None or math.isnan(value):
        return "-"
    if bounds is None or math.isnan(bounds[0]):
        return _rounded(value)
    low, high = map(_rounded, bounds)
    return f"{_rounded(value)} ({low} to {high})"


def _rounded(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"  # + 0.0 makes 0 of -0


# ------------------------------------------------------------------------------------------- texts


def as_text(table: Table) -> str:
    """Aligned columns under a title."""
    lines = [table.header, *table.rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(table.header))]
    aligned = [
        "  ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([table.title, *("  " + line for line in aligned)]) + "\n"


def as_markdown(result: Result) -> str:
    """All tables, with what was scored above them."""
    data = result.data
    counted = "drawn objects" if data["visible_only"] else "objects, drawn or not"
    lines = [
        f"# Keypoint quality: {data['game']}",
        "",
        f"{data['frames']:,} frames of {data['episodes']} episodes; counted are {counted}: "
        + ", ".join(f"{data['boxes'][g]:,} {g}" for g in result.groups if g not in result.sets)
        + ".",
        "Definitions: docs/quality.md. Of several training seeds: the mean, and in parentheses the "
        "lowest and the highest value.",
        "",
        *(f"Note: {note}.\n" for note in result.notes),
    ]
    return "\n".join([*lines, *map(table_as_markdown, tables(result))])


def table_as_markdown(table: Table) -> str:
    """With its title as a heading, and a blank line at the end."""
    lines = [f"## {table.title}", "", markdown.row(table.header)]
    lines += [markdown.row(["---", *["---:"] * (len(table.header) - 1)])]
    return "\n".join([*lines, *map(markdown.row, table.rows), "", ""])


def as_csv(result: Result) -> str:
    """One line per value: row, variant, kind, keypoints, group, measure, at, value, low, high."""
    names = "row variant kind num_keypoints group measure at value low high"
    lines: list[list] = [names.split()]
    for row in result.rows:
        fixed = [row.name, row.variant, row.kind, row.num_keypoints]
        for group, measures in row.measures.items():
            for measure, values in measures.items():
                for at in values if isinstance(values, dict) else (None,):
                    column = MeasureColumn("", group, measure, at)
                    bounds = column.find(row.range) or (None, None)
                    cells = (column.find(row.measures), *bounds)
                    place = "" if at is None else at
                    lines.append([*fixed, group, measure, place, *map(number, cells)])
    return files.csv_text(lines)


def number(value: float | None) -> str:
    """For CSV; nothing where there is no value."""
    return "" if value is None or math.isnan(value) else f"{value:.6g}"


def as_json(result: Result) -> dict[str, Any]:
    """JSON-compatible; what is not defined is null."""
    rows = [
        {
            "name": row.name,
            "variant": row.variant,
            "kind": row.kind,
            "num_keypoints": row.num_keypoints,
            "about": row.about,
            "scores": row.measures,
            "range": row.range,
        }
        for row in result.rows
    ]
    return _without_nan(
        {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "data": result.data,
            "settings": dataclasses.asdict(result.config),
            "sets": result.sets,
            "groups": result.groups,
            "notes": result.notes,
            "rows": rows,
        }
    )


def _without_nan(value):
    if isinstance(value, dict):
        convert: Callable = _without_nan
        return {str(key): convert(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
