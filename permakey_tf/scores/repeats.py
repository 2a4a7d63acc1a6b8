"""How far the games of a test repeat each other, and those of training and validation."""

import dataclasses
from typing import NamedTuple

import numpy as np


class Games(NamedTuple):
    """Hashes of games, see `training.games.WatchedEpisode`.

    openings: int64 [N], of the first screens.
    courses: int64 [N], of all screens of each game.
    """

    openings: np.ndarray
    courses: np.ndarray


@dataclasses.dataclass(frozen=True)
class GameRepeats:
    """Repeats among the S seeds times E episodes of a test; screens before resizing and noise.

    first_screens: different first screens of the test's games, which are every policy's.
    in_training, in_validation: per policy, test games whose first screen is also that of a game
      that the policy's run trained on, or was validated on.
    different: per policy, test games that differ in some screen.
    validated: per policy, test games that equal, screen by screen, a validation game of the same
      policy.
    """

    first_screens: int
    in_training: tuple[int, ...]
    in_validation: tuple[int, ...]
    different: tuple[int, ...]
    validated: tuple[int, ...]

    def __post_init__(self):
        per_policy = (self.in_training, self.in_validation, self.different, self.validated)
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

    def describe(self, num_games: int) -> str:
        """One line, on a test of `num_games` games for each policy."""

        def listed(counts):
            return ", ".join(map(str, counts))

        return (
            f"of {num_games} games a policy, {self.first_screens} first screens differ; "
            f"{listed(self.in_training)} begin like a training game, "
            f"{listed(self.in_validation)} like a validation game; {listed(self.different)} differ "
            f"in some screen, {listed(self.validated)} equal a validation game throughout"
        )
