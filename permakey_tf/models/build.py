"""The keypoint methods by their names in the settings; a new method is entered here."""

import types

import keras

from permakey_tf.configs.keypoints import KeypointConfig
from permakey_tf.models.base import KeypointModel
from permakey_tf.models.permakey import PermaKey
from permakey_tf.models.transporter import Transporter

MODELS = types.MappingProxyType({"permakey": PermaKey, "transporter": Transporter})


def build_model(
    config: KeypointConfig, image_size: int, channels: int, seed: int | None = None
) -> KeypointModel:
    """An untrained model of the configured method.

    Args:
      config: all settings, the number of keypoints resolved.
      image_size: side S of the frames, divisible by 4.
      channels: 3 or 1.
      seed: of the variables; all generators are seeded with it. None leaves them alone.

    Raises:
      UserError: settings that make no sense for frames of this size.
    """
    if seed is not None:
        keras.utils.set_random_seed(seed)
    return MODELS[config.method](config, image_size, channels)
