"""How far the games of a test repeat each other, and those of training and validation."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from permakey_tf.envs.play import Task
from permakey_tf.training.games import Episodes, begin


class Games(NamedTuple):
    """Hashes of games, see `training.games.WatchedEpisode`.

    openings: int64 [N], of the first screens.
    courses: int64 [N], of all screens of each game.
    """

    openings: np.ndarray
    courses: np.ndarray

    @classmethod
    def of(cls, played: Sequence[Episodes]) -> "Games":
        """Of all episodes of several seeds."""
        return cls(*(np.concatenate([getattr(p, name) for p in played]) for name in cls._fields))


@dataclasses.dataclass(frozen=True)
class GameRepeats:
    """Repeats among the S seeds times E episodes of a test; screens before resizing and noise.

    first_screens: different first screens of the test's games, which are every policy's.
    in_training, in_validation: per policy, test games whose first screen is also that of a game
      that the policy's run trained on, or was validated on; None where these are not known.
    different: per policy, test games that differ in some screen.
    validated: per policy, test games that equal, screen by screen, a validation game of the same
      policy; None where these are not known.
    """

    first_screens: int
    in_training: tuple[int, ...] | None
    in_validation: tuple[int, ...] | None
    different: tuple[int, ...]
    validated: tuple[int, ...] | None

    def __post_init__(self):
        every = (self.in_training, self.in_validation, self.different, self.validated)
        per_policy = [counts for counts in every if counts is not None]
        if len({len(counts) for counts in per_policy}) != 1:
            raise ValueError("repeats of different numbers of policies")
        if min(self.first_screens, *(min(counts) for counts in per_policy)) < 0:
            raise ValueError("repeats that are no counts")

    @classmethod
    def count(
        cls, test: list[Games], training: list[np.ndarray], validation: list[Games]
    ) -> "GameRepeats":
        """Counts what `Games` of each policy have in common.

        Args:
          test: of every policy.
          training: openings of the games that every policy's run trained on.
          validation: of every policy.
        """

        def shared(games, others):
            pairs = zip(games, others, strict=True)
            return tuple(int(np.isin(mine, theirs).sum()) for mine, theirs in pairs)

        openings = [games.openings for games in test]
        courses = [games.courses for games in test]
        return cls(
            len(np.unique(openings[0])),
            shared(openings, training),
            shared(openings, [games.openings for games in validation]),
            tuple(len(np.unique(mine)) for mine in courses),
            shared(courses, [games.courses for games in validation]),
        )

    @classmethod
    def of_test(cls, test: list[Games]) -> "GameRepeats":
        """As `count`, where nothing is known of training and validation."""
        different = tuple(len(np.unique(games.courses)) for games in test)
        return cls(len(np.unique(test[0].openings)), None, None, different, None)

    def describe(self, num_games: int) -> str:
        """One line, on a test of `num_games` games for each policy."""

        def listed(counts):
            return ", ".join(map(str, counts))

        first = f"of {num_games} games a policy, {self.first_screens} first screens differ; "
        last = f"{listed(self.different)} differ in some screen"
        if self.in_training is None or self.in_validation is None or self.validated is None:
            return first + last
        return (
            f"{first}{listed(self.in_training)} begin like a training game, "
            f"{listed(self.in_validation)} like a validation game; {last}, "
            f"{listed(self.validated)} equal a validation game throughout"
        )


def first_screens(task: Task, role: str, seed: int, number: int) -> np.ndarray:
    """int64 [number]: hashes of the first screens of games 0, 1, ..., as `Episodes.openings`."""
    with task.lend() as (game,):
        return np.array([begin(game, task, role, seed, n).opening for n in range(number)])
