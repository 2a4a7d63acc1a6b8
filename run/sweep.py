"""Runs a grid of trainings, each a process of its own; see docs/sweep.md.

  python -m run.sweep --run_flagfile=flags/presets/quick.cfg --grid="seed=0 1 2" --out=runs/seeds
  python -m run.sweep --flagfile=flags/sweeps/table1_gnn.cfg

Missing frame stores are collected first; agents are tested when they are trained. Called again, it
skips what is finished, resumes what was interrupted and tries again what failed.
"""

import shlex

from flags import common
from flags import sweep as sweep_flags
from permakey_tf.launch import plan
from permakey_tf.launch.local import Launcher, LocalLauncher, run_all, say
from permakey_tf.launch.slurm import SlurmLauncher


def make_launcher(command: sweep_flags.Sweep) -> Launcher:
    """Raises UserError where there is no Slurm to launch on."""
    if command.launcher == "slurm":
        return SlurmLauncher(command.out / "logs" / "slurm", command.slurm)
    return LocalLauncher(command.jobs)


def main(command):
    plan.check_place(command.out)
    status = plan.statuses(command.runs)
    if command.dry_run:
        for run in command.runs:
            words = plan.in_words(run, status[run.name])
            print(f"# {run.name}: {words}\n{shlex.join(run.job.command)}")
        return
    launcher = make_launcher(command)
    todo = [run for run in command.runs if not status[run.name].finished]
    plan.refuse_in_use(todo, status, launcher)
    total = plan.counted(command.runs)
    print(f"{total}, {len(command.runs) - len(todo)} finished before", flush=True)
    plan.collect_missing_stores(todo)
    outcome = run_all([run.job for run in todo], launcher)
    unfinished = [*outcome.failed, *outcome.interrupted, *outcome.not_started]
    finished = [
        run.folder for run in command.runs if run.what == "run" and run.name not in unfinished
    ]
    if finished:
        say(f"finished run folders: {shlex.quote(','.join(finished))}")
    kinds = {run.what for run in command.runs}
    of_all = f"of {total}" if len(kinds) == 1 else f"of {len(command.runs)} ({total})"
    if outcome.signal:
        common.fail(
            f"interrupted by {outcome.signal.name}; {len(unfinished)} {of_all} "
            "are not finished; the same command continues",
            code=128 + outcome.signal,
        )
    if outcome.failed:
        failed = f"{len(outcome.failed)} {of_all} failed: {', '.join(outcome.failed)}"
        waiting = ", ".join(outcome.not_started)
        common.fail(failed + f"; not started: {waiting}" * bool(waiting))


if __name__ == "__main__":
    common.start(sweep_flags, main)
