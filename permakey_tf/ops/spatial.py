"""Coordinates, soft-argmax, Gaussian windows, patch neighbourhoods and map resizing.

Pure tensor functions. Coordinates: a centre is (y, x) in [-1, 1]; y = -1 is the top row, x = -1
the left column, 1 the bottom row and the right column.
"""

import functools

import numpy as np
import tensorflow as tf


def coordinate_grid(size: int, margin: int = 0) -> tf.Tensor:
    """float32 [size + 2 margin], coordinates of the rows (or columns) of a map, from -1 to 1.

    `margin` rows more on either side go on at the same distance.
    """
    reach = 1.0 + margin * 2.0 / max(size - 1, 1)
    return tf.linspace(-reach, reach, size + 2 * margin)


def append_coordinates(images: tf.Tensor) -> tf.Tensor:
    """[B, h, w, C] -> [B, h, w, C + 2]: the (y, x) of every pixel as two more channels.

    Source: Liu et al. 2018, "An intriguing failing of convolutional neural networks".
    """
    _, height, width, _ = images.shape
    grid = tf.meshgrid(coordinate_grid(height), coordinate_grid(width), indexing="ij")
    grid = tf.cast(tf.stack(grid, axis=-1), images.dtype)
    return tf.concat([images, tf.repeat(grid[None], tf.shape(images)[0], axis=0)], axis=-1)


def _marginal_softmax(logits) -> tuple[tf.Tensor, tf.Tensor]:
    """[B, h, w, K] -> [B, h, K] and [B, w, K], each of the mean over the other axis."""
    rows = tf.nn.softmax(tf.reduce_mean(logits, axis=2), axis=1)
    columns = tf.nn.softmax(tf.reduce_mean(logits, axis=1), axis=1)
    return rows, columns


def _joint_softmax(logits) -> tf.Tensor:
    """[B, h, w, K] -> the same, sums over each map are 1."""
    _, height, width, num_keypoints = logits.shape
    flat = tf.reshape(logits, [-1, height * width, num_keypoints])
    return tf.reshape(tf.nn.softmax(flat, axis=1), [-1, height, width, num_keypoints])


def soft_argmax(logits: tf.Tensor, mode: str = "marginal", scale: float = 1.0) -> tf.Tensor:
    """Expected position under a softmax of each map (ICLR eq. 3; Jakab et al. 2018, eq. 1).

    Args:
      logits: [B, h, w, K], any float dtype; computed in float32.
      mode: "marginal" averages the logits over one axis, then takes the softmax over the other;
        "joint" takes one softmax over the whole map.
      scale: factor on the logits.

    Returns:
      float32 [B, K, 2], centres (y, x) in [-1, 1].
    """
    logits = tf.cast(logits, tf.float32) * scale
    _, height, width, _ = logits.shape
    if mode == "marginal":
        rows, columns = _marginal_softmax(logits)
    elif mode == "joint":
        joint = _joint_softmax(logits)
        rows, columns = tf.reduce_sum(joint, axis=2), tf.reduce_sum(joint, axis=1)
    else:
        raise ValueError(f"soft-argmax mode {mode!r}: must be marginal or joint")
    y = tf.einsum("bhk,h->bk", rows, coordinate_grid(height))
    x = tf.einsum("bwk,w->bk", columns, coordinate_grid(width))
    return tf.stack([y, x], axis=-1)  # [B, K, 2]


def soft_argmax_weights(logits: tf.Tensor, mode: str, scale: float) -> tf.Tensor:
    """The weights of every place in `soft_argmax`'s expectation, whose arguments these are.

    Returns:
      float32 [B, h, w, K], sums over each map are 1.
    """
    logits = tf.cast(logits, tf.float32) * scale
    if mode == "joint":
        return _joint_softmax(logits)
    rows, columns = _marginal_softmax(logits)
    return rows[:, :, None] * columns[:, None]


def gaussian_windows(centers_yx: tf.Tensor, size: int, std: float, margin: int = 0) -> tf.Tensor:
    """exp(-((y - y_k)^2 + (x - x_k)^2) / std^2), drawn at any resolution (no factor 1/2).

    Args:
      centers_yx: float32 [B, K, 2], (y, x) in [-1, 1].
      size: side of the drawn windows.
      std: width, in coordinate units (half frame sides).
      margin: pixels that are drawn beyond each side of the frame.

    Returns:
      float32 [B, S, S, K], in [0, 1], S = size + 2 margin.
    """
    grid = coordinate_grid(size, margin)[None, :, None]  # [1, S, 1]
    along_y = tf.exp(-(((grid - centers_yx[:, None, :, 0]) / std) ** 2))  # [B, S, K]
    along_x = tf.exp(-(((grid - centers_yx[:, None, :, 1]) / std) ** 2))  # [B, S, K]
    return along_y[:, :, None, :] * along_x[:, None, :, :]  # [B, S, S, K]


def join_windows(windows: tf.Tensor, mode: str = "sum") -> tf.Tensor:
    """[B, S, S, K] -> [B, S, S]: "sum" over the windows, or "union" 1 - prod(1 - w)."""
    if mode == "sum":
        return tf.reduce_sum(windows, axis=-1)
    if mode == "union":
        # One after the other: the gradient of reduce_prod takes half as long again.
        return 1.0 - functools.reduce(tf.multiply, tf.unstack(1.0 - windows, axis=-1))
    raise ValueError(f"window join {mode!r}: must be sum or union")


def transport(features_a, features_b, windows_a, windows_b) -> tf.Tensor:
    """Moves the features at b's keypoints into a, and a's keypoints out of it.

    Kulkarni et al. 2019, eq. 1, one keypoint k after the other:
      features <- (1 - H_k(a)) * (1 - H_k(b)) * features + H_k(b) * features_b.
    A channel is only ever scaled by maps that all channels share, so the recursion runs over two
    maps (what is kept of a, what is pasted from b) and the features are touched once.

    Args:
      features_a, features_b: [B, h, w, C], of the first and of the second frame.
      windows_a, windows_b: float32 [B, h, w, K].

    Returns:
      [B, h, w, C], as features_b's dtype.
    """
    kept = tf.ones_like(windows_b[..., 0])  # [B, h, w]
    pasted = tf.zeros_like(kept)
    for window_a, window_b in zip(
        tf.unstack(windows_a, axis=-1), tf.unstack(windows_b, axis=-1), strict=True
    ):
        scale = (1.0 - window_a) * (1.0 - window_b)
        kept, pasted = scale * kept, scale * pasted + window_b
    kept, pasted = (tf.cast(x, features_b.dtype)[..., None] for x in (kept, pasted))
    return kept * features_a + pasted * features_b


def _pad_to_multiple(features: tf.Tensor, patch_size: int, border: int) -> tf.Tensor:
    """Zeros: `border` on every side, and at the bottom and right what p-divisibility lacks."""
    _, height, width, _ = features.shape
    lacking = [-height % patch_size, -width % patch_size]
    paddings = [[0, 0], *([border, border + extra] for extra in lacking), [0, 0]]
    return tf.pad(features, paddings)


def pad_for_neighbours(features: tf.Tensor, patch_size: int) -> tf.Tensor:
    """[B, H, W, C] -> [B, (ceil(H/p) + 2) p, (ceil(W/p) + 2) p, C]: whole patches, and a patch of
    zeros on every side, the neighbours outside the map."""
    return _pad_to_multiple(features, patch_size, patch_size)


def to_patches(features: tf.Tensor, patch_size: int) -> tf.Tensor:
    """Cuts a map into p x p patches, each flattened row by row, channels last.

    Args:
      features: [B, H, W, C]. Where p does not divide H or W, zeros are added at the bottom and at
        the right, so no location is dropped and the grid stays aligned with the frame.
      patch_size: p.

    Returns:
      [B, ceil(H/p), ceil(W/p), p*p*C].
    """
    if patch_size == 1:
        return features
    return tf.nn.space_to_depth(_pad_to_multiple(features, patch_size, 0), patch_size)


def patch_mask(height: int, width: int, patch_size: int) -> np.ndarray:
    """float32 [ceil(H/p), ceil(W/p), p*p]: 1 where a patch's position lies inside the map."""
    p = patch_size
    rows, columns = -(-height // p), -(-width // p)
    inside = np.zeros((rows * p, columns * p), np.float32)
    inside[:height, :width] = 1.0
    cells = inside.reshape(rows, p, columns, p).transpose(0, 2, 1, 3)
    return cells.reshape(rows, columns, p * p)


def whole_patches(height: int, width: int, patch_size: int) -> tuple[int, int] | None:
    """Rows and columns of the patches that lie wholly inside a map.

    None where that is all of them, or none at all: a map smaller than a patch.
    """
    whole = height // patch_size, width // patch_size
    divides = not (height % patch_size or width % patch_size)
    return None if divides or 0 in whole else whole


def neighbourhood_kernel(weights: tf.Tensor, patch_size: int, channels: int) -> tf.Tensor:
    """Turns a dense layer over the eight neighbouring patches into a convolution kernel.

    Gathering the neighbours of every location would copy each feature eight times; a convolution
    with a zero centre does the same sum in place and wastes 1/8 of its multiplications, which is
    faster than the copies.

    Args:
      weights: [8*p*p*C, units]. Order of the inputs: the 3p x 3p window row by row, channels
        last, with the p x p centre left out.
      patch_size: p.
      channels: C.

    Returns:
      [3p, 3p, C, units], for a convolution of stride p over the map padded by p.
    """
    p, units = patch_size, weights.shape[-1]
    edge = p * 3 * p * channels  # inputs in the p rows above (or below) the centre
    above, beside, below = tf.split(weights, [edge, 2 * p * p * channels, edge])
    left, right = tf.unstack(tf.reshape(beside, [p, 2, p * channels, units]), axis=1)
    middle = tf.concat([left, tf.zeros_like(left), right], axis=1)  # [p, 3*p*C, units]
    rows = [tf.reshape(part, [p, 3 * p, channels, units]) for part in (above, middle, below)]
    return tf.concat(rows, axis=0)


def neighbourhood_dense(features: tf.Tensor, weights: tf.Tensor, patch_size: int) -> tf.Tensor:
    """Applies one dense layer to the eight neighbours of every patch (ICLR eq. 2).

    Args:
      features: [B, H, W, C]; outside the map, neighbours are zero.
      weights: [8*p*p*C, units], inputs ordered as in `neighbourhood_kernel`.
      patch_size: p.

    Returns:
      [B, ceil(H/p), ceil(W/p), units].
    """
    kernel = neighbourhood_kernel(weights, patch_size, features.shape[-1])
    padded = pad_for_neighbours(features, patch_size)
    return tf.nn.conv2d(padded, kernel, strides=patch_size, padding="VALID")


def upsample_nearest(maps: tf.Tensor, factor: int, size: int) -> tf.Tensor:
    """[B, h, w, M] -> [B, size, size, M]: repeats each cell, cuts what lies outside the frame."""
    repeated = tf.repeat(tf.repeat(maps, factor, axis=1), factor, axis=2)
    return repeated[:, :size, :size]


def normalize_maps(maps: tf.Tensor) -> tf.Tensor:
    """Scales each map of each frame to [0, 1]; a constant map gives zeros.

    Args:
      maps: float32 [B, h, w, M].
    """
    low = tf.reduce_min(maps, axis=(1, 2), keepdims=True)
    span = tf.reduce_max(maps, axis=(1, 2), keepdims=True) - low
    return tf.math.divide_no_nan(maps - low, span)
