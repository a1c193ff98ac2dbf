"""What a bed sent before its device raised an alarm: raw chunks read back, joined as the worker joins them.

Nothing later than the alarm's device time is looked at, and nothing that came later than :data:`WAIT_S` after
the alarm: whoever judges it again gets the same signals.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from inference.errors import NotJudged
from inference.intake import RawRecord
from inference.verdict_beats import BeatSource
from inference.verdict_views import PULSE, AlarmViews, PulseSignal, views_of
from ingest.admission import admit
from ingest.conditioning import ECG
from ingest.continuity import Continuity, Piece
from ingest.errors import BadChunk
from ingest.resample import Resampler
from ingest.settings import IngestSettings
from ingest.types import NS_PER_S, Chunk, FloatArray, SignalKind
from models.verdict_leads import BASELINE_END_S, HISTORY_S, VIEW_S

WAIT_S: Final = 3.0
"""How long after the alarm chunks up to its device time may come."""

SETTLING_S: Final = 20.0
"""What is conditioned before the history begins, so that the filters' start leaves no trace in it."""

NEEDED_S: Final = HISTORY_S + SETTLING_S
RECENT_S: Final = 10.0
"""A signal that was there so shortly before the alarm is waited for."""

MOST_LACKING_S: Final = 1.0
"""An ECG that ends sooner before the alarm may lack the very thing that set it off."""

LEAST_PULSE_S: Final = 2 * BASELINE_END_S
"""A shorter pulse signal has no baseline."""

PULSE_KINDS: Final = (SignalKind.ABP, SignalKind.PLETH)


class Line:
    """One signal of a bed up to a moment, unbroken since its last restart.

    Parameters
    ----------
    until_ns : int
        Device time at which it ends.
    settings : IngestSettings
        Limits of continuity.
    """

    def __init__(self, until_ns: int, settings: IngestSettings) -> None:
        self.channels: tuple[str, ...] = ()
        self.fs_hz = 1.0
        self._until_ns = until_ns
        self._continuity = Continuity(settings)
        self._parts: deque[FloatArray] = deque()
        self._length = 0
        self._end_ns = 0
        self.closed = False
        """Whether the alarm's moment has been reached."""

    @property
    def missing_ns(self) -> int:
        """Device time between the last sample that has come and the alarm."""
        return max(0, self._until_ns - self._end_ns)

    @property
    def awaited(self) -> bool:
        """Whether the signal was there just now and has not come up to the alarm."""
        return not self.closed and 0 < self.missing_ns < RECENT_S * NS_PER_S

    def push(self, chunk: Chunk, offset: int, received_ms: int) -> None:
        """Take a chunk of this signal.

        Raises
        ------
        BadChunk
            It is late, or another device's.
        """
        for piece in self._continuity.push(chunk, offset, received_ms):
            self._append(piece)

    def finish(self) -> None:
        """Wait no longer for chunks that are missing in between."""
        for piece in self._continuity.expire():
            self._append(piece)

    def _append(self, piece: Piece) -> None:
        chunk = piece.chunk
        start_ns = piece.start_ns - round(piece.missing / chunk.fs_hz * NS_PER_S)
        n_left = _samples_between(start_ns, self._until_ns, chunk.fs_hz)
        if self.closed or n_left <= 0:
            self.closed = True
            return
        if piece.restart:
            self._parts.clear()
            self._length = 0
            self.channels, self.fs_hz = chunk.channels, chunk.fs_hz
        samples = piece.samples
        if chunk.lead_off is not None and any(chunk.lead_off):
            samples = np.where(chunk.lead_off, np.float32(np.nan), samples)
        if piece.missing:
            gap = np.full((piece.missing, len(chunk.channels)), np.nan, dtype=np.float32)
            samples = np.concatenate([gap, samples])
        self.closed = n_left <= len(samples)
        self._end_ns = chunk.end_ns
        self._keep(samples[:n_left])

    def _keep(self, samples: FloatArray) -> None:
        self._parts.append(samples)
        self._length += len(samples)
        while self._length - len(self._parts[0]) >= NEEDED_S * self.fs_hz:
            self._length -= len(self._parts.popleft())

    def samples(self, rate_hz: float) -> FloatArray:
        """Samples up to the alarm, shape (n_samples, n_channels), NaN where missing.

        They begin so that samples at ``rate_hz`` fall alike whichever chunk was the first that was read.
        """
        n_missing = max(0, _samples_between(self._end_ns, self._until_ns, self.fs_hz))
        tail = np.full((n_missing, len(self.channels)), np.nan, dtype=np.float32)
        whole = np.concatenate([*self._parts, tail])[-round(NEEDED_S * self.fs_hz) :]
        return whole[len(whole) % Resampler(self.fs_hz, rate_hz).ratio.denominator :]


def _samples_between(start_ns: int, end_ns: int, fs_hz: float) -> int:
    """Samples from a first one at ``start_ns`` on that lie before ``end_ns``; times are rounded to ns."""
    return math.ceil((end_ns - start_ns) / NS_PER_S * fs_hz - 1e-3)


@dataclass(frozen=True, slots=True)
class BedViews:
    """Views of a bed's alarm and what they are of.

    Attributes
    ----------
    leads, pulses : tuple of str
        Names of the channels, in the order of the views.
    ecg_present : float
        Share of the samples about the alarm (:data:`~models.verdict_leads.VIEW_S`) that the most complete
        lead has.
    """

    views: AlarmViews
    leads: tuple[str, ...]
    pulses: tuple[str, ...]
    ecg_present: float


class BedPast:
    """ECG and pulse signals of one bed up to its alarm.

    Parameters
    ----------
    bed : str
        Whose.
    until_ns : int
        The alarm's device time.
    settings : IngestSettings
        Limits, as the worker's.
    """

    def __init__(self, bed: str, until_ns: int, settings: IngestSettings) -> None:
        self._key = bed.encode()
        self._until_ns = until_ns
        self._settings = settings
        self._lines: dict[SignalKind, Line] = {}

    def take(self, record: RawRecord) -> None:
        """Take a raw record; other beds' are passed over, and so is what the worker dead-letters."""
        if record.key != self._key:
            return
        try:
            chunk = admit(record, self._settings)
            if chunk.kind is SignalKind.ECG or chunk.kind in PULSE_KINDS:
                line = self._lines.setdefault(chunk.kind, Line(self._until_ns, self._settings))
                line.push(chunk, record.offset, record.timestamp)
        except BadChunk:
            # The worker says so in a dead letter.
            return

    @property
    def complete(self) -> bool:
        """Whether the ECG, and each pulse signal that is there, has come up to the alarm."""
        ecg = self._lines.get(SignalKind.ECG)
        return ecg is not None and ecg.closed and not any(line.awaited for line in self._lines.values())

    def views(self, beats: BeatSource) -> BedViews:
        """Condition what has come and look at it.

        Raises
        ------
        NotJudged
            There is too little ECG.
        """
        for line in self._lines.values():
            line.finish()
        ecg = self._ecg()
        samples = ecg.samples(ECG.rate_hz)
        recent = samples[-round(VIEW_S * ecg.fs_hz) :]
        names, signals = self._pulses()
        views = views_of(samples, ecg.fs_hz, beats, signals)
        present = 1.0 - float(np.isnan(recent).mean(axis=0).min())
        return BedViews(views, ecg.channels, names, present)

    def _ecg(self) -> Line:
        ecg = self._lines.get(SignalKind.ECG)
        if ecg is None or not ecg.channels:
            raise NotJudged("no ECG of this bed was found before the alarm")
        if ecg.missing_ns > MOST_LACKING_S * NS_PER_S:
            raise NotJudged(f"the ECG ends {ecg.missing_ns / NS_PER_S:.0f} s before the alarm")
        if ecg.fs_hz < ECG.min_fs_hz:
            raise NotJudged(f"ECG at {ecg.fs_hz:g} Hz, need {ECG.min_fs_hz:g} or more")
        return ecg

    def _pulses(self) -> tuple[tuple[str, ...], list[PulseSignal]]:
        """Channels that are long enough and reach up to the alarm, with their names."""
        names: list[str] = []
        signals: list[PulseSignal] = []
        for kind in PULSE_KINDS:
            line = self._lines.get(kind)
            if line is None or line.fs_hz < PULSE.min_fs_hz or line.missing_ns > RECENT_S * NS_PER_S:
                continue
            samples = line.samples(PULSE.rate_hz)
            if len(samples) >= LEAST_PULSE_S * line.fs_hz:
                names.extend(line.channels)
                signals.extend(PulseSignal(column, line.fs_hz) for column in samples.T)
        return tuple(names), signals
