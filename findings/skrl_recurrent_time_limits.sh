#!/usr/bin/env bash
# skrl's recurrent agents go on into the next episode where a time limit ends one.
#
# Packages:  skrl==2.1.1 torch==2.13.0 gymnasium==1.4.0 numpy==2.4.6
# Guess:     with time_limit_bootstrap=True (the documentation: bootstrap at the truncation of
#            an episode) PPO_RNN's returns are those of PPO: up to the truncated step, and
#            there the value that was estimated. Where all values are 0 no reward of the next
#            episode is in them.
# Behaviour: PPO ends a truncated episode where it is told to bootstrap. PPO_RNN never does: it
#            adds the value, and the next episode's rewards as well. Only terminated steps end
#            an episode. A2C_RNN, TRPO_RNN and RPO_RNN compute their returns in the same way.
# Seen:      two episodes of three steps, rewards 1 1 1 and 10 10 10, truncated
#            PPO      not told to bootstrap: returns 33 32 31 30 20 10
#            PPO      told to:               returns 3 2 1 30 20 10
#            PPO_RNN  not told to bootstrap: returns 33 32 31 30 20 10
#            PPO_RNN  told to:               returns 33 32 31 30 20 10
# Upstream:  that PPO does not end truncated episodes was reported (skrl#224, #449), and was
#            changed for time_limit_bootstrap=True; not that the recurrent agents stayed.
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet skrl==2.1.1 torch==2.13.0 gymnasium==1.4.0 numpy==2.4.6
env/bin/python -W ignore - <<'PYTHON'
import logging

import gymnasium
import torch
from skrl.agents.torch.ppo import PPO, PPO_CFG, PPO_RNN
from skrl.memories.torch import RandomMemory
from skrl.models.torch import DeterministicMixin, GaussianMixin, Model

logging.disable(logging.CRITICAL)
SPACES = {
    name: gymnasium.spaces.Box(-1, 1, (1,))
    for name in ("observation_space", "state_space", "action_space")
}
REWARDS, LASTS = [1, 1, 1, 10, 10, 10], (2, 5)


class Policy(GaussianMixin, Model):
    """A normal distribution. It remembers nothing, but has a recurrent agent's interface."""

    def __init__(self):
        Model.__init__(self, device="cpu", **SPACES)
        GaussianMixin.__init__(self)
        self.mean = torch.nn.Parameter(torch.zeros(1))

    def compute(self, inputs, role):
        rows = len(inputs["observations"])
        return self.mean.expand(rows, 1), {"log_std": torch.zeros(1)}


class Zero(DeterministicMixin, Model):
    """Every state's value is 0."""

    def __init__(self):
        Model.__init__(self, device="cpu", **SPACES)
        DeterministicMixin.__init__(self)
        self.value = torch.nn.Parameter(torch.zeros(1))

    def compute(self, inputs, role):
        return self.value.expand(len(inputs["observations"]), 1), {}


def returns(agent_class, bootstrap):
    """The undiscounted returns that the agent computes for its update."""
    memory = RandomMemory(memory_size=len(REWARDS), num_envs=1, device="cpu")
    configuration = PPO_CFG(
        rollouts=len(REWARDS), learning_epochs=1, mini_batches=1, learning_rate=0.0,
        discount_factor=1.0, gae_lambda=1.0, time_limit_bootstrap=bootstrap,
    )
    configuration.experiment.write_interval = configuration.experiment.checkpoint_interval = 0
    agent = agent_class(
        models={"policy": Policy(), "value": Zero()}, memory=memory, cfg=configuration,
        device="cpu", **SPACES,
    )
    agent.init()
    agent.enable_training_mode(True)
    nothing, no = torch.zeros(1, 1), torch.tensor([[False]])
    for now, reward in enumerate(REWARDS):
        when = {"timestep": now, "timesteps": len(REWARDS)}
        agent.pre_interaction(**when)
        actions = agent.act(nothing, nothing, **when)[0]
        agent.record_transition(
            observations=nothing, states=nothing, actions=actions,
            rewards=torch.tensor([[float(reward)]]), next_observations=nothing,
            next_states=nothing, terminated=no, truncated=torch.tensor([[now in LASTS]]),
            infos={}, **when,
        )
        agent.post_interaction(**when)
    return memory.get_tensor_by_name("returns").ravel().int().tolist()


print("two episodes of three steps, rewards 1 1 1 and 10 10 10, truncated")
found = []
for agent_class in (PPO, PPO_RNN):
    for bootstrap, name in {False: "not told to bootstrap:", True: "told to:"}.items():
        found.append(returns(agent_class, bootstrap))
        print(f"{agent_class.__name__:8} {name:22} returns", *found[-1])
through, apart = [33, 32, 31, 30, 20, 10], [3, 2, 1, 30, 20, 10]
raise SystemExit(found != [through, apart, through, through])
PYTHON
