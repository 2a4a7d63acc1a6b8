"""Ground-truth boxes of a game's objects, read from the emulator's memory.

Which byte of memory holds what was worked out by OCAtari (MIT licence); its RAM readers are called
here, not copied. Two things stand between them and a plain import:

- OCAtari as a whole needs pygame, OpenCV and scikit-image, and asks for numpy 1. Its RAM readers
  need none of these, so they alone are loaded, as modules of a private placeholder package. The
  name `ocatari` is never imported, and stays free for a program that has the whole of it.
- The readers count on numpy 1's arithmetic of uint8 scalars. On numpy 2 they raise, or give wrong
  boxes without a word. So they are handed `_Byte`s, which calculate as numpy 1 did.
"""

import importlib
import importlib.machinery
import importlib.metadata
import importlib.util
import pathlib
import sys
import types
from typing import Any

import numpy as np

from permakey_tf.configs.frames import canonical_game
from permakey_tf.errors import UserError
from permakey_tf.objects.categories import GAMES
from permakey_tf.types import Box

OCATARI_VERSION = "2.2.1"
# Without --no-deps, pip would put numpy 1 in numpy 2's place.
INSTALL_COMMAND = f"pip install --no-deps ocatari=={OCATARI_VERSION}"

RAM_SIZE = 128  # bytes, the whole memory of an Atari 2600


class ObjectReader:
    """Reads the boxes of one game's objects, frame by frame.

    Readers carry state from frame to frame (which objects exist, where a bullet was), so every
    frame of an episode must be read, once and in order, beginning with the frame of the reset.
    They are OCAtari's, faults included. One touches measurements: in MsPacman and SpaceInvaders a
    new object's first box is a constant (a ghost's at 0, 0), on an episode's first frame and
    wherever else one appears.

    Attributes:
      game: canonical name of the game.
      reliability: how far the boxes can be trusted; see `categories.GameObjects`.
      categories: every category name that `read` can give.
    """

    def __init__(self, game: str):
        """Makes a reader that is ready for an episode's first frame.

        Args:
          game: one of `GAMES`, in any spelling that `canonical_game` understands.

        Raises:
          UserError: there is no reader for the game; the package ocatari is missing, or of another
            version than the one these boxes were checked with.
        """
        self.game = canonical_game(game)
        if self.game not in GAMES:
            raise UserError(
                f"no ground-truth boxes for the game {game!r}: they exist for {', '.join(GAMES)}"
            )
        self.reliability = GAMES[self.game].reliability
        self.categories = GAMES[self.game].categories
        self._reader = _load_reader(self.game)
        self.reset()

    def reset(self) -> None:
        """Forgets the episode; call it before reading an episode's first frame."""
        self._objects = self._reader._init_objects_ram(hud=False)

    def read(self, ram: np.ndarray) -> list[Box]:
        """The boxes of the frame that the emulator has just drawn.

        Args:
          ram: uint8 [128], the emulator's memory after the agent's step.

        Returns:
          A list of (category, x, y, w, h): left, top, width and height in pixels of the 210x160
          frame, in OCAtari's order. Scores and lives are left out. A box can reach past the
          frame's edge or lie outside it.

        Raises:
          ValueError: `ram` is not uint8 [128].
          AttributeError, IndexError: the memory holds what OCAtari's reader does not know; seen
            with made-up memory only, in Frostbite and SpaceInvaders.
        """
        if ram.shape != (RAM_SIZE,) or ram.dtype != np.uint8:
            raise ValueError(f"ram must be uint8 [{RAM_SIZE}], got {ram.dtype} {list(ram.shape)}")
        memory = [_BYTES[value] for value in ram.tolist()]
        self._reader._detect_objects_ram(self._objects, memory, hud=False)
        boxes = []
        for item in self._objects:
            if item:  # false for empty slots and for what has been hidden
                (x, y), (w, h) = item.xy, item.wh
                boxes.append((item.category, int(x), int(y), int(w), int(h)))
        return boxes


# ------------------------------------------------------------------------------ loading a reader

_PACKAGE = f"{__package__}._ocatari_ram"


def _load_reader(game: str) -> types.ModuleType:
    """OCAtari's RAM module of a game, imported without running any `__init__` of OCAtari."""
    folder = _ram_folder()
    if _PACKAGE not in sys.modules:
        _register_placeholder(folder)
    return importlib.import_module(f"{_PACKAGE}.{game}")


def _ram_folder() -> pathlib.Path:
    spec = importlib.util.find_spec("ocatari")  # looks a top-level package up, does not import it
    versions = [found.version for found in importlib.metadata.distributions(name="ocatari")]
    if spec is None or not spec.submodule_search_locations or not versions:
        raise UserError(
            f"ground-truth boxes need the package ocatari, which is missing: {INSTALL_COMMAND}"
        )
    if versions[0] != OCATARI_VERSION:
        raise UserError(
            f"ground-truth boxes need ocatari {OCATARI_VERSION}, not {versions[0]}:"
            f" {INSTALL_COMMAND}"
        )
    return pathlib.Path(spec.submodule_search_locations[0]) / "ram"


def _register_placeholder(folder: pathlib.Path) -> None:
    """Registers an empty package, private to this module, whose modules are the files in `folder`.

    It has to stay in `sys.modules`: the readers import each other relative to their package.
    """
    spec = importlib.machinery.ModuleSpec(_PACKAGE, loader=None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    sys.modules[_PACKAGE] = importlib.util.module_from_spec(spec)

    # OCAtari's own `utils` imports its image processing for the sake of one function.
    utils = types.ModuleType(f"{_PACKAGE}.utils")
    vars(utils)["match_objects"] = _fill_slots
    sys.modules[utils.__name__] = utils


def _fill_slots(objects: list, boxes: list, start: int, num_slots: int, make_object: Any) -> None:
    """Stands in for OCAtari's `match_objects`, which only Enduro's reader calls.

    The original puts each box into the slot of the nearest object of the frame before. That decides
    the order of the cars in the list, not their boxes.
    """
    no_object = sys.modules[f"{_PACKAGE}.game_objects"].NoObject
    empty = [no_object() for _ in range(num_slots - len(boxes))]
    objects[start : start + num_slots] = [make_object(*box) for box in boxes] + empty


# ------------------------------------------------------------------------- numpy 1's arithmetic


def _modulo_256(name: str) -> Any:
    """int's method `name`, but modulo 256 and a `_Byte` where the other side is a `_Byte` too."""
    of_ints = getattr(int, name)

    def method(self: int, other: Any) -> Any:
        result = of_ints(self, other)
        return _BYTES[result & 255] if type(other) is _Byte else result

    return method


class _Byte(int):
    """One byte of memory that calculates as a uint8 scalar of numpy 1 did.

    Two bytes give a byte, modulo 256, and so do `-` and `~` of one; a byte and a Python int, on
    either side, give an int. Other than in numpy, division by zero raises.
    """

    __slots__ = ()

    __add__ = _modulo_256("__add__")
    __sub__ = _modulo_256("__sub__")
    __mul__ = _modulo_256("__mul__")
    __floordiv__ = _modulo_256("__floordiv__")
    __mod__ = _modulo_256("__mod__")
    __pow__ = _modulo_256("__pow__")
    __lshift__ = _modulo_256("__lshift__")
    __rshift__ = _modulo_256("__rshift__")
    __and__ = _modulo_256("__and__")
    __or__ = _modulo_256("__or__")
    __xor__ = _modulo_256("__xor__")

    def __divmod__(self, other: Any) -> tuple[int, int]:
        return self // other, self % other

    def __neg__(self) -> "_Byte":
        return _BYTES[-int(self) & 255]

    def __invert__(self) -> "_Byte":
        return _BYTES[~int(self) & 255]

    def __pos__(self) -> "_Byte":
        return self

    def __abs__(self) -> "_Byte":
        return self


_BYTES = tuple(_Byte(value) for value in range(256))
