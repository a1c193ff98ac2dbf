"""Kafka's client logs a line for every attempt to reach a broker that is away: one of them is enough."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

EVERY_S: Final = 5.0


class Sparse(logging.Filter):
    """Lets one line of a library pass every few seconds, with how many were left out before it.

    Parameters
    ----------
    name : str
        Root of the library's loggers; lines of all others pass.
    every_s : float
        Least time between two lines.
    clock : callable
        Gives the time (s).
    """

    def __init__(
        self, name: str, every_s: float = EVERY_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(name)
        self._every_s, self._clock = every_s, clock
        self._due_s: float | None = None
        self._left_out = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line passes."""
        if not super().filter(record):
            return True
        now_s = self._clock()
        if self._due_s is not None and now_s < self._due_s:
            self._left_out += 1
            return False
        if self._left_out:
            record.msg = f"{record.getMessage()} ({self._left_out} more lines since the one before)"
            record.args = None
        self._due_s, self._left_out = now_s + self._every_s, 0
        return True
