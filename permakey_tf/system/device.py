"""The cores and the device that there are to compute on."""

import contextlib
import os


def available_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def prepare_device(at_a_time: int = 1) -> str:
    """Uses a GPU where TensorFlow sees one, with memory that grows as needed.

    Args:
      at_a_time: graphs that run at the same time. On a CPU each has its share of the cores: threads
        of one pool would wait for each other.

    Returns:
      The device in words, for the user.
    """
    # Imported here: who only counts cores should not wait for it.
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        if at_a_time > 1:
            _share_cores(at_a_time)
        return f"CPU ({available_cores()} cores)"
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    details = tf.config.experimental.get_device_details(gpus[0])
    return f"GPU ({details.get('device_name', gpus[0].name)})"


def _share_cores(at_a_time: int) -> None:
    import tensorflow as tf

    threading = tf.config.threading
    # Refused where TensorFlow has computed before in this process, as it has where keypoints were
    # trained first. Then the graphs share the threads that there are, and are slower.
    with contextlib.suppress(RuntimeError):
        threading.set_inter_op_parallelism_threads(at_a_time)
        threading.set_intra_op_parallelism_threads(max(available_cores() // at_a_time, 1))
