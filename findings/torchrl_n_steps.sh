#!/usr/bin/env bash
# TorchRL's n-step transitions lead to the terminal observation, and do not say that it is one.
#
# Packages:  torchrl==0.14.1 tensordict==0.14.3 torch==2.13.0 numpy==2.4.6
# Guess:     MultiStep(n_steps=3) and MultiStepTransform(n_steps=3) make of each transition one
#            whose "next" is that of its last step: observation, done, terminated, truncated.
#            (MultiStep's documentation: all keys within "next" are shifted.) DQNLoss then
#            adds no value of a terminal state.
# Behaviour: reward and observation are those of three steps, done, terminated and truncated
#            those of the first alone. Of all that reach the end within three steps only the
#            last is terminated, and to the others DQNLoss adds the terminal state's value.
#            That done keys stay as they are stands at MultiStepTransform's argument
#            done_keys; not what the losses make of that.
# Seen:      step                0   1   2   3   4
#            next observation    3   4   5   5   5
#            terminated          0   0   0   0   1
#            reward              3   3   3   2   1
#            DQNLoss' target   103 103 103 102   1
#            by hand           103 103   3   2   1
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet torchrl==0.14.1 tensordict==0.14.3 torch==2.13.0 numpy==2.4.6
export RL_LOGGING_LEVEL=ERROR
env/bin/python - <<'PYTHON'
import torch
from tensordict import TensorDict
from torchrl.data import LazyTensorStorage, MultiStep, OneHot, ReplayBuffer
from torchrl.envs.transforms import MultiStepTransform
from torchrl.modules import QValueActor
from torchrl.objectives import DQNLoss, ValueEstimators

STEPS, END = 8, 4  # an episode of five steps, and three of the next one


class Values(torch.nn.Module):
    """100 for the first action, 0 for the second, whatever is observed."""

    def __init__(self):
        super().__init__()
        self.values = torch.nn.Parameter(torch.tensor([100.0, 0.0]))

    def forward(self, observation):
        return self.values.expand(*observation.shape[:-1], 2)


def targets(transitions):
    """What DQNLoss wants the values to be, undiscounted."""
    actor = QValueActor(Values(), in_keys=["observation"], spec=OneHot(2))
    loss = DQNLoss(actor, action_space="one_hot", delay_value=False)
    loss.make_value_estimator(ValueEstimators.TD0, gamma=1.0)
    return loss.value_estimator.value_estimate(
        transitions, target_params=loss.target_value_network_params
    )


now = torch.arange(STEPS, dtype=torch.float32).unsqueeze(-1)
end = now == END
played = TensorDict(
    {
        "observation": now,
        "action": torch.tensor([[1, 0]] * STEPS),
        "next": {
            "observation": now + 1, "reward": torch.ones_like(now),
            "done": end, "terminated": end, "truncated": torch.zeros_like(end),
        },
    },
    [STEPS],
)

collected = MultiStep(gamma=1.0, n_steps=3)(played.clone())
buffer = ReplayBuffer(
    storage=LazyTensorStorage(STEPS), transform=MultiStepTransform(n_steps=3, gamma=1.0)
)
buffer.extend(played.clone())
stored = buffer[:]

found = []
for transitions in (collected, stored):
    episode = transitions[: END + 1]
    found.append(
        {
            "step": episode["observation"],
            "next observation": episode["next", "observation"],
            "terminated": episode["next", "terminated"],
            "reward": episode["next", "reward"],
            "DQNLoss' target": targets(episode),
            "by hand": torch.tensor([103, 103, 3, 2, 1]),
        }
    )
    found[-1] = {name: values.ravel().int().tolist() for name, values in found[-1].items()}
for name, values in found[0].items():
    print(f"{name:17}", *(f"{value:3}" for value in values))
same = found[0] == found[1] and found[0]["DQNLoss' target"] == [103, 103, 103, 102, 1]
raise SystemExit(not (same and found[0]["next observation"] == [3, 4, 5, 5, 5]))
PYTHON
