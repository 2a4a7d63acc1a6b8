"""A test of agents under the seed-separated protocol (ICLR app. A.2.3): who played what, how."""

import dataclasses
import functools

import numpy as np

from permakey_tf.configs.agent import ENCODERS, FIRE_AT_START, EnvironmentConfig
from permakey_tf.configs.frames import canonical_game
from permakey_tf.configs.keypoints import EXTRACTORS, METHODS, NOISES
from permakey_tf.scores.aggregates import Advantage, Aggregates, advantage, aggregate
from permakey_tf.scores.repeats import GameRepeats
from permakey_tf.scores.starts import EachStartOnce, starts_of_test
from permakey_tf.system import schema

# What an agent's nodes are, in words.
_CONTROL_NAMES = {
    "keypoints": "",
    "objects": "true positions",
    "shuffled": "shuffled keypoints",
    "constant": "constant keypoints",
}


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


def games_of(config: EnvironmentConfig) -> tuple[str, str, Rules]:
    """Game, env_id and rules of an evaluation in test games with these settings."""
    return canonical_game(config.game), config.env_id, Rules.of_tests(config)


@dataclasses.dataclass(frozen=True)
class AgentSpec:
    """What kind of agent was tested.

    keypoints: their method, of `METHODS`.       encoder: "cnn" or "gnn".
    num_keypoints: K.                            noise: "none", "vertical", "horizontal" or "both".
    num_steps: agent steps that its training was set to.
    keypoint_steps: training steps that its keypoints were set to; None: until their loss stopped
      falling, as the paper's.
    track_keypoints: whether a keypoint kept its index in a game; files of earlier versions lack it.
    cnn_filters: of a convolutional encoder; None for a graph, and in files of earlier versions.
    nodes: "keypoints", or the control that had their place; files of earlier versions lack it.
    extractor: "pursuit", or "pointnet" as the paper's; None for Transporter, for a method of one's
      own and in files of earlier versions.
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
    extractor: str | None = None

    @property
    def variant(self) -> str:
        """What it has that no agent of the papers has, such as "tracked"; "" for nothing."""
        sees_keypoints = self.nodes == "keypoints"
        parts = [
            _CONTROL_NAMES[self.nodes],
            "pursuit" if sees_keypoints and self.extractor == "pursuit" else "",
            "tracked" if self.track_keypoints else "",
        ]
        return ", ".join(filter(None, parts))

    def __post_init__(self):
        _check_types(self)
        _check(self.keypoints in METHODS, f"keypoints {self.keypoints!r}")
        _check(self.encoder in ENCODERS, f"encoder {self.encoder!r}")
        _check(self.noise in NOISES, f"noise {self.noise!r}")
        _check(self.nodes in _CONTROL_NAMES, f"nodes {self.nodes!r}")
        _check(self.extractor in (None, *EXTRACTORS), f"extractor {self.extractor!r}")
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
    weights: SHA-256 (hex) of that checkpoint; None in files of earlier versions.
    """

    run: str
    train_seed: int
    num_steps: int
    checkpoint_step: int
    weights: str | None = None

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
        _check_types(self, "game", "env_id")
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

    @functools.cached_property
    def each_start_once(self) -> EachStartOnce | None:
        """Of all scores; None where starts differ in more than no-ops: with sticky actions, and in
        Gymnasium environments. Bars are left aside: with them too a start is its no-ops."""
        if self.env_id or self.rules.sticky_actions:
            return None
        limits = self.rules.noop_min, self.rules.noop_max
        starts = starts_of_test(self.seeds, self.scores.shape[2], *limits)
        return EachStartOnce.of(self.scores, starts)

    def is_same(self, other: "Evaluation") -> bool:
        """Whether both are one test, such as a copy: all is equal but what its runs are called."""

        def told(one):
            seen = [dataclasses.replace(policy, run="", weights=None) for policy in one.policies]
            return one.game, one.env_id, one.rules, one.agent, one.seeds, seen

        names = ("scores", "lengths", "random_scores")
        pairs = [(getattr(self, name), getattr(other, name)) for name in names]
        return told(self) == told(other) and all(np.array_equal(*pair) for pair in pairs)

    @property
    def advantage(self) -> Advantage:
        """Over random play."""
        return advantage(self.scores, self.random_scores)


def _check(condition, problem: str) -> None:
    if not condition:
        raise ValueError(problem)


def _check_types(spec: object, *names: str) -> None:
    """Raises UserError where a field is not of its type.

    Args:
      spec: of numbers, texts and tuples of such, as files have them.
      names: of the fields that are checked; all where none is given.
    """
    hints = schema.type_hints(type(spec))
    for name in names or hints:
        schema.parse(hints[name], getattr(spec, name), name)
