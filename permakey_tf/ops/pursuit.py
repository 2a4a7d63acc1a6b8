"""Greedy pursuit of eq. 3: keypoints straight from an error map, nothing trained.

Eq. 3 asks for the K centres whose joined windows come closest to the error maps. PointNet learns to
guess them; pursuit takes them one after the other, each where the windows so far leave most
unexplained, as matching pursuit takes its atoms (Mallat and Zhang 1993). docs/pursuit.md tells why
this is right, and what it finds.

A map has one value per cell, a cell being a square of frame pixels. Coordinates as in spatial.py.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

# Heights and distances that differ by less are equal. Equal patches of a frame have equal errors
# but for rounding, which depends on how many are computed at once: a stream, a batch and an
# exported model would choose differently between places that are equally good.
TIE = 1e-5


class Explained(NamedTuple):
    """How much of a map each window explains that those before it do not; float32 [B, K] each.

    With U the union of the windows before, r = map - U, and d what the window adds to the union:

    confidence: <d, r> / <d, d> between 0 and 1: the height that suits the window best. Below 1/2
      the window, which is 1 high, adds more to the error of eq. 3 than it takes off.
    gain: 2 <d, r> - <d, d> over the number of cells: what it takes off the mean squared error.
    """

    confidence: tf.Tensor
    gain: tf.Tensor


class Pursued(NamedTuple):
    """K keypoints of each map, in the order in which they were taken.

    centers_yx: float32 [B, K, 2], (y, x); (0, 0) where nothing was left to be explained.
    heights: float32 [B, K], of the residual where it was highest; 0 where nothing was left.
    explained: by their windows; all 0 where nothing was left.
    """

    centers_yx: tf.Tensor
    heights: tf.Tensor
    explained: Explained


def cell_coordinates(image_size: int, cell_size: int) -> np.ndarray:
    """float32 [ceil(S/p)]: coordinate of the middle of each row (or column) of cells.

    Args:
      image_size: side S of the frame, pixels.
      cell_size: side p of a cell, pixels. The last one is cut where p does not divide S.
    """
    edges = np.minimum(np.arange(0, image_size + cell_size, cell_size), image_size)
    middles = (edges[:-1] + edges[1:] - 1) / 2  # pixels; the middle of the first pixel is 0
    return (middles / max(image_size - 1, 1) * 2 - 1).astype(np.float32)


def to_cells(maps: tf.Tensor, cell_size: int) -> tf.Tensor:
    """float32 [B, S, S, M] -> [B, n, n]: mean over the maps, one value per cell of the finest one;
    they were enlarged by repeating their cells."""
    return tf.reduce_mean(maps[:, ::cell_size, ::cell_size], axis=-1)


def smooth(maps: tf.Tensor) -> tf.Tensor:
    """[B, n, n] -> [B, n, n]: mean of each cell and the eight that touch it.

    Beyond the frame a map is zero. So what lights up at the border, where the LSPN lacks neighbours
    to predict from, counts for less.
    """
    padded = tf.pad(maps, [[0, 0], [1, 1], [1, 1]])
    # With a new axis by indexing, an exported model of PointNet's has no form in LiteRT.
    return tf.nn.avg_pool2d(tf.expand_dims(padded, -1), 3, 1, "VALID")[..., 0]


def border_factors(num_cells: int, factor: float) -> np.ndarray:
    """float32 [n, n]: `factor` for the cells at the frame's border, 1 for the others."""
    factors = np.full([num_cells, num_cells], factor, np.float32)
    factors[1:-1, 1:-1] = 1.0
    return factors


def without_lines(maps: tf.Tensor) -> tf.Tensor:
    """[B, n, n] -> [B, n, n]: less the median of a cell's row or of its column, the higher of the
    two; 0 where nothing is left.

    An object covers less than half of a row, and leaves its median alone; what crosses the whole
    frame is its median. Of an even number the median is the lower one of the middle two.
    """
    along_rows, along_columns = (
        _lower_median(m) for m in (maps, tf.transpose(maps, [0, 2, 1]))
    )  # [B, n] each
    lines = tf.maximum(along_rows[:, :, None], along_columns[:, None, :])
    return tf.nn.relu(maps - lines)


def _lower_median(values) -> tf.Tensor:
    """[..., n] -> [...]."""
    return tf.math.top_k(values, values.shape[-1] // 2 + 1).values[..., -1]


def pursue(
    maps: tf.Tensor,
    coordinates: np.ndarray,
    num_keypoints: int,
    std: float,
    radius: float,
    sharpness: float,
) -> Pursued:
    """Takes K keypoints from each map, one after the other.

    For each, the residual is the map less the union of the windows so far. Where it is highest is
    the keypoint's place (of equal places the first, row by row), refined to the expectation under a
    softmax of the residual around it.

    Args:
      maps: float32 [B, n, n] in [0, 1].
      coordinates: float32 [n], of `cell_coordinates`.
      num_keypoints: K.
      std: width of the windows, see `spatial.gaussian_windows`.
      radius: of the refinement, half frame sides.
      sharpness: factor on the residual before the softmax.
    """
    union = tf.zeros_like(maps)
    centers, heights, residuals, additions = [], [], [], []
    for _ in range(num_keypoints):
        residual = maps - union
        height = tf.reduce_max(residual, axis=(1, 2))  # [B]
        left = height > TIE
        center = _refined_peak(residual, height, coordinates, radius, sharpness)
        center = tf.where(left[:, None], center, 0.0)  # [B, 2]
        window = tf.where(left[:, None, None], _windows(center, coordinates, std), 0.0)
        added = window * (1.0 - union)
        union += added
        centers.append(center)
        heights.append(tf.where(left, height, 0.0))
        residuals.append(residual)
        additions.append(added)
    explained = _explained(tf.stack(additions, axis=1), tf.stack(residuals, axis=1))
    return Pursued(tf.stack(centers, axis=1), tf.stack(heights, axis=1), explained)


def explain(
    maps: tf.Tensor, centers_yx: tf.Tensor, coordinates: np.ndarray, std: float
) -> Explained:
    """How much the windows of any keypoints explain, the one that explains most alone coming first.

    Args:
      maps, coordinates, std: as in `pursue`.
      centers_yx: float32 [B, K, 2].
    """
    windows = _windows(centers_yx, coordinates, std)  # [B, K, n, n]
    alone = _explained(windows, maps[:, None]).confidence
    order = tf.argsort(alone, direction="DESCENDING", stable=True)  # [B, K]
    union = tf.zeros_like(maps)
    residuals, additions = [], []
    for window in tf.unstack(tf.gather(windows, order, batch_dims=1), axis=1):
        added = window * (1.0 - union)
        residuals.append(maps - union)
        additions.append(added)
        union += added
    explained = _explained(tf.stack(additions, axis=1), tf.stack(residuals, axis=1))
    place = tf.argsort(order, stable=True)
    return Explained(*(tf.gather(part, place, batch_dims=1) for part in explained))


def _explained(added, residual) -> Explained:
    """What each window adds to the union and what it was to explain, [B, K, n, n] each."""
    matched = tf.reduce_sum(added * residual, axis=(2, 3))
    energy = tf.reduce_sum(added * added, axis=(2, 3))
    height = tf.math.divide_no_nan(matched, energy)
    cells = residual.shape[2] * residual.shape[3]
    return Explained(tf.clip_by_value(height, 0.0, 1.0), (2.0 * matched - energy) / cells)


def _windows(centers, coordinates, std: float) -> tf.Tensor:
    """float32 [..., 2] -> [..., n, n], one window a centre, at the middles of the cells."""
    along = tf.exp(-tf.square((coordinates - centers[..., None]) / std))  # [..., 2, n]
    return along[..., 0, :, None] * along[..., 1, None, :]


def _refined_peak(residual, height, coordinates, radius: float, sharpness: float) -> tf.Tensor:
    """float32 [B, n, n], [B] -> [B, 2]: expected place within `radius` of the first of the highest
    cells, whose height is given."""
    size = len(coordinates)
    flat = tf.reshape(residual, [-1, size * size])
    highest_ones = tf.cast(flat >= height[:, None] - TIE, tf.float32)
    # The first of them. int32: LiteRT cannot divide int64.
    highest = tf.argmax(highest_ones, axis=1, output_type=tf.int32)
    peak = tf.gather(coordinates, tf.stack([highest // size, highest % size], axis=1))
    distance = tf.square(coordinates - peak[..., None])  # [B, 2, n]
    near = distance[:, 0, :, None] + distance[:, 1, None, :] <= radius**2  # [B, n, n]
    weights = tf.where(near, tf.exp(sharpness * (residual - height[:, None, None])), 0.0)
    along = tf.stack([tf.reduce_sum(weights, axis=axis) for axis in (2, 1)], axis=1)  # [B, 2, n]
    return tf.reduce_sum(along * coordinates, axis=2) / tf.reduce_sum(along, axis=2)
