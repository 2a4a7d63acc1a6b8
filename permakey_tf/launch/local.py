"""Runs commands as processes of their own until all have ended, however each of them ends.

What starts a process is a launcher: `LocalLauncher` here, `slurm.SlurmLauncher` on a cluster.
"""

import collections
import contextlib
import datetime
import os
import shlex
import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple, Protocol

from permakey_tf.errors import UserError
from permakey_tf.system.device import available_cores
from permakey_tf.system.interruption import deferred

_TAIL_BYTES = 20_000  # of a log, which may hold days of progress bars


class Job(NamedTuple):
    """A command to run.

    log: file that its output is appended to. after: names of jobs that have to end well before it
    is started, where they are of the same batch.
    """

    name: str
    command: list[str]
    log: Path
    after: tuple[str, ...] = ()


class Process(Protocol):
    """A job that was started. `where`: in words for the user."""

    where: str

    def poll(self) -> str | None:
        """None while it runs; then why it failed, "" where it did not."""

    def interrupt(self, number: signal.Signals) -> None:
        """Asks it to save and leave."""

    def abandon(self) -> None:
        """Called where the launching program breaks down."""


class Launcher(Protocol):
    """Starts jobs. `slots`: how many at a time; `poll_seconds`: time between looks at them."""

    slots: float
    poll_seconds: float

    def owns(self, name: str) -> bool:
        """Whether the job of that name still runs from an earlier call: `start` takes it over."""

    def start(self, job: Job) -> Process:
        """Raises UserError where the job cannot be started."""


class Outcome(NamedTuple):
    """How a batch of jobs ended.

    finished: names of the jobs that ended well.
    failed: {name: why} of those that did not.
    interrupted: names of those that left because the batch was interrupted.
    not_started: names of those that were not started because of that, or because one that they
      come after failed.
    signal: what interrupted the batch, or None.
    """

    finished: list[str]
    failed: dict[str, str]
    interrupted: list[str]
    not_started: list[str]
    signal: signal.Signals | None


def run_in_foreground(command: list[str]) -> int:
    """Runs a command to its end in this terminal; returns its exit code.

    Raises:
      KeyboardInterrupt: Ctrl-C, SIGTERM or SIGHUP came. It was passed on, and the command has
        saved and left; a second Ctrl-C kills it.
    """
    with deferred() as interruption:
        # A session of its own: the terminal's Ctrl-C would reach it beside the one passed on.
        process = subprocess.Popen(command, start_new_session=True)
        told = False
        try:
            while process.poll() is None:
                if interruption.signal and not told:
                    process.send_signal(interruption.signal)
                    told = True
                time.sleep(0.05)
        except BaseException:
            process.kill()
            raise
    if interruption.signal:
        raise KeyboardInterrupt(interruption.signal.name)
    return process.returncode


def run_all(jobs: list[Job], launcher: Launcher) -> Outcome:
    """Runs all jobs, `launcher.slots` at a time, and prints a line at every start and end; in the
    end, the last lines of the failed ones.

    A job that fails does not stop the others. Ctrl-C, SIGTERM and SIGHUP are passed on to the jobs
    that run, which are waited for; no more are started then. A second Ctrl-C kills them.
    """
    batch = _Batch(jobs, launcher)
    with deferred() as interruption:
        try:
            while batch.waiting or batch.running:
                if interruption.signal and not batch.signal:
                    batch.interrupt(interruption.signal)
                batch.start_waiting()
                time.sleep(launcher.poll_seconds)
                batch.collect_ended()
        except BaseException:
            for job in batch.running:
                job.process.abandon()
            raise
    for job in jobs:
        if job.name in batch.failed:
            say(f"\n{job.name}: {batch.failed[job.name]}; the last lines of {job.log}:")
            say("\n".join(f"    {line}" for line in last_lines(job.log, 10)))
    return Outcome(batch.finished, batch.failed, batch.interrupted, batch.not_started, batch.signal)


class _Running(NamedTuple):
    job: Job
    process: Process
    since: float


class _Batch:
    """Where every job of a batch is."""

    def __init__(self, jobs: list[Job], launcher: Launcher):
        self.waiting = collections.deque(jobs)
        self.running: list[_Running] = []
        self.finished: list[str] = []
        self.failed: dict[str, str] = {}
        self.interrupted: list[str] = []
        self.not_started: list[str] = []
        self.signal: signal.Signals | None = None
        self._launcher, self._total = launcher, len(jobs)

    def start_waiting(self) -> None:
        self._drop_followers_of_failures()
        while len(self.running) < self._launcher.slots and (job := self._take_ready()):
            job.log.parent.mkdir(parents=True, exist_ok=True)
            try:
                process = self._launcher.start(job)
            except UserError as error:
                self.failed[job.name] = str(error)
                self._tell("failed", f"{job.name}: {error}")
                continue
            self.running.append(_Running(job, process, time.monotonic()))
            say(f"started {job.name} ({process.where})")

    def _take_ready(self) -> Job | None:
        """The first job that need not wait for another, taken out of those that wait."""
        ahead = {job.name for job in self.waiting} | {one.job.name for one in self.running}
        for job in self.waiting:
            if not ahead.intersection(job.after):
                self.waiting.remove(job)
                return job
        return None

    def _drop_followers_of_failures(self) -> None:
        for job in list(self.waiting):
            gone = [name for name in job.after if name in self.failed or name in self.not_started]
            if gone:
                self.waiting.remove(job)
                self.not_started.append(job.name)
                say(f"not started {job.name}: {gone[0]} is not finished")

    def collect_ended(self) -> None:
        for running in list(self.running):
            failure = running.process.poll()
            if failure is None:
                continue
            self.running.remove(running)
            name, seconds = running.job.name, f"{time.monotonic() - running.since:.0f} s"
            if not failure:
                self.finished.append(name)
                self._tell("finished", f"{name} in {seconds}")
            elif self.signal:
                self.interrupted.append(name)
                last = "".join(last_lines(running.job.log, 1)).removeprefix("error: ")
                self._tell("interrupted", f"{name} after {seconds}: {last or failure}")
            else:
                self.failed[name] = failure
                self._tell("failed", f"{name} after {seconds}: {failure}")

    def interrupt(self, number: signal.Signals) -> None:
        self.signal = number
        self.not_started += [job.name for job in self.waiting]
        self.waiting.clear()
        say(f"{number.name}: {len(self.running)} running are told to save and leave")
        for running in self.running:
            running.process.interrupt(number)

    def _tell(self, event: str, text: str) -> None:
        ended = len(self.finished) + len(self.failed) + len(self.interrupted)
        say(f"{event} {text} ({ended} of {self._total})")


def say(text: str) -> None:
    """Prints a line; does nothing where nobody can read it.

    The terminal may be closed, or the program that reads this may have died of the same Ctrl-C: no
    reason to break down while jobs save.
    """
    with contextlib.suppress(OSError):
        print(text, flush=True)


def last_lines(log: Path, number: int) -> list[str]:
    """The last lines that are not empty of what the latest start of a job wrote to its log."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
        text = file.read().decode(errors="replace")
    # A progress bar overwrites itself by carriage returns: each state of it is a line here.
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    starts = [row for row, line in enumerate(lines) if line.startswith(_START)]
    return lines[starts[-1] + 1 if starts else 0 :][-number:]


# -------------------------------------------------------------------------------- on this machine

_START = "== started "  # first words of every start in a log


def start_process(job: Job, environment: dict[str, str] | None = None, **options):
    """Starts a job's command with its output going to its log.

    Args:
      job: what to run.
      environment: variables for it, beside those of this process.
      **options: of subprocess.Popen.

    Returns:
      The subprocess.Popen.

    Raises:
      UserError: no such program, or its log cannot be written.
    """
    defaults = {"PYTHONUNBUFFERED": "1", "TQDM_MININTERVAL": "30"}  # a log needs few bars
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    try:
        with job.log.open("ab") as log:
            log.write(f"{_START}{now}: {shlex.join(job.command)}\n".encode())
            log.flush()
            return subprocess.Popen(
                job.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=defaults | os.environ | (environment or {}),
                **options,
            )
    except OSError as error:
        raise UserError(f"cannot be started: {error.filename}: {error.strerror}") from error


def describe_exit(code: int) -> str:
    """ "" for exit code 0, otherwise what happened."""
    if code < 0:
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:  # one of the real-time signals has no name
            return f"killed by signal {-code}"
    return f"exit code {code}" if code else ""


class LocalLauncher(Launcher):
    """Runs `slots` jobs at a time on this machine, which share its cores evenly.

    Several processes that each use all cores would get in each other's way, so with more than one
    slot TensorFlow's threads are limited, unless the user's environment does.
    """

    poll_seconds = 0.2

    def __init__(self, slots: int):
        self.slots = slots
        threads = str(max(1, available_cores() // slots))
        names = ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS") if slots > 1 else ()
        self.environment = {name: threads for name in names if name not in os.environ}

    def owns(self, name: str) -> bool:
        return False

    def start(self, job: Job) -> "LocalProcess":
        # In a process group of its own: a terminal sends Ctrl-C to the whole group, and a process
        # that gets it twice, from the terminal and from here, would not save.
        return LocalProcess(start_process(job, self.environment, process_group=0))


class LocalProcess(Process):
    """A job that runs on this machine."""

    def __init__(self, process: subprocess.Popen):
        self._process = process
        self.where = f"process {process.pid}"

    def poll(self) -> str | None:
        code = self._process.poll()
        return None if code is None else describe_exit(code)

    def interrupt(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def abandon(self) -> None:
        self._process.kill()
        self._process.wait()
