"""The same keypoints in the order that a tracker gives them."""

from permakey_tf.quality.candidates import Candidate, SeenFrames
from permakey_tf.tracking import track
from permakey_tf.types import Keypoints

TRACKED = "tracked"  # the variant of a candidate, or the end of it


def tracked(candidate: Candidate, seen: SeenFrames) -> Candidate:
    """The candidate's keypoints with indices that a `tracking.Tracker` gives them."""
    episodes = seen.footage.episodes

    def in_order(rows: range, centers, confidence) -> Keypoints:
        if centers is None:
            return Keypoints(None, None)
        return track(Keypoints(centers, confidence), episodes[rows.start : rows.stop])

    scored = candidate.scored_centers, candidate.scored_confidence
    fitting = candidate.fitting_centers, candidate.fitting_confidence
    variant = ", ".join(filter(None, (candidate.variant, TRACKED)))
    return candidate._replace(variant=variant).with_keypoints(
        in_order(seen.scored_rows, *scored), in_order(seen.fitting_rows, *fitting)
    )
