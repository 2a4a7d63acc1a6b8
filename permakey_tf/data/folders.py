"""Folders of recordings as people have them: links, junk, and names that mean a game or a split.

`find_files` lists files below a folder, `sort_into_splits` decides what of them is read, and for
which splits. Both say in notes what they leave out.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from permakey_tf.configs.frames import atari_games, canonical_game, did_you_mean
from permakey_tf.data.format import SPLITS
from permakey_tf.errors import UserError

# What folders of splits are called, whatever their case.
_SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "eval": "validation",
    "test": "test",
    "testing": "test",
}
# Made by archive tools, file managers, network disks and notebooks. Names that begin with a dot
# (.ipynb_checkpoints, ._frame.png) are left out too.
_JUNK = frozenset(
    {
        "__macosx",
        "__pycache__",
        "@eadir",
        "@recycle",
        "#recycle",
        "$recycle.bin",
        "lost+found",
        "system volume information",
        "thumbnails",
        "thumbs",
    }
)
_SHOWN = 10  # names in a note


class Part(NamedTuple):
    """Paths whose episodes are shared out among `splits`."""

    splits: tuple[str, ...]
    paths: tuple[Path, ...]


def natural_key(text: str) -> list:
    """Sorts frame2 before frame10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", text)]


def named(paths: list) -> str:
    """The first paths of a list in words, and how many more there are."""
    more = len(paths) - _SHOWN
    return ", ".join(map(str, paths[:_SHOWN])) + (f" and {more} more" if more > 0 else "")


# ------------------------------------------------------------------------------------------- walk


def find_files(root: Path, suffixes: frozenset[str]) -> tuple[list[Path], list[str]]:
    """All files below `root` with one of `suffixes`, in natural order, and notes.

    Links are followed, but not to a folder that they lie in. Junk is left out.

    Raises:
      OSError: a folder cannot be read.
    """
    above = {_identity(folder) for folder in (root, *root.resolve().parents)}
    passed_over = []
    by_folder = {}
    for file in _walk(root, frozenset(above), passed_over):
        if file.suffix.lower() in suffixes:
            by_folder.setdefault(file.parent, []).append(file)
    folders = sorted(by_folder, key=lambda folder: natural_key(str(folder)))
    notes = [f"passed over: {named(passed_over)}"] if passed_over else []
    return [file for folder in folders for file in by_folder[folder]], notes


def _walk(folder: Path, above: frozenset, passed_over: list[str]) -> Iterator[Path]:
    for path in sorted(folder.iterdir(), key=lambda path: natural_key(path.name)):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            identity = _identity(path)
            if path.name.lower() in _JUNK:
                passed_over.append(str(path))
            elif identity in above:
                passed_over.append(f"{path} (a link to a folder that it lies in)")
            else:
                yield from _walk(path, above | {identity}, passed_over)
        elif path.is_symlink() and not path.exists() and not path.suffix:
            passed_over.append(f"{path} (a link to nothing)")
        else:
            yield path


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


# ------------------------------------------------------------------------------- games and splits


def sort_into_splits(
    root: Path, paths: list[Path], game: str, need_game: bool = False
) -> tuple[list[Part], list[str]]:
    """What is read, by the names of the folders below `root`, and notes.

    Where a folder is named as `game`, only what is in it is read. Folders named train, validation
    or test (or val, valid, eval, ...) are the splits. Of splits that are missing, validation and
    test share what there is of one of them, or all three share training's.

    Args:
      root: the folder that the user named.
      paths: files or folders that hold episodes, below `root`.
      game: the game that is wanted, in any spelling.
      need_game: in folders of splits, only folders named as the game are read.

    Raises:
      UserError: other games only, or splits that cannot be meant.
    """
    paths, notes = _of_game(root, paths, game, need_game)
    by_split = {}
    for path in paths:
        by_split.setdefault(_split(root, path), []).append(path)
    beside = by_split.pop(None, [])
    if not by_split:
        parts = [Part(SPLITS, tuple(beside))]
    else:
        _refuse_what_cannot_be_meant(root, by_split, beside)
        parts, more = _parts(root, by_split)
        notes += more
        if beside:
            notes.append(f"passed over, beside folders of splits: {named(beside)}")
    return _without_repeats(parts, notes), notes


def _names(root: Path, path: Path) -> tuple[str, ...]:
    """Names that may mean a split or a game: of the folders below root, and of the file."""
    folders = path.relative_to(root).parts
    return (*folders[:-1], path.stem) if path.is_file() else folders


def _split_names(root: Path, path: Path) -> set[str]:
    names = [name.lower() for name in _names(root, path)]
    folders = names[:-1] if path.is_file() else names
    # A file's name counts only where its folders say nothing: train/GAME/test.npz is for training.
    return set(folders) & set(_SPLIT_NAMES) or set(names) & set(_SPLIT_NAMES)


def _without_splits(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name.lower() not in _SPLIT_NAMES)


def _split(root: Path, path: Path) -> str | None:
    splits = {_SPLIT_NAMES[name] for name in _split_names(root, path)}
    if len(splits) > 1:
        raise UserError(f"{path}: for {' or '.join(sorted(splits))}? Rename one of the folders")
    return splits.pop() if splits else None


def _refuse_what_cannot_be_meant(root: Path, by_split: dict, beside: list[Path]) -> None:
    for split, paths in by_split.items():
        names = sorted(set.union(*(_split_names(root, path) for path in paths)))
        if len(names) > 1:
            raise UserError(f"{root}: {' and '.join(names)} both mean {split}; rename one of them")
    there = " and ".join(by_split)
    if "train" not in by_split:
        raise UserError(
            f"{root}: has frames for {there}, none in a folder named train; add it, or name one "
            f"folder, such as {by_split[next(iter(by_split))][0].parent}"
        )
    if len(by_split) == 1 and beside:
        raise UserError(
            f"{root}: has frames for train, none for validation or test, and others beside "
            f"({named(beside)}): sort all into folders train, validation, test"
        )


def _parts(root: Path, by_split: dict[str, list[Path]]) -> tuple[list[Part], list[str]]:
    held_out = [split for split in SPLITS[1:] if split in by_split]
    if len(held_out) == 2:
        return [Part((split,), tuple(by_split[split])) for split in SPLITS], []
    train = tuple(by_split["train"])
    if not held_out:
        note = f"{root}: frames for train alone, which all three splits share"
        return [Part(SPLITS, train)], [note]
    (only,) = held_out
    note = f"{root}: no frames for {'test' if only == 'validation' else 'validation'}: it shares "
    shared = Part(SPLITS[1:], tuple(by_split[only]))
    return [Part(SPLITS[:1], train), shared], [f"{note}those for {only}"]


def _of_game(
    root: Path, paths: list[Path], game: str, need_game: bool
) -> tuple[list[Path], list[str]]:
    wanted = canonical_game(game)
    spelled = {path: [canonical_game(name) for name in _names(root, path)] for path in paths}
    chosen = [path for path in paths if wanted in spelled[path]]
    if chosen:
        _refuse_two_spellings(root, chosen, wanted)
        names = (_names(root, path) for path in paths if wanted not in spelled[path])
        others = sorted({next(iter(_without_splits(some)), str(root)) for some in names})
        return chosen, [f"not of {wanted}, passed over: {named(others)}"] if others else []
    names = {name for path in paths for name in _names(root, path)}
    games = {name for name in names if canonical_game(name) in atari_games()}
    if need_game and any(_split_names(root, path) for path in paths):
        folders = (path.parent.relative_to(root).parts[:2] for path in paths)
        games |= {name for names in folders for name in _without_splits(names)}
    if games:
        near = did_you_mean(game, games)
        there = f"games there: {named(sorted(games))}" + (f"; {near}" if near else "")
        raise UserError(f"{root}: no folder for game {game!r} ({there})")
    return paths, []


def _refuse_two_spellings(root: Path, paths: list[Path], game: str) -> None:
    """MsPacman-v0 beside MsPacman-v4 may be frames of different settings."""
    folders = {}
    for path in paths:
        names = path.relative_to(root).parts
        for depth, name in enumerate(names):
            if canonical_game(name) == game:
                folders.setdefault(names[:depth], set()).add(name)
    for names in folders.values():
        if len(names) > 1:
            raise UserError(
                f"{root}: {' and '.join(sorted(names))} are all {game}; name the folder of one"
            )


def _without_repeats(parts: list[Part], notes: list[str]) -> list[Part]:
    """What is there under several names, by links, is read once; `notes` grows.

    Raises:
      UserError: it is in two splits.
    """
    owners, repeats = {}, []
    for part in parts:
        # A path without links comes first: it keeps its name.
        for path in sorted(part.paths, key=lambda path: path.resolve() != path.absolute()):
            first, splits = owners.setdefault(path.resolve(), (path, part.splits))
            if splits != part.splits:
                raise UserError(f"{first} and {path} are the same, in two splits: remove one")
            if first != path:
                repeats.append(path)
    if repeats:
        notes.append(f"linked twice, read once: {named(repeats)}")
    kept = {first for first, _ in owners.values()}
    return [Part(p.splits, tuple(path for path in p.paths if path in kept)) for p in parts]
