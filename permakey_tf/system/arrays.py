"""Arrays that users give, and runs of equal values in arrays."""

from typing import Any

import numpy as np

from permakey_tf.errors import UserError


def as_array(values: Any, name: str) -> np.ndarray:
    """`np.asarray`; UserError where the parts of a list differ in shape and make no array."""
    try:
        return np.asarray(values)
    except ValueError:
        raise UserError(
            f"{name} must be one array, and the parts of this list differ in shape: bring them to "
            "one size first"
        ) from None


def starts_of(values: np.ndarray) -> np.ndarray:
    """int64 [E]: where each run of equal values begins, such as an episode of frames.

    Args:
      values: whole numbers [N].
    """
    return np.flatnonzero(np.diff(values, prepend=values[:1] - 1))


def rank_among_equals(values: np.ndarray) -> np.ndarray:
    """int64 [N]: how many earlier values are equal to each; values: whole numbers [N]."""
    order = np.argsort(values, kind="stable")
    starts = starts_of(values[order])
    lengths = np.diff(starts, append=len(order))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - np.repeat(starts, lengths)
    return rank


def as_episodes(episodes: Any, number: int | None = None) -> np.ndarray:
    """int [N], the episode of every frame.

    Args:
      episodes: int [N]; None where N is given: all frames are of one.
      number: of the frames, N; None: as many as `episodes` has, one at least.

    Raises:
      UserError: other numbers, or frames of one episode that do not follow one another.
    """
    if episodes is None and number is not None:
        return np.zeros(number, int)
    numbers = as_array(episodes, "episodes")
    if number is None and numbers.shape == (0,):
        raise UserError("episodes is empty: there are no frames")
    fits = numbers.shape == (number,) or (number is None and numbers.ndim == 1 and numbers.size)
    if numbers.dtype.kind not in "iu" or not fits:
        hint = "; np.cumsum makes them of marks of starts" * (numbers.dtype == bool)
        raise UserError(
            f"episodes must be whole numbers [{'N' if number is None else number}], one for each "
            f"frame, not {numbers.dtype} {list(numbers.shape)}{hint}"
        )
    known, counts = np.unique(numbers[starts_of(numbers)], return_counts=True)
    if len(numbers) and counts.max() > 1:
        raise UserError(
            f"episodes: frames of episode {known[counts.argmax()]} do not follow one another; sort "
            "frames by episodes first, or number them anew"
        )
    return numbers
