"""Measures of keypoints against boxes, each a pure function of arrays (docs/quality.md).

N frames, K keypoints, M boxes, E distances, C levels. Boxes are ordered by frame.
"""

import itertools

import numpy as np
from scipy.optimize import linear_sum_assignment

from permakey_tf.data.noise import BAR_WIDTH, Bars
from permakey_tf.objects.visibility import FRAME_SHAPE
from permakey_tf.system.arrays import starts_of

HEIGHT, WIDTH = FRAME_SHAPE  # pixels of the frame that boxes are given in


def to_pixels(centers_yx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(y, x) in [-1, 1], [..., 2] -> rows, columns of the 210x160 frame, both [...]."""
    y = (centers_yx[..., 0] + 1) / 2 * (HEIGHT - 1)
    x = (centers_yx[..., 1] + 1) / 2 * (WIDTH - 1)
    return y, x


def box_distances(centers_yx: np.ndarray, frame: np.ndarray, xywh: np.ndarray):
    """Distances of boxes to the keypoints of their frames.

    Args:
      centers_yx: float [N, K, 2].
      frame: int [M]; xywh: int [M, 4].

    Returns:
      float64 [K, M], pixels to the nearest point of the box x..x+w, y..y+h (0 inside it);
      float64 [K, M], squared pixels to the middle of the box.
    """
    y, x = (np.ascontiguousarray(axis.T)[:, frame] for axis in to_pixels(centers_yx))
    left, top, width, height = xywh.astype(float).T
    dx = np.maximum(np.maximum(left - x, x - left - width), 0)
    dy = np.maximum(np.maximum(top - y, y - top - height), 0)
    # Rounded, so that a keypoint 4 pixels away is not 4.000002 away: float32 centres are no finer.
    return np.hypot(dx, dy).round(4), (x - left - width / 2) ** 2 + (y - top - height / 2) ** 2


def nearest_box(distances: np.ndarray, frame: np.ndarray, num_frames: int) -> np.ndarray:
    """float [K, N]: distance of each keypoint to the nearest box of its frame; inf without any.

    Args:
      distances: float [K, M]; frame: int [M].
    """
    nearest = np.full((len(distances), num_frames), np.inf)
    starts = starts_of(frame)
    if len(starts):
        nearest[:, frame[starts]] = np.minimum.reduceat(distances, starts, axis=1)
    return nearest


def share_within(distances: np.ndarray, epsilons: np.ndarray) -> np.ndarray:
    """float [E]: share of `distances` (any shape) that are at most each epsilon; NaN of none.

    Of boxes to their nearest keypoint it is recall (DOP), of keypoints to their nearest box
    precision.
    """
    if not distances.size:
        return np.full(len(epsilons), np.nan)
    return np.searchsorted(np.sort(distances, axis=None), epsilons, side="right") / distances.size


def harmonic_mean(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """F1 of precision and recall; 0 where both are 0."""
    total = a + b
    return np.where(total == 0, 0.0, 2 * a * b / np.where(total == 0, 1, total))


def unassigned(nearest: np.ndarray, epsilon: float) -> float:
    """UAK: keypoints on no object, mean over frames; nearest: [K, N], from `nearest_box`."""
    return float((nearest > epsilon).sum() / nearest.shape[1])


def redundancy(to_keypoint, nearest, frame, epsilon: float) -> float:
    """RAK: of the keypoints on objects, the share beyond one per object; mean over frames.

    (keypoints on objects - objects with a keypoint) / keypoints on objects, not below 0 (one
    keypoint can be on two objects); frames without a keypoint on any object are left out.

    Args:
      to_keypoint: float [M], distance of every box to its nearest keypoint.
      nearest: float [K, N], from `nearest_box`; frame: int [M].
    """
    keypoints = (nearest <= epsilon).sum(0)
    objects = np.bincount(frame[to_keypoint <= epsilon], minlength=len(keypoints))
    some = keypoints > 0
    return _mean(np.maximum(keypoints - objects, 0)[some] / keypoints[some])


def keypoint_of_box(distances: np.ndarray, to_middle: np.ndarray, epsilon: float) -> np.ndarray:
    """int [M]: of the keypoints within `epsilon` the one nearest to the box's middle, or -1."""
    on = distances <= epsilon  # [K, M]
    return np.where(on.any(0), np.where(on, to_middle, np.inf).argmin(0), -1)


def consistency(keypoint: np.ndarray, previous: np.ndarray) -> tuple[float, float]:
    """TOP: how often an object's keypoint is the same as in the frame before.

    Args:
      keypoint: int [M], from `keypoint_of_box`.
      previous: int [M], index of the same object's box in the frame before, or -1.

    Returns:
      The share of links between two boxes whose keypoints are the same; and the same share among
      the links where both boxes have a keypoint.
    """
    linked = previous >= 0
    now, before = keypoint[linked], keypoint[previous[linked]]
    same = (now == before) & (now >= 0)
    return _mean(same), _mean(same[(now >= 0) & (before >= 0)])


# ---------------------------------------------------------------------------------------- tracking


def window_of_frames(episodes: np.ndarray, length: int) -> np.ndarray:
    """int [N]: number of the window of `length` frames that a frame is in; -1 for those in none.

    Windows follow one another from an episode's first frame; an incomplete last one is left out.
    """
    starts = starts_of(episodes)
    lengths = np.diff(starts, append=len(episodes))
    complete = lengths // length
    position = np.arange(len(episodes)) - np.repeat(starts, lengths)
    number = np.repeat(np.cumsum(complete) - complete, lengths) + position // length
    return np.where(position // length < np.repeat(complete, lengths), number, -1)


class WindowedTracks:
    """The parts of object tracks that lie in windows of one length.

    A track takes part in a window where it is drawn in at least half of the window's frames.

    Attributes:
      num_windows: number of windows.
      window: int [P], the window of each part, ascending.
    """

    def __init__(self, frame, track, episodes, length: int):
        """Args: frame, track: int [M], of the boxes; episodes: int [N]; length: frames."""
        of_frame = window_of_frames(episodes, length)
        self.num_windows = int(of_frame.max(initial=-1)) + 1
        inside = np.flatnonzero(of_frame[frame] >= 0)
        keys = of_frame[frame[inside]] * (track.max(initial=0) + 1) + track[inside]
        order = np.argsort(keys, kind="stable")
        self._boxes = inside[order]
        self._starts = starts_of(keys[order])
        self._lengths = np.diff(self._starts, append=len(order))
        self._enough = 2 * self._lengths >= length
        self.window = of_frame[frame[self._boxes[self._starts[self._enough]]]]

    def matches(self, distances: np.ndarray, epsilon: float) -> int:
        """Pairs of a keypoint and a track with a mean distance below `epsilon`, over all windows.

        In each window keypoints and tracks are assigned to each other, one to one, with the
        smallest sum of mean distances.
        """
        if not len(self.window):
            return 0
        means = distances[:, self._boxes]
        if self._lengths.max() > 1:
            means = np.add.reduceat(means, self._starts, axis=1) / self._lengths
        means = means.T[self._enough]  # [P, K]
        edges = np.flatnonzero(np.diff(self.window, prepend=-1, append=-1)).tolist()
        assigned = []
        for start, stop in itertools.pairwise(edges):
            cost = means[start:stop]
            assigned.append(cost[linear_sum_assignment(cost)])
        return int((np.concatenate(assigned) < epsilon).sum())


def tracking(parts: WindowedTracks, distances: np.ndarray, epsilon: float) -> tuple[float, float]:
    """Precision and recall of tracks (Kulkarni et al. 2019): matches / keypoints, / objects.

    Args:
      parts: of the boxes' tracks; distances: float [K, M].
    """
    matched = parts.matches(distances, epsilon)
    keypoints = parts.num_windows * len(distances)
    objects = len(parts.window)
    return (
        matched / keypoints if keypoints else float("nan"),
        matched / objects if objects else float("nan"),
    )


# -------------------------------------------------------------------------------------- confidence


def one_to_one(distances, to_middle, frame, confidence, epsilon: float) -> np.ndarray:
    """bool [N, K]: which keypoints find an object, one keypoint counted an object.

    As in object detection: the keypoints of a frame choose in the order of their confidence; each
    takes, of the boxes within `epsilon` that are still free, the one with the nearest middle. What
    comes too late is wrong, however near. So those above a threshold are right or wrong whatever
    is below it. Of equal confidence, the keypoint nearest to the middle of a box is first.

    Args:
      distances, to_middle: float [K, M], from `box_distances`; frame: int [M].
      confidence: float [N, K].
    """
    hit = np.zeros(confidence.shape, bool)
    on = distances <= epsilon
    some = on.any(0)
    on, frame = on[:, some], frame[some]
    cost = np.where(on, to_middle[:, some], np.inf)
    order = np.lexsort((nearest_box(cost, frame, len(hit)).T, -confidence), axis=1)
    free = np.ones(len(frame), bool)
    every = np.arange(len(frame))
    for rank in range(hit.shape[1]):
        keypoint = order[frame, rank]
        near = np.flatnonzero(free & on[keypoint, every])
        near = near[np.lexsort((cost[keypoint[near], near], frame[near]))]
        taken = near[np.diff(frame[near], prepend=-1) > 0]
        free[taken] = False
        hit[frame[taken], keypoint[taken]] = True
    return hit


def ranking(confidence: np.ndarray, hit: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All keypoints of all frames as one list, the most confident first.

    Args:
      confidence: float, hit: bool, both [N, K].

    Returns:
      [U]: every confidence that occurs, descending; how many keypoints have at least it; how many
      of these are right.
    """
    order = np.argsort(-confidence, axis=None, kind="stable")
    values = confidence.ravel()[order]
    last = np.flatnonzero(np.diff(values, append=-np.inf))  # of each value
    return values[last], last + 1, np.cumsum(hit.ravel()[order])[last]


def precision_and_recall_above(
    confidence: np.ndarray, hit: np.ndarray, num_objects: int, thresholds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """float [C], both: of the keypoints with at least each threshold as their confidence.

    Precision is NaN where no keypoint has it, recall where there is no object.

    Args:
      confidence: float, hit: bool, both [N, K]; thresholds: float [C].
    """
    above = confidence.ravel() >= np.asarray(thresholds)[:, None]
    kept, right = above.sum(1), (above & hit.ravel()).sum(1)
    return _ratio(right, kept), _ratio(right, num_objects)


def precision_at_recall(
    confidence: np.ndarray, hit: np.ndarray, num_objects: int, levels: np.ndarray
) -> np.ndarray:
    """float [C]: the highest precision of any threshold that has at least each recall; else NaN.

    Args:
      confidence: float, hit: bool, both [N, K]; levels: float [C], of recall.
    """
    _, kept, right = ranking(confidence, hit)
    best = np.maximum.accumulate((right / kept)[::-1])[::-1]  # of this recall or a higher one
    first = np.searchsorted(_ratio(right, num_objects), levels)  # NaN sorts last
    return np.append(best, np.nan)[first] if num_objects else np.full(len(levels), np.nan)


def average_precision(confidence: np.ndarray, hit: np.ndarray, num_objects: int) -> float:
    """The area below `precision_at_recall`; 0 from the highest recall on; NaN without an object.

    Args:
      confidence: float, hit: bool, both [N, K].
    """
    if not num_objects:
        return float("nan")
    _, kept, right = ranking(confidence, hit)
    best = np.maximum.accumulate((right / kept)[::-1])[::-1]
    return float((np.diff(right, prepend=0) * best).sum() / num_objects)


def best_threshold(confidence: np.ndarray, hit: np.ndarray, num_objects: int) -> float:
    """The confidence above which F1 is highest, the lowest of several; NaN without an object.

    Args:
      confidence: float, hit: bool, both [N, K].
    """
    if not num_objects or not hit.size:
        return float("nan")
    values, kept, right = ranking(confidence, hit)
    f1 = 2 * right / (kept + num_objects)
    return float(values[np.flatnonzero(f1 == f1.max())[-1]])


def _ratio(part: np.ndarray, whole) -> np.ndarray:
    """part / whole, float64; NaN where the whole is 0."""
    whole = np.broadcast_to(whole, part.shape).astype(float)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


# ------------------------------------------------------------------------------------------- probe


def probe(fitting_centers, fitting_targets, centers, targets, ridge: float) -> tuple[float, float]:
    """Linear read-out of a position from all centres.

    Args:
      fitting_centers: float [F, K, 2]; fitting_targets: float [F, 2], pixels: fits the weights.
      centers: float [N, K, 2]; targets: float [N, 2]: scored.
      ridge: penalty on the squared weights; the offset is free.

    Returns:
      R^2 over both coordinates together (NaN where the targets never change), and the mean
      distance between prediction and target in pixels.
    """
    inputs = fitting_centers.reshape(len(fitting_centers), -1).astype(float)
    mean_in, mean_out = inputs.mean(0), fitting_targets.mean(0)
    x, y = inputs - mean_in, fitting_targets - mean_out
    # The minimum of |x w - y|^2 + ridge |w|^2, as least squares: works for ridge = 0 too.
    augmented = np.concatenate([x, np.sqrt(ridge) * np.eye(x.shape[1])])
    padded = np.concatenate([y, np.zeros((x.shape[1], 2))])
    weights = np.linalg.lstsq(augmented, padded, rcond=None)[0]
    predicted = (centers.reshape(len(centers), -1) - mean_in) @ weights + mean_out
    residual = ((predicted - targets) ** 2).sum()
    spread = ((targets - targets.mean(0)) ** 2).sum()
    r2 = 1 - residual / spread if spread else float("nan")
    return float(r2), float(np.linalg.norm(predicted - targets, axis=1).mean())


# ----------------------------------------------------------------------------- bars, other models


def on_bars(centers_yx: np.ndarray, bars: Bars, size: int) -> tuple[float, float]:
    """Share of keypoints on a distractor bar, and the share expected by chance.

    By chance: the same keypoints, and bars drawn anew, independent of them.

    Args:
      centers_yx: float [N, K, 2]; bars: of the same frames; size: side of the frames with the bars.
    """
    pixels = (np.asarray(centers_yx, float) + 1) / 2 * (size - 1)
    hit = np.zeros(pixels.shape[:2], bool)
    miss_by_chance = np.ones(pixels.shape[:2])
    for starts, axis in ((bars.left, 1), (bars.top, 0)):
        if starts is not None:
            offset = pixels[..., axis] - starts[:, None]
            hit |= (offset >= -0.5) & (offset < BAR_WIDTH - 0.5)
            miss_by_chance *= 1 - _chance_of_bar(pixels[..., axis], size)
    return _mean(hit), _mean(1 - miss_by_chance)


def _chance_of_bar(position: np.ndarray, size: int) -> np.ndarray:
    """Share of all places of a bar in which it covers `position`, in pixels."""
    last = np.floor(position + 0.5)
    first = last - BAR_WIDTH + 1
    places = size - BAR_WIDTH + 1
    covering = np.minimum(last, places - 1) - np.maximum(first, 0) + 1
    return covering.clip(0) / places  # beyond the border there is no bar


def matched_distance(one: np.ndarray, two: np.ndarray) -> tuple[float, float]:
    """Mean distance in pixels between the keypoints of two models, matched one to one.

    Args:
      one, two: float [N, K, 2], centres in the same frames.

    Returns:
      With the best matching of every frame, and with the one matching that is best on the whole.
    """
    (y1, x1), (y2, x2) = to_pixels(np.asarray(one, float)), to_pixels(np.asarray(two, float))
    cost = np.hypot(y1[:, :, None] - y2[:, None], x1[:, :, None] - x2[:, None])  # [N, K, K]
    by_frame = np.mean([c[linear_sum_assignment(c)].mean() for c in cost])
    overall = cost.mean(0)
    return float(by_frame), float(overall[linear_sum_assignment(overall)].mean())


def _mean(values: np.ndarray) -> float:
    """Mean of all values; NaN, without a warning, where there is none."""
    return float(values.mean()) if values.size else float("nan")
