"""Alarms that bedside devices raise: what they may say, and what is refused (docs/device-alarms.md)."""

from __future__ import annotations

from typing import Final

import msgspec

from inference.intake import RawRecord
from inference.types import DeviceAlarm
from ingest import signing, wire
from ingest.admission import content_type
from ingest.errors import BadChunk
from ingest.kafka import partition_for
from ingest.settings import IngestSettings
from ingest.types import NS_PER_S
from ingest.wire_fields import short

VERSION: Final = 1
KIND_OF: Final = {
    "asystole": "Asystole",
    "extreme_bradycardia": "Bradycardia",
    "extreme_tachycardia": "Tachycardia",
    "vf": "Ventricular_Flutter_Fib",
    "vt": "Ventricular_Tachycardia",
}
"""A device's kind of alarm and what CinC 2015, and so the verdict model, calls it."""

LONGEST: Final = {"id": 200, "bed": 64, "device": 64, "kind": 64}
LONGEST_MESSAGE: Final = 500
MAX_BYTES: Final = 10_000


class _Head(msgspec.Struct):
    """What is looked at first: another version may have other fields."""

    version: int


def read(record: RawRecord, n_partitions: int, settings: IngestSettings) -> DeviceAlarm:
    """Read and check a record of ``biosignals.device_alarms``.

    Parameters
    ----------
    record : RawRecord
        As the broker gave it.
    n_partitions : int
        Of the topic.
    settings : IngestSettings
        How far a device's clock may be off.

    Raises
    ------
    BadChunk
        With a dead letter's reason, and nothing else, whatever the bytes are.
    """
    by = signing.signer(signing.DEVICE_ALARM, record, settings)
    alarm = _decode(record)
    signing.check_signer(by, alarm.device, alarm.bed)
    for name, most in LONGEST.items():
        _check_label(name, getattr(alarm, name), most)
    n_message = len(alarm.message or "")
    if n_message > LONGEST_MESSAGE:
        raise BadChunk("invalid_field", f"message has {n_message} characters; {LONGEST_MESSAGE} fit")
    if record.key != alarm.bed.encode():
        raise BadChunk(
            "key_mismatch", f"key={short(record.key)} but bed={short(alarm.bed)}; use the bed as record key"
        )
    home = partition_for(alarm.bed, n_partitions)
    if home != record.partition:
        raise BadChunk(
            "key_mismatch",
            f"bed={alarm.bed!r} belongs to partition {home}, not {record.partition}; use Kafka's murmur2 "
            "partitioner (librdkafka: partitioner=murmur2_random)",
        )
    _check_time(alarm, record.timestamp, settings)
    return alarm


def _decode(record: RawRecord) -> DeviceAlarm:
    value = record.value
    if not value:
        raise BadChunk("malformed", "the record has no value; send a device alarm")
    if len(value) > MAX_BYTES:
        raise BadChunk("oversized", f"{len(value)} bytes; a device alarm has {MAX_BYTES} at most")
    form = content_type(record.headers)
    if form is not None and form.partition(";")[0].strip().lower() != wire.JSON:
        raise BadChunk("unknown_content_type", f"header content-type={short(form)}; send {wire.JSON}")
    try:
        head = msgspec.json.decode(value, type=_Head)
        if head.version != VERSION:
            raise BadChunk("unknown_version", f"version={head.version}; this reader knows {VERSION}")
        return msgspec.json.decode(value, type=DeviceAlarm)
    except msgspec.ValidationError as error:
        raise BadChunk("invalid_field", f"{error}; the fields are listed in docs/device-alarms.md") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadChunk("malformed", f"not JSON: {error}") from None


def _check_label(name: str, value: str, most: int) -> None:
    if not 0 < len(value) <= most or not value.isprintable() or value != value.strip():
        raise BadChunk(
            "invalid_field",
            f"{name}={short(value)}: 1 to {most} printable characters, without blanks at its ends",
        )


def _check_time(alarm: DeviceAlarm, received_ms: int, settings: IngestSettings) -> None:
    if abs(alarm.time_ns) >= 1 << 63:
        # JSON bounds no number: what no float holds cannot be reckoned with.
        raise BadChunk(
            "time_travel",
            f"time_ns={short(alarm.time_ns)}: ns since 1970 fit 64 bits; set the device's clock",
        )
    ahead_s = (alarm.time_ns - received_ms * 1_000_000) / NS_PER_S
    if ahead_s > settings.max_future_s or -ahead_s > settings.past_s:
        words = "after" if ahead_s > 0 else "before"
        limit = "max_future_s" if ahead_s > 0 else settings.past_limit
        raise BadChunk(
            "time_travel",
            f"time_ns={alarm.time_ns}: it sounded {abs(ahead_s):.1f} s {words} its receipt, more than "
            f"{limit}={getattr(settings, limit):g}; set the device's clock",
        )
