"""Giving freed memory back to the system."""

import os
import platform
import subprocess
import sys

import pytest
import tensorflow as tf

from permakey_tf.system import memory
from permakey_tf.system.graphs import traced_once

# The last piece is at the end of the heap: what lies before it is not given back by itself.
FREED = """
import os
import numpy as np
from permakey_tf.system import memory

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

pieces = [np.ones(2000) for _ in range(200 * 2**20 // 16000)]
last, held = pieces[-1], resident()
del pieces
kept = resident()
memory.give_back()
print(held, kept, resident(), last.sum())
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc keeps it, and can be asked"
)
def test_what_was_freed_in_small_pieces_is_given_back():
    # Of its own process: the heap of this one has holes, and the user may have set up malloc.
    plain = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MALLOC_", "GLIBC_", "LD_PRELOAD"))
    }
    done = subprocess.run(
        [sys.executable, "-c", FREED], env=plain, capture_output=True, text=True, check=True
    )
    held, kept, left, last = map(float, done.stdout.split())
    assert kept > held - 20
    assert left < held - 150
    assert last == 2000


@pytest.mark.parametrize("compiled", [True, False])
def test_what_a_compiler_needed_is_given_back_once(monkeypatch, compiled):
    calls = []
    monkeypatch.setattr(memory, "give_back", lambda: calls.append("called"))
    double = traced_once(lambda x: 2 * x, compiled=compiled)
    assert [float(double(tf.constant(x))) for x in (1.0, 2.0, 3.0)] == [2, 4, 6]
    assert len(calls) == compiled
