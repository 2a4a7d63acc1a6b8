"""Frames that say nothing new: of one colour, or the same as others; counted as a store is made.

Frames are told apart by 64 bits of their bytes' hash. Two of a million different frames share
one with a probability of 3e-8. The hash is Python's own (SipHash): it takes a quarter of SHA-256's
time, and differs from process to process, so it is compared within one and never stored.
"""

import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from permakey_tf.errors import UserError
from permakey_tf.types import Step

# A note warns above these shares, or below the last. Games of the papers stay far away from them
# (docs/data.md has the shares).
MAX_BLANK = 0.05  # of a store's frames
MAX_SEEN = 0.5  # of a split's frames, found in an earlier split
MIN_DISTINCT = 0.25  # of a store's frames


def is_blank(frame: np.ndarray) -> bool:
    """Whether a frame [H, W, C] has one colour."""
    data = np.ascontiguousarray(frame).data.cast("B")
    channels = frame.shape[2]
    return data[channels:] == data[:-channels]  # stops at the first difference


def frame_hash(frame: np.ndarray) -> int:
    """64 bits that tell frames of one shape and dtype apart, within one process."""
    return hash(frame.tobytes())


def follow(past: int, frame: int) -> int:
    """64 bits that tell runs of frames apart: a run `past` (0: none yet), and one frame's hash."""
    return hash((past, frame))


class RepeatCounter:
    """Counts distinct, blank and repeated frames of a store's splits. Memory: 16 bytes a frame."""

    def __init__(self):
        self._splits: dict[str, _Split] = {}
        self._past = 0

    def append(self, frame: np.ndarray, split: str, starts: bool) -> None:
        """Counts one frame.

        Args:
          frame: uint8 [S, S, C], as it is stored.
          split: its split, none that was left before.
          starts: whether it opens an episode.
        """
        part = self._splits.setdefault(split, _Split())
        hashed = frame_hash(frame)
        self._past = follow(0 if starts else self._past, hashed)
        part.frames.append(hashed)
        part.pasts.append(self._past)
        part.blank += is_blank(frame)
        if starts:
            part.starts.append(len(part.frames) - 1)

    def counts(self) -> dict[str, Any]:
        """What the manifest tells, JSON-compatible: see docs/data.md, "repeats"."""
        arrays = {name: part.arrays() for name, part in self._splits.items()}
        frames = [frames for frames, _, _ in arrays.values()]
        counts = {
            "frames": sum(map(len, frames)),
            "distinct": _num_distinct(np.concatenate(frames)) if frames else 0,
            "blank": sum(part.blank for part in self._splits.values()),
            "splits": {},
        }
        for name, (frames, _, episodes) in arrays.items():
            counts["splits"][name] = {
                "frames": len(frames),
                "distinct": _num_distinct(frames),
                "blank": self._splits[name].blank,
                "episodes": len(episodes),
                "seen_in": {
                    earlier: {
                        "frames": _num_found(frames, arrays[earlier][0]),
                        # An episode is cut where its split is full: then it opens the other one.
                        "episodes": _num_found(episodes, arrays[earlier][1]),
                    }
                    for earlier in counts["splits"]
                },
            }
        return counts


class _Split:
    def __init__(self):
        self.frames, self.pasts, self.starts = array("q"), array("q"), array("q")
        self.blank = 0

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Hashes int64 of frames [N], of the episodes up to each frame [N], of episodes [E]."""
        frames, pasts = (np.array(part, np.int64) for part in (self.frames, self.pasts))
        ends = np.append(np.array(self.starts, np.int64)[1:], len(frames)) - 1
        return frames, pasts, pasts[ends]


# Sorting takes 0.01 s for a million hashes, where np.unique and np.isin (numpy 2.4) take 1.5 s.
def _num_distinct(hashes: np.ndarray) -> int:
    return int(np.count_nonzero(np.diff(np.sort(hashes)))) + 1


def _num_found(hashes: np.ndarray, others: np.ndarray) -> int:
    """How many of `hashes` are among `others`."""
    others = np.sort(others)
    places = np.minimum(np.searchsorted(others, hashes), len(others) - 1)
    return int(np.count_nonzero(others[places] == hashes))


def check_distinct(counts: dict[str, Any], path: Path) -> None:
    """Raises UserError where a store would not have two different frames."""
    if counts["distinct"] > 1:
        return
    if not counts["blank"]:
        raise UserError(
            f"{path}: all {counts['frames']:,} frames are equal: nothing can be learned from them; "
            "give frames that change"
        )
    remedy = "check what the source draws"
    if os.environ.get("SDL_VIDEODRIVER") == "dummy":
        remedy = (
            "SDL_VIDEODRIVER=dummy makes some environments draw black: unset it, and start with "
            "xvfb-run where there is no display"
        )
    raise UserError(
        f"{path}: all {counts['frames']:,} frames are of one and the same colour; {remedy}"
    )


def repeat_notes(counts: dict[str, Any]) -> tuple[str, ...]:
    """One line on what is above the thresholds; empty where nothing is."""
    frames, distinct, blank = (counts[name] for name in ("frames", "distinct", "blank"))
    parts = []
    if distinct < MIN_DISTINCT * frames:
        parts.append(f"only {distinct:,} of {frames:,} frames are different")
    if blank > MAX_BLANK * frames:
        parts.append(f"{blank:,} of {frames:,} frames are blank (one colour)")
    for name, part in counts["splits"].items():
        for earlier, seen in part["seen_in"].items():
            if seen["frames"] > MAX_SEEN * part["frames"]:
                parts.append(
                    f"{seen['frames']:,} of {part['frames']:,} {name} frames and {seen['episodes']}"
                    f" of {part['episodes']} {name} episodes are in {earlier} too"
                )
    return ("repeats: " + "; ".join(parts),) if parts else ()


def without_blank_end(steps: Iterator[Step], origin: dict[str, Any]) -> Iterator[Step]:
    """Leaves out an episode's last frame where it is blank and the one before is not.

    Some environments (VizDoom) have nothing left to draw once an episode is over: what they render
    then is no frame of the game. `origin["blank_ends_left_out"]` counts them.
    """
    before, held = None, next(steps)
    for step in steps:
        yield held
        before, held = held, step
    if before is None or is_blank(before.frame) or not is_blank(held.frame):
        yield held
    else:
        origin["blank_ends_left_out"] += 1
