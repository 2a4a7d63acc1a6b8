"""The frame store: a folder of equally sized frames on disk, split by whole episodes.

Files (docs/data.md has the format in full):
  frames.npy    uint8 [N, S, S, C]; C is 3 (RGB) or 1 (grey). Read as a memory map.
  episodes.npy  int32 [N], number of the frame's episode: 0, 0, ..., 1, 1, ...
  actions.npy   int16 [N], index of the action that led to the frame, -1 at an episode's first
                frame. Optional.
  rewards.npy   float32 [N], true reward of the step that led to the frame. Optional.
  objects.npz   ground-truth boxes, see `objects.boxes.Objects`. Optional.
  manifest.json what the frames are, how they were made, counts per split, hashes.

Rows are in play order: the training split first, then validation, then test; no episode is shared
between splits. This module can be imported without TensorFlow.
"""

import hashlib
import os
import tempfile
import weakref
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict

import numpy as np
from numpy.typing import ArrayLike

from permakey_tf.configs.frames import CollectionConfig, canonical_game
from permakey_tf.data import filling
from permakey_tf.data.format import (
    COLUMNS,
    FORMAT,
    FORMAT_VERSION,
    SPLITS,
    content_hash,
)
from permakey_tf.data.reading import FrameFile, Read
from permakey_tf.data.recordings import read_arrays
from permakey_tf.errors import UserError, expect
from permakey_tf.objects.boxes import Objects
from permakey_tf.system import schema
from permakey_tf.system.files import user_path
from permakey_tf.system.npz import NpzFile, map_npy

_MANIFEST = "manifest.json"


class FrameStore(NamedTuple):
    """A complete frame store, opened for reading by `FrameStore.open`.

    Attributes:
      path: the folder.
      manifest: contents of manifest.json.
      frames: uint8 [N, S, S, C], a read-only memory map; joined stores' are indexed like one.
      episodes: int32 [N].
      actions: int16 [N], or None where the source has none.
      rewards: float32 [N], or None where the source has none.
      read: reads chosen frames without mapping them: int [...], rows -> uint8 [..., S, S, C], see
        `reading.FrameFile`.
      parts: the stores that this one joins, see `joining.join_stores`; () for one on disk.
      weights: how often training frames are drawn from each part, in relation; () for as many as it
        has.
    """

    path: Path
    manifest: dict[str, Any]
    frames: np.ndarray
    episodes: np.ndarray
    actions: np.ndarray | None
    rewards: np.ndarray | None
    read: Read
    parts: tuple["FrameStore", ...] = ()
    weights: tuple[int, ...] = ()

    def __repr__(self) -> str:
        """One line: a tuple's own would be pages of arrays."""
        counts = ", ".join(f"{count:,} {name}" for name, count in self.manifest["splits"].items())
        return f"FrameStore({self.game}: {counts} frames, {list(self.frames.shape)}, {self.path})"

    @property
    def game(self) -> str:
        """Its one spelling, see `canonical_game`; earlier versions stored Gym ids as they were."""
        return canonical_game(self.manifest["game"])

    @property
    def image_size(self) -> int:
        """Side of the frames in pixels."""
        return self.frames.shape[1]

    @property
    def channels(self) -> int:
        """3, or 1 where frames are grey."""
        return self.frames.shape[3]

    @property
    def keep_aspect(self) -> bool:
        """Whether frames were padded to a square; stores of earlier versions squeezed them."""
        return bool(self.manifest.get("keep_aspect", False))

    @property
    def content_hash(self) -> str:
        """SHA-256 (hex) of all that is stored: equal for stores with equal contents."""
        return self.manifest["content_hash"]

    @property
    def notes(self) -> list[str]:
        """What a user should know of the frames, a sentence each."""
        return self.manifest.get("notes", [])

    def split_range(self, split: str) -> range:
        """Rows of "train", "validation" or "test"; UserError for another split."""
        if split not in SPLITS:
            raise UserError(f"split={split!r} is none of {', '.join(SPLITS)}")
        counts = [self.manifest["splits"][name] for name in SPLITS]
        position = SPLITS.index(split)
        start = sum(counts[:position])
        return range(start, start + counts[position])

    def split_parts(self, split: str) -> list[range]:
        """Rows of a split by the store that they are from: one range, or one for each part."""
        lengths = [len(part.split_range(split)) for part in self.parts or (self,)]
        ends = self.split_range(split).start + np.cumsum(lengths)
        return [range(int(end) - n, int(end)) for end, n in zip(ends, lengths, strict=True)]

    def objects(self) -> Objects | None:
        """The ground-truth boxes; None where they were not stored. Raises UserError if damaged."""
        if "objects" not in self.manifest["sha256"]:
            return None
        with NpzFile(self.path / "objects.npz") as file:
            objects = Objects.read(file, len(self.frames))
        if objects.sha256() != self.manifest["sha256"]["objects"]:
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
        path = user_path(path)
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
            for name in COLUMNS
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
            FrameFile(frames),
        )
        _check_episodes(store)
        if verify_hash and _hash_frames(frames) != manifest["sha256"]["frames"]:
            raise UserError(f"{path / 'frames.npy'}: pixels differ from the manifest's SHA-256")
        return store

    @classmethod
    def from_arrays(
        cls,
        frames: ArrayLike,
        episodes: ArrayLike | None = None,
        path: str | os.PathLike | None = None,
        game: str = "mine",
        split: tuple[int, int, int] = (85, 5, 5),
        image_size: int = 84,
        channels: int = 3,
        keep_aspect: bool = False,
    ) -> "FrameStore":
        """Makes a store of frames in memory, and opens it.

        Splits are made of whole episodes, in their order; fewer than three episodes are cut into
        runs of consecutive frames (`manifest["notes"]` says what a user should know). The same
        frames give the same hash, by which a run knows them again.

        Args:
          frames: uint8 [N, H, W, 3], or grey [N, H, W], of any size.
          episodes: int [N], number of each frame's episode; None: all frames are one episode.
          path: folder to make; must not exist. None: a temporary one, which lasts as long as
            `store.frames` is used somewhere, and ends with the process.
          game: a name for the frames, of which letters, digits and "+" are kept (`canonical_game`);
            of an Atari game, its ground truth is known by it.
          split: proportions of training, validation and test.
          image_size: side of the square frames that are stored, in pixels; a multiple of 4.
          channels: 3 keeps colour, 1 stores greyscale.
          keep_aspect: pad frames to a square with black instead of squeezing them into one.

        Raises:
          UserError: other arrays, too few frames, a wrong setting, no room, or `path` exists.
        """
        expect((tuple, list), split, "split", "(85, 5, 5) are shares of train, validation and test")
        wanted: dict[str, Any] = {"game": game, "split": tuple(split), "image_size": image_size}
        wanted |= {"channels": channels, "keep_aspect": keep_aspect}
        config, recording = CollectionConfig.make(**wanted), read_arrays(frames, episodes)
        if path is None:
            temporary = tempfile.TemporaryDirectory(prefix="permakey-frames-")
            store = cls.from_arrays(frames, episodes, Path(temporary.name) / "store", **wanted)
            weakref.finalize(store.frames, temporary.cleanup)
            return store
        path = user_path(path)
        if (path / _MANIFEST).exists():
            raise UserError(f"{path} is a frame store already: FrameStore.open({str(path)!r})")
        about = {
            "game": canonical_game(game),
            "source": "arrays",
            "origin": recording.origin,
            "config": {name: getattr(config, name) for name in wanted},
            "notes": [],
            "versions": filling.own_versions(),
        }
        contents = filling.of_recording(recording, config)
        filling.fill(path, contents, config, about, progress=False)
        return cls.open(path)


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
    file = path / _MANIFEST
    if path.is_file():
        raise UserError(
            f"{path} is a file; a frame store is a folder, which python -m run.data --source=npz "
            f"--npz={path} makes of a recording"
        )
    if not path.is_dir():
        raise UserError(
            f"{path}: no such folder; make a store with python -m run.data --out={path}, or of "
            "frames in memory with FrameStore.from_arrays"
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
    file, dtype = path / f"{name}.npy", np.dtype(COLUMNS[name])
    column = np.array(map_npy(file))
    if column.dtype != dtype or column.shape != (length,):
        raise UserError(
            f"{file}: expected {dtype} [{length}], found {column.dtype} {list(column.shape)}"
        )
    if hashlib.sha256(column.data).hexdigest() != sha256:
        raise UserError(f"{file}: changed since the store was made; make the store anew")
    return column


def _check_episodes(store: FrameStore) -> None:
    file = store.path / "episodes.npy"
    jumps = np.diff(store.episodes)
    if store.episodes[0] != 0 or not np.isin(jumps, (0, 1)).all():
        raise UserError(f"{file}: episodes must be numbered 0, 1, 2, ... in the order of frames")
    if not all(jumps[store.split_range(split).start - 1] for split in SPLITS[1:]):
        raise UserError(f"{file}: an episode reaches from one split into the next")


def _hash_frames(frames: np.ndarray) -> str:
    digest = hashlib.sha256()
    for start in range(0, len(frames), 256):
        digest.update(np.ascontiguousarray(frames[start : start + 256]).data)
    return digest.hexdigest()
