"""Pursuit as a part of a model, in PointNet's place: error maps to K keypoints."""

import keras
import numpy as np
import tensorflow as tf

from permakey_tf.configs.keypoints import PointNetConfig, PursuitConfig
from permakey_tf.models.serialization import Serializable
from permakey_tf.ops import pursuit
from permakey_tf.types import Keypoints

_FLOOR = 0.05  # of a map that goes to 1: what is dimmer is nothing, wherever it is


class Pursuit(Serializable, keras.layers.Layer):
    """Error maps -> mean over layers -> less the background -> dimmed at the border -> smoothed ->
    less what crosses the frame -> greedy pursuit of eq. 3.

    Nothing is trained. Two maps are read off training frames before every validation (`calibrate`):

    background: the median of each cell's error. What stands there in most frames (score, lives,
      borders) is no object that has to be found anew in every frame.
    usual: the mean of each cell of what is pursued. A keypoint is the surer of itself the brighter
      its place is than that place usually is.

    Args:
      shared: number of keypoints and width of the windows.
      config: how keypoints are taken.
      image_size: side S of the frames, pixels.
      cell_size: side of a cell of the finest error map, pixels.
    """

    def __init__(
        self, shared: PointNetConfig, config: PursuitConfig, image_size: int, cell_size: int
    ):
        super().__init__(name="pursuit", dtype="float32")
        self._shared, self._config, self._cell_size = shared, config, cell_size
        self.coordinates = pursuit.cell_coordinates(image_size, cell_size)
        num_cells = len(self.coordinates)
        self._border = pursuit.border_factors(num_cells, config.pursuit_border)
        # Float32 in a bfloat16 model too, which reads them without calling this layer.
        of_cells = {"shape": [num_cells] * 2, "initializer": "zeros", "autocast": False}
        self.background = self.add_weight(**of_cells, trainable=False, name="background")
        self.usual = self.add_weight(**of_cells, trainable=False, name="usual")

    def cells(self, maps) -> tf.Tensor:
        """float32 [B, S, S, M] -> [B, n, n], see `ops.pursuit.to_cells`."""
        return pursuit.to_cells(maps, self._cell_size)

    def calibrate(self, cells: np.ndarray) -> None:
        """Reads both maps off training frames: float32 [N, n, n], of `cells`."""
        if self._config.pursuit_background == "median":
            self.background.assign(np.median(cells, axis=0))
        self.usual.assign(tf.reduce_mean(self.pursued(cells), axis=0))

    def pursued(self, cells) -> tf.Tensor:
        """float32 [B, n, n], of `cells` -> what keypoints are to explain, the same in [0, 1]."""
        maps = pursuit.smooth(tf.nn.relu(cells - self.background) * self._border)
        return pursuit.without_lines(maps) if self._config.pursuit_lines == "median" else maps

    def pursue(self, pursued) -> pursuit.Pursued:
        """float32 [B, n, n], of `pursued` -> K keypoints a frame."""
        return pursuit.pursue(
            pursued,
            self.coordinates,
            self._shared.num_keypoints,
            self._shared.gauss_std,
            self._config.pursuit_radius,
            self._config.pursuit_sharpness,
        )

    def call(self, maps) -> Keypoints:
        """float32 [B, S, S, M] in [0, 1] -> keypoints, see `of_cells`."""
        return self.of_cells(self.cells(maps))

    def of_cells(self, cells) -> Keypoints:
        """float32 [B, n, n], of `cells` -> keypoints, of h / (h + usual + 0.05) confidence.

        h is how high the map stood above the windows before. 1/2: as bright as is usual there.
        """
        found = self.pursue(self.pursued(cells))
        usual = self._at(self.usual, found.centers_yx) + _FLOOR
        return Keypoints(found.centers_yx, found.heights / (found.heights + usual))

    def gains(self, cells) -> tf.Tensor:
        """float32 [B, n, n], of `cells` -> float32 [B, K], see `ops.pursuit.Explained`."""
        return self.pursue(self.pursued(cells)).explained.gain

    def _at(self, image, centers_yx) -> tf.Tensor:
        """[n, n], float32 [B, K, 2] -> [B, K]: the value of the cell that each centre is in. Half
        way between two cells, as between two equally bright ones, it is the one before."""
        distance = tf.abs(centers_yx[..., None] - pursuit.TIE - self.coordinates)  # [B, K, 2, n]
        return tf.gather_nd(image, tf.argmin(distance, axis=-1))
