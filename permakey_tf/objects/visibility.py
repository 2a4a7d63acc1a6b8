"""Which boxes are drawn in the frame: not all that is in the emulator's memory is on the screen.

MsPacman's ghosts take turns (the console has too few sprites for all of them in one row of pixels),
Frostbite's drowned player is gone before its box, the readers make up a new object's first box, and
sharks wait outside the frame. A box counts as drawn by what its pixels show; which of three rules
decides, depends on the kind of object:

- Stand-out (the rule where nothing else is said): enough pixels in the box have a colour that its
  surroundings have not.
- Sprites, where objects of one kind overlap, or lie beside others of their colour: enough pixels
  show the colour of this one.
- Steady, for what is part of the background or of the display, and does not flicker: drawn wherever
  the memory says so.

docs/quality.md says how well they agree with boxes labelled by looking.
"""

import types
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from permakey_tf.configs.frames import canonical_game
from permakey_tf.errors import UserError
from permakey_tf.objects.boxes import Objects
from permakey_tf.system.arrays import rank_among_equals

FRAME_SHAPE = (210, 160)  # pixels, the emulator's frame

MIN_SHARE = 0.1  # of a box's pixels must show the object
MIN_SHARED_COLOR = 1 / 3  # where any of several objects may have that colour
_COMMON = 0.25  # a colour with this share of the surroundings belongs to the background
_CHUNK = 256  # frames looked at together: bounds memory
_OUTSIDE = 1 << 24  # the "colour" of all that lies outside the frame
_MAX_COLORS = 1 << 16  # that are told apart; the console has 128, and maxima of two of them
_OUTSIDE_NUMBER = 1  # 0 is for colours that were not seen yet
_MAX_COUNTS = 1 << 24  # of boxes times colours, counted at once: bounds memory


class StandOut(NamedTuple):
    """Pixels of the box whose colour its surroundings have not.

    The surroundings are the pixels farther than `near` and not farther than `far` from the box.
    `near` leaves room for sprites that reach over their box. A pixel belongs to the background
    where a quarter of all surrounding pixels, or any to its left or right in the same row, have its
    colour: backgrounds are often made of horizontal stripes.
    """

    near: int = 2
    far: int = 6


class Sprites(NamedTuple):
    """Pixels of the colour of this very object.

    A frame is the maximum of two: where a sprite of colour c is drawn in one of them only, each
    channel is the larger of c's and of what the other frame shows there. So a pixel shows c where
    no channel is below c's and at least one is equal.

    colors: RGB of the first, second, ... object of the kind, in the reader's order.
    shared: RGB that each of them can have for a while.
    """

    colors: tuple[tuple[int, int, int], ...]
    shared: tuple[tuple[int, int, int], ...] = ()


class Steady(NamedTuple):
    """Drawn wherever any part of the box lies inside the frame."""


_Rule = StandOut | Sprites | Steady

_GHOSTS = Sprites(
    colors=((180, 122, 48), (84, 184, 153), (198, 89, 179), (200, 72, 72)),
    shared=((66, 114, 194), (214, 214, 214)),  # edible: blue, and flashing white towards the end
)
_STEADY_ROOM = "Wall Ladder Platform Conveyer_Belt Rope Key_HUD Amulet_HUD Torch_HUD Sword_HUD"
_RULES: Mapping[str, Mapping[str, _Rule]] = types.MappingProxyType(
    {
        # A pill's colour is that of its neighbours four pixels off, so only what touches it counts.
        "mspacman": {"Ghost": _GHOSTS, "PowerPill": StandOut(near=0, far=1), "Pill": Steady()},
        # A missile has the colour of the player beside it.
        "seaquest": {
            "OxygenBar": Steady(),
            "CollectedDiver": Steady(),
            "PlayerMissile": Sprites(colors=((187, 187, 53),)),
        },
        "spaceinvaders": {"Bullet": Sprites(colors=((142, 142, 142),))},
        "montezumarevenge": {name: Steady() for name in _STEADY_ROOM.split()},
        "enduro": {"Player": Steady()},
        "battlezone": {name: Steady() for name in ("Player", "Crosshair", "Radar")},
    }
)


class VisibilityTest:
    """Tells which boxes of one game are drawn; a frame's answer depends on that frame alone.

    Example:
      objects = objects.replace(visible=VisibilityTest("mspacman")(frames, objects))
    """

    def __init__(self, game: str):
        """Args: game: any spelling; a game without rules of its own has the stand-out rule."""
        self._rules = _RULES.get(canonical_game(game), {})
        # Colours are numbered as they are seen, so that they can be counted. The numbers of all
        # 2^24 would be 32 MB, of which the system only provides the pages that are touched.
        self._numbers = np.zeros(_OUTSIDE + 1, np.uint16)
        self._numbers[_OUTSIDE] = _OUTSIDE_NUMBER
        self._colors = [(-1, -1, -1)] * 2  # by number

    def __call__(self, frames: np.ndarray, objects: Objects) -> np.ndarray:
        """Which boxes are drawn.

        Args:
          frames: uint8 [N, 210, 160, 3], RGB as the emulator gives it (not resized).
          objects: boxes of these frames.

        Returns:
          bool [M].

        Raises:
          ValueError: frames of another shape or type.
          UserError: frames with too many colours to be the emulator's.
        """
        if frames.dtype != np.uint8 or frames.shape[1:] != (*FRAME_SHAPE, 3):
            raise ValueError(
                f"frames must be uint8 [N, 210, 160, 3], not {frames.dtype} {list(frames.shape)}"
            )
        visible = np.zeros(len(objects.frame), bool)
        # Among the boxes of one frame and category.
        rank = rank_among_equals(objects.frame.astype(np.int64) * 256 + objects.category)
        for start in range(0, len(frames), _CHUNK):
            first, last = np.searchsorted(objects.frame, (start, start + _CHUNK))
            if first == last:
                continue
            pixels = frames[start : start + _CHUNK]
            for chosen, rule in self._by_rule_and_size(objects, first, last):
                xywh, frame = objects.xywh[chosen].astype(np.int64), objects.frame[chosen] - start
                visible[chosen] = self._drawn(pixels, frame, xywh, rule, rank[chosen])
        return visible

    def _by_rule_and_size(
        self, objects: Objects, first: int, last: int
    ) -> Iterator[tuple[np.ndarray, _Rule]]:
        """Yields (indices of boxes of one category and size, rule); empty boxes are left out."""
        sizes = objects.xywh[first:last, 2:].astype(np.int64)
        keys = (objects.category[first:last].astype(np.int64) << 32) + (sizes[:, 0] << 16)
        keys += sizes[:, 1]
        order = np.argsort(keys, kind="stable")
        order = order[(sizes[order] > 0).all(1)]
        cuts = np.flatnonzero(np.diff(keys[order])) + 1
        for group in np.split(order, cuts) if len(order) else ():
            name = objects.categories[objects.category[first + group[0]]]
            yield first + group, self._rules.get(name, StandOut())

    def _drawn(
        self,
        frames: np.ndarray,
        frame: np.ndarray,
        xywh: np.ndarray,
        rule: _Rule,
        rank: np.ndarray,
    ) -> np.ndarray:
        """bool [m], for boxes of one size."""
        if isinstance(rule, Steady):
            x, y, w, h = xywh.T
            return (x < FRAME_SHAPE[1]) & (x + w > 0) & (y < FRAME_SHAPE[0]) & (y + h > 0)
        area = xywh[0, 2] * xywh[0, 3]
        if isinstance(rule, StandOut):
            windows = self._numbered(_windows(frames, frame, xywh, rule.far))
            colors = len(self._colors)
            size = max(_MAX_COUNTS // colors, 1)
            parts = (windows[first : first + size] for first in range(0, len(windows), size))
            shown = np.concatenate([_standing_out(part, rule, colors) for part in parts])
            return shown >= MIN_SHARE * area
        boxes = self._numbered(_windows(frames, frame, xywh, 0))
        own = np.stack([self._shows([color])[boxes].sum((1, 2)) for color in rule.colors])
        own = own[rank % len(rule.colors), np.arange(len(rank))]
        shared = self._shows(rule.shared)[boxes].sum((1, 2))
        return (own >= MIN_SHARE * area) | (shared >= MIN_SHARED_COLOR * area)

    def _shows(self, colors: Sequence[tuple[int, int, int]]) -> np.ndarray:
        """bool [number of colours]: which can be the maximum of one of `colors` and another."""
        seen = np.array(self._colors)[:, None]  # [n, 1, 3]
        wanted = np.array(colors).reshape(1, -1, 3)
        return ((seen >= wanted).all(-1) & (seen == wanted).any(-1)).any(1)

    def _numbered(self, colors: np.ndarray) -> np.ndarray:
        """uint16, of the same shape: the number of each colour."""
        numbers = self._numbers[colors]
        if not numbers.all():
            new = np.unique(colors[numbers == 0]).tolist()
            if len(self._colors) + len(new) > _MAX_COLORS:
                raise UserError(
                    f"more than {_MAX_COLORS:,} colours: which objects are drawn can only be told "
                    "from the emulator's own frames, not from compressed or scaled ones; count all "
                    "objects with visible_only=false",
                    ["visible_only"],
                )
            for color in new:
                self._numbers[color] = len(self._colors)
                self._colors.append((color & 255, color >> 8 & 255, color >> 16))
            numbers = self._numbers[colors]
        return numbers


def _windows(frames: np.ndarray, frame: np.ndarray, xywh: np.ndarray, margin: int) -> np.ndarray:
    """Boxes of one size and what is around them.

    Returns:
      uint32 [m, h + 2 margin, w + 2 margin]: red + 256 green + 65536 blue, or _OUTSIDE.
    """
    (x, y), (w, h), (height, width) = xywh.T[:2], xywh[0, 2:], FRAME_SHAPE
    rows = (y[:, None] + np.arange(-margin, h + margin))[:, :, None]
    columns = (x[:, None] + np.arange(-margin, w + margin))[:, None, :]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    index = (frame.astype(np.int64)[:, None, None] * height + rows) * width + columns
    colors = np.take(frames.reshape(-1, 3), np.where(inside, index, 0), axis=0).astype(np.uint32)
    packed = colors[..., 0] | colors[..., 1] << 8 | colors[..., 2] << 16
    return np.where(inside, packed, _OUTSIDE)


def _standing_out(windows: np.ndarray, rule: StandOut, num_colors: int) -> np.ndarray:
    """int [m]: pixels of the boxes that their surroundings do not explain.

    Args:
      windows: [m, h + 2 far, w + 2 far], numbers of colours.
    """
    near, far = rule
    length, height, width = windows.shape
    around = np.ones((height, width), bool)
    around[far - near : height - far + near, far - near : width - far + near] = False
    keys = windows[:, around] + num_colors * np.arange(length)[:, None]
    counts = np.bincount(keys.ravel(), minlength=length * num_colors)
    counts = counts.reshape(length, num_colors)
    counts[:, _OUTSIDE_NUMBER] = 0
    common = counts >= _COMMON * counts.sum(1, keepdims=True)
    common[:, _OUTSIDE_NUMBER] = True
    box = windows[:, far : height - far, far : width - far]
    numbers = box.reshape(length, -1).astype(np.int64)
    explained = np.take_along_axis(common, numbers, 1).reshape(box.shape)
    rows = windows[:, far : height - far]
    for column in (*range(far - near), *range(width - far + near, width)):
        explained |= box == rows[:, :, column, None]
    return (~explained).sum((1, 2))
