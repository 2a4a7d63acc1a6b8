#!/usr/bin/env bash
# AtariPreprocessing does not show the screen on which a life or a game ended.
#
# Packages:  ale-py==0.12.1 gymnasium==1.4.0 opencv-python-headless==5.0.0.93
# Guess:     the observation beside terminated=True is the last screen, resized.
# Behaviour: it is the observation of the step before, once more: the wrapper leaves
#            its loop over emulator frames before it reads the screen. So the agent,
#            and any recorder, never sees what ended the episode.
# Seen:      20 lives of Ms. Pac-Man: 20 last observations repeat the one before,
#            0 equal the screen
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet ale-py==0.12.1 gymnasium==1.4.0 opencv-python-headless==5.0.0.93
env/bin/python - <<'PYTHON'
import ale_py
import cv2
import gymnasium
import numpy as np
from gymnasium.wrappers import AtariPreprocessing

ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
game = gymnasium.make("ALE/MsPacman-v5", frameskip=1, repeat_action_probability=0.0)
env = AtariPreprocessing(game, noop_max=0, terminal_on_life_loss=True)
rng = np.random.default_rng(0)
repeats = screens = 0
for _ in range(20):
    observation, _ = env.reset()
    ended = False
    while not ended:
        before = observation.copy()
        observation, _, terminated, truncated, _ = env.step(int(rng.integers(9)))
        ended = terminated or truncated
    screen = cv2.resize(env.ale.getScreenGrayscale(), (84, 84), interpolation=cv2.INTER_AREA)
    repeats += bool((observation == before).all())
    screens += bool((observation == screen).all())
print(f"20 lives of Ms. Pac-Man: {repeats} last observations repeat the one before,")
print(f"{screens} equal the screen")
raise SystemExit(not (repeats >= 18 and screens == 0))
PYTHON
