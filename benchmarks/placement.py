"""What an agent's training would gain if playing and updates each kept to a core of their own.

  python -m benchmarks.placement --keypoints=RUN [--rounds=5]

Both go on at the same time, and in each one thread hands over to another, which Linux may wake on
the other's core. Printed is the time of four steps and an update: as Linux places the threads, and
bound, by turns.

Needs Linux and two cores. Training does not bind: two runs that did would fight for the same cores.
"""

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


def bind(cores: list[int], together: bool) -> None:
    """Binds the threads of playing to one of two cores and all others to the other, or all to both.

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
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer("gnn", Path(folder))
        loop = Part(steps_and_update(trainer), _CALLS)

        def placed(together: bool):
            bind(cores[:2], together)
            loop()

        names = {"placed by Linux": True, "a core each": False}
        watch = Stopwatch({name: lambda t=together: placed(t) for name, together in names.items()})
        watch.measure(absl_flags.FLAGS.rounds)
        trainer.agent.finish()
    for name in names:
        print(f"  {name:<16} median {1e3 * watch.median(name) / _CALLS:6.2f} ms")


if __name__ == "__main__":
    common.run(main)
