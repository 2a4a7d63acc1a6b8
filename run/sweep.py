"""Runs a grid of keypoint trainings, each a process of its own; see docs/sweep.md.

  python -m run.sweep --run_flagfile=flags/presets/quick.cfg --grid="seed=0 1 2" --out=runs/seeds

Missing frame stores are collected first. Called again, it skips what is finished, resumes what was
interrupted and tries again what failed.
"""

import shlex

from flags import common
from flags import sweep as sweep_flags
from permakey_tf.launch.local import run_all, say


def main(command):
    status = {run.name: sweep_flags.status(run) for run in command.runs}
    if command.dry_run:
        for run in command.runs:
            words = sweep_flags.in_words(run, status[run.name])
            print(f"# {run.name}: {words}\n{shlex.join(run.job.command)}")
        return
    launcher = sweep_flags.make_launcher(command)
    todo = [run for run in command.runs if not status[run.name].finished]
    sweep_flags.refuse_in_use(todo, status, launcher)
    print(f"{len(command.runs)} runs, {len(command.runs) - len(todo)} finished before", flush=True)
    sweep_flags.collect_missing_stores(todo)
    outcome = run_all([run.job for run in todo], launcher)
    unfinished = [*outcome.failed, *outcome.interrupted, *outcome.not_started]
    finished = [run.wanted.logdir for run in command.runs if run.name not in unfinished]
    say(f"finished run folders: {shlex.quote(','.join(finished))}")
    if outcome.signal:
        common.fail(
            f"interrupted by {outcome.signal.name}; {len(unfinished)} of {len(command.runs)} runs "
            "are not finished; the same command continues",
            code=128 + outcome.signal,
        )
    if outcome.failed:
        common.fail(
            f"{len(unfinished)} of {len(command.runs)} runs failed: {', '.join(unfinished)}"
        )


if __name__ == "__main__":
    common.start(sweep_flags, main)
