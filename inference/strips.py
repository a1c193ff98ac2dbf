"""The strip of an alarm: what every signal of its bed showed around it.

Chunks are joined by the same rules as for the monitor (:mod:`ingest.continuity`): what never came stays
missing and nothing is joined over a gap. A new segment begins where the device's clock jumped, or where rate,
channels, scale or device changed.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil
from typing import Final

import fastavro
import msgspec
import numpy as np
import numpy.typing as npt

from ingest import wire
from ingest.admission import Raw, admit
from ingest.continuity import Continuity, Piece
from ingest.errors import BadChunk
from ingest.settings import IngestSettings
from ingest.types import MISSING_INT16, NS_PER_S, UNIT_SCALES, Chunk, SignalKind, WideFloatArray
from ingest.wire_schema import HEAD_SCHEMA

BEFORE_S: Final = 10.0
AFTER_S: Final = 10.0
LONGEST_S: Final = 60.0

Samples = npt.NDArray[np.int16] | npt.NDArray[np.float32]
Numbers = float | list[float] | None


class Scale(msgspec.Struct, frozen=True):
    """How a device writes numbers: physical = (digital - baseline) / gain, in ``unit``.

    ``gain`` and ``baseline`` have one number a channel; without a gain the samples are physical.
    """

    unit: str
    gain: tuple[float, ...]
    baseline: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class StripBeat:
    """A beat: device time of its R peak, AAMI class (N, S, V, F), and the lead in which it was seen."""

    time_ns: int
    label: str
    channel: str


@dataclass(frozen=True, slots=True)
class StripSignal:
    """One unbroken piece of one signal; what is missing in it is marked.

    Parameters
    ----------
    signal : str
        Kind of signal.
    segment : int
        Counts the pieces of this signal in the strip.
    device : str
        Label of the device.
    channels : tuple of str
        Names of the channels.
    fs_hz : float
        Sampling rate.
    start_ns : int
        Device time of the first sample.
    scale : Scale
        Unit, gain and baseline as the device sent them.
    samples : ndarray, shape (n_samples, n_channels)
        As received: int16 with -32768 where missing; float32 with NaN where the device sent physical values.
    """

    signal: str
    segment: int
    device: str
    channels: tuple[str, ...]
    fs_hz: float
    start_ns: int
    scale: Scale
    samples: Samples

    @property
    def digital(self) -> bool:
        """Whether the samples are the device's digital values."""
        return bool(self.scale.gain)

    @property
    def missing(self) -> npt.NDArray[np.bool_]:
        """Where nothing came, shape (n_samples, n_channels)."""
        return self.samples == MISSING_INT16 if self.digital else np.isnan(self.samples)

    def physical(self) -> WideFloatArray:
        """Samples in ``scale.unit``, NaN where missing, shape (n_samples, n_channels)."""
        values = self.samples.astype(np.float64)
        if self.digital:
            values = (values - self.scale.baseline) / self.scale.gain
            values[self.missing] = np.nan
        return values

    @property
    def end_ns(self) -> int:
        """Device time just after the last sample."""
        return self.start_ns + round(len(self.samples) / self.fs_hz * NS_PER_S)


@dataclass(frozen=True, slots=True)
class Strip:
    """What a bed's signals showed around an alarm.

    ``complete`` tells that no signal was given up: each is there from ``start_ns``, or from the first chunk
    that its device ever sent, and reaches ``end_ns``.
    """

    alarm_id: str
    start_ns: int
    end_ns: int
    complete: bool
    signals: tuple[StripSignal, ...]


@dataclass(frozen=True, slots=True)
class Received:
    """A raw record of one bed as it lies in Kafka. It is decoded only when a strip needs it."""

    offset: int
    timestamp_ms: int
    value: bytes
    content_type: str | None
    signature: tuple[tuple[str, bytes | None], ...] = ()
    """Headers of the signature, where there is one."""

    def chunk(self, bed: str, limits: IngestSettings) -> Chunk:
        """Decode.

        Raises
        ------
        BadChunk
            The worker refuses it, too.
        """
        form = () if self.content_type is None else (("content-type", self.content_type.encode()),)
        record = Raw(self.timestamp_ms, bed.encode(), self.value, (*form, *self.signature))
        return admit(record, limits)


def span(onset_ns: int, raised_ns: int) -> tuple[int, int]:
    """Begin and end of an alarm's strip; of a long one the last :data:`LONGEST_S`."""
    end_ns = raised_ns + round(AFTER_S * NS_PER_S)
    start_ns = min(onset_ns, raised_ns) - round(BEFORE_S * NS_PER_S)
    return max(start_ns, end_ns - round(LONGEST_S * NS_PER_S)), end_ns


class _JsonScale(msgspec.Struct):
    unit: str
    gain: Numbers = None
    baseline: Numbers = None


def scale_of(received: Received, chunk: Chunk) -> Scale:
    """Unit, gain and baseline of a record that was decoded before."""
    if received.value[0] == wire.SCHEMA_VERSION << 1:
        head = fastavro.schemaless_reader(io.BytesIO(received.value), HEAD_SCHEMA, None)
        said = msgspec.convert(head, _JsonScale)
    else:
        said = msgspec.json.decode(received.value, type=_JsonScale)
    n_channels = len(chunk.channels)
    gain = _each(said.gain, n_channels)
    if not gain:
        # Physical values were brought to the canonical unit.
        return Scale(next(iter(UNIT_SCALES[chunk.kind])), (), ())
    return Scale(said.unit, gain, _each(said.baseline, n_channels) or (0.0,) * n_channels)


def _each(numbers: Numbers, n_channels: int) -> tuple[float, ...]:
    given = numbers if isinstance(numbers, list) else [] if numbers is None else [numbers]
    return tuple(given * n_channels if len(given) == 1 else given)


@dataclass(slots=True)
class _Segment:
    """Pieces that follow each other without a restart."""

    chunk: Chunk
    scale: Scale
    start_ns: int
    end_ns: int = 0
    parts: list[npt.NDArray[np.float32]] = field(default_factory=list)

    def append(self, piece: Piece) -> None:
        if piece.missing and self.parts:
            self.parts.append(np.full((piece.missing, piece.samples.shape[1]), np.nan, dtype=np.float32))
        self.parts.append(piece.samples)
        self.end_ns = piece.chunk.end_ns

    def cut(self, number: int, start_ns: int, end_ns: int) -> StripSignal | None:
        """Part within the strip; ``None`` without any sample that came."""
        fs_hz, samples = self.chunk.fs_hz, np.concatenate(self.parts)
        first = max(0, ceil((start_ns - self.start_ns) * fs_hz / NS_PER_S))
        last = max(first, ceil((end_ns - self.start_ns) * fs_hz / NS_PER_S))
        samples = samples[first:last]
        if np.isnan(samples).all():
            return None
        return StripSignal(
            signal=self.chunk.kind.value,
            segment=number,
            device=self.chunk.device,
            channels=self.chunk.channels,
            fs_hz=fs_hz,
            start_ns=self.start_ns + round(first / fs_hz * NS_PER_S),
            scale=self.scale,
            samples=_as_received(samples, self.chunk.kind, self.scale),
        )


def _as_received(samples: npt.NDArray[np.float32], kind: SignalKind, scale: Scale) -> Samples:
    """Undo what the decoder did: samples in the canonical unit become digital values again."""
    if not scale.gain:
        return samples
    steps = np.array(scale.gain) / UNIT_SCALES[kind][scale.unit]
    digital = np.rint(samples.astype(np.float64) * steps + scale.baseline)
    return np.where(np.isnan(digital), MISSING_INT16, digital).astype(np.int16)


class Assembly:
    """Joins a bed's records to the signals of one strip.

    Parameters
    ----------
    bed : str
        Whose records these are.
    start_ns, end_ns : int
        The strip.
    limits : IngestSettings
        Limits of chunks and time.
    """

    def __init__(self, bed: str, start_ns: int, end_ns: int, limits: IngestSettings) -> None:
        self._bed = bed
        self._start_ns, self._end_ns = start_ns, end_ns
        self._limits = limits
        self._lines: dict[SignalKind, Continuity] = {}
        self._segments: dict[SignalKind, list[_Segment]] = defaultdict(list)
        self._scales: dict[int, Scale] = {}
        self.n_refused = 0
        self.nothing_older = False
        """Whether it is known that the bed has sent nothing before these records."""

    def add(self, records: Iterable[Received]) -> None:
        """Take records in the order of their offsets."""
        for received in records:
            try:
                chunk = received.chunk(self._bed, self._limits)
                self._scales[received.offset] = scale_of(received, chunk)
                line = self._lines.setdefault(chunk.kind, Continuity(self._limits))
                self._append(chunk.kind, line.push(chunk, received.offset, received.timestamp_ms))
            except BadChunk:
                # The monitor did not see it either.
                self.n_refused += 1

    def _append(self, kind: SignalKind, pieces: Iterable[Piece]) -> None:
        segments = self._segments[kind]
        for piece in pieces:
            scale = self._scales[piece.offset]
            if piece.restart or not segments or segments[-1].scale != scale:
                segments.append(_Segment(piece.chunk, scale, piece.start_ns))
            segments[-1].append(piece)

    @property
    def reaches_end(self) -> bool:
        """Whether every signal that showed anything within the strip is there up to its end."""
        ends = [segments[-1].end_ns for segments in self._segments.values() if segments]
        shown = [end_ns for end_ns in ends if end_ns > self._start_ns]
        # Times of samples are rounded.
        return bool(shown) and all(end_ns >= self._end_ns - NS_PER_S // 1_000 for end_ns in shown)

    @property
    def has_begin(self) -> bool:
        """Whether every signal is there from the strip's begin on, or from its device's first chunk.

        Else what is missing may lie further back: a device sends what it kept through an outage all at once.
        A chunk with which a device began to count is its first one only where nothing older of it is found.
        """
        firsts = [segments[0] for segments in self._segments.values() if segments]
        # Times of samples are rounded.
        latest_ns = self._start_ns + NS_PER_S // 1_000
        return bool(firsts) and all(
            one.start_ns <= latest_ns or (self.nothing_older and one.chunk.seq == 0) for one in firsts
        )

    def finish(self, alarm_id: str) -> Strip:
        """Wait for nothing more and cut."""
        complete = self.reaches_end and self.has_begin
        for kind, line in self._lines.items():
            self._append(kind, line.expire())
        signals = [
            signal
            for segments in self._segments.values()
            for number, segment in enumerate(segments)
            if (signal := segment.cut(number, self._start_ns, self._end_ns)) is not None
        ]
        return Strip(alarm_id, self._start_ns, self._end_ns, complete, tuple(signals))
