"""The baselines that stand beside the models: one of each kind for every way of seeing frames."""

import functools
import itertools
from collections.abc import Iterator

import numpy as np

from permakey_tf.data.preparation import FrameFormat
from permakey_tf.quality import baselines
from permakey_tf.quality.candidates import Candidate, SeenFrames
from permakey_tf.quality.scoring import groups_of
from permakey_tf.quality.tracked import tracked
from permakey_tf.system.seeds import Stream
from permakey_tf.types import Keypoints

# Names of the baselines, in the order of the tables.
BASELINES = (
    *("random", "grid", "best constants"),
    *("frame difference", "median background", "MOG2 background"),
    *baselines.DETECTORS,
)
# Those whose order changes with what a frame shows: fixed points have one order, random ones none.
RANKED = BASELINES[3:]
_COLOURS = {1: "grey", 3: "colour"}  # by number of channels


def beside(models: list[Candidate], seen: SeenFrames) -> Iterator[Candidate]:
    """One of each kind for every number of keypoints and format of the models; and tracked, where
    that can change its order."""
    wanted = list(dict.fromkeys((model.num_keypoints, model.format) for model in models))
    described = [
        (f"K={number}", f"{f.size} pixels", _COLOURS[f.channels], f"noise {f.noise}")
        for number, f in wanted
    ]
    differ = [len(set(column)) > 1 for column in zip(*described, strict=True)]
    for (number, frame_format), words in zip(wanted, described, strict=True):
        notes = ", ".join(itertools.compress(words, differ))
        suffix = f" ({notes})" if notes else ""
        for name, keypoints in _keypoints(number, frame_format, seen):
            (scored, scored_confidence), (fitting, fitting_confidence) = keypoints
            baseline = Candidate(
                name=name + suffix,
                variant="",
                kind="baseline",
                family="",
                format=frame_format,
                bars=seen.bars(frame_format, seen.scored_rows),
                scored_centers=scored,
                fitting_centers=fitting,
                about={"baseline": name},
                scored_confidence=scored_confidence,
                fitting_confidence=fitting_confidence,
            )
            yield baseline
            if name in RANKED:
                yield tracked(baseline, seen)


def _keypoints(number: int, frame_format: FrameFormat, seen: SeenFrames):
    """Yields (name, [keypoints in the scored frames, keypoints in the fitting frames])."""
    parts = seen.scored_rows, seen.fitting_rows
    frames = [seen.frames(frame_format, rows) for rows in parts]
    rng, radius = seen.rng(Stream.RANDOM_POINTS), seen.config.peak_radius
    fixed = Keypoints(baselines.grid_points(number), None), _constants(number, seen)
    found = [
        [Keypoints(baselines.random_points(len(rows), number, rng), None) for rows in parts],
        *([_in_every_frame(same, len(rows)) for rows in parts] for same in fixed),
    ]
    for maps, full in _maps(frames, parts, seen):
        found.append(
            [
                baselines.peaks_in_chunks(of_part, len(rows), number, radius, full)
                for of_part, rows in zip(maps, parts, strict=True)
            ]
        )
    for detector in baselines.DETECTORS:
        found.append([baselines.features(part, number, radius, detector) for part in frames])
    yield from zip(BASELINES, found, strict=True)


def _maps(frames: list[np.ndarray], parts: tuple[range, range], seen: SeenFrames):
    """Yields ([maps of some scored frames, of some fitting frames], the greatest height)."""
    channels, episodes = frames[0].shape[-1], seen.footage.episodes
    yield (
        [
            baselines.frame_differences(part, episodes[rows.start : rows.stop]).__getitem__
            for part, rows in zip(frames, parts, strict=True)
        ],
        255 * channels,
    )
    background = baselines.median_frame(frames[1])

    def to_background(part: np.ndarray, rows: slice) -> np.ndarray:
        return baselines.differences(part[rows], itertools.repeat(background))

    yield [functools.partial(to_background, part) for part in frames], 255 * channels
    masks = baselines.foreground(reversed(frames))
    yield [mask.__getitem__ for mask in reversed(masks)], 255


def _in_every_frame(keypoints: Keypoints, num_frames: int) -> Keypoints:
    return Keypoints(
        *(a if a is None else np.broadcast_to(a, (num_frames, *a.shape)) for a in keypoints)
    )


def _constants(number: int, seen: SeenFrames) -> Keypoints:
    """The best constant points for the first set that has boxes, on all frames that fit."""
    footage = seen.footage
    boxes = footage.boxes(footage.fitting_rows).drawn()
    groups = groups_of(boxes, footage.game).values()
    first_set = next((group for group in groups if group.any()), slice(0))
    return baselines.best_constants(number, boxes.where(first_set), seen.config.epsilon)
