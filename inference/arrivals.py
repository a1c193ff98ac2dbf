"""Chunks that came in one poll, as arrays over streams: each stream once, later chunks in later batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from ingest.types import NS_PER_S, BoolArray, Chunk, IntArray, WideFloatArray

StreamKey = tuple[str, str]
"""Bed and kind of signal."""


class Arrival(msgspec.Struct, frozen=True, eq=False):
    """A chunk that came; ``refused`` where its rate is too low to carry its signal.

    ``received_ms`` and ``offset`` are time stamp and offset of its Kafka record.
    """

    stream: StreamKey
    chunk: Chunk
    received_ms: int
    offset: int
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Chunks of different streams. Shape of each array: (n_chunks,)."""

    chunks: tuple[Arrival, ...]
    received_ms: IntArray
    offsets: IntArray
    refused: BoolArray
    start_ns: IntArray
    end_ns: IntArray
    fs_hz: WideFloatArray
    duration_s: WideFloatArray

    @property
    def streams(self) -> list[StreamKey]:
        """Bed and kind of signal of each."""
        return [one.stream for one in self.chunks]


def arrivals(found: Iterable[Arrival]) -> Iterator[Arrivals]:
    """Put chunks into as few batches as keep each stream's chunks in order."""
    batches: list[list[Arrival]] = []
    seen: dict[StreamKey, int] = {}
    for one in found:
        nth = seen[one.stream] = seen.get(one.stream, -1) + 1
        if nth == len(batches):
            batches.append([])
        batches[nth].append(one)
    return (_batch(batch) for batch in batches)


def _batch(found: Sequence[Arrival]) -> Arrivals:
    chunks = [one.chunk for one in found]
    start_ns = np.array([chunk.start_ns for chunk in chunks], dtype=np.int64)
    fs_hz = np.array([chunk.fs_hz for chunk in chunks])
    duration_s = np.array([len(chunk.samples) for chunk in chunks]) / fs_hz
    return Arrivals(
        tuple(found),
        np.array([one.received_ms for one in found], dtype=np.int64),
        np.array([one.offset for one in found], dtype=np.int64),
        np.array([one.refused for one in found], dtype=np.bool_),
        start_ns,
        start_ns + np.rint(duration_s * NS_PER_S).astype(np.int64),
        fs_hz,
        duration_s,
    )
