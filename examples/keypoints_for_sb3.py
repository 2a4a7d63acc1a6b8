"""Trains a Stable-Baselines3 agent on keypoints instead of pictures.

  pip install stable-baselines3
  python -m examples.keypoints_for_sb3 RUN_FOLDER [ALE/MsPacman-v5] [STEPS]

RUN_FOLDER is a keypoint run of the game. Prints mean scores of the agent and of random play.
"""

import sys

import ale_py
import gymnasium
import numpy as np
from gymnasium.wrappers import FrameStackObservation
from stable_baselines3 import PPO

from permakey_tf import KeypointDetector, KeypointObservation, UserError


def make_env(detector: KeypointDetector, game: str) -> gymnasium.Env:
    """Keypoints of the last two frames: where things are, and where they go."""
    if not game.startswith("ALE/"):
        raise UserError(f"{game}: give one of the form ALE/MsPacman-v5")
    gymnasium.register_envs(ale_py)
    env = gymnasium.make(game, frameskip=1, repeat_action_probability=0)
    env = KeypointObservation(env, detector, form="flat", frame_skip=4)
    return FrameStackObservation(env, 2)


def play(env: gymnasium.Env, choose) -> list[float]:
    """Scores of five whole games; `choose` gives the action for an observation."""
    scores = []
    for seed in range(5):
        observation, _ = env.reset(seed=seed)
        score, over = 0.0, False
        while not over:
            observation, reward, terminated, truncated, _ = env.step(choose(observation))
            score, over = score + float(reward), terminated or truncated
        scores.append(score)
    return scores


def main(run_folder: str, game: str = "ALE/MsPacman-v5", steps: str = "5000") -> None:
    env = make_env(KeypointDetector.load(run_folder), game)
    agent = PPO("MlpPolicy", env, n_steps=512, seed=0, device="cpu").learn(int(steps))
    trained = play(env, lambda observation: agent.predict(observation, deterministic=False)[0])
    env = gymnasium.make(game, repeat_action_probability=0)  # four emulator frames a step, too
    env.action_space.seed(0)
    random = play(env, lambda _: env.action_space.sample())
    print(f"agent {np.mean(trained):.0f} {trained}, random play {np.mean(random):.0f} {random}")


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 4 or not all(word.isdecimal() for word in sys.argv[3:]):
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except (UserError, ImportError, gymnasium.error.Error) as error:  # in one line
        sys.exit(f"error: {error}")
