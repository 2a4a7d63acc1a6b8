"""Atari games that tell which objects they show."""

import numpy as np

from permakey_tf.configs.frames import canonical_game
from permakey_tf.envs.atari import AtariGame
from permakey_tf.envs.play import Game, GameStep
from permakey_tf.objects.boxes import Objects, boxes_of_one_frame
from permakey_tf.objects.categories import GAMES
from permakey_tf.objects.reader import ObjectReader
from permakey_tf.objects.visibility import VisibilityTest


class GameWithObjects(Game):
    """A game whose memory is read with every frame, as the reader needs it.

    Args:
      game: is played through this one alone from now on.

    Raises:
      UserError: the game's boxes cannot be read, see `ObjectReader`.

    Attributes:
      name: canonical name of the game.
    """

    def __init__(self, game: AtariGame):
        self.name = canonical_game(game.rom)
        self.num_actions, self.action_names = game.num_actions, game.action_names
        self._game, self._reader = game, ObjectReader(self.name)
        self._is_drawn = VisibilityTest(self.name)

    def reset(self, seed: np.random.SeedSequence) -> np.ndarray:
        frame = self._game.reset(seed)
        self._reader.reset()
        self._read(frame)
        return frame

    def step(self, action: int) -> GameStep:
        step = self._game.step(action)
        self._read(step.frame)
        return step

    def _read(self, frame: np.ndarray):
        self._frame, self._boxes = frame, self._reader.read(self._game.ram)

    def characters(self) -> Objects:
        """The boxes of the newest frame's characters, with which of them are drawn in it."""
        kinds = GAMES[self.name].characters
        objects = boxes_of_one_frame([box for box in self._boxes if box[0] in kinds])
        return objects.replace(visible=self._is_drawn(self._frame[None], objects))
