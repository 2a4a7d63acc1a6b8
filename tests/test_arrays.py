"""Frame stores of frames in memory."""

import gc
import json

import numpy as np
import pytest
from support import moving_square, refuses

from permakey_tf.configs.frames import CollectionConfig
from permakey_tf.data.sources import build_store
from permakey_tf.data.store import FrameStore
from permakey_tf.system.arrays import rank_among_equals, starts_of

EPISODES = np.repeat([3, 7, 2, 9], [40, 5, 10, 5])  # any numbers, whose frames are together


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.uint8, np.uint64])
@pytest.mark.parametrize("values", [[], [0], [0, 0, 1, 1, 0], [127, 127], [5, 0, 5, 5, 0, 0]])
def test_runs_of_equal_values_and_ranks_among_equals(values, dtype):
    array = np.array(values, dtype)
    starts = [i for i, value in enumerate(values) if i == 0 or values[i - 1] != value]
    assert starts_of(array).tolist() == starts
    assert rank_among_equals(array).tolist() == [values[:i].count(v) for i, v in enumerate(values)]


@pytest.fixture(scope="module")
def frames():
    return moving_square(60, 20, 3, seed=0)


def test_frames_are_split_at_whole_episodes_and_come_back(tmp_path, frames):
    store = FrameStore.from_arrays(
        frames, EPISODES, tmp_path / "s", "pong", split=(40, 15, 5), image_size=20
    )
    np.testing.assert_array_equal(store.frames, frames)
    np.testing.assert_array_equal(store.episodes, np.repeat([0, 1, 2, 3], [40, 5, 10, 5]))
    assert [store.split_range(name) for name in ("train", "validation", "test")] == [
        range(40), range(40, 55), range(55, 60),
    ]  # fmt: skip
    assert (store.game, store.path) == ("pong", tmp_path / "s")
    FrameStore.open(tmp_path / "s", verify_hash=True)


def test_they_are_the_store_that_a_file_of_them_gives(tmp_path, frames):
    """The same splits, size, hash: whoever has a file or an array trains on the same frames."""
    starts = np.append(True, np.diff(EPISODES) != 0)
    np.savez(tmp_path / "mine.npz", frames=frames, episode_start=starts)
    config = CollectionConfig(source="npz", npz=str(tmp_path / "mine.npz"), game="mine")
    filed = build_store(config, tmp_path / "filed", progress=False)
    held = FrameStore.from_arrays(frames, EPISODES)
    assert held.content_hash == filed.content_hash
    assert (held.image_size, held.game) == (84, "mine")


def test_without_episodes_frames_are_cut_into_runs_and_a_note_says_so(frames):
    sizes = {"image_size": np.int64(20), "channels": np.uint8(1)}  # as read off an array
    store = FrameStore.from_arrays(frames, split=(4, 1, 1), **sizes)
    assert [len(store.split_range(name)) for name in ("train", "validation", "test")] == [
        40,
        10,
        10,
    ]
    assert store.channels == 1
    assert "1 episode(s) cut into 3 runs" in store.manifest["notes"][0]


def test_grey_frames_of_any_shape_are_taken_and_padded_where_asked(tmp_path, frames):
    grey = np.ascontiguousarray(frames[:, :10, :, 0])
    store = FrameStore.from_arrays(grey, path=tmp_path / "s", image_size=20, keep_aspect=True)
    assert store.frames.shape == (60, 20, 20, 3)
    assert store.keep_aspect and not store.frames[:, :5].any() and store.frames[:, 5:15].all()


def test_a_temporary_store_lasts_as_long_as_its_frames(frames):
    store = FrameStore.from_arrays(frames, image_size=20)
    path, kept = store.path, store.frames
    del store
    gc.collect()
    assert json.loads((path / "manifest.json").read_text())["source"] == "arrays"
    del kept
    gc.collect()
    assert not path.parent.exists()


@pytest.mark.parametrize(
    ("changes", "words", "settings"),
    [
        ({"frames": np.zeros([9, 20, 20, 3], np.float32)}, ["(frames * 255).astype(np.uint8)"], []),
        (
            {"frames": np.full([9, 20, 20, 3], 2.0)},
            ["; frames.astype(np.uint8)", "of [0, 255]"],
            [],
        ),
        ({"frames": np.zeros([20, 20, 3], np.uint8)}, ["frames", "uint8 [20, 20, 3]"], []),
        (
            {"frames": np.zeros([0, 20, 20, 3], np.uint8)},
            ["frames", "uint8 [0, 20, 20, 3]"],
            [],
        ),
        ({"episodes": EPISODES[1:]}, ["episodes", "[60]", "int64 [59]"], []),
        ({"episodes": EPISODES > 3}, ["episodes", "np.cumsum"], []),
        ({"episodes": np.repeat([0, 1, 0], 20)}, ["episode 0", "follow"], []),
        ({"frames": np.zeros([9, 3, 20, 20], np.uint8)}, ["np.moveaxis(frames, -3, -1)"], []),
        ({"frames": np.zeros([9, 20, 20, 3], int)}, ["frames.astype(np.uint8)"], []),
        ({"split": (1, 1)}, ["three"], ["split"]),
        ({"image_size": 21}, ["image_size=21"], ["image_size"]),
        ({"frames": np.zeros([60, 20, 20, 3], np.uint8)}, ["60 frames", "colour"], []),
    ],
)
def test_what_cannot_be_meant_is_named_and_leaves_nothing(
    tmp_path, frames, changes, words, settings
):
    with refuses(*words, settings=settings):
        FrameStore.from_arrays(**{"frames": frames, "path": tmp_path / "s"} | changes)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path, frames):
    with refuses(tmp_path, "delete"):
        FrameStore.from_arrays(frames, path=tmp_path)
    FrameStore.from_arrays(frames, path=tmp_path / "store")
    with refuses(f"FrameStore.open({str(tmp_path / 'store')!r})"):
        FrameStore.from_arrays(frames, path=tmp_path / "store")
