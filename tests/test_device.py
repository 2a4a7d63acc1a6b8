"""What a run says of the device that it computes on, and how it shares its cores."""

import os
import subprocess
import sys

import pytest

from permakey_tf.system import device


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("flags\t: fpu avx512f avx512_bf16 amx_bf16", ["amx_bf16", "avx512_bf16"]),
        ("flags\t: fpu avx2 avx512f avx512_vnni", []),
        ("Features\t: fp asimd bf16", ["bf16"]),
    ],
)
def test_instructions_for_bfloat16(tmp_path, flags, expected):
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nmodel name\t: some bf16x processor\n{flags}\n")
    assert device.bfloat16_instructions(path) == expected
    assert device.bfloat16_instructions(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("precision", "instructions", "words"),
    [
        ("bfloat16", [], "where bfloat16 is no faster than float32"),
        ("bfloat16", ["amx_bf16"], "made for bfloat16 (amx_bf16)"),
        ("bfloat16", None, None),  # a processor that does not say
        ("float32", [], None),
    ],
)
def test_a_run_in_bfloat16_says_whether_that_is_faster(precision, instructions, words, monkeypatch):
    monkeypatch.setattr(device, "bfloat16_instructions", lambda: instructions)
    told = device.prepare_device(precision=precision)
    assert told.startswith("CPU (") and "\n" not in told
    assert told.endswith(" cores)") if words is None else words in told


@pytest.mark.parametrize(("limit", "expected"), [(None, 4), ("0", 4), ("2", 1), ("6", 3)])
def test_two_graphs_at_a_time_share_what_the_process_may_use(limit, expected, monkeypatch):
    """A sweep of several jobs on this machine limits each by the environment."""
    given = {}
    monkeypatch.setattr(
        "tensorflow.config.threading.set_intra_op_parallelism_threads",
        lambda number: given.update(threads=number),
    )
    monkeypatch.setattr(
        "tensorflow.config.threading.set_inter_op_parallelism_threads", lambda number: None
    )
    monkeypatch.setattr(device, "_let_threads_finish", lambda: None)
    monkeypatch.setattr(device, "available_cores", lambda: 8)
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    if limit:
        monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", limit)
    device.prepare_device(at_a_time=2)
    assert given == {"threads": expected}


_POLICY = """
import os
from pathlib import Path
import tensorflow as tf
from permakey_tf.system.device import prepare_device

def compute():
    for _ in range(3):
        tf.function(lambda x: tf.reduce_sum(x @ x))(tf.ones([300, 300])).numpy()

os.sched_setscheduler(0, {before}, os.sched_param(0))
if {computed}:
    compute()
prepare_device({at_a_time})
compute()
tasks = list(Path("/proc/self/task").iterdir())
pools = [task for task in tasks if (task / "comm").read_text().startswith("tf_")]
assert pools
print(*{{os.sched_getscheduler(number) for number in [0, *(int(task.name) for task in pools)]}})
"""


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="Linux's scheduling policies")
@pytest.mark.parametrize(
    ("at_a_time", "before", "computed", "after"),
    [
        (2, "SCHED_OTHER", False, "SCHED_BATCH"),
        (2, "SCHED_OTHER", True, "SCHED_BATCH"),  # TensorFlow's threads are there already
        (1, "SCHED_OTHER", False, "SCHED_OTHER"),
        (2, "SCHED_IDLE", False, "SCHED_IDLE"),  # as the user has chosen
    ],
)
def test_threads_of_graphs_that_run_together_wait(at_a_time, before, computed, after):
    before, after = getattr(os, before), getattr(os, after)
    code = _POLICY.format(before=before, computed=computed, at_a_time=at_a_time)
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.split() == [str(after)]


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="Linux's scheduling policies")
@pytest.mark.parametrize("call", ["sched_getscheduler", "sched_setscheduler"])
def test_a_container_may_forbid_it(call, monkeypatch):
    def forbidden(*_):
        raise PermissionError(call)

    monkeypatch.setattr(os, "sched_setscheduler", lambda *_: None)
    monkeypatch.setattr(os, call, forbidden)
    device._let_threads_finish()
