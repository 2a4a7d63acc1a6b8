"""Flags of `python -m run.sweep`: the grid, and the runs that it means."""

import difflib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from absl import flags as absl_flags

from flags import common
from flags import keypoints as keypoint_flags
from flags import rl as rl_flags
from permakey_tf.errors import UserError
from permakey_tf.launch import plan
from permakey_tf.launch.agents import (
    PlannedAgent,
    axes_in,
    cell_name,
    fill_in_axes,
    with_tests,
)
from permakey_tf.launch.local import Job
from permakey_tf.launch.plan import Planned, PlannedRun, run_name
from permakey_tf.launch.slurm import SlurmRequest

_MAX_NAME = 200  # characters; file systems allow 255, and logs add to them
_PROGRAMS = {"keypoints": keypoint_flags, "rl": rl_flags}
_OF_RL = ("keypoints", "seeds", "test_episodes")
# Flags of the programs that the sweep itself gives, or that are of another mode.
_NO_AXES = {"logdir", "undefok", "mode", "runs", "out", "seeds", "test_episodes"}


def define(values: absl_flags.FlagValues = absl_flags.FLAGS) -> None:
    """Defines all flags; call once, before they are parsed."""
    kept = {"flag_values": values}
    absl_flags.DEFINE_enum(
        "program",
        "keypoints",
        list(_PROGRAMS),
        "What is run: run.keypoints, or run.rl, which trains agents and then tests those of a cell "
        "together, all that differ in their seed alone.",
        **kept,
    )
    absl_flags.DEFINE_multi_string(
        "grid",
        [],
        'One axis: --grid="NAME=VALUE VALUE", NAME any flag of the program. Repeatable: every '
        "combination of the axes' values is run. A second axis of the same name replaces the "
        "first. In a flag file without quotes.",
        **kept,
    )
    common.define_path(
        "keypoints",
        None,
        "--program=rl: run folder of each agent's keypoints. {AXIS} stands for that axis' value, "
        "as folders are named by it; an axis that stands here need be no flag.",
        values,
    )
    rl_flags.define_test_size("--program=rl", values)
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
    absl_flags.DEFINE_integer(
        "slurm_nodes",
        1,
        "Nodes of a job, on which a training of keypoints shares each batch: more than one sets "
        "--distribute=multiworker. CPUs, GPUs (untested) and memory are of each.",
        lower_bound=1,
        **kept,
    )
    absl_flags.DEFINE_integer(
        "slurm_cpus", 4, "CPU cores of a job, on each of its nodes.", lower_bound=1, **kept
    )
    absl_flags.DEFINE_integer(
        "slurm_gpus",
        0,
        "GPUs of a job, on each of its nodes (untested). More than one sets "
        "--distribute=mirrored for a training of keypoints on one node.",
        lower_bound=0,
        **kept,
    )
    common.define_float(
        "slurm_memory", 8.0, "Memory of a job, on each of its nodes. Unit: GB.", 1.0, 1e6, **kept
    )


class Sweep(NamedTuple):
    """What the flags ask for. `runs`: and tests, each behind what it comes after."""

    runs: Sequence[Planned]
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
        nodes=values["slurm_nodes"].value,
    )
    runs = _runs(values, Path(out))
    return Sweep(runs, Path(out), launcher, values["jobs"].value, slurm, values["dry_run"].value)


def _runs(values: absl_flags.FlagValues, out: Path) -> Sequence[Planned]:
    program, template = values["program"].value, values["keypoints"].value
    for name in _OF_RL:
        if values[name].present and program != "rl":
            raise UserError(f"--{name} has no meaning with --program={program}")
    free = axes_in(template or "")
    points = plan.grid_points(parse_grid(values["grid"].value, program, free))
    if "keypoints" in points[0]:
        common.refuse_flags(values, ("keypoints",), "beside --grid=keypoints")
    files = values["run_flagfile"].value
    distribute = _distribution(values)
    calls = [_Call.make(program, point, files, out, template, distribute) for point in points]
    if program == "keypoints":
        runs = [PlannedRun(call.job, call.parsed(keypoint_flags)) for call in calls]
        for run in runs:
            _check_distribution(run, values)
        plan.refuse_equal_names(runs)
        plan.refuse_other_frames_in_a_shared_store(runs)
        plan.refuse_same_trainings(runs, points)
        return runs
    agents = [_agent(call) for call in calls]
    plan.refuse_equal_names(agents)
    plan.refuse_same_trainings(agents, points)
    cells = [cell_name(point) for point in points]
    seeds, episodes = tuple(rl_flags.parse_seeds(values)), values["test_episodes"].value
    return list(with_tests(agents, cells, out, seeds, episodes))


def _distribution(values: absl_flags.FlagValues) -> str:
    """Of what a Slurm job computes on; "" where a run has one device, or says it itself."""
    nodes, gpus = values["slurm_nodes"].value, values["slurm_gpus"].value
    if values["program"].value == "keypoints":
        return "multiworker" if nodes > 1 else "mirrored" if gpus > 1 else ""
    if nodes > 1:
        raise UserError(f"--slurm_nodes={nodes} has no meaning with --program=rl: give 1")
    return ""


def _check_distribution(run: PlannedRun, values: absl_flags.FlagValues) -> None:
    joined = run.wanted.distribute == "multiworker"
    if joined and values["launcher"].value != "slurm":
        raise UserError(
            f"run {run.name}: --distribute=multiworker needs --launcher=slurm, or the command of "
            "the run itself on every machine"
        )
    nodes = values["slurm_nodes"].value
    if nodes > 1 and not joined:
        raise UserError(
            f"run {run.name}: --distribute={run.wanted.distribute} has no use for "
            f"--slurm_nodes={nodes}: leave --distribute out"
        )
    devices = nodes * max(values["slurm_gpus"].value or 0, 1)
    batch_size = run.wanted.keypoints.training.batch_size
    if run.wanted.distribute != "none" and batch_size % devices:
        raise UserError(
            f"run {run.name}: --batch_size={batch_size} is the global batch, and must be divisible "
            f"by {devices}, the devices of --slurm_nodes and --slurm_gpus"
        )


# ---------------------------------------------------------------------------------------- the grid


def parse_grid(
    axes: list[str], program: str = "keypoints", free: Iterable[str] = ()
) -> dict[str, list[str]]:
    """["a=1 2", "b=x"] -> {"a": ["1", "2"], "b": ["x"]}.

    Args:
      axes: as they were given.
      program: whose flags they may be of.
      free: names of axes that need be no flags.

    Raises:
      UserError: no axis, or one that is none.
    """
    if not axes:
        raise UserError('--grid is missing; for instance --grid="seed=0 1 2"')
    known = absl_flags.FlagValues()
    _PROGRAMS[program].define(known)
    known_names = ({*known} | {"flagfile", *free}) - _NO_AXES
    grid = {}
    for axis in axes:
        name, _, text = axis.partition("=")
        if axis[:1] in "'\"":
            raise UserError(f"--grid={axis}: a flag file takes no quotes")
        if name == "logdir":
            raise UserError("--grid=logdir: run folders are named by the sweep, in --out")
        if name not in known_names:
            raise UserError(f"--grid={axis}: {_no_axis(name, program, known_names)}")
        if not text.split():
            raise UserError(f"--grid={axis}: no values; expected NAME=VALUE VALUE")
        grid[name] = text.split()
    return grid


def _no_axis(name: str, program: str, known_names: set[str]) -> str:
    """Why, and what else may be meant."""
    if name in _NO_AXES:
        return f"--{name} is no axis"
    near = difflib.get_close_matches(name, known_names, n=3)
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    braces = ", and --keypoints has no {" + name + "}" if program == "rl" else ""
    return f"run.{program} has no flag --{name}{braces}{hint}"


# ---------------------------------------------------------------------------------------- the runs


class _Call(NamedTuple):
    """A program's call of one point of the grid."""

    job: Job
    values: absl_flags.FlagValues

    @classmethod
    def make(cls, program, point, flag_files, out: Path, keypoints=None, distribute="") -> "_Call":
        """Raises UserError where the program would not know the flags."""
        name = run_name(point)
        if len(name) > _MAX_NAME:
            raise UserError(f"{name}: too long for a folder; put settings into a --run_flagfile")
        files = [*flag_files, *([point["flagfile"]] if "flagfile" in point else [])]
        # The last flag wins: files give what the grid does not.
        arguments = [f"--flagfile={file}" for file in files]
        if distribute and not _gives(program, arguments, "distribute"):
            arguments.append(f"--distribute={distribute}")
        if keypoints:
            arguments.append(f"--keypoints={fill_in_axes(keypoints, point)}")
        values = absl_flags.FlagValues()
        _PROGRAMS[program].define(values)
        # Of the others, a flag file is among the files, and a free axis in the keypoints' name.
        arguments += [f"--{axis}={value}" for axis, value in point.items() if axis in values]
        arguments.append(f"--logdir={out / name}")
        command = [sys.executable, "-m", f"run.{program}", *arguments]
        call = cls(Job(name, command, out / "logs" / f"{name}.log"), values)
        call._named(lambda: common.parse(values, [f"run.{program}", *arguments]))
        return call

    def parsed(self, program):
        """What the program makes of the flags. Raises UserError where it refuses them."""
        return self._named(lambda: program.from_flags(self.values))

    def _named(self, function):
        try:
            return function()
        except UserError as error:
            raise UserError(f"run {self.job.name}: {error}") from error


def _gives(program: str, arguments: list[str], name: str) -> bool:
    """Whether a program's arguments give a flag, in their flag files too."""
    values = absl_flags.FlagValues()
    _PROGRAMS[program].define(values)
    common.parse(values, [f"run.{program}", *arguments])
    return values[name].present


def _agent(call: _Call) -> PlannedAgent:
    training = call.parsed(rl_flags)
    if not isinstance(training, rl_flags.Training):
        raise UserError(f"run {call.job.name}: --mode is for run.rl itself: leave it out")
    if not training.keypoints:
        raise UserError(
            "--keypoints is needed with --program=rl: run folders of trained keypoints, such as "
            "runs/seed-{seed}"
        )
    folder = training.logdir_template
    asked = training.agent, training.logging
    return PlannedAgent(call.job, *asked, training.keypoints, training.given, folder)
