#!/usr/bin/env bash
# In Gymnax's Asterix enemies and gold vanish in the middle of the screen.
#
# Packages:  gymnax==1.0.1 jax==0.10.2 flax==0.12.8 MinAtar==1.0.15 numpy==2.4.6
# Guess:     Asterix-MinAtar of Gymnax is MinAtar's game: an enemy or a piece of gold leaves
#            when it has crossed the screen, or when the player touches it.
# Behaviour: a new object takes one of eight rows, tried in a random order. Gymnax never tries
#            the first of that order, and writes to the last even where it is taken: what was
#            there is gone, and nothing comes instead. MinAtar waits where all rows are taken.
#            It happens once the objects come fast: to good players only.
# Seen:      6 games of at most 1,000 steps, played by looking one step ahead
#              gymnax:  5,200 steps, 60 objects vanished
#              MinAtar: 6,000 steps, 0 objects vanished
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet gymnax==1.0.1 jax==0.10.2 flax==0.12.8 MinAtar==1.0.15 numpy==2.4.6
env/bin/python -W ignore - <<'PYTHON'
import copy

import gymnax
import jax
import jax.numpy as jnp
import minatar
import numpy as np

GAMES, STEPS = 6, 1000


def vanished(before, after):
    """How many objects away from the edges have nothing near them in the next screen."""
    gone = 0
    for row, then in zip(before[:, :, [1, 3]].any(2), after[:, :, [1, 3]].any(2)):
        gone += sum(row[x] and not then[x - 1 : x + 2].any() for x in range(1, 9))
    return gone


def play(start, try_all):
    """Steps played and objects vanished, by a player who avoids what ends the game."""
    played = gone = 0
    for game in range(GAMES):
        draw = np.random.default_rng(game)
        state, screen = start(game)
        for step in range(STEPS):
            outcomes = try_all(state, game, step)  # of each action: state, screen, reward, done
            safe = [action for action in range(5) if not outcomes[action][3]]
            if not safe:
                break
            stay = 0 in safe and draw.random() < 0.8
            state, after, reward, _ = outcomes[0 if stay else draw.choice(safe)]
            gone += vanished(screen, after) if reward == 0 else 0
            screen = after
            played += 1
    return played, gone


env, params = gymnax.make("Asterix-MinAtar")
every_action = jax.jit(jax.vmap(env.step_env, (None, None, 0, None)))


def gymnax_start(game):
    screen, state = env.reset_env(jax.random.key(game), params)
    return state, np.asarray(screen)


def gymnax_try(state, game, step):
    key = jax.random.fold_in(jax.random.key(game), step)
    all_five = jax.device_get(every_action(key, state, jnp.arange(5), params))
    outcomes = []
    for action in range(5):
        screen, after, reward, done, _ = jax.tree.map(lambda leaf: leaf[action], all_five)
        outcomes.append((after, screen, float(reward), bool(done)))
    return outcomes


def minatar_start(game):
    state = minatar.Environment("asterix", sticky_action_prob=0.0)
    state.seed(game)
    state.reset()
    return state, state.state()


def minatar_try(state, game, step):
    outcomes = []
    for action in range(5):
        one = copy.deepcopy(state)
        reward, done = one.act(action)
        outcomes.append((one, one.state(), reward, done))
    return outcomes


print(f"{GAMES} games of at most {STEPS:,} steps, played by looking one step ahead")
found = {}
for name, start, try_all in (
    ("gymnax", gymnax_start, gymnax_try), ("MinAtar", minatar_start, minatar_try)
):
    steps, found[name] = play(start, try_all)
    print(f"  {name + ':':8} {steps:,} steps, {found[name]} objects vanished")
raise SystemExit(not (found["gymnax"] > 10 and found["MinAtar"] == 0))
PYTHON
