"""Flags of `python -m run.sweep`: the grid, and the runs that it means."""

import difflib
import sys
from pathlib import Path
from typing import NamedTuple

from absl import flags as absl_flags

from flags import common
from flags import keypoints as keypoint_flags
from permakey_tf.errors import UserError
from permakey_tf.launch.local import Job
from permakey_tf.launch.plan import PlannedRun, grid_points, refuse_clashes, run_name
from permakey_tf.launch.slurm import SlurmRequest

_MAX_NAME = 200  # characters; file systems allow 255, and logs add to them


def define(values: absl_flags.FlagValues = absl_flags.FLAGS) -> None:
    """Defines all flags; call once, before they are parsed."""
    kept = {"flag_values": values}
    absl_flags.DEFINE_multi_string(
        "grid",
        [],
        'One axis: --grid="NAME=VALUE VALUE", NAME any flag of run.keypoints. Repeatable: every '
        "combination of the axes' values is run. A second axis of the same name replaces the "
        "first. In a flag file without quotes.",
        **kept,
    )
    absl_flags.DEFINE_multi_string(
        "run_flagfile",
        [],
        "Flag file of every run; the grid's values win over its. Repeatable.",
        **kept,
    )
    common.define_path(
        "out", "runs/sweep", "Folder of the run folders, and of their output in logs/.", **kept
    )
    absl_flags.DEFINE_enum(
        "launcher", "local", ["local", "slurm"], "Where runs run: this machine, or Slurm.", **kept
    )
    absl_flags.DEFINE_integer(
        "jobs",
        1,
        "--launcher=local: runs at a time. They share the CPU cores evenly.",
        lower_bound=1,
        **kept,
    )
    absl_flags.DEFINE_boolean(
        "dry_run", False, "Print each run's command and where it stands; start nothing.", **kept
    )
    absl_flags.DEFINE_string(
        "slurm_partition", "", "Partition. Unset: the cluster's default.", **kept
    )
    absl_flags.DEFINE_string(
        "slurm_account", "", "Account that jobs are charged to. Unset: your default.", **kept
    )
    absl_flags.DEFINE_string("slurm_qos", "", "Quality of service. Unset: your default.", **kept)
    absl_flags.DEFINE_integer(
        "slurm_minutes",
        240,
        "Time limit of a job; a run that needs longer is requeued and resumes. Unit: minutes.",
        lower_bound=5,
        **kept,
    )
    absl_flags.DEFINE_integer("slurm_cpus", 4, "CPU cores of a job.", lower_bound=1, **kept)
    absl_flags.DEFINE_integer("slurm_gpus", 0, "GPUs of a job.", lower_bound=0, **kept)
    common.define_float("slurm_memory", 8.0, "Memory of a job. Unit: GB.", 1.0, 1e6, **kept)


class Sweep(NamedTuple):
    """What the flags ask for."""

    runs: list[PlannedRun]
    out: Path
    launcher: str
    jobs: int
    slurm: SlurmRequest
    dry_run: bool


def from_flags(values: absl_flags.FlagValues = absl_flags.FLAGS) -> Sweep:
    """Checks all flags, of the sweep and of every run. Raises UserError naming what is wrong."""
    out, launcher = values["out"].value, values["launcher"].value
    if not out or set(out) & set(",{}"):
        raise UserError(f"--out={out}: must be a folder's name without commas and braces")
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
    refuse_clashes(runs)
    return Sweep(runs, Path(out), launcher, values["jobs"].value, slurm, values["dry_run"].value)


# ---------------------------------------------------------------------------------------- the grid


def parse_grid(axes: list[str]) -> dict[str, list[str]]:
    """["a=1 2", "b=x"] -> {"a": ["1", "2"], "b": ["x"]}. Raises UserError."""
    if not axes:
        raise UserError('--grid is missing; for instance --grid="seed=0 1 2"')
    known = absl_flags.FlagValues()
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


def _make_run(point: dict[str, str], flag_files: list[str], out: str) -> PlannedRun:
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
    values = absl_flags.FlagValues()
    keypoint_flags.define(values)
    command = [sys.executable, "-m", "run.keypoints", *arguments]
    job = Job(name, command, Path(out) / "logs" / f"{name}.log")
    try:
        common.parse(values, ["run.keypoints", *arguments])
        return PlannedRun(job, keypoint_flags.from_flags(values))
    except UserError as error:
        raise UserError(f"run {name}: {error}") from error
