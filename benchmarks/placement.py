"""How long an agent's threads wait for a core in training, and what binding them would change.

  python -m benchmarks.placement --keypoints=RUN [--seconds=6] [--rounds=5]

Playing and an update are two chains of work at the same time, and in each one thread hands over to
another. A thread that wakes on the core of the other chain waits, while a core may be idle. Linux
counts that time (/proc/self/task/*/schedstat). Printed is the time of four steps and an update, and
how long all threads waited in it: as Linux places them, and with each chain bound to a core of its
own, by turns. Bound, the threads of a chain take turns on its core: their waiting costs nothing.

Needs Linux and two cores. Training does not bind: two runs that did would fight for the same cores.
"""

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from absl import flags as absl_flags

from benchmarks.agent import make_trainer
from flags import common
from permakey_tf.errors import UserError

_SECONDS = absl_flags.DEFINE_float("seconds", 6.0, "Of each measurement.", lower_bound=0.1)
_TASKS = Path("/proc/self/task")


class Loop(NamedTuple):
    """Milliseconds of four steps and an update: wall time, and the waiting of all threads."""

    wall: float
    waiting: float


def waited() -> float:
    """Milliseconds that this process's threads, those that live, could have run and did not."""
    return sum(int((task / "schedstat").read_text().split()[1]) for task in _TASKS.iterdir()) / 1e6


def measure(trainer, seconds: float) -> Loop:
    """Plays and learns for some seconds."""
    start, waited_before, number = time.perf_counter(), waited(), 0
    while time.perf_counter() - start < seconds:
        trainer.learn_step()
        for _ in range(4):
            trainer.play_step()
        number += 1
    return Loop(1e3 * (time.perf_counter() - start) / number, (waited() - waited_before) / number)


def bind(cores: list[int], together: bool) -> None:
    """Binds the threads of each chain to one of two cores, or all of them to both.

    Playing is the main thread's, which hands over to TensorFlow's pool between operations (named
    tf_...); the update is that of the others.
    """
    for task in _TASKS.iterdir():
        plays = int(task.name) == os.getpid() or (task / "comm").read_text().startswith("tf_")
        os.sched_setaffinity(int(task.name), cores if together else {cores[not plays]})


def main():
    from permakey_tf.system.device import prepare_device

    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2:
        raise UserError("placement needs Linux and two cores; run it on such a machine")
    print(f"device: {prepare_device(2)}")
    loops: dict[bool, list[Loop]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer("gnn", Path(folder))
        measure(trainer, 1)
        for _ in range(absl_flags.FLAGS.rounds):
            for together, measured in loops.items():
                bind(cores[:2], together)
                measured.append(measure(trainer, _SECONDS.value))
        trainer.agent.finish()
    for together, name in ((True, "placed by Linux"), (False, "a core for each chain")):
        wall, waiting = (statistics.median(part) for part in zip(*loops[together], strict=True))
        print(f"  {name:<22} {wall:6.2f} ms, of which threads waited {waiting:6.2f} ms in all")


if __name__ == "__main__":
    common.run(main)
