"""Keypoints that need no model: what a score is worth shows beside theirs."""

from collections.abc import Callable, Iterable

import cv2
import numpy as np

from permakey_tf.objects.boxes import Objects
from permakey_tf.quality.measures import HEIGHT, WIDTH, box_distances
from permakey_tf.system.arrays import starts_of
from permakey_tf.types import Keypoints

_CELL = 4  # pixels between the points that constants are chosen from
_BLUR = 3  # pixels, so that a peak is a blob and not a speckle
_BOXES = 4096  # boxes looked at together: bounds memory
_ENLARGED = 2  # times, on each side, before features are looked for
_FRAMES = 256  # frames whose maps are in memory together


def random_points(num_frames: int, num_points: int, rng: np.random.Generator) -> np.ndarray:
    """float [N, K, 2], uniform over the frame, anew in every frame."""
    return rng.uniform(-1, 1, (num_frames, num_points, 2))


def grid_points(num_points: int) -> np.ndarray:
    """float [K, 2]: rows of evenly spread points, about as far apart in pixels as the rows are."""
    num_rows = min(num_points, max(1, round((num_points * HEIGHT / WIDTH) ** 0.5)))
    edges = np.linspace(0, num_points, num_rows + 1).round().astype(int)
    points = []
    for row, length in enumerate(np.diff(edges)):
        y = (2 * row + 1) / num_rows - 1
        points += [(y, (2 * column + 1) / length - 1) for column in range(length)]
    return np.array(points)


def best_constants(num_points: int, objects: Objects, epsilon: float) -> Keypoints:
    """Points of a 4-pixel grid, chosen greedily to be on as many boxes as possible.

    Where all boxes are reached with fewer points, the last one is repeated. The confidence of a
    point is the share of the boxes that it is on and those before it are not.

    Args:
      objects: boxes, of training frames.
      epsilon: a point is on a box within this distance, in pixels.

    Returns:
      float64 [K, 2] and float32 [K].
    """
    rows = np.arange(_CELL // 2, HEIGHT, _CELL) / (HEIGHT - 1) * 2 - 1
    columns = np.arange(_CELL // 2, WIDTH, _CELL) / (WIDTH - 1) * 2 - 1
    grid = np.stack(np.meshgrid(rows, columns, indexing="ij"), -1).reshape(1, -1, 2)
    boxes, weight = np.unique(objects.xywh, axis=0, return_counts=True)
    on = [
        box_distances(grid, np.zeros(len(part), int), part)[0] <= epsilon
        for part in np.array_split(boxes, len(boxes) // _BOXES + 1)
    ]
    on, weight = np.concatenate(on, axis=1), weight.astype(np.float32)  # [G, U], [U]
    total = max(weight.sum(), 1)
    chosen, shares = [], np.zeros(num_points, np.float32)
    for number in range(num_points):
        gain = on @ weight
        best = int(gain.argmax()) if gain.any() or not chosen else chosen[-1]
        shares[number] = gain[best] / total
        chosen.append(best)
        weight[on[best]] = 0
    return Keypoints(grid[0, chosen], shares)


def frame_differences(frames: np.ndarray, episodes: np.ndarray) -> np.ndarray:
    """float32 [N, S, S]: absolute difference to the frame before, summed over channels.

    An episode's first frame is compared with the next one; the only frame of an episode has no
    difference.

    Args:
      frames: uint8 [N, S, S, C]; episodes: int [N].
    """
    other = np.arange(len(frames)) - 1
    starts = starts_of(episodes)
    after = np.minimum(starts + 1, len(frames) - 1)
    other[starts] = np.where(episodes[after] == episodes[starts], after, starts)
    return differences(frames, (frames[row] for row in other))


def differences(frames: np.ndarray, others: Iterable[np.ndarray]) -> np.ndarray:
    """float32 [N, S, S]: absolute difference to one other frame each, summed over channels.

    Args:
      frames: uint8 [N, S, S, C]; others: at least N of uint8 [S, S, C].
    """
    found = np.empty(frames.shape[:3], np.float32)
    for row, (frame, other) in enumerate(zip(frames, others, strict=False)):
        difference = cv2.absdiff(frame, other).reshape(frame.shape)
        found[row] = np.einsum("yxc->yx", difference, dtype=np.float32)
    return found


def median_frame(frames: np.ndarray) -> np.ndarray:
    """uint8 [S, S, C]: the median of every value over frames [N, S, S, C], the upper of two."""
    middle = len(frames) // 2
    # Line by line: all values at once would be copied in one piece.
    lines = (np.moveaxis(frames[:, y], 0, -1) for y in range(frames.shape[1]))
    return np.stack([np.partition(line, middle)[..., middle] for line in lines])


def foreground(parts: Iterable[np.ndarray]) -> list[np.ndarray]:
    """Masks of OpenCV's background subtractor (MOG2), 0 or 255, which reads the parts in order.

    As it is used, it goes on learning in every part, and sees no frame before it is its turn.

    Args:
      parts: uint8 [n, S, S, C] each.

    Returns:
      uint8 [n, S, S] of each part.
    """
    subtractor = cv2.createBackgroundSubtractorMOG2(detectShadows=False)
    return [
        np.array([subtractor.apply(frame) for frame in frames], np.uint8).reshape(frames.shape[:3])
        for frames in parts
    ]


def strongest_peaks(
    maps: np.ndarray, num_points: int, radius: int
) -> tuple[np.ndarray, np.ndarray]:
    """The strongest peaks of every map, the strongest first.

    A map is blurred slightly; its maximum is taken and everything within `radius` pixels of it, in
    both axes, blotted out; and so on. Where nothing above zero is left, the last peak is repeated:
    points where nothing is would only cost precision. On a map of zeros all are in the middle.

    Args:
      maps: float32 or uint8 [N, S, S], not negative.

    Returns:
      float64 [N, K, 2], (y, x) in [-1, 1]; float32 [N, K], their heights in the blurred map, 0
      where another one is repeated.
    """
    length, height, width = maps.shape
    blurred = np.stack([cv2.blur(m, (_BLUR, _BLUR)) for m in maps.astype(np.float32)])
    padded = np.full((length, height + 2 * radius, width + 2 * radius), -1, np.float32)
    padded[:, radius : radius + height, radius : radius + width] = blurred
    inner = padded[:, radius : radius + height, radius : radius + width]
    offsets = np.arange(2 * radius + 1)
    every, points = np.arange(length), np.empty((length, num_points, 2))
    heights = np.empty((length, num_points), np.float32)
    last = np.zeros((length, 2))
    for k in range(num_points):
        flat = inner.reshape(length, -1)
        highest = flat.argmax(1)
        rows, columns = np.divmod(highest, width)
        found = np.stack([rows / (height - 1), columns / (width - 1)], -1) * 2 - 1
        heights[:, k] = np.maximum(flat[every, highest], 0)
        points[:, k] = last = np.where(heights[:, k, None] > 0, found, last)
        blot = every[:, None, None], rows[:, None, None] + offsets[:, None]
        padded[*blot, columns[:, None, None] + offsets] = -1
    return points, heights


def peaks_in_chunks(
    maps: Callable[[slice], np.ndarray],
    num_frames: int,
    num_points: int,
    radius: int,
    full: float = 1,
) -> Keypoints:
    """`strongest_peaks` of many maps, of which few are in memory together.

    Args:
      maps: from rows to their maps, float32 or uint8 [number of rows, S, S].
      full: the greatest height there can be, which is a confidence of 1. Maps of whole numbers are
        better not divided by it: blurred, they keep their zeros.

    Returns:
      float64 [num_frames, num_points, 2] and float32 [num_frames, num_points].
    """
    points = np.zeros((num_frames, num_points, 2))
    heights = np.zeros((num_frames, num_points), np.float32)
    for start in range(0, num_frames, _FRAMES):
        rows = slice(start, start + _FRAMES)
        points[rows], heights[rows] = strongest_peaks(maps(rows), num_points, radius)
    return Keypoints(points, (heights / full).clip(0, 1))  # the blur's rounding may pass 1


# What finds features of grey images, and from its response, of any range, to one in [0, 1]. ORB's
# is Harris's score, in which gradients have the power of four.
DETECTORS: dict[str, tuple[Callable, Callable[[np.ndarray], np.ndarray]]] = {
    "SIFT": (cv2.SIFT_create, lambda response: response),
    "ORB": (cv2.ORB_create, lambda response: np.maximum(response, 0) ** 0.25),
}


def features(frames: np.ndarray, num_points: int, radius: int, detector: str) -> Keypoints:
    """The features with the strongest response in every frame, which is enlarged twice.

    A feature within `radius` pixels of a stronger one, in both axes, is left out. Where there are
    fewer than `num_points`, the last is repeated with a confidence of 0; in a frame without any,
    all are in the middle.

    Args:
      frames: uint8 [N, S, S, C], RGB or grey; detector: one of DETECTORS.

    Returns:
      float64 [N, K, 2] and float32 [N, K].
    """
    make, scaled = DETECTORS[detector]
    finder = make()
    points = np.zeros((len(frames), num_points, 2))
    confidence = np.zeros((len(frames), num_points), np.float32)
    for row, frame in enumerate(frames):
        places, response = _features_of(frame, finder)
        chosen = _apart(places, num_points, radius + 1)
        if len(chosen):
            padded = np.append(chosen, np.repeat(chosen[-1:], num_points - len(chosen)))
            points[row] = places[padded] / (np.array(frame.shape[:2]) - 1) * 2 - 1
            confidence[row, : len(chosen)] = scaled(response[chosen])
    return Keypoints(points.clip(-1, 1), confidence.clip(0, 1))


def _features_of(frame: np.ndarray, finder) -> tuple[np.ndarray, np.ndarray]:
    """Places (y, x) [n, 2] in pixels of the frame and responses [n], the strongest first."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) if frame.shape[2] == 3 else frame
    found = finder.detect(cv2.resize(grey, None, fx=_ENLARGED, fy=_ENLARGED))
    values = np.array([(f.pt[1], f.pt[0], f.response) for f in found]).reshape(-1, 3)
    values = values[np.argsort(-values[:, 2], kind="stable")]
    return (values[:, :2] + 0.5) / _ENLARGED - 0.5, values[:, 2]


def _apart(places: np.ndarray, number: int, distance: int) -> np.ndarray:
    """int [at most number]: in order, those that are `distance` from the chosen, along one axis."""
    chosen = np.zeros(0, int)
    for index, place in enumerate(places):
        if len(chosen) < number and (np.abs(places[chosen] - place).max(1) >= distance).all():
            chosen = np.append(chosen, index)
    return chosen
