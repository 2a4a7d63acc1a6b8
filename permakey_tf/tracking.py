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

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment

from permakey_tf.errors import UserError, expect
from permakey_tf.system.arrays import as_array, as_episodes
from permakey_tf.types import Keypoints

CAP = 0.05  # squared half frame sides: 0.22 of a half side, some 20 pixels

_LIKENESS = 0.1  # squared half frame sides that a difference of 1 in confidence counts as
_RENEWAL = 0.2  # of the confidence that an index is known by, in each frame
_MEMORY = 3  # frames in which what hid may come back
_AWAY = 0.01  # squared half frame sides that an index pays for staying where it jumped to
_LONG_AGO = 2**31  # frames
_TIE = 1e-12  # far below any difference between costs that means something


class TrackerState(NamedTuple):
    """What a tracker knows of the frames before, by index.

    places: float64 [K, 2], centres in the last frame.
    known: float64 [K], running mean of confidence since the last jump.
    left: float64 [K, 2], where it was before it jumped away.
    left_known: float64 [K], what it was known by there.
    age: int64 [K], frames since then.
    numbers: int64 [K], which of the detector's keypoints each index had in the last frame.
    """

    places: np.ndarray
    known: np.ndarray
    left: np.ndarray
    left_known: np.ndarray
    age: np.ndarray
    numbers: np.ndarray


class Tracker:
    """Gives every frame's keypoints the order of the frame before.

    Each index takes one keypoint, so that the sum of costs is least. A cost is the squared distance
    to where the index was, and a tenth of the squared difference to the confidence that it is known
    by: objects that meet differ in brightness. It counts as no more than `cap`: what hides, and is
    found elsewhere, does not drag others along. What jumped by the cap or more is shared out in a
    second step, by the cost without the cap.

    An object that flickers or hides is not found, and its index has to go elsewhere. For three
    frames it may come back to where it was: the cheaper of both places counts, and staying away
    costs a little.

    Of equal sums the one is taken in which the indices keep their numbers in the detector's order,
    so that a frame that is shown twice has the same order twice.

    Args:
      cap: squared half frame sides.

    Attributes:
      state: what is known of the frames before; None before the first.
    """

    def __init__(self, cap: float = CAP):
        expect((int, float, np.number), cap, "cap", "it is a squared distance")
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
        keypoints = _as_keypoints(keypoints)
        return _reordered(keypoints, self.order(keypoints))

    def order(self, keypoints: Keypoints) -> np.ndarray:
        """int64 [K]: which of the next frame's keypoints each index takes.

        Args and errors as of `update`.
        """
        centers, confidence = _checked(keypoints)
        if self.state is None:
            indices = np.arange(len(centers))
            nothing = np.full(len(centers), _LONG_AGO)
            self.state = TrackerState(centers, confidence, centers, confidence, nothing, indices)
        elif len(self.state.places) != len(centers):
            raise UserError(f"{len(centers)} keypoints after {len(self.state.places)}: reset first")
        else:
            self.state = self._next(self.state, centers, confidence)
        return self.state.numbers

    def _next(
        self, state: TrackerState, centers: np.ndarray, confidence: np.ndarray
    ) -> TrackerState:
        """The state after one more frame."""
        indices, away = np.arange(len(centers)), state.age < _MEMORY
        staying = _costs(state.places, state.known, centers, confidence) + _AWAY * away[:, None]
        returning = _costs(state.left, state.left_known, centers, confidence)
        cost = np.where(away[:, None], np.minimum(staying, returning), staying)
        tie = _TIE * (state.numbers[:, None] != indices)
        taken = linear_sum_assignment(np.minimum(cost, self._cap) + tie)[1]
        jumped = cost[indices, taken] >= self._cap
        rest = np.ix_(jumped, taken[jumped])
        taken[jumped] = taken[jumped][linear_sum_assignment((cost + tie)[rest])[1]]
        back = away & ~jumped & (returning < staying)[indices, taken]
        leaves = jumped & ~away
        known = np.where(back, state.left_known, state.known)
        known = known + _RENEWAL * (confidence[taken] - known)
        return TrackerState(
            places=centers[taken],
            known=np.where(jumped, confidence[taken], known),
            left=np.where(leaves[:, None], state.places, state.left),
            left_known=np.where(leaves, state.known, state.left_known),
            age=np.where(leaves, 0, np.where(back, _LONG_AGO, state.age + 1)),
            numbers=taken,
        )


def _costs(
    places: np.ndarray, known: np.ndarray, centers: np.ndarray, confidence: np.ndarray
) -> np.ndarray:
    """float64 [K, K]: of each index, known to be at a place, for each keypoint of the frame."""
    squared = ((places[:, None] - centers) ** 2).sum(-1)
    return squared + _LIKENESS * (known[:, None] - confidence) ** 2


def track(keypoints: Keypoints, episodes: ArrayLike | None = None, cap: float = CAP) -> Keypoints:
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
    keypoints = _as_keypoints(keypoints)
    centers, confidence = keypoints
    number = len(centers)
    episodes = as_episodes(episodes, number)
    if confidence is not None and len(confidence) != number:
        raise UserError(f"confidence of {len(confidence)} frames, and centres of {number}")
    tracker, orders = Tracker(cap), []
    for frame in range(number):
        if frame and episodes[frame] != episodes[frame - 1]:
            tracker.reset()
        of_frame = Keypoints(*(part if part is None else part[frame] for part in keypoints))
        orders.append(tracker.order(of_frame))
    if not orders:
        return keypoints
    return _reordered(keypoints, (np.arange(number)[:, None], np.stack(orders)))


def _reordered(keypoints: Keypoints, order: Any) -> Keypoints:
    return Keypoints(*(part if part is None else part[order] for part in keypoints))


def _as_keypoints(keypoints: Any) -> Keypoints:
    """Arrays of a pair. Raises UserError where centres alone are given."""
    expect(tuple, keypoints, "keypoints", "Keypoints(centers, None) makes one of centres")
    centers, confidence = keypoints
    known = None if confidence is None else as_array(confidence, "confidence")
    return Keypoints(as_array(centers, "centers_yx"), known)


def _checked(keypoints: Keypoints) -> tuple[np.ndarray, np.ndarray]:
    """Centres and confidences as float64; without confidences all are equal."""
    centers, confidence = keypoints
    centers = np.asarray(centers, np.float64)
    known = np.ones(centers.shape[:1]) if confidence is None else confidence
    confidence = np.asarray(known, np.float64)
    if centers.ndim != 2 or centers.shape[1] != 2 or confidence.shape != centers.shape[:1]:
        raise UserError(
            "keypoints of one frame are centres [K, 2] and confidences [K], not "
            f"{list(centers.shape)} and {list(confidence.shape)}"
        )
    if not (np.isfinite(centers).all() and np.isfinite(confidence).all()):
        raise UserError("centres and confidences must be finite numbers")
    return centers, confidence
