"""A batch that several devices or processes share gives what one device would."""

import functools
import json
import re
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
import processes
import pytest
import replicas_probe
from support import TINY_FLAGS, moving_square, refuses

from benchmarks.ports import free_ports
from permakey_tf.runs import checkpoint
from permakey_tf.system import files
from permakey_tf.training.replicas import Mirrored

PATIENCE = 900  # seconds; for what takes a few on a machine with nothing else to do
END = 60  # seconds within which all workers have ended


@functools.cache
def probed(number: int):
    """{case: what was found}, of all cases with that number of devices."""
    with tempfile.TemporaryDirectory() as folder:
        done = processes.run("replicas_probe", [folder, str(number)])
    assert done.returncode == 0, done.stderr
    cases = [case for case in replicas_probe.CASES if case.number == number]
    return dict(zip(cases, map(json.loads, done.stdout.splitlines()), strict=True))


# All-reduces of a step, as docs/distribute.md has them: normalisations forward, and backward, where
# no gradient flows through Transporter's source frames; the modules' gradients; the keypoints'
# spread; the losses.
SUMS = {"permakey": 16 + 16 + 3 + 1 + 1, "transporter": 19 + 11 + 1 + 1 + 1}


@pytest.mark.parametrize("case", replicas_probe.CASES)
def test_devices_that_share_a_batch_give_what_one_gives(case):
    found = probed(case.number)[case]
    assert found["losses"] < 1e-4
    weights = found["weights"]
    # A softmax over places does not see what is added everywhere: this one's gradient is the
    # rounding of 0, of which Adam makes whole steps.
    weights.pop("model/pointnet/regressor/bias", None)

    def limit(name):
        if case.optimizer == "adam":
            return 1e-3
        # Offsets start at 0: they are no more than what rounding has left of 20 gradients.
        return 1e-4 if name.endswith(("/beta", "/bias")) else 1e-5

    assert {name: value for name, value in weights.items() if value > limit(name)} == {}
    assert found["sums"] == SUMS[case.method]


def test_a_batch_that_cannot_be_shared_evenly_is_refused():
    replicas = object.__new__(Mirrored)
    replicas.number = 3
    replicas.check(33)
    with refuses("batch_size=32", "3 devices", "multiple of 3", settings=["batch_size"]):
        replicas.check(32)


# --------------------------------------------------------------------------------------- processes

STEPS = 120  # so many that signals come before the end
COMPARED = 20


class Run:
    """A tiny run that several processes train together."""

    def __init__(self, folder: Path):
        self.folder, self.logdir = folder, folder / "run"
        np.savez(folder / "rollout.npz", frames=moving_square(120, 20, 3, seed=0))
        self.flags = TINY_FLAGS | {
            "game": "mspacman",
            "source": "npz",
            "npz": folder / "rollout.npz",
            "split": "10,1,1",
            "data_dir": folder / "store",
            "extractor": "pursuit",
            "noise": "both",
            "max_steps": STEPS,
            "validate_every": 60,
            "checkpoint_every": 4,
            "summary_every": 1,
        }

    def start(self, number: int, distribute="multiworker", logdir=None) -> list[processes.Program]:
        ports = free_ports(number)
        return [self._start(i, ports, distribute, logdir or self.logdir) for i in range(number)]

    def _start(self, index, ports, distribute, logdir):
        flags = self.flags | {"distribute": distribute, "logdir": logdir}
        workers = {
            "cluster": {"worker": [f"localhost:{port}" for port in ports]},
            "task": {"type": "worker", "index": index},
        }
        words = [f"--{name}={value}" for name, value in flags.items()]
        return processes.Program("run.keypoints", words, TF_CONFIG=json.dumps(workers))

    def saved_step(self) -> int:
        latest = self.logdir / "checkpoints" / "latest.npz"
        return int(checkpoint.load(latest)["progress/step"]) if latest.exists() else 0

    def wait_for_progress(self, members) -> None:
        """Until a new checkpoint is there."""
        before, deadline = self.saved_step(), time.monotonic() + PATIENCE
        while self.saved_step() == before:
            assert all(process.poll() is None for process in members), members[0].communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)


def losses(logdir):
    _, rows = files.read_rows(logdir / "metrics.csv")
    names = ("train/loss_vae", "train/loss_lspn")
    return np.array([[float(row[name]) for name in names] for row in rows if row[names[0]]])


def test_workers_that_die_or_are_interrupted_and_the_run_goes_on(tmp_path):
    """Killed: the chief, then the other; interrupted: one of two; ended by one process alone."""
    run = Run(tmp_path)
    chiefs = []
    for dead in (0, 1):
        members = run.start(2)
        chiefs.append(members[0].pid)
        run.wait_for_progress(members)
        members[dead].kill()
        members.pop(dead).communicate()
        _, errors = members[0].communicate(timeout=END)
        assert members[0].returncode == 1
        (line,) = (line for line in errors.splitlines() if line.startswith("error: "))
        assert f"worker {dead} (" in line and "has died" in line
        assert "Traceback" not in errors
    members = run.start(2)
    chiefs.append(members[0].pid)
    run.wait_for_progress(members)
    members[1].send_signal(signal.SIGTERM)
    ends = [process.communicate(timeout=PATIENCE)[1] for process in members]
    saved = {re.search(r"interrupted by SIGTERM; saved at step (\d+)", end)[1] for end in ends}
    assert [process.returncode for process in members] == [128 + signal.SIGTERM] * 2
    assert len(saved) == 1
    (alone,) = run.start(1)
    chiefs.append(alone.pid)
    text, errors = alone.communicate(timeout=PATIENCE)
    assert alone.returncode == 0, errors
    assert f"(at step {saved.pop()} of {STEPS})" in text
    (reference,) = run.start(1, "none", tmp_path / "reference")
    _, errors = reference.communicate(timeout=PATIENCE)
    assert reference.returncode == 0, errors
    expected = losses(tmp_path / "reference")
    assert len(expected) == STEPS
    np.testing.assert_allclose(losses(run.logdir)[:COMPARED], expected[:COMPARED], rtol=1e-4)
    # Rounding grows with every step of Adam.
    assert (np.abs(losses(run.logdir) - expected) < 0.02 * expected.max(axis=0)).all()
    assert (run.logdir / "evaluation.json").exists()
    logs = run.logdir.rglob("events.out.tfevents.*")
    assert {int(log.name.split(".")[-2]) for log in logs} == set(chiefs)  # only they write
