"""What everybody who reads raw records lets in: signature, form, key, time, in this order.

Worker, recorder, judge and dashboard ask here, so that none shows or stores what another refuses.
"""

from __future__ import annotations

from dataclasses import dataclass

from ingest import signing, wire
from ingest.settings import IngestSettings
from ingest.signing import BrokerRecord, Headers
from ingest.types import Chunk


@dataclass(frozen=True, slots=True)
class Raw:
    """A raw record that was kept."""

    timestamp: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes | None], ...]


def content_type(headers: Headers) -> str | None:
    """Return the header that names a record's form, ``None`` where there is none."""
    found = signing.header(headers, "content-type")
    return None if found is None else found.decode(errors="replace")


def admit(record: BrokerRecord, settings: IngestSettings) -> Chunk:
    """Check and decode a raw record.

    Raises
    ------
    BadChunk
        With a dead letter's reason, and nothing else, whatever the bytes are.
    """
    by = signing.signer(signing.CHUNK, record, settings)
    chunk = wire.decode(record.value, content_type(record.headers), settings.max_record_bytes)
    wire.check_key(chunk, record.key)
    signing.check_signer(by, chunk.device, chunk.bed)
    wire.check_time(chunk, record.timestamp, settings)
    return chunk
