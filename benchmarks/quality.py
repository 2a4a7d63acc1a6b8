"""Speed of the quality benchmark: all measures of one model's keypoints.

  python -m benchmarks.quality [--num_frames=5000] [--num_keypoints=7] [--boxes=90]

The objects walk at random over frames of 210x160 pixels, in episodes of 500 frames; the keypoints
are random. Timed is `evaluate_keypoints`: linking the boxes to tracks and all measures, the probe
included. Reading frames and running a model are not.
"""

import time

import numpy as np
from absl import flags as absl_flags

from benchmarks.timing import Stopwatch
from flags import common
from permakey_tf.objects.boxes import Objects
from permakey_tf.quality.scoring import Probing, evaluate_keypoints

_FRAMES = absl_flags.DEFINE_integer("num_frames", 5000, "Frames that are scored.", lower_bound=2)
_KEYPOINTS = absl_flags.DEFINE_integer("num_keypoints", 7, "Keypoints K.", lower_bound=1)
_BOXES = absl_flags.DEFINE_integer(
    "boxes", 90, "Boxes in a frame; MsPacman has about 90 with its pills.", lower_bound=1
)
_ROUNDS = absl_flags.DEFINE_integer("rounds", 3, "Measurements.", lower_bound=1)
_EPISODE = 500
_CATEGORIES = ("player", "ghost", "fruit", "pill", "power pill")


def walking_boxes(num_frames: int, num_boxes: int, rng: np.random.Generator) -> Objects:
    """Boxes of 8x10 pixels, each of which moves by up to 2 pixels a frame."""
    steps = rng.integers(-2, 3, [num_frames, num_boxes, 2])
    places = (rng.integers(0, 1000, [num_boxes, 2]) + np.cumsum(steps, 0)) % [153, 201]
    xywh = np.concatenate([places, np.broadcast_to([8, 10], places.shape)], -1)
    frame = np.repeat(np.arange(num_frames, dtype=np.int32), num_boxes)
    category = np.tile(np.arange(num_boxes) % len(_CATEGORIES), num_frames).astype(np.uint8)
    return Objects(frame, category, xywh.reshape(-1, 4).astype(np.int16), _CATEGORIES)


def main():
    rng, frames = np.random.default_rng(0), _FRAMES.value
    objects = walking_boxes(frames, _BOXES.value, rng)
    centers, fit = rng.uniform(-1, 1, [2, frames, _KEYPOINTS.value, 2])
    episodes = np.arange(frames) // _EPISODE
    probing = Probing(fit, objects, np.ones(frames, bool))
    watch = Stopwatch(
        {"scoring": lambda: evaluate_keypoints(centers, objects, episodes, None, probing)}
    )
    start = time.process_time()
    watch.measure(_ROUNDS.value)
    used = (time.process_time() - start) / (_ROUNDS.value + 2)  # two calls warm up
    print(f"{frames} frames, {_KEYPOINTS.value} keypoints, {len(objects.frame)} boxes:")
    print(
        f"{watch.best('scoring'):.1f} s at best, {watch.median('scoring'):.1f} s median, "
        f"{used:.1f} s of processor time"
    )


if __name__ == "__main__":
    common.run(main)
