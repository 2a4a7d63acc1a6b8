"""Folders and files for results; replacing a file so that the old or the new one is there, whole,
whenever the process dies; reading one that a dying process has appended to."""

import contextlib
import csv
import secrets
from pathlib import Path

from permakey_tf import disk
from permakey_tf.errors import UserError


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


@contextlib.contextmanager
def replaced(path: Path):
    """Yields a binary file beside `path`; flushed to disk and renamed to `path` at the end.

    Raises:
      OSError: as the file system does; `path` is as it was then.
    """
    # A name of its own: where two processes write, each file is one process's, whole.
    partial = path.with_name(f"{path.name}.partial-{secrets.token_hex(4)}")
    try:
        with partial.open("wb") as file:
            yield file
            disk.sync(file)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


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


def write_text(path: Path, text: str) -> None:
    """Replaces a small text file, as `replaced` does."""
    with replaced(path) as file:
        file.write(text.encode())
