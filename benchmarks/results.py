"""The tables of docs/results.md from their raw values, docs/experiments/quality.csv.

    python -m benchmarks.results                                # prints the tables
    python -m benchmarks.results --collect=REPORT,REPORT,...    # makes the raw values anew

A report is a folder of `python -m run.quality`. Of its rows, the values of the first set (the
characters) that a table shows are kept.
"""

import csv
import json
from pathlib import Path

from absl import app
from absl import flags as absl_flags

RAW = Path(__file__).parents[1] / "docs/experiments/quality.csv"
GAMES = {
    "mspacman": "MsPacman",
    "seaquest": "Seaquest",
    "frostbite": "Frostbite",
    "spaceinvaders": "Space Invaders",
}
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
_COLLECT = absl_flags.DEFINE_list("collect", [], "Reports, comma-separated.")


def collect(reports: list[str]) -> list[dict]:
    """The raw values of reports: {field: value} of each."""
    found = []
    for report in reports:
        content = json.loads((Path(report) / "quality.json").read_text())
        first = content["sets"][0]
        for row in content["rows"]:
            if row["kind"] == "seeds" or row["variant"] == "shuffled":
                continue
            maker = "PermaKey" if row["kind"] in ("run", "control") else row["name"]
            variant = f", {row['variant']}" if row["variant"] else ""
            settings = row["about"].get("settings", {})
            seed = settings.get("training", {}).get("seed", _seed_of(row["name"]))
            noise = content["rows"][0]["about"]["noise"]
            place = (content["data"]["game"], noise, maker + variant, seed)
            for measure, value in _values(row["scores"][first], row["scores"].get("bars")):
                found.append(dict(zip(FIELDS, (*place, measure, value), strict=True)))
    return found


def _seed_of(name: str) -> str:
    """Of a run that the sweep has named; "" of a baseline."""
    return name.partition("seed-")[2].partition("_")[0]


def _values(scores: dict, bars: dict | None):
    for measure, (name, at) in MEASURES.items():
        value = scores.get(name)
        value = value[at] if isinstance(value, dict) else value
        if value is not None:
            yield measure, f"{value:.4f}"
    for name, value in (bars or {}).items():
        yield f"bars_{name}", f"{value:.4f}"


def table(raw: list[dict], noise: str, measures: list[str], rows: list[str]) -> str:
    """Markdown: a line for each row, a column for each game and measure; seeds as their values."""
    games = [game for game in GAMES if any((r["game"], r["noise"]) == (game, noise) for r in raw)]
    columns = [(game, measure) for game in games for measure in measures]
    header = [f"{GAMES[game]}: {measure}" for game, measure in columns]
    lines = ["| | " + " | ".join(header) + " |", "|---" * (len(columns) + 1) + "|"]
    for row in rows:
        cells = []
        for game, measure in columns:
            place = (game, noise, row, measure)
            values = [
                float(r["value"])
                for r in raw
                if (r["game"], r["noise"], r["row"], r["measure"]) == place
            ]
            cells.append(", ".join(f"{value:.2f}" for value in values) or "-")
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main(_) -> None:
    if _COLLECT.value:
        with RAW.open("w", newline="") as file:
            writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(collect(_COLLECT.value))
    with RAW.open() as file:
        raw = list(csv.DictReader(file))
    plain = [row for row in dict.fromkeys(r["row"] for r in raw) if not row.endswith("tracked")]
    tracked = [row for row in dict.fromkeys(r["row"] for r in raw) if row.endswith("tracked")]
    for noise, title in (("none", "clean"), ("both", "with bars")):
        print(f"## Characters found, {title}\n")
        bars = ["bars_share", "bars_chance"] if noise == "both" else ["redundancy"]
        print(table(raw, noise, ["recall", "best_f1", *bars], plain))
        print(f"## Tracked, {title}\n")
        print(table(raw, noise, ["TOP", "tracking_recall_25"], tracked))


if __name__ == "__main__":
    app.run(main)
