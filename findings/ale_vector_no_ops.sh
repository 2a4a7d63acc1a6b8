#!/usr/bin/env bash
# Three meanings of noop_max: the vector environment never plays that many.
#
# Packages:  ale-py==0.12.1 gymnasium==1.4.0 opencv-python-headless==5.0.0.93
# Guess:     noop_max=2 opens a game with up to 2 no-ops, in ale-py's vector
#            environment as in gymnasium's AtariPreprocessing.
# Behaviour: AtariVectorEnv plays 0 or 1 no-ops (below noop_max, so that noop_max=1
#            switches them off), AtariPreprocessing 1 or 2 (never none). Agents that
#            are trained in one and tested in the other see starts that differ.
# Seen:      AtariVectorEnv: no-ops [0, 1]
#            AtariPreprocessing: no-ops [1, 2]
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
import gymnasium
from gymnasium.wrappers import AtariPreprocessing

ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
vector = ale_py.AtariVectorEnv("ms_pacman", 1, noop_max=2, num_threads=1)
game = gymnasium.make("ALE/MsPacman-v5", frameskip=1, repeat_action_probability=0.0)
single = AtariPreprocessing(game, noop_max=2)
seen = {"AtariVectorEnv": set(), "AtariPreprocessing": set()}
for seed in range(20):
    seen["AtariVectorEnv"].add(int(vector.reset(seed=seed)[1]["episode_frame_number"][0]))
    seen["AtariPreprocessing"].add(single.reset(seed=seed)[1]["episode_frame_number"])
for name, counts in seen.items():
    print(f"{name}: no-ops {sorted(counts)}")
raise SystemExit(seen != {"AtariVectorEnv": {0, 1}, "AtariPreprocessing": {1, 2}})
PYTHON
