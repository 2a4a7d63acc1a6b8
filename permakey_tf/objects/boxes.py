"""Ground-truth boxes of a run of frames."""

from typing import NamedTuple

import numpy as np


class Objects(NamedTuple):
    """Ground-truth boxes of a run of frames, in pixels of the 210x160 frame.

    frame: int32 [M], index of the frame that holds the box, ascending.
    category: uint8 [M], index into `categories`.
    xywh: int16 [M, 4], left, top, width, height: the box is pixels x..x+w, y..y+h.
    categories: tuple of str, names of the object kinds.
    visible: bool [M], True where the object is drawn in the frame (visibility.py); None where that
      is not known.
    """

    frame: np.ndarray
    category: np.ndarray
    xywh: np.ndarray
    categories: tuple[str, ...]
    visible: np.ndarray | None = None
