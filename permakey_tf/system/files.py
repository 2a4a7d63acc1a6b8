"""Folders and files for results; replacing a file so that the old or the new one is there, whole,
whenever the process dies; reading one that a dying process has appended to."""

import contextlib
import csv
import hashlib
import io
import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from permakey_tf.errors import UserError, expect
from permakey_tf.system import disk


def at_home(path: str) -> str:
    """~ is the home folder: the shell leaves it alone in quotes, in flag files and in Python."""
    return os.path.expanduser(path)  # noqa: PTH111 (pathlib makes "." of "" and raises for ~nobody)


def user_path(path: str | os.PathLike) -> Path:
    """A path that a user gives. Raises UserError for what is none."""
    expect((str, os.PathLike), path, "the path", "give the name of a file or folder")
    return Path(at_home(os.fspath(path)))


def make_folder(path: str | Path) -> Path:
    """Makes a folder with its parents, where it is missing.

    Raises:
      UserError: it cannot be made.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {path}: {error.strerror}") from error
    return path


def sha256(path: Path) -> str:
    """SHA-256 (hex) of a file. Raises UserError where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error


@contextlib.contextmanager
def writing(path: Path):
    """Names `path` in what the file system answers within the block: its own errors of a full disk
    name no file.

    Raises:
      UserError: the file cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


@contextlib.contextmanager
def replaced_by_name(path: Path):
    """Yields a path beside `path`, for what writes files by name; the file that is made there is
    flushed to disk and renamed to `path` at the end.

    Whatever ends the block before, `path` is as it was then and nothing else is left.

    Raises:
      UserError: the file cannot be written.
    """
    # A name of its own: where two processes write, each file is one process's, whole.
    partial = path.with_name(f"{path.name}.partial-{secrets.token_hex(4)}")
    try:
        with writing(path):
            yield partial
            with partial.open("rb") as file:
                disk.sync(file)
            partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


@contextlib.contextmanager
def replaced(path: Path):
    """As `replaced_by_name`, but yields a binary file that is open for writing."""
    with replaced_by_name(path) as partial, partial.open("wb") as file:
        yield file


@contextlib.contextmanager
def new_folder(path: Path):
    """Yields an empty folder beside `path`, which is renamed to `path` at the end.

    Whatever ends the block before, nothing is left.

    Raises:
      UserError: `path` exists, or cannot be written.
    """
    if path.exists() or path.is_symlink():
        raise UserError(f"{path}: exists already; delete it or choose another folder")
    partial = path.with_name(f".{path.name}.partial-{secrets.token_hex(4)}")
    try:
        with writing(path):
            partial.mkdir(parents=True)
            yield partial
            partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def read_rows(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Names of the columns, and rows {column: cell}, of a CSV file that a run appends to.

    A run that was killed or is still writing can leave a last line that is cut off, anywhere in a
    number too: what stands behind the last line's end is left out.

    Raises:
      ValueError: a line has more or fewer cells than there are columns, or is no line of a CSV.
    """
    text = path.read_text()
    reader = csv.DictReader(text[: text.rfind("\n") + 1].splitlines())
    rows = []
    try:
        for row in reader:
            if None in row or None in row.values():
                raise ValueError(f"line {reader.line_num} has more or fewer cells than the first")
            rows.append(row)
        return list(reader.fieldnames or []), rows
    except csv.Error as error:  # which is no ValueError: a cell of more than 131,072 characters
        raise ValueError(f"line {reader.line_num + 1}: {error}") from error


def csv_text(rows: Iterable[Iterable[Any]]) -> str:
    """Rows of cells as the text of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def write_text(path: Path, text: str) -> None:
    """Replaces a small text file, as `replaced` does."""
    with replaced(path) as file:
        file.write(text.encode())
