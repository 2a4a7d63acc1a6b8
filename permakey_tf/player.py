"""A trained agent as a player: from a game's frames to actions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from permakey_tf.envs.games import make_task
from permakey_tf.envs.play import Playable
from permakey_tf.errors import UserError, expect, whole
from permakey_tf.runs import checkpoint
from permakey_tf.runs.agent import AgentFolder
from permakey_tf.system.arrays import as_array
from permakey_tf.system.files import user_path
from permakey_tf.system.seeds import Stream, stream
from permakey_tf.training.acting import GREEDY, Player
from permakey_tf.training.agent import build_player
from permakey_tf.types import Keypoints


class Sight(NamedTuple):
    """What an agent saw and thought at one step.

    frame: uint8 [S, S, C], as the agent sees it: resized, with its bars.
    keypoints: float32 [K, 2] and [K], in the order that the network sees.
    q_values: float32 [A], the value of every action.
    """

    frame: np.ndarray
    keypoints: Keypoints
    q_values: np.ndarray


class AgentPlayer:
    """Plays greedily with the best checkpoint of an agent's run, in any loop.

    Example:
      player = AgentPlayer.load("runs/mspacman_permakey_gnn_seed0")
      player.reset()                      # before the first frame of every game
      action = player.act(frame)          # uint8 [H, W, 3] -> 0 to num_actions - 1

    Frames of any size are brought to the run's. Atari agents are trained on the maximum of the last
    two of four emulator frames: docs/agent.md has a loop that gives it. A lost life is no new game.

    Args:
      player: acts and sees, with trained weights.
      action_names: of the game, such as "NOOP" or "UPFIRE".
      seed: of the bars that are drawn where the player's frames have noise.

    Attributes:
      action_names: tuple of str; an action is an index into it. For Atari games it is the
        emulator's minimal action set, in its order, as of Gymnasium's `full_action_space=False`.
      last: Sight of the last `act`; None before the first one of a game.
    """

    def __init__(self, player: Player, action_names: Sequence[str], seed: int = 0):
        self._player, self._seed, self._games = player, whole(seed, 0, "seed"), 0
        self.action_names = tuple(action_names)
        self.reset()

    @classmethod
    def load(cls, run: str | Path, bars: bool = True, seed: int = 0) -> "AgentPlayer":
        """The agent of a run folder, with the weights of its best validation.

        Makes the run's game once, to ask for its actions.

        Args:
          run: folder of an agent's run.
          bars: draw bars on the frames where the run is noisy, new ones in every frame, as in
            training and tests; False where frames have them already, or are to have none.
          seed: of the bars.

        Raises:
          UserError: no such run, or one that is not validated yet; a game that cannot be made; an
            argument of another kind.
        """
        expect((bool, np.bool_), bars, "bars", "True or False")
        folder = AgentFolder.open(user_path(run))
        with make_task(folder.config.environment).lend() as [game]:
            action_names = game.action_names
        player = load_player(folder, len(action_names))
        if not bars:
            player = player._replace(frame_format=player.frame_format._replace(noise="none"))
        return cls(player, action_names, seed)

    @property
    def num_actions(self) -> int:
        """A."""
        return self._player.num_actions

    @property
    def noise(self) -> str:
        """Bars that are drawn: "none", "vertical", "horizontal" or "both"."""
        return self._player.frame_format.noise

    def check_actions(self, names: Sequence[str]) -> None:
        """Compares a game's actions with those of the game it was trained in.

        Args:
          names: of the game's actions, in their order. Environments that are no Atari games have
            numbers for names, of which only their count is known.

        Raises:
          UserError: they are others.
        """
        own, names = self.action_names, tuple(names)
        numbers = any(some[0].isdecimal() for some in (own, names))
        if len(own) != len(names) or (own != names and not numbers):
            raise UserError(
                f"the player has the actions {', '.join(own)}, the game {', '.join(names)}: was it "
                "trained in another one?",
                ["game"],
            )

    def reset(self, rng: np.random.Generator | None = None) -> None:
        """A new game begins: the LSTM forgets, and keypoints are tracked anew.

        Args:
          rng: draws this game's bars; None: the player's seed and the game's number decide.

        Raises:
          UserError: `rng` is no generator.
        """
        if rng is not None:
            expect(np.random.Generator, rng, "rng", "np.random.default_rng(seed) gives one")
        self._rng = rng or stream(self._seed, Stream.LIVE_GAME, self._games)
        self._games += 1
        self._state = self._player.actor.initial_state(1)
        self._trackers = self._player.trackers(1)
        self.last: Sight | None = None

    def act(self, frame: np.ndarray, game: Playable | None = None) -> int:
        """The action of the highest value.

        Args:
          frame: uint8 [H, W, 3], RGB (or grey: [H, W, 1] or [H, W]), the game's newest one.
          game: that shows it; for agents alone that are told of it beside the frame.

        Raises:
          UserError: `frame` is no such array.
        """
        frames, beside = self._player.see([_as_array(frame)], [game], [self._rng])
        forced = np.array([GREEDY], np.int32)
        acted, self._state = self._player.step(frames, forced, self._state, self._trackers, beside)
        keypoints = Keypoints(*(np.asarray(part[0]) for part in acted.keypoints))
        self.last = Sight(frames[0], keypoints, np.asarray(acted.q_values[0]))
        return int(acted.actions[0])


def _as_array(frame: Any) -> np.ndarray:
    """As `as_array`. Raises UserError for a tuple, as Gymnasium gives, too."""
    if isinstance(frame, tuple):
        raise UserError(
            "a frame must be uint8 [H, W, 3], not a tuple: of what reset() or step() of an "
            "environment give, act(...) takes the first, the observation"
        )
    return as_array(frame, "a frame")


def load_player(folder: AgentFolder, num_actions: int) -> Player:
    """Vision and network of a run, with the weights of its best validation.

    Raises:
      UserError: there are none yet, or they do not fit.
    """
    weights = checkpoint.load(folder.require_best())
    player = build_player(folder, num_actions)
    checkpoint.assign(player.weights, weights, folder.best_checkpoint)
    return player
