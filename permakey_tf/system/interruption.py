"""Leaving a training loop at a step's end when the user or the system asks for it."""

import contextlib
import signal
import threading


class Interruption:
    """`signal`: the signal that arrived (SIGINT, SIGTERM or SIGHUP), or None."""

    def __init__(self):
        self.signal: signal.Signals | None = None


class Interrupted(KeyboardInterrupt):
    """Raised once what a signal interrupted is saved.

    signal: that arrived. saved: what was saved, in words, such as "saved at step 100".
    """

    def __init__(self, number: signal.Signals, saved: str):
        super().__init__(f"interrupted by {number.name}; {saved}; the same call goes on from there")
        self.signal, self.saved = number, saved


@contextlib.contextmanager
def deferred():
    """Within the block, Ctrl-C, SIGTERM and SIGHUP (the terminal was closed) set a mark instead of
    killing the process.

    The loop looks at the mark between steps, saves and leaves. A second Ctrl-C kills as usual; a
    second SIGTERM or SIGHUP changes nothing, since systems and schedulers may well send two. Only
    the main thread can receive signals: in another one, nothing is caught.
    """
    mark = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield mark
        return
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
