"""What the page of an EEG shows of the last day: minutes of the recorder's store, and alarms as spans."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final

import msgspec
import numpy as np

from dashboard.alarm_known import newer
from dashboard.background import Prepared
from dashboard.eeg_seconds import NAMES
from dashboard.shared import Missing
from dashboard.snapshots import WardSnapshot
from dashboard.summary import message_text
from inference.alarm_spec import ANY
from inference.catalog import load_catalogue
from inference.errors import StoreError
from inference.store import Store
from inference.store_trends import EegPoint
from inference.types import Alarm, Priority
from ingest.types import NS_PER_S, FloatArray, SignalKind, WideFloatArray

DAY_S: Final = 86_400
MINUTE_S: Final = 60.0
RENEW_S: Final = 60
AGAIN_S: Final = 10
"""So soon a store that did not answer is asked again."""
UNSETTLED_S: Final = 120.0
"""The newest minutes are told again: they go on, or their last seconds were not stored yet."""
MOST_EPISODES: Final = 256
MOST_CHARACTERS: Final = 80
MOST_IN_MARGIN: Final = 18
TIMES: Final = 2
"""Feeds that tell what is new: the browser may skip one."""

_BANDS: Final = ("delta_uv2", "theta_uv2", "alpha_uv2", "beta_uv2")
MINUTE_NAMES: Final = ("n", *NAMES, *(f"{name}_{side}" for name in _BANDS for side in ("left", "right")))
"""Columns of :class:`Day`, fields of :class:`inference.store_trends.EegPoint`."""

ReadStore = Callable[[], Store | Missing]


class Episode(msgspec.Struct, frozen=True, array_like=True):
    """One alarm as a span of device time (s); ``end_s`` is ``None`` while it stands."""

    start_s: float
    end_s: float | None
    kind: str
    priority: Priority
    text: str


class Minutes(msgspec.Struct, frozen=True, rename="camel"):
    """Minutes that follow in the feed: float64 begins (s), then float32 values, minute after minute.

    ``after_s`` is the newest minute that was told before; ``None`` where these replace all that was told.
    ``problem`` says why older ones are not to be had.
    """

    after_s: float | None
    count: int
    names: tuple[str, ...]
    problem: str


@dataclass(frozen=True, slots=True)
class Day:
    """Minutes, shapes (n,) and (n, :data:`MINUTE_NAMES`), NaN: none; and alarms, as the store has them."""

    times_s: WideFloatArray = field(default_factory=lambda: np.empty(0))
    values: FloatArray = field(default_factory=lambda: np.empty((0, len(MINUTE_NAMES)), np.float32))
    alarms: tuple[Alarm, ...] = ()
    problem: str = ""


_days: Final = Prepared[Day](64)


class EegPast:
    """The stored day of one bed as one page is told it.

    Parameters
    ----------
    bed : str
        Its label.
    read_store : callable
        Gives what the recorder wrote, or why it is not to be had.
    clock : callable
        Seconds since 1970.
    """

    def __init__(self, bed: str, read_store: ReadStore, clock: Callable[[], float] = time.time) -> None:
        self._bed, self._read_store, self._clock = bed, read_store, clock
        self._admitted_ns = 0
        self._asked: tuple[ReadStore, str, int, int] | None = None
        self._store: Store | Missing = Missing("")
        self._day = self._told_day = Day()
        self._told_s: float | None = None
        self._from_s: float | None = None
        self._left = TIMES
        self._episodes: list[Episode] = []
        self._episodes_left = 0

    def forget(self) -> None:
        """Let the next telling hold everything."""
        self._told_s = self._from_s = None
        self._left = self._episodes_left = TIMES

    def look(self, snapshot: WardSnapshot) -> None:
        """Take in what was read; what is due is read in a thread, nothing is waited for."""
        shown = snapshot.bed(self._bed)
        admitted_ns = (shown.status.admitted_ns if shown and shown.status else None) or 0
        if admitted_ns != self._admitted_ns:
            # A new patient inherits nothing: the store keeps the former one's under the same bed.
            self._admitted_ns, self._day = admitted_ns, Day()
            self.forget()
        slot = int(self._clock()) // (AGAIN_S if self._day.problem else RENEW_S)
        asked = (self._read_store, self._bed, admitted_ns, slot)
        if asked != self._asked:
            self._asked, self._store = asked, self._read_store()
        store = self._store
        if isinstance(store, Missing):
            self._note(replace(self._day, problem=store.why))
            return
        since_ns = max(round((self._clock() - DAY_S) * NS_PER_S), admitted_ns)
        try:
            found = _days.get(asked, lambda: read_day(store, self._bed, since_ns), 0.0)
        except StoreError as error:
            found = replace(self._day, problem=str(error))
        if found is not None:
            self._note(found)

    def _note(self, day: Day) -> None:
        if day.problem and day.problem == self._day.problem:
            return
        self._day = day

    @property
    def is_known(self) -> bool:
        """Whether the store has anything of the last day."""
        return len(self._day.times_s) > 0

    def minutes(self, bodies: list[bytes]) -> Minutes | None:
        """Return the minutes that the page does not have yet, their numbers into ``bodies``."""
        day = self._day
        if day is not self._told_day:
            self._told_day, self._left, self._from_s = day, TIMES, self._told_s
        if not self._left:
            return None
        self._left -= 1
        since_s = -np.inf if self._from_s is None else self._from_s - UNSETTLED_S
        first = int(np.searchsorted(day.times_s, since_s))
        bodies += [day.times_s[first:].astype("<f8").tobytes(), day.values[first:].astype("<f4").tobytes()]
        if len(day.times_s):
            self._told_s = float(day.times_s[-1])
        return Minutes(self._from_s, len(day.times_s) - first, MINUTE_NAMES, day.problem)

    def episodes(self, snapshot: WardSnapshot) -> list[Episode] | None:
        """Return the alarms of the last day as spans, where they changed."""
        episodes = episodes_of(self._day.alarms, snapshot, self._bed, self._admitted_ns)
        if episodes != self._episodes:
            self._episodes, self._episodes_left = episodes, TIMES
        if not self._episodes_left:
            return None
        self._episodes_left -= 1
        return episodes


def read_day(store: Store, bed: str, since_ns: int) -> Day:
    """Read what the store has of a bed's EEG since a device time.

    Raises
    ------
    StoreError
        It does not answer.
    """
    points = store.eeg_trend(bed, since_ns=since_ns, step_s=60)
    found = store.alarms(bed=bed, signal=SignalKind.EEG.value, since_ns=since_ns, limit=MOST_EPISODES)
    alarms = tuple(one.alarm for one in found)
    values: FloatArray = np.array([_numbers(point) for point in points], dtype=np.float32)
    times_s = np.array([point.time_ns / NS_PER_S for point in points], dtype=np.float64)
    return Day(times_s, values.reshape(-1, len(MINUTE_NAMES)), alarms)


def _numbers(point: EegPoint) -> list[float]:
    numbers: list[float | None] = [getattr(point, name) for name in MINUTE_NAMES]
    return [np.nan if number is None else number for number in numbers]


def episodes_of(
    stored: tuple[Alarm, ...], snapshot: WardSnapshot, bed: str, admitted_ns: int = 0
) -> list[Episode]:
    """Return the alarms of a bed's EEG as spans in order of their begin, the newest ones of very many.

    One that the store has as standing and the live feed does not know (a worker that died never ended it)
    ends where it was raised, and says so: nobody knows how long it lasted.
    """
    shown = snapshot.bed(bed)
    standing = {alarm.id for alarm in shown.alarms} if shown else set()
    known: dict[str, Alarm] = {}
    for alarm in (*stored, *snapshot.alarms, *(shown.alarms if shown else ())):
        if alarm.bed == bed and alarm.signal == SignalKind.EEG and alarm.onset_ns >= admitted_ns:
            known[alarm.id] = newer(alarm, known.get(alarm.id))
    episodes = [_episode(alarm, alarm.id in standing) for alarm in known.values()]
    return sorted(episodes, key=lambda one: (one.start_s, one.kind))[-MOST_EPISODES:]


def _episode(alarm: Alarm, stands: bool) -> Episode:
    text = message_text(alarm)[:MOST_CHARACTERS]
    end_s = None if alarm.ended_ns is None else alarm.ended_ns / NS_PER_S
    if end_s is None and not stands:
        end_s, text = max(alarm.raised_ns, alarm.onset_ns) / NS_PER_S, f"{text} (end unknown)"
    return Episode(alarm.onset_ns / NS_PER_S, end_s, _kind_words(alarm), alarm.priority, text)


def _kind_words(alarm: Alarm) -> str:
    """Name a kind in the room beside a lane; one that the catalogue does not know came over the wire."""
    title = _titles().get(alarm.kind, "")
    return title if 0 < len(title) <= MOST_IN_MARGIN else alarm.kind.replace("_", " ")[:MOST_IN_MARGIN]


@cache
def _titles() -> dict[str, str]:
    specs = load_catalogue().alarms
    return {spec.kind: spec.title for spec in specs if spec.signal in (SignalKind.EEG, ANY)}
