"""Programs of ours in processes of their own, which need not load TensorFlow again.

Loading the libraries takes a process some five seconds of processor time, and the tests start
dozens. Python's fork server loads them once, and every process is a copy of it. From then
on it is what `python -m run.NAME` makes of it: its own signals, files, locks and exit code. That a
program starts from nothing as well is tested where `subprocess` starts it.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIBRARIES = [
    "tensorflow",
    "tensorflow_probability",
    "sonnet",
    "graph_nets",
    "gymnasium",
    "ale_py",
    "cv2",
    "matplotlib.pyplot",
    "scipy.optimize",
    "tensorboard.plugins.hparams.api",
]

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(LIBRARIES)


class Program:
    """A program that runs, with the methods of `subprocess.Popen` that tests use."""

    def __init__(self, module: str, arguments: list[str], **environment: str):
        self._texts = tempfile.TemporaryDirectory()
        self._process = _server.Process(
            target=_become,
            args=(module, list(arguments), os.environ | environment, self._texts.name),
            daemon=True,  # a test that fails leaves none behind
        )
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    poll = returncode.fget

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it wrote to stdout and to stderr, once it has ended."""
        self.wait(timeout)
        return self.output, self.errors

    @property
    def output(self) -> str:
        return self._text("out")

    @property
    def errors(self) -> str:
        return self._text("err")

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def _text(self, name: str) -> str:
        path = Path(self._texts.name, name)
        return path.read_text() if path.exists() else ""


def run(module: str, arguments: list[str]) -> subprocess.CompletedProcess:
    """As `subprocess.run([python, "-m", module, *arguments], capture_output=True, text=True)`."""
    program = Program(module, arguments)
    out, errors = program.communicate()
    return subprocess.CompletedProcess(arguments, program.returncode, out, errors)


def _become(module: str, arguments: list[str], environment: dict[str, str], texts: str) -> None:
    """In the copy: what the interpreter does between its start and the first line of `module`."""
    for descriptor, name in ((1, "out"), (2, "err")):
        file = os.open(Path(texts, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, descriptor)
        os.close(file)
    multiprocessing.current_process().daemon = False  # so it may have children
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # which processes of multiprocessing leave out
