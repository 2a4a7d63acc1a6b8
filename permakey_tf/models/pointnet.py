"""PointNet: from maps or frames to K keypoints (ICLR eq. 3; Jakab et al. 2018)."""

from typing import NamedTuple

import keras
import tensorflow as tf

from permakey_tf.configs.keypoints import PointNetConfig, Stack
from permakey_tf.models.conv import ConvStack
from permakey_tf.models.serialization import Serializable
from permakey_tf.ops import spatial


class Localised(NamedTuple):
    """centers_yx: float32 [B, K, 2], (y, x) in [-1, 1]; read from logits: float32 [B, h, w, K]."""

    centers_yx: tf.Tensor
    logits: tf.Tensor


class PointNet(Serializable, keras.Model):
    """Maps or frames (and coordinates) -> ConvStack -> 1x1 conv -> soft-argmax -> K centres.

    Args:
      config: K, whether coordinates are appended, form of the soft-argmax.
      stack: sizes of the convolutions.
      momentum: of the batch normalisation.
      dtype: Keras dtype policy of the convolutions; centres are computed in float32.
    """

    def __init__(self, config: PointNetConfig, stack: Stack, momentum=0.99, dtype=None):
        super().__init__(name="pointnet", dtype=dtype)
        self.mode, self.scale = config.soft_argmax, config.logit_scale
        self.coordinates = config.pointnet_coordinates
        self.encoder = ConvStack(stack, momentum, dtype=dtype, name="encoder")
        self.regressor = keras.layers.Conv2D(config.num_keypoints, 1, dtype=dtype, name="regressor")

    def call(self, images, training=False) -> Localised:
        """float [B, S, S, C] -> centres float32 [B, K, 2] and logits float32 [B, h, w, K]."""
        if self.coordinates:
            images = spatial.append_coordinates(images)
        features = self.encoder(images, training=training)[-1]
        logits = tf.cast(self.regressor(features), tf.float32)
        return Localised(spatial.soft_argmax(logits, self.mode, self.scale), logits)
