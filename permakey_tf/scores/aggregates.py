"""From the scores of a test [P, S, E] to the paper's numbers and today's (ICLR app. A.2.3).

P policies, the best checkpoints of P training runs, play E episodes on each of S test seeds that
neither training nor validation has seen.
"""

from typing import NamedTuple

import numpy as np

from permakey_tf.scores import statistics


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
