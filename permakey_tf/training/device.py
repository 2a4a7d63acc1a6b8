"""Which device TensorFlow computes on."""

import tensorflow as tf

from permakey_tf.envs.search import available_cores


def prepare_device() -> str:
    """Uses a GPU where TensorFlow sees one, with memory that grows as needed.

    Returns:
      The device in words, for the user.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return f"CPU ({available_cores()} cores)"
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    details = tf.config.experimental.get_device_details(gpus[0])
    return f"GPU ({details.get('device_name', gpus[0].name)})"
