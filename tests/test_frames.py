"""The frame store: what goes in comes out, and nothing broken or half-written is taken for one."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from support import refuses

from permakey_tf.data import writer as frames_module
from permakey_tf.data.format import SPLITS, content_hash
from permakey_tf.data.preparation import prepare_frame
from permakey_tf.data.store import FrameStore
from permakey_tf.data.writer import FrameStoreWriter, MadeMeanwhileError, _remove_stale
from permakey_tf.types import Step

ROOT = Path(__file__).parents[1]
SIZE = 16
# (split, first frame of an episode) of each row
ROWS = [("train", i in (0, 3)) for i in range(6)]
ROWS += [("validation", i == 0) for i in range(2)] + [("test", i in (0, 1)) for i in range(3)]
EPISODES = [0, 0, 0, 1, 1, 1, 2, 2, 3, 4, 4]
COLUMNS = {"actions", "rewards", "objects"}


def make_steps(seed=0):
    rng = np.random.default_rng(seed)
    return [
        Step(
            rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8),
            first,
            action=row,
            reward=row / 2,
            boxes=[("Ghost", row, 2, 3, 4), ("Player", 9, 8, 7, -1)][: row % 3],
        )
        for row, (_, first) in enumerate(ROWS)
    ]


def write_store(path, steps=None, columns=COLUMNS):
    with FrameStoreWriter(path, SIZE, 3, columns) as writer:
        for step, (split, _) in zip(steps or make_steps(), ROWS, strict=True):
            writer.append(step, split)
        writer.finish({"game": "made-up"})
    return FrameStore.open(path)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("pristine") / "store").path


@pytest.fixture
def store(pristine, tmp_path):
    return Path(shutil.copytree(pristine, tmp_path / "store"))


# ----------------------------------------------------------------------------------- what comes out


def test_a_store_gives_back_what_was_written(pristine):
    store, steps = FrameStore.open(pristine, verify_hash=True), make_steps()
    assert isinstance(store.frames, np.memmap)
    np.testing.assert_array_equal(store.frames, [step.frame for step in steps])
    np.testing.assert_array_equal(store.episodes, EPISODES)
    starts = np.array([True, *np.diff(EPISODES)])
    rows = np.arange(len(ROWS))
    np.testing.assert_array_equal(store.actions, np.where(starts, -1, rows))
    np.testing.assert_array_equal(store.rewards, np.where(starts, 0, rows / 2))
    dtypes = store.frames.dtype, store.episodes.dtype, store.actions.dtype, store.rewards.dtype
    assert dtypes == (np.uint8, np.int32, np.int16, np.float32)
    assert [store.split_range(split) for split in SPLITS] == [range(6), range(6, 8), range(8, 11)]
    assert (store.image_size, store.channels, store.manifest["game"]) == (SIZE, 3, "made-up")


def test_boxes_come_back_with_their_frame_and_name(pristine):
    objects = FrameStore.open(pristine).objects()
    expected = [(row, box) for row, step in enumerate(make_steps()) for box in step.boxes]
    found = [
        (frame, (objects.categories[category], *xywh))
        for frame, category, xywh in zip(objects.frame, objects.category, objects.xywh, strict=True)
    ]
    assert found == expected
    assert (objects.frame.dtype, objects.category.dtype, objects.xywh.dtype) == ("i4", "u1", "i2")


def with_visibility(steps, flip=-1):
    """The same steps that also say which boxes are drawn: every other one, but for box `flip`."""
    changed, count = [], 0
    for step in steps:
        numbers = np.arange(count, count + len(step.boxes))
        changed.append(step._replace(visible=(numbers % 2 == 0) ^ (numbers == flip)))
        count += len(step.boxes)
    return changed


def test_which_boxes_are_drawn_comes_back_and_counts_for_the_hash(tmp_path, pristine):
    assert FrameStore.open(pristine).objects().visible is None
    store = write_store(tmp_path / "store", with_visibility(make_steps()))
    visible = FrameStore.open(store.path).objects().visible
    assert visible.dtype == bool
    np.testing.assert_array_equal(visible, np.arange(len(visible)) % 2 == 0)
    other = write_store(tmp_path / "other", with_visibility(make_steps(), flip=3))
    hashes = {s.content_hash for s in (store, other, FrameStore.open(pristine))}
    assert len(hashes) == 3


def test_visibility_of_some_frames_only_is_not_kept(tmp_path):
    steps = with_visibility(make_steps())
    steps[4] = steps[4]._replace(visible=None)
    assert write_store(tmp_path / "store", steps).objects().visible is None
    steps[4] = steps[4]._replace(visible=np.ones(9, bool))
    with pytest.raises(ValueError, match="1 boxes, but visibility of 9"):
        write_store(tmp_path / "other", steps)


def test_frames_without_any_box(tmp_path):
    store = write_store(tmp_path / "store", [step._replace(boxes=[]) for step in make_steps()])
    objects = store.objects()
    assert objects.categories == () and objects.xywh.shape == (0, 4)


def test_optional_parts_are_absent_where_the_source_has_none(tmp_path):
    store = write_store(tmp_path / "store", columns=set())
    assert store.actions is None and store.rewards is None and store.objects() is None
    assert sorted(f.name for f in store.path.iterdir()) == [
        "episodes.npy",
        "frames.npy",
        "manifest.json",
    ]


def test_a_new_split_begins_a_new_episode_even_in_the_middle_of_one(tmp_path):
    steps = [step._replace(first=False) for step in make_steps()]
    store = write_store(tmp_path / "store", steps)
    np.testing.assert_array_equal(store.episodes, [0] * 6 + [1] * 2 + [2] * 3)


def test_equal_contents_have_equal_hashes_and_others_not(tmp_path):
    steps = make_steps()

    def hash_of(name, row=None, columns=COLUMNS, **change):
        changed = list(steps)
        if row is not None:
            changed[row] = steps[row]._replace(**change)
        return write_store(tmp_path / name, changed, columns).content_hash

    pixel = steps[4].frame.copy()
    pixel[3, 2, 1] ^= 1
    hashes = [
        hash_of("same"),
        hash_of("pixel", 4, frame=pixel),
        hash_of("action", 4, action=99),
        hash_of("reward", 4, reward=-1.0),
        hash_of("episode", 4, first=True),
        hash_of("boxes", 4, boxes=[("Ghost", 4, 2, 3, 5)]),
        hash_of("fewer columns", columns={"actions"}),
    ]
    assert len(set(hashes)) == len(hashes)
    assert hash_of("again") == hashes[0]


def test_the_hash_is_that_of_the_pixels(pristine):
    store = FrameStore.open(pristine)
    pixels = np.array(store.frames).tobytes()
    assert store.manifest["sha256"]["frames"] == hashlib.sha256(pixels).hexdigest()


# ------------------------------------------------------------------------------------ broken stores


def edit_manifest(store, **changes):
    file = store / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def save_consistently(store, name, array):
    """Replaces an array and makes the manifest agree, as a program with a fault would."""
    np.save(store / f"{name}.npy", array)
    manifest = json.loads((store / "manifest.json").read_text())
    manifest["sha256"][name] = hashlib.sha256(np.ascontiguousarray(array)).hexdigest()
    manifest["content_hash"] = content_hash(manifest["splits"], manifest["sha256"])
    edit_manifest(store, **manifest)


def cut(name, size):
    return lambda store: os.truncate(store / name, size)


def drop(name):
    return lambda store: (store / name).unlink()


def save(name, array):
    return lambda store: save_consistently(store, name, array)


def pickled(store):
    np.save(store / "episodes.npy", np.array([{}] * len(ROWS), object), allow_pickle=True)


def npz_for_npy(store):
    with (store / "frames.npy").open("wb") as file:
        np.savez(file, frames=np.zeros(3))


def text(name, content):
    return lambda store: (store / name).write_bytes(content)


def bit_flip(store):
    data = bytearray((store / "actions.npy").read_bytes())
    data[-1] ^= 1
    (store / "actions.npy").write_bytes(data)


FRAMES = np.zeros((len(ROWS), SIZE, SIZE, 3), np.uint8)


def file_for_folder(store):
    shutil.rmtree(store)
    store.write_bytes(b"a recording")


BROKEN = {
    "a file": (file_for_folder, "is a file", "--source=npz"),
    "no folder": (shutil.rmtree, "no such", "run.data"),
    "empty folder": (
        lambda store: [file.unlink() for file in store.iterdir()],
        "manifest.json",
    ),
    "foreign folder": (drop("manifest.json"), "manifest.json"),
    "no frames": (drop("frames.npy"), "frames.npy", "missing"),
    "no episodes": (drop("episodes.npy"), "episodes.npy", "missing"),
    "no actions": (drop("actions.npy"), "actions.npy", "missing"),
    "no objects": (drop("objects.npz"), "objects.npz", "missing"),
    "frames without their last byte": (cut("frames.npy", 128 + FRAMES.size - 1), "frames.npy"),
    "frames cut in the header": (cut("frames.npy", 50), "frames.npy"),
    "empty frames file": (cut("frames.npy", 0), "frames.npy"),
    "frames as floats": (save("frames", FRAMES.astype(np.float32)), "frames.npy", "float32"),
    "frames not square": (save("frames", FRAMES[:, 1:]), "frames.npy", "[11, 15, 16, 3]"),
    "frames without channels": (save("frames", FRAMES[..., 0]), "frames.npy", "[11, 16, 16]"),
    "a frame too few": (save("frames", FRAMES[1:]), "frames.npy", "10 frames", "11"),
    "frames in Fortran order": (save("frames", np.asfortranarray(FRAMES)), "frames.npy"),
    "frames are text": (text("frames.npy", b"not numpy" * 99), "frames.npy", "damaged"),
    "frames are an npz": (npz_for_npy, "frames.npy", ".npz archive"),
    "pickled episodes": (pickled, "episodes.npy", "pickled"),
    "episodes as int64": (save("episodes", np.array(EPISODES)), "episodes.npy", "int64"),
    "episodes too short": (save("episodes", np.zeros(4, np.int32)), "episodes.npy", "[4]"),
    "episode in two splits": (
        save("episodes", np.array([0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2], np.int32)),
        "episodes.npy",
        "split",
    ),
    "episodes out of order": (
        save("episodes", np.array([5, 5, 5, 1, 1, 1, 2, 2, 3, 3, 3], np.int32)),
        "episodes.npy",
        "0, 1, 2",
    ),
    "changed action": (bit_flip, "actions.npy", "changed"),
    "manifest is no JSON": (
        text("manifest.json", b"{"),
        "manifest.json",
        "JSON",
    ),
    "manifest is binary": (
        text("manifest.json", b"\xff\xfe\x00"),
        "manifest.json",
        "JSON",
    ),
    "manifest is a list": (text("manifest.json", b"[]"), "manifest.json", "damaged"),
    "foreign manifest": (
        text("manifest.json", b'{"name": "app"}'),
        "manifest.json",
        "'permakey-frames'",
    ),
    "newer format": (lambda store: edit_manifest(store, format_version=2), "version 2", "1"),
    "edited counts": (
        lambda store: edit_manifest(store, splits={"train": 4, "validation": 4, "test": 3}),
        "manifest.json",
        "edited",
    ),
    "no counts": (
        lambda store: edit_manifest(store, splits=None),
        "manifest.json",
        "splits",
        "None",
    ),
    "empty split": (
        lambda store: edit_manifest(store, splits={"train": 11, "validation": 0, "test": 0}),
        "manifest.json",
        "'splits'",
    ),
    "no hashes": (lambda store: edit_manifest(store, sha256=[]), "manifest.json", "sha256"),
    "objects cut": (cut("objects.npz", 200), "objects.npz", "damaged"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_store_is_refused_in_one_line_that_names_the_file(store, name):
    spoil, *words = BROKEN[name]
    spoil(store)
    with refuses(store, *words):
        FrameStore.open(store)


def objects_file(store, **changes):
    with np.load(store / "objects.npz") as old:
        arrays = {name: old[name] for name in old.files} | changes
    np.savez(store / "objects.npz", **arrays)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"frame": np.array([99], np.int32)}, ["category", "whole", "[1]"]),
        ({"xywh": np.zeros((8, 4), np.int16)}, ["xywh", "whole", "[10, 4]"]),
        ({"visible": np.ones(10, np.uint8)}, ["visible", "bool"]),
        ({"visible": np.ones(9, bool)}, ["visible", "bool [10]"]),
        ({"visible": np.ones(10, bool)}, ["changed"]),
        ({"category": np.full(10, 7, np.uint8)}, ["category", "below 2"]),
        ({"frame": np.full(10, len(ROWS), np.int32)}, ["frame", "from 0 to 10"]),
        ({"frame": np.arange(10, dtype=np.int32)[::-1]}, ["frame", "ascending"]),
        ({"categories": np.array([1, 2])}, ["categories", "strings"]),
        ({"categories": np.array([{}], object)}, ["categories", "pickled"]),
        ({"xywh": np.zeros((10, 4), np.int16)}, ["changed"]),
    ],
)
def test_broken_boxes_are_refused(store, changes, words):
    objects_file(store, **changes)
    with refuses("objects.npz", *words):
        FrameStore.open(store).objects()


def test_a_changed_pixel_is_found_when_asked_for(store):
    with (store / "frames.npy").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    FrameStore.open(store)
    with refuses("frames.npy", "pixels"):
        FrameStore.open(store, verify_hash=True)


def test_a_header_that_lies_allocates_nothing(store):
    """10^15 frames announced: refused by the size of the file, not by running out of memory."""
    with (store / "frames.npy").open("wb") as file:
        fields = {"descr": "|u1", "fortran_order": False, "shape": (10**15, SIZE, SIZE, 3)}
        np.lib.format.write_array_header_1_0(file, fields)
    with refuses("frames.npy", "mmap length"):
        FrameStore.open(store)


def test_a_lying_header_in_an_npz_allocates_nothing(store):
    with zipfile.ZipFile(store / "objects.npz", "w") as npz, npz.open("frame.npy", "w") as file:
        fields = {"descr": "<i4", "fortran_order": False, "shape": (10**15,)}
        np.lib.format.write_array_header_1_0(file, fields)
    with refuses("objects.npz", "frame", "truncated"):
        FrameStore.open(store)


# ------------------------------------------------------------------------------------------ writing


def test_nothing_remains_of_a_writer_that_fails(tmp_path):
    with pytest.raises(ZeroDivisionError), FrameStoreWriter(tmp_path / "s", SIZE, 3) as writer:
        writer.append(make_steps()[0], "train")
        raise ZeroDivisionError
    with FrameStoreWriter(tmp_path / "s", SIZE, 3) as writer:
        writer.append(make_steps()[0], "train")  # left without finish()
    assert not list(tmp_path.iterdir())


def test_a_store_without_all_splits_is_refused(tmp_path):
    with (
        refuses(tmp_path / "s", "validation and test"),
        FrameStoreWriter(tmp_path / "s", SIZE, 3) as writer,
    ):
        writer.append(make_steps()[0], "train")
        writer.finish({})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")])
def test_nothing_is_overwritten(tmp_path, make):
    make(tmp_path / "s")
    with refuses(tmp_path / "s", "delete"):
        FrameStoreWriter(tmp_path / "s", SIZE, 3)


def test_a_name_taken_meanwhile_is_not_overwritten(tmp_path):
    with refuses(tmp_path / "s", "meanwhile"), FrameStoreWriter(tmp_path / "s", SIZE, 3) as writer:
        for step, (split, _) in zip(make_steps(), ROWS, strict=True):
            writer.append(step, split)
        (tmp_path / "s").mkdir()
        writer.finish({})
    assert not list((tmp_path / "s").iterdir())


def test_too_little_room_is_found_before_the_work(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=5_000_000)
    monkeypatch.setattr(frames_module.shutil, "disk_usage", lambda path: usage)
    with refuses("2.01 GB", "95000 frames", "0.01 GB free", settings=["num_frames"]):
        FrameStoreWriter(tmp_path / "s", 84, 3, expected_frames=95_000)
    assert not list(tmp_path.iterdir())


WRITE_FOREVER = """
import numpy as np, sys
from permakey_tf.data.writer import FrameStoreWriter
from permakey_tf.errors import UserError
from permakey_tf.types import Step
{limit}
try:
    with FrameStoreWriter(sys.argv[1], 84, 3) as writer:
        while True:
            writer.append(Step(np.zeros((84, 84, 3), np.uint8), True), "train")
            if len(writer) == 5:
                print("writing", flush=True)
except UserError as error:
    print(error)
"""


def run_writer(path, limit=""):
    code = WRITE_FOREVER.format(limit=limit)
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )


def test_a_full_disk_is_one_clear_line(tmp_path):
    """A limit on the size of files stands in for the disk's end: the same system call fails."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))"
    output, _ = run_writer(tmp_path / "s", limit).communicate(timeout=60)
    assert "disk full" in output.splitlines()[1] and str(tmp_path / "s") in output
    assert len(output.splitlines()) == 2
    assert not list(tmp_path.iterdir())


def test_a_killed_writer_leaves_no_store_and_the_next_one_cleans_up(tmp_path):
    process = run_writer(tmp_path / "s")
    try:
        assert process.stdout.readline() == "writing\n"
        with FrameStoreWriter(tmp_path / "s", SIZE, 3):
            pass
        (living,) = tmp_path.iterdir()  # a writer at work is left alone
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert living.name.startswith(".s.partial-")
    for path in (tmp_path / "s", living):
        with refuses(path):
            FrameStore.open(path)
    write_store(tmp_path / "s")
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


class TestAnotherWriterOfTheName:
    """It starts, and clears up, at the worst moment: what a living writer makes stays."""

    @pytest.fixture
    def another(self, tmp_path, monkeypatch):
        """another(owner, name, after): lets another writer start before or after a call of it."""

        def start(owner, name, after=False):
            original = getattr(owner, name)

            def interrupted(*arguments, **keywords):
                monkeypatch.setattr(owner, name, original)
                result = original(*arguments, **keywords) if after else None
                _remove_stale(tmp_path / "s")
                return result if after else original(*arguments, **keywords)

            monkeypatch.setattr(owner, name, interrupted)

        return start

    @pytest.mark.parametrize(
        ("owner", "name", "after"),
        [
            (frames_module, "_partial_folder", True),
            (Path, "mkdir", True),
            (fcntl, "flock", False),
            (fcntl, "flock", True),
        ],
    )
    def test_when_a_store_is_begun(self, tmp_path, another, owner, name, after):
        writer = FrameStoreWriter(tmp_path / "s", SIZE, 3)
        another(owner, name, after)
        with writer:
            finish(writer)
        FrameStore.open(tmp_path / "s", verify_hash=True)
        assert [path.name for path in tmp_path.iterdir()] == ["s"]

    @pytest.mark.parametrize("after", [False, True])
    def test_when_a_store_gets_its_name(self, tmp_path, another, after):
        with FrameStoreWriter(tmp_path / "s", SIZE, 3) as writer:
            another(Path, "rename", after)
            finish(writer)
        FrameStore.open(tmp_path / "s", verify_hash=True)
        assert not (tmp_path / "s" / ".lock").exists()

    def test_when_both_finish_at_once_one_store_is_made(self, tmp_path, monkeypatch):
        refused = pytest.raises(MadeMeanwhileError)
        with refused, FrameStoreWriter(tmp_path / "s", SIZE, 3) as late:
            write_store(tmp_path / "s")
            monkeypatch.setattr(os.path, "lexists", lambda _: False)  # looked a moment before
            finish(late)
        FrameStore.open(tmp_path / "s", verify_hash=True)
        assert [path.name for path in tmp_path.iterdir()] == ["s"]


def finish(writer):
    for step, (split, _) in zip(make_steps(), ROWS, strict=True):
        writer.append(step, split)
    writer.finish({"game": "toy"})


def refuse_sync(monkeypatch, number, folders):
    """fsync of folders, or of files, answers with an error."""
    original = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) == folders:
            raise OSError(number, os.strerror(number))
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EACCES, 524, errno.EIO])
def test_a_folder_that_cannot_be_synced_costs_no_store(tmp_path, monkeypatch, number, capsys):
    refuse_sync(monkeypatch, number, folders=True)
    write_store(tmp_path / "s")
    FrameStore.open(tmp_path / "s", verify_hash=True)
    assert ("could not be synced" in capsys.readouterr().out) == (number == errno.EIO)


def test_files_are_synced_where_that_can_be_done(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        refuse_sync(patch, errno.EINVAL, folders=False)
        write_store(tmp_path / "s")
    FrameStore.open(tmp_path / "s", verify_hash=True)
    refuse_sync(monkeypatch, errno.EIO, folders=False)  # a disk that fails
    with refuses("Input/output error"):
        write_store(tmp_path / "t")
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


@pytest.mark.parametrize("number", [524, errno.EIO, errno.ENOLCK])
def test_without_locks_a_killed_writers_folder_counts_as_in_use(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    killed = tmp_path / ".s.partial-1-abc"
    killed.mkdir()
    (killed / ".lock").touch()
    write_store(tmp_path / "s")
    assert killed.exists()


# ----------------------------------------------------------------------------------- prepare_frame


def test_frames_of_the_right_size_pass_unchanged():
    frame = make_steps()[0].frame
    np.testing.assert_array_equal(prepare_frame(frame, SIZE, 3), frame)


def test_shrinking_averages_areas():
    frame = np.zeros((32, 48, 3), np.uint8)
    frame[0, 0] = (60, 120, 240)  # one of the 2 x 3 pixels that make one pixel of the result
    small = prepare_frame(frame, 16, 3)
    assert small[0, 0].tolist() == [10, 20, 40]
    assert small.sum() == 70


@pytest.mark.parametrize("turned", [False, True])
def test_a_side_is_averaged_where_the_other_one_grows(turned):
    """One bright column of 80 in a frame of 8 rows: a fifth of a pixel's width, wherever it is."""
    for column in range(30, 35):
        frame = np.zeros((8, 80), np.uint8)
        frame[:, column] = 250
        small = prepare_frame(frame.T if turned else frame, 16, 1)
        assert set(small.ravel().tolist()) == {0, 50}


def test_grey_is_luma_of_bt601():
    frame = np.zeros((16, 16, 3), np.uint8)
    frame[:, :8] = (255, 0, 0)
    frame[:, 8:] = (10, 100, 200)
    grey = prepare_frame(frame, 16, 1)
    assert grey.shape == (16, 16, 1)
    assert set(grey[:, :8].ravel()) == {round(0.299 * 255)}
    assert set(grey[:, 8:].ravel()) == {round(0.299 * 10 + 0.587 * 100 + 0.114 * 200)}


def test_a_grey_frame_becomes_three_equal_channels():
    frame = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for shaped in (frame, frame[..., None]):
        np.testing.assert_array_equal(prepare_frame(shaped, 16, 3), np.stack([frame] * 3, -1))


@pytest.mark.parametrize(
    "frame",
    [np.zeros((9, 9, 3)), np.zeros((9, 9, 4), "u1"), np.zeros((0, 9, 3), "u1"), np.zeros(9, "u1")],
)
def test_what_is_no_frame_is_refused(frame):
    with refuses("a frame must"):
        prepare_frame(frame, 16, 3)


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"),
    [
        (8, 4, (0, 8), (2, 6)),
        (4, 8, (2, 6), (0, 8)),
        (8, 3, (0, 8), (2, 5)),
        (8, 8, (0, 8), (0, 8)),
    ],
)
def test_a_padded_frame_is_in_the_middle_of_black(height, width, rows, columns):
    frame = np.random.default_rng(0).integers(1, 256, (height, width, 3), np.uint8)
    square = prepare_frame(frame, 8, 3, keep_aspect=True)
    np.testing.assert_array_equal(square[slice(*rows), slice(*columns)], frame)
    assert np.count_nonzero(square) == frame.size
    grey = prepare_frame(frame, 8, 1, keep_aspect=True)
    luma = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    np.testing.assert_array_equal(grey[slice(*rows), slice(*columns), 0], luma)


def test_an_action_that_the_store_cannot_hold_is_refused_at_its_frame(tmp_path):
    steps = [step._replace(action=70_000 * (row == 4)) for row, step in enumerate(make_steps())]
    with refuses("actions", "70000", "-1 to 32767"):
        write_store(tmp_path / "store", steps)
    assert not list(tmp_path.iterdir())
