"""How games start: without sticky actions, by their number of no-ops alone.

The seeds of a test draw these numbers, some often, others never. What a greedy agent scores can
depend on little else, and then its mean depends on what was drawn.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from permakey_tf.system.seeds import draw_noops, episode_seed


def starts_of_test(seeds: Sequence[int], episodes: int, noop_min: int, noop_max: int) -> np.ndarray:
    """int [S, E]: no-ops before each game, without sticky actions.

    Args:
      seeds: of the test.
      episodes: E, of every seed.
      noop_min, noop_max: the least and the most no-ops.
    """

    def of_game(seed: int, number: int) -> int:
        rng = np.random.default_rng(episode_seed("test", seed, number))
        return draw_noops(rng, noop_min, noop_max)

    return np.array([[of_game(seed, number) for number in range(episodes)] for seed in seeds])


class EachStartOnce(NamedTuple):
    """Mean scores where every start that occurs counts once, however often it was drawn.

    number: of different starts. run_scores: per policy. mean: of these.
    """

    number: int
    run_scores: tuple[float, ...]
    mean: float

    @classmethod
    def of(cls, scores: np.ndarray, starts: np.ndarray) -> "EachStartOnce":
        """Of scores float [P, S, E] of games with starts int [S, E]."""
        different = np.unique(starts)
        means = np.mean([scores[:, starts == one].mean(axis=1) for one in different], axis=0)  # [P]
        return cls(len(different), tuple(means.tolist()), float(means.mean()))
