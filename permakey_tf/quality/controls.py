"""Controls: what is left of a model's scores without what they are said to measure."""

import numpy as np

from permakey_tf.quality import baselines
from permakey_tf.quality.candidates import Candidate, SeenFrames
from permakey_tf.system.seeds import Stream
from permakey_tf.types import Keypoints


def shuffled(candidate: Candidate, seen: SeenFrames) -> Candidate:
    """The candidate's own centres, each in the place of another frame's: this is not tracking."""
    order = seen.rng(Stream.SHUFFLED_FRAMES).permutation(len(candidate.scored_centers))
    confidence = candidate.scored_confidence
    return candidate._replace(
        kind="control",
        variant="shuffled",
        scored_centers=candidate.scored_centers[order],
        scored_confidence=None if confidence is None else confidence[order],
        about={},
    )


def error_map_peaks(detector, frames: np.ndarray, radius: int) -> Keypoints:
    """What PointNet is given: peaks of the mean over a run's error maps, each scaled to [0, 1].

    The height of a peak is its confidence.

    Args:
      detector: a KeypointDetector of a method with error maps.
      frames: uint8 [N, S, S, C]; radius: pixels between two peaks, see `strongest_peaks`.

    Returns:
      float64 [N, K, 2] and [N, K].
    """

    def maps(rows: slice) -> np.ndarray:
        return detector.error_maps(frames[rows]).mean(-1)

    return baselines.peaks_in_chunks(maps, len(frames), detector.num_keypoints, radius)
