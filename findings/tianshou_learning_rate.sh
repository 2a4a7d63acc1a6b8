#!/usr/bin/env bash
# Tianshou's linear learning rate falls far below zero, and DQN goes on with it.
#
# Packages:  tianshou==2.0.1 torch==2.13.0 gymnasium==1.4.0 numpy==2.4.6
# Guess:     LRSchedulerFactoryLinear, made with the trainer's own numbers, takes the learning
#            rate from its start to 0 over the training (the documentation: it decays linearly
#            towards zero for the given trainer parameters).
# Behaviour: it counts on one update in each collection step. Off-policy trainers make one for
#            each step that was collected, unless update_step_num_gradient_steps_per_sample
#            says otherwise, and the rate falls with each. With 10 steps collected at a time
#            it is 0 after a tenth of the training, and in the end minus nine times what it
#            was. Nothing warns; an optimizer with a negative rate climbs its loss. The
#            high-level interface has this schedule for DQN, DDPG, TD3 and SAC as well.
# Seen:      epoch                            1        2        3        4      end
#            0.1 updates for each step  0.00100  0.00075  0.00050  0.00025  0.00000
#            1.0, the default           0.00100 -0.00150 -0.00400 -0.00650 -0.00900
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet tianshou==2.0.1 torch==2.13.0 gymnasium==1.4.0 numpy==2.4.6
env/bin/python -W ignore - <<'PYTHON'
import logging

import gymnasium
from tianshou.algorithm import DQN
from tianshou.algorithm.modelfree.dqn import DiscreteQLearningPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory, LRSchedulerFactoryLinear
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv
from tianshou.trainer import OffPolicyTrainerParams
from tianshou.utils.net.common import Net

logging.disable(logging.CRITICAL)
TRAINING = {"max_epochs": 4, "epoch_num_steps": 100, "collection_step_num_env_steps": 10}


def rates(**updates):
    """The learning rate at the beginning of each epoch, and after the last."""
    game = gymnasium.make("CartPole-v1")
    optimizer = AdamOptimizerFactory(lr=1e-3).with_lr_scheduler_factory(
        LRSchedulerFactoryLinear(**TRAINING)
    )
    network = Net(state_shape=4, action_shape=2, hidden_sizes=[16])
    policy = DiscreteQLearningPolicy(
        model=network, action_space=game.action_space, eps_training=0.1
    )
    algorithm = DQN(policy=policy, optim=optimizer)
    collectors = [
        Collector(algorithm, DummyVectorEnv([lambda: gymnasium.make("CartPole-v1")]), buffer)
        for buffer in (VectorReplayBuffer(1000, 1), None)
    ]
    for collector in collectors:
        collector.reset()

    seen = {}

    def rate():
        return round(float(algorithm.lr_schedulers[0].get_last_lr()[0]), 5) + 0.0

    algorithm.run_training(
        OffPolicyTrainerParams(
            training_collector=collectors[0], test_collector=collectors[1],
            test_step_num_episodes=1, batch_size=8, show_progress=False, verbose=False,
            training_fn=lambda epoch, step: seen.setdefault(epoch, rate()),
            **TRAINING, **updates,
        )
    )
    return [*seen.values(), rate()]


print(f"{'epoch':25}" + "".join(f"{name:>9}" for name in (1, 2, 3, 4, "end")))
slow = rates(update_step_num_gradient_steps_per_sample=0.1)
usual = rates()
for name, found in {"0.1 updates for each step": slow, "1.0, the default": usual}.items():
    print(f"{name:25}" + "".join(f"{rate:9.5f}" for rate in found))
expected = [0.001, -0.0015, -0.004, -0.0065, -0.009]
raise SystemExit(not (slow == [0.001, 0.00075, 0.0005, 0.00025, 0.0] and usual == expected))
PYTHON
