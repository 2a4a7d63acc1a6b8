"""Writes frame stores; see store.py for what they are."""

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from permakey_tf.data.format import (
    COLUMNS,
    FORMAT,
    FORMAT_VERSION,
    SPLITS,
    content_hash,
)
from permakey_tf.data.preparation import prepare_frame
from permakey_tf.data.repeats import RepeatCounter, check_distinct
from permakey_tf.errors import UserError
from permakey_tf.objects.boxes import ObjectsBuilder
from permakey_tf.system import disk
from permakey_tf.types import Step

_LARGEST_ACTION = int(np.iinfo(COLUMNS["actions"]).max)
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NAME_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)
_LOCK = ".lock"


# ------------------------------------------------------------------------------------------ writing


class MadeMeanwhileError(UserError):
    """Another process has made the store that was being made."""


def check_new(path: str | os.PathLike) -> None:
    """Raises UserError where a store cannot be made, or something is: it is never overwritten."""
    if os.path.lexists(path):
        raise UserError(f"{path}: exists already; delete it or choose another folder")
    disk.check_place(Path(path).absolute().parent)


class FrameStoreWriter:
    """Writes a frame store under a temporary name; `finish` gives it its name in one step.

    with FrameStoreWriter(path, 84, 3, columns={"actions"}) as writer:
        for step, split in ...:
            writer.append(step, split)
        writer.finish({"game": "mspacman"})

    Frames go straight to disk: memory does not grow with them. Where the block is left without
    `finish`, by an exception or not, nothing remains. A process killed in between leaves a
    `.NAME.partial-*` folder beside the store, which the next writer of that name removes; it
    knows a living writer's folder by the lock that the system holds on a file in it.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        image_size: int,
        channels: int,
        columns: frozenset[str] | set[str] = frozenset(),
        expected_frames: int | None = None,
        keep_aspect: bool = False,
    ):
        """Makes the temporary folder.

        Args:
          path: folder to make.
          image_size: side of the square frames, pixels.
          channels: 3 or 1.
          columns: what to store beside frames and episodes, of "actions", "rewards", "objects".
          expected_frames: number of frames to come, where known, to check the disk's space.
          keep_aspect: as in `prepare_frame`.

        Raises:
          UserError: `path` exists, cannot be made, or the disk has not enough room.
        """
        self.path = Path(path).absolute()
        self._shape, self._keep_aspect = (image_size, image_size, channels), keep_aspect
        self._columns = columns
        check_new(self.path)
        self._sha256 = hashlib.sha256()
        self._splits = dict.fromkeys(SPLITS, 0)
        self._split = None
        self._episode = -1
        self._values = {"episodes": [], "actions": [], "rewards": []}
        self._boxes = ObjectsBuilder()
        self.repeats = RepeatCounter()
        self._open_files = contextlib.ExitStack()
        with self._explained():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _remove_stale(self.path)
            self._check_space(expected_frames)

    def __enter__(self):
        with self._explained():
            self._partial, lock = _begin(self.path)
        self._open_files.enter_context(lock)
        try:
            with self._explained():
                file = (self._partial / "frames.npy").open("wb", buffering=0)
                self._file = self._open_files.enter_context(file)
                self._header = self._write_header(0)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self._open_files.close()
        shutil.rmtree(self._partial, ignore_errors=True)

    def __len__(self) -> int:
        return len(self._values["episodes"])

    @property
    def num_episodes(self) -> int:
        """Episodes begun so far."""
        return self._episode + 1

    def append(self, step: Step, split: str) -> None:
        """Adds one frame, resized as `prepare_frame` does.

        A new episode begins where `step.first` is set and where `split` changes; splits come in
        the order of SPLITS.

        Raises:
          UserError: the disk is full, the frame has a wrong dtype or shape, or the action's number
            is too large.
        """
        if not -1 <= step.action <= _LARGEST_ACTION:
            raise UserError(f"actions: {step.action} is out of range: -1 to {_LARGEST_ACTION}")
        frame = prepare_frame(step.frame, self._shape[0], self._shape[2], self._keep_aspect)
        starts = step.first or split != self._split
        if split != self._split:
            if SPLITS.index(split) < (SPLITS.index(self._split) if self._split else 0):
                raise ValueError(f"split {split!r} comes after {self._split!r}")
            self._split = split
        self._episode += starts
        if step.boxes is not None:
            self._boxes.append(len(self), step.boxes, step.visible)
        self._values["episodes"].append(self._episode)
        self._values["actions"].append(-1 if starts else step.action)
        self._values["rewards"].append(0.0 if starts else step.reward)
        self._splits[split] += 1
        self.repeats.append(frame, split, starts)
        data = np.ascontiguousarray(frame).data.cast("B")
        self._sha256.update(data)
        with self._explained():
            _write_all(self._file, data)

    def finish(self, about: dict[str, Any]) -> None:
        """Completes the store and gives it its name.

        Args:
          about: JSON-compatible entries for the manifest, beside those that are made here
            (format, shape, splits, episodes, repeats, hashes).

        Raises:
          UserError: a split is empty, no two frames differ, the disk is full, or the name was
            taken meanwhile.
        """
        empty = [split for split, count in self._splits.items() if not count]
        if empty:
            raise UserError(
                f"{self.path}: no frames for {' and '.join(empty)}; collect more frames"
            )
        repeats = self.repeats.counts()
        check_distinct(repeats, self.path)
        with self._explained():
            if self._write_header(len(self)) != self._header:
                raise RuntimeError("the length of numpy's header has changed")
            disk.sync(self._file)
            hashes = {"frames": self._sha256.hexdigest(), **self._write_columns()}
            manifest = {
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "content_hash": content_hash(self._splits, hashes),
                "shape": [len(self), *self._shape],
                "keep_aspect": self._keep_aspect,
                "splits": self._splits,
                "episodes": self.num_episodes,
                "repeats": repeats,
                **about,
                "sha256": hashes,
            }
            with (self._partial / "manifest.json").open("w", encoding="utf-8") as file:
                file.write(json.dumps(manifest, indent=2) + "\n")
                disk.sync(file)
            self._rename()

    def _write_columns(self) -> dict[str, str]:
        hashes = {}
        for name, dtype in COLUMNS.items():
            if name != "episodes" and name not in self._columns:
                continue
            column = np.array(self._values[name], dtype)
            with (self._partial / f"{name}.npy").open("wb") as file:
                np.save(file, column, allow_pickle=False)
                disk.sync(file)
            hashes[name] = hashlib.sha256(column).hexdigest()
        if "objects" in self._columns:
            objects = self._boxes.finish()
            with (self._partial / "objects.npz").open("wb") as file:
                np.savez_compressed(file, allow_pickle=False, **objects.to_arrays())
                disk.sync(file)
            hashes["objects"] = objects.sha256()
        return hashes

    def _rename(self) -> None:
        """Gives the store its name. It is locked until it has it: then no one can take it away."""
        disk.sync_folder(self._partial)
        try:
            if os.path.lexists(self.path):  # os.rename would replace an empty folder silently
                raise FileExistsError(errno.EEXIST, "exists")
            self._partial.rename(self.path)
        except OSError as error:
            if error.errno not in _NAME_TAKEN:
                raise
            raise MadeMeanwhileError(
                f"{self.path}: was made by another process meanwhile; start again to use that "
                "one, or choose another folder"
            ) from error
        (self.path / _LOCK).unlink()
        disk.sync_folder(self.path.parent)

    def _write_header(self, length: int) -> int:
        """Writes the .npy header, whose size does not depend on `length`; returns its size."""
        self._file.seek(0)
        fields = {"descr": "|u1", "fortran_order": False, "shape": (length, *self._shape)}
        np.lib.format.write_array_header_1_0(self._file, fields)
        size = self._file.tell()
        self._file.seek(0, os.SEEK_END)
        return size

    def _check_space(self, expected_frames: int | None) -> None:
        needed = (expected_frames or 0) * int(np.prod(self._shape))
        free = shutil.disk_usage(self.path.parent).free
        if needed > free:
            raise UserError(
                f"{self.path}: needs {needed / 1e9:.2f} GB for {expected_frames} frames, the disk "
                f"has {free / 1e9:.2f} GB free; free some or lower num_frames",
                ["num_frames"],
            )

    @contextlib.contextmanager
    def _explained(self):
        """Turns the system's refusals, such as a full disk, into a UserError."""
        try:
            yield
        except OSError as error:
            if error.errno in _DISK_FULL:
                written = len(self) * int(np.prod(self._shape)) / 1e9
                free = shutil.disk_usage(self.path.parent).free / 1e9
                raise UserError(
                    f"{self.path}: disk full after {written:.2f} GB of frames ({free:.2f} GB "
                    "free); free some or lower num_frames",
                    ["num_frames"],
                ) from error
            raise UserError(f"{self.path}: cannot be written ({error.strerror})") from error


def _partial_folder(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial-{os.getpid()}-{secrets.token_hex(4)}")


def _begin(path: Path):
    """A new temporary folder of `path`, and the open file in it that says that it is in use."""
    while True:
        folder = _partial_folder(path)
        folder.mkdir()
        try:
            lock = (folder / _LOCK).open("wb")
            disk.lock(lock)  # where there are no locks, it counts as in use for ever
            if (folder / _LOCK).exists():
                return folder, lock
        except (FileNotFoundError, BlockingIOError):
            pass  # between two of these steps another writer took it for a killed one's
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def _remove_stale(path: Path) -> None:
    """Removes what killed writers of `path` left behind, but no living writer's folder."""
    for folder in path.parent.glob(f".{path.name}.partial-*"):
        with contextlib.suppress(OSError):
            if not (folder / _LOCK).exists():
                folder.rmdir()  # only if empty; a writer that was about to lock it makes another
                continue
            with (folder / _LOCK).open("r+b") as file:  # never made here: it can be gone by now
                if disk.lock(file, patience=0):
                    _remove(folder)


def _remove(folder: Path) -> None:
    """Removes a locked folder, the lock last: killed here, the next writer goes on."""
    for file in folder.iterdir():
        if file.name != _LOCK:
            file.unlink()
    shutil.rmtree(folder)


def _write_all(file, data: memoryview) -> None:
    while data:
        data = data[file.write(data) :]
