"""Giving freed memory back to the system."""

import gc
import os
import platform
from pathlib import Path

import numpy as np
import pytest

from permakey_tf.system import memory

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
    assert kept > held - 20 * MB
    assert resident() < held - 150 * MB
    assert last.sum() == 2000
