"""How much memory the demo's broker holds, and how fast that grows."""

from __future__ import annotations

import time

from ingest.broker import EmbeddedBroker


class MemoryGrowth:
    """How fast the broker's memory grows, once the first seconds are over."""

    def __init__(self, broker: EmbeddedBroker | None) -> None:
        self._broker = broker
        self._began = time.monotonic()
        self._first: tuple[float, int] | None = None
        self._last: tuple[float, int] | None = None

    def measure(self, now: float) -> None:
        """Note the memory at monotonic time ``now``, at most once a second."""
        if self._broker is None or (self._last is not None and now - self._last[0] < 1.0):
            return
        self._last = (now, self._broker.memory_bytes())
        if self._first is None and now - self._began > 10.0:
            self._first = self._last

    def __str__(self) -> str:
        if self._last is None:
            return "broker memory: not ours to measure"
        held = f"broker memory: {self._last[1] / 1e6:.0f} MB"
        if self._first is None or self._last[0] - self._first[0] < 10.0:
            return held
        rate = (self._last[1] - self._first[1]) / 1e6 / (self._last[0] - self._first[0]) * 3_600
        return f"{held}, growing by {rate:.0f} MB an hour (it keeps all and stops itself at a bound)"
