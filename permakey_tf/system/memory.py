"""Memory that is free in this process, and not yet for others."""

import ctypes


def give_back() -> None:
    """Returns freed memory to the system, where the C library is glibc; elsewhere nothing.

    glibc keeps most of what is freed by whoever made many small pieces, such as a compiler, which
    is of no use to what follows.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)
