"""Ground-truth boxes of a run of frames: their rules, their parts, their form in files."""

import dataclasses
import hashlib
import json
import types
from array import array
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from permakey_tf.errors import UserError
from permakey_tf.system.arrays import as_array
from permakey_tf.system.npz import NpzFile
from permakey_tf.types import Box

_DTYPES = {"frame": np.int32, "category": np.uint8, "xywh": np.int16, "visible": np.bool_}

# What the arrays of `Objects` are called in an .npz file.
STORED_NAMES = types.MappingProxyType(
    {name: name for name in ("frame", "category", "xywh", "categories", "visible")}
)
ROLLOUT_NAMES = types.MappingProxyType(
    {
        "frame": "box_frame",
        "category": "box_cat",
        "xywh": "box_xywh",
        "categories": "categories",
    }
)


@dataclasses.dataclass(frozen=True, eq=False)
class Objects:
    """Ground-truth boxes of a run of frames, in pixels of the 210x160 frame.

    Lists, and whole numbers of other types, become arrays of these types.

    frame: int32 [M], index of the frame that holds the box, not negative, ascending.
    category: uint8 [M], index into `categories`.
    xywh: int16 [M, 4], left, top, width, height: the box is pixels x..x+w, y..y+h.
    categories: tuple of str, names of the object kinds, all different.
    visible: bool [M], True where the object is drawn in the frame (visibility.py); None where that
      is not known.

    Raises:
      UserError: other shapes or types, frames in disorder, or a number out of its range.
    """

    frame: np.ndarray
    category: np.ndarray
    xywh: np.ndarray
    categories: tuple[str, ...]
    visible: np.ndarray | None = None

    if TYPE_CHECKING:  # what is taken; the annotations above say what it becomes

        def __init__(
            self,
            frame: ArrayLike,
            category: ArrayLike,
            xywh: ArrayLike,
            categories: Sequence[str] | np.ndarray,
            visible: ArrayLike | None = None,
        ): ...

    def __post_init__(self) -> None:
        count = as_array(self.frame, "the boxes' frame").shape[:1] or (0,)
        for name, dtype in _DTYPES.items():
            if (column := getattr(self, name)) is not None or name != "visible":
                shape = (*count, 4) if name == "xywh" else count
                object.__setattr__(self, name, _checked(name, column, dtype, shape))
        object.__setattr__(self, "categories", _checked_names(self.categories))
        if self.frame.size and (self.frame[0] < 0 or (self.frame[1:] < self.frame[:-1]).any()):
            raise UserError("the boxes' frame must be ascending, from 0 on")
        if self.category.size and self.category.max() >= len(self.categories):
            raise UserError(
                f"the boxes' category must be below {len(self.categories)}, the number of "
                f"categories, not {self.category.max()}"
            )

    # -------------------------------------------------------------------------------------- parts

    def replace(self, **changes: Any) -> "Objects":
        """The same boxes with some columns changed, which are checked as the constructor does."""
        return dataclasses.replace(self, **changes)

    def where(self, chosen: np.ndarray | slice) -> "Objects":
        """Some of the boxes: `chosen` is bool [M], or ascending indices."""
        columns = {name: getattr(self, name) for name in _DTYPES}
        return self.replace(**{n: None if c is None else c[chosen] for n, c in columns.items()})

    def drawn(self) -> "Objects":
        """The boxes that are drawn; all of them where that is not known."""
        return self if self.visible is None else self.where(self.visible)

    def of_frames(self, rows: range) -> "Objects":
        """The boxes of consecutive frames, which are numbered from 0 in the result."""
        first, last = np.searchsorted(self.frame, (rows.start, rows.stop))
        chosen = self.where(slice(first, last))
        return chosen.replace(frame=chosen.frame - rows.start)

    def check_frames(self, num_frames: int) -> None:
        """Raises UserError where a box is of a frame that the `num_frames` frames have not."""
        if self.frame.size and self.frame[-1] >= num_frames:
            raise UserError(
                f"the boxes' frame must be from 0 to {num_frames - 1}, not {self.frame[-1]}"
            )

    # -------------------------------------------------------------------------------------- files

    @classmethod
    def read(
        cls, file: NpzFile, num_frames: int, names: Mapping[str, str] = STORED_NAMES
    ) -> "Objects":
        """Reads the boxes of `num_frames` frames from an .npz file.

        Args:
          names: {column: name of its array in the file}; `visible` may be missing there.

        Raises:
          UserError: an array is missing, damaged, or against the rules of `Objects`.
        """
        # Stores of earlier versions do not say which objects are drawn.
        found = {c: n for c, n in names.items() if c != "visible" or n in file.arrays}
        columns: dict[str, Any] = {column: file.read(name) for column, name in found.items()}
        try:
            objects = cls(**columns)
            objects.check_frames(num_frames)
        except UserError as error:
            raise UserError(f"{file.path}: {error}") from error
        return objects

    def to_arrays(self) -> dict[str, np.ndarray]:
        """{name: array} for an .npz file that `read` understands."""
        arrays = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        arrays["categories"] = np.array(self.categories, "U")
        return {name: column for name, column in arrays.items() if column is not None}

    def sha256(self) -> str:
        """Hash (hex) of all columns."""
        digest = hashlib.sha256(json.dumps(list(self.categories)).encode())
        for column in (getattr(self, name) for name in _DTYPES):
            if column is not None:
                digest.update(np.ascontiguousarray(column).data)
        return digest.hexdigest()


def _checked(name: str, column: ArrayLike, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    """The column as an array of `dtype`."""
    column, kinds = as_array(column, f"the boxes' {name}"), "b" if dtype is np.bool_ else "iu"
    if not column.size and shape[0] == 0 and column.ndim == 1:  # [], of which NumPy makes floats
        column = np.empty(shape, dtype)
    if column.dtype.kind not in kinds or column.shape != shape:
        what = "bool" if kinds == "b" else "whole numbers"
        raise UserError(
            f"the boxes' {name} must be {what} {list(shape)}, not {column.dtype} "
            f"{list(column.shape)}"
        )
    if kinds == "iu" and column.dtype != dtype:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        if column.size and (column.min() < low or column.max() > high):
            raise UserError(f"the boxes' {name} is out of range: {low} to {high}")
    return column.astype(dtype, copy=False)


def _checked_names(categories: ArrayLike) -> tuple[str, ...]:
    names = as_array(categories, "the boxes' categories")
    if names.ndim != 1 or (names.size and names.dtype.kind != "U"):
        raise UserError(
            f"the boxes' categories must be a list of strings, not {names.dtype} "
            f"{list(names.shape)}"
        )
    texts = tuple(map(str, names))
    if len(set(texts)) < len(texts):
        raise UserError(f"the boxes' categories must differ: {', '.join(texts)}")
    return texts


class ObjectsBuilder:
    """Collects boxes frame by frame, in typed arrays: a store can have tens of millions of them,
    too many for Python objects."""

    def __init__(self) -> None:
        self._frames, self._categories, self._xywh = array("i"), array("B"), array("h")
        self._visible = array("B")
        self._names: dict[str, int] = {}

    def append(self, frame: int, boxes: list[Box], visible: np.ndarray | None = None) -> None:
        """Adds the boxes of one frame, whose number is not below that of the frame before.

        Args:
          visible: bool [number of boxes], whether each is drawn; None where that is not known.
        """
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


def boxes_of_one_frame(boxes: list[Box]) -> Objects:
    """The boxes of a single frame, number 0."""
    builder = ObjectsBuilder()
    builder.append(0, boxes)
    return builder.finish()
