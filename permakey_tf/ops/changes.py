"""Which features and errors a changed pixel reaches: geometry alone, found on the host."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np

from permakey_tf.ops.windows import Bordered, Windows, patch_windows

# Numbers of cells are rounded up to a multiple of this: products of a few more rows cost nothing,
# and there is always one.
_ROWS = 16


class Convolutions(Protocol):
    """Of an encoder, an entry for each layer; `configs.keypoints.Stack` is one."""

    kernel_sizes: tuple[int, ...]
    strides: tuple[int, ...]


class Cells(NamedTuple):
    """The N cells of a map that have to be computed anew, N a multiple of 16.

    places: int32 [N], of the cells in the flattened map of B games.
    corners: int32 [N], where the windows that they are computed from begin, in the flattened map
      that these are cut from.
    """

    places: Any
    corners: Any


class ReceptiveField(NamedTuple):
    """Pixels along a side of the frame that cell i of a map depends on: `size` of them from
    i * stride - before on."""

    before: int
    size: int
    stride: int


def receptive_field(
    stack: Convolutions, layer: int, side: int, patch_size: int = 0
) -> ReceptiveField:
    """Of a layer's features, or of the errors of its patches.

    Args:
      stack: of the encoder.
      layer: of the features.
      side: of the frames, in pixels.
      patch_size: p of the LSPN, whose errors depend on a patch and the eight around it. 0: of a
        feature alone.
    """
    first, last, step = (-patch_size, 2 * patch_size - 1, patch_size) if patch_size else (0, 0, 1)
    sides = _sides(stack, layer, side)
    for number in reversed(range(layer + 1)):
        kernel, stride = stack.kernel_sizes[number], stack.strides[number]
        padding, _ = _layer_padding(stack, number, sides[number])
        first, last = first * stride - padding, last * stride - padding + kernel - 1
        step *= stride
    return ReceptiveField(-first, last - first + 1, step)


def _sides(stack: Convolutions, layer: int, side: int) -> list[int]:
    """Of frames and of the features of the layers up to one."""
    sides = [side]
    for stride in stack.strides[: layer + 1]:
        sides.append(-(-sides[-1] // stride))
    return sides


def _layer_padding(stack: Convolutions, layer: int, side: int) -> tuple[int, int]:
    """Zeros before and after the side of a layer's inputs, as a SAME convolution pads them."""
    kernel, stride = stack.kernel_sizes[layer], stack.strides[layer]
    outputs = -(-side // stride)
    total = max((outputs - 1) * stride + kernel - side, 0)
    return total // 2, total - total // 2


class Grid(NamedTuple):
    """The cells of a square map that is kept, and what they are computed from.

    kept: the map. windows: of the map below, one for each cell. field: pixels that a cell depends
    on. image_size: S.
    """

    kept: Bordered
    windows: Windows
    field: ReceptiveField
    image_size: int

    def changed_cells(self, sums: np.ndarray) -> Cells:
        """The cells that depend on a changed pixel, found on the host.

        Args:
          sums: int32 [B, S + 1, S + 1] of `changes_before`.
        """
        cells = np.flatnonzero(self.depends(sums)).astype(np.int32)
        lacking = max(-(-len(cells) // _ROWS), 1) * _ROWS - len(cells)
        cells = np.append(cells, np.zeros(lacking, np.int32))  # the first cell fills them up
        frame, cell = np.divmod(cells, self.kept.side**2)
        where = (frame, *np.divmod(cell, self.kept.side))
        return Cells(self.kept.places(*where), self.windows.corners(*where))

    def depends(self, sums: np.ndarray) -> np.ndarray:
        """int32 [B, S + 1, S + 1] of `changes_before` -> bool [B, h, w]: whether a pixel in a
        cell's receptive field has changed."""
        before, size, stride = self.field
        starts = np.arange(self.kept.side) * stride - before
        first, end = (np.clip(starts + edge, 0, self.image_size) for edge in (0, size))
        above = sums.take(end, axis=1) - sums.take(first, axis=1)
        return above.take(end, axis=2) != above.take(first, axis=2)


def feature_grids(
    stack: Convolutions, depth: int, lsp_layers: Sequence[int], patch_size: int, image_size: int
) -> list[Grid]:
    """Of the features of an encoder's first layers, with the zeros around them that the next layer
    and an LSPN need.

    Args:
      stack: of the encoder.
      depth: how many layers.
      lsp_layers: those whose patches an LSPN predicts.
      patch_size: p.
      image_size: S.
    """
    sides = _sides(stack, depth - 1, image_size)
    grids, below = [], Bordered(image_size, *_layer_padding(stack, 0, image_size))
    for layer, side in enumerate(sides[1:]):
        margins = [(0, 0)]
        if layer + 1 < depth:
            margins.append(_layer_padding(stack, layer + 1, side))
        if layer in lsp_layers:
            source = patch_windows(side, patch_size).source
            margins.append((source.before, source.after))
        kept = Bordered(side, *map(max, zip(*margins, strict=True)))
        padding, _ = _layer_padding(stack, layer, sides[layer])
        windows = Windows(below, stack.kernel_sizes[layer], stack.strides[layer], padding)
        field = receptive_field(stack, layer, image_size)
        grids.append(Grid(kept, windows, field, image_size))
        below = kept
    return grids


def error_grid(stack: Convolutions, layer: int, features: Grid, patch_size: int) -> Grid:
    """Of the errors of a layer's patches, which are predicted from its features."""
    kept = Bordered(-(-features.kept.side // patch_size))
    # The kept map may have more zeros around it than they need.
    windows = patch_windows(features.kept.side, patch_size)._replace(source=features.kept)
    field = receptive_field(stack, layer, features.image_size, patch_size)
    return Grid(kept, windows, field, features.image_size)


def changes_before(changed: np.ndarray) -> np.ndarray:
    """bool [B, S, S] -> int32 [B, S + 1, S + 1]: at [y, x], how many pixels above row y and left of
    column x have changed. Four of its numbers tell a window's."""
    return np.stack([cv2.integral(one.view(np.uint8)) for one in changed])
