#!/usr/bin/env bash
# At a time limit EnvPool's dm_env interface says that the episode has terminated.
#
# Packages:  envpool==1.2.5 gymnasium==1.4.0 dm-env==1.6 numpy==2.4.6
# Guess:     where make_gymnasium says truncated, make_dm's last step has the discount 1: that is
#            dm_env's way to tell a truncation, after which one bootstraps, from a termination.
# Behaviour: the discount is 0 in Atari games, MuJoCo, ViZDoom, and classic control, as in a
#            terminal state. The control suite's environments have 1. Half-cheetah and pendulum
#            never terminate; here they do at the end of each episode. But for the games, whose
#            observations have a field "terminated", nothing else in the step tells.
# Seen:      Pong-v5           truncated, discount 0
#            HalfCheetah-v4    truncated, discount 0
#            Pendulum-v1       truncated, discount 0
#            CartPole-v1       truncated, discount 0
#            MyWayHome-v1      truncated, discount 0
#            CheetahRun-v1     truncated, discount 1
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet envpool==1.2.5 gymnasium==1.4.0 dm-env==1.6 numpy==2.4.6
env/bin/python - <<'PYTHON' 2>log.txt || { code=$?; tail -n 5 log.txt >&2; exit "$code"; }
import envpool
import numpy as np

LIMIT = 5


def end(name):
    """What two interfaces say of the last step of the same episode."""
    settings = {"num_envs": 1, "seed": 0, "max_episode_steps": LIMIT}
    gymnasium, dm = envpool.make_gymnasium(name, **settings), envpool.make_dm(name, **settings)
    actions = np.zeros((1, *dm.action_spec().shape), dm.action_spec().dtype)
    gymnasium.reset()
    dm.reset()
    for _ in range(LIMIT):
        _, _, (terminated,), (truncated,), _ = gymnasium.step(actions)
        step = dm.step(actions)
    assert truncated and not terminated and step.step_type[0] == 2
    return int(step.discount[0])


names = "Pong-v5 HalfCheetah-v4 Pendulum-v1 CartPole-v1 MyWayHome-v1 CheetahRun-v1".split()
discounts = [end(name) for name in names]
for name, discount in zip(names, discounts):
    print(f"{name:17} truncated, discount {discount}")
raise SystemExit(discounts != [0, 0, 0, 0, 0, 1])
PYTHON
