"""Memory that this process has freed, and still holds."""

import ctypes
import sys


def give_back() -> None:
    """Returns freed memory to the system, on Linux with glibc; does nothing elsewhere.

    glibc keeps small pieces that were freed for later calls of malloc. After a compiler, which
    makes very many, nobody asks for so many again.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    trim = getattr(library, "malloc_trim", None)
    if trim:
        trim(0)
