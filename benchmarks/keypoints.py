"""Speed of keypoint training and inference, against the machine's own matrix multiplication.

  python -m benchmarks.keypoints [--models=pursuit,transporter] [--rounds=5] [--batch_size=32]
  python -m benchmarks.keypoints --models=shares --before=CHECKOUT
  python -m benchmarks.keypoints --flops

Machines differ and are often shared, so every figure is a ratio: useful floating-point operations
a second of the model, over those of square matrix products measured in the same rounds. Each
quantity is measured once a round, in turn; best and median times are printed, and the ratio of the
bests and of the medians. Last come training steps with a fifth and a tenth of the LSPN's patches,
in turn with those of all, and Transporter's operations, each alone. --before names a checkout of
commit 430a343 (`git worktree add ../before 430a343`), whose steps are measured with the former.
"""

import itertools
import tempfile
import time
from pathlib import Path

import numpy as np
from absl import flags as absl_flags

from benchmarks import flops, operations
from benchmarks.before import CHECKOUT, Before
from benchmarks.timing import MATRIX, Stopwatch, matrix_product
from flags import common
from permakey_tf.configs.frames import CollectionConfig
from permakey_tf.configs.keypoints import KeypointConfig
from permakey_tf.errors import UserError

_ROUNDS = absl_flags.DEFINE_integer("rounds", 5, "Measurements of each quantity.", lower_bound=1)
_BATCH = absl_flags.DEFINE_integer("batch_size", 32, "Frames or pairs per step.", lower_bound=2)
_FLOPS = absl_flags.DEFINE_boolean(
    "flops", False, "Print how the operations are counted, and stop."
)
_SIZE, _CHANNELS = 84, 3


# Everything that is measured: settings by name.
_MODELS = {
    "permakey": {},
    "4-layer": {"lsp_depth": "4-layer"},
    "pursuit": {"extractor": "pursuit"},
    "pursuit-fifth": {"extractor": "pursuit", "lsp_sample": 0.2},
    "transporter": {"method": "transporter"},
    "quick": {"preset": "quick"},
}
_SHARES = (1.0, 0.2, 0.1)  # of the patches
_KNOWN = [*_MODELS, "shares", "operations"]
_ALL = [name for name in _KNOWN if name != "quick"]
_CHOSEN = absl_flags.DEFINE_list(
    "models",
    _ALL,
    f"What to measure, of {', '.join(_KNOWN)}; shares: steps by the share of the patches; "
    "operations: Transporter's alone; quick has its preset's settings, the others the paper's.",
)


def paper_config(preset=None, **settings) -> KeypointConfig:
    """The paper's settings for MsPacman, or those of a preset; `settings` differ."""
    return KeypointConfig.make(preset, "mspacman", **settings)


def model_functions(config, folder, batch_size):
    """{quantity: function that does it once and waits}: inference, training step."""
    import tensorflow as tf

    from permakey_tf.configs.keypoints import LoggingConfig
    from permakey_tf.data.store import FrameStore
    from permakey_tf.detector import KeypointDetector
    from permakey_tf.runs.keypoints import FrameSpec, KeypointFolder
    from permakey_tf.training.keypoints import KeypointTrainer

    store = FrameStore.open(folder)
    trainer = KeypointTrainer(
        KeypointFolder(folder / "no_run", config, FrameSpec.of(store)), store, LoggingConfig()
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


# In that checkout: a training step.
_STEP_BEFORE = """
from pathlib import Path
from benchmarks.keypoints import model_functions, paper_config
step = model_functions(paper_config(), Path(sys.argv[1]), int(sys.argv[2]))["training"]
def answer(_):
    step()
"""


def report_shares(folder, rounds, batch_size):
    """Prints how fast training steps are by the share of the LSPN's patches, all in turn."""
    then = Before(CHECKOUT.value, _STEP_BEFORE, folder, batch_size) if CHECKOUT.value else None
    for extractor in ("pursuit", "pointnet"):
        steps = {"430a343": then} if then else {}
        for share in _SHARES:
            config = paper_config(extractor=extractor, lsp_sample=share)
            step = model_functions(config, folder, batch_size)["training"]
            steps[f"lsp_sample={share}"] = step
        watch = Stopwatch(steps)
        watch.measure(rounds)
        print(f"\n{extractor}, float32, batch {batch_size}: training steps in turn")
        first, *_ = steps
        for name in steps:
            best, median = watch.best(name), watch.median(name)
            print(
                f"  {name:<14} best {best:.3f} s, {watch.best(first) / best:.2f} times as"
                f" fast   median {median:.3f} s, {watch.median(first) / median:.2f} times"
            )
    if then:
        then.close()


def report_pipeline(folder, batch_size, num_batches=2000):
    """Prints images/s of the input pipeline, clean and noisy."""
    from permakey_tf.data import pipeline
    from permakey_tf.data.store import FrameStore

    store = FrameStore.open(folder)
    print(f"\ninput pipeline, batch {batch_size}")
    for frames, noise in itertools.product((1, 2), ("none", "both")):
        config = paper_config(noise=noise, batch_size=batch_size)
        sampler = pipeline.make_sampler(store, config, frames)
        batches = pipeline.training_batches(store, sampler, config, 0, num_batches // frames)
        start = time.perf_counter()
        for _ in batches:
            pass
        rate = num_batches * batch_size / (time.perf_counter() - start)
        print(f"  {('frames', 'pairs')[frames - 1]:<7} noise={noise:<5} {rate:9,.0f} images/s")


def print_flops():
    """Prints the count of operations, layer by layer."""
    for model in _chosen():
        costs = flops.layer_costs(paper_config(**_MODELS[model]), _SIZE, _CHANNELS)
        print(f"\n{model}: MAC per frame; matrix products per training step")
        width = max(len(cost.name) for cost in costs) + 2
        for cost in costs:
            used = "inference" if cost.inference else ""
            count = f"{cost.macs / 1e6:9.2f} M  x{cost.products:g}"
            print(f"  {cost.name:<{width}}{cost.formula:<28}{count}  {used}".rstrip())
        print(f"  inference: {flops.inference_flops(costs) / 1e9:.3f} GFLOP a frame")
        print(f"  training:  {flops.training_flops(costs) / 1e9:.3f} GFLOP a frame or pair")


def _chosen():
    """The models among what is to be measured."""
    for name in _CHOSEN.value:
        if name not in _KNOWN:
            raise UserError(f"models={name}: must be of {', '.join(_KNOWN)}", ["models"])
    return [name for name in _MODELS if name in _CHOSEN.value]


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
        for name in _chosen():
            best = {}
            for precision in ("float32", "bfloat16"):
                config = paper_config(precision=precision, **_MODELS[name])
                best[precision] = report_model(name, config, folder, _ROUNDS.value, _BATCH.value)
            ratio = best["float32"] / best["bfloat16"]
            print(f"  a training step in bfloat16 is {ratio:.2f} times as fast as in float32")
        if "shares" in _CHOSEN.value:
            report_shares(folder, _ROUNDS.value, _BATCH.value)
        if "operations" in _CHOSEN.value:
            operations.report(_ROUNDS.value, _BATCH.value)


if __name__ == "__main__":
    common.run(main)
