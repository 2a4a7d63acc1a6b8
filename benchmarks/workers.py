"""What two processes on a core each make of a training, against one process on two cores.

  python -m benchmarks.workers --data_dir=data/mspacman_quick [--rounds=3] [--steps=60]

Both train the same steps with `run.keypoints`, in turn; the rest of the machine should be idle.
Printed: median times of a step and their ratio, and the largest relative difference of a loss.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from absl import flags as absl_flags

from benchmarks.ports import free_ports
from flags import common
from permakey_tf.errors import UserError
from permakey_tf.runs.keypoints import KeypointFolder
from permakey_tf.system import files

common.define_path("data_dir", None, "Frame store to train on.", required=True)
_PRESET = absl_flags.DEFINE_string("preset", "quick", "File of flags/presets.")
_ROUNDS = absl_flags.DEFINE_integer("rounds", 3, "Trainings of each kind.", lower_bound=1)
_STEPS = absl_flags.DEFINE_integer("steps", 60, "Steps of each training.", lower_bound=20)
_WARM_UP = 10  # steps, in which graphs are made


def train(folder: Path, number: int) -> list[dict[str, float]]:
    """Trains with `number` processes that share two cores; every step's report."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    ports = free_ports(number)
    processes = []
    for index in range(number):
        config = {
            "cluster": {"worker": [f"localhost:{port}" for port in ports]},
            "task": {"type": "worker", "index": index},
        }
        own = cores if number == 1 else cores[index : index + 1]
        command = ["taskset", "--cpu-list", ",".join(map(str, own)), *_command(folder, number)]
        environment = os.environ | {"TF_CONFIG": json.dumps(config)}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        processes.append(subprocess.Popen(command, env=environment, **quiet))
    codes = [process.wait() for process in processes]
    if any(codes):
        raise UserError(f"a training failed: {' '.join(_command(folder, number))}")
    _, rows = files.read_rows(KeypointFolder.open(folder).path / "metrics.csv")
    names = [name for name in rows[0] if name.startswith("train/loss") or name[:6] == "images"]
    return [{name: float(row[name]) for name in names} for row in rows if row[names[0]]]


def _command(folder, number) -> list[str]:
    settings = {
        "flagfile": f"flags/presets/{_PRESET.value}.cfg",
        "data_dir": absl_flags.FLAGS.data_dir,
        "collect": False,
        "logdir": folder,
        "max_steps": _STEPS.value,
        "validate_every": _STEPS.value,
        "summary_every": 1,
        # The paper's. Adam makes whole steps of rounding: at five times the rate the losses of one
        # process on one core and on two differ as well.
        "learning_rate": 2e-4,
        "distribute": "none" if number == 1 else "multiworker",
    }
    arguments = [f"--{name}={value}" for name, value in settings.items()]
    return [sys.executable, "-m", "run.keypoints", *arguments]


def main():
    if len(os.sched_getaffinity(0)) < 2:
        raise UserError("two cores are needed")
    rates, differences = {1: [], 2: []}, []
    with tempfile.TemporaryDirectory() as parent:
        for turn in range(_ROUNDS.value):
            reports = {n: train(Path(parent) / f"{turn}_{n}", n) for n in rates}
            for number, rows in reports.items():
                rates[number] += [row.pop("images_per_second") for row in rows][_WARM_UP:]
            # Relative to a loss's largest value: the VAE's crosses zero.
            scales = {name: max(abs(row[name]) for row in reports[1]) for name in reports[1][0]}
            pairs = zip(reports[1], reports[2], strict=True)
            differences += [abs(b[n] - a[n]) / scales[n] for a, b in pairs for n in scales]
            one, two = (statistics.median(rates[number]) for number in (1, 2))
            print(
                f"round {turn + 1}: one process {one:.1f} images/s, two {two:.1f}: a step takes "
                f"{one / two:.2f} times as long; losses differ by {max(differences):.1e} of their "
                "largest value at most",
                flush=True,
            )


if __name__ == "__main__":
    common.run(main)
