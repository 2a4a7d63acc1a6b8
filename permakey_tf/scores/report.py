"""Reports: the papers' tables and learning curves, from the folders of our runs to files."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from permakey_tf.errors import UserError
from permakey_tf.runs.families import game_name
from permakey_tf.scores import collection, curves, evaluation_file, markdown, published, tables
from permakey_tf.scores.tables import Cell, Found
from permakey_tf.scores.tested import Tested, find_runs
from permakey_tf.system import files
from permakey_tf.viz import charts
from permakey_tf.viz.files import write_figure

_EVALUATION = "evaluation.json"
_DPI = 150


def find_files(folders: list[str], name: str) -> Iterator[Path]:
    """All files of a name in and under the folders, each once, folder by folder.

    Links to folders are followed.

    Raises:
      UserError: a folder that is none, or may not be read: what it holds would be missing unseen.
    """
    seen = set()
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder")
        for path in sorted(place / name for place in _walk(folder) if _is_file(place / name)):
            if path.resolve() not in seen:
                seen.add(path.resolve())
                yield path


def _walk(top: Path) -> Iterator[Path]:
    """A folder and all under it, each once: what a link leads to in its own place, if that is here.

    Path.rglob follows links in some versions of Python and not in others.
    """
    seen, waiting = set(), [top]
    while waiting:
        for place, names, _ in os.walk(waiting.pop(0), onerror=_refuse_unreadable):
            folder = Path(place)
            if (real := folder.resolve()) in seen:
                names.clear()  # goes no deeper: a link that leads back, or to what was walked
                continue
            seen.add(real)
            yield folder
            waiting += [folder / one for one in sorted(names) if (folder / one).is_symlink()]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except PermissionError as error:  # of a folder whose names alone may be read
        _refuse_unreadable(error, path.parent)
        raise


def _refuse_unreadable(error: OSError, folder: str | Path = "") -> None:
    """Raises UserError for a folder under `--runs`; one that was removed meanwhile is passed over.

    os.walk alone would pass over all of them.
    """
    if isinstance(error, FileNotFoundError):
        return
    raise UserError(
        f"{folder or error.filename} cannot be read ({error.strerror}), and what it holds would be "
        "missing: change its permissions, or give runs without it",
        ["runs"],
    ) from error


# ----------------------------------------------------------------------------------------- tables


def find_evaluations(folders: list[str]) -> list[Found]:
    """All tests of agents in and under the folders.

    Raises:
      UserError: a folder that is none, a damaged file, or no test of an agent anywhere.
    """
    return [Found(one.path, one.evaluation, one.hours) for one in _find_tests(folders)]


def _find_tests(folders: list[str]) -> list[Tested]:
    """As `find_evaluations`, with the runs that were tested."""
    places = [path.parent for path in find_files(folders, "config.json")]
    read = [
        (path, evaluation_file.read_evaluation(path)) for path in find_files(folders, _EVALUATION)
    ]
    found = [
        Tested(path, evaluation, find_runs(path, evaluation, places))
        for path, evaluation in read
        if evaluation
    ]
    if not found:
        raise UserError(
            f"no {_EVALUATION} of an agent under {', '.join(folders)}: test trained agents with "
            "`python -m run.rl --mode=evaluate --runs=...` first"
        )
    return found


def collect(folders: list[str], target: Path) -> tuple[list[Path], list[str]]:
    """Copies all tests of agents in and under the folders into a collection; see `collection`.

    Raises:
      UserError: as `find_evaluations` and `collection.collect`; or the collection would lie among
        what it is made of, where later reports would find every test twice.
    """
    found = _find_tests(folders)
    inside = [
        folder for folder in folders if target.resolve().is_relative_to(Path(folder).resolve())
    ]
    for path, evaluation, _ in found if inside else ():
        if not collection.is_from(target, path, evaluation):
            raise UserError(
                f"collect={target} lies in runs={inside[0]}, where reports would find {path} "
                "twice: choose a folder outside of it",
                ["collect", "runs"],
            )
    return collection.collect(found, target)


class Report(NamedTuple):
    """What is to be written, after all that can be refused was read and computed.

    text: for the terminal. notes: lines on what stands in no cell or is not wholly drawn.
    names: of the files. write: writes them into a folder, which is there.
    """

    text: str
    notes: list[str]
    names: list[str]
    write: Callable[[Path], None]


def write(reports: list[Report], out: Path) -> list[Path]:
    """Writes reports into a folder, made where it is missing. Returns the files."""
    files.make_folder(out)
    for report in reports:
        report.write(out)
    return [out / name for report in reports for name in report.names]


def report_table(table: int, folders: list[str]) -> Report:
    """Table 1, 2 or 3 as tableN.md, .csv, .json and .png; its text is Markdown.

    Raises:
      UserError: as `find_evaluations` and `tables.fill`.
    """
    tests = _find_tests(folders)
    found = [Found(one.path, one.evaluation, one.hours) for one in tests]
    filled, left_out = tables.fill(tables.cells(table), found)
    without_hours = [
        f"{one.path}: machine hours are not known: {run.why}"
        for one in tests
        for run in one.runs
        if run.why
    ]
    text = markdown.page(table, filled)
    records = [tables.row(table, cell) for cell in filled]
    content = {
        "table": table,
        "title": tables.TITLES[table],
        "rows": records,
        "all_games": _all_games(filled) if table == 1 else None,
        "left_out": left_out,
    }
    names = [f"table{table}{suffix}" for suffix in (".md", ".csv", ".json", ".png")]

    def write(out: Path):
        paths = [out / name for name in names]
        files.write_text(paths[0], text)
        files.write_text(paths[1], _to_csv(records))
        files.write_text(paths[2], json.dumps(content, indent=2) + "\n")
        title = f"Table {table}: {content['title']}"
        write_figure(charts.bar_chart(_bar_panels(table, filled), title), [paths[3]], _DPI)

    return Report(text, [*left_out, *without_hours], names, write)


def _all_games(filled: list[Cell]) -> dict:
    """IQM of the human-normalised scores by agent; None for "not run"."""
    estimates = tables.across_games(filled).items()
    return {agent: estimate and estimate._asdict() for agent, estimate in estimates}


def _to_csv(records: list[dict]) -> str:
    lines = [list(records[0])]
    for record in records:
        lists = ("run_scores", "each_start_once_runs", "train_seeds")
        joined = {name: " ".join(map(str, record[name] or ())) for name in lists}
        lines.append([(record | joined)[name] for name in records[0]])
    return files.csv_text(lines)


def _bar_panels(table: int, filled: list[Cell]) -> dict:
    """{game: (bars, reference lines)} for the chart."""
    panels = {}
    for cell in filled:
        game, place = cell.game, cell.place
        bars, _ = panels.setdefault(game, ([], _levels(game, beside_noise=table == 2)))
        number = place.num_keypoints if table == 3 else 0  # 0 of an agent that is no run of ours
        label = f"{place.label}\nK = {number}" if number else place.label
        score = cell.score
        paper = (score.value, score.std) if score and score.value is not None else None
        instead = "N/A" if score else ""
        garbled = bool(score and score.garbled)
        ours, short = None, False
        if cell.found:
            middle = cell.found.evaluation.aggregates.median_seed
            ours, short = (middle.mean, middle.std), bool(tables.shortfalls(cell.found.evaluation))
        bars.append(charts.BarGroup(label, paper, ours, garbled, short, instead))
    return panels


def _levels(game: str, beside_noise: bool) -> list[charts.Level]:
    """The published scores of a random policy and of a human, where known; of clean games, which is
    said beside others."""
    games = "of clean games" if beside_noise else ""
    known = (published.find(game, method) for method in ("random", "human"))
    return [charts.Level(score.method, score.value, games) for score in known if score]


# ----------------------------------------------------------------------------------------- curves


def report_curves(folders: list[str], metric: str, statistic: str) -> Report:
    """Learning curves of all agent runs in and under the folders: curves.png, .pdf, .csv.

    Args:
      metric: a column of metrics.csv. statistic: "iqm" or "mean", over runs at each step.

    Raises:
      UserError: a folder that is none, a damaged file, no agent's run, runs that cannot be joined.
    """
    found = [path.parent for path in find_files(folders, "config.json")]
    begun = [folder for folder in found if (folder / "metrics.csv").exists()]
    runs = [run for folder in begun if (run := curves.read_run(folder, metric))]
    waiting = [folder for folder in found if folder not in begun and curves.is_agents(folder)]
    waiting += [run.path for run in runs if not len(run.steps)]
    without = {folder: _no_rows(folder) for folder in waiting}
    notes = [f"{folder}: no value of {metric}{why or ' yet'}" for folder, why in without.items()]
    groups = curves.group([run for run in runs if len(run.steps)])
    if not groups:
        where = f"no agent's run with a value of {metric} under {', '.join(folders)}"
        damaged = [why for why in without.values() if why]
        raise UserError(where + (damaged[0] if damaged else ""))
    for group in groups:
        ends = [run.steps[-1] for run in group]
        if min(ends) < max(ends):
            shortest = group[ends.index(min(ends))].path
            notes.append(f"{shortest}: ends at step {min(ends):,.0f}, and so does its curve")
    drawn = [curves.curve(group, statistic) for group in groups]
    labels = curves.labels(drawn)
    noisy = {one.game for one in drawn if one.is_noisy}
    panels = {}
    for one, label in zip(drawn, labels, strict=True):
        # The published scores are of full games of Atari; nothing else is on their scale.
        atari = metric == curves.FULL_GAME_SCORE and not one.settings.get("environment.env_id")
        levels = _levels(one.game, one.game in noisy) if atari else []
        lines, _ = panels.setdefault(game_name(one.game), ([], levels))
        runs_word = "run" if one.num_runs == 1 else "runs"
        lines.append(charts.Line(label, f"{one.num_runs} {runs_word}", *one[3:]))
    middle = "IQM" if statistic == "iqm" else "Mean"
    title = f"{middle} over runs, 95 % interval; thin: every run"
    names = ["curves.png", "curves.pdf", "curves.csv"]

    def write(out: Path):
        chart = charts.learning_curves(panels, title, metric)
        write_figure(chart, [out / name for name in names[:2]], _DPI)
        files.write_text(out / names[2], _curves_csv(drawn, labels))

    return Report("", notes, names, write)


def _no_rows(folder: Path) -> str:
    """What became of the metrics.csv of a run without values, as the end of a line; "" where it has
    at least its columns."""
    path = folder / "metrics.csv"
    if not path.exists():
        return f": {path} is missing"
    text = path.read_text()
    return "" if "\n" in text else f": {path} is {'cut within its first line' if text else 'empty'}"


def _curves_csv(drawn: list[curves.ScoreCurve], labels: list[str]) -> str:
    lines: list[list] = [["game", "label", "runs", "step", "value", "low", "high"]]
    for one, label in zip(drawn, labels, strict=True):
        for point in zip(one.steps, one.value, one.low, one.high, strict=True):
            step, *numbers = (float(number) for number in point)
            shown = ["" if number != number else number for number in numbers]
            lines.append([one.game, label, one.num_runs, round(step), *shown])
    return files.csv_text(lines)
