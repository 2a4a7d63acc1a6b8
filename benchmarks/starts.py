"""How many different games follow from the 31 numbers of no-ops that an Atari game may open with?

  python -m benchmarks.starts [--games=mspacman,seaquest] [--num_steps=400] [--num_scripts=3]

Every start, 0 to 30 no-ops, is followed by the same script of actions, without sticky actions.
Two starts are one for an agent as long as all screens since the start are equal. Printed is how
many differ, by the first screen alone and by all screens so far: the least and the most of the
scripts, which are one of no-ops only and random ones, each action held for 1 to 8 steps.
"""

import numpy as np
from absl import flags as absl_flags

from flags import common
from permakey_tf.configs.frames import PAPER_NUM_KEYPOINTS, CollectionConfig, GameConfig
from permakey_tf.data.repeats import follow, frame_hash
from permakey_tf.envs.atari import AtariGame
from permakey_tf.envs.policies import random_sequence

_GAMES = absl_flags.DEFINE_list("games", list(PAPER_NUM_KEYPOINTS), "Atari games.")
_STEPS = absl_flags.DEFINE_integer("num_steps", 400, "Agent steps after a start.", lower_bound=1)
_SCRIPTS = absl_flags.DEFINE_integer("num_scripts", 3, "Random scripts.", lower_bound=0)
_COLUMNS = (0, 1, 10, 50, 100, 200, 400)  # steps after the start; those within --num_steps


def scripts(num_actions: int, length: int, number: int) -> list[list[int]]:
    """Lists of `length` actions: one of action 0, the no-op, and `number` random ones."""
    drawn = [
        random_sequence(np.random.default_rng(seed), num_actions, length, CollectionConfig.max_hold)
        for seed in range(number)
    ]
    held = [[a for a, hold in sequence for _ in range(hold)][:length] for sequence in drawn]
    return [[0] * length, *held]


def play(game: AtariGame, num_noops: int, script: list[int]) -> list[int]:
    """Plays a start and a script; hashes of all screens up to step 0, 1, ..., len(script).

    A game that is over repeats its last one.
    """
    pasts = [follow(0, frame_hash(game.start(num_noops)))]
    for action in script:
        step = game.step(action)
        pasts.append(follow(pasts[-1], frame_hash(step.frame)))
        if step.terminal:
            break
    return pasts + pasts[-1:] * (len(script) + 1 - len(pasts))


def different_starts(game: AtariGame, script: list[int], noop_max: int) -> np.ndarray:
    """int [T + 1]: how many of the starts differ up to each step of a script of T actions."""
    pasts = [play(game, noops, script) for noops in range(noop_max + 1)]
    return np.array([len(set(column)) for column in zip(*pasts, strict=True)])


def main():
    steps, noop_max = _STEPS.value, GameConfig.noop_max
    columns = [step for step in _COLUMNS if step <= steps]
    names = ["first screen", *(f"{step} step{'s' * (step > 1)}" for step in columns[1:])]
    print(" | ".join(["| game", *names]) + " |\n" + "|---" * (len(names) + 1) + "|")
    for name in _GAMES.value:
        game = AtariGame(name)
        played = scripts(game.num_actions, steps, _SCRIPTS.value)
        counts = np.stack([different_starts(game, script, noop_max) for script in played])
        ranges = zip(counts.min(0)[columns], counts.max(0)[columns], strict=True)
        cells = [f"{low}" if low == high else f"{low} to {high}" for low, high in ranges]
        print(" | ".join([f"| {name}", *cells]) + " |", flush=True)


if __name__ == "__main__":
    common.run(main)
