#!/usr/bin/env bash
# AtariPreprocessing takes a screen size as (width, height).
#
# Packages:  gymnasium==1.4.0 ale-py==0.12.1 opencv-python-headless==5.0.0.93 numpy==2.4.6
# Guess:     with screen_size=(210, 160), which is the shape of the emulator's screen and what
#            ResizeObservation would take, frames stay as they are.
# Behaviour: they get 160 rows of 210 columns: squeezed one way, stretched the other. The
#            pair is (width, height) here and (height, width) there. (160, 210) leaves frames
#            as they are.
# Seen:      AtariPreprocessing (210, 160): 160 rows, 210 columns
#            AtariPreprocessing (160, 210): 210 rows, 160 columns, equal to the screen: True
#            ResizeObservation (210, 160): 210 rows, 160 columns, equal to the screen: True
# Upstream:  the order is named where it was mended (Farama-Foundation/Gymnasium#1312), not in the
#            documentation of the argument.
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet gymnasium==1.4.0 ale-py==0.12.1 \
    opencv-python-headless==5.0.0.93 numpy==2.4.6
env/bin/python - <<'PYTHON'
import ale_py
import gymnasium
from gymnasium.wrappers import AtariPreprocessing, ResizeObservation

ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)


def first_frame(wrapper, size, **settings):
    game = gymnasium.make("ALE/Seaquest-v5", frameskip=1, obs_type="grayscale")
    frame, _ = wrapper(game, size, **settings).reset(seed=0)
    screen = game.unwrapped.ale.getScreenGrayscale()
    return frame.shape, frame.shape == screen.shape and bool((frame == screen).all())


def preprocessing(game, size):
    return AtariPreprocessing(game, noop_max=0, screen_size=size)


found = []
for name, wrapper, size in (
    ("AtariPreprocessing", preprocessing, (210, 160)),
    ("AtariPreprocessing", preprocessing, (160, 210)),
    ("ResizeObservation", ResizeObservation, (210, 160)),
):
    shape, equal = first_frame(wrapper, size)
    found.append((shape, equal))
    equal_too = f", equal to the screen: {equal}" if shape == (210, 160) else ""
    print(f"{name} {size}: {shape[0]} rows, {shape[1]} columns{equal_too}")
expected = [((160, 210), False), ((210, 160), True), ((210, 160), True)]
raise SystemExit(found != expected)
PYTHON
