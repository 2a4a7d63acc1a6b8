"""Aggregates of scores over training runs, and how far they can be trusted.

Point estimates and intervals as Agarwal et al. (2021, "Deep Reinforcement Learning at the Edge of
the Statistical Precipice") define them; their library rliable gives the same numbers.
"""

from collections.abc import Callable

import numpy as np

from permakey_tf.system.seeds import Stream, stream

_CONFIDENCE = 0.95  # share of the resampled statistics inside an interval
_NUM_RESAMPLES = 10_000
_SEED = 0  # of the draws
_BLOCK = 500  # of them in memory at a time


def interquartile_mean(scores: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Mean of what is left when a quarter of the n scores is cut off at either end.

    floor(n / 4) whole scores go at each end: nothing is cut below four scores, where this is the
    mean. Scores at the cut are not weighted by fractions.

    Args:
      scores: float, any shape.
      axis: the scores' axis; None takes all of them together.
    """
    scores = np.asarray(scores, float)
    if axis is None:
        scores, axis = scores.ravel(), 0
    ordered = np.moveaxis(np.sort(scores, axis), axis, 0)
    cut = len(ordered) // 4
    return ordered[cut : len(ordered) - cut].mean(0)


def bootstrap_interval(
    scores: np.ndarray, statistic: Callable = interquartile_mean
) -> tuple[np.ndarray, np.ndarray]:
    """Stratified percentile-bootstrap interval, of 95%, of a statistic over runs and tasks.

    A resample draws R runs with replacement, anew for every task (a task is a stratum), and the
    statistic is taken over all R * T scores drawn. Axes after the second, such as the steps of a
    learning curve, keep a run together: the interval holds at each step, not for the whole curve.
    The same arguments give the same interval.

    Args:
      scores: float [R, T, ...], a score per training run and task (game).
      statistic: function of (scores, axis), such as `interquartile_mean` or `np.mean`.

    Returns:
      (low, high), float [...]. NaN where R is 1: one run tells nothing of the spread between runs.
    """
    scores = np.asarray(scores, float)
    if scores.ndim < 2:
        raise ValueError(f"scores must be [R, T, ...], not {list(scores.shape)}")
    num_runs, num_tasks, *rest = scores.shape
    if num_runs == 1:
        return np.full(rest, np.nan), np.full(rest, np.nan)
    rng = stream(_SEED, Stream.RESAMPLED_RUNS)
    values = []
    for start in range(0, _NUM_RESAMPLES, _BLOCK):
        size = min(_BLOCK, _NUM_RESAMPLES - start)
        runs = rng.integers(num_runs, size=[size, num_runs, num_tasks])
        drawn = scores[runs, np.arange(num_tasks)]  # [size, R, T, ...]
        values.append(statistic(drawn.reshape(size, num_runs * num_tasks, *rest), axis=1))
    tail = 100 * (1 - _CONFIDENCE) / 2
    low, high = np.percentile(np.concatenate(values), [tail, 100 - tail], axis=0)
    return low, high
