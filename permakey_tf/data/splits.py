"""Which frames of a source go to training, validation and test: whole episodes, never frames."""

import itertools
from typing import NamedTuple

import numpy as np

from permakey_tf.configs.frames import CollectionConfig
from permakey_tf.data.format import SPLITS
from permakey_tf.data.recordings import Group, Recording
from permakey_tf.errors import UserError


class Block(NamedTuple):
    """Frames `start` to `stop` (exclusive) of a recording go to `split`."""

    split: str
    start: int
    stop: int


# ------------------------------------------------------------------------------------------ splits


def share(total: int, weights: dict[str, int]) -> dict[str, int]:
    """Shares `total` frames, 3 at least, out by `weights`: rounded down, the first gets the rest;
    where it is none, or a split would have none, the largest gives one."""
    first, *others = weights
    counts = {name: max(1, total * weights[name] // sum(weights.values())) for name in others}
    if sum(counts.values()) == total:
        counts[max(others, key=counts.__getitem__)] -= 1
    return {first: total - sum(counts.values()), **counts}


def plan_recording(recording: Recording, config: CollectionConfig) -> tuple[list[Block], list[str]]:
    """Which frames of a recording go to which split, and notes for the user.

    Splits are made of whole episodes. With `config.num_frames` the counts are exact and the last
    episode of a split is cut; without it, every frame is used and the counts are as close to the
    proportions as whole episodes allow. Only where there are fewer episodes than splits are
    episodes cut in the middle.

    Raises:
      UserError: too few frames.
    """
    weights = dict(zip(SPLITS, config.split, strict=True))
    wanted = share(config.num_frames, weights) if config.num_frames else None
    blocks, notes, offset = [], list(recording.notes), 0
    for group in recording.groups:
        shares = {name: weights[name] for name in group.splits}
        counts = wanted and {name: wanted[name] for name in group.splits}
        if sum(group.lengths) < (sum(counts.values()) if counts else len(shares)):
            raise _too_few(group, counts)
        if len(group.lengths) < len(shares):
            planned = _cut_anywhere(group, counts or share(sum(group.lengths), shares))
            notes.append(
                f"{' and '.join(shares)}: {len(group.lengths)} episode(s) cut into "
                f"{len(shares)} runs of consecutive frames"
            )
        else:
            planned = _cut_exactly(group, counts) if counts else _cut_nearest(group, shares)
        blocks += [Block(b.split, b.start + offset, b.stop + offset) for b in planned]
        offset += sum(group.lengths)
    return blocks, notes


def _cut_anywhere(group: Group, counts: dict[str, int]) -> list[Block]:
    edges = np.cumsum([0, *counts.values()]).tolist()
    return [
        Block(name, *edge) for name, edge in zip(counts, itertools.pairwise(edges), strict=True)
    ]


def _cut_exactly(group: Group, counts: dict[str, int]) -> list[Block]:
    """Exact counts: each split begins with a fresh episode, what is left of the last is dropped."""
    ends = np.cumsum(group.lengths)
    blocks, start = [], 0
    for name, count in counts.items():
        if start + count > ends[-1]:
            raise _too_few(group, counts)
        blocks.append(Block(name, start, start + count))
        start = int(ends[np.searchsorted(ends, start + count)])
    return blocks


def _cut_nearest(group: Group, weights: dict[str, int]) -> list[Block]:
    """All frames, cut at the ends of episodes nearest to the proportions."""
    ends = np.cumsum(group.lengths)
    targets = np.cumsum(list(weights.values())) / sum(weights.values()) * ends[-1]
    blocks, start, episode = [], 0, 0
    for number, name in enumerate(weights):
        last = len(ends) - (len(weights) - number)  # one episode at least for each later split
        choices = ends[episode : last + 1]
        episode += int(np.argmin(np.abs(choices - targets[number]))) + 1
        blocks.append(Block(name, start, int(ends[episode - 1])))
        start = blocks[-1].stop
    return blocks


def _too_few(group: Group, counts: dict[str, int] | None) -> UserError:
    there = f"{sum(group.lengths)} frames in {len(group.lengths)} episode(s)"
    if counts is None:
        return UserError(f"too few frames for {' and '.join(group.splits)}: {there}; add more")
    wanted = " + ".join(f"{count} {name}" for name, count in counts.items())
    return UserError(
        f"too few frames: whole episodes for {wanted} frames do not fit into {there}; "
        "lower num_frames, or leave it out to use every frame",
        ["num_frames"],
    )
