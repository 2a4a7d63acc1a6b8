"""Reads .npy and .npz files that may be damaged, foreign or hostile: one clear line for each.

Nothing here ever unpickles. Arrays of an .npz are read row by row, so that a file with gigabytes
of frames needs the memory of one block, and a header that lies about its size allocates nothing.
"""

import math
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from permakey_tf.errors import UserError

# What numpy and zipfile raise on damaged input (RuntimeError: encrypted or unknown compression).
_BAD_NPY = (ValueError, EOFError, OSError, SyntaxError, tokenize.TokenError, OverflowError)
_BAD_ZIP = (zipfile.BadZipFile, zlib.error, RuntimeError, *_BAD_NPY)
_BLOCK_BYTES = 1 << 22


class DamagedError(UserError):
    """A file that is broken, rather than one of something else."""


class ArrayInfo(NamedTuple):
    """What an array's header says, before any of its data are read."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool


def map_npy(path: Path) -> np.memmap:
    """Memory-maps a .npy file read-only.

    Raises:
      UserError: the file is missing, truncated, not an .npy, or holds pickled objects.
    """
    if not path.is_file():
        raise UserError(f"{path}: file is missing; the folder is incomplete, make it anew")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except _BAD_NPY as error:
        raise UserError(f"{path}: damaged or not an .npy file ({_short(error)})") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise UserError(f"{path}: an .npz archive where an .npy array is expected")
    return array


class NpzFile:
    """An .npz file opened for reading; a context manager.

    Attributes:
      path: where it is.
      arrays: {name: ArrayInfo} of every array in the file, from the headers alone.
    """

    def __init__(self, path: Path):
        """Raises UserError where the file is missing, damaged, or holds pickled objects."""
        self.path = Path(path)
        if not self.path.is_file():
            raise UserError(f"{self.path}: file is missing")
        try:
            self._zip = zipfile.ZipFile(self.path)
        except _BAD_ZIP as error:
            if _begins_like_npy(self.path):
                raise UserError(
                    f"{self.path}: one array (.npy) where an .npz file with named arrays is "
                    "needed: np.savez(FILE, frames=np.load(...)) makes one"
                ) from error
            raise DamagedError(f"{self.path}: damaged or not an .npz file ({error})") from error
        try:
            members = [m for m in self._zip.infolist() if m.filename.endswith(".npy")]
            self.arrays = {m.filename.removesuffix(".npy"): self._info(m) for m in members}
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def info(self, name: str) -> ArrayInfo:
        """What is known of the array `name`, which can be read.

        Raises:
          UserError: it is missing, pickled or in Fortran order. Arrays that nobody asks for may be.
        """
        if name not in self.arrays:
            found = ", ".join(self.arrays) or "none"
            raise UserError(f"{self.path}: has no array {name!r} (arrays in it: {found})")
        info = self.arrays[name]
        if info.dtype.hasobject:
            raise UserError(
                f"{self.path}: array {name!r} holds pickled objects, which are never loaded"
            )
        if info.fortran:
            raise UserError(
                f"{self.path}: array {name!r} is in Fortran order; save np.ascontiguousarray of it"
            )
        return info

    def close(self) -> None:
        """Closes the archive."""
        self._zip.close()

    def read(self, name: str) -> np.ndarray:
        """The whole array `name`. Raises UserError where it is missing or damaged."""
        info = self.info(name)
        parts = list(self.blocks(name)) if math.prod(info.shape) else []
        rows = np.concatenate(parts) if parts else np.zeros(info.shape, info.dtype)
        return rows.reshape(info.shape)

    def blocks(self, name: str) -> Iterator[np.ndarray]:
        """Yields the array `name` in runs of rows of about 4 MiB; a scalar counts as one row.

        Raises:
          UserError: the array is missing, truncated or fails its checksum (which zipfile compares
        when the last row has been read).
        """
        info = self.info(name)
        shape = info.shape or (1,)
        row_bytes = math.prod(shape[1:]) * info.dtype.itemsize
        rows_at_once = max(1, _BLOCK_BYTES // max(1, row_bytes))
        try:
            with self._zip.open(name + ".npy") as member:
                _read_header(member)
                for start in range(0, shape[0], rows_at_once):
                    rows = min(rows_at_once, shape[0] - start)
                    data = member.read(rows * row_bytes)
                    yield np.frombuffer(data, info.dtype).reshape(rows, *shape[1:])
        except _BAD_ZIP as error:
            raise DamagedError(
                f"{self.path}: array {name!r} is damaged ({_short(error)})"
            ) from error

    def _info(self, member: zipfile.ZipInfo) -> ArrayInfo:
        try:
            with self._zip.open(member) as file:
                shape, fortran, dtype = _read_header(file)
                header_bytes = file.tell()
        except _BAD_ZIP as error:
            raise DamagedError(
                f"{self.path}: array {member.filename!r} is damaged ({_short(error)})"
            ) from error
        size = member.file_size - header_bytes
        if not dtype.hasobject and math.prod(shape) * dtype.itemsize != size:
            name = member.filename.removesuffix(".npy")
            raise DamagedError(
                f"{self.path}: array {name!r} is truncated or damaged (header and size disagree)"
            )
        return ArrayInfo(shape, dtype, fortran and len(shape) > 1)


def refuse_others(path: Path, kind: str, is_one: Callable[[set[str]], bool]) -> None:
    """Refuses to replace a file that is of another kind, such as a run's checkpoint.

    Args:
      path: of the file that is to be written.
      kind: what it is to be, in words.
      is_one: of the names of an .npz file's arrays, whether it is of that kind.

    Raises:
      UserError: another file is there.
    """
    if not path.exists() or not path.stat().st_size:  # a temporary file is empty
        return
    try:
        with NpzFile(path) as file:
            known = is_one(set(file.arrays))
    except UserError:
        known = False
    if not known:
        raise UserError(f"{path} exists and is no {kind}: choose another name")


def _begins_like_npy(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX


def _read_header(file) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    raise ValueError(f"version {version} of the .npy format is not supported")


def _short(error: BaseException) -> str:
    """First line of an exception's message, without numpy's advice to allow pickles."""
    text = str(error).partition("\n")[0]
    if "pickle" in text or "Python objects" in text:
        return "pickled objects are never loaded"
    return text or type(error).__name__
