"""Playing with a trained or half-trained network: one tf.function from frames to actions."""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from permakey_tf.data.preparation import FrameFormat
from permakey_tf.envs.play import Playable, Task
from permakey_tf.models.q_network import LSTMState, RecurrentQNetwork
from permakey_tf.runs import checkpoint
from permakey_tf.tracking import Tracker
from permakey_tf.training.controls import Tell, tell_nothing
from permakey_tf.training.games import Episodes, Film, begin, collect, game_stream
from permakey_tf.types import Column, Keypoints

GREEDY = -1  # in the place of an action: the network's best one


class Acted(NamedTuple):
    """One step of B games.

    actions: int32 [B]. state: LSTMState after it. stored: {name: [B, ...]} of models.vision.
    keypoints: of the frames, in the order in which they are stored.
    q_values: float32 [B, A].
    """

    actions: tf.Tensor
    state: LSTMState
    stored: dict[str, tf.Tensor]
    keypoints: Keypoints
    q_values: tf.Tensor


def _batch_of(column: Column) -> tf.TensorSpec:
    return tf.TensorSpec([None, *column.shape], column.dtype)


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
        frames = tf.TensorSpec([None, *frame_shape], tf.uint8)
        forced = tf.TensorSpec([None], tf.int32)
        signature = [frames, forced, state]
        if vision.beside:
            signature.append({name: _batch_of(one) for name, one in vision.beside.items()})
        self.step = tf.function(self._step, input_signature=signature)
        # Between these two the host decides on the order of the keypoints; traced on first use.
        self._look = tf.function(lambda seen: vision.look(seen), input_signature=[frames])
        self._act_in_order = tf.function(self._reorder_and_act)

    def step_tracked(self, frames, forced, state, trackers: Sequence[Tracker]) -> Acted:
        """As `step`, with the keypoints in the order of each game's tracker, which moves on."""
        stored, keypoints = self._look(frames)
        found = zip(*(part.numpy() for part in keypoints), strict=True)
        orders = [
            tracker.order(Keypoints(*of_game))
            for tracker, of_game in zip(trackers, found, strict=True)
        ]
        orders = tf.constant(np.stack(orders))
        return self._act_in_order(stored, keypoints, orders, forced, state)

    def _step(self, frames, forced, state, beside=None) -> Acted:
        """Frames uint8 [B, S, S, C], actions int32 [B] to take (or GREEDY), the LSTM's state, and
        what the vision is told beside the frames."""
        seen = self.vision.look(frames, beside) if beside else self.vision.look(frames)
        return self._act(*seen, forced, state)

    def _reorder_and_act(self, stored, keypoints, orders, forced, state) -> Acted:
        keypoints = Keypoints(*(tf.gather(part, orders, batch_dims=1) for part in keypoints))
        return self._act(self.vision.reorder(stored, orders), keypoints, forced, state)

    def _act(self, stored, keypoints, forced, state) -> Acted:
        output = self.network(self.vision.prepare(stored), state, length=1)
        q_values = output.q_values[:, 0]
        best = tf.argmax(q_values, axis=-1, output_type=tf.int32)
        actions = tf.where(forced == GREEDY, best, forced)
        return Acted(actions, output.state, stored, keypoints, q_values)


class Player(NamedTuple):
    """What is needed to play.

    actor: who acts. frame_format: how frames are seen. num_actions: of the game.
    track_keypoints: whether keypoints keep their index from frame to frame.
    tell: what the vision is told beside a game's newest frame, see `training.controls.teller`.
    """

    actor: Actor
    frame_format: FrameFormat
    num_actions: int
    track_keypoints: bool = False
    tell: Tell = tell_nothing

    def see(
        self,
        frames: Sequence[np.ndarray],
        games: Sequence[Playable | None],
        rngs: Sequence[np.random.Generator],
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """What `step` takes of the newest frames of B games.

        Args:
          frames: uint8 [H, W, 3] each, as the games show them.
          games: that show them; None each where there is none to ask.
          rngs: random numbers of each frame: of its bars, then of what is told beside it.

        Returns:
          frames uint8 [B, S, S, C]; {name: [B, ...]}, what is told beside them.
        """
        pairs = list(zip(frames, rngs, strict=True))
        prepared = np.stack([self.frame_format.with_bars(frame, rng) for frame, rng in pairs])
        told = [self.tell(game, rng) for game, rng in zip(games, rngs, strict=True)]
        return prepared, {name: np.stack([one[name] for one in told]) for name in told[0]}

    def trackers(self, number: int) -> list[Tracker]:
        """One for each of `number` games that begin; none where keypoints are not tracked."""
        return [Tracker() for _ in range(number * self.track_keypoints)]

    def step(
        self,
        frames,
        forced,
        state: LSTMState,
        trackers: Sequence[Tracker],
        beside: dict[str, np.ndarray] | None = None,
    ) -> Acted:
        """One step of B games.

        Args:
          frames: uint8 [B, S, S, C]. forced: int32 [B], actions to take, or GREEDY.
          state: after the step before. trackers: of these games, see `trackers`.
          beside: what is told beside the frames, see `see`.
        """
        if self.track_keypoints:
            return self.actor.step_tracked(frames, forced, state, trackers)
        told = (beside,) if beside else ()
        return self.actor.step(frames, forced, state, *told)

    @property
    def weights(self) -> dict:
        """{name: variable} of the network, as checkpoints name them."""
        return checkpoint.named_variables({"online": self.actor.network.weights})


def play_episodes(
    player: Player,
    task: Task,
    role: str,
    seed: int,
    number: int,
    film: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Episodes | None:
    """Plays whole games side by side, greedily, to their end or the time limit.

    Every game depends on (role, seed, its number) alone, and so does its noise.

    Args:
      player: who plays.
      task: the game.
      role: "validation" or "test".
      seed: of the games.
      number: E.
      film: whether to keep the first game's frames.
      stop: asked before every step; where it answers True, the games are broken off.

    Returns:
      What was played; None where it was broken off.
    """
    games = [task.make() for _ in range(number)]
    episodes = [begin(game, task, role, seed, e) for e, game in enumerate(games)]
    noise = [game_stream(role, seed, e) for e in range(number)]
    playing, shots = np.arange(number), []
    trackers = player.trackers(number)
    state = player.actor.network.initial_state(number)
    while len(playing):
        if stop():
            return None
        now = [episodes[i] for i in playing]
        rngs = [noise[i] for i in playing]
        frames, beside = player.see([one.frame for one in now], [one.game for one in now], rngs)
        forced = np.full(len(playing), GREEDY, np.int32)
        acted = player.step(frames, forced, state, trackers, beside)
        if film and playing[0] == 0:
            # A copy: the view would keep the frames of all games in memory.
            keypoints = Keypoints(*(part[0].numpy() for part in acted.keypoints))
            shots.append(Film(frames[0].copy(), keypoints))
        for i, action in zip(playing, acted.actions.numpy(), strict=True):
            episodes[i].step(int(action))
        going_on = np.array([not episodes[i].over for i in playing])
        playing, trackers = playing[going_on], list(itertools.compress(trackers, going_on))
        state = LSTMState(*(tf.boolean_mask(part, going_on) for part in acted.state))
    shown = tf.nest.map_structure(lambda *parts: np.stack(parts), *shots) if film else None
    return collect(episodes, shown)
