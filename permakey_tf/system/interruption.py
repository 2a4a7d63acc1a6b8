"""Leaving a training loop at a step's end when the user or the system asks for it."""

import contextlib
import signal


class Interruption:
    """`signal`: the signal that arrived (SIGINT, SIGTERM or SIGHUP), or None."""

    def __init__(self):
        self.signal: signal.Signals | None = None


@contextlib.contextmanager
def deferred():
    """Within the block, Ctrl-C, SIGTERM and SIGHUP (the terminal was closed) set a mark instead of
    killing the process.

    The loop looks at the mark between steps, saves and leaves. A second Ctrl-C kills as usual; a
    second SIGTERM or SIGHUP changes nothing, since systems and schedulers may well send two.
    """
    mark = Interruption()
    caught = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
        caught.append(signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in caught}

    def handle(number, _frame):
        mark.signal = signal.Signals(number)
        if number == signal.SIGINT:
            signal.signal(number, before[number])

    for number in caught:
        signal.signal(number, handle)
    try:
        yield mark
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
