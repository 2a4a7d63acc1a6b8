"""Scores action sequences from a save state, on all CPU cores.

The emulator holds Python's lock while it runs, so the cores are used by processes. They are plain
`python -m permakey_tf.envs.search` children that talk over pipes, not `multiprocessing`: that would
import the parent's main module, and with it TensorFlow, in each of them. A child ends when its
pipe is closed, however its parent died. Scores do not depend on the number of processes.
"""

import contextlib
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ale_py import ALEState

from permakey_tf.envs.atari import AtariGame
from permakey_tf.errors import UserError

DISCOUNT = 0.99  # per agent step: what comes soon is more certain to be reached
LIFE_PENALTY = 10.0  # in units of log2(1 + reward): a lost life outweighs any single reward

ActionSequence = list[tuple[int, int]]  # (action, number of agent steps that it is held)


def score_sequence(game: AtariGame, sequence: ActionSequence) -> float:
    """Plays a sequence and returns its score; leaves the game where the sequence ends.

    The score is the discounted sum of sign(r) log2(1 + |r|), minus a discounted penalty where a
    life is lost or the game is over, which also ends the sequence. The logarithm keeps one rare
    large reward from drowning all others.
    """
    score, weight = 0.0, 1.0
    for action, held in sequence:
        for _ in range(held):
            reward, terminal, life_lost = game.advance(action)
            score += weight * math.copysign(math.log2(1 + abs(reward)), reward)
            if terminal or life_lost:
                return score - weight * LIFE_PENALTY
            weight *= DISCOUNT
    return score


def score_all(game: AtariGame, state: ALEState, sequences: list[ActionSequence]) -> list[float]:
    """Scores each sequence, played from `state`; leaves the game where the last one ends."""
    scores = []
    for sequence in sequences:
        game.restore(state)
        scores.append(score_sequence(game, sequence))
    return scores


class SearchPool:
    """Processes that score sequences of one game side by side; a context manager."""

    def __init__(self, processes: int, **game_settings: Any):
        """Starts the processes.

        Args:
          processes: how many work, this one included.
          **game_settings: arguments of `AtariGame`.
        """
        root = str(Path(__file__).parents[2])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        self._game = AtariGame(**game_settings)
        self._children = [
            subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is the parent's to handle
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            )
            for _ in range(processes - 1)
        ]
        for child in self._children:
            with _alive(child):
                _send(child.stdin, game_settings)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """Ends the processes."""
        for child in self._children:
            child.kill()
            child.wait()
            with contextlib.suppress(BrokenPipeError):  # of a request that it died before
                child.stdin.close()
            child.stdout.close()
        self._children = []

    def scores(self, state: ALEState, sequences: list[ActionSequence]) -> list[float]:
        """The score of each sequence, played from `state`."""
        count = len(self._children) + 1
        for number, child in enumerate(self._children, start=1):
            with _alive(child):
                _send(child.stdin, (state, sequences[number::count]))
        scores = [0.0] * len(sequences)
        scores[::count] = score_all(self._game, state, sequences[::count])
        for number, child in enumerate(self._children, start=1):
            with _alive(child):
                scores[number::count] = pickle.load(child.stdout)
        return scores


@contextlib.contextmanager
def _alive(child: subprocess.Popen) -> Iterator[None]:
    """Raises UserError where the child died before what is said to it, or asked of it, is done."""
    try:
        yield
    except (BrokenPipeError, EOFError, pickle.UnpicklingError) as error:
        raise UserError(
            f"a process of the search died with exit code {child.wait()}; see above, and take care "
            "that there is memory enough"
        ) from error


def _send(pipe, message) -> None:
    pickle.dump(message, pipe)
    pipe.flush()


def _serve() -> None:
    """A child's loop: game settings first, then (state, sequences) -> scores."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    game = AtariGame(**pickle.load(requests))
    while True:
        state, sequences = pickle.load(requests)
        _send(answers, score_all(game, state, sequences))


if __name__ == "__main__":
    try:
        _serve()
    except (EOFError, pickle.UnpicklingError, BrokenPipeError):  # the parent is gone
        os._exit(0)  # a plain exit would flush the broken pipe and complain
