"""The seeded games of validations and tests, and what is known of them once they are played.

How a game starts and what is drawn in it depends on (role, seed, its number) alone, whoever plays
it. Nothing here needs TensorFlow.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from permakey_tf.envs.play import Episode, Game, GameStep, Task
from permakey_tf.system.seeds import Stream, episode_seed, stream
from permakey_tf.types import Keypoints

# Of games that are played at the same time. Not the number of cores: what is computed together
# decides on the last digits.
GROUPS = 2
# What is drawn in a played game beside its start.
_STREAMS = {"validation": Stream.VALIDATION_GAME, "test": Stream.TEST_GAME}


class Film(NamedTuple):
    """The first episode: frames uint8 [T, S, S, C], and their keypoints, NumPy arrays."""

    frames: np.ndarray
    keypoints: Keypoints


class Episodes(NamedTuple):
    """What was played.

    scores: float [E], true returns. lengths: int [E], agent steps.
    openings, courses: int64 [E], hashes of each game's first screen and of all its screens, see
      `WatchedEpisode`; [0] of games that were not watched.
    film: Film or None.
    """

    scores: np.ndarray
    lengths: np.ndarray
    openings: np.ndarray
    courses: np.ndarray
    film: Film | None = None


class WatchedEpisode(Episode):
    """An episode whose screens, before resizing and noise, are hashed as they are shown.

    Hashes of 64 bits, the same in every process: parts of a test are played in several.

    Attributes:
      opening: of the first screen.
    """

    def __init__(self, game: Game, seed: np.random.SeedSequence, max_steps: int):
        super().__init__(game, seed, max_steps)
        self._screens = hashlib.blake2b(self.frame.tobytes(), digest_size=8)
        self.opening = self.course

    def step(self, action: int) -> GameStep:
        step = super().step(action)
        self._screens.update(step.frame.tobytes())
        return step

    @property
    def course(self) -> int:
        """Hash of all screens so far."""
        return int.from_bytes(self._screens.digest(), "little", signed=True)


def game_stream(role: str, seed: int, number: int) -> np.random.Generator:
    """Of one game: bars where an agent plays it, actions where chance does."""
    return stream(seed, _STREAMS[role], number)


def begin(game: Game, task: Task, role: str, seed: int, number: int) -> WatchedEpisode:
    """Game `number` of a seed, at its start."""
    return WatchedEpisode(game, episode_seed(role, seed, number), task.max_steps)


def join_episodes(episodes: Sequence[Episode], film: Film | None = None) -> Episodes:
    """What is known of games that are over."""
    watched = [episode for episode in episodes if isinstance(episode, WatchedEpisode)]
    return Episodes(
        np.array([episode.score for episode in episodes]),
        np.array([episode.length for episode in episodes]),
        np.array([episode.opening for episode in watched], np.int64),
        np.array([episode.course for episode in watched], np.int64),
        film,
    )


def joined(parts: list[Episodes]) -> Episodes:
    """Episodes that were played in several parts, in their order; the first part's film."""
    arrays = (np.concatenate(column) for column in list(zip(*parts, strict=True))[:-1])
    return Episodes(*arrays, parts[0].film)
