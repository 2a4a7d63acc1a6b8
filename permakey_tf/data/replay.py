"""Sequence replay on disk: everything the agent has seen, appended once and never rewritten.

One file per column, opened as memory maps that the operating system keeps in memory as long as
there is room. A checkpoint is the number of rows: rows written after it are written anew by a
resumed run, which is why a full ring keeps `slack` rows more than it samples from.

A row is one observation and what the agent did there:
  inputs     what the encoder needs of the frame, see models.vision
  action     int16, -1 at a final observation, where none was taken
  reward     float32, that followed
  terminal   bool, whether the episode ended with it for good
  episode    int32, number of the episode

A checkpoint also holds a CRC-32 of every block of rows, so that damage is not taken for experience.
What it does not cover: in a ring that is full, the oldest rows, fewer than a block.
"""

import contextlib
import os
import zlib
from pathlib import Path

import numpy as np

from permakey_tf.errors import UserError
from permakey_tf.types import Column, SequenceBatch

_GROWTH = 4096  # rows by which the files grow
_BLOCK = 256  # rows of one checksum


_STEP_COLUMNS = {
    "action": Column((), np.dtype(np.int16)),
    "reward": Column((), np.dtype(np.float32)),
    "terminal": Column((), np.dtype(bool)),
    "episode": Column((), np.dtype(np.int32)),
}


class SequenceReplay:
    """Rows in the order of play, sampled as windows of consecutive steps of one episode.

    Args:
      folder: where the columns' files are; made where missing.
      inputs: {name: Column} of what an encoder needs.
      capacity: newest rows that are sampled from.
      slack: rows that may be added between two checkpoints.
      num_rows: rows that are there already, from the checkpoint.
      checksums: of those rows, from the checkpoint; None where it is of a version without them.

    Raises:
      UserError: the folder cannot be written, or does not hold the `num_rows` that were appended.
    """

    def __init__(
        self,
        folder: Path,
        inputs: dict[str, Column],
        capacity: int,
        slack: int,
        num_rows: int = 0,
        checksums: dict[str, np.ndarray] | None = None,
    ):
        self._folder, self._columns = Path(folder), inputs | _STEP_COLUMNS
        self._inputs = list(inputs)
        self._capacity, self._slots = capacity, capacity + slack
        self.num_rows = num_rows
        self._arrays = {}
        self._allocated = 0
        with _explained(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        needed = min(num_rows, self._slots)
        for name, column in self._columns.items():
            path = self._path(name)
            if needed and (not path.exists() or path.stat().st_size < needed * _row_bytes(column)):
                raise UserError(f"{path} is missing or cut off: the run cannot be resumed")
        self._grow(max(needed, 1))
        self._sums = self._verified(checksums) if checksums else self._summed()

    def _path(self, name):
        return self._folder / f"{name}.dat"

    def _grow(self, rows):
        """Reserves room for `rows` rows, so that a full disk is noticed here and not by a crash."""
        self._allocated = min(-(-rows // _GROWTH) * _GROWTH, self._slots)
        for name, column in self._columns.items():
            path, size = self._path(name), self._allocated * _row_bytes(column)
            shape = (self._allocated, *column.shape)
            # Not in append mode, in which no file system can do without fallocate.
            with _explained(path), path.open("r+b" if path.exists() else "w+b") as file:
                there = os.fstat(file.fileno()).st_size
                if there < size:
                    os.posix_fallocate(file.fileno(), there, size - there)
                self._arrays[name] = np.memmap(file, column.dtype, "r+", shape=shape)

    def _block_sum(self, name: str, start: int) -> int:
        """CRC-32 of what the disk holds of a block of rows that begins with `start`."""
        array, first = self._arrays[name], start % self._slots
        end = first + min(_BLOCK, self.num_rows - start)
        begun = zlib.crc32(array[first:end].tobytes())
        return zlib.crc32(array[: max(end - self._slots, 0)].tobytes(), begun)  # round the ring

    def _summed(self) -> dict[str, list[int]]:
        """Checksums of the rows as they are: nothing is known of what they were."""
        starts = range(0, self.num_rows, _BLOCK)
        return {name: [self._block_sum(name, i) for i in starts] for name in self._columns}

    def _verified(self, checksums: dict[str, np.ndarray]) -> dict[str, list[int]]:
        """The checksums of a checkpoint, after comparing all rows that are sampled from."""
        starts = range(0, self.num_rows, _BLOCK)
        oldest = max(self.num_rows - self._capacity, 0)
        for name in self._columns:
            sums = checksums.get(name, ())
            if len(sums) != len(starts):
                raise UserError(
                    f"{self._path(name)} does not fit the checkpoint; start a new logdir",
                    ["logdir"],
                )
            for start, expected in zip(starts, sums, strict=True):
                # A killed run can have written over older rows than that since the checkpoint.
                if start >= oldest and self._block_sum(name, start) != expected:
                    raise UserError(
                        f"{self._path(name)} is damaged: rows {start} to {start + _BLOCK - 1} are "
                        "not what the run has written; put a copy back, or start a new logdir",
                        ["logdir"],
                    )
        return {name: checksums[name].tolist() for name in self._columns}

    def checksums(self) -> dict[str, np.ndarray]:
        """{column: uint32 [blocks]}, CRC-32 of all rows that were appended, for the checkpoint."""
        return {name: np.array(sums, np.uint32) for name, sums in self._sums.items()}

    def append(self, inputs: dict, action: int, reward: float, terminal: bool, episode: int):
        """Adds one row; `action` -1 marks a final observation."""
        if self.num_rows < self._slots and self.num_rows >= self._allocated:
            self._grow(self.num_rows + 1)
        slot = self.num_rows % self._slots
        step = {"action": action, "reward": reward, "terminal": terminal, "episode": episode}
        begins = self.num_rows % _BLOCK == 0
        for name, value in (inputs | step).items():
            array, sums = self._arrays[name], self._sums[name]
            array[slot] = value
            stored = array[slot].tobytes()  # as its type is, not as it was given
            if begins:
                sums.append(zlib.crc32(stored))
            else:
                sums[-1] = zlib.crc32(stored, sums[-1])
        self.num_rows += 1

    def flush(self) -> None:
        """Hands all rows to the disk. Raises UserError where it fails."""
        for name, array in self._arrays.items():
            with _explained(self._path(name)):
                array.flush()

    def column(self, name: str, rows: np.ndarray) -> np.ndarray:
        """One column's values of rows, counted from the start of the run."""
        return self._arrays[name][rows % self._slots]

    def sample(
        self, rng: np.random.Generator, batch_size: int, length: int, n: int, gamma: float
    ) -> SequenceBatch:
        """Windows of `length` + `n` steps, starting anywhere an action was taken, equally likely.

        A window ends with its episode; what is missing is filled with its last row and masked. A
        step counts where its n-step target is complete: n steps later the episode still goes on,
        or has ended before.
        """
        starts = self._draw_starts(rng, batch_size)
        offsets = np.arange(length + n)
        rows = starts[:, None] + offsets  # [B, T]
        newest = self.num_rows - 1
        rows = np.minimum(rows, newest)
        episode = self.column("episode", rows)
        inside = (episode == episode[:, :1]) & (starts[:, None] + offsets <= newest)
        last = inside.sum(axis=1) - 1  # position of the last row of the same episode
        rows = starts[:, None] + np.minimum(offsets, last[:, None])
        action = self.column("action", rows)
        # What follows the last row is unknown, unless the game ended there or no action was taken.
        ended = self.column("terminal", rows[:, -1:]) | (action[:, -1:] < 0)
        complete = ended | (offsets + n <= last[:, None])
        mask = inside & complete & (action >= 0)
        discounts = np.where(self.column("terminal", rows), 0.0, gamma).astype(np.float32)
        return SequenceBatch(
            inputs={name: self.column(name, rows) for name in self._inputs},
            actions=np.maximum(action, 0).astype(np.int32),
            rewards=self.column("reward", rows),
            discounts=discounts,
            final=action < 0,
            mask=mask[:, :length].astype(np.float32),
        )

    def blank(self, batch_size: int, length: int, n: int) -> SequenceBatch:
        """Zeros, of the shapes and types of what `sample` gives."""

        def zeros(steps, column):
            return np.zeros([batch_size, steps, *column.shape], column.dtype)

        whole, scalar = length + n, Column((), np.dtype(np.float32))
        return SequenceBatch(
            inputs={name: zeros(whole, self._columns[name]) for name in self._inputs},
            actions=zeros(whole, Column((), np.dtype(np.int32))),
            rewards=zeros(whole, scalar),
            discounts=zeros(whole, scalar),
            final=zeros(whole, Column((), np.dtype(bool))),
            mask=zeros(length, scalar),
        )

    def _draw_starts(self, rng, number):
        """Rows at which an action was taken, uniformly: final observations are drawn again."""
        oldest = max(self.num_rows - self._capacity, 0)
        starts = rng.integers(oldest, self.num_rows, number)
        while (without := self.column("action", starts) < 0).any():
            starts[without] = rng.integers(oldest, self.num_rows, without.sum())
        return starts


@contextlib.contextmanager
def _explained(path):
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write the replay {path}: {error.strerror}") from error


def _row_bytes(column: Column) -> int:
    return int(np.prod(column.shape, dtype=np.int64)) * column.dtype.itemsize
