"""Playing with a trained or half-trained network: one tf.function from frames to actions."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from permakey_tf.configs.agent import EnvironmentConfig
from permakey_tf.data.preparation import FrameFormat
from permakey_tf.data.repeats import follow, frame_hash
from permakey_tf.envs.games import Game, make_game
from permakey_tf.models.q_network import LSTMState, RecurrentQNetwork
from permakey_tf.system.seeds import Stream, episode_seed, stream

# What is drawn in a played game beside its start.
_GAME_STREAMS = {"validation": Stream.VALIDATION_GAME, "test": Stream.TEST_GAME}
GREEDY = -1  # in the place of an action: the network's best one


class Acted(NamedTuple):
    """One step of B games.

    actions: int32 [B]. state: LSTMState after it. stored: {name: [B, ...]} of models.vision.
    """

    actions: tf.Tensor
    state: LSTMState
    stored: dict[str, tf.Tensor]


class Actor:
    """From frames to actions in one call, on the network's moving statistics.

    Args:
      network: Q-network.
      vision: frozen vision, see models.vision.
      frame_shape: (S, S, C).
    """

    def __init__(self, network: RecurrentQNetwork, vision, frame_shape: tuple[int, int, int]):
        self.network, self.vision = network, vision
        units = network.cell.units
        state = LSTMState(*[tf.TensorSpec([None, units], tf.float32)] * 2)
        self.step = tf.function(
            self._step,
            input_signature=[
                tf.TensorSpec([None, *frame_shape], tf.uint8),
                tf.TensorSpec([None], tf.int32),
                state,
            ],
        )

    def _step(self, frames, forced, state) -> Acted:
        """Frames uint8 [B, S, S, C], actions int32 [B] to take (or GREEDY), the LSTM's state."""
        stored = self.vision.observe(frames)
        output = self.network(self.vision.prepare(stored), state, length=1)
        best = tf.argmax(output.q_values[:, 0], axis=-1, output_type=tf.int32)
        return Acted(tf.where(forced == GREEDY, best, forced), output.state, stored)


class Episodes(NamedTuple):
    """What was played.

    scores: float [E], true returns. lengths: int [E], agent steps.
    openings, courses: int64 [E], hashes of each game's first screen and of all its screens, see
      data/repeats.py; screens before resizing and noise.
    film: Film or None.
    """

    scores: np.ndarray
    lengths: np.ndarray
    openings: np.ndarray
    courses: np.ndarray
    film: "Film | None"


class Film(NamedTuple):
    """The first episode: frames uint8 [T, S, S, C], centers_yx float32 [T, K, 2]."""

    frames: np.ndarray
    centers_yx: np.ndarray


def play_episodes(
    actor: Actor,
    environment: EnvironmentConfig,
    frame_format: FrameFormat,
    role: str,
    seed: int,
    number: int,
    film: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Episodes | None:
    """Plays whole games side by side, greedily, to their end or the time limit.

    Every game depends on (role, seed, its number) alone, and so does its noise.

    Args:
      actor: who plays.
      environment: the game.
      frame_format: how the model sees frames.
      role: "validation" or "test".
      seed: of the games.
      number: E.
      film: whether to keep the first game's frames.
      stop: asked before every step; where it answers True, the games are broken off.

    Returns:
      What was played; None where it was broken off.
    """
    games = [make_game(environment) for _ in range(number)]
    seeds = [episode_seed(role, seed, episode) for episode in range(number)]
    frames = [game.reset(s) for game, s in zip(games, seeds, strict=True)]
    noise = [stream(seed, _GAME_STREAMS[role], e) for e in range(number)]
    openings = np.array([frame_hash(frame) for frame in frames])
    courses = np.array([follow(0, opening) for opening in openings.tolist()])
    scores, lengths = np.zeros(number), np.zeros(number, int)
    playing, shots = np.arange(number), []
    state = actor.network.initial_state(number)
    while len(playing):
        if stop():
            return None
        prepared = np.stack([frame_format.with_bars(frames[i], noise[i]) for i in playing])
        acted = actor.step(prepared, np.full(len(playing), GREEDY, np.int32), state)
        if film and playing[0] == 0:
            # A copy: the view would keep the frames of all games in memory.
            shots.append((prepared[0].copy(), acted.stored["positions"][0].numpy()))
        over = np.zeros(len(playing), bool)
        for position, (i, action) in enumerate(zip(playing, acted.actions.numpy(), strict=True)):
            step = games[i].step(int(action))
            frames[i] = step.frame
            courses[i] = follow(int(courses[i]), frame_hash(step.frame))
            scores[i] += step.reward
            lengths[i] += 1
            cut = lengths[i] >= environment.max_episode_steps
            over[position] = step.terminal or step.truncated or cut
        playing = playing[~over]
        state = LSTMState(*(tf.boolean_mask(part, ~over) for part in acted.state))
    shown = Film(*map(np.stack, zip(*shots, strict=True))) if film else None
    return Episodes(scores, lengths, openings, courses, shown)


def first_screens(environment: EnvironmentConfig, role: str, seed: int, number: int) -> np.ndarray:
    """int64 [number]: hashes of the first screens of games 0, 1, ..., as `Episodes.openings`."""
    game: Game = make_game(environment)
    screens = (game.reset(episode_seed(role, seed, episode)) for episode in range(number))
    return np.array([frame_hash(screen) for screen in screens])


def random_scores(environment: EnvironmentConfig, role: str, seed: int, number: int) -> np.ndarray:
    """float [E]: true returns of uniformly random play under the protocol of `play_episodes`."""
    game: Game = make_game(environment)
    scores = np.zeros(number)
    for episode in range(number):
        game.reset(episode_seed(role, seed, episode))
        rng = stream(seed, _GAME_STREAMS[role], episode)
        for _ in range(environment.max_episode_steps):
            step = game.step(int(rng.integers(game.num_actions)))
            scores[episode] += step.reward
            if step.terminal or step.truncated:
                break
    return scores
