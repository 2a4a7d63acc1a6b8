"""The cores and the device that there are to compute on."""

import contextlib
import os
from pathlib import Path

# As Linux names them: x86's, and Arm's.
_BFLOAT16_INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "bf16")
_BFLOAT16_GPU = (8, 0)  # the first compute capability that has them


def available_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def bfloat16_instructions(cpuinfo: Path = Path("/proc/cpuinfo")) -> list[str] | None:
    """The processor's instructions for bfloat16, by name; None where it does not say."""
    if not cpuinfo.exists():
        return None
    words = set(cpuinfo.read_text().lower().split())
    return [name for name in _BFLOAT16_INSTRUCTIONS if name in words]


def _tell_precision(device: str, precision: str, instructions: list[str] | None) -> str:
    """A device in words, and whether bfloat16 is faster there, where it is asked for."""
    if precision != "bfloat16" or instructions is None:
        return device
    if instructions:
        return f"{device}, made for bfloat16 ({', '.join(instructions)})"
    return (
        f"{device}, where bfloat16 is no faster than float32, and may be slower: it has no "
        "instructions for it (such as AMX_BF16, AVX512_BF16)"
    )


def prepare_device(at_a_time: int = 1, precision: str = "float32") -> str:
    """Uses a GPU where TensorFlow sees one, with memory that grows as needed (untested).

    Args:
      at_a_time: graphs that run at the same time. On a CPU each has its share of the cores: threads
        of one pool would wait for each other. And the process asks Linux for SCHED_BATCH.
      precision: that networks are computed in.

    Returns:
      The device in words, for the user; of bfloat16, whether it is made for it.
    """
    # Imported here: who only counts cores should not wait for it.
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        if at_a_time > 1:
            _let_threads_finish()
            _share_cores(at_a_time)
        cpu = f"CPU ({available_cores()} cores)"
        return _tell_precision(cpu, precision, bfloat16_instructions())
    # Refused where TensorFlow has computed before in this process, as in a notebook: it has all of
    # the memory then.
    with contextlib.suppress(RuntimeError):
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    details = tf.config.experimental.get_device_details(gpus[0])
    gpu = f"GPU ({details.get('device_name', gpus[0].name)})"
    capability = details.get("compute_capability")
    made_for_it = capability and (["tensor cores"] if capability >= _BFLOAT16_GPU else [])
    return _tell_precision(gpu, precision, made_for_it)


def _share_cores(at_a_time: int) -> None:
    import tensorflow as tf

    threading = tf.config.threading
    # Refused where TensorFlow has computed before in this process, as it has where keypoints were
    # trained first. Then the graphs share the threads that there are, and are slower.
    with contextlib.suppress(RuntimeError):
        threading.set_inter_op_parallelism_threads(at_a_time)
        # A launcher's limit, or the user's, is of the whole process.
        # 0, as none, lets TensorFlow choose.
        cores = int(os.environ.get("TF_NUM_INTRAOP_THREADS") or 0) or available_cores()
        threading.set_intra_op_parallelism_threads(max(cores // at_a_time, 1))


def _let_threads_finish() -> None:
    """From here on a thread that wakes up waits for a core, where the user has set no other policy.

    Graphs that run at the same time hand over from thread to thread many times a millisecond, and
    Linux would take a core from the one graph at each. Of the whole process, its threads that are
    there and those to come.
    """
    if not hasattr(os, "SCHED_BATCH"):
        return  # no Linux
    for task in Path("/proc/self/task").iterdir():
        # A thread has ended, or a container forbids it: slower, nothing else.
        with contextlib.suppress(OSError):
            if os.sched_getscheduler(int(task.name)) == os.SCHED_OTHER:
                os.sched_setscheduler(int(task.name), os.SCHED_BATCH, os.sched_param(0))
