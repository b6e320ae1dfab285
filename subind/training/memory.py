"""How the C library's allocator treats memory that a step frees and the next step needs again."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
"""Options of glibc's mallopt."""

LARGEST_INT = 2**31 - 1
MIB = 2**20


@contextmanager
def freed_memory_is_kept() -> Iterator[None]:
    """Have this process keep freed memory within, and give it back to the system afterwards.

    By default glibc returns large blocks when they are freed; a step of a pack of five of depth 2 then spends 10 to
    15 % of its time on page faults. Elsewhere than under glibc this does nothing. Afterwards the thresholds are those
    that glibc reaches by itself in a process that frees large blocks.
    """
    library = _glibc()
    if library is None:
        yield
        return
    library.mallopt(MMAP_MAX, 0)
    library.mallopt(TRIM_THRESHOLD, LARGEST_INT)
    try:
        yield
    finally:
        library.mallopt(MMAP_MAX, 65536)
        library.mallopt(MMAP_THRESHOLD, 32 * MIB)
        library.mallopt(TRIM_THRESHOLD, 64 * MIB)
        library.malloc_trim(0)


def _glibc() -> Any:
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
