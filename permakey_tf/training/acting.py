"""Playing with a trained or half-trained network: one tf.function from frames to actions."""

import itertools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from permakey_tf.data.preparation import FrameFormat
from permakey_tf.envs.play import Episode, Game, Playable, Task
from permakey_tf.models.frame_memory import FrameMemory
from permakey_tf.models.q_network import LSTMState, RecurrentQNetwork
from permakey_tf.models.vision import Vision
from permakey_tf.runs import checkpoint
from permakey_tf.system.graphs import traced, traced_once
from permakey_tf.system.seeds import episode_seed
from permakey_tf.tracking import Tracker
from permakey_tf.training.controls import Tell, tell_nothing
from permakey_tf.training.games import (
    GROUPS,
    Episodes,
    Film,
    WatchedEpisode,
    game_stream,
    join_episodes,
    joined,
)
from permakey_tf.types import Column, Keypoints

GREEDY = -1  # in the place of an action: the network's best one


class PlayState(NamedTuple):
    """What goes from one step of B games to the next: the LSTM's state, and what vision keeps."""

    lstm: LSTMState
    vision: FrameMemory

    def of(self, games: np.ndarray) -> "PlayState":
        """Of some of the games, bool [B]."""
        lstm = LSTMState(*(tf.boolean_mask(part, games) for part in self.lstm))
        return PlayState(lstm, self.vision.of(games))


class Acted(NamedTuple):
    """One step of B games.

    actions: int32 [B]. lstm: its state after the step. stored: {name: [B, ...]} of models.vision.
    keypoints: of the frames, in the order in which they are stored.
    q_values: float32 [B, A].
    """

    actions: tf.Tensor
    lstm: LSTMState
    stored: dict[str, tf.Tensor]
    keypoints: Keypoints
    q_values: tf.Tensor


def _columns_of(number: int | None, columns: dict[str, Column]) -> dict[str, tf.TensorSpec]:
    return {name: tf.TensorSpec([number, *c.shape], c.dtype) for name, c in columns.items()}


class Actor:
    """From frames to actions in one call, on the network's moving statistics.

    Args:
      network: Q-network.
      vision: frozen vision, see models.vision.
      frame_shape: (S, S, C).
      compiled: whether XLA compiles what follows the vision's convolutions, for single games. Other
        numbers of games would each have to be compiled anew.
    """

    def __init__(
        self,
        network: RecurrentQNetwork,
        vision: Vision,
        frame_shape: tuple[int, int, int],
        compiled: bool = False,
    ):
        self.network, self.vision, self._compiled = network, vision, compiled
        self._frame_shape = frame_shape
        # Between the last two the host decides on the order of the keypoints.
        self._functions = {single: self._make_functions(single) for single in (True, False)}

    def _make_functions(self, single: bool) -> tuple[Callable, Callable, Callable]:
        """Whole step, vision alone, action alone; for one game, or for any number."""
        number = 1 if single else None
        compiled = single and self._compiled
        look, act, whole = (
            traced(function, jit_compile=compiled)
            for function in (self.vision.look, self._reorder_and_act, self._look_and_act)
        )

        def step(frames, news, maps, beside, forced, lstm):
            sensed, maps = self.vision.sense(frames, news, maps)
            return whole(frames, sensed, beside, forced, lstm), maps

        def see(frames, news, maps, beside):
            sensed, maps = self.vision.sense(frames, news, maps)
            return *look(frames, sensed, beside), maps

        signature = self._signature(number)
        *seen, forced, lstm = signature
        return (
            traced_once(step, signature),
            traced_once(see, seen),
            traced_once(act, [*self._ordered(number), forced, lstm]),
        )

    def _signature(self, number: int | None) -> list:
        """Of frames, their news, maps, what is told beside frames, forced actions, LSTM's state."""

        def any_of(array, first=None):
            return tf.TensorSpec([first, *array.shape[1:]], array.dtype)

        blank = np.zeros([1, *self._frame_shape], np.uint8)
        state = self.initial_state(1)
        news = tf.nest.map_structure(any_of, self.vision.news(blank, state.vision))
        maps = tf.nest.map_structure(lambda one: any_of(one, number), state.vision.maps)
        lstm = tf.nest.map_structure(lambda one: any_of(one, number), state.lstm)
        beside = _columns_of(number, self.vision.beside)
        forced = tf.TensorSpec([number], tf.int32)
        return [any_of(blank, number), news, maps, beside, forced, lstm]

    def _ordered(self, number: int | None) -> list:
        """Of what is stored, keypoints and their order."""
        stored = _columns_of(number, self.vision.columns)
        positions = stored["positions"]
        confidence = tf.TensorSpec(positions.shape[:2], tf.float32)
        order = tf.TensorSpec(positions.shape[:2], tf.int64)
        return [stored, Keypoints(positions, confidence), order]

    def initial_state(self, number: int) -> PlayState:
        """Of games that begin."""
        return PlayState(self.network.initial_state(number), self.vision.initial_memory(number))

    def step(
        self, frames, forced, state: PlayState, beside: dict | None = None
    ) -> tuple[Acted, PlayState]:
        """One step of B games.

        Args:
          frames: uint8 [B, S, S, C], a NumPy array.
          forced: int32 [B], actions to take, or GREEDY.
          state: after the step before.
          beside: what the vision is told beside the frames.

        Returns:
          What was done, and the state after it.
        """
        step, _, _ = self._functions[len(frames) == 1]
        memory = state.vision
        news = self.vision.news(frames, memory)
        acted, maps = step(frames, news, memory.maps, beside or {}, forced, state.lstm)
        return acted, PlayState(acted.lstm, FrameMemory.after(frames, maps))

    def step_tracked(
        self, frames, forced, state: PlayState, trackers: Sequence[Tracker], beside=None
    ) -> tuple[Acted, PlayState]:
        """As `step`, with the keypoints in the order of each game's tracker, which moves on."""
        _, see, act = self._functions[len(frames) == 1]
        memory = state.vision
        news = self.vision.news(frames, memory)
        stored, keypoints, maps = see(frames, news, memory.maps, beside or {})
        found = zip(*(part.numpy() for part in keypoints), strict=True)
        orders = [
            tracker.order(Keypoints(*of_game))
            for tracker, of_game in zip(trackers, found, strict=True)
        ]
        acted = act(stored, keypoints, np.stack(orders), forced, state.lstm)
        return acted, PlayState(acted.lstm, FrameMemory.after(frames, maps))

    def _look_and_act(self, frames, sensed, beside, forced, lstm) -> Acted:
        return self._act(*self.vision.look(frames, sensed, beside), forced, lstm)

    def _reorder_and_act(self, stored, keypoints, orders, forced, lstm) -> Acted:
        keypoints = Keypoints(*(tf.gather(part, orders, batch_dims=1) for part in keypoints))
        return self._act(self.vision.reorder(stored, orders), keypoints, forced, lstm)

    def _act(self, stored, keypoints, forced, lstm) -> Acted:
        output = self.network(self.vision.prepare(stored), lstm, length=1)
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
        state: PlayState,
        trackers: Sequence[Tracker],
        beside: dict[str, np.ndarray] | None = None,
    ) -> tuple[Acted, PlayState]:
        """One step of B games.

        Args:
          frames: uint8 [B, S, S, C]. forced: int32 [B], actions to take, or GREEDY.
          state: after the step before. trackers: of these games, see `trackers`.
          beside: what is told beside the frames, see `see`.

        Returns:
          What was done, and the state after it.
        """
        if self.track_keypoints:
            return self.actor.step_tracked(frames, forced, state, trackers, beside)
        return self.actor.step(frames, forced, state, beside)

    @property
    def weights(self) -> dict:
        """{name: variable} of the network, as checkpoints name them."""
        return checkpoint.named_variables({"online": self.actor.network.named_weights})


def play_episodes(
    player: Player,
    task: Task,
    role: str,
    seed: int,
    number: int,
    film: bool = False,
    stop: Callable[[], bool] = lambda: False,
    kind: type[Episode] = WatchedEpisode,
) -> Episodes | None:
    """Plays whole games side by side, greedily, to their end or the time limit.

    How a game starts depends on (role, seed, its number) alone, and so does its noise. What the
    network says of it depends, in its last digits, on the games beside it. There are two groups,
    one of them played in a thread: the emulators of one, which hold Python's lock, run while the
    network looks at the frames of the other.

    Args:
      player: who plays.
      task: the game.
      role: "validation" or "test".
      seed: of the games.
      number: E.
      film: whether to keep the first game's frames.
      stop: asked before every step of a group, in its thread; where it answers True, the games are
        broken off.
      kind: of the episodes; `Episode` where nobody asks for hashes of their screens.

    Returns:
      What was played; None where it was broken off.
    """
    groups = [group.tolist() for group in np.array_split(np.arange(number), min(number, GROUPS))]
    broken_off = threading.Event()

    def play(games: list[Game], group: list[int]) -> Episodes | None:
        played = None
        try:
            episodes = [kind(games[e], episode_seed(role, seed, e), task.max_steps) for e in group]
            noise = [game_stream(role, seed, e) for e in group]
            filmed = film and group[0] == 0
            played = _play_group(
                player, episodes, noise, filmed, lambda: broken_off.is_set() or stop()
            )
        finally:
            if played is None:
                broken_off.set()
        return played

    with task.lend(number) as games, ThreadPoolExecutor(GROUPS) as pool:
        others = [pool.submit(play, games, group) for group in groups[1:]]
        parts = [play(games, groups[0]), *(one.result() for one in others)]
    return None if broken_off.is_set() else joined(parts)


def _play_group(player, episodes, noise, film, stop) -> Episodes | None:
    """Plays episodes, begun, in steps of all at once; noise: random numbers of each."""
    playing, shots = np.arange(len(episodes)), []
    trackers = player.trackers(len(episodes))
    state = player.actor.initial_state(len(episodes))
    while len(playing):
        if stop():
            return None
        now = [episodes[i] for i in playing]
        rngs = [noise[i] for i in playing]
        frames, beside = player.see([one.frame for one in now], [one.game for one in now], rngs)
        forced = np.full(len(playing), GREEDY, np.int32)
        acted, state = player.step(frames, forced, state, trackers, beside)
        if film and playing[0] == 0:
            # A copy: the view would keep the frames of all games in memory.
            keypoints = Keypoints(*(part[0].numpy() for part in acted.keypoints))
            shots.append(Film(frames[0].copy(), keypoints))
        for i, action in zip(playing, acted.actions.numpy(), strict=True):
            episodes[i].step(int(action))
        going_on = np.array([not episodes[i].over for i in playing])
        playing, trackers = playing[going_on], list(itertools.compress(trackers, going_on))
        if not going_on.all():
            state = state.of(going_on)
    shown = tf.nest.map_structure(lambda *parts: np.stack(parts), *shots) if film else None
    return join_episodes(episodes, shown)
