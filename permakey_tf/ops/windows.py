"""Square windows of maps at chosen places: those at all other places are not touched."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf


class Bordered(NamedTuple):
    """A square map with zeros around it, so that windows at its border are whole.

    side: of the map. before: zeros above and to the left. after: zeros below and to the right.
    """

    side: int
    before: int = 0
    after: int = 0

    @property
    def width(self) -> int:
        """Of a side with its zeros."""
        return self.before + self.side + self.after

    def places(self, frame, row, column):
        """Of positions in the flattened maps of B frames; row and column may be in the zeros."""
        rows = frame * self.width + self.before + row
        return rows * self.width + self.before + column

    def put(self, maps) -> tf.Tensor:
        """[B, side, side, C] -> [B, width, width, C], of the same type."""
        margin = [self.before, self.after]
        return tf.pad(maps, [[0, 0], margin, margin, [0, 0]])

    def take(self, bordered) -> tf.Tensor:
        """The map alone: the inverse of `put`."""
        inside = slice(self.before, self.before + self.side)
        return bordered[:, inside, inside]


class Windows(NamedTuple):
    """Square windows of a map, one for every cell of the map that is computed from them.

    source: what they are cut from. size: of their sides. stride: from each to the next. padding:
    how far the first begins before the map.
    """

    source: Bordered
    size: int
    stride: int
    padding: int

    def corners(self, frame, row, column):
        """Places of the corners of cells' windows, in the flattened source."""
        top, left = (cell * self.stride - self.padding for cell in (row, column))
        return self.source.places(frame, top, left)

    @property
    def steps(self) -> np.ndarray:
        """int32 [size, size]: how far a window's positions are behind its corner."""
        steps = np.arange(self.size, dtype=np.int32)
        return steps[:, None] * self.source.width + steps


def patch_windows(side: int, patch_size: int) -> Windows:
    """A patch of a map and the eight around it, 3p x 3p, for every patch.

    Args:
      side: of the map. Where p does not divide it, zeros fill up the last patches.
      patch_size: p.
    """
    source = Bordered(side, patch_size, patch_size + -side % patch_size)
    return Windows(source, 3 * patch_size, patch_size, patch_size)


def split_window(window: np.ndarray, patch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """[3p, 3p] -> [p*p], [8*p*p]: the patch in its middle, and those around it in the order of
    `spatial.neighbourhood_kernel`."""
    middle = np.zeros(window.shape, bool)
    middle[patch_size : 2 * patch_size, patch_size : 2 * patch_size] = True
    return window[middle], window[~middle]


def gather(maps, places) -> tf.Tensor:
    """[B, W, W, C], int32 [N, k] -> [N, k * C]: for each of N windows k places side by side."""
    table = tf.reshape(maps, [-1, maps.shape[-1]])
    rows = tf.gather(table, tf.reshape(places, [-1]))
    return tf.reshape(rows, [-1, places.shape[1] * table.shape[1]])


def scatter(old, places, values) -> tf.Tensor:
    """[B, W, W, ...], int32 [N], [N, ...] -> the old maps with new values at some places."""
    flat = tf.reshape(old, [-1, *values.shape[1:]])
    return tf.reshape(tf.tensor_scatter_nd_update(flat, places[:, None], values), tf.shape(old))
