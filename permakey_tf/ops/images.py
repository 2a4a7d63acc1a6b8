"""Frames as models see them."""

import tensorflow as tf


def to_images(frames: tf.Tensor) -> tf.Tensor:
    """uint8 [B, S, S, C] -> float32 [B, S, S, C] in [0, 1]."""
    return tf.cast(frames, tf.float32) / 255.0
