"""What travels to the browser every half second: a JSON header and the new samples as int16.

::

    uint32   length of the header in bytes (little-endian, as is everything)
    header   UTF-8 JSON, padded with spaces to an even length
    int16    samples, channel after channel of each trace; -32768 is missing; physical = digital * scale

A busy browser skips feeds (it draws the last of those that arrive together), so each feed repeats at least
:data:`REPEATED_S` and all that the :data:`SKIPPED_FEEDS` before it brought; the component drops what it has
by sample index.
"""

from __future__ import annotations

import struct
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec
import numpy as np

from dashboard.headers import (
    AlarmHeader,
    BedHeader,
    FeedHeader,
    SoundHeader,
    TraceHeader,
    UrgentHeader,
)
from dashboard.snapshots import BedSnapshot, StreamSnapshot, TraceWindow, VitalSnapshot, WardSnapshot
from dashboard.summary import (
    message_text,
    of_ward,
    soundings,
    state_text,
    summarise,
    unanalysed_words,
    urgency,
    wards_of,
)
from dashboard.ward import Ward
from dashboard.words import count
from ingest.types import MISSING_INT16, FloatArray, SignalKind

LARGE: Final = {SignalKind.HEART_SOUND: "HR sound", SignalKind.LUNG_SOUND: "RR"}
"""The number across the room of a bed that sends nothing but sounds; else it is ``HR``."""
MAX_TRACES: Final = 12
MAX_SOUNDS: Final = 64
MAX_TILES: Final = 32
"""More beds would be too small to read: those with an alarm are shown, then the first by label."""
SENT_ALARMS: Final = 4
NUMBER_STALE_S: Final = 5.0
"""A number older than this is no longer shown."""
REPEATED_S: Final = 4.0
"""So long a browser may be busy and lose no sample; nine times 32 traces of 250 Hz are 150 kB/s."""
SKIPPED_FEEDS: Final = 3
"""So many feeds in a row may be skipped, however late each was sent."""


@dataclass(slots=True)
class Cursor:
    """How far one stream was sent: index after the last sample of each of the newest feeds, oldest first."""

    epoch: int
    sent: deque[int]


@dataclass(slots=True)
class ViewSession:
    """What one page of one browser was sent; lives in the session's state.

    Parameters
    ----------
    view : str
        Token of this page view: a feed meant for another is ignored by the component.
    bed : str or None
        ``None`` for the ward, else the bed whose signals are all sent.
    ward : str or None
        Only the beds of this ward are shown and heard; ``None`` for all.
    head_only : bool
        No bed is sent: a page without traces that alarms all the same.
    history_s : float
        Seconds sent at first, so that the screen is not empty.
    """

    view: str
    bed: str | None = None
    history_s: float = 10.0
    ward: str | None = None
    head_only: bool = False
    seq: int = 0
    cursors: dict[tuple[str, SignalKind], Cursor] = field(default_factory=dict)

    @property
    def mode(self) -> Literal["ward", "bed"]:
        """Which page this is."""
        return "ward" if self.bed is None else "bed"


def quantise(samples: FloatArray) -> tuple[bytes, float]:
    """Return samples ``(n, c)`` as channel-major int16 and the scale that gives them back."""
    with np.errstate(invalid="ignore"):
        peak = float(np.nanmax(np.abs(samples), initial=0.0)) if samples.size else 0.0
    scale = peak / 32_000 if peak > 0 else 1.0
    digital = np.where(np.isnan(samples), MISSING_INT16, np.rint(np.nan_to_num(samples) / scale))
    return digital.T.astype("<i2").tobytes(), scale


def select_streams(bed: BedSnapshot, mode: str) -> list[tuple[StreamSnapshot, list[int]]]:
    """Choose what is drawn: all of a bed on its page; on the ward the first lead and one more trace."""
    if mode == "bed":
        chosen: list[tuple[StreamSnapshot, list[int]]] = []
        room = MAX_TRACES
        for stream in bed.streams:
            channels = list(range(len(stream.channels)))[:room]
            room -= len(channels)
            if channels:
                chosen.append((stream, channels))
        return chosen
    # Streams come in the order of SignalKind: the ECG first.
    if len(bed.streams) == 1:
        return [(bed.streams[0], list(range(len(bed.streams[0].channels)))[:2])]
    return [(stream, [0]) for stream in bed.streams[:2]]


def undrawn_words(bed: BedSnapshot) -> str:
    """Say what a bed's page has no room to draw, and where it is to be seen; nothing where all is drawn."""
    drawn = {stream.kind: len(channels) for stream, channels in select_streams(bed, "bed")}
    left = {stream.kind: len(stream.channels) - drawn.get(stream.kind, 0) for stream in bed.streams}
    eeg = left.pop(SignalKind.EEG, 0)
    others = sum(left.values())
    said = [f"{count(eeg, 'more channel')}: see EEG"] if eeg else []
    return "  ·  ".join([*said, f"{count(others, 'more channel')} not drawn"] if others else said)


def first_tiles(beds: Sequence[BedSnapshot]) -> Sequence[BedSnapshot]:
    """Return the beds there is room for, in order: none with an alarm is left out for one without."""
    if len(beds) <= MAX_TILES:
        return beds
    ranked = sorted(range(len(beds)), key=lambda index: (urgency(beds[index]), index))
    return [beds[index] for index in sorted(ranked[:MAX_TILES])]


def build_feed(ward: Ward, session: ViewSession, snapshot: WardSnapshot) -> bytes:
    """Return the next feed of this view and move its cursors on."""
    session.seq += 1
    bodies: list[bytes] = []
    now_ns = time.time_ns()
    shown = of_ward(snapshot, session.ward)
    # A bed is shown on its page whatever its ward.
    if session.bed is not None:
        beds: Sequence[BedSnapshot] = [bed for bed in snapshot.beds if bed.bed == session.bed]
    else:
        beds = [] if session.head_only else first_tiles(shown.beds)
    names = {bed.bed for bed in beds}
    # What is not sent now begins anew when it is: a gap of minutes would be sent at once.
    session.cursors = {key: cursor for key, cursor in session.cursors.items() if key[0] in names}
    room = session.bed is None and not session.head_only
    summary = summarise(shown, hidden=len(shown.beds) - len(beds) if room else 0)
    urgent = summary.urgent
    header = FeedHeader(
        view=session.view,
        seq=session.seq,
        sent=round(now_ns / 1e9, 3),
        connected=snapshot.connected,
        silent=round(snapshot.silent_s, 2),
        counts=summary.counts,
        urgent=UrgentHeader(urgent.bed, urgent.priority, urgent.text) if urgent else None,
        no_worker=_tenths(summary.no_worker_s),
        no_analysis=_tenths(summary.no_analysis_s),
        sounds=[SoundHeader(one.id, one.level) for one in soundings(shown, now_ns)[:MAX_SOUNDS]],
        wards=wards_of(snapshot),
        beds=[_bed_header(ward, session, bed, bodies) for bed in beds],
    )
    text = msgspec.json.encode(header)
    text += b" " * (-len(text) % 2)
    return struct.pack("<I", len(text)) + text + b"".join(bodies)


def _bed_header(ward: Ward, session: ViewSession, bed: BedSnapshot, bodies: list[bytes]) -> BedHeader:
    traces = []
    for stream, channels in select_streams(bed, session.mode):
        window = _next_window(ward, session, stream)
        if window is not None:
            traces.append(_trace_header(window, channels, bodies))
    vital = bed.vital
    shown = vital if vital and vital.usable and vital.age_s <= NUMBER_STALE_S else None
    return BedHeader(
        bed=bed.bed,
        age=None if bed.age_s is None else round(bed.age_s, 2),
        large=LARGE[bed.sound_only] if bed.sound_only else "HR",
        heart_rate=_rounded(shown.heart_rate_bpm if shown else None),
        number_age=round(vital.age_s, 2) if vital else None,
        ventricular=_rounded(shown.ventricular_per_min if shown else None),
        respiratory_rate=_rounded(bed.sound_rate(SignalKind.LUNG_SOUND)),
        heard=list(bed.heard),
        quality=_quality(vital),
        unanalysed=_tenths(bed.unanalysed_s),
        unanalysed_of=unanalysed_words(bed),
        standby=bed.standby,
        standby_by=bed.status.standby_by if bed.status else None,
        paused=_paused_s(bed),
        paused_by=bed.status.audio_paused_by if bed.status else None,
        off=sum(not setting.enabled for setting in bed.status.settings) if bed.status else 0,
        alarms=[
            AlarmHeader(alarm.priority, alarm.state, message_text(alarm), state_text(alarm))
            for alarm in bed.alarms[:SENT_ALARMS]
        ],
        alarm_count=len(bed.alarms),
        traces=traces,
        undrawn=undrawn_words(bed) if session.mode == "bed" else "",
    )


def _next_window(ward: Ward, session: ViewSession, stream: StreamSnapshot) -> TraceWindow | None:
    key = (stream.bed, stream.kind)
    cursor = session.cursors.get(key)
    epoch, first = 0, 0
    if cursor is not None:
        epoch = cursor.epoch
        first = min(cursor.sent[0], stream.head_index - round(REPEATED_S * stream.fs_hz))
    window = ward.window(stream.bed, stream.kind, epoch, first, session.history_s)
    if window is None:
        return None
    if cursor is None or cursor.epoch != window.stream.epoch:
        cursor = Cursor(window.stream.epoch, deque([window.first_index], maxlen=SKIPPED_FEEDS + 1))
        session.cursors[key] = cursor
    cursor.sent.append(window.stream.head_index)
    return window


def _trace_header(window: TraceWindow, channels: list[int], bodies: list[bytes]) -> TraceHeader:
    stream = window.stream
    body, scale = quantise(window.samples[:, channels])
    bodies.append(body)
    lead_off = stream.lead_off or (False,) * len(stream.channels)
    return TraceHeader(
        kind=stream.kind,
        device=stream.device,
        unit=stream.unit,
        fs=stream.fs_hz,
        epoch=stream.epoch,
        first=window.first_index,
        count=window.samples.shape[0],
        head_s=stream.head_ns / 1e9,
        age=round(stream.age_s, 2),
        channels=[stream.channels[index] for index in channels],
        lead_off=[lead_off[index] for index in channels],
        scale=scale,
    )


def _tenths(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(round(value))


def _quality(vital: VitalSnapshot | None) -> float | None:
    return round(vital.quality, 2) if vital and vital.age_s <= NUMBER_STALE_S else None


def _paused_s(bed: BedSnapshot) -> float | None:
    """Seconds of an audio pause that are left, by this machine's clock."""
    until_ns = bed.status.audio_paused_until_ns if bed.status else None
    left_s = (until_ns - time.time_ns()) / 1e9 if until_ns is not None else 0.0
    return _tenths(left_s) if left_s > 0 else None
