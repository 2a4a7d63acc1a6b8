#!/usr/bin/env bash
# AgileRL's n-step buffer joins the last step of an episode to the next episode.
#
# Packages:  agilerl==2.58.0 agilerl-arena==1.29.0 torch==2.13.0 tensordict==0.13.0
#            accelerate==1.15.0 pydantic==2.14.4 gymnasium==1.4.0 numpy==2.4.6
# Guess:     with n_step=3 each transition has the rewards of three steps, or of those that are
#            left of its episode. Where the episode ends it is done. The last step has its own
#            reward only. What happens in another environment of the vector does not matter.
# Behaviour: the buffer looks for an end in the second and third step, not in the first. So the
#            last step of an episode is not done: it has the first rewards of the next one, and
#            leads into it. Those before it are right. An end in one environment also cuts the
#            windows of all others, which are not done: a learner discounts what follows by
#            three steps where it is one or two away.
# Seen:      steps of reward 1; the first game goes from 50 to 55 and ends, the second begins at 70
#              50 -> 53 3      51 -> 54 3      52 -> 55 3 done 53 -> 55 2 done
#              54 -> 72 3      70 -> 73 3      71 -> 74 3
#            beside it a game that goes on from 0
#               0 ->  3 3       1 ->  4 3       2 ->  5 3       3 ->  5 2
#               4 ->  7 3       5 ->  8 3       6 ->  9 3
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet agilerl-arena==1.29.0 torch==2.13.0 tensordict==0.13.0 \
    accelerate==1.15.0 pydantic==2.14.4 gymnasium==1.4.0 numpy==2.4.6
env/bin/pip install --quiet --no-deps agilerl==2.58.0
env/bin/python -W ignore - <<'PYTHON'
import torch
from agilerl.components.replay_buffer import MultiStepReplayBuffer
from tensordict import TensorDict

ENDS = [(50, 51), (51, 52), (52, 53), (53, 54), (54, 55), (70, 71), (71, 72), (72, 73), (73, 74)]
GOES_ON = [(now, now + 1) for now in range(9)]


def windows(*games):
    """Of each game: [(observation, next, return, done)], undiscounted, for three steps."""
    buffer = MultiStepReplayBuffer(max_size=100, n_step=3, gamma=1.0)
    for steps in zip(*games):
        now, then = torch.tensor(steps, dtype=torch.float32).T
        buffer.add(
            TensorDict(
                obs=now[:, None], action=torch.zeros(len(games)), reward=torch.ones(len(games)),
                next_obs=then[:, None], done=(then == 55).float(), batch_size=[len(games)],
            )
        )
    kept = buffer.sample_from_indices(torch.arange(len(buffer)))
    names = ("obs", "next_obs", "reward", "done")
    rows = list(zip(*(kept[name].flatten().int().tolist() for name in names)))
    return [rows[game :: len(games)] for game in range(len(games))]


def show(rows):
    for four in (rows[:4], rows[4:]):
        each = (f"{a:2} -> {b:2} {r} {'done' * d:4}" for a, b, r, d in four)
        print("  " + " ".join(each).rstrip())


print("steps of reward 1; the first game goes from 50 to 55 and ends, the second begins at 70")
(alone,) = windows(ENDS)
show(alone)
print("beside it a game that goes on from 0")
beside, same = windows(GOES_ON, ENDS)
show(beside)
joined = alone[2:5] == [(52, 55, 3, 1), (53, 55, 2, 1), (54, 72, 3, 0)] and same == alone
cut = beside[2:5] == [(2, 5, 3, 0), (3, 5, 2, 0), (4, 7, 3, 0)]
raise SystemExit(not (joined and cut))
PYTHON
