#!/usr/bin/env bash
# tf.data calls a Python function that is said to be stateless several times at once.
#
# Packages:  tensorflow==2.21.0
# Guess:     Dataset.map without num_parallel_calls makes one call after the other, as its
#            documentation says of the argument; so a function may keep what it has read.
# Behaviour: where no part of the mapped graph is stateful, tf.data rewrites the map into
#            a parallel one, and a numpy_function of stateful=False is such a part: several
#            threads are in it at once. The elements keep their order. With stateful=True,
#            the default, there is one call at a time, though not always of one thread.
# Seen:      (how many at once depends on the machine's cores)
#            stateful=True:  1 call at once, in order: True
#            stateful=False: 2 calls at once, in order: True
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet tensorflow==2.21.0
TF_CPP_MIN_LOG_LEVEL=3 env/bin/python - <<'PYTHON' 2>errors || { cat errors; exit 1; }
import threading
import time

import tensorflow as tf


def calls_at_once(stateful):
    """(most calls of the function at once, elements), of a map without num_parallel_calls."""
    inside, most, lock = 0, 0, threading.Lock()

    def called(number):
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.02)
        with lock:
            inside -= 1
        return number

    mapped = tf.data.Dataset.range(40).map(
        lambda number: tf.numpy_function(called, [number], tf.int64, stateful=stateful)
    )
    elements = [int(element) for element in mapped]
    return most, elements


found = {stateful: calls_at_once(stateful) for stateful in (True, False)}
for stateful, (most, elements) in found.items():
    name = f"stateful={stateful}:"
    print(f"{name:<15} {most} call{'s'[: most > 1]} at once, in order: {elements == list(range(40))}")
ordered = all(elements == list(range(40)) for _, elements in found.values())
raise SystemExit(not (found[True][0] == 1 and found[False][0] > 1 and ordered))
PYTHON
