"""From error maps to keypoints: what PermaKey asks of PointNet and of pursuit alike."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from permakey_tf.configs.keypoints import KeypointConfig
from permakey_tf.models.base import keypoint_spread
from permakey_tf.models.pointnet import PointNet
from permakey_tf.models.pursuit import Pursuit
from permakey_tf.ops import losses, pursuit, spatial
from permakey_tf.types import Keypoints, Losses

_CALIBRATION_FRAMES = 512  # evenly spaced among the training frames


class Extractor:
    """Base of the ways from error maps, float32 [B, S, S, M] in [0, 1], to K keypoints.

    Args:
      config: of the whole model, resolved.
      image_size: side S of the frames, pixels.
      cell_size: side of a cell of the finest error map, pixels.
      dtype: Keras dtype policy of convolutions.

    Attributes:
      layer: what holds the variables.
      modules: what of it is trained by a loss of its own, as `KeypointModel.modules`.
      held_out_metrics: as `KeypointModel.held_out_metrics`.
      calibration_frames: as `KeypointModel.calibration_frames`.
    """

    layer: keras.layers.Layer
    held_out_metrics: tuple[str, ...] = ()
    calibration_frames = 0

    def __init__(self, config: KeypointConfig, image_size: int, cell_size: int, dtype: str):
        self._config, self._image_size, self._cell_size = config, image_size, cell_size
        self.modules: dict[str, keras.Model] = {}

    def evidence(self, maps) -> Any:
        """What `locate` takes: convolutions are done, many small operations are left."""
        raise NotImplementedError

    def locate(self, evidence) -> Keypoints:
        """Keypoints, and how sure each is, inference only."""
        raise NotImplementedError

    def gains(self, evidence) -> tf.Tensor:
        """float32 [B, K]: what each window takes off the mean squared error of eq. 3 that those
        before it left, see `ops.pursuit.Explained`. Negative where it adds to it."""
        raise NotImplementedError

    def losses(self, maps, training: bool) -> Losses:
        """Eq. 3: what the keypoints' windows leave of the maps."""
        raise NotImplementedError

    def panels(self, maps) -> dict[str, tf.Tensor]:
        """Titles and pictures, float32 [B, S, S], of what happens on the way."""
        return {}

    def calibrate(self, maps) -> None:
        """Reads what is not trained off the maps of training frames, batch by batch."""


class PointNetExtractor(Extractor):
    """The paper's: a network that is trained to place the windows (ICLR eq. 3)."""

    def __init__(self, config: KeypointConfig, image_size: int, cell_size: int, dtype: str):
        super().__init__(config, image_size, cell_size, dtype)
        settings, momentum = config.pointnet, config.training.batch_norm_momentum
        self.layer = PointNet(settings, settings.stack, momentum, dtype)
        self.modules = {"pointnet": self.layer}

    def evidence(self, maps):
        cells = pursuit.smooth(pursuit.to_cells(maps, self._cell_size))
        return cells, self.layer(maps).centers_yx

    def locate(self, evidence) -> Keypoints:
        """A keypoint is as sure as what its window explains of the map, see `ops.pursuit`."""
        return Keypoints(evidence[1], self._explained(evidence).confidence)

    def gains(self, evidence):
        return self._explained(evidence).gain

    def _explained(self, evidence) -> pursuit.Explained:
        cells, centers = evidence
        coordinates = pursuit.cell_coordinates(self._image_size, self._cell_size)
        return pursuit.explain(cells, centers, coordinates, self._config.pointnet.gauss_std)

    def losses(self, maps, training: bool) -> Losses:
        settings = self._config.pointnet
        centers = self.layer(maps, training=training).centers_yx
        margin = round(settings.window_margin * (self._image_size - 1) / 2)  # pixels
        sides = [margin, margin]
        reconstruction = losses.map_reconstruction(
            tf.pad(maps, [[0, 0], sides, sides, [0, 0]]),
            spatial.gaussian_windows(centers, self._image_size, settings.gauss_std, margin),
            settings.window_join,
            settings.overlap_weight,
        )
        metrics = {
            "pointnet_error": reconstruction.error,
            "pointnet_overlap": reconstruction.overlap,
            "keypoint_spread": keypoint_spread(centers),
        }
        return Losses({"pointnet": reconstruction.loss}, reconstruction.loss, metrics)


class PursuitExtractor(Extractor):
    """Greedy pursuit of eq. 3 in PointNet's place: nothing of it is trained."""

    held_out_metrics = ("pursuit_error", "keypoint_spread")
    calibration_frames = _CALIBRATION_FRAMES

    def __init__(self, config: KeypointConfig, image_size: int, cell_size: int, dtype: str):
        super().__init__(config, image_size, cell_size, dtype)
        self.layer = Pursuit(config.pointnet, config.pursuit, image_size, cell_size)

    def evidence(self, maps):
        return self.layer.cells(maps)

    def locate(self, evidence) -> Keypoints:
        return self.layer.of_cells(evidence)

    def gains(self, evidence):
        return self.layer.gains(evidence)

    def losses(self, maps, training: bool) -> Losses:
        """Nothing to be trained, and nothing to be known until a validation."""
        if training:
            return Losses({}, 0.0, {})
        pursued = self.layer.pursued(self.layer.cells(maps))
        found = self.layer.pursue(pursued)
        before = tf.reduce_mean(tf.square(pursued))
        taken = tf.reduce_mean(tf.reduce_sum(found.explained.gain, axis=1))
        spread = keypoint_spread(found.centers_yx)
        return Losses({}, 0.0, {"pursuit_error": before - taken, "keypoint_spread": spread})

    def panels(self, maps) -> dict[str, tf.Tensor]:
        pursued = self.layer.pursued(self.layer.cells(maps))
        pursued = spatial.normalize_maps(pursued[..., None])
        shown = spatial.upsample_nearest(pursued, self._cell_size, self._image_size)
        return {"pursued map": shown[..., 0]}

    def calibrate(self, maps) -> None:
        cells = [self.layer.cells(part).numpy() for part in maps]
        self.layer.calibrate(np.concatenate(cells))


BY_NAME: dict[str, type[Extractor]] = {
    "pointnet": PointNetExtractor,
    "pursuit": PursuitExtractor,
}
