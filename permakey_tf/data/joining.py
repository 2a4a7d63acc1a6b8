"""Several frame stores as one: their rows in one order, their frames read where they are.

Rows of the whole are in the order of any store: training frames of all parts, one part after the
other, then their validation frames, then their test frames.
"""

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from permakey_tf.data.format import SPLITS
from permakey_tf.data.reading import JoinedFrames
from permakey_tf.data.store import FrameStore
from permakey_tf.errors import UserError, expect
from permakey_tf.system.arrays import starts_of

_OPENING = 32  # actions by which an episode is found again; then its frames are compared
_ENDED = -2  # in the place of the actions of an episode that has fewer; -1 is before its first
_SHORT = 8  # frames; a cut of fewer may be of another game, which begins alike


def join_stores(stores: Sequence[FrameStore], weights: Sequence[int] = ()) -> FrameStore:
    """Several stores as one, to train on as on any other. Nothing is copied.

    Every store keeps its splits: the whole trains on the training frames of all, and is validated
    and tested on what each of them holds out, every frame once. Where games differ, the whole's
    are joined by "+", as in "mspacman+seaquest", and settings that depend on the game have to be
    given. Ground-truth boxes are left out.

    Args:
      stores: two or more, whose frames have the same size, channels and aspect.
      weights: how often a training frame is drawn from each store, in relation to the others, such
        as (2, 1, 1). (): as if all frames were in one store, each once an epoch. With weights an
        epoch has as many frames; those of a store are all drawn before one is drawn again.

    Returns:
      A store whose `frames` are read from the parts when they are indexed; its `path` names all.
      Its `content_hash` covers those of the stores, in this order, and the weights.

    Raises:
      UserError: one store or none; frames of different kinds, two stores of the same frames, or one
        that holds out what another trains on; wrong weights.
    """
    expect((tuple, list), stores, "stores", "such as [one, other] of FrameStore.open(folder)")
    if isinstance(stores, FrameStore):  # which is a tuple too
        stores = [stores]
    if len(stores) < 2:
        raise UserError(f"{len(stores)} frame stores are joined: at least two are needed")
    for store in stores:
        expect(FrameStore, store, "each of stores", "FrameStore.open(folder) gives one")
    weights = _check_weights(weights, len(stores))
    _check_parts(stores)
    pieces = _pieces_of(stores)
    shape = stores[0].frames.shape[1:]
    frames = JoinedFrames([(part.read, rows) for part, rows in pieces], shape)
    return FrameStore(
        path=Path(",".join(str(store.path) for store in stores)),
        manifest=_joined_manifest(stores, weights),
        frames=cast(np.ndarray, frames),  # is indexed like one
        episodes=_joined_episodes(pieces),
        actions=_joined_column(pieces, "actions"),
        rewards=_joined_column(pieces, "rewards"),
        read=frames.read,
        parts=tuple(stores),
        weights=weights,
    )


class _Piece(NamedTuple):
    """Consecutive rows of a part, which are consecutive in the whole too."""

    part: FrameStore
    rows: range


def _pieces_of(parts: Sequence[FrameStore]) -> list[_Piece]:
    """All rows of all parts, in the order of the whole."""
    return [_Piece(part, part.split_range(split)) for split in SPLITS for part in parts]


def _joined_episodes(pieces: Sequence[_Piece]) -> np.ndarray:
    """int32 [N]: episodes of the whole, numbered anew; none goes on in another piece."""
    found, first = [], 0
    for part, rows in pieces:
        episodes = part.episodes[rows.start : rows.stop]
        found.append(episodes - episodes[0] + first)
        first = found[-1][-1] + 1
    return np.concatenate(found).astype(np.int32)


def _joined_column(pieces: Sequence[_Piece], name: str) -> np.ndarray | None:
    """Actions or rewards of the whole; None unless all parts have them."""
    columns = [getattr(part, name) for part, _ in pieces]
    if any(column is None for column in columns):
        return None
    return np.concatenate(
        [column[rows.start : rows.stop] for column, (_, rows) in zip(columns, pieces, strict=True)]
    )


def _joined_manifest(parts: Sequence[FrameStore], weights: Sequence[int]) -> dict:
    """What is known of the whole, as a store's manifest has it."""
    environments = [part.manifest.get("environment") for part in parts]
    alike = all(environment == environments[0] for environment in environments)
    content = json.dumps([[part.content_hash for part in parts], list(weights)])
    return {
        "game": "+".join(dict.fromkeys(part.game for part in parts)),
        "splits": {split: sum(len(part.split_range(split)) for part in parts) for split in SPLITS},
        "sha256": {},
        "content_hash": hashlib.sha256(content.encode()).hexdigest(),
        "notes": [f"{part.path}: {n}" for part in parts for n in part.notes],
        "keep_aspect": parts[0].keep_aspect,
        "environment": environments[0] if alike else None,
    }


# ---------------------------------------------------------------------------- what is refused


def _check_weights(weights: Sequence[int], number: int) -> tuple[int, ...]:
    """The weights of `number` stores, in their lowest terms; () for none.

    Raises:
      UserError: another number of them, or one that is no positive whole number.
    """
    expect((tuple, list), weights, "weights", "such as (2, 1)")
    whole = all(isinstance(weight, int | np.integer) and weight > 0 for weight in weights)
    if weights and (len(weights) != number or not whole):
        raise UserError(
            f"weights={','.join(map(str, weights))}: {number} stores need one positive whole "
            "number each, or none at all",
            ["weights"],
        )
    divisor = math.gcd(*map(int, weights))
    return tuple(int(weight) // divisor for weight in weights)


def _check_parts(parts: Sequence[FrameStore]) -> None:
    """Raises UserError for stores that cannot be one, naming the two.

    Their frames are of another kind, or what one of them holds out is what another trains on.
    """
    for part in parts:
        if part.parts:
            raise UserError(f"{part.path} is several stores already: join all of them at once")
    for one, other in itertools.combinations(parts, 2):
        for what in ("image_size", "channels", "keep_aspect"):
            values = getattr(one, what), getattr(other, what)
            if values[0] != values[1]:
                raise UserError(
                    f"{one.path} has frames with {what}={values[0]} and {other.path} with "
                    f"{values[1]}: stores can be joined where these are equal"
                )
        if one.content_hash == other.content_hash:
            raise UserError(f"{one.path} and {other.path} hold the same frames: name one of them")
        _refuse_leak(one, other)
        _refuse_leak(other, one)


def _refuse_leak(held_out: FrameStore, training: FrameStore) -> None:
    """Raises UserError where one store validates or tests on what the other trains on."""
    for split in SPLITS[1:]:
        found = _same_episode(held_out, split, training)
        if found is not None:
            raise UserError(
                f"{held_out.path} and {training.path} cannot be joined: episode {found} of the "
                f"first, of its {split} split, is in the training split of the second; make one "
                "of them with another seed, or of other recordings"
            )


def _same_episode(held_out: FrameStore, split: str, training: FrameStore) -> int | None:
    """Number of an episode of a split that opens as a training episode does; None for none.

    Episodes may have been cut to different lengths. Games begin alike, so that the middle and the
    last frame are compared that both have; before, their first actions, where they are known.
    """
    known = held_out.actions is not None and training.actions is not None
    theirs = list(_episodes(training, "train"))
    openings = _openings(training, theirs, known)
    ours = list(_episodes(held_out, split))
    for rows, opening in zip(ours, _openings(held_out, ours, known), strict=True):
        alike = (openings == opening) | (openings == _ENDED) | (opening == _ENDED)
        for i in np.flatnonzero(alike.all(axis=1)):
            shared = min(len(rows), len(theirs[i]))
            places = np.array([shared // 2, shared - 1])
            frames = held_out.read(rows.start + places)
            others = training.read(theirs[i].start + places)
            tells = shared >= _SHORT or len(rows) == len(theirs[i])
            if tells and np.array_equal(frames, others):
                return int(held_out.episodes[rows.start])
    return None


def _episodes(store: FrameStore, split: str) -> Iterator[range]:
    """Rows of every episode of a split."""
    rows = store.split_range(split)
    starts = starts_of(store.episodes[rows.start : rows.stop])
    for start, stop in itertools.pairwise([*(rows.start + starts).tolist(), rows.stop]):
        yield range(start, stop)


def _openings(store: FrameStore, episodes: Sequence[range], by_actions: bool) -> np.ndarray:
    """int [N, M], equal rows for equal episodes: their first actions, `_ENDED` behind the last one
    of an episode that has fewer, or a checksum of their first frame."""
    if by_actions and store.actions is not None:
        openings = np.full([len(episodes), _OPENING], _ENDED)
        for opening, rows in zip(openings, episodes, strict=True):
            actions = store.actions[rows.start : rows.stop][:_OPENING]
            opening[: len(actions)] = actions
        return openings
    sums = [hashlib.sha256(store.read(np.array(rows.start)).data).digest() for rows in episodes]
    return np.array([list(digest) for digest in sums], int).reshape(len(sums), -1)
