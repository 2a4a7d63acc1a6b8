"""What an agent's training gains by how Linux runs its threads.

  python -m benchmarks.placement --keypoints=RUN [--rounds=5]

Playing and an update go on at the same time, and in each one thread hands over to another. Printed
is the time of four steps and an update, by turns: with threads that take a core from others when
they wake up, as is usual; with threads that wait, as training has them; and with those of playing
on a core of their own, by which two runs would share one core. Then the time of four steps alone,
and beside another process: one that counts, and one that copies within the cores' shared cache.

Needs Linux and two cores.
"""

import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags as absl_flags

from benchmarks.agent import Part, make_trainer, steps_and_update
from benchmarks.timing import Stopwatch
from flags import common
from permakey_tf.errors import UserError

_CALLS = 300  # in one measurement
_TASKS = Path("/proc/self/task")


def run_threads(cores: list[int], policy: int, together: bool = True) -> None:
    """Sets a scheduling policy for all threads, and which of two cores may run them.

    Apart, playing has the first: the main thread's work, which hands over to TensorFlow's pool
    between operations (named tf_...). The update is that of the others.
    """
    for task in _TASKS.iterdir():
        number = int(task.name)
        plays = number == os.getpid() or (task / "comm").read_text().startswith("tf_")
        os.sched_setaffinity(number, cores if together else {cores[not plays]})
        os.sched_setscheduler(number, policy, os.sched_param(0))


def beside(program: str | None, part: Part) -> None:
    """Calls a part while another process runs a Python program."""
    process = subprocess.Popen([sys.executable, "-c", program]) if program else None
    try:
        part()
    finally:
        if process:
            process.kill()
            process.wait()


def report_ways(trainer, cores: list[int]) -> None:
    """Prints the time of four steps and an update, threads being run in several ways."""
    loop = Part(steps_and_update(trainer), _CALLS)
    ways = {
        "threads take a core": (os.SCHED_OTHER, True),
        "threads wait": (os.SCHED_BATCH, True),
        "a core each": (os.SCHED_OTHER, False),
    }

    def timed(policy: int, together: bool):
        run_threads(cores, policy, together)
        loop()

    report({name: functools.partial(timed, *way) for name, way in ways.items()})
    trainer.agent.finish()
    run_threads(cores, os.SCHED_BATCH)


def report_neighbours(trainer) -> None:
    """Prints the time of four steps beside processes that have nothing to do with them."""
    copy = """
import numpy as np
array, copy = np.ones(3_000_000, np.float32), np.empty(3_000_000, np.float32)
while True:
    np.copyto(copy, array)
"""
    programs = {
        "four steps alone": None,
        "beside a count": "while True: pass",
        "beside 12 MB copies": copy,
    }
    steps = Part(lambda: [trainer.play_step() for _ in range(4)], _CALLS)
    report({name: functools.partial(beside, one, steps) for name, one in programs.items()})


def report(ways: dict[str, Callable[[], Any]]) -> None:
    """Prints the time of each of the calls in a way, which are made by turns."""
    watch = Stopwatch(ways)
    watch.measure(absl_flags.FLAGS.rounds)
    for name in ways:
        print(f"  {name:<20} median {1e3 * watch.median(name) / _CALLS:6.2f} ms")


def main():
    from permakey_tf.system.device import prepare_device

    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2:
        raise UserError("placement needs Linux and two cores; run it on such a machine")
    print(f"device: {prepare_device(2)}")
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer("gnn", Path(folder))
        report_ways(trainer, cores[:2])
        report_neighbours(trainer)


if __name__ == "__main__":
    common.run(main)
