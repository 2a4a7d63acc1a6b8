"""Learning curves over several training seeds, from the folders of agent runs.

Runs that differ in nothing but the seed make one curve: an aggregate over the runs at every step
and its bootstrap interval. `read_run` alone knows what an agent's run folder looks like.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np

from permakey_tf.configs.frames import canonical_game
from permakey_tf.errors import UserError
from permakey_tf.scores import statistics
from permakey_tf.system import schema
from permakey_tf.system.files import read_rows

FULL_GAME_SCORE = "validation/score"
_KEYPOINTS = "keypoints."  # in front of the names of the keypoint run's settings
_METHOD = _KEYPOINTS + "method"
STATISTICS = {"iqm": statistics.interquartile_mean, "mean": np.mean}


class Run(NamedTuple):
    """One metric of one training run.

    game: canonical name. seeds: {dotted name: value} of the settings called "seed".
    settings: {dotted name: value} of all others, the keypoint run's under "keypoints.".
    steps: float [N], ascending, agent steps of the reports; N is 0 before the first.
    values: float [N].
    """

    path: Path
    game: str
    seeds: dict
    settings: dict
    steps: np.ndarray
    values: np.ndarray


class Curve(NamedTuple):
    """A metric over training steps, aggregated over runs.

    settings: of all its runs. steps, value: float [N].
    low, high: float [N], 95 % interval; NaN for a single run.
    """

    game: str
    settings: dict
    num_runs: int
    steps: np.ndarray
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def read_run(folder: Path, metric: str) -> Run | None:
    """Reads config.json and a column of metrics.csv; None where the run is not an agent's.

    Raises:
      UserError: a damaged file, or no such column.
    """
    file = Path(folder) / "config.json"
    content = schema.read_object(file)
    if content.get("kind") != "agent":
        return None
    schema.check_version(file, content, 1)
    try:
        content = schema.parse(_Content, content)
        flat = _flat(content["settings"]) | _flat(content["keypoints"]["settings"], _KEYPOINTS)
        games = [value for name, value in flat.items() if _leaf(name) == "game"]
        if not games:
            raise UserError("no setting is called game")
        game = canonical_game(schema.parse(str, games[0], "game"))
    except (UserError, RecursionError) as error:
        raise UserError(f"{file} is damaged or of another program: {error}") from error
    seeds = {name: value for name, value in flat.items() if _leaf(name) == "seed"}
    settings = {name: value for name, value in flat.items() if name not in seeds}
    steps, values = _read_column(Path(folder) / "metrics.csv", metric)
    return Run(Path(folder), game, seeds, settings, steps, values)


class _Vision(TypedDict):
    settings: dict[str, Any]


class _Content(TypedDict):
    """Of config.json; settings of any version of the program, so that old runs are drawn too."""

    settings: dict[str, Any]
    keypoints: _Vision


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]


def _flat(settings: dict, prefix: str = "") -> dict:
    flat = {}
    for name, value in settings.items():
        path = prefix + name
        flat |= _flat(value, f"{path}.") if isinstance(value, dict) else {path: value}
    return flat


def _read_column(path: Path, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values, float [N], of the rows that have a value."""
    if not path.is_file():
        raise UserError(f"{path.parent} has no {path.name}")
    try:
        names, rows = read_rows(path)
        if metric not in names:
            raise UserError(f"{path} has no column {metric!r}; it has {', '.join(names[1:])}")
        points = [(row["step"], row[metric]) for row in rows if row[metric]]
        steps, values = np.array(points, float).reshape(-1, 2).T
    except (KeyError, ValueError) as error:
        raise UserError(f"{path} is damaged: {error}") from error
    if not (np.isfinite(steps).all() and (np.diff(steps) > 0).all()):
        raise UserError(f"{path} is damaged: steps do not ascend")
    return steps, values


def group(runs: list[Run]) -> list[list[Run]]:
    """Runs that agree in game and all settings but the seed, together.

    Raises:
      UserError: two runs of one group have the same seed: they are one run twice.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        others = groups.setdefault(json.dumps([run.game, run.settings], sort_keys=True), [])
        for other in others:
            if other.seeds == run.seeds:
                raise UserError(f"{other.path} and {run.path} have the same settings and seed")
        others.append(run)
    return list(groups.values())


def curve(runs: list[Run], statistic: str = "iqm") -> Curve:
    """The curve of a group of runs.

    It stands at every step that some run reports, between the latest first and the earliest last
    report of all runs; in between its own reports a run counts with the straight line between
    them. Where all runs report at the same steps, as validations do, nothing is interpolated.

    Args:
      runs: with the same settings.
      statistic: a name among STATISTICS, taken over runs at each step.

    Raises:
      UserError: the runs have no step in common.
    """
    start, end = max(run.steps[0] for run in runs), min(run.steps[-1] for run in runs)
    if start > end:
        names = ", ".join(str(run.path) for run in runs)
        raise UserError(f"{names}: one ends before another's first report")
    steps = np.unique(np.concatenate([run.steps for run in runs]))
    steps = steps[(start <= steps) & (steps <= end)]
    scores = np.stack([np.interp(steps, run.steps, run.values) for run in runs])  # [R, N]
    function = STATISTICS[statistic]
    low, high = statistics.bootstrap_interval(scores[:, None], function)
    first = runs[0]
    value = function(scores, axis=0)
    return Curve(first.game, first.settings, len(runs), steps, value, low, high)


def labels(drawn: list[Curve]) -> list[str]:
    """A name for each curve: the settings in which the curves of one game differ.

    Between keypoints of two methods that is the method; its own settings follow from it.
    """

    def tells_apart(name: str, one: Curve, other: Curve) -> bool:
        here, there = one.settings, other.settings
        if one.game != other.game or here.get(name) == there.get(name):
            return False
        follows = name.startswith(_KEYPOINTS) and here.get(_METHOD) != there.get(_METHOD)
        return name == _METHOD or not follows

    differing = [
        name
        for name in dict.fromkeys(name for one in drawn for name in one.settings)
        if any(tells_apart(name, one, other) for one in drawn for other in drawn)
    ]
    parts = [[f"{_leaf(name)} {one.settings.get(name)}" for name in differing] for one in drawn]
    return [", ".join(part) or "agent" for part in parts]
