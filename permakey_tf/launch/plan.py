"""A sweep before it runs: the points of its grid, their runs and names, and where each stands.

Nothing here needs TensorFlow.
"""

import itertools
import re
from pathlib import Path
from typing import NamedTuple

from permakey_tf.configs.frames import canonical_game
from permakey_tf.errors import UserError
from permakey_tf.launch.local import Job, Launcher
from permakey_tf.runs.progress import Status
from permakey_tf.system import disk
from permakey_tf.training.request import KeypointRequest, check_places, open_or_collect


class PlannedRun(NamedTuple):
    """One point of the grid: the call of run.keypoints, and what it asks for."""

    job: Job
    wanted: KeypointRequest

    @property
    def name(self) -> str:
        """Of its folder and log."""
        return self.job.name


def grid_points(grid: dict[str, list[str]]) -> list[dict[str, str]]:
    """Every combination of the axes' values; the last axis varies fastest."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def run_name(point: dict[str, str]) -> str:
    """ "game-mspacman_lsp_layers-0+1" of {"game": "mspacman", "lsp_layers": "0,1"}.

    All axes are named, those of one value too, so that a name stays when an axis gets more. A flag
    file is named by its stem. Commas separate run folders on other command lines: + stands for
    them.
    """
    short = {name: Path(v).stem if name == "flagfile" else v for name, v in point.items()}
    joined = "_".join(f"{name}-{value}" for name, value in short.items())
    return re.sub(r"[^\w.+-]+", "-", joined.replace(",", "+"))


def refuse_clashes(runs: list[PlannedRun]) -> None:
    """Raises UserError for runs that would share a folder, or a store with other frames."""
    _refuse_equal_names(runs)
    _refuse_other_frames_in_a_shared_store(runs)


def _refuse_equal_names(runs: list[PlannedRun]) -> None:
    names = [run.name for run in runs]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"grid: two runs would have the same folder, {name}", ["grid"])


def _refuse_other_frames_in_a_shared_store(runs: list[PlannedRun]) -> None:
    """A store is made once: runs that want different frames cannot share it."""
    first_users = {}
    for run in runs:
        first = first_users.setdefault(Path(run.wanted.data_dir).resolve(), run)
        theirs, ours = (r.wanted.collection.to_dict() for r in (first, run))
        for name, value in ours.items():
            if theirs[name] != value and not (
                name == "game" and canonical_game(theirs[name]) == canonical_game(value)
            ):
                raise UserError(
                    f"data_dir={run.wanted.data_dir} cannot have both {name}={theirs[name]} "
                    f"({first.name}) and {name}={value} ({run.name}): give each a store of its own",
                    ["data_dir"],
                )


def check_place(out: Path) -> None:
    """Nothing is written to a sweep's folder before frames are collected, which may take an hour.

    Raises:
      UserError: it cannot be written to.
    """
    try:
        disk.check_place(out / "logs")
    except UserError as error:
        raise UserError(f"out={out}: {error}", ["out"]) from error


def status(run: PlannedRun) -> Status:
    """Looks into the run's folder and frame store.

    Raises:
      UserError: run.keypoints would refuse them; the run's name is part of the message.
    """
    try:
        return check_places(run.wanted)
    except UserError as error:
        raise UserError(f"run {run.name}: {error}", error.settings) from error


def in_words(run: PlannedRun, status: Status) -> str:
    """What a call of the sweep would find, such as "interrupted at step 400"."""
    if status.finished:
        return "finished"
    if status.in_use:
        return "running in another process"
    words = f"interrupted at step {status.step}" if status.step else "new"
    missing = not Path(run.wanted.data_dir).exists()
    return words + (f"; {run.wanted.data_dir} is collected first" if missing else "")


def refuse_in_use(runs: list[PlannedRun], statuses: dict[str, Status], launcher: Launcher) -> None:
    """Raises UserError for a run that a process works on which is not the launcher's."""
    for run in runs:
        if statuses[run.name].in_use and not launcher.owns(run.name):
            raise UserError(
                f"{run.wanted.logdir} is in use by another process: wait for it, or end it"
            )


def collect_missing_stores(runs: list[PlannedRun]) -> None:
    """Makes every frame store that the runs need and that is missing, once.

    Raises:
      UserError: a store cannot be made.
    """
    by_store = {run.wanted.data_dir: run for run in runs}
    for path, run in by_store.items():
        if not Path(path).exists():
            print(f"collecting {path}", flush=True)
        open_or_collect(run.wanted)
