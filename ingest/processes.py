"""Children that do not outlive their parent, and processes whose memory others cannot read."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with(parent: int) -> None:
    """Ask the kernel, from the child before it executes, to kill it when process ``parent`` ends.

    Linux only; elsewhere nothing is done and the parent's own clean-up has to suffice.
    """
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have ended before the request was made.
        if os.getppid() != parent:
            os._exit(1)


def hide_memory() -> None:
    """Ask the kernel to keep other processes of this user from reading memory and environment of this one.

    Linux only; no debugger can attach then and no core is dumped. Root still can.
    """
    if _libc is not None:
        _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
