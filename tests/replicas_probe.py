"""Trains the same steps on one and on several logical CPUs, for test_replicas.py.

    PYTHONPATH=. python tests/replicas_probe.py FOLDER 4 every

prints the differences of every method and optimizer with 4 devices, and how often a training step
sums over them (docs/distribute.md).

In processes of their own, one for each number of devices: logical devices have to be made before
TensorFlow computes anything, and strategies of 2 and of 4 devices in one process break each other.
"""

import contextlib
import itertools
import json
import sys
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from support import tiny_config, write_store

from permakey_tf.configs.keypoints import LoggingConfig
from permakey_tf.data import pipeline
from permakey_tf.runs.keypoints import FrameSpec, KeypointFolder
from permakey_tf.system.cluster import Line
from permakey_tf.training import keypoints
from permakey_tf.training.adam import Adam
from permakey_tf.training.replicas import Replicas, make_replicas

STEPS = 20
BATCH = 8


class Case(NamedTuple):
    """`lsp_sample`: of the LSPN, where there is one. `number`: of devices."""

    method: str
    lsp_sample: float
    optimizer: str
    number: int


# SGD in the trainer's Adam's place: Adam hides a wrong factor of the gradients.
CASES = (
    Case("permakey", 1.0, "adam", 2),
    Case("permakey", 0.5, "sgd", 4),
    Case("transporter", 1.0, "sgd", 2),
)
OPTIMIZERS = {
    "adam": Adam,
    "sgd": keras.optimizers.SGD,
}
RATES = {
    "adam": {},
    "sgd": {"learning_rate": 1e-2, "vae_learning_rate": 1e-5},  # a sum over pixels has more
}


def train(store, path, case, replicas):
    """Losses and metrics of every step, and weights at the end."""
    keypoints.Adam = OPTIMIZERS[case.optimizer]
    settings = {"method": case.method, "lsp_sample": case.lsp_sample, **RATES[case.optimizer]}
    config = tiny_config(batch_size=BATCH, noise="both", **settings)
    folder = KeypointFolder(path / "no_run", config, FrameSpec.of(store))
    trainer = keypoints.KeypointTrainer(folder, store, LoggingConfig(), replicas)
    batches = pipeline.training_batches(store, trainer.sampler, config, 0, STEPS)
    values = []
    for step, frames in enumerate(batches):
        losses, metrics = trainer.train_step(frames, tf.constant(step))
        values.append({n: float(v) for n, v in (losses | metrics).items()})
    return values, {n: np.asarray(v) for n, v in trainer.weights.items()}


def differences(alone, shared):
    """The largest relative difference of losses and metrics; of each variable, by its norm."""
    pairs = [(a[n], b[n]) for a, b in zip(alone[0], shared[0], strict=True) for n in a]
    norm = np.linalg.norm
    return {
        "losses": max(abs(a - b) / max(abs(a), 1e-6) for a, b in pairs),
        "weights": {
            name: float(norm(shared[1][name] - a) / max(norm(a), 1e-6))
            for name, a in alone[1].items()
        },
    }


def every_case(number):
    """All methods and optimizers: more than the suite has the time for."""
    pairs = itertools.product(("permakey", "transporter"), OPTIMIZERS)
    return tuple(Case(method, 1.0, optimizer, number) for method, optimizer in pairs)


@contextlib.contextmanager
def counted_sums():
    """A list that grows with every all-reduce over devices, by each of them, that is traced."""
    calls, all_reduce = [], tf.distribute.ReplicaContext.all_reduce

    def counted(context, *arguments, **options):
        if context.num_replicas_in_sync > 1:
            calls.append(context)
        return all_reduce(context, *arguments, **options)

    tf.distribute.ReplicaContext.all_reduce = counted
    yield calls
    tf.distribute.ReplicaContext.all_reduce = all_reduce


def main(path: Path, number: int, cases: tuple[Case, ...], show):
    cpu = tf.config.list_physical_devices("CPU")[0]
    devices = [tf.config.LogicalDeviceConfiguration()] * number
    tf.config.set_logical_device_configuration(cpu, devices)
    store = write_store(path / "store")
    mirrored = make_replicas("mirrored", Line())
    for case in cases:
        if case.number == number:
            alone = train(store, path, case, Replicas())
            with counted_sums() as sums:
                shared = train(store, path, case, mirrored)
            found = differences(alone, shared) | {"sums": len(sums) // number}
            print(show(case, found), flush=True)


def as_json(_, found):
    return json.dumps(found)


def in_words(case, found):
    """The worst of all losses, and of all variables but the two of test_replicas.py's comments."""
    weights = found["weights"]
    weights.pop("model/pointnet/regressor/bias", None)
    offsets = (
        {n for n in weights if n.endswith(("/beta", "/bias"))} if case.optimizer == "sgd" else set()
    )
    worst = max(value for name, value in weights.items() if name not in offsets)
    return f"{case}: losses {found['losses']:.0e}, weights {worst:.0e}, {found['sums']} sums a step"


if __name__ == "__main__":
    devices = int(sys.argv[2])
    if sys.argv[3:] == ["every"]:
        main(Path(sys.argv[1]), devices, every_case(devices), in_words)
    else:
        main(Path(sys.argv[1]), devices, CASES, as_json)
