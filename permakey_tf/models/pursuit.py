"""Pursuit as a part of a model, in PointNet's place: error maps to K keypoints."""

import keras
import tensorflow as tf

from permakey_tf.configs.keypoints import PointNetConfig, PursuitConfig
from permakey_tf.models.serialization import Serializable
from permakey_tf.ops import pursuit


class Pursuit(Serializable, keras.layers.Layer):
    """Error maps -> mean over layers -> less the background -> smoothed -> greedy pursuit of eq. 3.

    Nothing is trained. The background is the one thing that is kept: for each cell, a running
    median over the training frames of what its error map shows. What stands there in most frames
    (score, lives, borders) is no object that anyone has to find anew in every frame.

    Args:
      shared: number of keypoints and width of the windows.
      config: how keypoints are taken.
      image_size: side S of the frames, pixels.
      cell_size: side of a cell of the finest error map, pixels.
      momentum: of the running median.
    """

    def __init__(
        self,
        shared: PointNetConfig,
        config: PursuitConfig,
        image_size: int,
        cell_size: int,
        momentum: float = 0.99,
    ):
        super().__init__(name="pursuit", dtype="float32")
        self._shared, self._config = shared, config
        self._cell_size, self._momentum = cell_size, momentum
        self.coordinates = pursuit.cell_coordinates(image_size, cell_size)
        side = len(self.coordinates)
        self.background = None
        if config.pursuit_background == "median":
            self.background = self.add_weight(
                shape=(side, side), initializer="zeros", trainable=False, name="background"
            )

    def _cells(self, maps) -> tf.Tensor:
        """float32 [B, S, S, M] -> [B, n, n]: mean over the maps, one value per cell of the finest
        one; they were enlarged by repeating their cells."""
        return tf.reduce_mean(maps[:, :: self._cell_size, :: self._cell_size], axis=-1)

    def observe(self, maps) -> None:
        """Lets the background follow a batch of training frames' maps, [B, S, S, M]."""
        if self.background is None:
            return
        ordered = tf.sort(self._cells(maps), axis=0)
        last = tf.shape(ordered)[0] - 1
        median = (ordered[last // 2] + ordered[(last + 1) // 2]) / 2
        kept = self._momentum
        self.background.assign(kept * self.background + (1 - kept) * median)

    def pursued_maps(self, maps) -> tf.Tensor:
        """float32 [B, S, S, M] -> what keypoints are to explain, float32 [B, n, n] in [0, 1]."""
        cells = self._cells(maps)
        if self.background is not None:
            cells = tf.nn.relu(cells - self.background)
        return pursuit.smooth(cells)

    def call(self, maps) -> pursuit.Pursued:
        """float32 [B, S, S, M] in [0, 1] -> K keypoints a frame."""
        return pursuit.pursue(
            self.pursued_maps(maps),
            self.coordinates,
            self._shared.num_keypoints,
            self._shared.gauss_std,
            self._config.pursuit_radius,
            self._config.pursuit_sharpness,
        )
