"""What the EEG page receives: samples as they come, montages as weights, spectra, trends, marks.

A feed is laid out as in :mod:`dashboard.payload`: length of the header, header (:class:`EegFeed`), then int16
samples, channel after channel, newest and past; then the columns of spectra as bytes, trends, and minutes
of the store. Samples are counted from the begin of a stream's ``epoch``. A feed repeats what the one before
it held, so one that the browser skips leaves no gap; what it lacks all the same (it begins anew, it was
hidden) it asks for in pieces.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec
import numpy as np

from dashboard.eeg_headers import Ask, EegFeed, Looked, Samples, Spectrum, Stream, Trends
from dashboard.eeg_history import EegPast, Episode, Minutes
from dashboard.eeg_layout import MontageRows, montages_of
from dashboard.eeg_looked import looked
from dashboard.eeg_marks import Said
from dashboard.eeg_seconds import MOST_CHARACTERS, NAMES, Seconds
from dashboard.eeg_spectra import Columns
from dashboard.snapshots import LeadOff, StreamSnapshot, TraceWindow, WardSnapshot
from ingest.types import MISSING_INT16, NS_PER_S, FloatArray, SignalKind

FIRST_S: Final = 4.0
"""Sent at first; the browser asks for what fills its page."""
PAST_S: Final = 60.0
"""Sent at once of what the browser asks for: 650 kB of 21 channels."""
MOST_HELD_S: Final = 86_400.0
"""More than any trace holds: all of it."""
WHOLE_FEEDS: Final = 2
"""Feeds that bring everything but the past samples: the browser may skip one."""
LEAST_STEP_UV: Final = 0.02
FULL_SCALE: Final = 32_000


class EegSource(Protocol):
    """What is used of :class:`dashboard.ward.Ward`."""

    def snapshot(self) -> WardSnapshot:
        """Return the ward as it is now."""
        ...

    def window(
        self, bed: str, kind: SignalKind, epoch: int, first_index: int, newest_s: float
    ) -> TraceWindow | None:
        """Copy the samples of a trace from an index of an epoch on."""
        ...

    def lead_offs(self, bed: str, kind: SignalKind) -> tuple[LeadOff, ...]:
        """Return when which electrode was off."""
        ...

    def eeg_spectra(self, bed: str, epoch: int, column: int) -> Columns | None:
        """Copy columns of spectra from a count of an epoch on."""
        ...

    def eeg_seconds(self, bed: str, epoch: int, count: int) -> Seconds | None:
        """Copy trends from a count of an epoch on."""
        ...

    def eeg_marks(self, bed: str, epoch: int, count: int) -> Said | None:
        """Return what a network said after a count of an epoch."""
        ...


@dataclass(slots=True)
class Told:
    """Up to which count of an epoch the last feeds told; the browser may have skipped the newest of them."""

    epoch: int = 0
    counts: deque[int] = field(default_factory=lambda: deque([0, 0], maxlen=2))

    def step(self, epoch: int, count: int) -> None:
        """Note that a feed told up to a count."""
        if epoch != self.epoch:
            self.epoch = epoch
            self.counts.extend([0, 0])
        self.counts.append(count)

    def forget(self) -> None:
        """Let the next feed tell everything."""
        self.epoch = 0


@dataclass(slots=True)
class EegSession:
    """What one page view was already sent."""

    view: str
    bed: str
    seq: int = 0
    epoch: int = 0
    sent: deque[int] = field(default_factory=lambda: deque(maxlen=3))
    asked: Ask | None = None
    why: Ask | None = None
    off: frozenset[str] = frozenset()
    layouts_left: int = 0
    wholes_left: int = WHOLE_FEEDS
    spectra: Told = field(default_factory=Told)
    trends: Told = field(default_factory=Told)
    marks: Told = field(default_factory=Told)
    past: EegPast | None = None

    def answer(self, asked: Ask) -> None:
        """Take in what the browser asked for."""
        match asked.do:
            case "past":
                self.asked = asked
            case "whole":
                self.wholes_left = WHOLE_FEEDS
            case "explain":
                self.why = asked
            case "forget":
                self.why = None


def build_eeg_feed(source: EegSource, session: EegSession) -> bytes:
    """Return the next feed of this view and move its cursors on."""
    session.seq += 1
    whole = session.wholes_left > 0
    if whole:
        session.wholes_left -= 1
        session.layouts_left = 1
        for told in (session.spectra, session.trends, session.marks):
            told.forget()
        if session.past is not None:
            session.past.forget()
    bodies: list[bytes] = []
    window = source.window(
        session.bed, SignalKind.EEG, session.epoch, session.sent[0] if session.sent else 0, FIRST_S
    )
    stream = _stream(source, session, window, bodies) if window is not None else None
    marks = _marks(source, session)
    explained = _explained(source, session, marks)
    feed = EegFeed(
        session.view,
        session.seq,
        whole,
        stream,
        _layout(session, window.stream) if window is not None else None,
        _spectrum(source, session, bodies),
        _trends(source, session, bodies),
        marks,
        *explained,
        *_past_day(source, session, bodies),
    )
    text = msgspec.json.encode(feed)
    text += b" " * (len(text) % 2)
    return struct.pack("<I", len(text)) + text + b"".join(bodies)


def _layout(session: EegSession, shown: StreamSnapshot) -> list[MontageRows] | None:
    """Return the montages where the browser may not have them: the electrodes that are off count, too."""
    flags = shown.lead_off or ()
    off = frozenset(name for name, is_off in zip(shown.channels, flags, strict=False) if is_off)
    if off != session.off:
        session.off, session.layouts_left = off, WHOLE_FEEDS
    if not session.layouts_left:
        return None
    session.layouts_left -= 1
    return montages_of(shown.channels, off)


def _stream(source: EegSource, session: EegSession, window: TraceWindow, bodies: list[bytes]) -> Stream:
    shown = window.stream
    if shown.epoch != session.epoch:
        session.epoch = shown.epoch
        session.sent.clear()
        session.sent.append(window.first_index)
        session.layouts_left = WHOLE_FEEDS
        session.asked = None
    session.sent.append(shown.head_index)
    count = len(window.samples)
    if count > PAST_S * shown.fs_hz:
        # The page was not open for long: it asks for what it wants of that, in pieces.
        count = round(FIRST_S * shown.fs_hz)
    newest = _samples(shown.head_index - count, window.samples[len(window.samples) - count :], bodies)
    held_s = shown.head_ns / NS_PER_S - (shown.head_index - shown.first_index) / shown.fs_hz
    return Stream(
        epoch=shown.epoch,
        fs=shown.fs_hz,
        source_hz=shown.source_hz,
        device=shown.device,
        channels=[name[:MOST_CHARACTERS] for name in shown.channels],
        head_s=shown.head_ns / NS_PER_S,
        age=round(shown.age_s, 2),
        held_from=shown.first_index,
        off=[
            (span.channel, span.start_ns / NS_PER_S, span.end_ns / NS_PER_S)
            for span in source.lead_offs(session.bed, SignalKind.EEG)
            if span.end_ns / NS_PER_S > held_s
        ],
        newest=newest,
        past=_past(source, session, shown.fs_hz, bodies),
    )


def _past(source: EegSource, session: EegSession, fs_hz: float, bodies: list[bytes]) -> Samples | None:
    """Return what was asked for of the past, once; a browser that did not get it asks again."""
    asked, session.asked = session.asked, None
    if asked is None or asked.epoch != session.epoch:
        return None
    wanted = max(0, asked.until - round(PAST_S * fs_hz))
    window = source.window(session.bed, SignalKind.EEG, asked.epoch, wanted, 0.0)
    if window is None or window.stream.epoch != asked.epoch or window.first_index >= asked.until:
        return None
    return _samples(window.first_index, window.samples[: asked.until - window.first_index], bodies)


def _samples(first: int, samples: FloatArray, bodies: list[bytes]) -> Samples:
    """Quantise each channel about its middle: electrodes' offsets must not coarsen the EEG on them."""
    missing = np.isnan(samples)
    if len(samples):
        lowest = np.where(missing, np.inf, samples).min(axis=0)
        highest = np.where(missing, -np.inf, samples).max(axis=0)
    else:
        lowest = highest = np.zeros(samples.shape[1])
    held = lowest <= highest
    offset = np.where(held, (lowest + highest) / 2, 0.0)
    reach = np.where(held, (highest - lowest) / 2, 0.0)
    scale = np.maximum(reach / FULL_SCALE, LEAST_STEP_UV)
    digital = np.rint((np.where(missing, offset, samples) - offset) / scale)
    bodies.append(np.where(missing, MISSING_INT16, digital).T.astype("<i2").tobytes())
    return Samples(first, len(samples), scale.tolist(), offset.tolist())


def _spectrum(source: EegSource, session: EegSession, bodies: list[bytes]) -> Spectrum | None:
    told = session.spectra
    found = source.eeg_spectra(session.bed, told.epoch, told.counts[0])
    if found is None:
        return None
    count = len(found.levels)
    told.step(found.epoch, found.first + count)
    bodies.append(found.levels.tobytes())
    return Spectrum(found.epoch, found.first, count)


def _trends(source: EegSource, session: EegSession, bodies: list[bytes]) -> Trends | None:
    told = session.trends
    found = source.eeg_seconds(session.bed, told.epoch, told.counts[0])
    if found is None:
        return None
    count = len(found.times_s)
    told.step(found.epoch, found.first + count)
    bodies += [found.times_s.astype("<f8").tobytes(), found.values.astype("<f4").tobytes()]
    return Trends(found.epoch, found.first, count, NAMES, found.signs)


def _past_day(
    source: EegSource, session: EegSession, bodies: list[bytes]
) -> tuple[Minutes | None, list[Episode] | None]:
    if session.past is None:
        return None, None
    snapshot = source.snapshot()
    session.past.look(snapshot)
    return session.past.minutes(bodies), session.past.episodes(snapshot)


def _marks(source: EegSource, session: EegSession) -> Said | None:
    told = session.marks
    found = source.eeg_marks(session.bed, told.epoch, told.counts[0])
    if found is not None:
        told.step(found.epoch, found.count)
    return found


def _explained(source: EegSource, session: EegSession, said: Said | None) -> tuple[Looked | None, str]:
    """Return what spoke for a seizure where that was asked, of all that is held."""
    if session.why is None or said is None:
        return None, ""
    return looked(
        session.view,
        session.why,
        said.model,
        lambda: source.window(session.bed, SignalKind.EEG, 0, 0, MOST_HELD_S),
    )
