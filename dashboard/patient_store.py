"""The recorder's store as pages read it: nobody before a screen waits long for a database that is away.

Each read goes to a thread. After one that failed or took too long the store counts as away: reads are refused
at once, and a thread looks every few seconds whether it answers again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooSlow
from typing import Final, TypeVar

from sqlalchemy import Connection, text

from dashboard.background import in_background
from inference.errors import StoreError
from inference.store import Store

PATIENCE_S: Final = 2.0
"""So long the database may take to let somebody in, to give a lock, to answer."""
WAIT_S: Final = 1.5
"""So long a page waits: the browser takes 2.5 s without a feed for a lost connection."""
RETRY_S: Final = 5.0
Result = TypeVar("Result")


class PatientStore(Store):
    """A store that is opened when it is there, and read without waiting long.

    Parameters
    ----------
    url : str
        ``sqlite:///file`` or ``postgresql://…``.
    wait_s : float
        How long one read may keep its caller.
    clock : callable
        Monotonic seconds.

    Raises
    ------
    StoreError
        The URL cannot be read. Whatever else is wrong is told by :meth:`problem`.
    """

    def __init__(self, url: str, wait_s: float = WAIT_S, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(url, PATIENCE_S, check=False)
        self._wait_s, self._clock = wait_s, clock
        self._lock = threading.Lock()
        self._found = False
        """Whether it was ever there with the right schema."""
        self._away: str | None = None
        self._look = Future[None]()
        self._looked_s: float | None = None

    def problem(self) -> str | None:
        """Say why it cannot be read now; ``None`` where it can. Only the first look is waited for."""
        with self._lock:
            now = self._clock()
            if self._looked_s is None or (
                self._away is not None and self._look.done() and now - self._looked_s >= RETRY_S
            ):
                self._looked_s = now
                self._look = in_background(self._seek, "store")
            look = self._look
        if self._away is None and not self._found:
            try:
                look.result(self._wait_s)
            except TooSlow:
                self._away = f"no answer within {self._wait_s:g} s"
        return self._away

    def _seek(self) -> None:
        try:
            if not self._found:
                self.check()
            super().read(lambda connection: connection.execute(text("SELECT 1")))
        except StoreError as error:
            self._away = str(error)
        else:
            self._found, self._away = True, None

    def read(self, work: Callable[[Connection], Result]) -> Result:
        """Do ``work`` on a connection in a thread.

        Raises
        ------
        StoreError
            The store is away.
        """
        problem = self.problem()
        if problem is not None:
            raise StoreError(problem)
        reading = in_background(lambda: super(PatientStore, self).read(work), "store")
        try:
            return reading.result(self._wait_s)
        except TooSlow:
            self._away = f"no answer within {self._wait_s:g} s"
            raise StoreError(self._away) from None
        except StoreError as error:
            self._away = str(error)
            raise
