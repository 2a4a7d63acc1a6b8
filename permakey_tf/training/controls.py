"""What takes the keypoints' place where an agent is a control: true positions, or none of a frame.

The vision of a control (models.vision) is told beside each frame what is made here: where the
objects are, or which frame of a bank it is shown instead.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator

import numpy as np

from permakey_tf.configs.agent import AgentConfig
from permakey_tf.data.preparation import FrameFormat
from permakey_tf.envs.games import make_task
from permakey_tf.envs.objects import GameWithObjects
from permakey_tf.envs.play import Episode, Playable, Task, play
from permakey_tf.errors import UserError
from permakey_tf.objects.points import object_points
from permakey_tf.system.seeds import Stream, episode_seed, stream

Tell = Callable[[Playable | None, np.random.Generator], dict[str, np.ndarray]]

BANK_FRAMES = 1000  # that the keypoints of `shuffled` come from
BANK_STRIDE = 4  # steps of random play between two of them


def tell_nothing(game: Playable | None, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """All is in the frame."""
    return {}


def teller(config: AgentConfig, num_keypoints: int, frame_format: FrameFormat) -> Tell:
    """What the agent's vision is told, beside the newest frame of a game.

    Returns:
      Function of the game and of random numbers to {name: value}, see `vision.beside`. With
      nodes=objects it raises UserError for a game that does not tell its objects.
    """
    nodes = config.encoder.nodes
    if nodes == "keypoints":
        return tell_nothing
    if nodes == "objects":
        return lambda game, _: _characters(game, num_keypoints, frame_format.keep_aspect)
    number = bank_size(nodes)
    return lambda _, rng: {"row": rng.integers(number, dtype=np.int32)}


def _characters(game, number: int, keep_aspect: bool) -> dict[str, np.ndarray]:
    if not isinstance(game, GameWithObjects):
        raise UserError(
            "the agent's nodes are the game's true objects (nodes=objects): it plays Atari games "
            "that this package makes, and cannot be given frames alone",
            ["nodes"],
        )
    points = object_points(game.name, game.characters(), number, keep_aspect)
    return {"positions": points.centers_yx, "present": points.confidence}


def bank_size(nodes: str) -> int:
    """Frames of the bank that a control's keypoints come from; 0 where they come from none."""
    return {"shuffled": BANK_FRAMES, "constant": 1}.get(nodes, 0)


def bank_frames(config: AgentConfig, frame_format: FrameFormat) -> np.ndarray:
    """uint8 [N, S, S, C]: frames of random play, with bars where the agent's have them.

    They depend on the run's seed alone, and come from no game of training, validation or test.
    """
    seed, number = config.learning.seed, bank_size(config.encoder.nodes)
    with contextlib.closing(random_play(make_task(config.environment), seed)) as frames:
        chosen = itertools.islice(frames, 0, number * BANK_STRIDE, BANK_STRIDE)
        return np.stack([frame_format.with_bars(frame, rng) for frame, rng in chosen])


def random_play(task: Task, seed: int) -> Iterator[tuple[np.ndarray, np.random.Generator]]:
    """Endless: frames of games at random, and the random numbers of the game that each is of."""
    with task.lend() as (game,):
        for number in itertools.count():
            rng = stream(seed, Stream.BANK_GAME, number)
            episode = Episode(game, episode_seed("collect", seed, number), task.max_steps)
            yield episode.frame, rng
            for _, step in play(episode, lambda _, rng=rng: int(rng.integers(game.num_actions))):
                yield step.frame, rng
