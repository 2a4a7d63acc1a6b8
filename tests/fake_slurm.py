"""A stand-in for Slurm's programs: really runs what is submitted, one job after its submission.

`install(folder)` puts the programs into `folder`/bin; job N has the files `folder`/N.*: script,
state, requeue (a mark), pid (of srun's process group). As on a cluster, all processes of a job get
its signals; the script of a requeued job is run again; a cancelled job gets SIGTERM, and SIGKILL
some time later. All nodes of a job are this machine, with a task each.
"""

import itertools
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

PROGRAMS = ("sbatch", "srun", "sacct", "squeue", "scancel", "scontrol")
KILL_WAIT = 20.0  # seconds


def install(folder: Path) -> dict[str, str]:
    """Makes the programs; returns the environment that finds them."""
    (folder / "bin").mkdir(parents=True)
    for name in PROGRAMS:
        program = folder / "bin" / name
        program.write_text(
            f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).resolve()}" {name} "$@"\n'
        )
        program.chmod(0o755)
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    return os.environ | {"PATH": path, "FAKE_SLURM": str(folder)}


def send(folder: Path, job: str, number: signal.Signals) -> None:
    """Sends a signal to all processes of a job's step."""
    os.killpg(int((folder / f"{job}.pid").read_text()), number)


def end_all(folder: Path) -> None:
    """Kills what still runs."""
    for file in folder.glob("*.pid"):
        try:
            send(folder, file.stem, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _file(job, what):
    return Path(os.environ["FAKE_SLURM"]) / f"{job}.{what}"


def _detached(*arguments):
    subprocess.Popen(
        [sys.executable, __file__, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def sbatch(script):
    text = Path(script).read_text()
    if "--partition=nowhere" in text:
        sys.exit("sbatch: error: invalid partition specified: nowhere")
    if "--partition=elsewhere" in text:  # as sites do that wrap sbatch
        print("mailed to the operators")
        sys.exit()
    job = str(1 + len(list(Path(os.environ["FAKE_SLURM"]).glob("*.script"))))
    _file(job, "script").write_text(text)
    _file(job, "state").write_text("PENDING")
    _detached("run_job", job)
    print(f"Submitted batch job {job}")


def run_job(job):
    nodes = re.search(r"--nodes=(\d+)", _file(job, "script").read_text())
    tasks = nodes[1] if nodes else "1"
    environment = os.environ | {"SLURM_JOB_ID": job, "SLURM_NTASKS": tasks}
    while True:
        _file(job, "state").write_text("RUNNING")
        code = subprocess.run(["bash", str(_file(job, "script"))], env=environment).returncode
        if not _file(job, "requeue").exists():
            break
        _file(job, "requeue").unlink()
    if _file(job, "state").read_text() != "CANCELLED":
        _file(job, "state").write_text("FAILED" if code else "COMPLETED")


def srun(*arguments):
    job, arguments, places = os.environ["SLURM_JOB_ID"], list(arguments), {}
    while arguments[0].startswith("--"):
        option = arguments.pop(0)
        if option in ("--output", "--error"):
            places[option] = arguments.pop(0).replace("%j", job)
    os.setpgid(0, 0)
    _file(job, "pid").write_text(str(os.getpid()))
    number = int(os.environ["SLURM_NTASKS"])
    for passed in (signal.SIGTERM, signal.SIGUSR2):  # every task has them itself
        signal.signal(passed, lambda *_: None)
    tasks = [_start_task(task, number, arguments, places) for task in range(number)]
    sys.exit(max(abs(task.wait()) for task in tasks))


def _start_task(task, number, arguments, places):
    step = {
        "SLURM_PROCID": str(task),
        "SLURM_LOCALID": str(task),
        "SLURM_STEP_NUM_TASKS": str(number),
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_STEP_TASKS_PER_NODE": str(number),
        "SLURMD_NODENAME": "localhost",
    }
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    out, err = (
        os.open(places[option].replace("%t", str(task)), flags)
        for option in ("--output", "--error")
    )
    return subprocess.Popen(arguments, stdout=out, stderr=err, env=os.environ | step)


def sacct(*arguments):
    print("JobID|State|NodeList")
    for job in (b for a, b in itertools.pairwise(arguments) if a == "-j"):
        if _file(job, "state").exists():
            print(f"{job}|{_file(job, 'state').read_text()}|node1")


def squeue(*arguments):
    (job,) = (a.removeprefix("--jobs=") for a in arguments if a.startswith("--jobs="))
    if os.environ.get("FAKE_SLURM_DOWN"):
        sys.exit("slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
    if not _file(job, "state").exists():
        sys.exit("slurm_load_jobs error: Invalid job id specified")
    if _file(job, "state").read_text() in ("PENDING", "RUNNING"):
        print(_file(job, "state").read_text())


def scancel(job):
    _file(job, "state").write_text("CANCELLED")
    if _file(job, "pid").exists():
        send(Path(os.environ["FAKE_SLURM"]), job, signal.SIGTERM)
        _detached("kill_later", job)


def kill_later(job):
    time.sleep(KILL_WAIT)
    send(Path(os.environ["FAKE_SLURM"]), job, signal.SIGKILL)


def scontrol(action, job):
    assert action == "requeue", action
    _file(job, "requeue").touch()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
