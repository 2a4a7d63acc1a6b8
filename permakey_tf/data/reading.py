"""Reads chosen frames from disk, a batch at a time, however large their files are.

A memory map counts every page that was touched as memory of the process: 9 GB after 140,000 random
frames of 21 KB, since the kernel maps their neighbours too, and reads them where the disk is cold.
A read takes what it asks for, and its memory ends with the batch. Nothing here needs TensorFlow.
"""

import os
import threading
import weakref
from collections.abc import Callable, Sequence

import numpy as np

from permakey_tf.errors import UserError

# int [...] -> uint8 [..., S, S, C]: frames by their rows.
Read = Callable[[np.ndarray], np.ndarray]


class FrameFile:
    """Frames of one .npy file; called with rows, it reads them in the order of the file.

    The file stays open: a store that is moved or replaced meanwhile is read on as it was. Threads
    may share it.

    Args:
      frames: uint8 [N, S, S, C], the file's memory map.
    """

    def __init__(self, frames: np.memmap):
        self._path, self._offset, self._shape = frames.filename, frames.offset, frames.shape
        self._file = os.open(frames.filename, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """uint8 [*rows.shape, S, S, C]. Frames side by side are one read.

        Args:
          rows: int, of any shape, in any order, from 0 to N - 1.

        Raises:
          UserError: the file has become shorter since it was opened.
        """
        wanted = np.ravel(rows)
        order = np.argsort(wanted, kind="stable")
        places = wanted[order]
        frames = np.empty([len(wanted), *self._shape[1:]], np.uint8)
        for run in np.split(order, np.flatnonzero(np.diff(places) != 1) + 1):
            if len(run):
                frames[run] = self._run(int(wanted[run[0]]), len(run))
        return frames.reshape(*np.shape(rows), *self._shape[1:])

    def _run(self, start: int, number: int) -> np.ndarray:
        """uint8 [number, S, S, C]: consecutive frames from row `start` on."""
        size = int(np.prod(self._shape[1:]))
        place, data = self._offset + start * size, b""
        while missing := number * size - len(data):
            part = os.pread(self._file, missing, place + len(data))
            if not part:
                raise UserError(f"{self._path}: was cut short while it was read")
            data += part
        return np.frombuffer(data, np.uint8).reshape(number, *self._shape[1:])


class JoinedFrames:
    """Frames of several files as one array, which stays on disk and is indexed by rows.

    Args:
      pieces: what reads a file, and which consecutive rows of it; in the order of the whole.
      frame_shape: (S, S, C).

    Attributes:
      shape: (N, S, S, C).
    """

    def __init__(self, pieces: Sequence[tuple[Read, range]], frame_shape: tuple[int, ...]):
        self._pieces = pieces
        self._ends = np.cumsum([len(rows) for _, rows in pieces])
        self.shape = (int(self._ends[-1]), *frame_shape)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, index) -> np.ndarray:
        """uint8 [..., S, S, C]; `index` is what an array's first axis takes."""
        if isinstance(index, slice):  # without the rows of all frames
            return self.read(np.arange(*index.indices(len(self))))
        if isinstance(index, int | np.integer) and not isinstance(index, bool):
            return self.read(np.array(range(len(self))[index]))
        return self.read(np.arange(len(self))[index])

    def read(self, rows: np.ndarray) -> np.ndarray:
        """uint8 [*rows.shape, S, S, C]; every file is read as by `FrameFile`."""
        wanted = np.ravel(rows)
        frames = np.empty([len(wanted), *self.shape[1:]], np.uint8)
        piece = np.searchsorted(self._ends, wanted, side="right")
        for number in np.unique(piece):
            read, there = self._pieces[number]
            shift = there.stop - self._ends[number]
            frames[piece == number] = read(wanted[piece == number] + shift)
        return frames.reshape(*np.shape(rows), *self.shape[1:])


class BlockReader:
    """Reads blocks of consecutive frames whole, and keeps each until all its frames were given out.

    Threads may share it: tf.data loads several batches at once.

    Args:
      read: what reads frames.
      number: N, of frames that there are.
      size: frames of a block.
      most: blocks that are kept; the oldest are given up beyond that, and read again when needed.
    """

    def __init__(self, read: Read, number: int, size: int, most: int):
        self._read, self._number, self._size, self._most = read, number, size, most
        self._blocks: dict[int, np.ndarray] = {}
        self._left: dict[int, int] = {}
        self._lock = threading.Lock()

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """uint8 [B, S, S, C], for rows int [B]."""
        with self._lock:
            frames = np.stack([self._frame(int(row)) for row in rows])
            while len(self._blocks) > self._most:
                self._give_up(next(iter(self._blocks)))
        return frames

    def _frame(self, row: int) -> np.ndarray:
        number, place = divmod(row, self._size)
        if number not in self._blocks:
            start = number * self._size
            rows = np.arange(start, min(start + self._size, self._number))
            self._blocks[number], self._left[number] = self._read(rows), len(rows)
        frame = self._blocks[number][place]
        self._left[number] -= 1
        if not self._left[number]:
            self._give_up(number)
        return frame

    def _give_up(self, number: int) -> None:
        del self._blocks[number], self._left[number]
