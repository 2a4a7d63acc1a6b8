#!/usr/bin/env bash
# With episodic_life=True an agent never sees a game's second life.
#
# Packages:  ale-py==0.12.1 gymnasium==1.4.0
# Guess:     as in DQN: a lost life ends the episode for the learner, and the next
#            episode goes on in the same game, with the lives that are left.
# Behaviour: the whole game starts anew, with all lives; levels that need more than
#            one life are never reached in training. life_loss_info=True is the
#            setting that lets the game go on.
# Seen:      episodic_life: 4 lives at the end of an episode, 5 in the next one
#            life_loss_info: 4 lives at the end of an episode, 4 in the next one
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet ale-py==0.12.1 gymnasium==1.4.0
env/bin/python - <<'PYTHON'
import ale_py
import numpy as np

ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
seen = {}
for setting in ("episodic_life", "life_loss_info"):
    env = ale_py.AtariVectorEnv("breakout", 1, noop_max=0, num_threads=1, **{setting: True})
    env.reset(seed=0)
    for _ in range(2000):
        *_, terminated, truncated, info = env.step(np.array([1]))
        if terminated[0]:
            break
    *_, after = env.step(np.array([1]))
    seen[setting] = int(info["lives"][0]), int(after["lives"][0])
    print("%s: %d lives at the end of an episode, %d in the next one" % (setting, *seen[setting]))
raise SystemExit(seen != {"episodic_life": (4, 5), "life_loss_info": (4, 4)})
PYTHON
