"""Which patches of feature maps: a random share of them, and what of each lies inside the map.

A frame's features are cut into a square grid of p x p patches. A patch's cell is its number in that
grid, row by row; over a batch of frames, the cells of the second follow those of the first.
"""

import numpy as np
import tensorflow as tf


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
