"""Waits after failed tries to sign in, per user and per address."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

Key = tuple[Literal["user", "address"], str]

FREE: Final = {"user": 5, "address": 20}
"""Tries before the first wait; many people may sit behind one address."""
FIRST_S: Final = 15.0
LONGEST_S: Final = 300.0
"""Short, for anybody can make a colleague wait by typing their name."""
FORGOTTEN_S: Final = 3_600.0
KNOWN_S: Final = 86_400.0
"""Who has signed in from an address waits no more for the tries of others there, for so long."""
MOST: Final = 10_000
"""Keys remembered, so that made-up names cannot fill the memory."""


@dataclass(slots=True)
class _Tries:
    count: int
    last_s: float


class Backoff:
    """Counts tries by key; each one beyond the free ones doubles the wait.

    Parameters
    ----------
    clock
        Seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._tries: dict[Key, _Tries] = {}
        self._known: dict[tuple[Key, Key], float] = {}

    def begin(self, user: Key, address: Key) -> float:
        """Count a try before it is checked, so that tries at the same time count too.

        Who has signed in from that address lately neither waits for its tries nor adds to them: behind a
        proxy that hides addresses, one person's typing would keep the whole ward out.

        Returns
        -------
        float
            0, or the seconds still to wait; then nothing was counted and nothing may be checked.
        """
        now = self._clock()
        with self._lock:
            keys = (user,) if self._knows(user, address, now) else (user, address)
            wait = max(self._wait(key, now) for key in keys)
            if wait > 0:
                return wait
            for key in keys:
                tries = self._tries.pop(key, None)
                fresh = tries is None or now - tries.last_s > FORGOTTEN_S
                # Put back at the end: the first key is the one tried longest ago.
                self._tries[key] = _Tries(1 if fresh or tries is None else tries.count + 1, now)
            while len(self._tries) > MOST:
                del self._tries[next(iter(self._tries))]
            return 0.0

    def succeeded(self, user: Key, address: Key) -> None:
        """Forget the user's tries and this one of the address; others from there still count."""
        now = self._clock()
        with self._lock:
            self._tries.pop(user, None)
            if not self._knows(user, address, now) and address in self._tries:
                self._tries[address].count -= 1
            self._known.pop((user, address), None)
            self._known[user, address] = now
            while len(self._known) > MOST:
                del self._known[next(iter(self._known))]

    def _knows(self, user: Key, address: Key, now: float) -> bool:
        at = self._known.get((user, address))
        return at is not None and now - at <= KNOWN_S

    def _wait(self, key: Key, now: float) -> float:
        tries = self._tries.get(key)
        if tries is None or now - tries.last_s > FORGOTTEN_S:
            return 0.0
        beyond = tries.count - FREE[key[0]]
        if beyond < 0:
            return 0.0
        pause = min(LONGEST_S, FIRST_S * 2.0 ** min(beyond, 10))
        return max(0.0, tries.last_s + pause - now)
