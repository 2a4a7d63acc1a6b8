#!/usr/bin/env bash
# TorchRL's FrameSkipTransform plays on after the end of an episode.
#
# Packages:  torchrl==0.14.1 tensordict==0.14.3 torch==2.13.0 gymnasium==1.4.0 numpy==2.4.6
# Guess:     FrameSkipTransform(4) around a GymEnv and GymEnv(..., frame_skip=4) are the same:
#            an action is taken four times, or until the episode ends, and its rewards are
#            summed.
# Behaviour: GymEnv stops at the end, the transform does not look: it steps the finished
#            environment up to three times more, and adds what that pays. In
#            MountainCarContinuous the goal's 100 is paid each time.
# Seen:      skip 1: frame_skip 89.3, transform  89.3, steps after the end 0
#            skip 2: frame_skip 89.2, transform  89.2, steps after the end 0
#            skip 3: frame_skip 89.2, transform  89.2, steps after the end 0
#            skip 4: frame_skip 89.1, transform 388.8, steps after the end 3
#            skip 5: frame_skip 89.2, transform 289.0, steps after the end 2
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet torchrl==0.14.1 tensordict==0.14.3 torch==2.13.0 gymnasium==1.4.0 \
    numpy==2.4.6
export RL_LOGGING_LEVEL=ERROR
env/bin/python - <<'PYTHON'
import gymnasium
from tensordict.nn import TensorDictModule
from torchrl.envs import FrameSkipTransform, GymWrapper, TransformedEnv


class Count(gymnasium.Wrapper):
    """Counts the steps that are taken after the end of an episode."""

    ended, late = False, 0

    def reset(self, **options):
        self.ended = False
        return self.env.reset(**options)

    def step(self, action):
        self.late += self.ended
        result = self.env.step(action)
        self.ended |= result[2] or result[3]
        return result


def push(observation):
    """To where the car rolls already: this reaches the goal."""
    return 2.0 * (observation[..., 1:] >= 0) - 1


def play(wrap):
    """The return of an episode, and the steps taken after its end."""
    game = Count(gymnasium.make("MountainCarContinuous-v0"))
    environment = wrap(game)
    environment.set_seed(0)
    policy = TensorDictModule(push, in_keys=["observation"], out_keys=["action"])
    episode = environment.rollout(1000, policy)
    assert episode["next", "terminated"].sum() == 1
    return round(episode["next", "reward"].sum().item(), 1), game.late


found = {}
for skip in range(1, 6):
    own, own_late = play(lambda game: GymWrapper(game, frame_skip=skip))
    total, late = play(lambda game: TransformedEnv(GymWrapper(game), FrameSkipTransform(skip)))
    print(f"skip {skip}: frame_skip {own}, transform {total:5}, steps after the end {late}")
    found[skip] = own < 90 and not own_late, total, late
stops = all(stopped for stopped, _, _ in found.values())
raise SystemExit(not (stops and found[4][1:] == (388.8, 3) and found[5][1:] == (289.0, 2)))
PYTHON
