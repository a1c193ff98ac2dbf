"""Memory that was needed for a moment goes back to the system."""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
from collections.abc import Callable


@functools.cache
def _trim() -> Callable[[int], int] | None:
    """The ``malloc_trim`` of glibc; None where the C library has none (musl, macOS, Windows)."""
    name = ctypes.util.find_library("c")
    library = ctypes.CDLL(name) if name else None
    return getattr(library, "malloc_trim", None)


def give_back() -> bool:
    """Give back what is free within the heap; say whether there was any.

    glibc keeps it, for between what is free lies what is kept: in an hour with 40 takeovers of a hundred beds
    a worker grew from 696 to 904 MB. Takes some milliseconds: for once a minute.
    """
    trim = _trim()
    return bool(trim and trim(0))
