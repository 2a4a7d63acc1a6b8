"""Where frames come from, and how they are split: on tiny made-up files."""

import itertools
import json
import math
import re
import sys
import zipfile
from pathlib import Path

import cv2
import gymnasium
import numpy as np
import pytest
from PIL import Image
from support import refuses

from permakey_tf.configs.frames import CollectionConfig
from permakey_tf.data import sources
from permakey_tf.data.filling import squeeze_notes
from permakey_tf.data.format import SPLITS
from permakey_tf.data.preparation import FrameFormat, prepare_frame
from permakey_tf.data.recordings import Group, Recording, read_images, read_minari, read_npz
from permakey_tf.data.sources import build_store
from permakey_tf.data.splits import plan_recording, share
from permakey_tf.data.store import FrameStore
from permakey_tf.envs import policies
from permakey_tf.envs.games import GymnasiumGame
from permakey_tf.runs.keypoints import FrameSpec
from permakey_tf.types import Step


def make_frames(count, height=30, width=20, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8)


def build(path, **settings):
    return build_store(CollectionConfig(image_size=16, **settings), path, progress=False)


def small(frames):
    return np.stack([prepare_frame(frame, 16, 3) for frame in frames])


def episodes_of(store, split):
    rows = store.split_range(split)
    return set(store.episodes[rows.start : rows.stop].tolist())


def counts_of(store):
    return [len(store.split_range(split)) for split in SPLITS]


# ------------------------------------------------------------------------------------------ splits


def test_shares():
    weights = dict(zip(SPLITS, (85, 5, 5), strict=True))
    assert share(95_000, weights) == {"train": 85_000, "validation": 5_000, "test": 5_000}
    assert share(3, weights) == {"train": 1, "validation": 1, "test": 1}
    assert share(41, weights) == {"train": 37, "validation": 2, "test": 2}
    uneven = dict(zip(SPLITS, (1, 98, 1), strict=True))
    assert share(20, uneven) == {"train": 1, "validation": 18, "test": 1}
    assert share(3, uneven) == {"train": 1, "validation": 1, "test": 1}


def plan(lengths, num_frames=None, splits=SPLITS, split=(85, 5, 5)):
    recording = Recording((Group(splits, tuple(lengths)),), iter(()), frozenset(), {})
    return plan_recording(recording, CollectionConfig(num_frames=num_frames, split=split))


def naive_episodes(lengths, block):
    episodes = np.repeat(np.arange(len(lengths)), lengths)
    return set(episodes[block.start : block.stop].tolist())


@pytest.mark.parametrize("seed", range(20))
def test_whole_episodes_use_every_frame_and_are_nearest_to_the_proportions(seed):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 50, size=rng.integers(3, 12)).tolist()
    blocks, notes = plan(lengths, split=(6, 2, 2))
    assert [block.split for block in blocks] == list(SPLITS) and not notes
    edges = [0, *(block.stop for block in blocks)]
    assert [block.start for block in blocks] == edges[:-1] and edges[-1] == sum(lengths)
    owners = [naive_episodes(lengths, block) for block in blocks]
    assert all(owners) and not any(a & b for a, b in itertools.combinations(owners, 2))
    ends = np.cumsum(lengths)[:-2]  # where the training split may end: two episodes are to follow
    distance = np.abs(ends - 0.6 * sum(lengths))
    assert abs(edges[1] - 0.6 * sum(lengths)) == distance.min()


@pytest.mark.parametrize("seed", range(20))
def test_exact_counts_share_no_episode(seed):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(5, 20, size=30).tolist()
    blocks, _ = plan(lengths, num_frames=100, split=(6, 2, 2))
    assert [block.stop - block.start for block in blocks] == [60, 20, 20]
    owners = [naive_episodes(lengths, block) for block in blocks]
    assert not any(a & b for a, b in itertools.combinations(owners, 2))
    starts = {0, *np.cumsum(lengths).tolist()}
    assert all(block.start in starts for block in blocks)


def test_a_split_that_ends_with_an_episode_wastes_none():
    blocks, _ = plan([12, 8, 10, 10], num_frames=40, split=(2, 1, 1))
    assert [block.start for block in blocks] == [0, 20, 30]
    blocks, _ = plan([12, 9, 10, 10], num_frames=40, split=(2, 1, 1))
    assert [block.start for block in blocks] == [0, 21, 31]


def test_fewer_episodes_than_splits_are_cut_and_the_user_is_told():
    blocks, notes = plan([60, 40], split=(6, 2, 2))
    assert [tuple(block) for block in blocks] == [
        ("train", 0, 60),
        ("validation", 60, 80),
        ("test", 80, 100),
    ]
    assert "2 episode(s) cut into 3" in notes[0]


@pytest.mark.parametrize(
    ("lengths", "num_frames", "words"),
    [
        ([1, 1], None, ["2 frames in 2"]),
        ([2], None, ["2 frames in 1"]),
        ([10, 10, 10], 150, ["136 train", "30 frames in 3"]),
        ([50, 50, 50, 3], 150, ["136 train", "153 frames in 4"]),
    ],
)
def test_too_few_frames_are_refused(lengths, num_frames, words):
    with refuses("too few frames", *words, settings=["num_frames"] if num_frames else []):
        plan(lengths, num_frames=num_frames)


# --------------------------------------------------------------------------------------------- npz


def save_npz(path, count, seed=0, **arrays):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, frames=make_frames(count, seed=seed), **arrays)
    return make_frames(count, seed=seed)


def test_the_authors_folders_keep_train_and_halve_test(tmp_path):
    train = [save_npz(tmp_path / f"train/MsPacman/{n}.npz", 8, n) for n in (1, 2, 10)]
    test = [save_npz(tmp_path / f"test/MsPacman/{n}.npz", 5, 100 + n) for n in (1, 2)]
    store = build(tmp_path / "out", source="npz", npz=str(tmp_path), game="ms_pacman")
    np.testing.assert_array_equal(store.frames, small(np.concatenate(train + test)))
    np.testing.assert_array_equal(store.episodes, np.repeat(range(5), [8, 8, 8, 5, 5]))
    assert counts_of(store) == [24, 5, 5]
    assert store.manifest["game"] == "mspacman" and store.actions is None


def test_one_test_file_is_halved_in_the_middle(tmp_path):
    save_npz(tmp_path / "train/enduro/a.npz", 9)
    save_npz(tmp_path / "test/enduro/a.npz", 8, 1)
    store = build(tmp_path / "out", source="npz", npz=str(tmp_path), game="enduro")
    assert counts_of(store) == [9, 4, 4]
    assert "validation and test: 1 episode(s) cut into 2" in " ".join(store.manifest["notes"])
    assert not episodes_of(store, "validation") & episodes_of(store, "test")


def test_num_frames_takes_the_first_of_each_folder(tmp_path):
    frames = save_npz(tmp_path / "train/enduro/a.npz", 50)
    tests = [save_npz(tmp_path / f"test/enduro/{n}.npz", 9, n) for n in (1, 2)]
    settings = {"source": "npz", "npz": str(tmp_path), "game": "enduro"}
    store = build(tmp_path / "out", num_frames=19, **settings)
    expected = [frames[:17], tests[0][:1], tests[1][:1]]
    np.testing.assert_array_equal(store.frames, small(np.concatenate(expected)))
    with refuses("85 train", "50 frames", settings=["num_frames"]):
        build(tmp_path / "more", num_frames=95, **settings)


def test_one_rollout_file_with_episodes_actions_and_rewards(tmp_path):
    starts = np.isin(np.arange(40), [0, 10, 20, 30])
    actions = np.where(starts, 255, np.arange(40)).astype(np.uint8)
    rewards = np.arange(40, dtype=np.float32)
    file = tmp_path / "rollout.npz"
    frames = save_npz(file, 40, episode_start=starts, actions=actions, rewards=rewards)
    store = build(tmp_path / "out", source="npz", npz=str(file), split=(2, 1, 1))
    np.testing.assert_array_equal(store.frames, small(frames))
    np.testing.assert_array_equal(store.episodes, np.arange(40) // 10)
    np.testing.assert_array_equal(store.actions, np.where(starts, -1, np.arange(40)))
    np.testing.assert_array_equal(store.rewards, np.where(starts, 0, rewards))
    assert counts_of(store) == [20, 10, 10]


def test_frames_larger_than_a_block_are_put_together_again(tmp_path):
    file = tmp_path / "big.npz"
    frames = make_frames(70, 210, 160)  # 7 MB, read in blocks of 4
    np.savez(file, frames=frames)
    recording = read_npz(str(file), "mspacman")
    np.testing.assert_array_equal([step.frame for step in recording.steps], frames)


def npz_bytes(**arrays):
    return lambda file: np.savez(file, **arrays)


def truncated(file):
    np.savez(file, frames=make_frames(9))
    file.write_bytes(file.read_bytes()[:-200])


def flipped_bit(file):
    np.savez(file, frames=make_frames(9))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def lying_header(file):
    with zipfile.ZipFile(file, "w") as npz, npz.open("frames.npy", "w") as member:
        fields = {"descr": "|u1", "fortran_order": False, "shape": (10**12, 9, 9, 3)}
        np.lib.format.write_array_header_1_0(member, fields)


PICKLED = np.array([None] * 9)
BAD_NPZ = {
    "no numpy file": (lambda file: file.write_bytes(b"hello" * 99), "bad.npz", "damaged"),
    "empty": (lambda file: file.write_bytes(b""), "bad.npz", "damaged"),
    "truncated": (truncated, "bad.npz", "damaged"),
    "bit flip": (flipped_bit, "bad.npz", "'frames'", "damaged"),
    "lying header": (lying_header, "bad.npz", "'frames'", "truncated"),
    "no frames": (npz_bytes(images=make_frames(9)), "'frames'", "images"),
    "floats": (npz_bytes(frames=make_frames(9) / 255), "'frames'", "float64"),
    "one frame": (npz_bytes(frames=make_frames(9)[0]), "'frames'", "[30, 20, 3]"),
    "four channels": (npz_bytes(frames=np.zeros((9, 8, 8, 4), "u1")), "'frames'", "[9, 8, 8, 4]"),
    "channels first": (npz_bytes(frames=np.zeros((9, 3, 8, 8), "u1")), "'frames'", "[9, 3, 8, 8]"),
    "no rows": (npz_bytes(frames=make_frames(0)), "'frames'", "[0, 30, 20, 3]"),
    "pickled frames": (npz_bytes(frames=PICKLED), "'frames'", "pickled"),
    "pickled actions": (npz_bytes(frames=make_frames(9), actions=PICKLED), "'actions'", "pickled"),
    "fewer actions": (npz_bytes(frames=make_frames(9), actions=np.arange(8)), "'actions'", "[8]"),
    "actions as text": (
        npz_bytes(frames=make_frames(9), actions=np.array(["a"] * 9)),
        "'actions'",
        "<U1",
    ),
    "starts as counts": (
        npz_bytes(frames=make_frames(9), episode_start=np.arange(9)),
        "'episode_start'",
        "int64",
    ),
    "Fortran order": (npz_bytes(frames=np.asfortranarray(make_frames(9))), "'frames'", "Fortran"),
    "too few frames": (npz_bytes(frames=make_frames(2)), "too few frames"),
}


@pytest.mark.parametrize("name", BAD_NPZ)
def test_bad_npz_files_are_refused_in_one_line_and_leave_nothing(tmp_path, name):
    make, *words = BAD_NPZ[name]
    file = tmp_path / "in" / "bad.npz"
    file.parent.mkdir()
    make(file)
    with refuses(*words):
        build(tmp_path / "out", source="npz", npz=str(file))
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_bad_npz_folders_are_refused(tmp_path):
    with refuses(f"npz={tmp_path / 'nowhere'}", "no such", settings=["npz"]):
        read_npz(str(tmp_path / "nowhere"), "enduro")
    with refuses(tmp_path, "no .npz", "train/GAME"):
        read_npz(str(tmp_path), "enduro")
    save_npz(tmp_path / "train/PongNoFrameskip-v4/1.npz", 5)
    with refuses("'enduro'", "PongNoFrameskip-v4"):
        read_npz(str(tmp_path), "enduro")
    with refuses("'pongg'", "did you mean PongNoFrameskip-v4?"):
        read_npz(str(tmp_path), "pongg")
    save_npz(tmp_path / "train/Pong-v0/1.npz", 5)
    with refuses("Pong-v0 and PongNoFrameskip-v4", "pong"):
        read_npz(str(tmp_path), "pong")
    (tmp_path / "broken/test").mkdir(parents=True)
    save_npz(tmp_path / "broken/train.npz", 5)
    (tmp_path / "broken/test/1.npz").write_bytes(b"hello")
    with refuses("validation and test", "1.npz", "damaged"):
        read_npz(str(tmp_path / "broken"), "pong")


def test_the_authors_archive_is_read_as_it_is(tmp_path):
    """Gym ids as folders, files in sub-folders, broken ones among them, arrays of no use here."""
    stacks = np.zeros((8, 4, 4, 4), np.uint8)
    first = save_npz(tmp_path / "train/MsPacmanNoFrameskip-v4/1.npz", 8, 1, observations=stacks)
    second = save_npz(tmp_path / "train/MsPacmanNoFrameskip-v4/more/2.npz", 8, 2, infos=PICKLED)
    truncated(tmp_path / "train/MsPacmanNoFrameskip-v4/3.npz")
    flipped_bit(tmp_path / "train/MsPacmanNoFrameskip-v4/4.npz")
    test = save_npz(tmp_path / "test/MsPacmanNoFrameskip-v4/1.npz", 6, 3)
    for split in ("train", "test"):
        save_npz(tmp_path / split / "SeaquestNoFrameskip-v4/1.npz", 9, 4)
    settings = {"source": "npz", "npz": str(tmp_path), "game": "ALE/MsPacman-v5"}
    store = build(tmp_path / "out", **settings)
    np.testing.assert_array_equal(store.frames, small(np.concatenate([first, second, test])))
    assert counts_of(store) == [16, 3, 3] and store.manifest["game"] == "mspacman"
    notes = store.manifest["notes"]
    assert "not of mspacman, passed over: SeaquestNoFrameskip-v4" in notes
    (damaged,) = (note for note in notes if note.startswith("damaged, passed over"))
    assert re.findall(r"(\d)\.npz", damaged) == ["3", "4"]
    assert "arrays not used: 'infos' (1 file(s)), 'observations' (1 file(s))" in notes
    assert any(note.startswith("3 of 3 file(s) without an array 'episode_start'") for note in notes)


def test_a_name_that_is_nearly_a_games_gets_a_note(tmp_path):
    save_npz(tmp_path / "a.npz", 9)
    for game, near in (("mspackman", "mspacman"), ("MsPacman-v4", None), ("mine", None)):
        store = build(tmp_path / game, source="npz", npz=str(tmp_path / "a.npz"), game=game)
        note = f"game {game!r} is none of ale-py's: did you mean {near}?"
        assert (note in store.manifest["notes"]) == bool(near)


def test_grey_frames_are_taken(tmp_path):
    frames = make_frames(12)[..., 0]
    np.savez(tmp_path / "grey.npz", frames=frames)
    settings = {"source": "npz", "npz": str(tmp_path / "grey.npz")}
    store = build(tmp_path / "out", channels=1, **settings)
    expected = np.stack([prepare_frame(frame, 16, 1) for frame in frames])
    np.testing.assert_array_equal(store.frames, expected)


def test_an_archive_with_a_validation_folder_has_that_validation_split(tmp_path):
    """As DIR/train.npz, too: a file is named by its split where its folders say nothing."""
    for split, count in (("train", 9), ("valid", 4), ("test", 5)):
        save_npz(tmp_path / "a" / split / "Pong/x.npz", count, episode_start=np.zeros(count, bool))
        save_npz(tmp_path / f"b/{split}.npz", count, episode_start=np.zeros(count, bool))
    for folder in ("a", "b"):
        settings = {"source": "npz", "npz": str(tmp_path / folder), "game": "pong"}
        store = build(tmp_path / f"{folder}_out", **settings)
        assert counts_of(store) == [9, 4, 5]
        assert not read_npz(settings["npz"], "pong").notes


# ------------------------------------------------------------------------------- images and videos


def save_image(path, frame):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))


def test_folders_are_episodes_and_images_come_in_natural_order(tmp_path):
    frames = make_frames(36)
    for row, frame in enumerate(frames):
        save_image(tmp_path / f"in/episode{row // 12 + 1}/frame{row % 12}.png", frame)
    (tmp_path / "in/notes.txt").write_text("not an image")
    store = build(tmp_path / "out", source="images", images=str(tmp_path / "in"), split=(1, 1, 1))
    np.testing.assert_array_equal(store.frames, small(frames))
    np.testing.assert_array_equal(store.episodes, np.arange(36) // 12)
    assert counts_of(store) == [12, 12, 12] and not store.manifest["notes"]


def test_images_of_different_sizes_and_grey_ones(tmp_path):
    frames = [make_frames(1, 40 + n, 50 - n, seed=n)[0] for n in range(5)]
    for n, frame in enumerate(frames):
        save_image(tmp_path / f"in/{n}.bmp", frame)
    cv2.imwrite(str(tmp_path / "in/5.png"), frames[0][..., 0])
    store = build(tmp_path / "out", source="images", images=str(tmp_path / "in"))
    expected = small([*frames, np.stack([frames[0][..., 0]] * 3, -1)])
    np.testing.assert_array_equal(store.frames, expected)


def save_episode(folder, count, value=0):
    """Grey images of one level each: value, value + 1, ..."""
    for number in range(count):
        save_image(folder / f"{number}.png", np.full((16, 16, 3), value + number, np.uint8))


def levels(store, split):
    rows = store.split_range(split)
    return store.frames[rows.start : rows.stop, 0, 0, 0].tolist()


@pytest.mark.parametrize("place", ["Pong-v0/{}", "{}/Pong-v0", "{}/Pong-v0/e1", "{}", "Pong/{}/a"])
def test_folders_of_splits_decide(tmp_path, place):
    for split, count, value in (("Train", 6, 0), ("test", 4, 10), ("VALIDATION", 2, 20)):
        save_episode(tmp_path / "in" / place.format(split), count, value)
    save_episode(tmp_path / "in" / place.format("train").replace("Pong", "Alien"), 0)
    settings = {"source": "images", "images": str(tmp_path / "in"), "game": "pong"}
    store = build(tmp_path / "out", **settings)
    assert levels(store, "train") == list(range(6))
    assert not read_images(settings["images"], "pong").notes
    assert levels(store, "validation") == [20, 21] and levels(store, "test") == [10, 11, 12, 13]


@pytest.mark.parametrize(
    ("folders", "counts", "note"),
    [
        (["train", "test"], [6, 3, 3], "no frames for validation: it shares those for test"),
        (["train", "eval"], [6, 3, 3], "no frames for test: it shares those for validation"),
        (["train"], [4, 1, 1], "for train alone, which all three splits share"),
        (["train", "test", "all"], [6, 3, 3], r"passed over, beside folders of splits: .*all"),
        (["train", "val", "test", "test/thumbs"], [6, 6, 6], r"passed over: .*thumbs"),
    ],
)
def test_splits_that_are_missing_or_not_alone_are_decided_with_a_note(
    tmp_path, folders, counts, note
):
    for number, folder in enumerate(folders):
        save_episode(tmp_path / "in" / folder, 6, 10 * number)
    settings = {"source": "images", "images": str(tmp_path / "in"), "split": (4, 1, 1)}
    store = build(tmp_path / "out", **settings)
    assert counts_of(store) == counts
    assert re.search(note, "; ".join(store.manifest["notes"]))


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        (["test", "validation"], ["test and validation", "named train"]),
        (["level1", "test"], ["named train"]),
        (["train", "level1"], ["level1", "train, validation, test"]),
        (["train", "val", "eval"], ["eval and val", "validation"]),
        (["train/a", "train/test"], ["train/test", "test or train"]),
        (["Alien-v4", "Pong"], ["'mspacman'", "Alien-v4, Pong"]),
    ],
)
def test_splits_that_cannot_be_meant_are_refused(tmp_path, folders, words):
    for folder in folders:
        save_episode(tmp_path / folder, 2)
    with refuses(*words):
        read_images(str(tmp_path), "mspacman")


def test_linked_episodes_are_followed_and_read_once(tmp_path):
    for number in range(2):
        save_episode(tmp_path / f"disk/{number}", 4, 10 * number)
    save_episode(tmp_path / "in/a", 4, 20)
    for number in range(2):
        (tmp_path / f"in/b{number}").symlink_to(tmp_path / f"disk/{number}")
    for name, target in (("A", "in/a"), ("a/up", "in"), ("a/out", "."), ("z", "nothing")):
        (tmp_path / "in" / name).symlink_to(tmp_path / target)
    settings = {"source": "images", "images": str(tmp_path / "in"), "split": (1, 1, 1)}
    store = build(tmp_path / "out", **settings)
    assert [levels(store, split) for split in SPLITS] == [
        list(range(start, start + 4)) for start in (20, 0, 10)
    ]
    passed_over, twice = read_images(settings["images"]).notes
    assert all(f"{name} (a link to" in passed_over for name in ("a/up", "a/out", "z"))
    assert twice == f"linked twice, read once: {tmp_path / 'in/A'}"


def test_one_folder_in_two_splits_is_refused(tmp_path):
    save_episode(tmp_path / "train/a", 3)
    (tmp_path / "test").mkdir()
    (tmp_path / "test/b").symlink_to(tmp_path / "train/a")
    with refuses(tmp_path / "train/a", tmp_path / "test/b", "two splits"):
        read_images(str(tmp_path))


def test_what_notebooks_archives_and_file_managers_leave_is_no_frame(tmp_path):
    for number in range(3):
        save_episode(tmp_path / f"in/{number}", 2, 10 * number)
    hidden = ("0/.ipynb_checkpoints", ".thumbnails", ".Trash-1000")
    for folder in (*hidden, "__MACOSX/0", "1/@eaDir", "lost+found", "Thumbnails"):
        save_episode(tmp_path / "in" / folder, 9, 100)
    for name in ("._0.png", ".DS_Store", "Thumbs.db", "desktop.ini"):
        (tmp_path / "in/0" / name).write_bytes(b"junk")
    settings = {"source": "images", "images": str(tmp_path / "in"), "split": (1, 1, 1)}
    store = build(tmp_path / "out", **settings)
    assert [levels(store, split) for split in SPLITS] == [[0, 1], [10, 11], [20, 21]]
    (note,) = read_images(settings["images"]).notes
    for name in ("__MACOSX", "@eaDir", "lost+found", "Thumbnails"):
        assert name in note


def test_a_folder_of_videos_is_one_episode_each(tmp_path):
    """As gymnasium's RecordVideo leaves it: numbers of episodes, side files, a broken last one."""
    (tmp_path / "in").mkdir()
    for episode, count in ((0, 4), (1000, 6), (8, 5)):
        save_video(tmp_path / f"in/rl-video-episode-{episode}.avi", count)
        (tmp_path / f"in/rl-video-episode-{episode}.meta.json").write_text("{}")
    (tmp_path / "in/rl-video-episode-2000.mp4").write_bytes(b"killed while writing")
    save_image(tmp_path / "in/plot.png", make_frames(1)[0])
    settings = {"source": "images", "images": str(tmp_path / "in"), "split": (1, 1, 1)}
    store = build(tmp_path / "out", **settings)
    assert np.bincount(store.episodes).tolist() == counts_of(store) == [4, 5, 6]
    another_kind, damaged = store.manifest["notes"][:2]
    assert "plot.png" in another_kind and "rl-video-episode-2000.mp4" in damaged


def save_video(path, count):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 30, (64, 48))
    for number in range(count):
        writer.write(np.full((48, 64, 3), (255 - 4 * number, 0, 4 * number), np.uint8))  # BGR
    writer.release()


def test_a_video_is_cut_into_three_runs(tmp_path):
    save_video(tmp_path / "play.avi", 60)
    store = build(tmp_path / "out", source="images", images=str(tmp_path / "play.avi"))
    assert counts_of(store) == [54, 3, 3]
    np.testing.assert_array_equal(np.unique(store.episodes), [0, 1, 2])
    red, blue = store.frames[..., 0].mean((1, 2)), store.frames[..., 2].mean((1, 2))
    np.testing.assert_allclose(red, 4 * np.arange(60), atol=6)
    np.testing.assert_allclose(blue, 255 - 4 * np.arange(60), atol=6)
    assert "1 episode(s) cut into 3 runs" in store.manifest["notes"][0]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp"])
def test_a_truncated_image_is_named(tmp_path, suffix):
    for number, frame in enumerate(make_frames(6, 60, 80)):
        save_image(tmp_path / f"in/{number}{suffix}", frame)
    bad = tmp_path / f"in/4{suffix}"
    bad.write_bytes(bad.read_bytes()[:-300])
    with refuses(bad, "damaged"):
        build(tmp_path / "out", source="images", images=str(tmp_path / "in"))
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def image_with(what, path):
    """An image that holds more than one RGB frame of bytes."""
    frame = make_frames(1, 60, 80)[0]
    pages = [np.full_like(frame, value) for value in (50, 90)]
    if what == "pages":
        return cv2.imwritemulti(str(path), pages)
    if what == "frames":
        first, second = map(Image.fromarray, pages)
        return first.save(path, save_all=True, append_images=[second])
    if what == "alpha":
        alpha = np.full(frame.shape[:2], 255, np.uint8)
        alpha[3, 4] = 254
        return cv2.imwrite(str(path), np.dstack([frame, alpha]))
    return cv2.imwrite(str(path), frame.astype(np.uint16) * 257)


@pytest.mark.parametrize(
    ("what", "suffix", "words"),
    [
        ("pages", ".tif", ["2 pages", "an image of its own"]),
        ("frames", ".webp", ["2 pages", "an image of its own"]),
        ("frames", ".png", ["2 pages", "an image of its own"]),
        ("bits", ".png", ["uint16", "scale"]),
        ("bits", ".tif", ["uint16", "scale"]),
        ("alpha", ".png", ["transparent", "background"]),
        ("alpha", ".webp", ["transparent", "background"]),
    ],
)
def test_an_image_of_which_a_part_would_be_lost_is_refused(tmp_path, what, suffix, words):
    for number, frame in enumerate(make_frames(6, 60, 80)):
        save_image(tmp_path / f"in/{number}.png", frame)
    path = tmp_path / "in" / f"6{suffix}"
    image_with(what, path)
    with refuses(path, *words):
        build(tmp_path / "out", source="images", images=str(tmp_path / "in"))
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_opaque_and_grey_images_are_read_as_they_look(tmp_path):
    frame = make_frames(1, 60, 80)[0]
    opaque = np.dstack([frame, np.full(frame.shape[:2], 255, np.uint8)])
    grey = frame[..., 0]
    for name, image in (("a", frame), ("b", opaque), ("c", grey)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), image)
    found = [step.frame for step in read_images(str(tmp_path)).steps]
    rgb = frame[..., ::-1]
    for one, expected in zip(found, (rgb, rgb, np.stack([grey] * 3, axis=-1)), strict=True):
        np.testing.assert_array_equal(one, expected)


def test_what_is_no_image_folder_or_video_is_refused(tmp_path):
    with refuses(tmp_path, "no images"):
        read_images(str(tmp_path))
    with refuses(f"images={tmp_path / 'nowhere'}", "no such", settings=["images"]):
        read_images(str(tmp_path / "nowhere"))
    for name, settings, word in (("a.png", ["images"], "one image"), ("a.mp4", [], "not a video")):
        (tmp_path / name).write_bytes(b"hello" * 99)
        with refuses(tmp_path / name, word, settings=settings):
            read_images(str(tmp_path / name))


# ----------------------------------------------------------------------------------------- playing

ALE = {"game": "breakout", "num_frames": 120, "max_episode_steps": 30}


class CountingEnv(gymnasium.Env):
    """Renders the number of the step and the last action; episodes end after 10 steps."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012
    observation_space = gymnasium.spaces.Discrete(1)

    def __init__(
        self, render_mode=None, dtype=np.uint8, discrete=True, shape=(16, 16, 3), reward=None
    ):
        self.render_mode, self._dtype, self._shape = render_mode, dtype, shape
        self._reward = reward
        box = gymnasium.spaces.Box(0, 1, (2,))
        self.action_space = gymnasium.spaces.Discrete(5, start=2) if discrete else box

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self._step, self._action, self._start = 0, 0, int(self.np_random.integers(200))
        return 0, {}

    def step(self, action):
        self._step, self._action = self._step + 1, int(np.sum(action))
        reward = float(self._step) if self._reward is None else self._reward
        return 0, reward, self._step == 10, False, {}

    def render(self):
        frame = np.zeros(self._shape, self._dtype)
        frame[..., :3] = (self._step, self._action, self._start)[: self._shape[2]]
        return frame


class OneBufferEnv(CountingEnv):
    """Draws every frame into the same array."""

    _buffer = None

    def render(self):
        frame = super().render()
        self._buffer = frame if self._buffer is None else self._buffer
        self._buffer[:] = frame
        return self._buffer


class NoDisplayError(Exception):
    """What a graphics library of its own raises."""


class FailingEnv(CountingEnv):
    """Fails in one method: at once, or at the third call in an episode."""

    def __init__(self, method, error=NoDisplayError, late=False, **settings):
        super().__init__(**settings)
        self._method, self._error, self._late, self._renders = method, error, late, 0
        self._fail("make")

    def _fail(self, method):
        if method == self._method and (not self._late or self._step == 3):
            raise self._error("no screen\nfound")

    def reset(self, seed=None, options=None):
        observation = super().reset(seed=seed)
        self._fail("reset")
        return observation

    def step(self, action):
        outcome = super().step(action)
        self._fail("step")
        return outcome

    def render(self):
        self._fail("render")
        return super().render()


for _name, _settings in (
    ("Counting", {}),
    ("Floats", {"dtype": np.float32}),
    ("Boxes", {"discrete": False}),
    ("RGBA", {"shape": (16, 20, 4)}),
    ("ChannelsFirst", {"shape": (3, 16, 20)}),
    ("NoReward", {"reward": math.nan}),
):
    gymnasium.register(f"permakey-tests/{_name}-v0", CountingEnv, kwargs=_settings)
gymnasium.register("permakey-tests/OneBuffer-v0", OneBufferEnv)
gymnasium.register("permakey-tests/Failing-v0", FailingEnv)


def test_any_environment_that_renders(tmp_path):
    def make(name, seed, env="Counting"):
        settings = {"env_id": f"permakey-tests/{env}-v0", "collect_seed": seed, "num_frames": 190}
        return build(tmp_path / name, source="gymnasium", **settings)

    store = make("a", 0)
    assert counts_of(store) == [170, 10, 10]
    step, action, _ = store.frames[:, 0, 0].T
    inner = step > 0
    assert set(step) == set(range(11))
    np.testing.assert_array_equal(store.actions, np.where(inner, action.astype(int) - 2, -1))
    np.testing.assert_array_equal(store.rewards, step)
    assert set(store.actions[inner]) == set(range(5))
    assert make("b", 0).content_hash == store.content_hash != make("c", 1).content_hash
    assert make("d", 0, "Boxes").actions is None
    manifest = store.manifest
    assert (manifest["seed"], manifest["config"]["max_episode_steps"]) == (0, 4000)
    assert not {"frame_skip", "sticky_actions", "npz", "objects"} & set(manifest["config"])


def test_frames_of_an_environment_that_draws_into_one_array(tmp_path):
    def make(env):
        settings = {"env_id": f"permakey-tests/{env}-v0", "num_frames": 60}
        return build(tmp_path / env, source="gymnasium", **settings)

    afresh, reused = make("Counting"), make("OneBuffer")
    np.testing.assert_array_equal(reused.frames, afresh.frames)


def test_environments_that_cannot_be_used_are_refused(tmp_path):
    for env_id, words in (
        ("Nothing-v0", ["NameNotFound", "module:ID"]),
        ("gymnasium:Nothing-v0", ["NameNotFound", "registers"]),
        ("permakey-tests/Floats-v0", ["float32"]),
        ("permakey-tests/RGBA-v0", ["uint8 [16, 20, 4]", "alpha"]),
        ("permakey-tests/ChannelsFirst-v0", ["uint8 [3, 16, 20]", "channels first"]),
        ("permakey-tests/NoReward-v0", ["reward nan", "finite"]),
    ):
        with refuses(f"env_id={env_id}: ", *words, settings=["env_id"]):
            build(tmp_path / "out", source="gymnasium", env_id=env_id)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("method", "late", "failure"),
    [
        ("make", False, "cannot be made"),
        ("reset", False, "cannot be reset"),
        ("step", False, "fails at an action"),
        ("render", False, "cannot render"),
        ("step", True, "fails at an action"),
        ("render", True, "cannot render"),
    ],
)
def test_whatever_an_environment_raises_is_one_line(tmp_path, method, late, failure):
    kwargs = {"method": method, "late": late}
    with refuses(
        f"env_id=permakey-tests/Failing-v0 env_kwargs={json.dumps(kwargs)}: ",
        f"{failure} (NoDisplayError: no screen found)",
        settings=["env_id", "env_kwargs"],
    ) as refusal:
        build(
            tmp_path / "out",
            source="gymnasium",
            env_id="permakey-tests/Failing-v0",
            env_kwargs=json.dumps(kwargs),
        )
    # What helps where there is no display.
    assert ("xvfb-run" in str(refusal.value)) == (method != "step")
    assert isinstance(refusal.value.__cause__, NoDisplayError)
    assert not list(tmp_path.iterdir())


def test_an_agents_game_that_fails_is_one_line():
    game = GymnasiumGame("permakey-tests/Failing-v0", {"method": "render", "late": True})
    game.reset(np.random.SeedSequence(0))
    with refuses(
        "permakey-tests/Failing-v0",
        "cannot render (NoDisplayError: no screen found)",
        settings=["env_id", "env_kwargs"],
    ):
        for _ in range(3):
            game.step(0)


class RestlessEnv(CountingEnv):
    """Draws its start without the seed; or cannot be made at the first try."""

    made = 0

    def __init__(self, late=False, **settings):
        RestlessEnv.made += 1
        if late and RestlessEnv.made == 1:
            raise NoDisplayError("not yet")
        super().__init__(**settings)

    def reset(self, seed=None, options=None):
        RestlessEnv.made += 1
        return super().reset(seed=RestlessEnv.made)


gymnasium.register("permakey-tests/Restless-v0", RestlessEnv)


@pytest.mark.parametrize(
    ("env", "kwargs", "repeats"),
    [("Counting", "", True), ("Restless", "", False), ("Restless", '{"late": true}', None)],
)
def test_whether_an_environment_repeats_is_recorded(tmp_path, monkeypatch, env, kwargs, repeats):
    monkeypatch.setattr(RestlessEnv, "made", 0)
    settings = {"env_id": f"permakey-tests/{env}-v0", "env_kwargs": kwargs, "num_frames": 190}
    manifest = build(tmp_path / "out", source="gymnasium", **settings).manifest
    assert manifest["repeats_by_seed"] is repeats
    told = any("does not repeat by seed" in note for note in manifest["notes"])
    assert told == (repeats is False)


def test_arguments_of_an_environment_reach_it_and_are_recorded(tmp_path):
    env_id, kwargs = "permakey-tests/Counting-v0", {"shape": [24, 24, 1]}
    settings = {"source": "gymnasium", "env_id": env_id, "num_frames": 190}
    store = build(tmp_path / "a", channels=1, env_kwargs=json.dumps(kwargs), **settings)
    plain = build(tmp_path / "b", **settings)
    np.testing.assert_array_equal(store.frames[:, 0, 0, 0], plain.frames[:, 0, 0, 0])  # the step
    assert store.manifest["environment"] == {
        "id": env_id, "kwargs": kwargs, "package": "test_sources", "version": None,
    }  # fmt: skip
    assert FrameSpec.of(store).environment == store.manifest["environment"]
    assert store.manifest["versions"]["pytest"] == pytest.__version__  # which that module imports
    for text, names, word in (
        ("{shape: 1}", ["env_kwargs"], "no JSON"),
        ("[1]", ["env_kwargs"], "object"),
        ('{"shap": 1}', ["env_id", "env_kwargs"], "argument 'shap'"),
    ):
        with refuses(f"env_kwargs={text}", word, settings=names):
            build(tmp_path / "c", env_kwargs=text, **settings)


def test_the_wrong_kind_of_array_or_file_is_named(tmp_path):
    frames, file = make_frames(9), tmp_path / "a.npz"
    np.savez(file, frames=frames, episode_start=np.zeros(9, np.uint8))
    with refuses("'episode_start'", "bool [9]", "uint8 [9]"):
        read_npz(str(file), "game")
    np.savez(file, frames=frames, actions=np.zeros(9))
    with refuses("'actions'", "whole", "[9]", "float64"):
        read_npz(str(file), "game")
    np.save(tmp_path / "b.npy", frames)
    with refuses("b.npy", "np.savez"):
        read_npz(str(tmp_path / "b.npy"), "game")


def test_padded_frames_are_recorded_and_the_agent_sees_them_alike(tmp_path):
    settings = {
        "source": "gymnasium", "env_id": "permakey-tests/Counting-v0", "num_frames": 190,
        "env_kwargs": '{"shape": [16, 32, 3]}',
    }  # fmt: skip
    padded = build(tmp_path / "padded", keep_aspect=True, **settings)
    squeezed = build(tmp_path / "squeezed", **settings)
    assert not any("squeezed" in note for note in padded.manifest["notes"])
    assert any("16x32 pixels are squeezed by 2.0" in note for note in squeezed.manifest["notes"])
    spec = FrameSpec.of(padded)
    assert (spec.keep_aspect, FrameSpec.of(squeezed).keep_aspect) == (True, False)
    game = GymnasiumGame("permakey-tests/Counting-v0", {"shape": [16, 32, 3]})
    frame = game.environment.reset(5)
    seen_as = FrameFormat(spec.image_size, spec.channels, "none", spec.keep_aspect)
    seen = seen_as.with_bars(frame, np.random.default_rng(0))
    assert not seen[:4].any() and not seen[-4:].any() and seen[4:-4].all(axis=(0, 1))[2]
    with refuses("squeezed", settings=["keep_aspect", "objects"]):
        CollectionConfig(keep_aspect=True, objects=True)


def test_frames_that_are_nearly_square_are_squeezed_without_a_note():
    assert squeeze_notes({(210, 160), (24, 16)}) == []  # 1.31 and 1.5
    assert "25x16 pixels" in squeeze_notes({(210, 160), (25, 16)})[0]


def test_how_long_a_random_action_is_held(tmp_path):
    settings = {"source": "gymnasium", "env_id": "permakey-tests/Boxes-v0", "num_frames": 190}
    held = build(tmp_path / "a", max_hold=1000, **settings)
    ale = build(tmp_path / "b", max_hold=1000, **ALE)
    for store, column in ((held, held.frames[:, 0, 0, 1]), (ale, ale.actions)):
        for episode in np.unique(store.episodes):
            assert len(np.unique(column[store.episodes == episode][1:])) == 1


def test_playing_is_deterministic_per_seed_and_exact_in_counts(tmp_path):
    store = build(tmp_path / "a", **ALE, split=(4, 1, 1))
    assert counts_of(store) == [80, 20, 20]
    owners = [episodes_of(store, split) for split in SPLITS]
    assert owners == [{0, 1, 2}, {3}, {4}]  # 31 + 31 + 18, 20 and 20 frames
    assert build(tmp_path / "b", **ALE, split=(4, 1, 1)).content_hash == store.content_hash
    other = build(tmp_path / "c", **ALE, split=(4, 1, 1), collect_seed=1)
    assert other.content_hash != store.content_hash
    assert store.manifest["origin"]["actions"] == ["NOOP", "FIRE", "RIGHT", "LEFT"]


def test_more_frames_begin_with_the_same_training_frames(tmp_path):
    """Episodes have their own seeds: what is stored of one does not change those after it."""
    few = build(tmp_path / "few", **ALE, split=(4, 1, 1))
    more = build(tmp_path / "more", **{**ALE, "num_frames": 240}, split=(4, 1, 1))
    np.testing.assert_array_equal(few.frames[:80], more.frames[:80])


def test_grey_frames_are_the_luma_of_full_size_frames(tmp_path):
    store = build(tmp_path / "grey", channels=1, **ALE)
    assert store.frames.shape == (120, 16, 16, 1) and store.channels == 1


class FakeReader:
    """Gives as many boxes as frames were read since the episode's start."""

    def __init__(self, game):
        assert game == "breakout"

    def reset(self):
        self.count = 0

    def read(self, ram):
        assert ram.shape == (128,) and ram.dtype == np.uint8
        self.count += 1
        return [("Ball", self.count, 1, 2, 3)]


def test_boxes_are_read_once_per_frame_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(policies, "ObjectReader", FakeReader)
    monkeypatch.setattr(sources.importlib.metadata, "version", lambda name: "0")
    store = build(tmp_path / "out", objects=True, **ALE)
    objects = store.objects()
    np.testing.assert_array_equal(objects.frame, np.arange(120))
    in_episode = [
        row - np.flatnonzero(store.episodes == e)[0] for row, e in enumerate(store.episodes)
    ]
    np.testing.assert_array_equal(objects.xywh[:, 0], np.array(in_episode) + 1)
    assert objects.categories == ("Ball",)


def test_settings_that_contradict_each_other_are_refused():
    for values, name in (({"source": "npz"}, "npz"), ({"source": "gymnasium"}, "env_id")):
        with refuses(f"source={values['source']}", settings=[name, "source"]):
            CollectionConfig(**values)


# Settings that decide how frames are made, and the sources for which they do.
EFFECTS = {
    "frame_skip": (1, {"ale"}),
    "noop_max": (0, {"ale"}),
    "sticky_actions": (0.25, {"ale"}),
    "policy": ("lookahead", {"ale"}),
    "objects": (True, {"ale"}),
    "max_episode_steps": (9, {"ale", "gymnasium"}),
    "collect_seed": (1, {"ale", "gymnasium"}),
    "npz": ("there", {"npz"}),
    "images": ("there", {"images"}),
    "env_id": ("Some-v0", {"gymnasium"}),
    "minari_id": ("some/set-v0", {"minari"}),
    "num_frames": (9, {"ale", "gymnasium", "npz", "images", "minari"}),
    "image_size": (20, {"ale", "gymnasium", "npz", "images", "minari"}),
}
LOCATIONS = {
    "ale": {},
    "gymnasium": {"env_id": "Other-v0"},
    "npz": {"npz": "here"},
    "images": {"images": "here"},
    "minari": {"minari_id": "other/set-v0"},
}


@pytest.mark.parametrize("source", LOCATIONS)
@pytest.mark.parametrize("name", EFFECTS)
def test_a_setting_without_effect_is_refused_and_not_recorded(source, name):
    value, sources = EFFECTS[name]
    settings = {"source": source} | LOCATIONS[source] | {name: value}
    if source in sources:
        assert CollectionConfig(**settings).used()[name] == value
        return
    with refuses(f"{name}={value}", f"source={source}", settings=[name, "source"]):
        CollectionConfig(**settings)
    del settings[name]
    assert name not in CollectionConfig(**settings).used()


def test_lookahead_is_recorded_where_it_played():
    for policy in ("random", "lookahead"):
        names = {name for name in CollectionConfig(policy=policy).used() if "lookahead_" in name}
        assert len(names) == (4 if policy == "lookahead" else 0)


def test_a_source_that_ends_early_leaves_no_store(tmp_path, monkeypatch):
    frames = make_frames(5)
    steps = (Step(frame, n == 0) for n, frame in enumerate(frames[:4]))
    recording = Recording((Group(SPLITS, (5,)),), steps, frozenset(), {})
    monkeypatch.setattr(sources, "open_source", lambda config: recording)
    with refuses("4 of 5 frames"):
        build(tmp_path / "out")
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------ minari


NEEDS_MINARI = 'needs the optional extra: pip install -e ".[minari]"'


def test_a_missing_minari_is_named_with_its_install_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "minari", None)
    with refuses('pip install -e ".[minari]"', settings=["source"]):
        read_minari("atari/pong/expert-v0")


def save_minari(path, observations, action_space):
    """Writes a data set as Minari's recorder does, which would need JAX."""
    storage_module = pytest.importorskip("minari.dataset.minari_storage", reason=NEEDS_MINARI)
    buffer_module = pytest.importorskip("minari.data_collector.episode_buffer", reason=NEEDS_MINARI)
    path.mkdir(parents=True)
    space = gymnasium.spaces.Box(0, 255, observations.shape[2:], observations.dtype.type)
    storage = storage_module.MinariStorage.new(
        path, observation_space=space, action_space=action_space, data_format="hdf5"
    )
    storage.update_metadata({"dataset_id": "made/up-v0", "minari_version": "0.5.0"})
    for number, episode in enumerate(observations):
        steps = len(episode) - 1
        buffer = buffer_module.EpisodeBuffer(
            id=number,
            observations=list(episode),
            actions=[action_space.sample() for _ in range(steps)],
            rewards=[number + step / 100 for step in range(steps)],
            terminations=[False] * steps,
            truncations=[False] * steps,
        )
        storage.update_episodes([buffer])


def test_a_minari_data_set(tmp_path, monkeypatch):
    minari = pytest.importorskip("minari", reason=NEEDS_MINARI)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    frames = np.zeros((4, 11, 32, 32, 3), np.uint8)
    frames[...] = np.arange(44).reshape(4, 11, 1, 1, 1) * 5
    save_minari(tmp_path / "minari/made/up-v0/data", frames, gymnasium.spaces.Discrete(6))
    store = build(tmp_path / "out", source="minari", minari_id="made/up-v0", split=(2, 1, 1))
    assert counts_of(store) == [22, 11, 11]
    np.testing.assert_array_equal(store.episodes, np.repeat(range(4), 11))
    # Minari stores JPEGs: even plain grey is not exact.
    np.testing.assert_allclose(store.frames[:, 5, 5, 0], np.arange(44) * 5, atol=3)
    episodes = list(minari.load_dataset("made/up-v0"))
    expected = [[-1, *episode.actions] for episode in episodes]
    np.testing.assert_array_equal(store.actions, np.concatenate(expected))
    expected = [[0, *episode.rewards] for episode in episodes]
    np.testing.assert_allclose(store.rewards, np.concatenate(expected))


def test_a_minari_data_set_without_frames_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    observations = np.zeros((3, 5, 4), np.float32)
    save_minari(tmp_path / "made/up-v0/data", observations, gymnasium.spaces.Discrete(2))
    with refuses("Box", "frames", settings=["minari_id"]):
        read_minari("made/up-v0")


def test_stores_of_all_sources_open_again(tmp_path):
    save_npz(tmp_path / "a.npz", 9)
    path = build(tmp_path / "out", source="npz", npz=str(tmp_path / "a.npz")).path
    assert FrameStore.open(Path(path), verify_hash=True).content_hash
