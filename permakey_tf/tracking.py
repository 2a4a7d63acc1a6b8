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
MEMORY = 3  # frames

_LEAST_WEIGHT = 1e-3  # of a keypoint with no confidence: it is linked to what is near all the same
_TIE = 1e-12  # far below any difference between costs that means something
_LONG_AGO = 2**31  # frames


class TrackerState(NamedTuple):
    """What a tracker knows of the frames before, by index.

    places: float64 [K, 2], where it was in the last frame.
    left: float64 [K, 2], where it was before it last jumped.
    age: int64 [K], frames since then.
    numbers: int64 [K], which of the detector's keypoints it had in the last frame.
    """

    places: np.ndarray
    left: np.ndarray
    age: np.ndarray
    numbers: np.ndarray


class Tracker:
    """Gives every frame's keypoints the order of the frame before.

    Each index takes one keypoint so that the sum of confidence times squared distance is least. A
    distance counts as no more than `cap`: what hides, and is found elsewhere, does not drag others
    along. An index that has jumped by the cap or more, because its object hid, may also go back to
    where it was before, for `memory` frames: the distance is to the nearer of both places. What is
    left over is shared out by squared distance in a second step.

    Of equal sums the one is taken in which the indices keep their numbers in the detector's order,
    so that a frame that is shown twice has the same order twice.

    Args:
      cap: squared half frame sides.
      memory: frames; 0 for none.

    Attributes:
      state: what is known of the frames before; None before the first.
    """

    def __init__(self, cap: float = CAP, memory: int = MEMORY):
        if not cap > 0:
            raise UserError(f"cap={cap} must be above 0: it is a squared distance")
        if memory < 0:
            raise UserError(f"memory={memory} must not be negative: it counts frames")
        self._cap, self._memory = cap, memory
        self.state: TrackerState | None = None

    def reset(self) -> None:
        """Forgets all that was seen: the next frame keeps the detector's order."""
        self.state = None

    def update(self, keypoints: Keypoints) -> Keypoints:
        """Keypoints of the next frame in the order of the frame before.

        Args:
          keypoints: NumPy arrays of one frame: `centers_yx` [K, 2] and `confidence` [K].

        Returns:
          The same values in another order.

        Raises:
          UserError: other shapes, another K than before, or values that are not finite.
        """
        order = self.order(keypoints)
        return Keypoints(*(part[order] for part in keypoints))

    def order(self, keypoints: Keypoints) -> np.ndarray:
        """int64 [K]: which of the next frame's keypoints each index takes.

        Args and errors as of `update`.
        """
        centers, confidence = _checked(keypoints)
        if self.state is None:
            numbers = np.arange(len(centers))
            long_ago = np.full(len(centers), _LONG_AGO)
            self.state = TrackerState(centers, centers, long_ago, numbers)
        elif len(self.state.places) != len(centers):
            raise UserError(f"{len(centers)} keypoints after {len(self.state.places)}: reset first")
        else:
            self.state = self._next(self.state, centers, confidence)
        return self.state.numbers

    def _next(self, state: TrackerState, centers, confidence) -> TrackerState:
        """The state after one more frame."""
        numbers = np.arange(len(centers))
        moved = _squared_distances(state.places, centers)
        recalled = (state.age <= self._memory)[:, None]
        returned = np.where(recalled, _squared_distances(state.left, centers), np.inf)
        cost = np.minimum(np.minimum(moved, returned), self._cap)
        tie = _TIE * (state.numbers[:, None] != numbers)
        taken = linear_sum_assignment(cost * (confidence + _LEAST_WEIGHT) + tie)[1]
        lost = np.flatnonzero(cost[numbers, taken] >= self._cap)
        rest = np.ix_(lost, taken[lost])
        taken[lost] = taken[lost][linear_sum_assignment(moved[rest] + tie[rest])[1]]
        jumped = moved[numbers, taken] >= self._cap
        leaves = jumped & ~(returned[numbers, taken] < self._cap)
        return TrackerState(
            places=centers[taken],
            left=np.where(leaves[:, None], state.places, state.left),
            age=np.where(leaves, 1, np.where(jumped, _LONG_AGO, state.age + 1)),
            numbers=taken,
        )


def track(
    keypoints: Keypoints,
    episodes: np.ndarray | None = None,
    cap: float = CAP,
    memory: int = MEMORY,
) -> Keypoints:
    """Keypoints of frames in their order, each frame's in the order of the frame before.

    Args:
      keypoints: NumPy arrays, `centers_yx` [N, K, 2] and `confidence` [N, K].
      episodes: int [N], episode of every frame: the first of an episode keeps the detector's order.
        Without it all frames are one episode.
      cap, memory: as of `Tracker`.

    Returns:
      The same values: of every frame in another order.

    Raises:
      UserError: the arrays do not fit each other, or hold values that are not finite.
    """
    centers, confidence = keypoints
    number = len(centers)
    episodes = np.zeros(number) if episodes is None else np.asarray(episodes)
    if episodes.shape != (number,) or len(confidence) != number:
        raise UserError(
            f"episodes {list(episodes.shape)} and confidences of {len(confidence)} frames do not "
            f"fit centres of {number}"
        )
    tracker, orders = Tracker(cap, memory), []
    for frame in range(number):
        if frame and episodes[frame] != episodes[frame - 1]:
            tracker.reset()
        orders.append(tracker.order(Keypoints(*(part[frame] for part in keypoints))))
    if not orders:
        return keypoints
    return Keypoints(*(part[np.arange(number)[:, None], np.stack(orders)] for part in keypoints))


def _squared_distances(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """float64 [K, K]: from each of `one` to each of `two`, [K, 2] both."""
    return ((one[:, None] - two) ** 2).sum(-1)


def _checked(keypoints: Keypoints) -> tuple[np.ndarray, np.ndarray]:
    """Centres and confidences as float64."""
    centers, confidence = (np.asarray(part, np.float64) for part in keypoints)
    if centers.ndim != 2 or centers.shape[1] != 2 or confidence.shape != centers.shape[:1]:
        raise UserError(
            "keypoints of one frame are centres [K, 2] and confidences [K], not "
            f"{list(centers.shape)} and {list(confidence.shape)}"
        )
    if not (np.isfinite(centers).all() and np.isfinite(confidence).all()):
        raise UserError("centres and confidences must be finite numbers")
    return centers, confidence
