"""What the sound pane receives: the newest samples of a bed's chest sounds, and what models mark in them.

A feed is laid out as in :mod:`dashboard.payload`: length of the header, header (:class:`SoundFeed`), then the
samples, stream after stream. Samples are counted from the begin of a stream's ``epoch``. A feed
repeats what the one before it held, so one that the browser skips leaves no gap.
"""

from __future__ import annotations

import itertools
import math
import struct
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec
import numpy as np

from dashboard.heard_sounds import Heard
from dashboard.history import Int16Array
from dashboard.snapshots import BedSnapshot, StreamSnapshot, WardSnapshot
from dashboard.sound_marks import Marks, MarksSession, looked
from ingest.types import MISSING_INT16, NS_PER_S, SignalKind

HISTORY_S: Final = 60.0
"""Held in the browser for play-back; the first feed of a view brings it."""
RECENT_S: Final = 4.0
"""Asked for with every feed; more only after a stall."""
SLACK_S: Final = 0.06
"""By so much a device's clock may jitter between chunks that join (see :mod:`dashboard.traces`)."""
TAIL: Final = 64
"""Samples by which a newer piece is recognised as the continuation."""
MOST_HZ: Final = 12_000.0
"""Faster sounds are thinned: 12 kHz hold all that the axis shows, and twice 24 kB/s stay below 60 kB/s."""
TAPS_A_SIDE: Final = 8

SOUNDS: Final = {
    SignalKind.LUNG_SOUND: ("Lung sound", 2_000.0),
    SignalKind.HEART_SOUND: ("Heart sound", 500.0),
}
"""Title and top of the frequency axis (Hz) of what is shown here."""

_epochs = itertools.count(1)


class SoundSource(Protocol):
    """What is used of :class:`dashboard.ward.Ward`."""

    def snapshot(self) -> WardSnapshot:
        """Return the ward as it is now."""
        ...

    def audio(self, bed: str, kind: SignalKind, newest_s: float) -> tuple[float, Int16Array, int] | None:
        """Return rate (Hz), the newest samples ``(n_samples,)`` and the device time after them (ns)."""
        ...

    def heard(self, bed: str, kind: SignalKind, epoch: int, count: int) -> Heard:
        """Return what networks said of a sound after a count of an epoch."""
        ...


class SoundStream(msgspec.Struct, frozen=True, rename="camel"):
    """One stream: samples ``[first, first + count)``; ``end_s`` is the device time after the last (s)."""

    kind: str
    title: str
    top_hz: float
    fs: float
    epoch: int
    first: int
    count: int
    end_s: float
    age: float
    marks: Marks


class SoundFeed(msgspec.Struct, frozen=True, rename="camel"):
    """Header of a feed."""

    view: str
    seq: int
    streams: list[SoundStream]


@dataclass(slots=True)
class Cursor:
    """Counts the samples of one stream, of which only the newest seconds are ever at hand.

    ``before`` and ``last`` are the counts up to which the feed before the last one, and the last one, went.
    """

    fs_hz: float
    end_ns: int
    head: int
    tail: Int16Array
    epoch: int = field(default_factory=lambda: next(_epochs))
    before: int = 0
    last: int = 0

    @property
    def factor(self) -> int:
        """Samples of the device for one that is sent."""
        return max(1, math.ceil(self.fs_hz / MOST_HZ))

    @property
    def reach(self) -> int:
        """Samples of the device that the filter wants on each side."""
        return TAPS_A_SIDE * self.factor if self.factor > 1 else 0

    def join(self, fs_hz: float, samples: Int16Array, end_ns: int) -> bool:
        """Count newer samples; ``False`` where they do not continue what was counted.

        Device time says where they join to within its jitter, the samples themselves say exactly where.
        """
        if fs_hz != self.fs_hz:
            return False
        expected = len(samples) - round((end_ns - self.end_ns) / NS_PER_S * fs_hz)
        slack = math.ceil(SLACK_S * fs_hz)
        first, last = max(len(self.tail), expected - slack), min(len(samples), expected + slack)
        for place in sorted(range(first, last + 1), key=lambda place: abs(place - expected)):
            if np.array_equal(samples[place - len(self.tail) : place], self.tail):
                self.head += len(samples) - place
                self.end_ns = end_ns
                self.tail = samples[len(samples) - len(self.tail) :].copy()
                return True
        return False

    def reaches_back(self, samples: Int16Array) -> bool:
        """Whether the newest samples hold all that the browser may lack."""
        return self.head - len(samples) + self.reach <= self.before * self.factor

    def thinned(self, samples: Int16Array, first: int) -> tuple[int, Int16Array]:
        """Return what is sent of the newest samples, from count ``first`` on or where they begin."""
        factor, reach = self.factor, self.reach
        begin = self.head - len(samples)
        first = max(first, math.ceil((begin + reach) / factor))
        count = (self.head - 1 - reach) // factor - first + 1
        if count <= 0:
            return first, samples[:0]
        if factor == 1:
            return first, samples[first - begin :]
        from scipy.signal import firwin

        taps = firwin(2 * reach + 1, 0.9 / factor)
        piece = samples[first * factor - reach - begin : (first + count - 1) * factor + reach + 1 - begin]
        missing = piece == MISSING_INT16
        filtered = np.convolve(np.where(missing, 0, piece).astype(np.float64), taps, "valid")[::factor]
        sent = np.clip(np.rint(filtered), -32_767, 32_767).astype(np.int16)
        sent[missing[reach : len(piece) - reach : factor]] = MISSING_INT16
        return first, sent


@dataclass(slots=True)
class SoundSession:
    """What one page view was already sent."""

    view: str
    bed: str
    seq: int = 0
    cursors: dict[SignalKind, Cursor] = field(default_factory=dict)
    marks: dict[SignalKind, MarksSession] = field(default_factory=lambda: {k: MarksSession() for k in SOUNDS})

    def resend(self) -> None:
        """Let the next feed bring everything that is held: the browser may have begun anew."""
        for cursor in self.cursors.values():
            cursor.before = cursor.last = 0
        for marks in self.marks.values():
            marks.resend()


def build_sound_feed(source: SoundSource, session: SoundSession) -> bytes:
    """Return the next feed of this view and move its cursors on."""
    session.seq += 1
    shown = source.snapshot().bed(session.bed)
    streams = {stream.kind: stream for stream in shown.streams} if shown else {}
    headers: list[SoundStream] = []
    bodies: list[bytes] = []
    for kind in SOUNDS:
        piece = _next_piece(source, session, kind) if kind in streams else None
        if piece is not None:
            cursor, first, samples = piece
            marks = _marks(source, session, shown, kind)
            headers.append(_stream(marks, streams[kind], cursor, first, len(samples)))
            bodies.append(samples.astype("<i2").tobytes())
    text = msgspec.json.encode(SoundFeed(session.view, session.seq, headers))
    text += b" " * (len(text) % 2)
    return struct.pack("<I", len(text)) + text + b"".join(bodies)


def _next_piece(
    source: SoundSource, session: SoundSession, kind: SignalKind
) -> tuple[Cursor, int, Int16Array] | None:
    cursor = session.cursors.get(kind)
    for newest_s in (RECENT_S, HISTORY_S) if cursor else (HISTORY_S,):
        held = source.audio(session.bed, kind, newest_s)
        if held is None or len(held[1]) < TAIL:
            return None
        fs_hz, samples, end_ns = held
        joined = cursor is not None and cursor.join(fs_hz, samples, end_ns)
        if joined and cursor is not None and cursor.reaches_back(samples):
            break
    if cursor is None or not joined:
        cursor = session.cursors[kind] = Cursor(fs_hz, end_ns, len(samples), samples[-TAIL:].copy())
    first, sent = cursor.thinned(samples, cursor.before)
    cursor.before, cursor.last = cursor.last, first + len(sent)
    return cursor, first, sent


def _marks(source: SoundSource, session: SoundSession, shown: BedSnapshot | None, kind: SignalKind) -> Marks:
    held = session.marks[kind]
    heard = source.heard(session.bed, kind, held.epoch, held.before)
    pieces = held.step(heard)
    found, said = looked(session.view, kind, held, heard, lambda: source.audio(session.bed, kind, HISTORY_S))
    rate = shown.sound_rate(kind) if shown is not None else None
    return Marks(heard.epoch, heard.model, pieces, rate, found, said)


def _stream(marks: Marks, shown: StreamSnapshot, cursor: Cursor, first: int, count: int) -> SoundStream:
    title, top_hz = SOUNDS[shown.kind]
    others = f" (first of {len(shown.channels)} channels)" if len(shown.channels) > 1 else ""
    unsent_s = (cursor.head - (first + count) * cursor.factor) / cursor.fs_hz
    return SoundStream(
        kind=shown.kind,
        title=f"{title}: {shown.channels[0]}{others}",
        top_hz=top_hz,
        fs=cursor.fs_hz / cursor.factor,
        epoch=cursor.epoch,
        first=first,
        count=count,
        end_s=cursor.end_ns / NS_PER_S - unsent_s,
        age=round(shown.age_s, 2),
        marks=marks,
    )
