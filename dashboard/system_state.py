"""What the processes say of themselves and which records they refused, as the feed hears it."""

from __future__ import annotations

import base64
import binascii
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from dashboard.newest import Newest, Recent
from inference.status import INFER
from inference.types import WorkerStatus

STOPPED: Final = "stopped"
SILENT_S: Final = 5.0
"""Processes speak every two seconds."""
DEAF_S: Final = 2.5
"""A reader that got no answer for so long (paused, or its broker was) has not heard who spoke meanwhile."""
MOST_MEMBERS: Final = 200
"""Whoever may write to the topic must not fill this process."""
MOST_LETTERS: Final = 500
MOST_KNOWN: Final = 50_000
"""Refused records that are not counted twice: who takes over refuses again what the one before did."""
LONGEST: Final = 300
FORGET_S: Final = 900.0
FORGET_STOPPED_S: Final = 120.0
"""A process that said goodbye is shown for so long, one that fell silent longer."""


class Refused(msgspec.Struct, frozen=True, tag_field="schema", tag="dead_letter/1"):
    """A dead letter without its bytes."""

    reason: str
    detail: str
    topic: str
    partition: int
    offset: int
    key_base64: str | None
    timestamp_ms: int = -1
    """Of the refused record: offsets begin again where a topic is made anew."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A refused record; ``key`` is the bed that it was sent for, as far as it can be read."""

    received_ms: int
    reason: str
    detail: str
    topic: str
    partition: int
    offset: int
    key: str


@dataclass(frozen=True, slots=True)
class Member:
    """The newest status of a process, and how old it is."""

    status: WorkerStatus
    age_s: float

    @property
    def stopped(self) -> bool:
        """Whether it said goodbye."""
        return self.status.state == STOPPED


@dataclass(frozen=True, slots=True)
class SystemSnapshot:
    """All of it at one moment.

    Attributes
    ----------
    members : tuple of Member
        By role, then by member.
    letters : tuple of Letter
        The newest refused records, newest first.
    refused : dict of str to int
        Refused records by reason since ``listening_s`` ago, those of a short history before included.
    worker_age_s : float or None
        Since any worker spoke; None where none ever did.
    listening_s : float
        How long this dashboard has listened.
    catching_up : bool
        Whether it heard nothing itself until just now: who is silent then is not known yet.
    """

    members: tuple[Member, ...]
    letters: tuple[Letter, ...]
    refused: dict[str, int]
    worker_age_s: float | None
    listening_s: float
    catching_up: bool = False


class SystemState:
    """Filled by the feed's thread, read by the pages.

    Parameters
    ----------
    clock : callable
        Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._members: dict[str, tuple[WorkerStatus, float]] = {}
        self._told: Recent[str, Newest] = Recent(10 * MOST_MEMBERS)
        """What each member said last, those that are not shown any more included."""
        self._known: Recent[tuple[str, int, int, int], bool] = Recent(MOST_KNOWN)
        """Refused records that were counted."""
        self._letters: deque[Letter] = deque(maxlen=MOST_LETTERS)
        self._refused: Counter[str] = Counter()
        self._worker_at_s: float | None = None
        self._since_s = clock()
        self._answered_s: float | None = None
        self._hearing_s: float | None = None
        """End of the reader's last gap."""

    def note_answer(self) -> None:
        """Take in that the broker has just answered the reader, with records or without."""
        now_s = self._clock()
        with self._lock:
            if self._answered_s is not None and now_s - self._answered_s > DEAF_S:
                self._hearing_s = now_s
            self._answered_s = now_s

    def _catching_up(self, now_s: float) -> bool:
        if self._answered_s is None:
            return False
        # What waits is read at once, but a worker whose broker stood still needs time to speak again.
        deaf = now_s - self._answered_s > DEAF_S
        return deaf or (self._hearing_s is not None and now_s - self._hearing_s < SILENT_S)

    def add_status(self, status: WorkerStatus, age_s: float) -> None:
        """Take in what a process said ``age_s`` ago, unless it or something later came before."""
        now_s = self._clock()
        with self._lock:
            name = status.member[:LONGEST]
            told = self._told.get(name) or Newest()
            self._told.put(name, told)
            # Counters rise even where the machine's clock was set back; those of a late copy are older.
            if not told.takes((sum(status.counts.values()), 0), status.emitted_ns):
                return
            self._members[status.member] = (status, now_s - age_s)
            if status.role == INFER and status.state != STOPPED:
                self._worker_at_s = max(self._worker_at_s or now_s - age_s, now_s - age_s)
            self._forget(now_s)

    def _forget(self, now_s: float) -> None:
        for member, (status, at_s) in list(self._members.items()):
            kept_s = FORGET_STOPPED_S if status.state == STOPPED else FORGET_S
            if now_s - at_s > kept_s:
                del self._members[member]
        while len(self._members) > MOST_MEMBERS:
            del self._members[min(self._members, key=lambda member: self._members[member][1])]

    def add_dead_letter(self, letter: Refused, timestamp_ms: int) -> None:
        """Take in a dead letter that the broker got at a time (ms); each refused record counts once."""
        record = (letter.topic[:LONGEST], letter.partition, letter.offset, letter.timestamp_ms)
        new = Letter(
            timestamp_ms,
            letter.reason[:LONGEST],
            letter.detail[:LONGEST],
            letter.topic[:LONGEST],
            letter.partition,
            letter.offset,
            _text(letter.key_base64),
        )
        with self._lock:
            if self._known.get(record):
                return
            self._known.put(record, True)
            self._letters.append(new)
            known = new.reason in self._refused or len(self._refused) < MOST_MEMBERS
            self._refused[new.reason if known else "other"] += 1

    def without_worker_s(self) -> float | None:
        """For how long no worker has said anything; ``None`` while one does, or it is too early to tell."""
        now_s = self._clock()
        with self._lock:
            if self._catching_up(now_s):
                return None
            spoken_s = [
                at_s
                for status, at_s in self._members.values()
                if status.role == INFER and status.state != STOPPED
            ]
            since_s = max(spoken_s, default=max(self._since_s, self._worker_at_s or self._since_s))
        return now_s - since_s if now_s - since_s > SILENT_S else None

    def snapshot(self) -> SystemSnapshot:
        """What is known now."""
        now_s = self._clock()
        with self._lock:
            self._forget(now_s)
            members = [Member(status, max(0.0, now_s - at_s)) for status, at_s in self._members.values()]
            letters, refused = tuple(self._letters), dict(self._refused)
            worker_at_s, catching_up = self._worker_at_s, self._catching_up(now_s)
        return SystemSnapshot(
            tuple(sorted(members, key=lambda one: (one.status.role, one.status.member))),
            tuple(sorted(letters, key=lambda one: -one.received_ms)),
            refused,
            None if worker_at_s is None else max(0.0, now_s - worker_at_s),
            now_s - self._since_s,
            catching_up,
        )


def _text(key_base64: str | None) -> str:
    """A record's key as text, whatever it is."""
    if key_base64 is None:
        return ""
    try:
        return base64.b64decode(key_base64, validate=True).decode(errors="replace")[:LONGEST]
    except (binascii.Error, ValueError):
        return "?"
