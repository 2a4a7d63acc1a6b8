"""Frames as models see them."""

import tensorflow as tf


def to_images(frames: tf.Tensor) -> tf.Tensor:
    """uint8 [B, S, S, C] -> float32 [B, S, S, C] in [0, 1]."""
    return tf.cast(frames, tf.float32) / 255.0


def prepare_frames(frames: tf.Tensor, image_size: int, channels: int, keep_aspect: bool = False):
    """What `data.preparation.prepare_frame` does, for a batch and as TensorFlow operations.

    OpenCV's order of operations and its roundings are kept, so that the bytes are OpenCV's too: a
    model's error maps are normalised by their extremes, and one level more or less shifts
    keypoints. `tf.image.resize(method="area")` rounds nothing, and averages where a side grows.

    Args:
      frames: uint8 [B, H, W, 3], RGB; H and W may be unknown until the graph runs.
      image_size: side S of the squares that come out, in pixels.
      channels: C, 3 for RGB or 1 for grey.
      keep_aspect: whether the shorter side is padded with black first.

    Returns:
      uint8 [B, S, S, C].
    """
    pixels = tf.cast(frames, tf.int32)
    if channels == 1:
        pixels = _to_grey(pixels)
    if keep_aspect:
        pixels = _pad_to_square(pixels)
    pixels = _enlarge(_shrink(pixels, image_size), image_size)
    return tf.cast(tf.ensure_shape(pixels, [None, image_size, image_size, channels]), tf.uint8)


def _to_grey(pixels):
    """int32 [B, H, W, 3] -> [B, H, W, 1]: luma, weights in units of 2^-15."""
    luma = tf.reduce_sum(pixels * tf.constant([9798, 19235, 3735]), axis=-1, keepdims=True)
    return (luma + 2**14) // 2**15


def _pad_to_square(pixels):
    """[B, H, W, C] -> [B, max(H, W), max(H, W), C], black at both ends of the shorter side."""
    sides = tf.shape(pixels)[1:3]
    spare = tf.reduce_max(sides) - sides
    before = spare // 2
    rows, columns = tf.unstack(tf.stack([before, spare - before], axis=1))
    return tf.pad(pixels, tf.stack([tf.zeros_like(rows), rows, columns, tf.zeros_like(rows)]))


def _shrink(pixels, size: int):
    """int32 [B, H, W, C] -> [B, min(H, S), min(W, S), C]: areas averaged, columns first."""
    old = tf.shape(pixels)[1:3]
    new = tf.minimum(old, size)
    columns = _average(tf.cast(pixels, tf.float32), new[1], axis=2)
    averages = _average(columns, new[0], axis=1)
    # Where whole pixels become one, OpenCV divides their sum once; and where four become one, a
    # half goes up, otherwise to the even neighbour.
    whole = tf.reduce_all(tf.equal(old % new, 0))
    number = tf.cast(tf.reduce_prod(old // new), tf.float32)
    averages = tf.where(whole, tf.round(averages * number) * (1.0 / number), averages)
    halved = tf.logical_and(whole, tf.reduce_all(tf.equal(old, 2 * new)))
    rounded = tf.where(halved, tf.floor(averages + 0.5), tf.round(averages))
    return tf.cast(rounded, tf.int32)


def _average(values, size, axis: int):
    """Brings one axis of float32 [B, H, W, C] to `size` by averaging; sums go from left to right.

    A loop over the few cells under one new pixel: a matrix product adds in an order of its own, and
    where the exact mean is half a level the order decides.
    """
    first, overlaps = _cells(tf.shape(values)[axis], size)
    last = tf.shape(values)[axis] - 1
    weights = tf.cast(overlaps, tf.float32) / tf.cast(last + 1, tf.float32)  # [T, size]
    weights = tf.reshape(weights, [-1, size, 1] if axis == 2 else [-1, size, 1, 1])

    def add(number, total):
        cells = tf.gather(values, tf.minimum(first + number, last), axis=axis)
        return number + 1, total + cells * weights[number]

    total = tf.zeros_like(tf.gather(values, first, axis=axis))
    return tf.while_loop(lambda number, _: number < tf.shape(weights)[0], add, (0, total))[1]


def _enlarge(pixels, size: int):
    """int32 [B, h, w, C], no side above S -> [B, S, S, C], in OpenCV's fixed-point numbers."""
    (left, right), (left_weight, right_weight) = _pairs(tf.shape(pixels)[2], size)
    lefts, rights = tf.gather(pixels, left, axis=2), tf.gather(pixels, right, axis=2)
    columns = (lefts * left_weight[:, None] + rights * right_weight[:, None]) // 2**4
    (top, bottom), (top_weight, bottom_weight) = _pairs(tf.shape(pixels)[1], size)
    tops = tf.gather(columns, top, axis=1) * top_weight[:, None, None] // 2**16
    bottoms = tf.gather(columns, bottom, axis=1) * bottom_weight[:, None, None] // 2**16
    return (tops + bottoms + 2) // 2**2


def _pairs(length, size):
    """Indices (each int32 [size]) of the two cells under every new pixel, and their weights in
    units of 2^-11, where a side grows from `length` to `size`."""
    first, overlaps = _cells(length, size)
    shares = tf.cast(overlaps[:2], tf.float32) / tf.cast(length, tf.float32)
    weights = tf.cast(tf.round(shares * 2**11), tf.int32)
    return (first, tf.minimum(first + 1, length - 1)), tf.unstack(weights, num=2)


def _cells(length, size):
    """Which cells of an axis lie under the pixels of a new one of another length.

    Args:
      length, size: of the axis and of the new one.

    Returns:
      first: int32 [size], index of the first cell under each new pixel.
      overlaps: int32 [T, size], how much of it and of the next T - 1 cells is covered, in parts of
        which a cell has `size` and a new pixel `length`.
    """
    starts = tf.range(size) * length
    first = starts // size
    cells = first + tf.range((length + size - 1) // size + 1)[:, None]
    ends = tf.minimum((cells + 1) * size, starts + length)
    return first, tf.maximum(ends - tf.maximum(cells * size, starts), 0)
