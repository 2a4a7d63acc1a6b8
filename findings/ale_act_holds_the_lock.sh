#!/usr/bin/env bash
# While the emulator plays, no other Python thread of the process runs.
#
# Packages:  ale-py==0.12.1
# Guess:     the emulator is C++ and touches no Python object while it plays, so `act`
#            gives Python's lock back, as NumPy, OpenCV and TensorFlow do; games in
#            threads of one process use as many cores as there are threads.
# Behaviour: `act` keeps the lock until it returns. Games in threads take turns; more
#            cores are used by processes, or by work of other threads that gives the lock
#            back while a game plays.
# Seen:      (seconds of one call differ from machine to machine)
#            act of 20000 frames: 0.6 s, other thread woke 0 times of about 63
#            sleep of as long: other thread woke 48 times
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet ale-py==0.12.1
env/bin/python - <<'PYTHON'
import threading
import time

from ale_py import Action, ALEInterface, LoggerMode, roms

ALEInterface.setLoggerMode(LoggerMode.Error)
ale = ALEInterface()
ale.setFloat("repeat_action_probability", 0.0)
ale.setInt("frame_skip", 20_000)
ale.loadROM(roms.get_rom_path("pong"))
ale.reset_game()


def woken(call):
    """How often a thread that sleeps 10 ms at a time wakes while `call` runs; its seconds."""
    times, done = [], threading.Event()

    def sleeper():
        while not done.wait(0.01):
            times.append(time.monotonic())

    thread = threading.Thread(target=sleeper)
    thread.start()
    time.sleep(0.1)
    begin = time.monotonic()
    call()
    end = time.monotonic()
    done.set()
    thread.join()
    # A tick at either edge may belong to the moment before or after.
    return sum(begin + 0.005 < t < end - 0.005 for t in times), end - begin


in_act, seconds = woken(lambda: ale.act(Action.NOOP))
in_sleep, _ = woken(lambda: time.sleep(seconds))
expected = round(seconds / 0.01)
print(f"act of 20000 frames: {seconds:.1f} s, other thread woke {in_act} times of about {expected}")
print(f"sleep of as long: other thread woke {in_sleep} times")
raise SystemExit(not (in_act <= 1 and in_sleep > 10))
PYTHON
