"""From raw records to pieces of continuous signal, or to dead letters."""

from __future__ import annotations

import base64
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from kafka import TopicPartition

from inference.arrivals import Arrival, StreamKey
from inference.stream_watch import StreamChange, StreamWatch
from inference.types import DeadLetter
from ingest.admission import admit
from ingest.conditioning import ECG, EEG, HEART, LUNG, PULSE, ConditioningSpec
from ingest.continuity import Continuity, Piece
from ingest.errors import MAX_DETAIL, BadChunk
from ingest.kafka import partition_for
from ingest.settings import IngestSettings
from ingest.types import SOUNDS, Chunk, SignalKind

BAND_OF: dict[SignalKind, ConditioningSpec] = {
    SignalKind.ECG: ECG,
    SignalKind.EEG: EEG,
    SignalKind.PLETH: PULSE,
    SignalKind.ABP: PULSE,
    SignalKind.LUNG_SOUND: LUNG,
    SignalKind.HEART_SOUND: HEART,
}
"""Kinds of signal that the worker looks at."""

MOST_FULL_SCALE: Final = 100.0
"""Pascals of a loud chest stay below; a gain that was left out makes thousands of full scale."""
MOST_HEADERS: Final = 32
MOST_HEADER_BYTES: Final = 200
MOST_KEY_BYTES: Final = 1_000
"""So much of a refused record goes into its dead letter, besides the value."""


class RawRecord(Protocol):
    """What is used of a kafka-python ``ConsumerRecord``."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes
    headers: Iterable[tuple[str, bytes | None]]


@dataclass(slots=True)
class Stream:
    """One signal of one bed. Records below ``next_offset`` are done."""

    bed: str
    kind: SignalKind
    continuity: Continuity
    next_offset: int
    received_ms: int = 0
    waiting_since_s: float | None = None

    @property
    def key(self) -> StreamKey:
        """Bed and kind of signal."""
        return self.bed, self.kind.value

    @property
    def safe_offset(self) -> int:
        """Offset from which a successor must read."""
        waiting = self.continuity.first_waiting_offset
        return self.next_offset if waiting is None else waiting


@dataclass(frozen=True, slots=True)
class Taken:
    """What one poll's records gave."""

    pieces: list[tuple[str, Piece]] = field(default_factory=list)
    technical: list[StreamChange] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)


class Partition:
    """The signals of one raw partition, and how far they are done."""

    def __init__(self, number: int, n_partitions: int, settings: IngestSettings, watch: StreamWatch) -> None:
        self.number = number
        self._n_partitions = n_partitions
        self.next_offset = 0
        self.streams: dict[StreamKey, Stream] = {}
        self.begins: dict[str, int] = {}
        """Offset from which on a bed's records are its present patient's."""
        self._settings = settings
        self._watch = watch

    def take_time_counts(self) -> Counter[str]:
        """What was done about time (``gap``, ``duplicate``, …) since the last call, over all signals."""
        total: Counter[str] = Counter()
        for stream in self.streams.values():
            total.update(stream.continuity.counts)
            stream.continuity.counts.clear()
        return total

    @property
    def safe_offset(self) -> int:
        """Offset to commit: no signal needs anything before it."""
        return min((stream.safe_offset for stream in self._waiting()), default=self.next_offset)

    def _waiting(self) -> Iterable[Stream]:
        return (s for s in self.streams.values() if s.continuity.first_waiting_offset is not None)

    def take(self, record: RawRecord, into: Taken) -> None:
        """Decode, check and place one record."""
        take_all(self._watch, [(self, [record])], into)

    def place(self, record: RawRecord, now_s: float, into: Taken) -> Arrival | None:
        """Decode, check and place one record; give what the watch has to know of it."""
        self.next_offset = max(self.next_offset, record.offset + 1)
        try:
            chunk = self._decode(record)
            stream = self._stream(chunk)
            if record.offset < stream.next_offset:
                return None
            band = BAND_OF.get(chunk.kind)
            if band is not None and chunk.fs_hz < band.min_fs_hz:
                return self._too_slow(stream, chunk, band, record, into)
            pieces = stream.continuity.push(chunk, record.offset, record.timestamp)
        except BadChunk as bad:
            self._refuse(record, bad, into)
            return None
        stream.next_offset = record.offset + 1
        stream.received_ms = record.timestamp
        waits = stream.continuity.waits
        stream.waiting_since_s = (stream.waiting_since_s or now_s) if waits else None
        if band is not None:
            into.pieces.extend([(stream.bed, piece) for piece in pieces])
        if not pieces and not waits:
            # A chunk that came again says nothing new: a gateway that repeats its last one is silent.
            return None
        return Arrival(stream.key, chunk, record.timestamp, record.offset)

    def _refuse(self, record: RawRecord, bad: BadChunk, into: Taken) -> None:
        into.dead_letters.append(dead_letter(record, bad, self._settings.max_record_bytes))

    def _decode(self, record: RawRecord) -> Chunk:
        chunk = admit(record, self._settings)
        self._check_home(chunk)
        if chunk.duration_s > self._settings.max_chunk_s:
            raise BadChunk(
                "invalid_field",
                f"samples: {chunk.n_samples} at fs_hz={chunk.fs_hz:g} are {chunk.duration_s:.1f} s, "
                f"more than max_chunk_s={self._settings.max_chunk_s:g}; send shorter chunks",
            )
        if chunk.kind in SOUNDS:
            loudest = float(np.fmax.reduce(np.abs(chunk.samples), axis=None, initial=0.0))
            if loudest > MOST_FULL_SCALE:
                raise BadChunk(
                    "invalid_field",
                    f"samples: {loudest:.6g} times full scale; sounds lie within ±1: send int16 with "
                    f"gain=32768 and baseline=0, or floats divided by full scale",
                )
        if chunk.kind is SignalKind.ECG and len(chunk.channels) > self._settings.max_ecg_channels:
            raise BadChunk(
                "invalid_field",
                f"channels: {len(chunk.channels)} ECG leads, more than "
                f"max_ecg_channels={self._settings.max_ecg_channels}; send fewer",
            )
        return chunk

    def _too_slow(
        self, stream: Stream, chunk: Chunk, band: ConditioningSpec, record: RawRecord, into: Taken
    ) -> Arrival:
        """Refuse a rate that cannot carry the signal, and let the bed's staff know."""
        stream.next_offset, stream.received_ms = record.offset + 1, record.timestamp
        bad = BadChunk(
            "invalid_field",
            f"fs_hz={chunk.fs_hz:g}: {chunk.kind} up to {band.high_hz:g} Hz needs at least "
            f"{band.min_fs_hz:g} Hz; sample faster",
        )
        self._refuse(record, bad, into)
        return Arrival(stream.key, chunk, record.timestamp, record.offset, refused=True)

    def _check_home(self, chunk: Chunk) -> None:
        """Refuse a bed that a foreign partitioner put here: in two partitions its order would be lost."""
        home = partition_for(chunk.bed, self._n_partitions)
        if home != self.number:
            raise BadChunk(
                "key_mismatch",
                f"bed={chunk.bed!r} belongs to partition {home}, not {self.number}; use Kafka's murmur2 "
                "partitioner (librdkafka: partitioner=murmur2_random)",
            )

    def _stream(self, chunk: Chunk) -> Stream:
        key = (chunk.bed, chunk.kind.value)
        stream = self.streams.get(key)
        if stream is None:
            first = self.begins.get(chunk.bed, 0)
            stream = Stream(chunk.bed, chunk.kind, Continuity(self._settings), first)
            self.streams[key] = stream
        return stream

    def expire(self, now_s: float, into: Taken) -> None:
        """Stop waiting for chunks that did not come within ``reorder_s``."""
        for stream in list(self._waiting()):
            since_s = stream.waiting_since_s
            if since_s is not None and now_s - since_s > self._settings.reorder_s:
                stream.waiting_since_s = None
                pieces = stream.continuity.expire()
                if stream.kind in BAND_OF:
                    into.pieces.extend((stream.bed, piece) for piece in pieces)


def take_all(
    watch: StreamWatch, polled: Iterable[tuple[Partition, Iterable[RawRecord]]], into: Taken
) -> None:
    """Decode, check and place what one poll gave.

    Parameters
    ----------
    watch : StreamWatch
        Told of all chunks at once.
    polled : iterable of (Partition, iterable of RawRecord)
        Records of each partition in their order.
    into : Taken
        Gets what the records gave.
    """
    now_s = time.monotonic()
    came = [
        arrival
        for partition, records in polled
        for record in records
        if (arrival := partition.place(record, now_s, into)) is not None
    ]
    into.technical.extend(watch.came(came, now_s))


def dead_letter(record: RawRecord, bad: BadChunk, most_bytes: int) -> DeadLetter:
    """Wrap a refused record: the reason and the original bytes, each part cut to what a letter can hold.

    Whatever a sender put where, the letter fits its topic: what was cut is said in ``detail``.

    Parameters
    ----------
    record : RawRecord
        Refused.
    bad : BadChunk
        Why.
    most_bytes : int
        So much of the value is kept.
    """
    value, key, headers = record.value or b"", record.key, list(record.headers)
    kept = {_short(name): _short(content) for name, content in headers[:MOST_HEADERS]}
    parts = (
        (len(value), most_bytes, "bytes"),
        (len(key or b""), MOST_KEY_BYTES, "bytes of the key"),
        (len(headers), MOST_HEADERS, "headers"),
        (_longest(headers), MOST_HEADER_BYTES, "bytes of the longest header"),
    )
    cuts = "".join(f" (the first {most} of {n} {what} are kept)" for n, most, what in parts if n > most)
    return DeadLetter(
        reason=bad.reason,
        detail=bad.detail[: MAX_DETAIL - len(cuts)] + cuts,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        key_base64=None if key is None else base64.b64encode(key[:MOST_KEY_BYTES]).decode(),
        headers=kept,
        value_base64=base64.b64encode(value[:most_bytes]).decode(),
    )


def unreadable(part: TopicPartition, offset: int) -> DeadLetter:
    """The letter of a record that was stepped over: its frame is damaged and its bytes are not known."""
    return DeadLetter(
        reason="malformed",
        detail="the record's frame is damaged; it was stepped over and its bytes are not known",
        topic=part.topic,
        partition=part.partition,
        offset=offset,
        timestamp_ms=-1,
        key_base64=None,
        headers={},
        value_base64="",
    )


def _short(text: str | bytes | None) -> str:
    """Name or value of a header, as much as is kept."""
    raw = text.encode(errors="replace") if isinstance(text, str) else text or b""
    return raw[:MOST_HEADER_BYTES].decode(errors="replace")


def _longest(headers: Iterable[tuple[str, bytes | None]]) -> int:
    return max(
        (max(len(name.encode(errors="replace")), len(value or b"")) for name, value in headers), default=0
    )
