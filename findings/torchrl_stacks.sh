#!/usr/bin/env bash
# TorchRL's frame stacks from a buffer leave out the beginning of every episode.
#
# Packages:  torchrl==0.14.1 tensordict==0.14.3 torch==2.13.0 gymnasium==1.4.0 numpy==2.4.6
# Guess:     a buffer of single frames, with the transform and the sampler that
#            CatFrames(N=4, padding="same").make_rb_transform_and_sampler() makes, gives the
#            transitions of a buffer of stacks: each as often as any other, and those at an
#            episode's beginning with its first frame repeated, as the environment gave them.
# Behaviour: the sampler takes slices of four frames within an episode, of which the last
#            becomes the transition. So the first three of each episode never come, nor any of
#            an episode shorter than four, and no padded stack ever does: a learner never sees
#            what its policy observes after a reset. The stacks that come are right.
# Seen:      episodes of 6 steps and of 3, 27 transitions
#            buffer of stacks:        steps 0 1 2 3 4 5 of the long, 0 1 2 of the short
#            make_rb_transform_...(): steps 3 4 5 of the long, none of the short
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
env/bin/python -W ignore - <<'PYTHON'
import gymnasium
import numpy as np
import torch
from torchrl.data import LazyTensorStorage, ReplayBuffer
from torchrl.envs import CatFrames, Compose, GymWrapper, RenameTransform, TransformedEnv


class Count(gymnasium.Env):
    """Observations are 10 * episode + step. Episodes are of 6 and of 3 steps, in turn."""

    observation_space = gymnasium.spaces.Box(0, 1000, (1,))
    action_space = gymnasium.spaces.Discrete(2)
    episode = 0

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.steps = self.episode + 1, 0
        return self.observe(), {}

    def observe(self):
        return np.array([10 * self.episode + self.steps], np.float32)

    def step(self, action):
        self.steps += 1
        return self.observe(), 0.0, self.steps == (6 if self.episode % 2 else 3), False, {}


def copied(*prefix):
    """A transform that names the single frames anew, to be stacked."""
    names = [(*prefix, "observation")], [(*prefix, "stack")]
    return RenameTransform(*names, create_copy=True)


def sampled(buffer):
    """The steps that 200 batches hold, of the long episodes and of the short ones."""
    steps = set(), set()
    for _ in range(200):
        batch = buffer.sample()
        for now, stack, after in zip(
            batch["observation"], batch["stack"], batch["next", "stack"], strict=True
        ):
            now = int(now)
            online = stacks[now]
            assert (stack.tolist(), after.tolist()) == online, "another stack than online"
            steps[(now // 10 + 1) % 2].add(now % 10)
    return [sorted(some) for some in steps]


torch.manual_seed(0)
stack = CatFrames(N=4, dim=-1, in_keys=["stack"], padding="same")
environment = TransformedEnv(GymWrapper(Count()), Compose(copied(), stack))
played = environment.rollout(27, break_when_any_done=False)
stacks = {
    int(now): (before.tolist(), after.tolist())
    for now, before, after in zip(
        played["observation"], played["stack"], played["next", "stack"], strict=True
    )
}

whole = ReplayBuffer(storage=LazyTensorStorage(27), batch_size=32)
whole.extend(played)
transform, sampler = stack.make_rb_transform_and_sampler(32, end_key=("next", "done"))
frames = ReplayBuffer(
    storage=LazyTensorStorage(27), batch_size=32, sampler=sampler,
    transform=Compose(copied(), copied("next"), transform),
)
frames.extend(played)

print("episodes of 6 steps and of 3, 27 transitions")
found = {"buffer of stacks:": sampled(whole), "make_rb_transform_...():": sampled(frames)}
for name, (long, short) in found.items():
    steps = " ".join(map(str, short)) or "none"
    print(f"{name:24} steps", *long, f"of the long, {steps} of the short")
expected = [[[0, 1, 2, 3, 4, 5], [0, 1, 2]], [[3, 4, 5], []]]
raise SystemExit(list(found.values()) != expected)
PYTHON
