"""The characters of one frame as K points in a fixed order: what perfect keypoints would be."""

import numpy as np

from permakey_tf.objects.boxes import Objects
from permakey_tf.objects.categories import GAMES
from permakey_tf.objects.visibility import FRAME_SHAPE
from permakey_tf.types import Keypoints

NOWHERE = (-1.0, -1.0)  # of unused points: the top left corner, which is the middle of no object


def object_points(game: str, objects: Objects, number: int, keep_aspect: bool = False) -> Keypoints:
    """The middles of a frame's drawn characters.

    Points come kind by kind, in the order of `GameObjects.characters`, and of one kind in the
    reader's order. A character that is not drawn keeps its place, which is unused then, and so does
    a kind of which there is none. Where there are more places than `number`, unused ones are left
    out first, the last one first; then the last characters.

    Args:
      game: canonical name.
      objects: boxes of one frame, in the reader's order, with `visible`.
      number: K.
      keep_aspect: whether frames are padded to a square, see `data.preparation.prepare_frame`.

    Returns:
      `centers_yx` float32 [K, 2], and as `confidence` float32 [K] 1 on a character; an unused point
      is at NOWHERE, with 0.
    """
    places = [place for kind in GAMES[game].characters for place in _places(objects, kind)]
    unused = [index for index, place in enumerate(places) if place < 0]
    excess = min(max(len(places) - number, 0), len(unused))
    for index in reversed(unused[len(unused) - excess :]):
        del places[index]
    places += [-1] * (number - len(places))
    chosen = np.array(places[:number])
    # The last row is that of -1.
    centers = np.concatenate([_middles_yx(objects, keep_aspect), [NOWHERE]])[chosen]
    return Keypoints(centers.astype(np.float32), (chosen >= 0).astype(np.float32))


def _places(objects: Objects, kind: str) -> list[int]:
    """Which boxes are of a kind, -1 for one that is known not to be drawn; a single -1 where there
    is none."""
    if kind not in objects.categories:
        return [-1]
    boxes = np.flatnonzero(objects.category == objects.categories.index(kind))
    if objects.visible is not None:
        boxes = np.where(objects.visible[boxes], boxes, -1)
    return boxes.tolist() or [-1]


def _middles_yx(objects: Objects, keep_aspect: bool) -> np.ndarray:
    """float64 [M, 2]: the boxes' middles, (y, x) in [-1, 1]."""
    middles = objects.xywh[:, 1::-1] + objects.xywh[:, :1:-1] / 2
    sides = np.array(FRAME_SHAPE)
    if keep_aspect:
        middles, sides = middles + (sides.max() - sides) // 2, sides.max()
    return middles / (sides - 1) * 2 - 1
