#!/usr/bin/env bash
# SuperSuit plays the same game several times where environments share processes.
#
# Packages:  supersuit==3.11.0 pettingzoo==1.27.0 gymnasium==1.4.0 numpy==2.4.6
# Guess:     concat_vec_envs_v1(env, 8, num_cpus=4).reset(seed=0) begins eight different games,
#            the same eight as with any other num_cpus.
# Behaviour: process i gets the seed i, and gives its environments i, i + 1, and so on. With two
#            environments in each of four processes the seeds are 0 1 1 2 2 3 3 4: five games.
#            The copies get the same random numbers for good, not only at their beginning. All
#            are different only with one process, or with one environment in each.
# Seen:      8 environments, seed 0, after 20 steps
#              num_cpus 0: 8 different, seeds 0 1 2 3 4 5 6 7
#              num_cpus 1: 8 different, seeds 0 1 2 3 4 5 6 7
#              num_cpus 2: 5 different, seeds 0 1 2 3 1 2 3 4
#              num_cpus 4: 5 different, seeds 0 1 1 2 2 3 3 4
#              num_cpus 8: 8 different, seeds 0 1 2 3 4 5 6 7
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet supersuit==3.11.0 pettingzoo==1.27.0 gymnasium==1.4.0 numpy==2.4.6
cat > game.py <<'PYTHON'
import gymnasium
import numpy as np
from pettingzoo import ParallelEnv
from supersuit import concat_vec_envs_v1, pettingzoo_env_to_vec_env_v1


class Game(ParallelEnv):
    """One agent, who sees the seed, and a sum of random numbers so far."""

    metadata = {"name": "game"}
    render_mode = None
    possible_agents = ["agent"]

    def observation_space(self, agent):
        return gymnasium.spaces.Box(0, 100, (2,), np.float64)

    def action_space(self, agent):
        return gymnasium.spaces.Discrete(2)

    def reset(self, seed=None, options=None):
        self.agents = self.possible_agents
        self.seed, self.sum = seed, 0.0
        self.random = np.random.default_rng(seed)
        return {"agent": np.array([seed, 0.0])}, {"agent": {}}

    def step(self, actions):
        self.sum += self.random.random()
        observation = np.array([self.seed, self.sum])
        return tuple({"agent": it} for it in (observation, 1.0, False, False, {}))


def play(processes):
    games = concat_vec_envs_v1(pettingzoo_env_to_vec_env_v1(Game()), 8, num_cpus=processes)
    games.reset(seed=0)
    for _ in range(20):
        seen, *_ = games.step(np.zeros(8, int))
    games.close()
    return seen[:, 0].astype(int).tolist(), len(set(seen[:, 1]))


if __name__ == "__main__":
    print("8 environments, seed 0, after 20 steps")
    found = {processes: play(processes) for processes in [0, 1, 2, 4, 8]}
    for processes, (seeds, different) in found.items():
        print(f"  num_cpus {processes}: {different} different, seeds", *seeds)
    raise SystemExit([different for _, different in found.values()] != [8, 8, 5, 5, 8])
PYTHON
env/bin/python game.py 2>log.txt || { code=$?; tail -n 5 log.txt >&2; exit "$code"; }
