#!/usr/bin/env bash
# RLlib's n-step transitions that an episode's end cuts short do not end, or are never drawn.
#
# Packages:  ray[rllib]==2.60.0 gymnasium==1.2.2 numpy==2.4.6
# Guess:     with n_step=3 each step of an episode is drawn equally often. The last two have
#            the rewards that are left and the last observation as next. They are terminated
#            where the episode is, and "n_step" (the power of gamma by which DQN and SAC
#            discount the next state's value) is how many rewards they have.
# Behaviour: of an EpisodeReplayBuffer (sample_episodes=True) the transition that ends exactly
#            with the episode is terminated; those with two steps or one left are not, and say
#            that they are three long. So a learner adds the terminal state's value. The
#            PrioritizedEpisodeReplayBuffer, the default of DQN and SAC, never gives these
#            two: the values of the states from which they start are bootstrapped from, and
#            never learnt.
# Seen:      five steps of reward 1 from observation 50 to 55, terminated, n_step=3
#              EpisodeReplayBuffer
#                50 -> 53 return 3, 3 steps
#                51 -> 54 return 3, 3 steps
#                52 -> 55 return 3, 3 steps, terminated
#                53 -> 55 return 2, 3 steps
#                54 -> 55 return 1, 3 steps
#              PrioritizedEpisodeReplayBuffer
#                50 -> 53 return 3, 3 steps
#                51 -> 54 return 3, 3 steps
#                52 -> 55 return 3, 3 steps, terminated
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet "ray[rllib]==2.60.0" gymnasium==1.2.2 numpy==2.4.6
env/bin/python -W ignore - <<'PYTHON'
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.utils.replay_buffers.episode_replay_buffer import EpisodeReplayBuffer
from ray.rllib.utils.replay_buffers.prioritized_episode_buffer import (
    PrioritizedEpisodeReplayBuffer,
)


def drawn(buffer, **options):
    """All transitions in 1,000 draws: {observation: (next, return, n_step, terminated)}."""
    episode = SingleAgentEpisode(
        observations=list(range(50, 56)), actions=[0] * 5, rewards=[1.0] * 5,
        terminated=True, len_lookback_buffer=0,
    )
    buffer.add([episode])
    found = {}
    for one in buffer.sample(num_items=1000, n_step=3, gamma=1.0, **options):
        found[one.get_observations(0)] = (
            one.get_observations(-1), int(one.get_rewards(0)),
            int(one.get_extra_model_outputs("n_step", 0)), one.is_terminated,
        )
    return found


print("five steps of reward 1 from observation 50 to 55, terminated, n_step=3")
uniform = drawn(EpisodeReplayBuffer(capacity=100), sample_episodes=True)
prioritized = drawn(PrioritizedEpisodeReplayBuffer(capacity=100))
for name, found in {"": uniform, "Prioritized": prioritized}.items():
    print(f"  {name}EpisodeReplayBuffer")
    for now, (then, reward, steps, end) in sorted(found.items()):
        print(f"    {now} -> {then} return {reward}, {steps} steps{', terminated' * end}")
whole = {50: (53, 3, 3, False), 51: (54, 3, 3, False), 52: (55, 3, 3, True)}
cut = {53: (55, 2, 3, False), 54: (55, 1, 3, False)}
raise SystemExit(not (uniform == whole | cut and prioritized == whole))
PYTHON
