"""Aggregates over runs: by hand, by enumeration, and as rliable computes them."""

import itertools

import numpy as np
import pytest

from permakey_tf.scores import statistics
from permakey_tf.scores.statistics import bootstrap_interval, interquartile_mean

# Five runs of three tasks.
SCORES = np.array(
    [
        [0.12, 0.85, 0.33],
        [0.45, 0.31, 1.20],
        [0.27, 0.64, 0.08],
        [0.91, 0.22, 0.57],
        [0.38, 1.75, 0.49],
    ]
)
# rliable 1.2.0 (numpy 2.4.6, scipy 1.17.1, pandas 2.3.3, arch 7.2.0) on SCORES[:runs, :tasks]:
# metrics.aggregate_iqm, and library.get_interval_estimates with reps=200_000 after
# np.random.seed(0), method "percentile". Another seed moves its bounds by up to 0.0015.
RLIABLE_IQM = {
    (3, 1): 0.28,
    (3, 2): 0.4175,
    (3, 3): 0.4,
    (4, 1): 0.36,
    (4, 2): 0.4175,
    (4, 3): 0.42833333333333334,
    (5, 1): 0.36666666666666667,
    (5, 2): 0.48333333333333334,
    (5, 3): 0.47666666666666667,
}
RLIABLE_INTERVALS = {
    interquartile_mean: (0.31333333, 0.71555556),
    np.mean: (0.37733333, 0.79133333),
}


def test_a_quarter_rounded_down_goes_at_each_end():
    assert interquartile_mean([9, 1, 5]) == 5  # 3 // 4 = 0 cut: the mean
    assert interquartile_mean([100, 2, 4, -7]) == 3  # one cut at each end
    assert interquartile_mean([1, 2, 3, 4, 5, 6, 99]) == 4  # 7 // 4 = 1: 2..6 stay
    assert interquartile_mean([1, 2, 3, 4, 5, 6, 8, 99]) == 4.5  # 3, 4, 5, 6 stay


@pytest.mark.parametrize("runs_and_tasks", RLIABLE_IQM)
def test_the_interquartile_mean_is_rliables(runs_and_tasks):
    runs, tasks = runs_and_tasks
    expected = RLIABLE_IQM[runs_and_tasks]
    assert interquartile_mean(SCORES[:runs, :tasks]) == pytest.approx(expected, abs=1e-12)


def test_an_axis_is_as_good_as_a_loop():
    scores = np.random.default_rng(0).normal(size=[4, 9, 3])
    expected = [[interquartile_mean(scores[i, :, k]) for k in range(3)] for i in range(4)]
    np.testing.assert_allclose(interquartile_mean(scores, axis=1), expected, rtol=1e-12)


@pytest.mark.parametrize("statistic", RLIABLE_INTERVALS)
def test_intervals_are_rliables(statistic, monkeypatch):
    monkeypatch.setattr(statistics, "_NUM_RESAMPLES", 100_000)
    interval = bootstrap_interval(SCORES, statistic)
    np.testing.assert_allclose(interval, RLIABLE_INTERVALS[statistic], atol=0.003)


def test_intervals_are_those_of_all_resamples(monkeypatch):
    """Two tasks, each drawn for itself: 27 * 27 equally likely resamples."""
    scores = np.array([[1.0, 30.0], [2.0, 10.0], [4.0, 20.0]])
    columns = [[np.array(drawn) for drawn in itertools.product(c, repeat=3)] for c in scores.T]
    every = [np.concatenate(pair).mean() for pair in itertools.product(*columns)]
    monkeypatch.setattr(statistics, "_NUM_RESAMPLES", 40_000)
    low, high = bootstrap_interval(scores, np.mean)
    # The distribution has steps: the bounds' own shares decide, to within the draws' noise.
    assert np.mean(every < low) <= 0.027 and np.mean(every <= low) >= 0.023
    assert np.mean(every <= high) >= 0.973 and np.mean(every < high) <= 0.977


def test_fewer_runs_mean_wider_intervals():
    def width(scores):
        low, high = bootstrap_interval(scores, np.mean)
        return high - low

    assert 0 < width(np.repeat(SCORES, 4, axis=0)) < 0.6 * width(SCORES)


def test_a_curve_has_the_interval_of_each_step():
    curve = np.stack([SCORES, 10 * SCORES + 1], -1)
    low, high = bootstrap_interval(curve)
    alone = bootstrap_interval(SCORES)
    np.testing.assert_allclose([low[0], high[0]], alone, rtol=1e-12)
    np.testing.assert_allclose([low[1], high[1]], 10 * np.array(alone) + 1, rtol=1e-12)


def test_a_seed_of_its_own_decides_the_draws_not_numpys_generator(monkeypatch):
    state = np.random.get_state()
    intervals = []
    for seed in (0, 1):
        np.random.seed(seed)
        intervals.append(bootstrap_interval(SCORES))
    np.random.set_state(state)
    assert intervals[0] == intervals[1]
    monkeypatch.setattr(statistics, "_SEED", 1)
    assert bootstrap_interval(SCORES) != intervals[0]


def test_one_run_has_no_interval():
    assert np.isnan(bootstrap_interval([[1.0, 2.0]])).all()
    assert bootstrap_interval(np.ones([1, 1, 7]))[0].shape == (7,)
    with pytest.raises(ValueError, match=r"\[R, T, ...\]"):
        bootstrap_interval([1.0, 2.0])
