"""The ward's alarms of one recording, with what each second said of its signal kept beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from inference.alarm_book import AlarmBook
from inference.types import Alarm
from inference.windows import WindowMonitor, Windows
from ingest.types import SignalKind


class NotingMonitor(WindowMonitor):
    """Keeps what each second says, besides making alarms of it.

    Parameters
    ----------
    signal : SignalKind
        Of the recording.
    clock : callable
        Gives the present time, ns since the epoch.
    names : sequence of str
        Classes that are kept, the gravest first.
    """

    def __init__(self, signal: SignalKind, clock: Callable[[], int], names: Sequence[str]) -> None:
        super().__init__(signal, AlarmBook(), clock)
        self.signs: list[str | None] = []
        """Of each second the first class that holds."""
        self._named = names

    def push(self, windows: Windows) -> list[Alarm]:
        """Judge the windows of one second."""
        held = dict(zip(windows.classes, windows.probabilities[0].tolist(), strict=True))
        self.signs.append(next((name for name in self._named if held.get(name) == 1.0), None))
        return super().push(windows)
