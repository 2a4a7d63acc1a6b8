"""Keypoints that keep their index from frame to frame.

  from permakey_tf.tracking import Tracker, track

  tracked = track(keypoints, episodes)   # of many frames
  tracker = Tracker()                    # or one frame after the other
  keypoints = tracker.update(keypoints)

A detector that takes the brightest place first gives its keypoints another order in every frame.
A tracker changes that order and nothing else: which keypoint of a frame has which index is decided
by where the indices were before, never by later frames. NumPy and SciPy only, so that anyone's
keypoints can be tracked without TensorFlow.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from permakey_tf.errors import UserError
from permakey_tf.types import Keypoints

CAP = 0.05  # squared half frame sides: 0.22 of a half side, some 20 pixels

_LIKENESS = 0.1  # squared half frame sides that a difference of 1 in confidence counts as
_RENEWAL = 0.2  # of the confidence that an index is known by, in each frame
_TIE = 1e-12  # far below any difference between costs that means something


class TrackerState(NamedTuple):
    """What a tracker knows of the frames before, by index.

    places: float64 [K, 2], centres in the last frame.
    known: float64 [K], running mean of confidence since the last jump.
    numbers: int64 [K], which of the detector's keypoints each index had in the last frame.
    """

    places: np.ndarray
    known: np.ndarray
    numbers: np.ndarray


class Tracker:
    """Gives every frame's keypoints the order of the frame before.

    Each index takes one keypoint, so that the sum of costs is least. A cost is the squared distance
    to where the index was, and a tenth of the squared difference to the confidence that it is known
    by: objects that meet differ in brightness. It counts as no more than `cap`: what hides, and is
    found elsewhere, does not drag others along. What jumped by the cap or more is shared out in a
    second step, by the cost without the cap.

    Of equal sums the one is taken in which the indices keep their numbers in the detector's order,
    so that a frame that is shown twice has the same order twice.

    Args:
      cap: squared half frame sides.

    Attributes:
      state: what is known of the frames before; None before the first.
    """

    def __init__(self, cap: float = CAP):
        if not cap > 0:
            raise UserError(f"cap={cap} must be above 0: it is a squared distance")
        self._cap = cap
        self.state: TrackerState | None = None

    def reset(self) -> None:
        """Forgets all that was seen: the next frame keeps the detector's order."""
        self.state = None

    def update(self, keypoints: Keypoints) -> Keypoints:
        """Keypoints of the next frame in the order of the frame before.

        Args:
          keypoints: NumPy arrays of one frame: `centers_yx` [K, 2] and `confidence` [K], or None
            where there is none.

        Returns:
          The same values in another order.

        Raises:
          UserError: other shapes, another K than before, or values that are not finite.
        """
        return _reordered(keypoints, self.order(keypoints))

    def order(self, keypoints: Keypoints) -> np.ndarray:
        """int64 [K]: which of the next frame's keypoints each index takes.

        Args and errors as of `update`.
        """
        centers, confidence = _checked(keypoints)
        if self.state is None:
            self.state = TrackerState(centers, confidence, np.arange(len(centers)))
        elif len(self.state.places) != len(centers):
            raise UserError(f"{len(centers)} keypoints after {len(self.state.places)}: reset first")
        else:
            self.state = self._next(self.state, centers, confidence)
        return self.state.numbers

    def _next(self, state: TrackerState, centers, confidence) -> TrackerState:
        """The state after one more frame."""
        indices = np.arange(len(centers))
        cost = ((state.places[:, None] - centers) ** 2).sum(-1)
        cost += _LIKENESS * (state.known[:, None] - confidence) ** 2
        tie = _TIE * (state.numbers[:, None] != indices)
        taken = linear_sum_assignment(np.minimum(cost, self._cap) + tie)[1]
        jumped = cost[indices, taken] >= self._cap
        rest = np.ix_(jumped, taken[jumped])
        taken[jumped] = taken[jumped][linear_sum_assignment((cost + tie)[rest])[1]]
        known = state.known + _RENEWAL * (confidence[taken] - state.known)
        return TrackerState(centers[taken], np.where(jumped, confidence[taken], known), taken)


def track(keypoints: Keypoints, episodes: np.ndarray | None = None, cap: float = CAP) -> Keypoints:
    """Keypoints of frames in their order, each frame's in the order of the frame before.

    Args:
      keypoints: NumPy arrays, `centers_yx` [N, K, 2] and `confidence` [N, K], or None where there
        is none.
      episodes: int [N], episode of every frame: the first of an episode keeps the detector's order.
        Without it all frames are one episode.
      cap: as of `Tracker`.

    Returns:
      The same values: of every frame in another order.

    Raises:
      UserError: the arrays do not fit each other, or hold values that are not finite.
    """
    centers, confidence = keypoints
    number = len(centers)
    episodes = np.zeros(number) if episodes is None else np.asarray(episodes)
    if episodes.shape != (number,) or len(centers if confidence is None else confidence) != number:
        raise UserError(
            f"episodes {list(episodes.shape)} and confidences {np.shape(confidence)} do not fit "
            f"centres of {number} frames"
        )
    tracker, orders = Tracker(cap), []
    for frame in range(number):
        if frame and episodes[frame] != episodes[frame - 1]:
            tracker.reset()
        of_frame = Keypoints(*(part if part is None else part[frame] for part in keypoints))
        orders.append(tracker.order(of_frame))
    if not orders:
        return keypoints
    return _reordered(keypoints, (np.arange(number)[:, None], np.stack(orders)))


def _reordered(keypoints: Keypoints, order) -> Keypoints:
    return Keypoints(*(part if part is None else part[order] for part in keypoints))


def _checked(keypoints: Keypoints) -> tuple[np.ndarray, np.ndarray]:
    """Centres and confidences as float64; without confidences all are equal."""
    centers, confidence = keypoints
    centers = np.asarray(centers, np.float64)
    confidence = np.ones(centers.shape[:1]) if confidence is None else np.float64(confidence)
    if centers.ndim != 2 or centers.shape[1] != 2 or confidence.shape != centers.shape[:1]:
        raise UserError(
            "keypoints of one frame are centres [K, 2] and confidences [K], not "
            f"{list(centers.shape)} and {list(confidence.shape)}"
        )
    if not (np.isfinite(centers).all() and np.isfinite(confidence).all()):
        raise UserError("centres and confidences must be finite numbers")
    return centers, confidence
