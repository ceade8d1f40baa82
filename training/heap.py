"""Memory that a process on a CPU gives back."""

import ctypes

THRESHOLD = 1 << 20
"""Bytes from which a block is the system's again as soon as it is freed."""
M_MMAP_THRESHOLD = -3
"""Its number in glibc's malloc.h."""


def keep_flat() -> None:
    """Have large blocks given back when they are freed, where the C library can be told so (glibc).

    The tensors of a step are never of the same sizes twice. By itself glibc takes ever larger blocks from its heap, and
    the holes that they leave fit no later ones: a process goes on growing. What is given back has to be got again, page
    by page, which costs time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, THRESHOLD)
