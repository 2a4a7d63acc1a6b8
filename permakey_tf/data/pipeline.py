"""Batches of examples for training and evaluation, read from the disk as they are needed.

An example is one frame, or a pair of frames of one episode. Every batch is a pure function of
(seed, step): a resumed run draws the examples, their order and their noise exactly as an
uninterrupted one, with no iterator state to save.
"""

import concurrent.futures
import functools
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from permakey_tf.configs.keypoints import KeypointConfig, check_batch
from permakey_tf.data.noise import Bars, bar_positions, draw_bars_at
from permakey_tf.data.reading import BlockReader
from permakey_tf.data.store import FrameStore
from permakey_tf.errors import UserError
from permakey_tf.system.arrays import starts_of
from permakey_tf.system.seeds import Stream, stream

_PREFETCH = 16  # batches
_ALL = slice(None)

# Of shuffle=blocks, frames: a block lies together on the disk and is read at once; each frame is
# given out up to so many later.
_BLOCK = 64
_PUT_OFF = 8192


class SingleFrames:
    """Examples of one frame: each epoch visits every training frame once, in a new order; a last
    incomplete batch is left out.

    Of weighted stores an epoch has as many frames, of every store its share. A store's frames are
    visited in passes of their own, which go on from epoch to epoch.

    With shuffle=blocks the order is that of blocks of 64 neighbours, shuffled, in which each frame
    is put off by up to 8,192 frames: a block has to be read but once.

    Args:
      store: the frames.
      config: batch size and seed.

    Raises:
      UserError: fewer training frames than a batch.
    """

    shape = ()

    def __init__(self, store: FrameStore, config: KeypointConfig):
        self._store, self._training = store, config.training
        self._rows = store.split_range("train")
        check_batch(config, len(self._rows), store.path)
        self.steps_per_epoch = len(self._rows) // config.training.batch_size
        # In a thread, one epoch ahead: no batch waits for the order of a million frames.
        draw = concurrent.futures.ThreadPoolExecutor(max_workers=1).submit
        self._drawn = functools.lru_cache(maxsize=3)(functools.partial(draw, self._epoch))

    def _epoch(self, epoch) -> np.ndarray:
        """int [N], the rows of an epoch in their order."""
        if self._store.weights:
            return self._mixture(epoch)
        return self._shuffled(self._rows, Stream.ORDER, epoch)

    def _shuffled(self, rows: range, purpose: Stream, *numbers: int) -> np.ndarray:
        """int [N], `rows` in an order of their own for each purpose and numbers."""
        rng = stream(self._training.seed, purpose, *numbers)
        if self._training.shuffle == "full":
            return rows.start + rng.permutation(len(rows))
        # Blocks in random order, one after the other; then every frame is put off by a random time.
        block = np.array(rows) // _BLOCK
        rank = rng.permutation(block[-1] - block[0] + 1)[block - block[0]]
        times = np.arange(len(rows)) + rng.uniform(0, _PUT_OFF, len(rows))
        return rows.start + np.argsort(rank, kind="stable")[np.argsort(times, kind="stable")]

    def _mixture(self, epoch) -> np.ndarray:
        weights, total = np.array(self._store.weights), len(self._rows)
        shares = np.diff(np.cumsum(weights) * total // weights.sum(), prepend=0)
        rng = stream(self._training.seed, Stream.MIXTURE, epoch)
        part = rng.permutation(np.repeat(np.arange(len(shares)), shares))
        order = np.empty(total, int)
        for number, rows in enumerate(self._store.split_parts("train")):
            first, last = epoch * shares[number], (epoch + 1) * shares[number]
            begun = first // len(rows)
            passes = [
                self._shuffled(rows, Stream.STORE_ORDER, number, pass_)
                for pass_ in range(begun, -(-last // len(rows)))
            ]
            drawn = np.concatenate([np.array([], int), *passes])
            order[part == number] = drawn[first - begun * len(rows) :][: shares[number]]
        return order

    def training(self, step: int) -> np.ndarray:
        """int [batch_size], rows of the store for training step `step`, counted from 0."""
        epoch, position = divmod(step, self.steps_per_epoch)
        size = self._training.batch_size
        order, _ = self._drawn(epoch), self._drawn(epoch + 1)
        return order.result()[position * size : (position + 1) * size]

    def held_out(self, split: str) -> np.ndarray:
        """int [N], all rows of a split in order."""
        return np.array(self._store.split_range(split))


class _Windows(NamedTuple):
    """The windows of a split, by the E episodes that have any, in order.

    starts: int [E], first row of the episode. lengths: int [E], frames in each of its windows.
    ends: int [E], number of windows up to its last one, included; they begin one row apart.
    """

    starts: np.ndarray
    lengths: np.ndarray
    ends: np.ndarray


class FramePairs:
    """Examples of two frames: the first and the second half of a random window of an episode.

    Windows have `pair_window` frames and lie inside an episode; an episode shorter than that is
    one window. All windows of a split are equally likely; of weighted stores, those of a store.

    Args:
      store: the frames.
      config: batch size, seed, window.

    Raises:
      UserError: no episode of a split has two frames.
    """

    shape = (2,)

    def __init__(self, store: FrameStore, config: KeypointConfig):
        self._store, self._training = store, config.training
        self._window = config.transporter.pair_window
        pairs = config.transporter.pairs_per_epoch
        self.steps_per_epoch = max(pairs // config.training.batch_size, 1)
        self._train_windows = self._windows("train")
        self._part_ends = self._ends_of_parts()

    def _windows(self, split) -> "_Windows":
        rows = self._store.split_range(split)
        episodes = self._store.episodes[rows.start : rows.stop]
        starts = starts_of(episodes)
        lengths = np.diff(starts, append=len(episodes))
        starts, lengths = rows.start + starts[lengths > 1], lengths[lengths > 1]
        if not len(starts):
            raise UserError(f"{self._store.path}: no episode of the {split} split has two frames")
        numbers = np.maximum(lengths - self._window, 0) + 1
        return _Windows(starts, np.minimum(lengths, self._window), np.cumsum(numbers))

    def _ends_of_parts(self) -> np.ndarray:
        """int [P + 1], number of training windows before each store, and in all."""
        windows, parts = self._train_windows, self._store.split_parts("train")
        episodes = np.searchsorted(windows.starts, [rows.stop for rows in parts])
        ends = np.r_[0, np.r_[0, windows.ends][episodes]]
        empty = np.flatnonzero(np.diff(ends) == 0)
        if self._store.weights and len(empty):
            path = self._store.parts[empty[0]].path
            raise UserError(f"{path}: no episode of the train split has two frames")
        return ends

    def _pairs(self, windows, drawn, rng):
        """int [D, 2], a pair in each of the windows `drawn`."""
        episode = np.searchsorted(windows.ends, drawn, side="right")
        starts = windows.starts[episode] + drawn - np.r_[0, windows.ends][episode]
        halves = windows.lengths[episode] // 2
        first = starts + rng.integers(halves)
        second = starts + halves + rng.integers(windows.lengths[episode] - halves)
        return np.stack([first, second], axis=1)

    def _weighted(self, number, rng):
        """int [number], training windows: those of a store are equally likely."""
        weights = np.array(self._store.weights)
        part = rng.choice(len(weights), size=number, p=weights / weights.sum())
        return rng.integers(self._part_ends[part], self._part_ends[part + 1])

    def training(self, step: int) -> np.ndarray:
        """int [batch_size, 2], rows of the pairs of training step `step`, counted from 0."""
        rng = stream(self._training.seed, Stream.PAIRS, step)
        windows, number = self._train_windows, self._training.batch_size
        if self._store.weights:
            return self._pairs(windows, self._weighted(number, rng), rng)
        return self._pairs(windows, rng.integers(windows.ends[-1], size=number), rng)

    def held_out(self, split: str) -> np.ndarray:
        """int [N, 2], as many pairs as the split has frames, the same at every call."""
        rng = stream(self._training.seed, Stream.HELD_OUT_PAIRS)
        windows, number = self._windows(split), len(self._store.split_range(split))
        return self._pairs(windows, rng.integers(windows.ends[-1], size=number), rng)


def make_sampler(store: FrameStore, config: KeypointConfig, frames_per_example: int):
    """The examples that a model trains on: `SingleFrames` or `FramePairs`."""
    return {1: SingleFrames, 2: FramePairs}[frames_per_example](store, config)


def training_batches(
    store: FrameStore,
    sampler,
    config: KeypointConfig,
    first_step: int,
    last_step: int,
    part: slice = _ALL,
) -> tf.data.Dataset:
    """Batches of steps `first_step` (inclusive) to `last_step` (exclusive), counted from 0.

    Args:
      part: of each batch; no more than its frames are read, and they are as in the whole batch.

    Returns:
      Dataset of uint8 [batch_size, S, S, C], or [batch_size, 2, S, S, C] of pairs.
    """
    training = config.training
    read = store.read
    if training.shuffle == "blocks" and not sampler.shape:  # pairs are drawn anywhere
        most = 2 * _PUT_OFF // _BLOCK * max(len(store.parts), 1)
        read = BlockReader(store.read, len(store.frames), _BLOCK, most)

    def load(step):
        rng = stream(training.seed, Stream.BARS, step)
        return _gather(read, sampler.training(int(step)), training.noise, rng, part)

    positions = tf.data.Dataset.range(first_step, last_step)
    size = len(range(training.batch_size)[part])
    return _load_all(positions, load, [size, *sampler.shape, *store.frames.shape[1:]])


def held_out_batches(
    store: FrameStore, sampler, config: KeypointConfig, split: str
) -> tf.data.Dataset:
    """All held-out examples of a split; the last batch may be smaller. The noise is the same at
    every pass, so that losses of different checkpoints can be compared.

    Returns:
      Dataset of uint8 [<= batch_size, S, S, C], or [<= batch_size, 2, S, S, C] of pairs.
    """
    training, rows = config.training, sampler.held_out(split)
    first_row = store.split_range(split).start

    def load(start):
        rng = stream(training.seed, Stream.HELD_OUT_BARS, first_row + start)
        return _gather(store.read, rows[start : start + training.batch_size], training.noise, rng)

    shape = [None, *sampler.shape, *store.frames.shape[1:]]
    return _load_all(tf.data.Dataset.range(0, len(rows), training.batch_size), load, shape)


def held_out_examples(
    store: FrameStore, sampler, config: KeypointConfig, split: str, number: int
) -> np.ndarray:
    """uint8 [<= number, ...], held-out examples spread over a split, noisy where the run is."""
    rows = sampler.held_out(split)
    chosen = np.linspace(0, len(rows) - 1, min(number, len(rows))).astype(int)
    rng = stream(config.training.seed, Stream.EXAMPLE_BARS)
    return _gather(store.read, rows[chosen], config.training.noise, rng)


def _gather(read, rows, noise, rng, part=_ALL):
    """Frames of `rows[part]`, rows of any shape, every frame with bars of its own: those that it
    has where all are gathered."""
    frames = read(rows[part])
    flat = frames.reshape(-1, *frames.shape[-3:])
    bars = bar_positions(rows.size, *flat.shape[1:3], noise, rng)
    kept = (at if at is None else at.reshape(rows.shape)[part].ravel() for at in bars)
    return draw_bars_at(flat, Bars(*kept)).reshape(frames.shape)


def _load_all(positions: tf.data.Dataset, load, shape) -> tf.data.Dataset:
    def load_one(position):
        frames = tf.numpy_function(load, [position], tf.uint8, stateful=False)
        return tf.ensure_shape(frames, shape)

    return positions.map(load_one).prefetch(_PREFETCH)
