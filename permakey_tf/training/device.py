"""Which device TensorFlow computes on."""

import os

import tensorflow as tf


def prepare_device() -> str:
    """Uses a GPU where TensorFlow sees one, with memory that grows as needed.

    Returns:
      The device in words, for the user.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return f"CPU ({len(os.sched_getaffinity(0))} cores)"
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    details = tf.config.experimental.get_device_details(gpus[0])
    return f"GPU ({details.get('device_name', gpus[0].name)})"
