"""What a run reports: TensorBoard scalars and images, and metrics.csv with the same scalars."""

import csv
import io
import json
from pathlib import Path

from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.plugins.text.summary_v2 import text_pb

from permakey_tf.errors import UserError
from permakey_tf.runs.events import EventFile, image_summary, keep_events
from permakey_tf.system import files

_SETTINGS_STEP = 0  # the first report is of step 1 or later


class MetricsLog:
    """Writes scalars to metrics.csv and TensorBoard, images and settings to TensorBoard.

    metrics.csv has one row per report: the step and every scalar; cells that a report does not
    have are empty. Rows are flushed as they are written.

    Args:
      folder: the run folder.
      columns: names of all scalars that will be written.
      first_step: what was written of later steps, by a run that was killed, is dropped from both:
        the resumed run writes it again.

    Raises:
      UserError: a file cannot be written, from here on; metrics.csv is damaged or of another run.
    """

    def __init__(self, folder: Path, columns: list[str], first_step: int):
        self._columns = ["step", *columns]
        self._path = folder / "metrics.csv"
        kept = _rows_up_to(self._path, self._columns, first_step)
        _replace(self._path, self._columns, kept)
        with files.writing(self._path):
            self._file = self._path.open("a", newline="")
        self._csv = csv.DictWriter(self._file, self._columns, lineterminator="\n")
        # Not the settings: every start writes them.
        keep_events(folder / "tensorboard", _SETTINGS_STEP + 1, first_step)
        self._events = EventFile(folder / "tensorboard")

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """One row; the names must be among the columns."""
        with files.writing(self._path):
            self._csv.writerow({"step": step, **values})
            self._file.flush()
        self._events.add(step, *(scalar_pb(name, value) for name, value in values.items()))

    def image(self, step: int, name: str, image) -> None:
        """uint8 [H, W, 3]."""
        self._events.add(step, image_summary(name, image))

    def settings(self, settings: dict, flat: dict) -> None:
        """The resolved configuration as text and, flattened, as hyper-parameters."""
        text = "\n".join("    " + line for line in json.dumps(settings, indent=2).splitlines())
        plain = {name: _plain(value) for name, value in flat.items()}
        self._events.add(_SETTINGS_STEP, text_pb("config", text), hparams_pb(plain))

    def close(self) -> None:
        """Flushes and closes both files."""
        with files.writing(self._path):
            self._file.close()
        self._events.close()


def _plain(value):
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def _rows_up_to(path: Path, columns: list[str], step: int) -> list[dict]:
    if not path.exists():
        return []
    try:
        names, rows = files.read_rows(path)
        of_another_run = bool(names) and names != columns
        kept = [] if of_another_run else [row for row in rows if int(row["step"]) <= step]
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}; delete it, the run goes on") from error
    if of_another_run:
        raise UserError(f"{path} has other columns than this run writes; choose a new --logdir")
    return kept


def _replace(path: Path, columns: list[str], rows: list[dict]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files.write_text(path, text.getvalue())
