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
    window = window_steps(3 * patch_size, (side + 2) * patch_size)
    return split_window(window, patch_size)


def window_steps(size: int, width: int) -> np.ndarray:
    """int32 [size, size]: how many rows of a table the positions of a window lie behind its first.

    Args:
      size: of the window's sides.
      width: of the map that the table has every place of.
    """
    steps = np.arange(size, dtype=np.int32)
    return steps[:, None] * width + steps


def split_window(window: np.ndarray, patch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """[3p, 3p] -> [p*p], [8*p*p]: the patch in its middle, and those around it in the order of
    `spatial.neighbourhood_kernel`."""
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


class RandomPatches:
    """A random share of the patches of every frame, of which means over all are estimated.

    Whole patches and those that the border of the map cuts are drawn apart, the same number in
    every frame, at least one of each, and none twice. So `weights` make any sum over a frame's
    patches unbiased.

    Args:
      inside: float32 [h, w, p*p], `spatial.patch_mask`.
      share: of the patches, in (0, 1].

    Attributes:
      num_whole: how many of a frame's n patches are whole: the first ones. None: all are.
      weights: float32 [n], how many patches of the frame each of them stands for.
    """

    def __init__(self, inside: np.ndarray, share: float):
        whole = inside.all(axis=-1).reshape(-1)
        strata = [np.flatnonzero(whole), np.flatnonzero(~whole)]
        self._strata = [cells.astype(np.int32) for cells in strata if len(cells)]
        self._numbers = [max(round(share * len(cells)), 1) for cells in self._strata]
        self.num_whole = self._numbers[0] if len(self._numbers) == 2 else None
        ratios = [len(c) / n for c, n in zip(self._strata, self._numbers, strict=True)]
        self.weights = np.repeat(ratios, self._numbers).astype(np.float32)

    def draw(self, num_frames, seed) -> tf.Tensor:
        """Cells of each frame's grid.

        Args:
          num_frames: B, int or int32 [].
          seed: int [2]. Frame b's are a function of it and of b, whatever B is.

        Returns:
          int32 [B, n], whole patches first.
        """
        drawn = []
        for number, (cells, chosen) in enumerate(zip(self._strata, self._numbers, strict=True)):
            own = tf.random.experimental.stateless_fold_in(seed, number)
            bits = tf.random.stateless_uniform([num_frames, len(cells)], own, None, None, tf.int32)
            drawn.append(tf.gather(cells, tf.math.top_k(bits, chosen, sorted=False).indices))
        return tf.concat(drawn, axis=1)
