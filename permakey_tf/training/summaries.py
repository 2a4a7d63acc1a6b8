"""What a run reports: TensorBoard scalars and images, and metrics.csv with the same scalars."""

import csv
import io
import json
from pathlib import Path

import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from permakey_tf.errors import UserError
from permakey_tf.training import files


class MetricsLog:
    """Writes scalars to metrics.csv and TensorBoard, images and settings to TensorBoard.

    metrics.csv has one row per report: the step and every scalar; cells that a report does not
    have are empty. Rows are flushed as they are written.

    Args:
      folder: the run folder.
      columns: names of all scalars that will be written.
      first_step: rows of later steps, left by a run that was killed, are dropped: the resumed
        run writes them again.
    """

    def __init__(self, folder: Path, columns: list[str], first_step: int):
        self._columns = ["step", *columns]
        kept = _rows_up_to(folder / "metrics.csv", self._columns, first_step)
        _replace(folder / "metrics.csv", self._columns, kept)
        self._file = (folder / "metrics.csv").open("a", newline="")
        self._csv = csv.DictWriter(self._file, self._columns, lineterminator="\n")
        self._writer = tf.summary.create_file_writer(str(folder / "tensorboard"))

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """One row; the names must be among the columns."""
        self._csv.writerow({"step": step, **values})
        self._file.flush()
        with self._writer.as_default(step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self._writer.flush()

    def image(self, step: int, name: str, image) -> None:
        """uint8 [H, W, 3]."""
        with self._writer.as_default(step):
            tf.summary.image(name, image[None])

    def settings(self, settings: dict, flat: dict) -> None:
        """The resolved configuration as text and, flattened, as hyper-parameters."""
        with self._writer.as_default(0):
            text = json.dumps(settings, indent=2)
            tf.summary.text("config", "\n".join("    " + line for line in text.splitlines()))
            hparams.hparams({name: _plain(value) for name, value in flat.items()})

    def close(self) -> None:
        """Flushes and closes both files."""
        self._file.close()
        self._writer.close()


def _plain(value):
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def _rows_up_to(path: Path, columns: list[str], step: int) -> list[dict]:
    if not path.exists():
        return []
    try:
        names, rows = files.read_rows(path)
        if names and names != columns:
            raise UserError(f"{path} has other columns than this run writes; choose a new --logdir")
        return [row for row in rows if int(row["step"]) <= step]
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}; delete it, the run goes on") from error


def _replace(path: Path, columns: list[str], rows: list[dict]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files.write_text(path, text.getvalue())
