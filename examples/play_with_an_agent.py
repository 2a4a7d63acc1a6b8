"""Lets a trained agent play a Gymnasium environment.

  python -m examples.play_with_an_agent RUN_FOLDER [ALE/MsPacman-v5] [MAX_STEPS]

RUN_FOLDER is an agent's run, as `python -m run.rl` makes it. Prints the values of the actions every
100 steps, and the score.
"""

import sys

import ale_py
import gymnasium
from gymnasium.wrappers import AtariPreprocessing

from permakey_tf import AgentPlayer, UserError


def make_env(game: str) -> gymnasium.Env:
    """Frames as in training: each the maximum of the last two of four emulator frames, in colour.

    Gymnasium's own frames are the last one alone: sprites that flicker are missing from half.
    """
    gymnasium.register_envs(ale_py)
    try:
        env = gymnasium.make(game, frameskip=1, repeat_action_probability=0)
    except (gymnasium.error.Error, ImportError, TypeError) as error:
        sys.exit(f"error: {game} is no Atari game of Gymnasium's: {error}")
    return AtariPreprocessing(env, grayscale_obs=False)


def main(run_folder: str, game: str = "ALE/MsPacman-v5", max_steps: str = "4000") -> float:
    player, env = AgentPlayer.load(run_folder), make_env(game)
    frame, _ = env.reset(seed=0)
    player.reset()
    score, step, over = 0.0, 0, False
    player.check_actions(env.unwrapped.get_action_meanings())
    while not over and step < int(max_steps):
        action = player.act(frame)
        if step % 100 == 0:
            values = zip(player.action_names, player.last.q_values, strict=True)
            shown = ", ".join(f"{name} {value:.2f}" for name, value in values)
            print(f"step {step}: {player.action_names[action]} of {shown}")
        frame, reward, terminated, truncated, _ = env.step(action)
        score, step, over = score + float(reward), step + 1, terminated or truncated
    print(f"score {score:.0f} after {step} steps")
    return score


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    if not all(word.isdecimal() for word in sys.argv[3:]):
        sys.exit(f"error: {sys.argv[3]}: MAX_STEPS is a whole number")
    try:
        main(*sys.argv[1:])
    except UserError as error:  # one line: what is wrong, and what to do
        sys.exit(f"error: {error}")
