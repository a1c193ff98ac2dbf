"""The last raw records of one bed, as they came."""

from __future__ import annotations

from collections import deque
from typing import Final

from inference.strips import Received

MOST_BYTES: Final = 32_000_000
"""Of one bed; what is pushed out is read from Kafka again if a strip needs it."""


class BedBuffer:
    """The last records of one bed. All that are younger than ``floor_ms`` are there."""

    def __init__(self, floor_ms: int) -> None:
        self.records: deque[Received] = deque()
        self.floor_ms = floor_ms
        self.next_gone = 0
        self._n_bytes = 0

    def add(self, received: Received) -> None:
        """Append; push out what is too much."""
        self.records.append(received)
        self._n_bytes += len(received.value)
        while self._n_bytes > MOST_BYTES and len(self.records) > 1:
            self._push_out()

    def prune(self, before_ms: int) -> None:
        """Forget what is older."""
        while self.records and self.records[0].timestamp_ms < before_ms:
            self._push_out()

    def _push_out(self) -> None:
        gone = self.records.popleft()
        self._n_bytes -= len(gone.value)
        self.floor_ms = max(self.floor_ms, gone.timestamp_ms + 1)
        self.next_gone = gone.offset + 1

    def between(self, offset: int, until_ms: int) -> list[Received]:
        """Records from an offset on, up to a time."""
        found: list[Received] = []
        for received in reversed(self.records):
            if received.offset < offset:
                break
            if received.timestamp_ms <= until_ms:
                found.append(received)
        return found[::-1]

    def since(self, offset: int, until_ms: int) -> list[Received]:
        """All that is kept up to a time; nothing where some of it since an offset was pushed out."""
        if self.next_gone > offset:
            return []
        return [received for received in self.records if received.timestamp_ms <= until_ms]

    def newest_at(self, offset: int) -> Received | None:
        """Newest record that was there when the one at an offset came."""
        return next((item for item in reversed(self.records) if item.offset <= offset), None)
