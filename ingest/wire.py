"""The wire format: chunks to bytes and back (docs/wire-format.md).

Two forms with the same fields: schemaless Avro binary (``application/avro``, int16 samples, for speed) and
JSON (``application/json``, for ease). A Kafka header ``content-type`` names the form; the record key is the
bed.
"""

from __future__ import annotations

from ingest.errors import BadChunk
from ingest.settings import IngestSettings
from ingest.types import NS_PER_S, Chunk
from ingest.wire_decode import decode
from ingest.wire_encode import encode
from ingest.wire_fields import short
from ingest.wire_schema import AVRO, DEFAULT_GAIN, DEFAULT_MAX_RECORD_BYTES, JSON, SCHEMA_VERSION

__all__ = [
    "AVRO",
    "DEFAULT_GAIN",
    "DEFAULT_MAX_RECORD_BYTES",
    "JSON",
    "SCHEMA_VERSION",
    "check_key",
    "check_time",
    "decode",
    "encode",
    "headers",
]


def headers(content_type: str = AVRO) -> list[tuple[str, bytes]]:
    """Return the Kafka headers of a record in this form."""
    return [("content-type", content_type.encode())]


def check_time(chunk: Chunk, receive_ms: int, settings: IngestSettings) -> None:
    """Refuse a chunk whose device time is too far from the time at which the broker received it.

    Raises
    ------
    BadChunk
        ``time_travel``.
    """
    ahead_s = (chunk.end_ns - receive_ms * 1_000_000) / NS_PER_S
    behind_s = (receive_ms * 1_000_000 - chunk.start_ns) / NS_PER_S
    if ahead_s > settings.max_future_s:
        raise BadChunk(
            "time_travel",
            f"start_ns={chunk.start_ns}: the chunk ends {ahead_s:.1f} s after its receipt, more than "
            f"max_future_s={settings.max_future_s:g}; set the device's clock",
        )
    if behind_s > settings.past_s:
        raise BadChunk(
            "time_travel",
            f"start_ns={chunk.start_ns}: the chunk begins {behind_s:.1f} s before its receipt, more than "
            f"{settings.past_limit}={settings.past_s:g}; set the device's clock or send sooner",
        )


def check_key(chunk: Chunk, key: bytes | None) -> None:
    """Refuse a chunk whose record key is not its bed: its bed's signals would not stay in order.

    Raises
    ------
    BadChunk
        ``key_mismatch``.
    """
    if key != chunk.bed.encode():
        raise BadChunk(
            "key_mismatch", f"key={short(key)} but bed={short(chunk.bed)}; use the bed (UTF-8) as record key"
        )
