"""Error maps of a game's next frame: what cannot have changed since the last one is kept.

Consecutive frames of a game are equal but for a few places, and an error depends on the pixels near
it alone. So the LSPN, most of the cost of finding keypoints, runs only where one of these pixels
has changed. What comes out is the error map of the frame, to the rounding of float32.
"""

import functools
from typing import Any, NamedTuple

import cv2
import numpy as np
import tensorflow as tf

from permakey_tf.configs.keypoints import LSPNConfig, Stack
from permakey_tf.models.lspn import LSPN
from permakey_tf.ops import losses, spatial
from permakey_tf.ops.patches import (
    feature_table,
    gather_rows,
    inside_of,
    window_corners,
    window_places,
)

# Numbers of patches are rounded up to a multiple of this: each new shape costs the matrix library
# more than a few rows.
_ROWS = 64


class ErrorMemory(NamedTuple):
    """The last frames of B games, as the host and the device need them.

    known: bool [B], False where a game's first frame is still to come.
    frames: uint8 [B, S, S, C], NumPy arrays both.
    maps: a tensor float32 [B, h, w] for each error map, not normalised.
    """

    known: np.ndarray
    frames: np.ndarray
    maps: tuple[tf.Tensor, ...]

    def of(self, games: np.ndarray) -> "ErrorMemory":
        """Of some of the games, bool [B]."""
        maps = tuple(tf.boolean_mask(one, games) for one in self.maps)
        return ErrorMemory(self.known[games], self.frames[games], maps)


class Patches(NamedTuple):
    """The N patches of an error map that have to be predicted anew, N a multiple of 64.

    cells: int32 [N], their places in the flattened maps [B, h, w].
    targets: int32 [N, p*p], places of their features in `spatial.pad_for_neighbours`, flattened.
    neighbours: int32 [N, 8*p*p], those of the eight patches around them, in the order of
      `spatial.neighbourhood_kernel`.
    """

    cells: Any
    targets: Any
    neighbours: Any


class ReceptiveField(NamedTuple):
    """Pixels along a side of the frame that the prediction of patch i depends on, and its target:
    `size` of them from i * stride - before on."""

    before: int
    size: int
    stride: int


def receptive_field(stack: Stack, layer: int, patch_size: int, side: int) -> ReceptiveField:
    """Of a patch of a layer's features, and the eight patches around it, in frames of a side."""
    sides = [side]
    for stride in stack.strides[:layer]:
        sides.append(-(-sides[-1] // stride))
    first, last, step = -patch_size, 2 * patch_size - 1, patch_size
    for number in reversed(range(layer + 1)):
        kernel, stride = stack.kernel_sizes[number], stack.strides[number]
        outputs = -(-sides[number] // stride)
        padding = max((outputs - 1) * stride + kernel - sides[number], 0) // 2
        first, last = first * stride - padding, last * stride - padding + kernel - 1
        step *= stride
    return ReceptiveField(-first, last - first + 1, step)


class RememberedErrors:
    """Brings the error map of one layer up to date.

    Args:
      lspn: the layer's trained network.
      layer: its number.
      config: settings of the LSPN.
      stack: of the encoder that features come from.
      image_size: S.
    """

    def __init__(self, lspn: LSPN, layer: int, config: LSPNConfig, stack: Stack, image_size: int):
        self._lspn, self._config, self._image_size = lspn, config, image_size
        self._field = receptive_field(stack, layer, config.patch_size, image_size)
        feature_side = image_size // stack.stride(layer)
        self.side = -(-feature_side // config.patch_size)  # of the map
        self._inside = spatial.patch_mask(feature_side, feature_side, config.patch_size)
        self._targets, self._neighbours = window_places(config.patch_size, self.side)

    def changed_patches(self, changed: np.ndarray) -> Patches:
        """The patches that depend on a changed pixel, found on the host.

        Args:
          changed: bool [B, S, S].
        """
        flags = np.stack([self._depends(one) for one in changed])
        cells = np.flatnonzero(flags).astype(np.int32)
        lacking = max(-(-len(cells) // _ROWS), 1) * _ROWS - len(cells)
        cells = np.pad(cells, (0, lacking))  # the first patch of all fills them up
        corners = window_corners(cells, self._config.patch_size, self.side)[:, None]
        return Patches(cells, corners + self._targets, corners + self._neighbours)

    def _depends(self, changed):
        """bool [S, S] -> bool [h, w]: whether a pixel in a patch's receptive field has changed."""
        before, size, stride = self._field
        rows = np.arange(self.side) * stride - before + size // 2  # middles of the fields
        reach = max(-rows[0], rows[-1] - self._image_size + 1, 0)
        padded = np.pad(changed.view(np.uint8), reach)
        spread = cv2.dilate(padded, np.ones((size, size), np.uint8))
        return spread[np.ix_(rows + reach, rows + reach)] > 0

    def update(self, old, features, patches: Patches) -> tf.Tensor:
        """The error map of the next frames.

        Args:
          old: float32 [B, h, w], of the frames before.
          features: [B, H, W, C] of the next frames.
          patches: that have changed.
        """
        table = feature_table(features, self._config.patch_size)
        _, errors = losses.patch_errors(
            gather_rows(table, patches.targets),
            self._lspn.of_neighbours(gather_rows(table, patches.neighbours)),
            inside_of(patches.cells, self._inside),
            self._config.lsp_error,
        )
        flat = tf.tensor_scatter_nd_update(tf.reshape(old, [-1]), patches.cells[:, None], errors)
        return tf.reshape(flat, tf.shape(old))


def changed_pixels(frames: np.ndarray, memory: ErrorMemory) -> np.ndarray:
    """bool [B, S, S]: whether a pixel of uint8 frames [B, S, S, C] is not the last frame's."""
    differs = frames != memory.frames
    channels = (differs[..., i] for i in range(frames.shape[-1]))
    return functools.reduce(np.bitwise_or, channels) | ~memory.known[:, None, None]
