"""What comes into and out of :mod:`ingest.continuity`, and what it leaves for a successor."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from ingest.known_chunks import Run, StrayLine
from ingest.types import Chunk, FloatArray


@dataclass(frozen=True, slots=True)
class Piece:
    """Samples to append to a stream.

    ``restart`` forgets what came before; ``missing`` samples are appended, as missing, before ``samples``;
    ``offset`` is that of the record that brought the chunk.
    """

    chunk: Chunk
    offset: int
    samples: FloatArray
    start_ns: int
    missing: int
    restart: bool


@dataclass(frozen=True, slots=True)
class Received:
    """A chunk and the offset of the record that brought it."""

    chunk: Chunk
    offset: int


class ContinuityState(msgspec.Struct, frozen=True):
    """What a successor needs to go on with a stream."""

    device: str
    next_seq: int
    expected_ns: int
    fs_hz: float
    channels: tuple[str, ...]
    received_ms: int
    skipped: list[int]
    started: bool
    known: list[Run] = []
    """Empty where the version that wrote it knew no such memory."""
    stray: StrayLine | None = None
