"""Runs jobs on a Slurm cluster, through the optional package submitit.

Slurm ends a job that has used up its time or makes room for another: it sends SIGTERM (preemption
only) and, some seconds before the end, SIGUSR2. Then the run saves and leaves, and the job puts
itself back into the queue; when it starts again, the run resumes.
"""

import contextlib
import math
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from permakey_tf.errors import UserError
from permakey_tf.launch.local import Job, Launcher, Process, describe_exit, start_process
from permakey_tf.system.files import write_text

_PROGRAMS = ("sbatch", "srun", "sacct", "squeue", "scancel", "scontrol")
_MAX_TIMEOUTS = 1000  # a long training uses up many time limits; each of them saves its progress
_NOTICE_SECONDS = 90  # between SIGUSR2 and the end: a step and a checkpoint
_GRACE_SECONDS = 60.0  # between SIGTERM and SIGUSR2


class SlurmRequest(NamedTuple):
    """What each job asks for.

    partition, account, qos: "" for the cluster's default. minutes: time limit. nodes: each runs the
    command once, with all that is asked for: CPUs, GPUs and memory are of a node.
    """

    partition: str
    minutes: int
    cpus: int
    gpus: int
    gigabytes: float
    account: str = ""
    qos: str = ""
    nodes: int = 1


class SlurmLauncher(Launcher):
    """Submits every job at once; Slurm decides when each runs.

    Jobs outlive the program that submitted them. Their numbers are kept in `folder`, so that the
    next call finds those that are still queued or running.

    Args:
      folder: for submitit's files; must be seen by all nodes.
      request: what each job asks for.

    Raises:
      UserError: submitit is not installed, or this machine is no part of a Slurm cluster.
    """

    slots = math.inf
    poll_seconds = 2.0

    def __init__(self, folder: Path, request: SlurmRequest):
        try:
            import submitit
        except ModuleNotFoundError as error:
            raise UserError(
                'launcher=slurm needs a package: pip install -e ".[slurm]"', ["launcher"]
            ) from error
        missing = [program for program in _PROGRAMS if not shutil.which(program)]
        if missing:
            raise UserError(
                f"launcher=slurm: this machine has no {missing[0]}; use one that submits jobs to "
                "Slurm, or launcher=local",
                ["launcher", "launcher"],
            )
        self._submitit, self._folder = submitit, folder.absolute()
        self._executor = submitit.AutoExecutor(
            self._folder, cluster="slurm", slurm_max_num_timeout=_MAX_TIMEOUTS
        )
        self._executor.update_parameters(
            timeout_min=request.minutes,
            cpus_per_task=request.cpus,
            mem_gb=request.gigabytes,
            slurm_signal_delay_s=_NOTICE_SECONDS,
            slurm_additional_parameters={"requeue": True},
        )
        for name in ("partition", "account", "qos"):
            if value := getattr(request, name):
                self._executor.update_parameters(**{f"slurm_{name}": value})
        if request.nodes > 1:
            self._executor.update_parameters(nodes=request.nodes, tasks_per_node=1)
        if request.gpus:
            self._executor.update_parameters(gpus_per_node=request.gpus)

    def owns(self, name: str) -> bool:
        file = self._id_file(name)
        if not file.exists():
            return False
        command = ["squeue", "--noheader", "--format=%T", f"--jobs={file.read_text().strip()}"]
        asked = subprocess.run(command, capture_output=True, text=True)
        # An id that Slurm has forgotten is an error to squeue: the job is over.
        if asked.returncode and "Invalid job id" not in asked.stderr:
            why = " ".join(asked.stderr.split())
            raise UserError(
                f"squeue does not say whether {name} is in the queue ({why}): try again"
            )
        return bool(asked.stdout.strip())

    def start(self, job: Job) -> "SlurmProcess":
        file = self._id_file(job.name)
        if self.owns(job.name):
            found = self._submitit.SlurmJob(self._folder, file.read_text().strip())
            return SlurmProcess(found, file, "in the queue already as")
        self._executor.update_parameters(slurm_job_name=job.name)
        errors = self._submitit.core.utils
        try:
            # Of several nodes the first stands for all: where one fails, all do. What the others
            # came to may be of a time before the job was requeued.
            submitted = self._executor.submit(SlurmTask(job)).task(0)
        # sbatch refused, or its answer has no job's number in it
        except (errors.UncompletedJobError, errors.FailedSubmissionError) as error:
            raise UserError("sbatch: " + " ".join(str(error).split())) from error
        write_text(file, f"{submitted.job_id}\n")
        return SlurmProcess(submitted, file, "submitted as")

    def _id_file(self, name: str) -> Path:
        return self._folder / f"{name}.job"


class SlurmProcess(Process):
    """A job in Slurm's queue, waiting, running or requeued."""

    def __init__(self, job, id_file: Path, how: str):
        self._job, self._id_file, self._left = job, id_file, ""
        self.where = f"{how} Slurm job {job.job_id}"

    def poll(self) -> str | None:
        if self._left or not self._job.done():
            return self._left or None
        from submitit.core.utils import UncompletedJobError

        self._id_file.unlink(missing_ok=True)
        try:
            return describe_exit(self._job.result())
        except UncompletedJobError:  # ended by Slurm, or by a fault outside of the run
            state, errors = self._job.state, self._job.paths.stderr
            return f"Slurm job {self._job.job_id} left no result (state {state}): see {errors}"

    def interrupt(self, number: signal.Signals) -> None:
        """Cancels the job: if it runs, Slurm sends SIGTERM, and the run saves and leaves.

        A terminal that was closed is no reason: then the job stays in the queue.
        """
        if number == signal.SIGHUP:
            self._left = "left in the queue"
            return
        self._job.cancel(check=False)
        self._left = "cancelled"

    def abandon(self) -> None:
        """Leaves the job to Slurm; the next call finds it."""


class SlurmTask:
    """What a job does on each of its nodes: runs the command as a child. Pickled by submitit, made
    anew at a requeue."""

    def __init__(self, job: Job):
        self.job = job
        self._child: subprocess.Popen | None = None
        self._terminated = False

    def __call__(self) -> int:
        """The child's exit code."""
        signal.signal(signal.SIGTERM, self._note_termination)
        # Slurm signals all processes of a job. SIGUSR2 is for this one, and would kill the child.
        self._child = start_process(_on_this_node(self.job), preexec_fn=_ignore_user_signals)
        code = self._child.wait()
        if code and self._terminated:
            # Preempted or cancelled: SIGUSR2 or the end follow. To return would end the job.
            time.sleep(_GRACE_SECONDS)
        return code

    def _note_termination(self, *_):
        self._terminated = True

    def checkpoint(self):
        """Called by submitit at SIGUSR2, in a signal handler: what to do when started again."""
        from submitit.helpers import DelayedSubmission

        if self._child and not self._terminated:
            self._child.send_signal(signal.SIGTERM)
        if self._child:
            # Not Popen.wait: the code that this handler interrupts may hold its lock.
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(SlurmTask(self.job))


def _on_this_node(job: Job) -> Job:
    """With a log of its own on every node but the first."""
    node = int(os.environ.get("SLURM_PROCID", 0))
    return job._replace(log=job.log.with_suffix(f".{node}.log")) if node else job


def _ignore_user_signals():
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
