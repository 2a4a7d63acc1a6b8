"""What an agent's training gains by how Linux runs its threads.

  python -m benchmarks.placement --keypoints=RUN [--rounds=5]

Playing and an update go on at the same time, and in each one thread hands over to another. Printed
is the time of four steps and an update, by turns: with threads that take a core from others when
they wake up, as is usual; with threads that wait, as training has them; and with those of playing
on a core of their own, which is as good as it gets, but would let two runs share one core.

Needs Linux and two cores.
"""

import functools
import os
import tempfile
from pathlib import Path

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


def main():
    from permakey_tf.system.device import prepare_device

    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2:
        raise UserError("placement needs Linux and two cores; run it on such a machine")
    print(f"device: {prepare_device(2)}")
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer("gnn", Path(folder))
        loop = Part(steps_and_update(trainer), _CALLS)

        ways = {
            "threads take a core": (os.SCHED_OTHER, True),
            "threads wait": (os.SCHED_BATCH, True),
            "a core each": (os.SCHED_OTHER, False),
        }

        def timed(policy: int, together: bool):
            run_threads(cores[:2], policy, together)
            loop()

        watch = Stopwatch({name: functools.partial(timed, *way) for name, way in ways.items()})
        watch.measure(absl_flags.FLAGS.rounds)
        trainer.agent.finish()
    for name in ways:
        print(f"  {name:<20} median {1e3 * watch.median(name) / _CALLS:6.2f} ms")


if __name__ == "__main__":
    common.run(main)
