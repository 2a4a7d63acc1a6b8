#!/usr/bin/env bash
# ViZDoom reports its time limit as an end of the game.
#
# Packages:  vizdoom==1.3.2 gymnasium==1.4.0
# Guess:     an episode that is cut at its time limit has truncated=True and
#            terminated=False, so that a learner bootstraps through it.
# Behaviour: both are True, so that a learner which looks at terminated first learns
#            that running out of time is worth nothing.
# Seen:      75 actions of 4 tics, nothing hit: terminated True, truncated True
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet vizdoom==1.3.2 gymnasium==1.4.0
env/bin/python - <<'PYTHON'
import os

os.environ["SDL_VIDEODRIVER"] = "dummy"
import gymnasium
from vizdoom import gymnasium_wrapper  # registers the environments

env = gymnasium.make("VizdoomBasic-v1", frame_skip=4)
env.reset(seed=0)
steps, ended, rewards = 0, False, []
while not ended:
    _, reward, terminated, truncated, _ = env.step(0)
    rewards.append(reward)
    steps, ended = steps + 1, terminated or truncated
print(
    f"{steps} actions of 4 tics, {'something' if max(rewards) > 0 else 'nothing'} hit:"
    f" terminated {terminated}, truncated {truncated}"
)
env.close()
raise SystemExit(not (max(rewards) <= 0 and terminated and truncated))
PYTHON
