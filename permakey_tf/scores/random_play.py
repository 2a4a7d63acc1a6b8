"""Random play in the games of a test: what agents are compared with."""

from collections.abc import Callable

import numpy as np

from permakey_tf.envs.play import Episode, Task, play
from permakey_tf.system.seeds import episode_seed
from permakey_tf.training.games import game_stream


def random_scores(
    task: Task, role: str, seed: int, number: int, stop: Callable[[], bool] = lambda: False
) -> np.ndarray | None:
    """float [E]: true returns of uniformly random play in the games of a seed.

    Args:
      task, role, seed: which games.
      number: E.
      stop: asked before every step; where it answers True, the games are broken off.

    Returns:
      The scores; None where it was broken off.
    """
    scores = np.zeros(number)
    with task.lend() as (game,):
        for n in range(number):
            rng = game_stream(role, seed, n)
            episode = Episode(game, episode_seed(role, seed, n), task.max_steps)
            for _ in play(episode, lambda _, rng=rng: int(rng.integers(game.num_actions))):
                if stop():
                    return None
            scores[n] = episode.score
    return scores
