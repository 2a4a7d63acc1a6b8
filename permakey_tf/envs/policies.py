"""Plays episodes with policies that need no training."""

import contextlib
import itertools
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from permakey_tf.configs.frames import CollectionConfig
from permakey_tf.envs.atari import AtariGame
from permakey_tf.envs.play import Episode, play
from permakey_tf.envs.search import ActionSequence, SearchPool
from permakey_tf.objects.boxes import boxes_of_one_frame
from permakey_tf.objects.reader import ObjectReader
from permakey_tf.objects.visibility import VisibilityTest
from permakey_tf.system.device import available_cores
from permakey_tf.system.seeds import episode_seed
from permakey_tf.types import Step


class Policy(Protocol):
    """Chooses actions; one object plays many episodes, one after the other."""

    def reset(self, rng: np.random.Generator) -> None:
        """A new episode begins; `rng` is the policy's only source of random numbers in it."""

    def action(self, game: AtariGame, frame: np.ndarray) -> int:
        """The next action, from the frame, or from `game`, which must be left as it was."""


def play_episode(
    game: AtariGame,
    policy: Policy,
    seed: np.random.SeedSequence,
    max_steps: int,
    reader=None,
) -> Iterator[Step]:
    """Plays one episode, which depends on its arguments alone.

    Args:
      game: the emulator.
      policy: who plays.
      seed: seed of the start and of the policy, from `seeds.episode_seed`.
      max_steps: the episode is cut after this many actions.
      reader: `objects.ObjectReader` where ground-truth boxes are wanted.

    Yields:
      Steps with frames uint8 [H, 160, 3] (H is 210 in most games), the start first.
    """
    game_seed, policy_seed = (
        np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, part)) for part in (0, 1)
    )
    episode = Episode(game, game_seed, max_steps)
    policy.reset(np.random.default_rng(policy_seed))
    if reader is not None:
        reader.reset()

    def boxes():
        return None if reader is None else reader.read(game.ram)

    yield Step(episode.frame, first=True, boxes=boxes())
    for action, step in play(episode, lambda frame: policy.action(game, frame)):
        yield Step(step.frame, False, action, step.reward, boxes())


class RandomPolicy(Policy):
    """Uniformly random actions, each held for 1 to `max_hold` agent steps."""

    def __init__(self, num_actions: int, max_hold: int = 8):
        self._num_actions, self._max_hold = num_actions, max_hold

    def reset(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._queue: list[int] = []

    def action(self, game: AtariGame, frame: np.ndarray) -> int:
        if not self._queue:
            ((action, held),) = random_sequence(self._rng, self._num_actions, 1, self._max_hold)
            self._queue = [action] * held
        return self._queue.pop()


class LookaheadPolicy(Policy):
    """Tries random action sequences from the emulator's save state and plays the best one's start.

    At each decision K sequences of H actions, each held for 1 to `max_hold` steps, are scored by
    `search.score_sequence`; one of them is what is left of the last winner, filled up at random.
    The first C actions of the best are played, a few of them replaced by random ones. Equal scores
    are won by the earlier sequence, so a plan is kept until a better one is found.
    """

    def __init__(self, pool: SearchPool, num_actions: int, config: CollectionConfig):
        self._pool = pool
        self._num_actions = num_actions
        self._config = config

    def reset(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._queue: list[int] = []
        self._plan: ActionSequence = []

    def action(self, game: AtariGame, frame: np.ndarray) -> int:
        if not self._queue:
            self._search(game)
        return self._queue.pop(0)

    def _search(self, game: AtariGame) -> None:
        horizon, commit = self._config.lookahead_horizon, self._config.lookahead_commit
        sequences = [
            self._plan + self._random(horizon - len(self._plan)),
            *(self._random(horizon) for _ in range(self._config.lookahead_sequences - 1)),
        ]
        best = sequences[int(np.argmax(self._pool.scores(game.save(), sequences)))]
        for planned in best[:commit]:
            slip = self._rng.random() < self._config.lookahead_random
            action, held = self._random(1)[0] if slip else planned
            self._queue += [action] * held
        self._plan = best[commit:]

    def _random(self, length: int) -> ActionSequence:
        return random_sequence(self._rng, self._num_actions, length, self._config.max_hold)


def random_sequence(
    rng: np.random.Generator, num_actions: int, length: int, max_hold: int
) -> ActionSequence:
    """`length` random (action, held for 1 to `max_hold` agent steps)."""
    actions = rng.integers(num_actions, size=length).tolist()
    return list(zip(actions, rng.integers(1, max_hold + 1, size=length).tolist(), strict=True))


def game_settings(config: CollectionConfig) -> dict:
    """The arguments of `AtariGame` that a collection asks for."""
    return {
        "game": config.game,
        "frame_skip": config.frame_skip,
        "noop_max": config.noop_max,
        "sticky_actions": config.sticky_actions,
    }


def collect_episodes(
    game: AtariGame, config: CollectionConfig, processes: int | None = None
) -> Iterator[Iterator[Step]]:
    """Endless episodes by `config.policy`; each may be left before its end.

    Args:
      game: the emulator, made with `game_settings(config)`.
      config: policy, seed and settings.
      processes: processes that search (policy "lookahead"); by default the CPU cores at hand. The
        episodes do not depend on it.

    Raises:
      UserError: boxes are asked for where they cannot be had.
    """
    reader = ObjectReader(config.game) if config.objects else None
    return _episodes(game, reader, config, processes)


def _episodes(game, reader, config, processes) -> Iterator[Iterator[Step]]:
    with contextlib.ExitStack() as stack:
        policy: Policy = RandomPolicy(game.num_actions, config.max_hold)
        visibility = VisibilityTest(config.game)
        if config.policy == "lookahead":
            workers = min(processes or available_cores(), config.lookahead_sequences)
            pool = stack.enter_context(SearchPool(workers, **game_settings(config)))
            policy = LookaheadPolicy(pool, game.num_actions, config)
        for episode in itertools.count():
            seed = episode_seed("collect", config.collect_seed, episode)
            steps = play_episode(game, policy, seed, config.max_episode_steps, reader)
            yield steps if reader is None else _tell_visible(steps, visibility)


def _tell_visible(steps: Iterator[Step], visibility: VisibilityTest) -> Iterator[Step]:
    """Adds to steps with boxes which of them are drawn: decided on the full-size frame."""
    for step in steps:
        boxes = boxes_of_one_frame(step.boxes)
        yield step._replace(visible=visibility(step.frame[None], boxes))
