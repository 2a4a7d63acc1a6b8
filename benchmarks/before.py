"""What commit 430a343 takes for the same work, measured in turn with today's code.

Its checkout is made by `git worktree add ../before 430a343`; it runs in a process of its own, in
the same environment, and waits while it is not asked.
"""

import subprocess
import sys
from pathlib import Path

from flags import common

CHECKOUT = common.define_path("before", None, "Checkout of 430a343; none: it is not measured.")


class Before:
    """A function in the checkout.

    Args:
      checkout: its folder.
      script: Python code that defines a function `answer` of an int and returns None.
      arguments: of the script, its `sys.argv[1:]`.
    """

    _SERVE = """
import time
for line in sys.stdin:
    start = time.perf_counter()
    answer(int(line))
    print(1e3 * (time.perf_counter() - start), flush=True)
"""

    def __init__(self, checkout: str | Path, script: str, *arguments):
        words = [sys.executable, "-c", f"import sys\n{script}\n{self._SERVE}"]
        words += map(str, arguments)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(words, cwd=checkout, **pipes)

    def __call__(self, asked: int = 0) -> float:
        """Milliseconds that `answer(asked)` took."""
        print(asked, file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """Ends the process."""
        self._process.stdin.close()
        self._process.wait()
