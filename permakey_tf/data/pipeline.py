"""Batches of frames for training and evaluation, gathered from the memory map.

Every batch is a pure function of (seed, step): a resumed run draws the frames, their order and
their noise exactly as an uninterrupted one, with no iterator state to save.
"""

import functools

import numpy as np
import tensorflow as tf

from permakey_tf.data.frames import FrameStore
from permakey_tf.data.noise import draw_bars
from permakey_tf.errors import UserError

# Independent random streams of one seed.
_ORDER, _NOISE, _HELD_OUT_NOISE = range(3)
_PREFETCH = 4  # batches


def steps_per_epoch(store: FrameStore, batch_size: int) -> int:
    """Full batches in one pass over the training split. Raises UserError where there is none."""
    num_frames = len(store.split_range("train"))
    if num_frames < batch_size:
        raise UserError(
            f"{store.path}: {num_frames} training frames are fewer than --batch_size={batch_size}"
        )
    return num_frames // batch_size


def training_batches(
    store: FrameStore, batch_size: int, noise: str, seed: int, first_step: int, last_step: int
) -> tf.data.Dataset:
    """Batches of steps `first_step` (inclusive) to `last_step` (exclusive), counted from 0.

    Each epoch visits the frames in a new order; a last incomplete batch is left out.

    Returns:
      Dataset of uint8 [batch_size, S, S, C].
    """
    rows = store.split_range("train")
    per_epoch = steps_per_epoch(store, batch_size)

    @functools.lru_cache(maxsize=2)
    def order(epoch):
        return rows.start + np.random.default_rng([seed, _ORDER, epoch]).permutation(len(rows))

    def load(step):
        epoch, position = divmod(int(step), per_epoch)
        chosen = order(epoch)[position * batch_size : (position + 1) * batch_size]
        return draw_bars(store.frames[chosen], noise, np.random.default_rng([seed, _NOISE, step]))

    shape = [batch_size, store.image_size, store.image_size, store.channels]
    return _load_all(tf.data.Dataset.range(first_step, last_step), load, shape)


def held_out_batches(
    store: FrameStore, split: str, batch_size: int, noise: str, seed: int
) -> tf.data.Dataset:
    """All frames of a split in order; the last batch may be smaller. The noise is the same at
    every pass, so that losses of different checkpoints can be compared.

    Returns:
      Dataset of uint8 [<= batch_size, S, S, C].
    """
    rows = store.split_range(split)

    def load(start):
        frames = store.frames[start : min(start + batch_size, rows.stop)]
        return draw_bars(frames, noise, np.random.default_rng([seed, _HELD_OUT_NOISE, start]))

    shape = [None, store.image_size, store.image_size, store.channels]
    return _load_all(tf.data.Dataset.range(rows.start, rows.stop, batch_size), load, shape)


def _load_all(positions: tf.data.Dataset, load, shape) -> tf.data.Dataset:
    def load_one(position):
        frames = tf.numpy_function(load, [position], tf.uint8, stateful=False)
        return tf.ensure_shape(frames, shape)

    return positions.map(load_one).prefetch(_PREFETCH)
