#!/usr/bin/env bash
# d3rlpy takes every 1,024th step of an episode for an initial state.
#
# Packages:  d3rlpy==2.8.1 torch==2.13.0 gymnasium==1.0.0 numpy==2.4.6
# Guess:     InitialStateValueEstimationEvaluator gives the mean value of the episodes' first
#            states (its documentation: at the initial states, as an estimate of the return).
#            DiscountedSumOfAdvantageEvaluator sums from each step to the episode's end.
# Behaviour: both work on windows of 1,024 transitions. The first takes the first state of
#            each window for an initial one, the second starts its sums anew in each. An
#            episode of 2,500 steps, not long for Atari, so counts three times, with two
#            states from its midst. Up to 1,024 steps all is as guessed.
# Seen:      episodes of     initial value (by hand)  sum of advantages (by hand)
#            1024             1024.0    1024.0             -256.50   -256.50
#            1025              513.0    1025.0             -255.75   -256.75
#            2500             1476.0    2500.0             -230.65   -625.50
#            500 and 2500     1232.0    1500.0             -213.12   -542.17
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet d3rlpy==2.8.1 torch==2.13.0 gymnasium==1.0.0 numpy==2.4.6
env/bin/python -W ignore - 2>/dev/null <<'PYTHON'
import logging

import numpy as np
import structlog

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))

from d3rlpy.dataset import Episode, InfiniteBuffer, ReplayBuffer  # noqa: E402
from d3rlpy.metrics import (  # noqa: E402
    DiscountedSumOfAdvantageEvaluator,
    InitialStateValueEstimationEvaluator,
)


class StepsLeft:
    """Action 0, which it takes, is worth the steps that are left, action 1 one less."""

    gamma = 1.0

    def predict(self, observations):
        return np.zeros(len(observations), int)

    def predict_value(self, observations, actions):
        return observations[:, 0] - np.asarray(actions).reshape(-1)


def episode(steps):
    """Observations are the steps that are left, actions 0 and 1 in turn."""
    left = np.arange(steps, 0, -1, dtype=np.float32).reshape(-1, 1)
    return Episode(left, left.astype(int) % 2, np.ones((steps, 1), np.float32), terminated=True)


def judge(*episodes):
    """Initial value and mean sum of advantages, as d3rlpy has them and by hand."""
    dataset = ReplayBuffer(InfiniteBuffer(), episodes=list(episodes), action_size=2)
    for evaluator in (
        InitialStateValueEstimationEvaluator(), DiscountedSumOfAdvantageEvaluator()
    ):
        yield evaluator(StepsLeft(), dataset)
    yield np.mean([some.observations[0, 0] for some in episodes])
    sums = [-np.cumsum(some.actions[::-1, 0]) for some in episodes]
    yield np.mean(np.concatenate(sums))


print("episodes of     initial value (by hand)  sum of advantages (by hand)")
same = True
for steps in ([1024], [1025], [2500], [500, 2500]):
    value, total, value_by_hand, total_by_hand = judge(*map(episode, steps))
    print(f"{' and '.join(map(str, steps)):15} {value:7.1f} {value_by_hand:9.1f}", end=" ")
    print(f"{total:19.2f} {total_by_hand:9.2f}")
    known = {1024: 1024, 1025: 513, 2500: 1476, 3000: 1232}[sum(steps)]
    same &= value == known and (total == total_by_hand) == (max(steps) <= 1024)
raise SystemExit(not same)
PYTHON
