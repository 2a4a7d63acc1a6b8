"""Giving freed memory back to the system."""

import gc
import os
import platform
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from permakey_tf.system import memory
from permakey_tf.system.graphs import traced_once

MB = 2**20


def resident() -> int:
    """Bytes of memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc keeps it, and can be asked"
)
def test_what_was_freed_in_small_pieces_is_given_back():
    pieces = [np.ones(2000) for _ in range(200 * MB // 16000)]
    last = pieces[-1]  # at the end of the heap: what lies before it is not given back by itself
    held = resident()
    del pieces
    gc.collect()
    kept = resident()
    memory.give_back()
    if kept < held - 20 * MB:
        pytest.skip("malloc is set up to keep nothing")
    assert resident() < held - 150 * MB
    assert last.sum() == 2000


@pytest.mark.parametrize("compiled", [True, False])
def test_what_a_compiler_needed_is_given_back_once(monkeypatch, compiled):
    calls = []
    monkeypatch.setattr(memory, "give_back", lambda: calls.append("called"))
    double = traced_once(lambda x: 2 * x, compiled=compiled)
    assert [float(double(tf.constant(x))) for x in (1.0, 2.0, 3.0)] == [2, 4, 6]
    assert len(calls) == compiled
