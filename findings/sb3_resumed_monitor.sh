#!/usr/bin/env bash
# Stable-Baselines3's load_results mixes the episodes of a resumed run with those before it.
#
# Packages:  stable-baselines3==2.9.2 torch==2.13.0 gymnasium==1.4.0 pandas==3.1.1
#            matplotlib==3.11.2 numpy==2.4.6
# Guess:     a resumed run that goes on with the monitor.csv of the first
#            (override_existing=False) is loaded in the order in which it was played: that is
#            the order of the file.
# Behaviour: each row has the seconds since its own run began, but the file has only the first
#            run's beginning. load_results sorts by the seconds. So the episodes of both runs
#            come alternately, on a time axis that ends where the longer run does, and the
#            "last 100 episodes" are half of them old. With one file for each run all is right.
# Seen:      played:    1 2 3 4 5 6 7 8
#            one file:  1 2 3 4 5 6 7 8
#              loaded:  1 5 2 6 3 7 4 8 after 0.5 0.8 1.0 1.3 1.5 1.8 2.0 2.3 s
#              return:  1 5 2 6 3 7 4 8 against 1 2 3 4 5 6 7 8 steps
#            two files, loaded: 1 2 3 4 5 6 7 8
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet stable-baselines3==2.9.2 torch==2.13.0 gymnasium==1.4.0 \
    pandas==3.1.1 matplotlib==3.11.2 numpy==2.4.6
env/bin/python - <<'PYTHON'
import time

import gymnasium
from stable_baselines3.common.monitor import Monitor, load_results
from stable_baselines3.common.results_plotter import ts2xy


class Game(gymnasium.Env):
    """Each episode is one step of half a second; its return is its number."""

    observation_space = action_space = gymnasium.spaces.Discrete(1)

    def __init__(self, played):
        self.played = played

    def reset(self, **options):
        return 0, {}

    def step(self, action):
        time.sleep(0.5)
        self.played += 1
        return 0, float(self.played), True, False, {}


def train(first, file, delay=0.0, **options):
    """Four episodes from this one on."""
    game = Monitor(Game(first - 1), file, **options)
    time.sleep(delay)
    for _ in range(4):
        game.reset()
        game.step(0)
    game.close()


def in_order(values):
    return " ".join(f"{value:g}" for value in values)


train(1, "one/0")
train(5, "one/0", delay=0.25, override_existing=False)
with open("one/0.monitor.csv") as file:
    rows = [float(line.split(",")[0]) for line in file.readlines()[2:]]
loaded = load_results("one")
steps, returns = ts2xy(loaded, "timesteps")
train(1, "two/0")
train(5, "two/1")
apart = load_results("two")["r"]

print("played:   ", in_order(range(1, 9)))
print("one file: ", in_order(rows))
after = (f"{seconds:.1f}" for seconds in loaded["t"])
print("  loaded: ", in_order(loaded["r"]), "after", *after, "s")
print("  return: ", in_order(returns), "against", in_order(steps), "steps")
print("two files, loaded:", in_order(apart))
right = list(range(1, 9))
mixed = sorted(returns) == right and list(returns) != right and list(loaded["r"]) == list(returns)
raise SystemExit(not (mixed and rows == right and list(apart) == right))
PYTHON
