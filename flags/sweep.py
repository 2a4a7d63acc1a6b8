"""Flags of `python -m run.sweep`: the grid, the runs that it means, and where they stand."""

import difflib
import itertools
import re
import sys
from pathlib import Path
from typing import NamedTuple

from absl import flags

from flags import common
from flags import keypoints as keypoint_flags
from permakey_tf.configs.frames import canonical_game
from permakey_tf.errors import UserError
from permakey_tf.launch.local import Job, Launcher, LocalLauncher
from permakey_tf.launch.slurm import SlurmLauncher, SlurmRequest
from permakey_tf.runs.progress import Status
from permakey_tf.system import disk

_MAX_NAME = 200  # characters; file systems allow 255, and logs add to them


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines all flags; call once, before they are parsed."""
    kept = {"flag_values": values}
    flags.DEFINE_multi_string(
        "grid",
        [],
        'One axis: --grid="NAME=VALUE VALUE", NAME any flag of run.keypoints. Repeatable: every '
        "combination of the axes' values is run. A second axis of the same name replaces the "
        "first. In a flag file without quotes.",
        **kept,
    )
    flags.DEFINE_multi_string(
        "run_flagfile",
        [],
        "Flag file of every run; the grid's values win over its. Repeatable.",
        **kept,
    )
    common.define_path(
        "out", "runs/sweep", "Folder of the run folders, and of their output in logs/.", **kept
    )
    flags.DEFINE_enum(
        "launcher", "local", ["local", "slurm"], "Where runs run: this machine, or Slurm.", **kept
    )
    flags.DEFINE_integer(
        "jobs",
        1,
        "--launcher=local: runs at a time. They share the CPU cores evenly.",
        lower_bound=1,
        **kept,
    )
    flags.DEFINE_boolean(
        "dry_run", False, "Print each run's command and where it stands; start nothing.", **kept
    )
    flags.DEFINE_string("slurm_partition", "", "Partition. Unset: the cluster's default.", **kept)
    flags.DEFINE_string(
        "slurm_account", "", "Account that jobs are charged to. Unset: your default.", **kept
    )
    flags.DEFINE_string("slurm_qos", "", "Quality of service. Unset: your default.", **kept)
    flags.DEFINE_integer(
        "slurm_minutes",
        240,
        "Time limit of a job; a run that needs longer is requeued and resumes. Unit: minutes.",
        lower_bound=5,
        **kept,
    )
    flags.DEFINE_integer("slurm_cpus", 4, "CPU cores of a job.", lower_bound=1, **kept)
    flags.DEFINE_integer("slurm_gpus", 0, "GPUs of a job.", lower_bound=0, **kept)
    common.define_float("slurm_memory", 8.0, "Memory of a job. Unit: GB.", 1.0, 1e6, **kept)


class Run(NamedTuple):
    """One point of the grid: the call of run.keypoints, and what its flags ask for."""

    job: Job
    wanted: keypoint_flags.Command

    @property
    def name(self) -> str:
        """Of its folder and log."""
        return self.job.name


class Command(NamedTuple):
    """What the flags ask for."""

    runs: list[Run]
    out: Path
    launcher: str
    jobs: int
    slurm: SlurmRequest
    dry_run: bool


def from_flags(values: flags.FlagValues = flags.FLAGS) -> Command:
    """Checks all flags, of the sweep and of every run. Raises UserError naming what is wrong."""
    out, launcher = values["out"].value, values["launcher"].value
    if not out or set(out) & set(",{}"):
        raise UserError(f"--out={out}: must be a folder's name without commas and braces")
    _refuse_what_cannot_be_a_folder(out)
    for name in ("jobs", *(name for name in values if name.startswith("slurm_"))):
        if values[name].present and (launcher == "slurm") != name.startswith("slurm_"):
            raise UserError(f"--{name} has no meaning with --launcher={launcher}")
    slurm = SlurmRequest(
        *(values[f"slurm_{x}"].value for x in ("partition", "minutes", "cpus", "gpus", "memory")),
        account=values["slurm_account"].value,
        qos=values["slurm_qos"].value,
    )
    points = grid_points(parse_grid(values["grid"].value))
    runs = [_make_run(point, values["run_flagfile"].value, out) for point in points]
    _refuse_equal_names(runs)
    _refuse_other_frames_in_a_shared_store(runs)
    return Command(runs, Path(out), launcher, values["jobs"].value, slurm, values["dry_run"].value)


def _refuse_what_cannot_be_a_folder(out: str) -> None:
    """Nothing is written there before frames are collected, which may take an hour."""
    try:
        disk.check_place(Path(out, "logs"))
    except UserError as error:
        raise UserError(f"--out={out}: {error}") from error


def make_launcher(command: Command) -> Launcher:
    """Raises UserError where there is no Slurm to launch on."""
    if command.launcher == "slurm":
        return SlurmLauncher(command.out / "logs" / "slurm", command.slurm)
    return LocalLauncher(command.jobs)


# ---------------------------------------------------------------------------------------- the grid


def parse_grid(axes: list[str]) -> dict[str, list[str]]:
    """["a=1 2", "b=x"] -> {"a": ["1", "2"], "b": ["x"]}. Raises UserError."""
    if not axes:
        raise UserError('--grid is missing; for instance --grid="seed=0 1 2"')
    known = flags.FlagValues()
    keypoint_flags.define(known)
    known_names = ({*known} | {"flagfile"}) - {"logdir", "undefok"}
    grid = {}
    for axis in axes:
        name, _, text = axis.partition("=")
        if axis[:1] in "'\"":
            raise UserError(f"--grid={axis}: a flag file takes no quotes")
        if name == "logdir":
            raise UserError("--grid=logdir: run folders are named by the sweep, in --out")
        if name not in known_names:
            near = difflib.get_close_matches(name, known_names, n=3)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise UserError(f"--grid={axis}: run.keypoints has no flag --{name}{hint}")
        if not text.split():
            raise UserError(f"--grid={axis}: no values; expected NAME=VALUE VALUE")
        grid[name] = text.split()
    return grid


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


def _make_run(point: dict[str, str], flag_files: list[str], out: str) -> Run:
    """Raises UserError where run.keypoints would refuse the flags."""
    name = run_name(point)
    if len(name) > _MAX_NAME:
        raise UserError(f"{name}: too long for a folder; put settings into a --run_flagfile")
    point = dict(point)
    files = [*flag_files, *filter(None, [point.pop("flagfile", None)])]
    # The last flag wins: files give what the grid does not.
    arguments = [f"--flagfile={file}" for file in files]
    arguments += [f"--{axis}={value}" for axis, value in point.items()]
    arguments.append(f"--logdir={Path(out) / name}")
    values = flags.FlagValues()
    keypoint_flags.define(values)
    command = [sys.executable, "-m", "run.keypoints", *arguments]
    job = Job(name, command, Path(out) / "logs" / f"{name}.log")
    try:
        common.parse(values, ["run.keypoints", *arguments])
        return Run(job, keypoint_flags.from_flags(values))
    except UserError as error:
        raise UserError(f"run {name}: {error}") from error


def _refuse_equal_names(runs: list[Run]) -> None:
    names = [run.name for run in runs]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"--grid: two runs would have the same folder, {name}")


def _refuse_other_frames_in_a_shared_store(runs: list[Run]) -> None:
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
                    f"--data_dir={run.wanted.data_dir} cannot have both {name}={theirs[name]} "
                    f"({first.name}) and {name}={value} ({run.name}): give each a store of its own"
                )


# ------------------------------------------------------------------------------- where runs stand


def status(run: Run) -> Status:
    """Looks into the run's folder and frame store.

    Raises:
      UserError: run.keypoints would refuse them; the run's name is part of the message.
    """
    try:
        return keypoint_flags.check_places(run.wanted)
    except UserError as error:
        raise UserError(f"run {run.name}: {error}") from error


def in_words(run: Run, status: Status) -> str:
    """What a call of the sweep would find, such as "interrupted at step 400"."""
    if status.finished:
        return "finished"
    if status.in_use:
        return "running in another process"
    words = f"interrupted at step {status.step}" if status.step else "new"
    missing = not Path(run.wanted.data_dir).exists()
    return words + (f"; {run.wanted.data_dir} is collected first" if missing else "")


def refuse_in_use(runs: list[Run], statuses: dict[str, Status], launcher: Launcher) -> None:
    """Raises UserError for a run that a process works on which is not the launcher's."""
    for run in runs:
        if statuses[run.name].in_use and not launcher.owns(run.name):
            raise UserError(
                f"{run.wanted.logdir} is in use by another process: wait for it, or end it"
            )


def collect_missing_stores(runs: list[Run]) -> None:
    """Makes every frame store that the runs need and that is missing, once.

    Raises:
      UserError: a store cannot be made.
    """
    by_store = {run.wanted.data_dir: run for run in runs}
    for path, run in by_store.items():
        if not Path(path).exists():
            print(f"collecting {path}", flush=True)
        keypoint_flags.open_or_collect(run.wanted)
