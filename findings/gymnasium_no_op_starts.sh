#!/usr/bin/env bash
# Up to 30 no-ops at the start are four different games, not thirty.
#
# Packages:  ale-py==0.12.1 gymnasium==1.4.0 opencv-python-headless==5.0.0.93
# Guess:     with AtariPreprocessing's defaults (noop_max=30, frame_skip=4) a policy that
#            chooses by the newest observation plays as many different games as there are
#            numbers of no-ops: up to 30.
# Behaviour: four. The game's own opening waits whatever is pressed. So four no-ops more
#            are one action later in the same game, and only the rest of the number
#            divided by four matters. A mean over 100 such games is one over four.
# Seen:      Ms. Pac-Man, 60 games: 26 numbers of no-ops, 4 ways to end
#            Seaquest, 60 games: 26 numbers of no-ops, 4 ways to end
#            Frostbite, 60 games: 26 numbers of no-ops, 4 ways to end
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet ale-py==0.12.1 gymnasium==1.4.0 opencv-python-headless==5.0.0.93
env/bin/python - <<'PYTHON'
import zlib

import ale_py
import gymnasium
from gymnasium.wrappers import AtariPreprocessing

ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)


def play(env, seed):
    """Emulator frames before the first action, and the game's last 50 observations."""
    observation, info = env.reset(seed=seed)
    no_ops, seen, over = info["episode_frame_number"], [], False
    while not over:
        seen.append(zlib.crc32(observation.tobytes()))
        # A fixed, arbitrary function of the newest observation.
        observation, _, terminated, truncated, _ = env.step(seen[-1] % int(env.action_space.n))
        over = terminated or truncated
    return no_ops, tuple(seen[-50:])


four = True
for name, title in {"MsPacman": "Ms. Pac-Man", "Seaquest": "Seaquest", "Frostbite": "Frostbite"}.items():
    game = gymnasium.make(f"ALE/{name}-v5", frameskip=1, repeat_action_probability=0.0)
    games = [play(AtariPreprocessing(game), seed) for seed in range(60)]
    starts, ends = (len(set(some)) for some in zip(*games))
    print(f"{title}, 60 games: {starts} numbers of no-ops, {ends} ways to end", flush=True)
    four &= starts > 20 and ends == 4
raise SystemExit(not four)
PYTHON
