"""The tables of docs/results.md from their raw values, docs/experiments/quality.csv.

    python -m benchmarks.results                                # prints the tables
    python -m benchmarks.results --collect=REPORT,REPORT,...    # takes the raw values of reports

A report is a folder of `python -m run.quality`. Of its rows, the values of the first set (the
characters) that a table shows are kept, and the recall of each kind of object. They take the place
of what was there of the same game, noise and row; the rest stays.
"""

import csv
from pathlib import Path

from absl import flags as absl_flags

from flags import common
from permakey_tf.configs.keypoints import METHODS
from permakey_tf.objects import categories as objects
from permakey_tf.system import files, schema

RAW = Path(__file__).parents[1] / "docs/experiments/quality.csv"
GAMES = {
    "mspacman": "MsPacman",
    "seaquest": "Seaquest",
    "frostbite": "Frostbite",
    "spaceinvaders": "Space Invaders",
}
MOVING = {"enduro": "Enduro", "battlezone": "Battlezone"}  # games whose ground moves
FIELDS = ("game", "noise", "row", "seed", "measure", "value")
# Names of the raw values, and where a report has them: in a dictionary, at which of its keys.
MEASURES = {
    "recall": ("recall", "4"),
    "precision": ("precision", "4"),
    "redundancy": ("redundancy", None),
    "best_f1": ("best_f1", None),
    "average_precision": ("average_precision", None),
    "TOP": ("consistency", None),
    "tracking_recall_25": ("tracking_recall", "25"),
}
_NOTHING = "-"  # in a cell
_COLLECT = absl_flags.DEFINE_list("collect", [], "Reports, comma-separated.")


def collect(reports: list[str]) -> list[dict]:
    """The raw values of reports: {field: value} of each."""
    found = []
    for report in reports:
        content = schema.read_object(Path(report) / "quality.json")
        first, game = content["sets"][0], content["data"]["game"]
        known = objects.GAMES[game].categories if game in objects.GAMES else ()
        methods = {
            row["name"]: METHODS[row["about"]["settings"]["method"]].title
            for row in content["rows"]
            if row["kind"] == "run"
        }
        for row in content["rows"]:
            if row["kind"] == "seeds":
                continue
            maker = methods.get(row["name"], row["name"])
            variant = f", {row['variant']}" if row["variant"] else ""
            settings = row["about"].get("settings", {})
            seed = settings.get("training", {}).get("seed", _seed_of(row["name"]))
            place = (game, row["about"]["noise"], maker + variant, seed)
            kinds = {name: v for name, v in row["scores"].items() if name in known}
            for measure, value in _values(row["scores"][first], row["scores"].get("bars"), kinds):
                found.append(dict(zip(FIELDS, (*place, measure, value), strict=True)))
    return found


def replace(raw: list[dict], new: list[dict]) -> list[dict]:
    """Raw values with new ones, each row of a game and noise as a whole, where the old ones were;
    what was not there comes last."""
    by_row: dict[tuple, list[dict]] = {}
    for values in (raw, new):
        rows: dict[tuple, list[dict]] = {}
        for one in values:
            rows.setdefault((one["game"], one["noise"], one["row"]), []).append(one)
        by_row |= rows
    return [one for values in by_row.values() for one in values]


def _seed_of(name: str) -> str:
    """Of a run that the sweep has named; "" of a baseline."""
    return name.partition("seed-")[2].partition("_")[0]


def _values(scores: dict, bars: dict | None, kinds: dict[str, dict]):
    for measure, (name, at) in MEASURES.items():
        value = scores.get(name)
        value = value[at] if isinstance(value, dict) else value
        if value is not None:
            yield measure, f"{value:.4f}"
    for name, value in (bars or {}).items():
        yield f"bars_{name}", f"{value:.4f}"
    for name, of_kind in kinds.items():
        yield f"recall_{name}", f"{of_kind['recall']['4']:.4f}"


def by_place(raw: list[dict]) -> dict[tuple, list[float]]:
    """{(game, noise, row, measure): values of all seeds}."""
    found: dict[tuple, list[float]] = {}
    for one in raw:
        place = tuple(one[name] for name in ("game", "noise", "row", "measure"))
        found.setdefault(place, []).append(float(one["value"]))
    return found


def table(raw: list[dict], noise: str, measures: list[str], rows: list[str], known=GAMES) -> str:
    """Markdown: a line for each row that has a value, a column for each game; a cell has the
    measures, of several seeds the mean and their range."""
    found = by_place(raw)
    games = [game for game in known if any(place[:2] == (game, noise) for place in found)]
    lines = ["| | " + " | ".join(map(known.get, games)) + " |", "|---" * (len(games) + 1) + "|"]
    for row in rows:
        cells = [
            _cell([found.get((game, noise, row, measure), []) for measure in measures])
            for game in games
        ]
        if set(cells) != {_NOTHING}:
            lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(measured: list[list[float]]) -> str:
    return "; ".join(map(_shown, measured)) if any(measured) else _NOTHING


def _shown(values: list[float]) -> str:
    if not values:
        return _NOTHING
    mean = f"{sum(values) / len(values):.2f}"
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return mean if low == high else f"{mean} ({low}-{high})"


def conditions_of(raw: list[dict]) -> dict[str, list[dict]]:
    """{name: the raw values of a kind of conditions}; together they hide where a row is weak."""
    games = [one for one in raw if one["game"] in GAMES]
    return {
        "clean": [one for one in games if one["noise"] == "none"],
        "with bars": [one for one in games if one["noise"] != "none"],
        "where the ground moves": [one for one in raw if one["game"] in MOVING],
        "all": raw,
    }


def mean_over_conditions(raw: list[dict], measure: str, rows: list[str]) -> dict[str, float]:
    """{row: mean of a measure over all games, clean and noisy}, the best first; each game and noise
    counts once, however many seeds it has. Rows that lack one are left out."""
    found = by_place(raw)
    conditions = dict.fromkeys(place[:2] for place in found)
    means = {}
    for row in rows:
        values = [found.get((*condition, row, measure)) for condition in conditions]
        if all(values):
            means[row] = sum(sum(v) / len(v) for v in values) / len(values)
    return dict(sorted(means.items(), key=lambda item: -item[1]))


def main() -> None:
    if _COLLECT.value:
        with RAW.open() as file:
            raw = replace(list(csv.DictReader(file)), collect(_COLLECT.value))
        cells = ([one[name] for name in FIELDS] for one in raw)
        files.write_text(RAW, files.csv_text([FIELDS, *cells]))
    with RAW.open() as file:
        raw = list(csv.DictReader(file))
    learned = (*(method.title for method in METHODS.values()), "")
    rows = list(dict.fromkeys(r["row"] for r in raw))
    rows.sort(key=lambda row: next(i for i, name in enumerate(learned) if row.startswith(name)))
    plain = [row for row in rows if not row.endswith(("tracked", "shuffled"))]
    tracked = [row for row in rows if row.endswith("tracked")]
    print("Clean: recall; F1 at the best threshold; average precision\n")
    print(table(raw, "none", ["recall", "best_f1", "average_precision"], plain))
    print("With bars: recall; F1 at the best threshold; share of keypoints on bars\n")
    print(table(raw, "both", ["recall", "best_f1", "bars_share"], plain))
    print("Where the ground moves: recall; F1 at the best threshold; average precision\n")
    measures = ["recall", "best_f1", "average_precision"]
    print(table(raw, "none", measures, plain, MOVING))
    print("F1 at the best threshold, means over conditions\n")
    for name, part in conditions_of(raw).items():
        means = mean_over_conditions(part, "best_f1", plain)
        shown = "; ".join(f"{row} {value:.2f}" for row, value in means.items())
        print(f"{name}: {shown}", end="\n\n")
    print("Tracked, clean: TOP; tracking recall over 25 frames; redundant\n")
    print(table(raw, "none", ["TOP", "tracking_recall_25", "redundancy"], tracked))


if __name__ == "__main__":
    common.run(main)
