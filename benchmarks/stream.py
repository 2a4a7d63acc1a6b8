"""Speed of keypoints frame by frame: `KeypointDetector.stream` beside `detect`.

  python -m benchmarks.stream --data_dirs=DIR[,DIR...] [--run=RUN] [--extractor=pursuit]
    [--frames=100]

Of consecutive frames of each store in turn: `detect`, the update of a stream, and the update of a
stream that saw a frame of another part of the store before, so that most patches differ. Without
--run, of a model of the paper's sizes with random weights: times depend on sizes alone. Prints
medians, how many of the finest error map's patches change, the time of `detect` for 32 frames, and
in how many frames both streams find what `keypoints` does.
"""

import statistics
import time
from typing import Any, NamedTuple

import numpy as np
from absl import flags as absl_flags

from flags import common
from permakey_tf.configs.keypoints import KeypointConfig, resolve
from permakey_tf.data.store import FrameStore

_STORES = absl_flags.DEFINE_list("data_dirs", None, "Frame stores of 84x84.", required=True)
_RUN = common.define_path("run", None, "Keypoint run folder; none: the paper's sizes.")
_EXTRACTOR = absl_flags.DEFINE_enum(
    "extractor", "pursuit", ["pursuit", "pointnet"], "Without --run: from maps to keypoints."
)
_FRAMES = absl_flags.DEFINE_integer("frames", 100, "Consecutive frames.", lower_bound=2)

_SAME = 1e-5  # differences of keypoints below this are rounding


def make_detector(store: FrameStore):
    """The run's detector, or one of the paper's sizes with as many keypoints as suit the game."""
    from permakey_tf.detector import KeypointDetector
    from permakey_tf.models.build import build_model

    if _RUN.value is not None:
        return KeypointDetector.load(_RUN.value)
    config = KeypointConfig.make("paper", extractor=_EXTRACTOR.value)
    return KeypointDetector(build_model(resolve(config, store.game), store.image_size, 3))


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
    between a stream and `keypoints`."""

    detect: float
    update: float
    all_new: float
    differs: float


def measure(detector, frames, others) -> list[Measured]:
    """Of every frame but the first."""
    follows, cuts = detector.stream(), detector.stream()
    measured = []
    for frame, other in zip(frames, others, strict=True):
        cuts.update(other)
        calls = (detector.keypoints, follows.update, cuts.update)
        times, (whole, *streamed) = zip(*(timed(call, frame) for call in calls), strict=True)
        differs = max(
            np.abs(part - expected).max()
            for found in streamed
            for part, expected in zip(found, whole, strict=True)
        )
        measured.append(Measured(*times, differs))
    return measured[1:]


def changed_shares(model, frames) -> list[float]:
    """Of each frame but the first, of the finest error map's patches."""
    memory = model.initial_memory(1)
    shares = []
    for frame in frames[:, None]:
        cells = model.news(frame, memory)[len(model.map_shapes) - len(model.error_map_layers)]
        side, _ = model.map_shapes[-len(model.error_map_layers)]
        shares.append(len(np.unique(cells.places)) / side**2)
        memory = memory._replace(known=np.ones(1, bool), frames=frame)
    return shares[1:]


def report(store: FrameStore) -> float:
    """Prints a store's row; the ratio of the medians."""
    detector = make_detector(store)
    frames, others = consecutive(store)
    measure(detector, frames[:5], others[:5])  # graphs are traced
    measured = measure(detector, frames, others)
    detect, update, all_new, _ = map(statistics.median, zip(*measured, strict=True))
    same = np.mean([one.differs < _SAME for one in measured])
    batch = np.resize(frames, (32, *frames.shape[1:]))
    of_batch = statistics.median(timed(detector.detect, batch)[0] for _ in range(5))
    share = statistics.median(changed_shares(detector.model, frames))
    print(
        f"| {store.game} | {detector.num_keypoints} | {share:.0%} | {detect:.1f} ms "
        f"| {update:.1f} ms | {update / detect:.2f} | {all_new:.1f} ms | {all_new / detect:.2f} "
        f"| {of_batch:.0f} ms | {same:.1%} |",
        flush=True,
    )
    return update / detect


def main():
    from permakey_tf.system.device import prepare_device

    print(f"device: {prepare_device(2)}")
    heads = ["game", "K", "patches that change", "detect", "update", "ratio", "all new", "ratio"]
    print(f"| {' | '.join([*heads, '32 frames', 'equal to 1e-5'])} |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    ratios = [report(FrameStore.open(path)) for path in _STORES.value]
    print(f"median of the ratios: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    common.run(main)
