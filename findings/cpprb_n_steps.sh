#!/usr/bin/env bash
# Where an episode ends, cpprb's n-step transitions go on.
#
# Packages:  cpprb==11.0.0 numpy==2.4.6
# Guess:     with Nstep={"size": 3, ...} a transition whose three steps include the terminal
#            one is done (the documentation: "done" is replaced by its n-step version). Those
#            that the end cuts short have the shorter return and the last observation as next;
#            in a truncated episode these are not done, and bootstrap from it.
# Behaviour: the transition that ends exactly on the terminal step has its reward, the
#            terminal observation as next, and done 0: a learner adds the terminal state's
#            value. Those that are cut short have ones as next observation, which nobody
#            added: after a truncated episode a learner bootstraps from it.
# Seen:      terminated: 50 51 52 53 54 -> 53 54 55 1 1, done 0 0 0 1 1, returns 3 3 3 2 1
#            truncated:  50 51 52 53 54 -> 53 54 55 1 1, done 0 0 0 0 0, returns 3 3 3 2 1
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet cpprb==11.0.0 numpy==2.4.6
env/bin/python - <<'PYTHON'
from cpprb import ReplayBuffer


def episode(terminated):
    """Five steps from observation 50 to observation 55, each of reward 1, undiscounted."""
    buffer = ReplayBuffer(
        16, {"obs": {}, "rew": {}, "next_obs": {}, "done": {}},
        Nstep={"size": 3, "gamma": 1.0, "rew": "rew", "next": "next_obs"},
    )
    for now in range(50, 55):
        buffer.add(obs=now, rew=1, next_obs=now + 1, done=terminated and now == 54)
    buffer.on_episode_end()
    kept = buffer.get_all_transitions()
    return [kept[name].ravel().astype(int).tolist() for name in ("obs", "next_obs", "done", "rew")]


same = True
for name, terminated in {"terminated": True, "truncated": False}.items():
    now, then, done, returns = episode(terminated)
    print(f"{name + ':':11}", *now, "->", *then, end=", done ")
    print(*done, end=", returns ")
    print(*returns)
    same &= now == [50, 51, 52, 53, 54] and then == [53, 54, 55, 1, 1] and returns[2] == 3
    same &= done == ([0, 0, 0, 1, 1] if terminated else [0] * 5)
raise SystemExit(not same)
PYTHON
