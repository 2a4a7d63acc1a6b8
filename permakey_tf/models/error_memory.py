"""Maps of a game's next frame: what cannot have changed since the last one is kept.

Consecutive frames of a game are equal but for a few places, and a feature, or the error of its
prediction, depends on the pixels near it alone. So the encoder and the LSPN, nearly all of the cost
of finding keypoints, run only where one of these pixels has changed. What comes out are the
features and the error maps of the frame, to the rounding of float32.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import tensorflow as tf

from permakey_tf.configs.keypoints import LSPNConfig, Stack
from permakey_tf.models.conv import ConvBlock
from permakey_tf.models.lspn import LSPN
from permakey_tf.ops import losses, spatial
from permakey_tf.ops.patches import gather_rows, inside_of, split_window, window_steps

# Numbers of cells are rounded up to a multiple of this: products of a few more rows cost nothing,
# and there is always one.
_ROWS = 16


class ErrorMemory(NamedTuple):
    """The last frames of B games, as the host and the device need them.

    known: bool [B], False where a game's first frame is still to come.
    frames: uint8 [B, S, S, C], NumPy arrays both.
    maps: tensors float32 [B, ...], see `RememberedMaps`.
    """

    known: np.ndarray
    frames: np.ndarray
    maps: tuple[tf.Tensor, ...]

    @classmethod
    def after(cls, frames: np.ndarray, maps: tuple[tf.Tensor, ...]) -> "ErrorMemory":
        """Of B games whose last frames, and the maps of these, are known."""
        return cls(np.ones(len(frames), bool), frames, maps)

    def of(self, games: np.ndarray) -> "ErrorMemory":
        """Of some of the games, bool [B]."""
        maps = tuple(tf.boolean_mask(one, games) for one in self.maps)
        return ErrorMemory(self.known[games], self.frames[games], maps)


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


def receptive_field(stack: Stack, layer: int, side: int, patch_size: int = 0) -> ReceptiveField:
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


def _sides(stack: Stack, layer: int, side: int) -> list[int]:
    """Of frames and of the features of the layers up to one."""
    sides = [side]
    for stride in stack.strides[: layer + 1]:
        sides.append(-(-sides[-1] // stride))
    return sides


def _layer_padding(stack: Stack, layer: int, side: int) -> tuple[int, int]:
    """Zeros before and after the side of a layer's inputs, as a SAME convolution pads them."""
    kernel, stride = stack.kernel_sizes[layer], stack.strides[layer]
    outputs = -(-side // stride)
    total = max((outputs - 1) * stride + kernel - side, 0)
    return total // 2, total - total // 2


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
        """[B, side, side, C] -> float32 [B, width, width, C]."""
        margin = [self.before, self.after]
        return tf.pad(tf.cast(maps, tf.float32), [[0, 0], margin, margin, [0, 0]])

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
        return window_steps(self.size, self.source.width)


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


def feature_grids(stack: Stack, depth: int, config: LSPNConfig, image_size: int) -> list[Grid]:
    """Of the features of the encoder's first `depth` layers, with the zeros that the next layer and
    an LSPN need around them."""
    sides, patch_size = _sides(stack, depth - 1, image_size), config.patch_size
    grids, below = [], Bordered(image_size, *_layer_padding(stack, 0, image_size))
    for layer, side in enumerate(sides[1:]):
        margins = [(0, 0)]
        if layer + 1 < depth:
            margins.append(_layer_padding(stack, layer + 1, side))
        if layer in config.lsp_layers:
            margins.append((patch_size, patch_size + -side % patch_size))
        kept = Bordered(side, *map(max, zip(*margins, strict=True)))
        padding, _ = _layer_padding(stack, layer, sides[layer])
        windows = Windows(below, stack.kernel_sizes[layer], stack.strides[layer], padding)
        field = receptive_field(stack, layer, image_size)
        grids.append(Grid(kept, windows, field, image_size))
        below = kept
    return grids


def error_grid(stack: Stack, layer: int, features: Grid, patch_size: int) -> Grid:
    """Of the errors of a layer's patches, which are predicted from its features."""
    kept = Bordered(-(-features.kept.side // patch_size))
    windows = Windows(features.kept, 3 * patch_size, patch_size, patch_size)
    field = receptive_field(stack, layer, features.image_size, patch_size)
    return Grid(kept, windows, field, features.image_size)


class RememberedFeatures:
    """Brings the features of one layer up to date.

    Args:
      grid: of them.
      block: the layer, trained.
    """

    def __init__(self, grid: Grid, block: ConvBlock):
        self.grid, self._block = grid, block

    def update(self, old, source, cells: Cells) -> tf.Tensor:
        """The features of the next frames, with zeros around them.

        Args:
          old: float32 [B, W, W, C], of the frames before.
          source: float32, of the next frames: the features of the layer below, or images, with
            zeros around them.
          cells: that have changed.
        """
        inputs = _gather(source, cells.corners[:, None] + self.grid.windows.steps.reshape(-1))
        outputs = tf.cast(self._block.of_windows(inputs), tf.float32)
        return _scatter(old, cells.places, outputs)


class RememberedErrors:
    """Brings the error map of one layer up to date.

    Args:
      grid: of it.
      lspn: the layer's trained network.
      config: settings of the LSPN.
    """

    def __init__(self, grid: Grid, lspn: LSPN, config: LSPNConfig):
        self.grid, self._lspn, self._config = grid, lspn, config
        side = grid.windows.source.side
        self._inside = spatial.patch_mask(side, side, config.patch_size)
        self._targets, self._neighbours = split_window(grid.windows.steps, config.patch_size)

    def update(self, old, source, cells: Cells) -> tf.Tensor:
        """The error map of the next frames.

        Args:
          old: float32 [B, h, w], of the frames before.
          source: float32 [B, W, W, C], features of the next frames with zeros around them.
          cells: that have changed.
        """
        corners = cells.corners[:, None]
        _, errors = losses.patch_errors(
            _gather(source, corners + self._targets),
            self._lspn.of_neighbours(_gather(source, corners + self._neighbours)),
            inside_of(cells.places, self._inside),
            self._config.lsp_error,
        )
        return _scatter(old, cells.places, errors)


def _gather(source, places) -> tf.Tensor:
    """[B, W, W, C], int32 [N, k] -> [N, k * C]."""
    return gather_rows(tf.reshape(source, [-1, source.shape[-1]]), places)


def _scatter(old, places, values) -> tf.Tensor:
    """float32 [B, W, W, ...], int32 [N], [N, ...] -> the old map with new values at some places."""
    flat = tf.reshape(old, [-1, *values.shape[1:]])
    return tf.reshape(tf.tensor_scatter_nd_update(flat, places[:, None], values), tf.shape(old))


class RememberedMaps:
    """What is kept of B frames: the features of the encoder's first layers, then the error maps.

    Features are float32 [B, W, W, C], with zeros around them, error maps float32 [B, h, w].

    Args:
      blocks: of the encoder, those of the layers that are needed.
      networks: the LSPN of every chosen layer.
      stack: sizes of the encoder.
      config: settings of the LSPNs.
      image_size: S.
    """

    def __init__(
        self,
        blocks: Sequence[ConvBlock],
        networks: Sequence[LSPN],
        stack: Stack,
        config: LSPNConfig,
        image_size: int,
    ):
        grids = feature_grids(stack, len(blocks), config, image_size)
        self._layers = config.lsp_layers
        self._features = [RememberedFeatures(*pair) for pair in zip(grids, blocks, strict=True)]
        self._errors = [
            RememberedErrors(
                error_grid(stack, layer, grids[layer], config.patch_size), lspn, config
            )
            for layer, lspn in zip(config.lsp_layers, networks, strict=True)
        ]
        self.grids = grids + [errors.grid for errors in self._errors]
        widths = [(grid.kept.width, grid.kept.width) for grid in self.grids]
        channels = [(number,) for number in stack.filters[: len(blocks)]] + [()] * len(networks)
        self.shapes = [width + last for width, last in zip(widths, channels, strict=True)]

    def news(self, frames: np.ndarray, memory: ErrorMemory) -> tuple[Cells, ...]:
        """The cells of every map that uint8 frames [B, S, S, C] change."""
        sums = changes_before(changed_pixels(frames, memory))
        return tuple(grid.changed_cells(sums) for grid in self.grids)

    def update(self, images, news: tuple[Cells, ...], maps: tuple) -> tuple[tf.Tensor, ...]:
        """The maps of the next frames.

        Args:
          images: float32 [B, S, S, C] in [0, 1].
          news: of these frames.
          maps: of the frames before.
        """
        number, features = len(self._features), []
        source = self._features[0].grid.windows.source.put(images)
        for layer, old, cells in zip(self._features, maps[:number], news[:number], strict=True):
            source = layer.update(old, source, cells)
            features.append(source)
        errors = [
            one.update(old, features[layer], cells)
            for one, layer, old, cells in zip(
                self._errors, self._layers, maps[number:], news[number:], strict=True
            )
        ]
        return (*features, *errors)

    def put(self, features, errors) -> tuple[tf.Tensor, ...]:
        """The maps of frames whose features and errors are known.

        Args:
          features: [B, H, W, C] of each layer.
          errors: float32 [B, h, w] of each chosen layer.
        """
        pairs = zip(self._features, features, strict=True)
        return (*(one.grid.kept.put(layer) for one, layer in pairs), *errors)

    def new_share(self, news: tuple[Cells, ...]) -> float:
        """Of one frame, the patches of the first error map that are to be computed anew."""
        place = len(self._features)
        return len(news[place].places) / self.grids[place].kept.side ** 2

    def features(self, maps, layer: int) -> tf.Tensor:
        """float32 [B, H, W, C] of one layer."""
        return self._features[layer].grid.kept.take(maps[layer])

    def errors(self, maps) -> tuple[tf.Tensor, ...]:
        """float32 [B, h, w] of every chosen layer."""
        return maps[len(self._features) :]


def changed_pixels(frames: np.ndarray, memory: ErrorMemory) -> np.ndarray:
    """bool [B, S, S]: whether a pixel of uint8 frames [B, S, S, C] is not the last frame's."""
    differs = frames != memory.frames
    channels = (differs[..., i] for i in range(frames.shape[-1]))
    return functools.reduce(np.bitwise_or, channels) | ~memory.known[:, None, None]


def changes_before(changed: np.ndarray) -> np.ndarray:
    """bool [B, S, S] -> int32 [B, S + 1, S + 1]: at [y, x], how many pixels above row y and left of
    column x have changed. Four of its numbers tell a window's."""
    return np.stack([cv2.integral(one.view(np.uint8)) for one in changed])
