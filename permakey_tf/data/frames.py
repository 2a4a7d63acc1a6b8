"""The frame store: a folder of equally sized frames on disk, split by whole episodes.

Files (docs/data.md has the format in full):
  frames.npy    uint8 [N, S, S, C]; C is 3 (RGB) or 1 (grey). Read as a memory map.
  episodes.npy  int32 [N], number of the frame's episode: 0, 0, ..., 1, 1, ...
  actions.npy   int16 [N], index of the action that led to the frame, -1 at an episode's first
                frame. Optional.
  rewards.npy   float32 [N], true reward of the step that led to the frame. Optional.
  objects.npz   ground-truth boxes, see `types.Objects`. Optional.
  manifest.json what the frames are, how they were made, counts per split, hashes.

Rows are in play order: the training split first, then validation, then test; no episode is shared
between splits. This module needs numpy and OpenCV only, so that it can be imported without
TensorFlow.
"""

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
from array import array
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict

import cv2
import numpy as np

from permakey_tf import disk, schema
from permakey_tf.configs import canonical_game
from permakey_tf.data.npz import NpzFile, map_npy
from permakey_tf.data.repeats import RepeatCounter, check_distinct
from permakey_tf.errors import UserError
from permakey_tf.types import Objects, Step

SPLITS = ("train", "validation", "test")
FORMAT = "permakey-frames"
FORMAT_VERSION = 1
_COLUMNS = {"episodes": np.int32, "actions": np.int16, "rewards": np.float32}
_OBJECTS = {"frame": np.int32, "category": np.uint8, "xywh": np.int16, "visible": np.bool_}
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NAME_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)
_LOCK = ".lock"


def prepare_frame(
    frame: np.ndarray, image_size: int, channels: int, keep_aspect: bool = False
) -> np.ndarray:
    """Brings a frame to the model's size and number of channels.

    Grey is ITU-R 601 luma, taken at full resolution; sizes change by area averaging. A
    frame that already has the size and channels is returned as it is.

    Args:
      frame: uint8 [H, W, 3] (RGB), [H, W, 1] or [H, W].
      image_size: side S of the square result, in pixels.
      channels: 3 for RGB, 1 for grey.
      keep_aspect: pad the shorter side with black, half at each end, before the size changes;
        otherwise the frame is squeezed into the square.

    Returns:
      uint8 [S, S, channels].

    Raises:
      UserError: `frame` is no such array.
    """
    if frame.dtype != np.uint8 or frame.ndim not in (2, 3) or 0 in frame.shape:
        raise UserError(f"a frame must be uint8 [H, W, 3], not {frame.dtype} {list(frame.shape)}")
    if frame.ndim == 2:
        frame = frame[..., None]
    if frame.shape[2] not in (1, 3):
        raise UserError(f"a frame must have 3 channels or 1, not {frame.shape[2]}")
    if frame.shape[2] != channels:
        code = cv2.COLOR_RGB2GRAY if channels == 1 else cv2.COLOR_GRAY2RGB
        frame = cv2.cvtColor(np.ascontiguousarray(frame), code)
    if keep_aspect:
        spare = [max(frame.shape[:2]) - side for side in frame.shape[:2]]
        margins = [(total // 2, total - total // 2) for total in spare]
        frame = np.pad(frame, margins + [(0, 0)] * (frame.ndim - 2)) if any(spare) else frame
    # OpenCV averages areas only where no side grows: sides shrink first, and grow after that.
    shrunk = tuple(min(side, image_size) for side in frame.shape[:2])
    for height, width in (shrunk, (image_size, image_size)):
        if frame.shape[:2] != (height, width):
            frame = np.ascontiguousarray(frame)
            frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
    return frame.reshape(image_size, image_size, channels)


class FrameStore(NamedTuple):
    """A complete frame store, opened for reading by `FrameStore.open`.

    Attributes:
      path: the folder.
      manifest: contents of manifest.json.
      frames: uint8 [N, S, S, C], a read-only memory map.
      episodes: int32 [N].
      actions: int16 [N], or None where the source has none.
      rewards: float32 [N], or None where the source has none.
    """

    path: Path
    manifest: dict[str, Any]
    frames: np.ndarray
    episodes: np.ndarray
    actions: np.ndarray | None
    rewards: np.ndarray | None

    @property
    def game(self) -> str:
        """Its one spelling, see `canonical_game`; earlier versions stored Gym ids as they were."""
        return canonical_game(self.manifest["game"])

    @property
    def image_size(self) -> int:
        return self.frames.shape[1]

    @property
    def channels(self) -> int:
        return self.frames.shape[3]

    @property
    def keep_aspect(self) -> bool:
        """Whether frames were padded to a square; stores of earlier versions squeezed them."""
        return bool(self.manifest.get("keep_aspect", False))

    @property
    def content_hash(self) -> str:
        """SHA-256 (hex) of all that is stored: equal for stores with equal contents."""
        return self.manifest["content_hash"]

    def split_range(self, split: str) -> range:
        """Rows of "train", "validation" or "test"."""
        counts = [self.manifest["splits"][name] for name in SPLITS]
        position = SPLITS.index(split)
        start = sum(counts[:position])
        return range(start, start + counts[position])

    def objects(self) -> Objects | None:
        """The ground-truth boxes; None where they were not stored. Raises UserError if damaged."""
        if "objects" not in self.manifest["sha256"]:
            return None
        objects = _read_objects(self.path / "objects.npz", len(self.frames))
        if _hash_objects(objects) != self.manifest["sha256"]["objects"]:
            raise UserError(f"{self.path / 'objects.npz'}: changed since the store was made")
        return objects

    @classmethod
    def open(cls, path: str | os.PathLike, verify_hash: bool = False) -> "FrameStore":
        """Opens a store and checks everything but the pixels.

        Args:
          path: the store's folder.
          verify_hash: also read all frames and compare their SHA-256 with the manifest's.

        Raises:
          UserError: the folder is missing, incomplete, damaged or not a frame store.
        """
        path = Path(path)
        manifest = _read_manifest(path)
        frames = map_npy(path / "frames.npy")
        shape, dtype = frames.shape, frames.dtype
        if dtype != np.uint8 or len(shape) != 4 or shape[1] != shape[2] or shape[3] not in (1, 3):
            raise UserError(
                f"{path / 'frames.npy'}: expected uint8 [N, S, S, 3 or 1], "
                f"found {dtype} {list(shape)}"
            )
        if len(frames) != sum(manifest["splits"].values()) or not frames.flags.c_contiguous:
            raise UserError(
                f"{path / 'frames.npy'}: {len(frames)} frames, but the manifest counts "
                f"{sum(manifest['splits'].values())}; make the store anew"
            )
        columns = {
            name: _read_column(path, name, len(frames), manifest["sha256"][name])
            for name in _COLUMNS
            if name in manifest["sha256"]
        }
        if "objects" in manifest["sha256"]:
            NpzFile(path / "objects.npz").close()
        store = cls(
            path,
            manifest,
            frames,
            columns["episodes"],
            columns.get("actions"),
            columns.get("rewards"),
        )
        _check_episodes(store)
        if verify_hash and _hash_frames(frames) != manifest["sha256"]["frames"]:
            raise UserError(f"{path / 'frames.npy'}: pixels differ from the manifest's SHA-256")
        return store


# ---------------------------------------------------------------------------- reading and checking


class _Manifest(TypedDict):
    """What this program reads of a manifest; there is more in it."""

    game: str
    splits: dict[str, int]
    sha256: dict[str, str]
    content_hash: str
    notes: NotRequired[list[str]]
    config: NotRequired[dict[str, Any]]


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / "manifest.json"
    if not path.is_dir():
        raise UserError(
            f"{path}: no such folder; make a store with python -m run.data --out={path}"
        )
    if not file.is_file():
        raise UserError(f"{path}: not a frame store (it has no manifest.json)")
    try:
        manifest = schema.read_object(file)
    except UserError as error:
        raise UserError(f"{error}; make the store anew") from error
    if manifest.get("format") != FORMAT:
        raise UserError(f"{file}: not the manifest of a frame store (format is not {FORMAT!r})")
    version = manifest.get("format_version")
    if type(version) is not int or version != FORMAT_VERSION:
        raise UserError(
            f"{file}: format version {version!r}, this program reads {FORMAT_VERSION}; "
            "update the program or make the store anew"
        )
    try:
        manifest = schema.parse(_Manifest, manifest)
    except UserError as error:
        raise UserError(f"{file}: {error}; make the store anew") from error
    splits, hashes = manifest["splits"], manifest["sha256"]
    if set(splits) != set(SPLITS) or min(splits.values()) < 1:
        raise UserError(f"{file}: 'splits' must count the frames of {', '.join(SPLITS)}")
    if not {"frames", "episodes"} <= set(hashes):
        raise UserError(f"{file}: 'sha256' must name frames and episodes")
    if manifest["content_hash"] != content_hash(splits, hashes):
        raise UserError(f"{file}: was edited: its content hash does not fit; make the store anew")
    return manifest


def _read_column(path: Path, name: str, length: int, sha256: str) -> np.ndarray:
    file, dtype = path / f"{name}.npy", np.dtype(_COLUMNS[name])
    column = np.array(map_npy(file))
    if column.dtype != dtype or column.shape != (length,):
        raise UserError(
            f"{file}: expected {dtype} [{length}], found {column.dtype} {list(column.shape)}"
        )
    if hashlib.sha256(column).hexdigest() != sha256:
        raise UserError(f"{file}: changed since the store was made; make the store anew")
    return column


def _check_episodes(store: FrameStore) -> None:
    file = store.path / "episodes.npy"
    jumps = np.diff(store.episodes)
    if store.episodes[0] != 0 or not np.isin(jumps, (0, 1)).all():
        raise UserError(f"{file}: episodes must be numbered 0, 1, 2, ... in the order of frames")
    if not all(jumps[store.split_range(split).start - 1] for split in SPLITS[1:]):
        raise UserError(f"{file}: an episode reaches from one split into the next")


def _read_objects(file: Path, num_frames: int) -> Objects:
    with NpzFile(file) as npz:
        # Stores of earlier versions do not say which objects are drawn.
        names = [name for name in _OBJECTS if name != "visible" or name in npz.arrays]
        arrays = {name: npz.read(name) for name in (*names, "categories")}
    length = len(arrays["frame"])
    shapes = dict.fromkeys(names, (length,)) | {"xywh": (length, 4)}
    for name in names:
        array, dtype = arrays[name], _OBJECTS[name]
        if array.dtype != dtype or array.shape != shapes[name]:
            raise UserError(
                f"{file}: array {name!r} should be {np.dtype(dtype)} {list(shapes[name])}, "
                f"is {array.dtype} {list(array.shape)}"
            )
    categories, frame = arrays["categories"], arrays["frame"]
    if categories.dtype.kind != "U" or categories.ndim != 1:
        raise UserError(f"{file}: array 'categories' should be a list of strings")
    ascending = not length or (
        frame[0] >= 0 and frame[-1] < num_frames and (np.diff(frame) >= 0).all()
    )
    if not ascending or (length and arrays["category"].max() >= len(categories)):
        raise UserError(f"{file}: frame numbers or categories are out of range")
    return Objects(**arrays | {"categories": tuple(map(str, categories))})


def _hash_frames(frames: np.ndarray) -> str:
    digest = hashlib.sha256()
    for start in range(0, len(frames), 256):
        digest.update(np.ascontiguousarray(frames[start : start + 256]))
    return digest.hexdigest()


def _hash_objects(objects: Objects) -> str:
    digest = hashlib.sha256(json.dumps(list(objects.categories)).encode())
    for column in (objects.frame, objects.category, objects.xywh, objects.visible):
        if column is not None:
            digest.update(np.ascontiguousarray(column))
    return digest.hexdigest()


def content_hash(splits: dict[str, int], hashes: dict[str, str]) -> str:
    """SHA-256 (hex) over the counts per split and the hashes of the stored arrays."""
    return hashlib.sha256(json.dumps([splits, hashes], sort_keys=True).encode()).hexdigest()


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
        self._boxes = _Boxes()
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
        return self._episode + 1

    def append(self, step: Step, split: str) -> None:
        """Adds one frame, resized as `prepare_frame` does.

        A new episode begins where `step.first` is set and where `split` changes; splits come in
        the order of SPLITS.

        Raises:
          UserError: the disk is full, or the frame has a wrong dtype or shape.
        """
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

    def finish(self, about: dict[str, Any]) -> FrameStore:
        """Completes the store, gives it its name, and opens it.

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
        return FrameStore.open(self.path)

    def _write_columns(self) -> dict[str, str]:
        hashes = {}
        for name, dtype in _COLUMNS.items():
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
                arrays = objects._asdict() | {"categories": np.array(objects.categories, "U")}
                arrays = {name: array for name, array in arrays.items() if array is not None}
                np.savez_compressed(file, allow_pickle=False, **arrays)
                disk.sync(file)
            hashes["objects"] = _hash_objects(objects)
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
                f"has {free / 1e9:.2f} GB free; free some or lower --num_frames"
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
                    "free); free some or lower --num_frames"
                ) from error
            raise UserError(f"{self.path}: cannot be written ({error.strerror})") from error


class _Boxes:
    """Boxes in typed arrays: a store can have tens of millions, too many for Python objects."""

    def __init__(self):
        self._frames, self._categories, self._xywh = array("i"), array("B"), array("h")
        self._visible = array("B")
        self._names: dict[str, int] = {}

    def append(
        self,
        frame: int,
        boxes: list[tuple[str, int, int, int, int]],
        visible: np.ndarray | None,
    ) -> None:
        if visible is not None:
            if len(visible) != len(boxes):
                raise ValueError(f"{len(boxes)} boxes, but visibility of {len(visible)}")
            self._visible.extend(visible.tolist())
        for name, *xywh in boxes:
            self._frames.append(frame)
            self._categories.append(self._names.setdefault(name, len(self._names)))
            self._xywh.extend(xywh)

    def finish(self) -> Objects:
        """All boxes; categories in alphabetical order. Visibility where all frames gave it."""
        categories = tuple(sorted(self._names))
        renumbered = np.zeros(256, np.uint8)
        renumbered[list(self._names.values())] = [categories.index(name) for name in self._names]
        return Objects(
            np.array(self._frames, np.int32),
            renumbered[np.array(self._categories, np.uint8)],
            np.array(self._xywh, np.int16).reshape(-1, 4),
            categories,
            np.array(self._visible, bool) if len(self._visible) == len(self._frames) else None,
        )


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
