#!/usr/bin/env bash
# Resetting one environment of a vector forgets the episodes of the others.
#
# Packages:  gymnasium==1.4.0 numpy==2.4.6
# Guess:     with AutoresetMode.DISABLED and reset(options={"reset_mask": mask}) the vector
#            wrapper RecordEpisodeStatistics starts anew for the environments in the mask,
#            and goes on counting in the others. The options can be used again.
# Behaviour: the environments take the mask out of the caller's options before the wrapper
#            looks for it, so it starts anew for all of them: lengths and returns are those
#            since anyone's last reset. A second reset with the same options resets all.
# Seen:      episodes of 3 steps, as counted: 3 1 3 2 3
#            episodes of 5 steps, as counted: 2 1 3
#            options after the reset: {}
#            steps in each after a reset with them: 0 0
# Upstream:  an open pull request (Farama-Foundation/Gymnasium#1696) keeps the mask.
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet gymnasium==1.4.0 numpy==2.4.6
env/bin/python - <<'PYTHON'
import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics


class Steps(gymnasium.Env):
    """Ends after a number of steps, each of reward 1."""

    observation_space = gymnasium.spaces.Box(0, 99, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, length):
        self.length = length

    def seen(self):
        return np.array([self.count], np.float32)

    def reset(self, *, seed=None, options=None):
        self.count = 0
        return self.seen(), {}

    def step(self, action):
        self.count += 1
        return self.seen(), 1.0, self.count == self.length, False, {}


lengths = {3: [], 5: []}
makers = [lambda length=length: Steps(length) for length in lengths]
envs = RecordEpisodeStatistics(SyncVectorEnv(makers, autoreset_mode=AutoresetMode.DISABLED))
envs.reset()
for _ in range(15):
    _, _, over, _, infos = envs.step(np.zeros(2, int))
    for index, length in enumerate(lengths):
        if over[index]:
            lengths[length].append(int(infos["episode"]["l"][index]))
    if over.any():
        options = {"reset_mask": over}
        envs.reset(options=options)
for length, counted in lengths.items():
    print(f"episodes of {length} steps, as counted:", *counted)
print("options after the reset:", options)
envs.step(np.zeros(2, int))
both, _ = envs.reset(options=options)
print("steps in each after a reset with them:", *both.ravel().astype(int))
wrong = lengths == {3: [3, 1, 3, 2, 3], 5: [2, 1, 3]}
raise SystemExit(not (wrong and options == {} and not both.any()))
PYTHON
