"""Frames are read as a memory map would give them, in the order of the disk, and not mapped."""

import os
from pathlib import Path

import numpy as np
import pytest
from support import refuses, write_store

from permakey_tf.data.reading import BlockReader
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
