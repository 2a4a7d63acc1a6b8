#!/usr/bin/env bash
# RecordVideo's films of Atari games do not play at the games' speed.
#
# Packages:  ale-py==0.12.1 gymnasium==1.4.0 moviepy==2.2.1 opencv-python-headless==5.0.0.93
# Guess:     a film of four seconds of the game lasts four seconds, whatever the frame
#            skip: 15 pictures a second with a skip of 4, 60 with none.
# Behaviour: always 30 pictures a second, as the environment's metadata say for every
#            frame skip: with the default skip a film runs twice as fast as the
#            console, without a skip half as fast.
# Seen:      frame skip 4: 240 emulator frames (4.0 s of the game) in 2.0 s of film
#            frame skip 1: 240 emulator frames (4.0 s of the game) in 8.0 s of film
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet ale-py==0.12.1 gymnasium==1.4.0 moviepy==2.2.1 opencv-python-headless==5.0.0.93
env/bin/python - <<'PYTHON'
import glob

import ale_py
import cv2
import gymnasium

ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
lasts = {}
for skip in (4, 1):
    env = gymnasium.make(
        "ALE/MsPacman-v5", render_mode="rgb_array", frameskip=skip, repeat_action_probability=0.0
    )
    env = gymnasium.wrappers.RecordVideo(env, f"skip{skip}", episode_trigger=lambda _: True)
    env.reset(seed=0)
    for _ in range(240 // skip):
        *_, info = env.step(0)
    played = info["episode_frame_number"]
    env.close()
    film = cv2.VideoCapture(glob.glob(f"skip{skip}/*.mp4")[0])
    pictures = film.get(cv2.CAP_PROP_FRAME_COUNT) - 1  # less the reset's
    lasts[skip] = pictures / film.get(cv2.CAP_PROP_FPS)
    print(
        f"frame skip {skip}: {played} emulator frames ({played / 60:.1f} s of the game)"
        f" in {lasts[skip]:.1f} s of film"
    )
# The writer may leave out a picture, so times are compared to a tenth of a second.
raise SystemExit(abs(lasts[4] - 2) > 0.1 or abs(lasts[1] - 8) > 0.1)
PYTHON
