"""The convolutional keypoint encoder (PKey+CNN, Transporter; ICLR app. A.2.3)."""

import keras
import tensorflow as tf

from permakey_tf.configs.agent import EncoderConfig
from permakey_tf.models.conv import ConvStack
from permakey_tf.models.serialization import Serializable


class CNNEncoder(Serializable, keras.Model):
    """Masked features -> ConvStack -> flatten -> dense, ReLU.

    Args:
      config: sizes.
      momentum: of the batch normalisation.
      dtype: Keras dtype policy of the convolutions.

    Attributes:
      mixes_frames: in training a frame's output depends on the others of its batch, by their
        statistics.
    """

    mixes_frames = True

    def __init__(self, config: EncoderConfig, momentum=0.99, dtype=None):
        super().__init__(name="cnn_encoder", dtype=dtype)
        self.convolutions = ConvStack(config.stack, momentum, dtype=dtype, name="convolutions")
        self.dense = keras.layers.Dense(
            config.cnn_units, activation="relu", dtype=dtype, name="dense"
        )

    def call(self, maps, training=False) -> tf.Tensor:
        """[B, h, w, F] -> float32 [B, units]."""
        features = self.convolutions(maps, training=training)[-1]
        flat = tf.reshape(features, [-1, features.shape[1:].num_elements()])
        return tf.cast(self.dense(flat), tf.float32)
