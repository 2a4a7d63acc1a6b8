"""Some patches of feature maps, gathered with their neighbours; the others are not touched.

A frame's features are cut into a square grid of p x p patches. A patch's cell is its number in that
grid, row by row; over a batch of frames, the cells of the second follow those of the first.
"""

import numpy as np
import tensorflow as tf

from permakey_tf.ops import spatial


def window_places(patch_size: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of a patch's features and of its neighbours', from `window_corners` on.

    Args:
      patch_size: p.
      side: of the grid, in patches.

    Returns:
      int32 [p*p], [8*p*p], in the order of `spatial.neighbourhood_kernel`.
    """
    steps = np.arange(3 * patch_size, dtype=np.int32)
    window = steps[:, None] * ((side + 2) * patch_size) + steps
    middle = np.zeros(window.shape, bool)
    middle[patch_size : 2 * patch_size, patch_size : 2 * patch_size] = True
    return window[middle], window[~middle]


def window_corners(cells, patch_size: int, side: int):
    """Where the 3p x 3p windows around patches begin in `feature_table`.

    Args:
      cells: int32 of any shape, a NumPy array or a tensor, over a batch of frames.
      patch_size: p.
      side: of the grid, in patches.

    Returns:
      int32, of the same shape.
    """
    width = (side + 2) * patch_size
    frame, cell = cells // side**2, cells % side**2
    row, column = cell // side, cell % side
    return (frame * width + row * patch_size) * width + column * patch_size


def feature_table(features, patch_size: int) -> tf.Tensor:
    """[B, H, W, C] -> [M, C], every place of `spatial.pad_for_neighbours` a row."""
    padded = spatial.pad_for_neighbours(features, patch_size)
    return tf.reshape(padded, [-1, padded.shape[-1]])


def gather_rows(table, places) -> tf.Tensor:
    """[M, C], int32 [N, k] -> [N, k * C], for each of N patches k rows side by side."""
    rows = tf.gather(table, tf.reshape(places, [-1]))
    return tf.reshape(rows, [-1, places.shape[1] * table.shape[1]])


def inside_of(cells, inside: np.ndarray):
    """Which positions of patches lie inside the map.

    Args:
      cells: int32 [N], over a batch of frames.
      inside: float32 [h, w, p*p], `spatial.patch_mask`.

    Returns:
      float32 [p*p] where all do, in every patch; else [N, p*p].
    """
    flat = inside.reshape(-1, inside.shape[-1])
    return flat[0] if flat.all() else tf.gather(flat, cells % len(flat))
