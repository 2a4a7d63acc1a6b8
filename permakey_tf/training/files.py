"""Folders and files for results; replacing a file so that the old or the new one is there, whole,
whenever the process dies."""

import contextlib
import os
from pathlib import Path

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
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Replaces a small text file, as `replaced` does."""
    with replaced(path) as file:
        file.write(text.encode())
