"""Speed of keypoints frame by frame: `KeypointDetector.stream` beside `detect`.

  python -m benchmarks.stream --data_dirs=DIR[,DIR...] [--run=RUN] [--extractor=pursuit]
    [--frames=100] [--threads=1] [--before=CHECKOUT]

Of consecutive frames of each store in turn: `detect`, and the updates of three streams, one that
saw the frame before, one that saw a frame of another part of the store (a cut), and one that saw
the frame's negative, so that every patch is new. Without --run, of a model of the paper's sizes
with random weights: times depend on sizes alone. Prints medians, of how many of the finest error
map's patches each update is, the time of `detect` for 32 frames, and in how many frames all streams
find what `keypoints` does.

--before names a checkout of commit 430a343 (`git worktree add ../before 430a343`): its `detect` is
measured too, in turn with the others, in a process of its own.
"""

import math
import statistics
import tempfile
import time
from typing import Any, NamedTuple

import numpy as np
from absl import flags as absl_flags

from benchmarks.before import CHECKOUT, Before
from flags import common
from permakey_tf.configs.keypoints import KeypointConfig, resolve
from permakey_tf.data.store import FrameStore

_STORES = absl_flags.DEFINE_list("data_dirs", None, "Frame stores of 84x84.", required=True)
_RUN = common.define_path("run", None, "Keypoint run folder; none: the paper's sizes.")
_EXTRACTOR = absl_flags.DEFINE_enum(
    "extractor", "pursuit", ["pursuit", "pointnet"], "Without --run: from maps to keypoints."
)
_FRAMES = absl_flags.DEFINE_integer("frames", 100, "Consecutive frames.", lower_bound=2)
_THREADS = absl_flags.DEFINE_integer("threads", 1, "For an operation.", lower_bound=1)

_SAME = 1e-5  # differences of keypoints below this are rounding


def make_detector(store: FrameStore):
    """The run's detector, or one of the paper's sizes with as many keypoints as suit the game."""
    from permakey_tf.detector import KeypointDetector
    from permakey_tf.models.build import build_model

    if _RUN.value is not None:
        return KeypointDetector.load(_RUN.value)
    config = KeypointConfig.make("paper", extractor=_EXTRACTOR.value)
    return KeypointDetector(build_model(resolve(config, store.game), store.image_size, 3))


# In that checkout: `detect` for the frame of an index, or for 32 by -1.
_DETECT_BEFORE = """
import numpy as np, tensorflow as tf
from permakey_tf.configs import KeypointConfig, resolve
from permakey_tf.detector import KeypointDetector
from permakey_tf.training.runs import FrameSpec, build_model
path, game, threads = sys.argv[1:]
tf.config.threading.set_intra_op_parallelism_threads(int(threads))
frames = np.load(path)
config = resolve(KeypointConfig(), game)
detector = KeypointDetector(build_model(config, FrameSpec(game, frames.shape[1], 3, "")))
whole = np.resize(frames, (32, *frames.shape[1:]))
def answer(index):
    detector.detect(frames[index] if index >= 0 else whole)
"""


def detect_before(game: str, frames: np.ndarray) -> Before:
    """`detect` of the checkout, warmed up."""
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file, frames)
        file.flush()
        before = Before(CHECKOUT.value, _DETECT_BEFORE, file.name, game, _THREADS.value)
        for warm_up in (0, -1):
            before(warm_up)
    return before


def timed(function, argument) -> tuple[float, Any]:
    """Milliseconds of a call, and what it returned."""
    start = time.perf_counter()
    result = function(argument)
    return 1e3 * (time.perf_counter() - start), result


def consecutive(store: FrameStore) -> tuple[np.ndarray, np.ndarray]:
    """Frames of the test split in their order; to each, one of the training split."""
    rows, number = store.split_range("test"), _FRAMES.value
    others = store.split_range("train")
    return (
        store.frames[rows.start : rows.start + number],
        store.frames[others.start :: max(len(others) // number, 1)][:number],
    )


class Measured(NamedTuple):
    """Milliseconds of every frame; differs: largest difference of its centres or confidences
    between a stream and `keypoints`; before: `detect` of the checkout."""

    detect: float
    update: float
    cut: float
    all_new: float
    before: float
    differs: float


def not_measured(index: int) -> float:
    """In the place of `Before`."""
    return math.nan


def measure(detector, frames, others, before=not_measured) -> list[Measured]:
    """Of every frame but the first."""
    follows, cuts, negatives = (detector.stream() for _ in range(3))
    measured = []
    for index, (frame, other) in enumerate(zip(frames, others, strict=True)):
        cuts.update(other)
        negatives.update(255 - frame)
        calls = (detector.keypoints, follows.update, cuts.update, negatives.update)
        times, (whole, *streamed) = zip(*(timed(call, frame) for call in calls), strict=True)
        differs = max(
            np.abs(part - expected).max()
            for found in streamed
            for part, expected in zip(found, whole, strict=True)
        )
        measured.append(Measured(*times, before(index), differs))
    return measured[1:]


def changed_share(model, frames, before) -> str:
    """Of the finest error map's patches, where each frame follows one of `before`: the median."""
    memory = model.initial_memory(1)._replace(known=np.ones(1, bool))
    shares = []
    for frame, last in zip(frames[:, None], before[:, None], strict=True):
        news = model.news(frame, memory._replace(frames=last))
        cells = news[len(model.map_shapes) - len(model.error_map_layers)]
        side, _ = model.map_shapes[-len(model.error_map_layers)]
        shares.append(len(np.unique(cells.places)) / side**2)
    return f"{statistics.median(shares):.0%}"


def report(store: FrameStore) -> list[float]:
    """Prints a store's row; the update's time by that of `detect`, today's and the checkout's."""
    detector = make_detector(store)
    frames, others = consecutive(store)
    measure(detector, frames[:5], others[:5])  # graphs are traced
    before = detect_before(store.game, frames) if CHECKOUT.value else not_measured
    measured = measure(detector, frames, others, before)
    detect, update, cut, all_new, then, _ = map(statistics.median, zip(*measured, strict=True))
    same = np.mean([one.differs < _SAME for one in measured])
    batch = np.resize(frames, (32, *frames.shape[1:]))
    of_batch = [(timed(detector.detect, batch)[0], before(-1)) for _ in range(5)]
    batch_now, batch_then = map(statistics.median, zip(*of_batch, strict=True))
    shares = [
        changed_share(detector.model, *pair)
        for pair in ((frames[1:], frames[:-1]), (frames, others))
    ]
    cells = [
        *(store.game, f"{detector.num_keypoints}", f"{detect:.1f} ms"),
        *(shares[0], f"{update:.1f} ms", f"{update / detect:.2f}"),
        *(shares[1], f"{cut:.1f} ms", f"{cut / detect:.2f}"),
        *(f"{all_new:.1f} ms", f"{all_new / detect:.2f}"),
        *(f"{batch_now:.0f} ms", f"{same:.1%}"),
    ]
    if isinstance(before, Before):
        ratios = [f"{one / then:.2f}" for one in (update, cut, all_new)]
        cells += [f"{then:.1f} ms", " ".join(ratios), f"{batch_then:.0f} ms"]
        before.close()
    print(f"| {' | '.join(cells)} |", flush=True)
    return [update / detect, update / then]


def main():
    from permakey_tf.system.device import available_cores, prepare_device

    print(f"device: {prepare_device(max(available_cores() // _THREADS.value, 1))}")
    heads = ["game", "K", "detect", "patches that change", "update", "ratio"]
    heads += ["at a cut", "update", "ratio", "all new: update", "ratio"]
    heads += ["32 frames", "equal to 1e-5"]
    heads += ["before: detect", "ratios to it", "32 frames"] if CHECKOUT.value else []
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    ratios = [report(FrameStore.open(path)) for path in _STORES.value]
    now, then = map(statistics.median, zip(*ratios, strict=True))
    print(f"median of the ratios: {now:.2f}" + f", to before {then:.2f}" * bool(CHECKOUT.value))


if __name__ == "__main__":
    common.run(main)
