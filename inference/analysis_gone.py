"""Analyses whose browser has gone are cancelled: nobody will look at what they find."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

GONE_S: Final = 30.0
"""So long may a browser be away: a page that is loaded anew or a short break of the network ends nothing."""

LOOK_S: Final = 1.0
WHY: Final = f"cancelled: the browser that handed it in was away for {GONE_S:.0f} s"


class Cancellable(Protocol):
    """What is used of :class:`inference.analysis_job.Analysis`."""

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        ...

    def cancel(self, why: str) -> None:
        """Stop it."""
        ...


@dataclass(slots=True)
class _Watched:
    analysis: Cancellable
    here: Callable[[], bool]
    seen_s: float


class GoneWatch:
    """Looks each second whether the browsers of analyses are still there, while there are any.

    Parameters
    ----------
    clock : callable
        Seconds; never goes back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._watched: list[_Watched] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def watch(self, analysis: Cancellable, here: Callable[[], bool]) -> None:
        """Cancel an analysis once ``here`` has been false for :data:`GONE_S`; called from any thread."""
        with self._lock:
            self._watched.append(_Watched(analysis, here, self._clock()))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="analysis-gone", daemon=True)
                self._thread.start()

    def look(self) -> None:
        """Cancel what nobody waits for; forget what has ended."""
        with self._lock:
            self._watched = [one for one in self._watched if not one.analysis.done]
            watched = list(self._watched)
        now_s = self._clock()
        for one in watched:
            if one.here():
                one.seen_s = now_s
            elif now_s - one.seen_s >= GONE_S:
                one.analysis.cancel(WHY)

    def _run(self) -> None:
        while True:
            time.sleep(LOOK_S)
            self.look()
            with self._lock:
                if not self._watched:
                    self._thread = None
                    return
