"""A sweep before it runs: the points of its grid, their runs and names, and where each stands.

Nothing here needs TensorFlow.
"""

import collections
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from permakey_tf.configs.base import flatten
from permakey_tf.configs.frames import canonical_game
from permakey_tf.errors import UserError
from permakey_tf.launch.local import Job, Launcher
from permakey_tf.runs.families import Settings, effective, lacks
from permakey_tf.runs.progress import Status
from permakey_tf.system import disk
from permakey_tf.training.request import KeypointRequest, check_places, open_or_collect


class Planned(Protocol):
    """What a sweep is to bring to its end."""

    @property
    def job(self) -> Job:
        """The command that does it."""

    @property
    def name(self) -> str:
        """Of the job."""

    @property
    def folder(self) -> str:
        """That the job writes to."""

    @property
    def what(self) -> str:
        """It is, in a word."""

    @property
    def comes_first(self) -> str:
        """What the sweep does before, in words; "" for nothing."""

    def look(self) -> Status:
        """Where it stands on disk. Raises UserError where its command would refuse to start."""


class PlannedTraining(Planned, Protocol):
    """What a point of the grid is planned as."""

    @property
    def settings(self) -> Settings:
        """All that the training and its reports depend on, by flat names."""


class PlannedRun(NamedTuple):
    """One point of the grid: the call of run.keypoints, and what it asks for."""

    job: Job
    wanted: KeypointRequest
    what = "run"

    @property
    def name(self) -> str:
        """Of its folder and log."""
        return self.job.name

    @property
    def folder(self) -> str:
        """Its run folder."""
        return self.wanted.logdir

    @property
    def comes_first(self) -> str:
        """Frames that are missing are collected."""
        return f"{self.wanted.data_dir} is collected first" if self.wanted.is_missing else ""

    @property
    def settings(self) -> Settings:
        """Of the frames their stores: what one store is collected with is compared elsewhere."""
        wanted = self.wanted
        places = {
            "data_dir": tuple(path.resolve() for path in wanted.stores),
            "data_weights": wanted.data_weights,
            "distribute": wanted.distribute,
        }
        return flatten(wanted.keypoints) | flatten(wanted.logging) | places

    def look(self) -> Status:
        """Looks into the run's folder and frame store."""
        return check_places(self.wanted)


def grid_points(grid: dict[str, list[str]]) -> list[dict[str, str]]:
    """Every combination of the axes' values; the last axis varies fastest."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def run_name(point: dict[str, str]) -> str:
    """ "game-mspacman_lsp_layers-0+1" of {"game": "mspacman", "lsp_layers": "0,1"}.

    All axes are named, those of one value too, so that a name stays when an axis gets more. A flag
    file is named by its stem. Commas separate run folders on other command lines: + stands for
    them.
    """
    return "_".join(f"{name}-{value_in_name(name, value)}" for name, value in point.items())


def value_in_name(axis: str, value: str) -> str:
    """The value of an axis as it is written in a run's name."""
    short = Path(value).stem if axis == "flagfile" else value
    return re.sub(r"[^\w.+-]+", "-", short.replace(",", "+"))


def refuse_equal_names(runs: Sequence[Planned]) -> None:
    """Raises UserError for runs that would share a folder."""
    names = [run.name for run in runs]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"grid: two runs would have the same folder, {name}", ["grid"])


def refuse_same_trainings(
    runs: Sequence[PlannedTraining], points: Sequence[dict[str, str]]
) -> None:
    """Runs of two folders may be one training: by two spellings of a number, or by an axis that
    does nothing beside the other settings.

    Args:
      runs: all trainings.
      points: {axis: value} of each.

    Raises:
      UserError: two are the same.
    """
    seen: list[Settings] = [effective(run.settings) for run in runs]
    for place, settings in enumerate(seen):
        first = seen.index(settings)
        if first != place:
            why, names = _no_difference(points[first], points[place], runs[place].settings)
            raise UserError(
                f"grid: {why}: {runs[first].name} and {runs[place].name} would be the same "
                "training; give one of these values, or make two sweeps",
                ["grid", *names],
            )


def _no_difference(
    one: dict[str, str], other: dict[str, str], settings: Settings
) -> tuple[str, list[str]]:
    """Why two points of the grid are the same training, and the settings that this speaks of."""
    words, names = [], []
    for axis in (axis for axis in one if one[axis] != other[axis]):
        if lacked := lacks(axis, settings):
            words.append(f"{axis} does nothing without {lacked[0]}={lacked[1]}")
            names += [axis, lacked[0]]
        else:
            words.append(f"{axis}={one[axis]} and {axis}={other[axis]} make no difference")
            names += [axis, axis]
    return " and ".join(words), names


def refuse_other_frames_in_a_shared_store(runs: list[PlannedRun]) -> None:
    """A store is made once: raises UserError for runs that want different frames from one."""
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


def status(run: Planned) -> Status:
    """Where a run stands on disk.

    Raises:
      UserError: its command would refuse to start; the run's name is part of the message.
    """
    try:
        return run.look()
    except UserError as error:
        raise UserError(f"run {run.name}: {error}", error.settings) from error


def statuses(runs: Sequence[Planned]) -> dict[str, Status]:
    """{name: where it stands}. What comes after something unfinished is unfinished too.

    Raises:
      UserError: as `status`.
    """
    found: dict[str, Status] = {}
    for run in runs:
        one = status(run)
        ready = all(found[name].finished for name in run.job.after)
        found[run.name] = one._replace(finished=one.finished and ready)
    return found


def in_words(run: Planned, found: Status) -> str:
    """What a call of the sweep would find, such as "interrupted at step 400"."""
    if found.finished:
        return "finished"
    if found.in_use:
        return "running in another process"
    words = f"interrupted at step {found.step}" if found.step else "new"
    return words + (f"; {run.comes_first}" if run.comes_first else "")


def refuse_in_use(runs: Sequence[Planned], found: dict[str, Status], launcher: Launcher) -> None:
    """Raises UserError for a run that a process works on which is not the launcher's."""
    for run in runs:
        if found[run.name].in_use and not launcher.owns(run.name):
            raise UserError(f"{run.folder} is in use by another process: wait for it, or end it")


def counted(runs: Sequence[Planned]) -> str:
    """ "24 runs and 8 tests"."""
    numbers = collections.Counter(run.what for run in runs)
    return " and ".join(f"{n} {what}{'s' * (n > 1)}" for what, n in numbers.items())


def collect_missing_stores(runs: Sequence[Planned]) -> None:
    """Makes every frame store that the runs need and that is missing, once.

    Raises:
      UserError: a store cannot be made.
    """
    by_store = {run.wanted.data_dir: run for run in runs if isinstance(run, PlannedRun)}
    for path, run in by_store.items():
        if run.wanted.is_missing:
            print(f"collecting {path}", flush=True)
        open_or_collect(run.wanted)
