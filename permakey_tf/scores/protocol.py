"""The seed-separated test protocol (ICLR app. A.2.3), and the file that holds its outcome.

P policies, the best checkpoints of P training runs, play E episodes on each of S test seeds that
neither training nor validation has seen. `aggregate` turns the scores [P, S, E] into the paper's
numbers and today's. evaluation.json holds every episode; docs/report.md describes the format.
"""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict

import numpy as np

from permakey_tf.configs.agent import FIRE_AT_START, EnvironmentConfig
from permakey_tf.configs.frames import canonical_game
from permakey_tf.configs.keypoints import METHODS, NOISES
from permakey_tf.errors import UserError
from permakey_tf.scores import statistics
from permakey_tf.scores.repeats import GameRepeats
from permakey_tf.system import disk, files, schema

_FORMAT_VERSION = 1
# Keypoint runs have an evaluation.json too, of no such kind.
_KIND = "agent"
_OTHER_KIND = "policy"  # earlier versions pass over it, as they do over keypoint runs'
# What an agent's nodes are, in words.
_CONTROL_NAMES = {
    "keypoints": "",
    "objects": "true positions",
    "shuffled": "shuffled keypoints",
    "constant": "constant keypoints",
}


class MedianSeed(NamedTuple):
    """The paper's numbers, both from one test seed.

    seed: the test seed whose mean over policies is the median of all seeds'; with an even number
      of seeds the lower of the middle two.
    mean: mean over the policies of their mean score on that seed.
    std: sample standard deviation (divided by P - 1) of the policies' means; None for one policy.
    """

    seed: int
    mean: float
    std: float | None

    def __str__(self) -> str:
        spread = "one run has no spread" if self.std is None else f"std over runs {self.std:.1f}"
        return f"median seed {self.seed}: mean score {self.mean:.1f}, {spread}"


class Estimate(NamedTuple):
    """An aggregate over runs and its 95 % bootstrap interval; None for one run."""

    value: float
    low: float | None
    high: float | None


class Aggregates(NamedTuple):
    """All aggregates of a score table.

    median_seed: the paper's.
    run_scores: per policy, the mean over all seeds and episodes.
    mean, iqm: over `run_scores`.
    """

    median_seed: MedianSeed
    run_scores: tuple[float, ...]
    mean: Estimate
    iqm: Estimate


class Advantage(NamedTuple):
    """What agents score above random play.

    difference: of the mean scores. standard_error: of it, see `advantage`.
    distinct: different scores among the agents' games. Without sticky actions greedy games repeat
      each other; where there are few, the standard error is too small.
    """

    difference: float
    standard_error: float
    distinct: int

    def __str__(self) -> str:
        # Not a number where one game is all that one side has played.
        unknown = np.isnan(self.standard_error)
        error = "unknown from one game" if unknown else f"{self.standard_error:.1f}"
        return (
            f"the agent is better by {self.difference:.1f} (standard error {error}, "
            f"{self.distinct} different scores)"
        )


def find_median_seed(scores: np.ndarray, seeds) -> MedianSeed:
    """The median seed's mean and standard deviation over policies.

    The policies are a sample of what training yields, so the deviation is the sample's; that of
    the few policies alone (divided by P) would be smaller. Episodes are averaged before: how much
    they vary within a policy does not enter.

    Args:
      scores: float [P, S, E].
      seeds: int [S], names of the test seeds.
    """
    means = np.asarray(scores, float).mean(2)  # [P, S]
    ranking = np.argsort(means.mean(0), kind="stable")
    column = ranking[(len(ranking) - 1) // 2]
    at_median = means[:, column]
    std = float(at_median.std(ddof=1)) if len(at_median) > 1 else None
    return MedianSeed(int(seeds[column]), float(at_median.mean()), std)


def estimate(scores: np.ndarray, statistic) -> Estimate:
    """A statistic of scores [R, T] over runs and tasks, with its interval."""
    value = float(statistic(scores))
    low, high = (float(bound) for bound in statistics.bootstrap_interval(scores, statistic))
    return Estimate(value, None, None) if np.isnan(low) else Estimate(value, low, high)


def advantage(scores: np.ndarray, random_scores: np.ndarray) -> Advantage:
    """Of these policies over random play, the games being the sample.

    The standard error is sqrt(var(x) / n + var(y) / m) over all games x of the policies and y of
    random play. It says nothing about what another training run would score.

    Args:
      scores: float [P, S, E].
      random_scores: float [S, E].
    """
    samples = [np.ravel(games) for games in (scores, random_scores)]
    variances = [games.var(ddof=1) / len(games) if len(games) > 1 else np.nan for games in samples]
    difference = float(samples[0].mean() - samples[1].mean())
    return Advantage(difference, float(np.sqrt(sum(variances))), len(np.unique(scores)))


def aggregate(scores: np.ndarray, seeds) -> Aggregates:
    """All aggregates of scores float [P, S, E] on seeds int [S].

    Runs, not episodes or test seeds, are resampled for the intervals: another training run is
    what a reader of the numbers would start.
    """
    run_scores = np.asarray(scores, float).mean((1, 2))  # [P]
    return Aggregates(
        find_median_seed(scores, seeds),
        tuple(run_scores.tolist()),
        estimate(run_scores[:, None], np.mean),
        estimate(run_scores[:, None], statistics.interquartile_mean),
    )


# --------------------------------------------------------------------------------------- the file


@dataclasses.dataclass(frozen=True)
class Rules:
    """How the games were played; the defaults are the paper's, and ours of games' openings.

    Fields as in configs.EnvironmentConfig; fire_after_life is whether it was in these games. Where
    a Gymnasium environment was played, it has its own frame skip, openings and sticky actions, and
    these fields say nothing.
    """

    frame_skip: int = EnvironmentConfig.frame_skip
    noop_max: int = EnvironmentConfig.noop_max
    sticky_actions: float = EnvironmentConfig.sticky_actions
    max_episode_steps: int = EnvironmentConfig.max_episode_steps
    noop_min: int = EnvironmentConfig.noop_min
    fire_at_start: str = EnvironmentConfig.fire_at_start
    fire_after_life: bool = False

    def __post_init__(self):
        _check_types(self)
        _check(0 <= self.sticky_actions < 1, f"sticky_actions {self.sticky_actions}")
        _check(self.max_episode_steps > 0, f"max_episode_steps {self.max_episode_steps}")
        _check(self.fire_at_start in FIRE_AT_START, f"fire_at_start {self.fire_at_start!r}")
        fits = 0 <= self.noop_min <= self.noop_max
        _check(fits, f"noop_min {self.noop_min}, noop_max {self.noop_max}")

    @classmethod
    def of_tests(cls, config: EnvironmentConfig) -> "Rules":
        """Of test games with these settings."""
        names = [field.name for field in dataclasses.fields(cls)]
        after_life = {"fire_after_life": config.fires_after_life(training=False)}
        return cls(**{name: getattr(config, name) for name in names} | after_life)

    @property
    def opening(self) -> str:
        """How games open, and go on after a lost life, otherwise than ours; "" where they do not.

        Such as "noop_min=1, fire_at_start=code".
        """
        ours, names = Rules(), ("noop_min", "fire_at_start", "fire_after_life")
        pairs = [(name, getattr(self, name)) for name in names]
        return ", ".join(f"{name}={value}" for name, value in pairs if value != getattr(ours, name))


@dataclasses.dataclass(frozen=True)
class AgentSpec:
    """What kind of agent was tested.

    keypoints: "permakey" or "transporter".      encoder: "cnn" or "gnn".
    num_keypoints: K.                            noise: "none", "vertical", "horizontal" or "both".
    num_steps: agent steps that its training was set to.
    keypoint_steps: training steps that its keypoints were set to; None: until their loss stopped
      falling, as the paper's.
    track_keypoints: whether a keypoint kept its index in a game; files of earlier versions lack it.
    cnn_filters: of a convolutional encoder; None for a graph, and in files of earlier versions.
    nodes: "keypoints", or the control that had their place; files of earlier versions lack it.
    """

    keypoints: str
    encoder: str
    num_keypoints: int
    noise: str
    num_steps: int
    keypoint_steps: int | None = None
    track_keypoints: bool = False
    cnn_filters: tuple[int, ...] | None = None
    nodes: str = "keypoints"

    @property
    def variant(self) -> str:
        """What it has that no agent of the papers has, such as "tracked"; "" for nothing."""
        parts = [_CONTROL_NAMES[self.nodes], "tracked" if self.track_keypoints else ""]
        return ", ".join(filter(None, parts))

    def __post_init__(self):
        _check_types(self)
        _check(self.keypoints in METHODS, f"keypoints {self.keypoints!r}")
        _check(self.encoder in ("cnn", "gnn"), f"encoder {self.encoder!r}")
        _check(self.noise in NOISES, f"noise {self.noise!r}")
        _check(self.nodes in _CONTROL_NAMES, f"nodes {self.nodes!r}")
        _check(self.num_keypoints > 0, f"num_keypoints {self.num_keypoints}")
        _check(self.num_steps > 0, f"num_steps {self.num_steps}")


@dataclasses.dataclass(frozen=True)
class OtherAgent:
    """An agent that is no run of ours, see `other.evaluate_agent`.

    name: what tables call it.
    num_steps: agent steps of its training; 0 where it was not trained, None where that is not told.
    """

    name: str
    num_steps: int | None = None

    def __post_init__(self):
        _check_types(self)
        _check(self.name.strip(), "an agent without a name")
        _check(self.num_steps is None or self.num_steps >= 0, f"num_steps {self.num_steps}")


@dataclasses.dataclass(frozen=True)
class PolicySpec:
    """Where a tested policy comes from.

    run: its run folder.                         train_seed: the seed of that run.
    num_steps: agent steps that the run has made.
    checkpoint_step: agent steps that the tested checkpoint had made, at most num_steps.
    """

    run: str
    train_seed: int
    num_steps: int
    checkpoint_step: int

    def __post_init__(self):
        _check_types(self)
        known = 0 <= self.checkpoint_step <= self.num_steps
        _check(known, f"checkpoint_step {self.checkpoint_step} of {self.num_steps} steps")


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """One test of P policies on S seeds, E episodes each.

    game: canonical name.
    env_id: Gymnasium's id of the environment; "" for an Atari game on the plain emulator.
    rules: how the games were played.
    agent: who was tested. policies: where they come from; none of an OtherAgent.
    seeds: tuple of int, length S, none twice.
    scores: float [P, S, E], true returns of full games.
    lengths: int [P, S, E], agent steps of the episodes.
    random_scores: float [S, E], true returns of uniformly random play in the same games.
    repeats: what the games have in common; None in files of earlier versions.

    Raises:
      ValueError: parts that do not fit together, scores that are not finite.
    """

    game: str
    env_id: str
    rules: Rules
    agent: AgentSpec | OtherAgent
    policies: tuple[PolicySpec, ...]
    seeds: tuple[int, ...]
    scores: np.ndarray
    lengths: np.ndarray
    random_scores: np.ndarray
    repeats: GameRepeats | None = None

    def __post_init__(self):
        _check_types(self)
        _check(self.game and self.game == canonical_game(self.game), f"game {self.game!r}")
        _check(all(type(seed) is int for seed in self.seeds), "seeds that are no whole numbers")
        _check(len(set(self.seeds)) == len(self.seeds), "a test seed twice")
        runs = [policy.run for policy in self.policies]
        _check(len(set(runs)) == len(runs), "a policy twice")
        _check(self.scores.ndim == 3 and self.scores.size > 0, "no scores[policy][seed][episode]")
        ours = isinstance(self.agent, AgentSpec)
        _check(ours or not self.policies, "runs of an agent that is no run")
        number = len(self.policies) if ours else len(self.scores)
        shape = (number, len(self.seeds), *self.scores.shape[2:])
        _check(self.scores.shape == shape, f"scores {self.scores.shape}, expected {shape}")
        _check(self.lengths.shape == shape, f"lengths {self.lengths.shape}, expected {shape}")
        at_random = self.random_scores.shape
        _check(at_random == shape[1:], f"random_scores {at_random}, expected {shape[1:]}")
        for games in (self.scores, self.random_scores):
            _check(np.isfinite(games).all(), "scores that are not finite")
        if self.repeats:
            _check(len(self.repeats.different) == shape[0], "repeats of other policies")
        whole = np.issubdtype(self.lengths.dtype, np.integer)
        _check(whole and (self.lengths > 0).all(), "lengths that are no counts of steps")

    @functools.cached_property
    def aggregates(self) -> Aggregates:
        """Of all scores."""
        return aggregate(self.scores, self.seeds)

    @property
    def advantage(self) -> Advantage:
        """Over random play."""
        return advantage(self.scores, self.random_scores)


def _check(condition, problem: str) -> None:
    if not condition:
        raise ValueError(problem)


def _check_types(spec) -> None:
    for field in dataclasses.fields(spec):
        value = getattr(spec, field.name)
        if field.type in (str, int, bool) and type(value) is not field.type:
            raise ValueError(f"{field.name} {value!r} is no {field.type.__name__}")


def check_place(path: Path, agent: type) -> None:
    """Checks before the first game that evaluation.json can be written.

    An earlier test of the same kind of agent is replaced, nothing else.

    Args:
      path: of the file.
      agent: AgentSpec or OtherAgent.

    Raises:
      UserError: it cannot.
    """
    disk.check_place(path.parent, path.name)
    content = schema.read_object(path) if path.exists() else {}
    if "losses" in content:
        held = "the test losses of a keypoint run"
    elif content.get("kind") == (_OTHER_KIND if agent is AgentSpec else _KIND):
        held = "the test of another kind of agent"
    else:
        return
    raise UserError(f"{path} has {held}: choose another out", ["out"])


def write_evaluation(path: Path, evaluation: Evaluation) -> None:
    """Writes evaluation.json, one line per top-level name."""
    ours = isinstance(evaluation.agent, AgentSpec)
    content = {
        "format_version": _FORMAT_VERSION,
        "kind": _KIND if ours else _OTHER_KIND,
        "game": evaluation.game,
        "env_id": evaluation.env_id,
        "rules": dataclasses.asdict(evaluation.rules),
        "agent": dataclasses.asdict(evaluation.agent),
        "policies": [dataclasses.asdict(policy) for policy in evaluation.policies],
        "seeds": list(evaluation.seeds),
        "scores": evaluation.scores.tolist(),
        "lengths": evaluation.lengths.tolist(),
        "random_scores": evaluation.random_scores.tolist(),
        "repeats": evaluation.repeats and dataclasses.asdict(evaluation.repeats),
        "aggregates": _plain(evaluation.aggregates),
    }
    lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in content.items()]
    files.write_text(Path(path), "{\n" + ",\n".join(lines) + "\n}\n")


def _plain(aggregates: Aggregates) -> dict:
    return {
        "median_seed": aggregates.median_seed._asdict(),
        "run_scores": list(aggregates.run_scores),
        "mean": aggregates.mean._asdict(),
        "iqm": aggregates.iqm._asdict(),
    }


def read_evaluation(path: Path) -> Evaluation | None:
    """Reads and checks evaluation.json; None where it is that of another kind of run.

    Raises:
      UserError: a damaged file, another format version, or aggregates that do not follow from the
        scores.
    """
    content = schema.read_object(path)
    kind = content.get("kind")
    if kind not in (_KIND, _OTHER_KIND):
        return None
    schema.check_version(path, content, _FORMAT_VERSION)
    try:
        evaluation = _from_content(
            schema.parse(_EvaluationContent if kind == _KIND else _OtherContent, content)
        )
        stored = content["aggregates"]
        if not np.allclose(
            _numbers(stored), _numbers(_plain(evaluation.aggregates)), equal_nan=True
        ):
            raise ValueError("aggregates do not follow from scores")
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise UserError(f"{path} is damaged or of another program: {error}") from error
    return evaluation


class _AnyContent(TypedDict):
    """What the file holds beside its kind, its version, the aggregates and the agent."""

    game: str
    env_id: str
    rules: Rules
    policies: tuple[PolicySpec, ...]
    seeds: tuple[int, ...]
    scores: list[list[list[float]]]
    lengths: list[list[list[int]]]
    random_scores: list[list[float]]
    repeats: NotRequired[GameRepeats | None]
    aggregates: dict[str, Any]


class _EvaluationContent(_AnyContent):
    agent: AgentSpec


class _OtherContent(_AnyContent):
    agent: OtherAgent


def _from_content(content: _EvaluationContent | _OtherContent) -> Evaluation:
    return Evaluation(
        game=canonical_game(content["game"]),
        env_id=content["env_id"],
        rules=content["rules"],
        agent=content["agent"],
        policies=content["policies"],
        seeds=content["seeds"],
        scores=np.array(content["scores"], float),
        lengths=np.array(content["lengths"]),
        random_scores=np.array(content["random_scores"], float),
        repeats=content.get("repeats"),
    )


def _numbers(aggregates: dict) -> np.ndarray:
    """The aggregates that involve no random draws, float [5 + P]."""
    middle = aggregates["median_seed"]
    points = [middle["seed"], middle["mean"], middle["std"]]
    points += [aggregates["mean"]["value"], aggregates["iqm"]["value"], *aggregates["run_scores"]]
    return np.array(points, float)
