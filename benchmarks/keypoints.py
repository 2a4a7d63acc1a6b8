"""Speed of keypoint training and inference, against the machine's own matrix multiplication.

  python -m benchmarks.keypoints [--rounds=5] [--batch_size=32] [--flops]

Machines differ and are often shared, so every figure is a ratio: useful floating-point operations
a second of the model, over those of square matrix products measured in the same rounds. Each
quantity is measured once a round, in turn; best and median times are printed, and the ratio of the
bests and of the medians.
"""

import dataclasses
import itertools
import tempfile
import time
from pathlib import Path

import numpy as np
from absl import flags as absl_flags

from benchmarks import flops
from benchmarks.timing import MATRIX, Stopwatch, matrix_product
from flags import common
from permakey_tf.configs.frames import CollectionConfig
from permakey_tf.configs.keypoints import KeypointConfig, resolve

_ROUNDS = absl_flags.DEFINE_integer("rounds", 5, "Measurements of each quantity.", lower_bound=1)
_BATCH = absl_flags.DEFINE_integer("batch_size", 32, "Frames or pairs per step.", lower_bound=2)
_FLOPS = absl_flags.DEFINE_boolean(
    "flops", False, "Print how the operations are counted, and stop."
)
_SIZE, _CHANNELS = 84, 3


# Everything that is measured: name, method, depth of the LSPN.
_MODELS = (
    ("permakey, 3-layer LSPN", "permakey", "3-layer"),
    ("permakey, 4-layer LSPN", "permakey", "4-layer"),
    ("transporter", "transporter", "3-layer"),
)


def paper_config(depth="3-layer", precision="float32", method="permakey") -> KeypointConfig:
    """The paper's settings for MsPacman."""
    config, replace = KeypointConfig(), dataclasses.replace
    config = replace(
        config,
        method=method,
        lspn=replace(config.lspn, lsp_depth=depth),
        training=replace(config.training, precision=precision),
    )
    return resolve(config, "mspacman")


def model_functions(config, folder, batch_size):
    """{quantity: function that does it once and waits}: inference, training step."""
    import tensorflow as tf

    from permakey_tf.configs.keypoints import LoggingConfig
    from permakey_tf.data.store import FrameStore
    from permakey_tf.detector import KeypointDetector
    from permakey_tf.runs.keypoints import FrameSpec, RunFolder
    from permakey_tf.training.keypoints import KeypointTrainer

    store = FrameStore.open(folder)
    trainer = KeypointTrainer(
        RunFolder(folder / "no_run", config, FrameSpec.of(store)), store, LoggingConfig()
    )
    detector = KeypointDetector(trainer.model)
    frames, pair = store.frames[:batch_size], trainer.model.frames_per_example == 2
    examples = tf.constant(np.stack([frames, frames], axis=1) if pair else frames)

    def train():
        losses, _ = trainer.train_step(examples, tf.constant(0))
        return [float(loss) for loss in losses.values()]

    return {"inference": lambda: detector.detect(frames), "training": train}


def report_model(name, config, folder, rounds, batch_size):
    """Prints one model's rates and ratios; returns its best time of a training step."""
    precision = config.training.precision
    watch = Stopwatch(
        {"matmul": matrix_product(precision), **model_functions(config, folder, batch_size)}
    )
    watch.measure(rounds)
    costs = flops.layer_costs(config, _SIZE, _CHANNELS)
    useful = {
        "matmul": 2 * MATRIX**3,
        "inference": flops.inference_flops(costs) * batch_size,
        "training": flops.training_flops(costs) * batch_size,
    }
    print(f"\n{name}, {precision}, batch {batch_size}")
    for name, count in useful.items():
        print(f"  {name:<10}{count / 1e9:8.1f} GFLOP", end="")
        for kind, time_of in (("best", watch.best), ("median", watch.median)):
            rate = count / time_of(name)
            share = rate / (useful["matmul"] / time_of("matmul"))
            print(
                f"   {kind} {time_of(name):6.3f} s {rate / 1e9:7.1f} GFLOP/s"
                f" {100 * share:5.1f} % of matmul",
                end="",
            )
        print()
    return watch.best("training")


def report_pipeline(folder, batch_size, num_batches=2000):
    """Prints images/s of the input pipeline, clean and noisy."""
    from permakey_tf.data import pipeline
    from permakey_tf.data.store import FrameStore

    store, replace = FrameStore.open(folder), dataclasses.replace
    print(f"\ninput pipeline, batch {batch_size}")
    for frames, noise in itertools.product((1, 2), ("none", "both")):
        config = paper_config()
        training = replace(config.training, noise=noise, batch_size=batch_size)
        config = replace(config, training=training)
        sampler = pipeline.make_sampler(store, config, frames)
        batches = pipeline.training_batches(store, sampler, config, 0, num_batches // frames)
        start = time.perf_counter()
        for _ in batches:
            pass
        rate = num_batches * batch_size / (time.perf_counter() - start)
        print(f"  {('frames', 'pairs')[frames - 1]:<7} noise={noise:<5} {rate:9,.0f} images/s")


def print_flops():
    """Prints the count of operations, layer by layer."""
    for model, method, depth in _MODELS:
        costs = flops.layer_costs(paper_config(depth, method=method), _SIZE, _CHANNELS)
        print(f"\n{model}: MAC per frame; matrix products per training step")
        for cost in costs:
            used = "inference" if cost.inference else ""
            count = f"{cost.macs / 1e6:9.2f} M  x{cost.products}"
            print(f"  {cost.name:<26}{cost.formula:<28}{count}  {used}".rstrip())
        print(f"  inference: {flops.inference_flops(costs) / 1e9:.3f} GFLOP a frame")
        print(f"  training:  {flops.training_flops(costs) / 1e9:.3f} GFLOP a frame or pair")


def main():
    print_flops()
    if _FLOPS.value:
        return
    from permakey_tf.data.sources import build_store
    from permakey_tf.system.device import prepare_device

    print(f"\ndevice: {prepare_device()}")
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "store"
        build_store(CollectionConfig(num_frames=2000, split=(8, 1, 1)), folder)
        report_pipeline(folder, _BATCH.value)
        for name, method, depth in _MODELS:
            best = {}
            for precision in ("float32", "bfloat16"):
                config = paper_config(depth, precision, method)
                best[precision] = report_model(name, config, folder, _ROUNDS.value, _BATCH.value)
            ratio = best["float32"] / best["bfloat16"]
            print(f"  a training step in bfloat16 is {ratio:.2f} times as fast as in float32")


if __name__ == "__main__":
    common.run(main)
