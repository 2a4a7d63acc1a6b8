#!/usr/bin/env bash
# A seeded game of MinAtar may begin with the last action of the game before.
#
# Packages:  MinAtar==1.0.15 gymnasium==1.4.0 numpy==2.4.6 pandas==3.1.1
# Guess:     reset(seed=...) decides all that is random, so the same actions play the same
#            game, whatever was played before.
# Behaviour: the action that a sticky step (one in ten) repeats is not reset. Where the first
#            step of a game is sticky, the last action of the game before is played: about
#            one seed in ten has several games, and its score depends on what was played
#            before.
# Seen:      of 100 seeds 12 have several games
#            lengths of their games: 3: [6, 16, 28] 5: [6] 8: [6, 16] 11: [6, 16]
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet MinAtar==1.0.15 gymnasium==1.4.0 numpy==2.4.6 pandas==3.1.1
env/bin/python - <<'PYTHON'
import gymnasium
import minatar.gym

minatar.gym.register_envs()
env = gymnasium.make("MinAtar/Breakout-v1")


def play(seed, actions):
    """All observations of a game that repeats these actions until it ends."""
    observation, _ = env.reset(seed=seed)
    seen, over = [observation.tobytes()], False
    while not over and len(seen) < 200:
        observation, _, over, _, _ = env.step(actions[len(seen) % len(actions)])
        seen.append(observation.tobytes())
    return tuple(seen)


several, lengths = [], {}
for seed in range(100):
    games = []
    for last_action in range(env.action_space.n):
        play(1000, [last_action])
        games.append(play(seed, [1, 2]))
    if len(set(games)) > 1:
        several.append(seed)
        lengths[seed] = sorted({len(game) - 1 for game in games})
print(f"of 100 seeds {len(several)} have several games")
print("lengths of their games:", *(f"{seed}: {some}" for seed, some in list(lengths.items())[:4]))
raise SystemExit(len(several) != 12)
PYTHON
