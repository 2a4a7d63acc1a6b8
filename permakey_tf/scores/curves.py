"""Learning curves over several training seeds, from the folders of agent runs.

Runs that differ in nothing but the seed make one curve: an aggregate over the runs at every step
and its bootstrap interval.
"""

from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np

from permakey_tf.configs.agent import AgentConfig
from permakey_tf.configs.base import added
from permakey_tf.configs.frames import canonical_game
from permakey_tf.configs.keypoints import KeypointConfig
from permakey_tf.errors import UserError
from permakey_tf.runs import families
from permakey_tf.runs.agent import AgentFolder
from permakey_tf.runs.folder import FORMAT_VERSION
from permakey_tf.runs.readers import read_metrics
from permakey_tf.scores import statistics
from permakey_tf.system import schema

FULL_GAME_SCORE = "validation/score"
STATISTICS = {"iqm": statistics.interquartile_mean, "mean": np.mean}


class ScoredRun(NamedTuple):
    """One metric of one training run.

    game: canonical name.
    settings: {dotted name: value}, the keypoint run's under "keypoints."; with what runs of the
      version at hand have more.
    steps: float [N], ascending, agent steps of the reports; N is 0 before the first.
    values: float [N].
    """

    path: Path
    game: str
    settings: dict
    steps: np.ndarray
    values: np.ndarray


class ScoreCurve(NamedTuple):
    """A metric over training steps, aggregated over runs.

    settings: of all its runs. steps, value: float [N].
    low, high: float [N], 95 % interval; NaN for a single run.
    runs: (steps, values) of each, float [M] both, also beyond the curve's ends; none where it is
    the curve itself.
    """

    game: str
    settings: dict
    num_runs: int
    steps: np.ndarray
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    runs: tuple[tuple[np.ndarray, np.ndarray], ...] = ()

    @property
    def is_noisy(self) -> bool:
        """Whether the agents' games had bars."""
        return families.without_keypoints(self.settings).get("noise", "none") != "none"


def is_agents(folder: Path) -> bool:
    """Whether a run folder is an agent's, by its config.json. UserError where that is damaged."""
    return schema.read_object(Path(folder) / "config.json").get("kind") == AgentFolder.kind


def read_run(folder: Path, metric: str) -> ScoredRun | None:
    """Reads config.json and a column of metrics.csv; None where the run is not an agent's.

    A run whose metrics.csv is still empty has no values yet.

    Raises:
      UserError: a damaged file, or no such column.
    """
    file = Path(folder) / "config.json"
    content = schema.read_object(file)
    if content.get("kind") != AgentFolder.kind:
        return None
    schema.check_version(file, content, FORMAT_VERSION)
    try:
        content = schema.parse(_CurvesContent, content)
        flat = added(AgentConfig) | _flat(content["settings"])
        flat |= added(KeypointConfig, families.KEYPOINTS)
        flat |= _flat(content["keypoints"]["settings"], families.KEYPOINTS)
        name = next((name for name in flat if families.leaf(name) == "game"), None)
        if name is None:
            raise UserError("no setting is called game")
        flat[name] = game = canonical_game(schema.parse(str, flat[name], "game"))
    except (UserError, RecursionError) as error:
        raise UserError(f"{file} is damaged or of another program: {error}") from error
    table = read_metrics(Path(folder))
    # Without any column the file has just been made, or a full disk has cut it.
    if table and metric not in table:
        raise UserError(f"{folder}/metrics.csv has no column {metric!r}; it has {', '.join(table)}")
    points = np.array(list(table.get(metric, {}).items()), float).reshape(-1, 2)
    return ScoredRun(Path(folder), game, flat, *points.T)


class _Vision(TypedDict):
    settings: dict[str, Any]


class _CurvesContent(TypedDict):
    """Of config.json; settings of any version of the program, so that old runs are drawn too."""

    settings: dict[str, Any]
    keypoints: _Vision


def _flat(settings: dict, prefix: str = "") -> dict:
    flat = {}
    for name, value in settings.items():
        path = prefix + name
        flat |= _flat(value, f"{path}.") if isinstance(value, dict) else {path: value}
    return flat


def group(runs: list[ScoredRun]) -> list[list[ScoredRun]]:
    """Runs that differ in their seeds only, together.

    Raises:
      UserError: two runs of one group have the same seeds: they are one run twice.
    """
    groups = families.group(runs)
    if same := families.same_seeds(groups):
        raise UserError(f"{same}: leave one out")
    return groups


def curve(runs: list[ScoredRun], statistic: str = "iqm") -> ScoreCurve:
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
    behind = tuple((run.steps, run.values) for run in runs) if len(runs) > 1 else ()
    return ScoreCurve(first.game, first.settings, len(runs), steps, value, low, high, behind)


def labels(drawn: list[ScoreCurve]) -> list[str]:
    """A name for each curve: what tells those of one game apart; a game is a panel's title."""
    names = families.labels([_without_copies(one.settings) for one in drawn], ("seed", "game"))
    return [name or "agent" for name in names]


def _without_copies(settings: dict) -> dict:
    """Settings without the keypoints' noise where the agent has the same, as is usual."""
    own = families.without_keypoints(settings)

    def copied(name):
        return families.leaf(name) == "noise" and name.startswith(families.KEYPOINTS)

    return {n: v for n, v in settings.items() if not (copied(n) and v == own.get("noise"))}
