"""Keeps the last raw records of every bed and cuts strips out of them.

Records are kept as they came, undecoded: an alarm is rare, a record is not. Time here is the broker's: it
says what is kept and how long a strip waits, whatever a device's clock says.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from inference.strip_buffer import BedBuffer
from inference.strips import AFTER_S, Assembly, Received, Strip, span
from ingest.errors import BadChunk
from ingest.settings import IngestSettings
from ingest.types import NS_PER_S

LOOK_BACK_S: Final = 90.0
"""How long a raw record is kept: the longest strip, and what an alarm may come later than its data."""
GIVE_UP_S: Final = 15.0
"""How long after a strip's end its signals are waited for; also how late chunks may be at its begin."""
FAR_S: Final = 600.0
"""So far back in Kafka what a device sent before an outage is looked for."""
FAR_SHARE: Final = 0.2
"""Of the time, at most, goes into looking so far back: many devices may come back at once."""
_LOOK_BACK_MS: Final = round(LOOK_BACK_S * 1e3)
_FAR_MS: Final = round(FAR_S * 1e3)
_PRUNE_MS: Final = 1_000
_AFTER_MS: Final = round((AFTER_S + GIVE_UP_S) * 1e3)
_UNSEEN_MS: Final = 1_000
"""Where offsets leap and time does, too, records came that were not read here."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An alarm whose strip is not yet written."""

    alarm_id: str
    bed: str
    onset_ns: int
    raised_ns: int
    raw_offset: int


class History(Protocol):
    """Reads raw records of one bed that are no longer kept."""

    def read(
        self, number: int, bed: str, raw_offset: int, before_ms: int, after_ms: int
    ) -> Sequence[Received]:
        """Records from ``before_ms`` before to ``after_ms`` after the record at an offset."""


@dataclass(slots=True)
class _Open:
    """A strip in work: what was put together of it so far, and when it is given up (broker's time).

    ``short`` tells that not all it needs was kept here. ``first_offset`` is where it began to look.
    """

    wanted: Wanted
    assembly: Assembly
    first_offset: int
    next_offset: int
    give_up_ms: int
    short: bool


@dataclass(slots=True)
class _Partition:
    next_offset: int = 0
    first_ms: int = 0
    newest_ms: int = 0
    read_at_s: float = 0.0
    prune_ms: int = 0
    beds: dict[str, BedBuffer] = field(default_factory=dict)
    wanted: dict[str, tuple[Wanted, float]] = field(default_factory=dict)
    open: dict[str, _Open] = field(default_factory=dict)
    forgot: bool = False

    def prune(self, before_ms: int) -> None:
        """Forget what is older, and beds of which nothing is left."""
        for bed, buffer in list(self.beds.items()):
            buffer.prune(before_ms)
            self.forgot = self.forgot or buffer.next_gone > 0
            if not buffer.records:
                del self.beds[bed]

    @property
    def keeps_all(self) -> bool:
        """Whether every record that there ever was on it is kept."""
        pushed_out = any(buffer.next_gone > 0 for buffer in self.beds.values())
        return self.first_ms == 0 and not self.forgot and not pushed_out

    def clock_ms(self, now_s: float, at_end: bool) -> int:
        """The broker's time: that of the newest record, and on from there once all is read."""
        return self.newest_ms + (round((now_s - self.read_at_s) * 1e3) if at_end else 0)


class StripCutter:
    """Cuts the strips of all partitions of one recorder.

    Parameters
    ----------
    limits : IngestSettings
        Limits of chunks and time.
    history : History
        Where to read what is no longer kept.
    """

    def __init__(self, limits: IngestSettings, history: History) -> None:
        self._limits = limits
        self._history = history
        self.n_refused = 0
        self._far_from_s = -math.inf
        self._partitions: dict[int, _Partition] = {}

    def take(self, number: int, bed: str, received: Received, now_s: float) -> None:
        """Keep a raw record."""
        part = self._partitions.get(number)
        if part is None or not self._follows(part, received):
            part = self._begin_anew(number, received, now_s)
        part.next_offset = received.offset + 1
        part.newest_ms = max(part.newest_ms, received.timestamp_ms)
        part.read_at_s = now_s
        buffer = part.beds.get(bed)
        if buffer is None:
            floor_ms = max(part.first_ms, part.newest_ms - _LOOK_BACK_MS)
            buffer = part.beds[bed] = BedBuffer(floor_ms)
        buffer.add(received)

    @staticmethod
    def _follows(part: _Partition, received: Received) -> bool:
        """Whether nothing lies between; an offset alone may be a record that has no content."""
        ahead = received.offset - part.next_offset
        return ahead == 0 or (ahead > 0 and received.timestamp_ms - part.newest_ms < _UNSEEN_MS)

    def _begin_anew(self, number: int, received: Received, now_s: float) -> _Partition:
        """Begin with this record: nothing is known of those before it. The strips wanted stay so."""
        old = self._partitions.get(number)
        # Before the first record of all there is nothing.
        part = self._partitions[number] = _Partition(first_ms=received.offset and received.timestamp_ms)
        if old is not None:
            again = {alarm_id: (item.wanted, now_s) for alarm_id, item in old.open.items()}
            part.wanted = old.wanted | again
        return part

    def want(self, number: int, wanted: Wanted, now_s: float) -> None:
        """Ask for the strip of an alarm; asking again changes nothing."""
        part = self._partitions.setdefault(number, _Partition())
        if wanted.alarm_id not in part.open:
            part.wanted.setdefault(wanted.alarm_id, (wanted, now_s))

    def is_wanted(self, number: int, alarm_id: str) -> bool:
        """Whether the strip of an alarm was asked for and is not yet cut."""
        part = self._partitions.get(number)
        return part is not None and (alarm_id in part.wanted or alarm_id in part.open)

    @property
    def n_wanted(self) -> int:
        """Strips asked for and not yet cut."""
        return sum(len(part.wanted) + len(part.open) for part in self._partitions.values())

    def drop(self, number: int) -> None:
        """Forget a partition that another recorder has now."""
        self._partitions.pop(number, None)

    def safe_offset(self, number: int) -> int | None:
        """Raw offset from which a successor must read to have what is kept here; ``None`` if unknown."""
        part = self._partitions.get(number)
        if part is None or part.next_offset == 0:
            return None
        kept = (buffer.records[0].offset for buffer in part.beds.values())
        return min(kept, default=part.next_offset)

    def cut(self, number: int, now_s: float, at_end: bool, until_s: float) -> list[Strip]:
        """Cut the strips of a partition that are due, then forget what no later one needs.

        Parameters
        ----------
        number : int
            Raw partition.
        now_s : float
            Monotonic clock.
        at_end : bool
            Whether all records of the raw partition were read.
        until_s : float
            When to leave the rest for the next call: a whole ward may fall silent at once.
        """
        part = self._partitions.get(number)
        if part is None:
            return []
        self._open_wanted(part, now_s, at_end)
        clock_ms = part.clock_ms(now_s, at_end)
        done: list[Strip] = []
        for item in list(part.open.values()):
            if time.monotonic() > until_s:
                return done
            if self._is_due(part, item, clock_ms):
                del part.open[item.wanted.alarm_id]
                done.append(self._finish(number, item, part.beds.get(item.wanted.bed)))
        if clock_ms >= part.prune_ms:
            part.prune(clock_ms - _LOOK_BACK_MS)
            part.prune_ms = clock_ms + _PRUNE_MS
        return done

    def _open_wanted(self, part: _Partition, now_s: float, at_end: bool) -> None:
        for wanted, asked_s in list(part.wanted.values()):
            # What raised it is not read yet. Where all was read for long, the topic was made anew.
            waits = wanted.raw_offset >= part.next_offset
            in_vain = at_end and now_s - max(asked_s, part.read_at_s) > GIVE_UP_S
            if not waits or in_vain:
                del part.wanted[wanted.alarm_id]
                part.open[wanted.alarm_id] = self._open(part, wanted)

    def _open(self, part: _Partition, wanted: Wanted) -> _Open:
        buffer = part.beds.get(wanted.bed)
        anchor = None if buffer is None else buffer.newest_at(wanted.raw_offset)
        start_ns, end_ns = self._span(wanted, anchor)
        assembly = Assembly(wanted.bed, start_ns, end_ns, self._limits)
        if buffer is None or anchor is None:
            # Long over: all of it is read from Kafka, at once.
            at = part.next_offset
            return _Open(wanted, assembly, at, at, give_up_ms=0, short=True)
        needed_ms = anchor.timestamp_ms - _before_ms(start_ns, end_ns)
        first = next(item.offset for item in buffer.records if item.timestamp_ms >= needed_ms)
        give_up_ms = anchor.timestamp_ms + _AFTER_MS
        return _Open(wanted, assembly, first, first, give_up_ms, short=needed_ms < buffer.floor_ms)

    def _is_due(self, part: _Partition, item: _Open, clock_ms: int) -> bool:
        """Add what came; say whether it is all that is to be waited for."""
        buffer = part.beds.get(item.wanted.bed)
        if buffer is not None:
            item.short = item.short or buffer.next_gone > item.next_offset
            new = buffer.between(item.next_offset, item.give_up_ms)
            if new:
                item.assembly.add(new)
                item.next_offset = new[-1].offset + 1
        return item.assembly.reaches_end or clock_ms >= item.give_up_ms

    def _finish(self, number: int, item: _Open, buffer: BedBuffer | None) -> Strip:
        """Cut a strip, if need be from older records that are kept, or from what Kafka still has."""
        wanted, assembly = item.wanted, item.assembly
        assembly.nothing_older = self._partitions[number].keeps_all
        if item.short or not assembly.has_begin:
            records: Sequence[Received] = ()
            if buffer is not None and not item.short:
                records = buffer.since(item.first_offset, item.give_up_ms)
            if not records:
                before_ms = _before_ms(*span(wanted.onset_ns, wanted.raised_ns))
                records = self._history.read(number, wanted.bed, wanted.raw_offset, before_ms, _AFTER_MS)
            if records or item.short:
                assembly = self._assemble(wanted, records)
            if records and not assembly.has_begin and time.monotonic() >= self._far_from_s:
                assembly = self._look_far(number, wanted, records) or assembly
        self.n_refused += assembly.n_refused
        return assembly.finish(wanted.alarm_id)

    def _look_far(self, number: int, wanted: Wanted, near: Sequence[Received]) -> Assembly | None:
        """Look for what was sent before a long outage; ``None`` where it does not join what is near."""
        began_s = time.monotonic()
        far = self._history.read(number, wanted.bed, wanted.raw_offset, _FAR_MS, _AFTER_MS)
        ended_s = time.monotonic()
        self._far_from_s = ended_s + (ended_s - began_s) * (1 / FAR_SHARE - 1)
        if not far or far[-1].offset < near[0].offset:
            return None
        older = [one for one in far if one.offset < near[0].offset]
        assembly = self._assemble(wanted, [*older, *near])
        assembly.nothing_older = True
        return assembly

    def _assemble(self, wanted: Wanted, records: Sequence[Received]) -> Assembly:
        anchor = next((one for one in reversed(records) if one.offset <= wanted.raw_offset), None)
        assembly = Assembly(wanted.bed, *self._span(wanted, anchor), self._limits)
        assembly.add(records)
        return assembly

    def _span(self, wanted: Wanted, anchor: Received | None) -> tuple[int, int]:
        """Strip of an alarm.

        An alarm about a silent device says when it was raised by the worker's clock. The device's may be
        hours off, so the end of the data that was there (``anchor``) counts where it is earlier.
        """
        raised_ns = wanted.raised_ns
        if anchor is not None:
            # Whatever this record is, the strip is made of the others.
            with contextlib.suppress(BadChunk):
                raised_ns = min(raised_ns, anchor.chunk(wanted.bed, self._limits).end_ns)
        return span(wanted.onset_ns, raised_ns)


def _before_ms(start_ns: int, end_ns: int) -> int:
    """How long before the record that raised an alarm the first one of its strip came, at most."""
    return round((end_ns - start_ns) / NS_PER_S * 1e3 + (GIVE_UP_S - AFTER_S) * 1e3)
