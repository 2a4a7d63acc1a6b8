"""What a run reports: TensorBoard scalars and images, and metrics.csv with the same scalars."""

import contextlib
import csv
from pathlib import Path

from tensorboard.plugins.hparams.summary_v2 import HParam, Metric, hparams_config_pb, hparams_pb
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.plugins.text.summary_v2 import text_pb

from permakey_tf.errors import UserError
from permakey_tf.runs.events import EventFile, image_summary, keep_events
from permakey_tf.system import files

_SETTINGS_STEP = 0  # the first report is of step 1 or later
# Columns of TensorBoard's table of runs. One list for keypoints and agents: TensorBoard takes the
# list of any of the runs that it shows for all of them.
_HYPERPARAMETERS = (
    *("game", "method", "extractor", "num_keypoints", "noise", "seed"),
    *("learning_rate", "batch_size", "max_steps", "lsp_layers"),
    *("encoder", "nodes", "track_keypoints", "num_steps", "n_step", "sticky_actions"),
)
_HYPERPARAMETER_METRICS = ("validation/selection", "agent/validation/score")


class MetricsLog:
    """Writes scalars to metrics.csv and TensorBoard, images and settings to TensorBoard.

    metrics.csv has one row per report: the step and every scalar; cells that a report does not
    have are empty. Rows are flushed as they are written. Where rows before `first_step` are lost,
    which TensorBoard's files show, a note says so.

    Args:
      folder: the run folder.
      columns: names of all scalars that will be written.
      first_step: what was written of later steps, by a run that was killed, is dropped from both:
        the resumed run writes it again.
      group: in front of TensorBoard's names of all of them, so that keypoints and agents do not
        share charts; metrics.csv has none. Runs of earlier versions, which have a folder
        tensorboard/, go on in it, and with their names.

    Raises:
      UserError: a file cannot be written, from here on; metrics.csv is damaged or of another run.
    """

    def __init__(self, folder: Path, columns: list[str], first_step: int, group: str = ""):
        self._columns = ["step", *columns]
        self._path = folder / "metrics.csv"
        was_there = self._path.exists()
        kept = _rows_up_to(self._path, self._columns, first_step)
        _replace(self._path, self._columns, kept)
        with files.writing(self._path):
            self._file = self._path.open("a", newline="")
        self._csv = csv.DictWriter(self._file, self._columns, lineterminator="\n")
        # TensorBoard names a run by the folder of its files.
        earlier = folder / "tensorboard"
        self._is_earlier = earlier.is_dir()
        self._group = group if not self._is_earlier else ""
        self._name = "/".join(folder.absolute().parts[-2:])
        place = earlier if self._is_earlier else folder
        reported = keep_events(place, first_step)
        _tell_lost_rows(self._path, was_there, int(kept[-1]["step"]) if kept else 0, reported)
        self._events = EventFile(place)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """One row; the names must be among the columns."""
        with files.writing(self._path):
            self._csv.writerow({"step": step, **values})
            self._file.flush()
        tags = {self._group + name: value for name, value in values.items()}
        self._events.add(step, *(scalar_pb(tag, value) for tag, value in tags.items()))

    def image(self, step: int, name: str, image) -> None:
        """uint8 [H, W, 3]."""
        name = name.rpartition("/")[2] if self._is_earlier else name
        self._events.add(step, image_summary(self._group + name, image))

    def settings(self, about: dict[str, str], flat: dict) -> None:
        """What the run is, as a table, and the settings by which runs are told apart.

        Args:
          about: {what: words}.
          flat: {setting: value}, all of them; config.json has them too.
        """
        rows = [f"| {what} | {_cell(words)} |" for what, words in about.items()]
        table = "\n".join(["| | |", "|---|---|", *rows])
        told = {name: _plain(flat[name]) for name in _HYPERPARAMETERS if flat.get(name) is not None}
        columns = hparams_config_pb(
            [HParam(name) for name in _HYPERPARAMETERS],
            [Metric(name) for name in _HYPERPARAMETER_METRICS],
            time_created_secs=0,
        )
        trial = hparams_pb(told, trial_id=self._name)
        self._events.add(_SETTINGS_STEP, text_pb("config", table), columns, trial)

    def close(self) -> None:
        """Flushes and closes both files."""
        with contextlib.closing(self._events), files.writing(self._path):
            self._file.close()


def _cell(words: str) -> str:
    """For a table in Markdown."""
    return "`" + words.replace("|", "\\|").replace("`", "'") + "`" if words else "unknown"


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
        raise UserError(
            f"{path} has other columns than this run writes; choose a new logdir", ["logdir"]
        )
    return kept


def _tell_lost_rows(path: Path, was_there: bool, last: int, reported: int) -> None:
    """Prints a note where rows up to step `reported` were written, and `last` is the last of them.

    TensorBoard's files have the same reports. How often a run reports says nothing of it: that may
    have been another number before.
    """
    if last < reported:
        ends = f"ends at step {last}" if was_there else "is missing"
        print(
            f"note: {path} {ends}, and the run had reported up to step {reported}: these rows are "
            "lost (TensorBoard's files have them)",
            flush=True,
        )


def _replace(path: Path, columns: list[str], rows: list[dict]) -> None:
    cells = ([row.get(name, "") for name in columns] for row in rows)
    files.write_text(path, files.csv_text([columns, *cells]))
