"""Maps of a game's next frame: what cannot have changed since the last one is kept.

Consecutive frames of a game are equal but for a few places, and a feature, or the error of its
prediction, depends on the pixels near it alone. So the encoder and the LSPN, nearly all of the cost
of finding keypoints, run only where one of these pixels has changed. What comes out are the
features and the error maps of the frame, to the rounding of float32.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from permakey_tf.configs.keypoints import LSPNConfig, Stack
from permakey_tf.models.conv import ConvBlock
from permakey_tf.models.lspn import LSPN
from permakey_tf.ops import losses, spatial
from permakey_tf.ops.changes import Cells, Grid, changes_before, error_grid, feature_grids
from permakey_tf.ops.patches import inside_of
from permakey_tf.ops.windows import gather, scatter, split_window


class FrameMemory(NamedTuple):
    """The last frames of B games, as the host and the device need them.

    known: bool [B], False where a game's first frame is still to come.
    frames: uint8 [B, S, S, C], NumPy arrays both.
    maps: tensors float32 [B, ...], see `RememberedMaps`.
    """

    known: np.ndarray
    frames: np.ndarray
    maps: tuple[tf.Tensor, ...]

    @classmethod
    def after(cls, frames: np.ndarray, maps: tuple[tf.Tensor, ...]) -> "FrameMemory":
        """Of B games whose last frames, and the maps of these, are known."""
        return cls(np.ones(len(frames), bool), frames, maps)

    def of(self, games: np.ndarray) -> "FrameMemory":
        """Of some of the games, bool [B]."""
        maps = tuple(tf.boolean_mask(one, games) for one in self.maps)
        return FrameMemory(self.known[games], self.frames[games], maps)


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
        inputs = gather(source, cells.corners[:, None] + self.grid.windows.steps.reshape(-1))
        outputs = tf.cast(self._block.of_windows(inputs), tf.float32)
        return scatter(old, cells.places, outputs)


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
            gather(source, corners + self._targets),
            self._lspn.of_neighbours(gather(source, corners + self._neighbours)),
            inside_of(cells.places, self._inside),
            self._config.lsp_error,
        )
        return scatter(old, cells.places, errors)


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
        self._layers, patch_size = config.lsp_layers, config.patch_size
        grids = feature_grids(stack, len(blocks), self._layers, patch_size, image_size)
        self._features = [RememberedFeatures(*pair) for pair in zip(grids, blocks, strict=True)]
        self._errors = [
            RememberedErrors(error_grid(stack, layer, grids[layer], patch_size), lspn, config)
            for layer, lspn in zip(self._layers, networks, strict=True)
        ]
        self.grids = grids + [errors.grid for errors in self._errors]
        widths = [(grid.kept.width, grid.kept.width) for grid in self.grids]
        channels = [(number,) for number in stack.filters[: len(blocks)]] + [()] * len(networks)
        self.shapes = [width + last for width, last in zip(widths, channels, strict=True)]

    def news(self, frames: np.ndarray, memory: FrameMemory) -> tuple[Cells, ...]:
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
        kept = (one.grid.kept.put(tf.cast(layer, tf.float32)) for one, layer in pairs)
        return (*kept, *errors)

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


def changed_pixels(frames: np.ndarray, memory: FrameMemory) -> np.ndarray:
    """bool [B, S, S]: whether a pixel of uint8 frames [B, S, S, C] is not the last frame's."""
    differs = frames != memory.frames
    channels = (differs[..., i] for i in range(frames.shape[-1]))
    return functools.reduce(np.bitwise_or, channels) | ~memory.known[:, None, None]
