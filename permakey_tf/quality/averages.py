"""Several reports of the benchmark, of other games and conditions, in one table with their mean.

A row of one report goes with those of others that have its name, but for the game and the noise:
mspacman_quick (3 seeds) with seaquest_quick (3 seeds).
"""

import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np

from permakey_tf.errors import UserError
from permakey_tf.quality import seeds, tables
from permakey_tf.quality.tracked import TRACKED
from permakey_tf.runs.families import game_name
from permakey_tf.system import files, schema

MEAN = "mean"  # the last column
REPORT = "quality.json"
# What is averaged: title, measure, and whether it is taken at the report's distance.
_MEASURES = (
    ("F1 at the best threshold of the fitting frames", "best_f1", False),
    ("average precision", "average_precision", False),
    ("recall within {epsilon:g} pixels", "recall", True),
)


class _Data(TypedDict):
    game: str


class _Settings(TypedDict):
    epsilon: float


class _Row(TypedDict):
    name: str
    variant: str
    about: dict[str, Any]
    scores: dict[str, dict[str, Any]]


class _Report(TypedDict):
    """What is read of a report."""

    data: _Data
    settings: _Settings
    sets: list[str]
    rows: list[_Row]


class Value(NamedTuple):
    """A measure of one row in one condition; of several seeds the mean and their range."""

    value: float
    low: float
    high: float


class Average(NamedTuple):
    """One measure of the first set over all conditions.

    title: what it is; measure: its name in quality.json.
    conditions: names, in the order of the reports.
    rows: {label: {condition: Value}}; "mean" is there where a row has all conditions, and rows
      with the highest mean come first.
    """

    title: str
    measure: str
    conditions: tuple[str, ...]
    rows: dict[str, dict[str, Value]]


def average(reports: Iterable[str | Path]) -> list[Average]:
    """Reads reports: folders of `run.quality`, or their quality.json.

    Raises:
      UserError: no report, one of another version, two that were scored in another way or on other
        frames of a game, or two with other values of the same row in the same condition.
    """
    contents = {path: _read(path) for path in map(Path, reports)}
    _refuse_differences(contents)
    _refuse_other_frames(contents)
    return [_average(contents, *measure) for measure in _MEASURES]


def _refuse_differences(contents: dict[Path, _Report]) -> None:
    """Only what was scored alike has a mean."""

    def way(content):
        return {
            "epsilon": content["settings"]["epsilon"],
            "first set of objects": content["sets"][0],
            "visible_only": content["data"].get("visible_only"),
        }

    (first, content), *others = contents.items()
    for path, other in others:
        for name, value in way(content).items():
            if (now := way(other)[name]) != value:
                raise UserError(
                    f"{first} and {path} have no mean: {name} is {value} and {now}. Score their "
                    "runs alike",
                    ["epsilon", "visible_only"],
                )


def _refuse_other_frames(contents: dict[Path, _Report]) -> None:
    """Rows of a game stand in one column: all are of the same frames."""

    def frames(data):
        return [data.get(name) for name in ("content_hash", "first_row", "frames")]

    firsts: dict[str, Path] = {}
    for path, content in contents.items():
        data = content["data"]
        first = firsts.setdefault(data["game"], path)
        if frames(data) != frames(contents[first]["data"]):
            raise UserError(
                f"{first} and {path} have no common column: they score other frames of "
                f"{game_name(data['game'])}. Score their runs on the same"
            )


def _read(path: Path) -> _Report:
    file = path / REPORT if path.is_dir() else path
    try:
        content = schema.read_object(file)
    except FileNotFoundError:
        raise UserError(f"{path}: no report of run.quality (no {file})") from None
    if content.get("format") != tables.FORMAT:
        raise UserError(f"{file} is no report of run.quality")
    if content.get("format_version") != tables.FORMAT_VERSION:
        raise UserError(f"{file} is of another version: score its runs again with run.quality")
    try:
        report = schema.parse(_Report, content)
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    if not report["sets"]:
        raise UserError(f"{file}: sets is empty")
    return report


def _average(contents: dict[Path, _Report], title: str, measure: str, near: bool) -> Average:
    found: dict[str, dict[str, list[float]]] = {}
    epsilon = next(iter(contents.values()))["settings"]["epsilon"]
    at = str(epsilon) if near else None
    for path, content in contents.items():
        for label, condition, values in _rows(content, measure, at):
            before = found.setdefault(label, {}).setdefault(condition, values)
            if not np.array_equal(before, values, equal_nan=True):
                raise UserError(
                    f"{path}: {label!r} has another {measure} for {condition} in an earlier "
                    "report: give one report of it"
                )
    conditions = tuple(dict.fromkeys(c for by_condition in found.values() for c in by_condition))
    rows = {label: _with_mean(by, conditions) for label, by in found.items()}
    last = Value(-math.inf, math.nan, math.nan)
    order = sorted(rows, key=lambda label: -rows[label].get(MEAN, last).value)
    ordered = {label: rows[label] for label in order}
    return Average(title.format(epsilon=epsilon), measure, conditions, ordered)


def _rows(content: _Report, measure: str, at: str | None):
    """Yields (label, condition, one value for each seed); seeds of one model are one row."""
    first, game = content["sets"][0], content["data"]["game"]

    def value_of(row: dict) -> float:
        value = row["scores"].get(first, {}).get(measure)
        value = value.get(at) if at is not None else value
        return math.nan if value is None else value

    by_name = {(row["name"], row["variant"]): row for row in content["rows"]}
    members = {
        (name, row["variant"]): row["name"]
        for row in content["rows"]
        for name in row["about"].get("members", ())
    }
    kinds = Counter((row["about"].get("baseline"), row["variant"]) for row in content["rows"])
    for (name, variant), row in by_name.items():
        if (name, variant) in members or variant.endswith(TRACKED):  # tracked: the same points
            continue
        noise = row["about"]["noise"]
        maker = row["about"].get("baseline")
        if maker is None or kinds[maker, variant] > 1:  # such as one with 5 keypoints, one with 7
            maker = seeds.without_words(name, (game, noise))
        condition = game_name(game) + (f", {noise}" if noise != "none" else "")
        of_seeds = [by_name[member, variant] for member in row["about"].get("members", ())]
        values = [value_of(one) for one in of_seeds or [row]]
        yield f"{maker}, {variant}" if variant else maker, condition, values


def _with_mean(by_condition: dict[str, list[float]], conditions: tuple[str, ...]):
    row = {condition: _value(values) for condition, values in by_condition.items()}
    if set(row) == set(conditions) and not any(math.isnan(value.value) for value in row.values()):
        # Of each seed: rows of other numbers of seeds have other names.
        row[MEAN] = _value(np.mean(list(by_condition.values()), axis=0).tolist())
    return row


def _value(values: list[float]) -> Value:
    return Value(seeds.mean(values), *seeds.value_range(values))


# ------------------------------------------------------------------------------------------- texts


def as_table(found: Average) -> tables.Table:
    """For the terminal and Markdown."""
    columns = [*found.conditions, MEAN]
    nothing = Value(math.nan, math.nan, math.nan)
    rows = []
    for label, row in found.rows.items():
        values = (row.get(column, nothing) for column in columns)
        rows.append([label, *(tables.shown(v.value, (v.low, v.high)) for v in values)])
    return tables.Table(found.title, ["", *columns], rows)


def as_csv(averages: list[Average]) -> str:
    """One line per value: row, measure, condition, value, low, high."""
    lines = [["row", "measure", "condition", *Value._fields]]
    for found in averages:
        for label, row in found.rows.items():
            for condition, value in row.items():
                lines.append([label, found.measure, condition, *map(tables.number, value)])
    return files.csv_text(lines)
