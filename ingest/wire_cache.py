"""What stays the same from chunk to chunk, by its bytes: a stream's head, and the end behind the samples.

A chunk whose head and end are known brings two numbers and samples, which are read here without a parser.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ingest.types import MISSING_INT16, Chunk, FloatArray
from ingest.wire_fields import MAX_START_NS, Moment, Stream

_MAX_STREAMS: Final = 50_000
_MAX_HEAD_LENGTHS: Final = 256
"""Names of beds, devices and leads of 1 to 64 characters make some hundred lengths in a hospital:
memory that begins anew with each of them remembers nothing."""
_MAX_ENDS: Final = 10_000
_MISSING_BYTES: Final = MISSING_INT16.to_bytes(2, "little", signed=True)


@dataclass(frozen=True, slots=True)
class End:
    """What the bytes behind the samples say."""

    lead_off: tuple[bool, ...] | None
    status: str | None
    battery: float | None


class StreamCache:
    """Validated streams by the bytes of their head, and ends by number of channels and bytes."""

    def __init__(self) -> None:
        self.ends: dict[tuple[int, bytes], End] = {}
        self.streams: dict[bytes, Stream] = {}
        self.lengths: tuple[int, ...] = ()

    def find(self, value: bytes) -> tuple[Stream | None, int]:
        """Stream whose head a value begins with, and the head's length."""
        for length in self.lengths:
            stream = self.streams.get(value[:length])
            if stream is not None:
                return stream, length
        return None, 0

    def add(self, head: bytes, stream: Stream) -> None:
        """Remember the head of a valid chunk; what fills the memory makes it begin anew."""
        known = len(head) in self.lengths
        if len(self.streams) >= _MAX_STREAMS or (not known and len(self.lengths) >= _MAX_HEAD_LENGTHS):
            self.streams, self.lengths, known = {}, (), False
        self.streams[head] = stream
        if not known:
            self.lengths = (*self.lengths, len(head))

    def add_end(self, value: bytes, at: int, n_bytes: int, moment: Moment, n_channels: int) -> None:
        """Remember the end of a valid chunk; one with pacing marks will not come again."""
        if moment.pacer_ns:
            return
        numbers = []
        for _ in range(3):
            number, at = _read_long(value, at)
            numbers.append(number)
        if numbers != [moment.start_ns, moment.seq, n_bytes]:
            return
        if len(self.ends) >= _MAX_ENDS:
            self.ends = {}
        flags = None if moment.lead_off is None else tuple(moment.lead_off)
        self.ends[n_channels, value[at + n_bytes :]] = End(flags, moment.status, moment.battery)


def decode_usual(cache: StreamCache, value: bytes, stream: Stream, at: int) -> Chunk | None:
    """Decode a chunk whose head and end are known; ``None`` where it needs to be looked at in full."""
    try:
        start_ns, at = _read_long(value, at)
        seq, at = _read_long(value, at)
        n_bytes, at = _read_long(value, at)
    except IndexError:
        return None
    n_channels = len(stream.channels)
    end = at + n_bytes
    if n_bytes <= 0 or n_bytes % (2 * n_channels) or not 0 < start_ns < MAX_START_NS or seq < 0:
        return None
    moment = cache.ends.get((n_channels, value[end:]))
    if moment is None or end > len(value):
        return None
    return Chunk(
        stream.bed,
        stream.device,
        stream.kind,
        stream.channels,
        stream.fs_hz,
        start_ns,
        seq,
        _usual_samples(value, at, end, stream),
        moment.lead_off,
        (),
        moment.status,
        moment.battery,
    )


def _read_long(value: bytes, at: int) -> tuple[int, int]:
    """Avro's zigzag varint of up to 63 bits, and where it ends; -1 where it has more."""
    number = shift = 0
    while True:
        byte = value[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at
        shift += 7
        if shift > 56:
            return -1, at


def _usual_samples(value: bytes, at: int, end: int, stream: Stream) -> FloatArray:
    """Samples of the bytes between, as :func:`canonical` makes them; shape (n_samples, n_channels).

    One factor for all channels, no baseline and nothing missing want one multiplication.
    """
    n_channels = len(stream.channels)
    digital = np.frombuffer(value, "<i2", (end - at) // 2, at)
    # Bytes that look like a missing sample may be halves of two others: the full way looks closer.
    if stream.plain_factor is None or value.find(_MISSING_BYTES, at, end) >= 0:
        return canonical(digital.reshape(-1, n_channels), stream)
    samples: FloatArray = np.multiply(digital, stream.plain_factor, dtype=np.float32)
    return samples.reshape(-1, n_channels)


def canonical(digital: npt.NDArray[np.int16], stream: Stream) -> FloatArray:
    """Samples in the canonical unit, NaN where missing; shapes (n_samples, n_channels)."""
    samples: FloatArray = digital.astype(np.float32)
    samples -= stream.baseline
    samples *= stream.factor
    if digital.min() == MISSING_INT16:
        samples[digital == MISSING_INT16] = np.nan
    return samples
