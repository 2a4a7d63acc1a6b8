"""Fills a frame store with frames whose splits are decided: the last step of every way to one."""

import contextlib
import itertools
import platform
import sys
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

import permakey_tf
from permakey_tf.configs.frames import CollectionConfig, canonical_game
from permakey_tf.data.format import SPLITS
from permakey_tf.data.recordings import Recording
from permakey_tf.data.repeats import repeat_notes
from permakey_tf.data.splits import Block, plan_recording
from permakey_tf.data.writer import FrameStoreWriter
from permakey_tf.errors import UserError
from permakey_tf.types import Step

_NOTED_SQUEEZE = 1.5


class Filling(NamedTuple):
    """What goes into a store.

    frames: all frames in order, each with its split; can be iterated once.
    counts: {split: number of frames}.
    columns: what there is beside frames, of "actions", "rewards" and "objects".
    notes: what the user should know.
    """

    frames: Generator[tuple[Step, str], None, None]
    counts: dict[str, int]
    columns: frozenset[str]
    notes: tuple[str, ...]


def of_recording(recording: Recording, config: CollectionConfig) -> Filling:
    """Frames that exist already, shared out as `plan_recording` does. Raises UserError as it."""
    blocks, notes = plan_recording(recording, config)
    counts = {name: sum(b.stop - b.start for b in blocks if b.split == name) for name in SPLITS}
    return Filling(_recorded(recording.steps, blocks), counts, recording.columns, tuple(notes))


def _recorded(steps: Iterable[Step], blocks: list[Block]) -> Iterator[tuple[Step, str]]:
    row, steps = 0, iter(steps)
    for block in blocks:
        for step in itertools.islice(steps, block.start - row, block.stop - row):
            yield step, block.split
        row = block.stop


def fill(
    path: str | Path,
    filling: Filling,
    config: CollectionConfig,
    about: dict[str, Any],
    progress: bool,
) -> None:
    """Writes a whole store, or nothing.

    Args:
      path: folder to make; must not exist.
      config: gives the frames' size, channels and aspect, and the name of the game.
      about: for the manifest, with its `notes`, to which the filling's are added.
      progress: show a progress bar on stderr.

    Raises:
      UserError: fewer frames than announced, no room on the disk, or `path` exists.
    """
    frames, total, notes = filling.frames, sum(filling.counts.values()), list(filling.notes)
    shape = config.image_size, config.channels
    writer = FrameStoreWriter(path, *shape, filling.columns, total, config.keep_aspect)
    sizes = set()
    with writer, contextlib.closing(frames), _bar(config, total, progress) as bar:
        for step, split in frames:
            writer.append(step, split)
            sizes.add(step.frame.shape[:2])
            bar.update()
        if len(writer) < total:
            raise UserError(f"{path}: the source ended after {len(writer)} of {total} frames")
        notes += [*about["notes"], *repeat_notes(writer.repeats.counts())]
        notes += [] if config.keep_aspect else squeeze_notes(sizes)
        writer.finish(about | {"notes": notes})


def squeeze_notes(shapes: set[tuple[int, int]]) -> list[str]:
    """A note where a frame of one of these sizes, (H, W), does not look like itself as a square."""
    height, width = max(shapes, key=lambda shape: max(shape) / min(shape))
    factor = max(height, width) / min(height, width)
    if factor <= _NOTED_SQUEEZE:
        return []
    return [
        f"frames of {height}x{width} pixels are squeezed by {factor:.1f} into a square; "
        "keep_aspect pads them instead"
    ]


def _bar(config: CollectionConfig, total: int, progress: bool) -> tqdm:
    interval = 0.2 if sys.stderr.isatty() else 30.0  # a log file should not fill up with bars
    return tqdm(
        total=total,
        desc=f"{canonical_game(config.game)} frames",
        unit=" frames",
        mininterval=interval,
        disable=not progress,
    )


def own_versions() -> dict[str, str]:
    """Versions of what every frame goes through, for the manifest."""
    return {
        "permakey-tf": permakey_tf.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }
