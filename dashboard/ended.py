"""Which sessions have ended, also after a restart of the server."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import msgspec

from dashboard.users import write_whole

log = logging.getLogger(__name__)

Why = Literal["timed-out", "ended"]
LIFE_S: Final = 30 * 86_400.0
"""No cookie opens anything this long after it was issued; browsers that ask get a new one in time."""


class _One(msgspec.Struct, frozen=True, array_like=True):
    why: Why
    until_s: float


class _Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    sessions: dict[str, _One]


class EndedSessions:
    """Ids of sessions that have ended, kept until no cookie of theirs could open anything anyway.

    Parameters
    ----------
    path
        Where they outlive this process (mode 0600, replaced in one step); ``None``: nowhere.
    clock
        Seconds since 1970.

    Attributes
    ----------
    not_before_s
        Sessions that began before are over: what has ended of them is not known.
    """

    def __init__(self, path: Path | None, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        known = self._read()
        self.not_before_s = clock() if known is None else 0.0
        self._ended: dict[str, _One] = known or {}
        if known is None:
            self._write()

    def __contains__(self, id_: object) -> bool:
        with self._lock:
            return id_ in self._ended

    def why(self, id_: str) -> Why:
        """Return why a session has ended."""
        with self._lock:
            one = self._ended.get(id_)
        return "ended" if one is None else one.why

    def add(self, id_: str, why: Why) -> bool:
        """Note the end of a session; whether it is news."""
        with self._lock:
            if id_ in self._ended:
                return False
            now = self._clock()
            self._ended = {key: one for key, one in self._ended.items() if one.until_s > now}
            self._ended[id_] = _One(why, now + LIFE_S)
            self._write()
            return True

    def _read(self) -> dict[str, _One] | None:
        """Return what is kept; ``None`` where nothing can be."""
        if self._path is None:
            return None
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Content).sessions
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            log.warning("%s: no list of ended sessions (%s); all sign in once more", self._path, error)
            return None

    def _write(self) -> None:
        if self._path is None:
            return
        try:
            write_whole(self._path, msgspec.json.encode(_Content(1, self._ended)))
        except OSError as error:
            log.warning("%s: not written (%s); after a restart all sign in once more", self._path, error)
            self._forget(self._path)

    @staticmethod
    def _forget(path: Path) -> None:
        """Without the list a restart believes no cookie; with an old one it would believe ended ones."""
        try:
            path.unlink(missing_ok=True)
        except OSError:
            log.exception("%s: is out of date: remove it before a restart", path)
