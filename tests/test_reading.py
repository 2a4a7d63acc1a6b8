"""Frames are read as a memory map would give them, in the order of the disk, and not mapped."""

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from support import refuses, write_store

from permakey_tf.data.reading import BlockReader, JoinedFrames
from permakey_tf.data.store import FrameStore


@pytest.fixture
def store(tmp_path):
    return write_store(tmp_path / "store", num_frames=60)


@pytest.fixture
def reads(store, monkeypatch):
    """[(first row, frames)] of every read of the disk."""
    found, pread = [], os.pread
    size = int(np.prod(store.frames.shape[1:]))

    def noted(file, number, place):
        found.append(((place - store.frames.offset) // size, number // size))
        return pread(file, number, place)

    monkeypatch.setattr(os, "pread", noted)
    return found


@pytest.mark.parametrize(
    "rows", [[7], [5, 3, 59, 0, 3], [[4, 9], [9, 2]], np.arange(60), [], np.int64(8)]
)
def test_any_rows_are_what_the_map_has(store, rows):
    rows = np.array(rows, int)
    np.testing.assert_array_equal(store.read(rows), store.frames[rows])


def test_the_disk_is_read_forwards_and_neighbours_at_once(store, reads):
    store.read(np.array([[40, 7], [9, 20], [8, 41]]))
    assert reads == [(7, 3), (20, 1), (40, 2)]


def test_a_read_that_ends_early_goes_on(store, monkeypatch):
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda file, number, at: pread(file, min(number, 700), at))
    np.testing.assert_array_equal(store.read(np.arange(5)), store.frames[:5])


def test_a_store_that_is_moved_away_is_read_on(store):
    expected = np.array(store.frames[10:20])
    store.path.rename(store.path.with_name("other"))
    write_store(store.path, num_frames=60, seed=1)
    np.testing.assert_array_equal(store.read(np.arange(10, 20)), expected)


def test_a_file_that_was_cut_short_is_named(store):
    os.truncate(store.path / "frames.npy", 30_000)
    with refuses("frames.npy", "short"):
        store.read(np.array([59]))


def test_no_more_blocks_are_kept_than_allowed(store):
    asked = []

    def read(rows):
        asked.append(int(rows[0]))
        return store.read(rows)

    blocks = BlockReader(read, 60, 8, most=2)
    for row in (0, 8, 59, 9, 1):  # the third block sends the first away
        np.testing.assert_array_equal(blocks(np.array([row])), store.frames[[row]])
    assert asked == [0, 8, 56, 0]


def test_no_file_stays_open_when_its_store_is_gone(store):
    def number():
        return len(list(Path("/dev/fd").iterdir()))

    before = number()
    for _ in range(3):
        FrameStore.open(store.path).read(np.array([0]))
    assert number() == before


def joined(number):
    """Frames of one pixel, which is the row."""
    pieces = [(lambda rows: np.uint8(rows)[..., None, None, None], range(number))]
    return JoinedFrames(pieces, (1, 1, 1))


def rows_or_error(frames, index):
    try:
        return np.ravel(frames[index]).tolist(), np.shape(frames[index])
    except (IndexError, TypeError, ValueError) as error:
        return type(error)


@pytest.mark.parametrize(
    "index",
    [0, -1, -9, 9, -10, np.int64(-3), np.uint8(4), slice(None), slice(2, None, 3), slice(7, 1, -2),
     slice(20, 5), slice(-3, None), slice(None, None, 0), slice(1.5), 1.5, "a", None, ..., True,
     [3, -1], [[1], [2]], [9], [], np.arange(9) % 2 == 0, np.zeros(8, bool)],
    ids=str,
)  # fmt: skip
def test_joined_frames_take_what_an_arrays_first_axis_takes(index):
    array = np.arange(9, dtype=np.uint8)
    expected = rows_or_error(array, index)
    found = rows_or_error(joined(9), index)
    if isinstance(expected, type):
        assert found == expected
    else:
        assert found == (expected[0], (*expected[1], 1, 1, 1))


def test_a_frame_of_joined_ones_is_read_without_the_rows_of_all():
    frames = joined(10**6)
    tracemalloc.start()
    assert np.shape(frames[-1]) == (1, 1, 1) and len(frames[7:9]) == 2
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**16
