#!/usr/bin/env bash
# MaxAndSkipObservation does not show an episode's last screen when the episode ends inside a skip.
#
# Packages:  gymnasium==1.4.0
# Guess:     the observation of the last step is the maximum of the last two frames played.
# Behaviour: frames are kept only at the last two places of a whole skip. Where the episode ends
#            before these, the observation is that of the step before, for a second time.
# Seen:      skip 5, an episode of 12 frames: the last step shows [9, 10], the frames were [11, 12]
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet gymnasium==1.4.0
env/bin/python - <<'PYTHON'
import gymnasium
import numpy as np


class Dot(gymnasium.Env):
    """In frame n a dot is at place n; the game ends with frame 12."""

    action_space = gymnasium.spaces.Discrete(1)
    observation_space = gymnasium.spaces.Box(0, 255, (16,), np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._place = 0
        return self._frame(), {}

    def step(self, action):
        self._place += 1
        return self._frame(), 0.0, self._place == 12, False, {}

    def _frame(self):
        frame = np.zeros(16, np.uint8)
        frame[self._place] = 255
        return frame


env = gymnasium.wrappers.MaxAndSkipObservation(Dot(), skip=5)
env.reset(seed=0)
over = False
while not over:
    shown, _, over, _, _ = env.step(0)
places = np.flatnonzero(shown).tolist()
print(f"skip 5, an episode of 12 frames: the last step shows {places}, the frames were [11, 12]")
raise SystemExit(places != [9, 10])
PYTHON
