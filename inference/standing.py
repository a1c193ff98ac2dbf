"""What stands now: alarms that have not ended and how beds are set, read from the topics' recent past."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import msgspec
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from inference.alarm_spec import RANK
from inference.newest import keep_newest
from inference.types import Alarm, AlarmState, Bed
from ingest import kafka
from ingest.errors import BrokerError
from ingest.settings import Settings

ALARMS_S: Final = 12 * 3_600.0
"""An alarm of which nothing was said for longer is not found; dashboards look back as far."""

BEDS_S: Final = 180.0
"""Workers say at least once a minute how each bed is set."""

TIMEOUT_S: Final = 30.0


def read(settings: Settings, bed: str | None = None) -> list[Alarm]:
    """Return the alarms that stand, of one bed or of all: by bed, the gravest and then the oldest first.

    Raises
    ------
    BrokerError
        The topic cannot be read.
    """
    decoder = msgspec.json.Decoder(Alarm)
    newest: dict[str, Alarm] = {}
    for value in _since(settings, settings.topics.alarms, ALARMS_S, bed):
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            keep_newest(newest, decoder.decode(value))
    standing = [
        alarm for alarm in newest.values() if alarm.state is not AlarmState.ENDED and bed in (None, alarm.bed)
    ]
    return sorted(standing, key=lambda alarm: (alarm.bed, RANK[alarm.priority], alarm.onset_ns))


def read_beds(settings: Settings, bed: str | None = None) -> list[Bed]:
    """Return how one bed is set, or all of them, as their workers said last; none where no worker runs.

    Raises
    ------
    BrokerError
        The topic cannot be read.
    """
    decoder = msgspec.json.Decoder(Bed)
    newest: dict[str, Bed] = {}
    for value in _since(settings, settings.topics.beds, BEDS_S, bed):
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            found = decoder.decode(value)
            held = newest.get(found.bed)
            if held is None or (found.revision, found.emitted_ns) >= (held.revision, held.emitted_ns):
                newest[found.bed] = found
    return sorted((one for one in newest.values() if bed in (None, one.bed)), key=lambda one: one.bed)


def _since(settings: Settings, topic: str, seconds: float, bed: str | None) -> Iterator[bytes]:
    """Values of a topic's records of the last seconds, in the order of each partition."""
    n_partitions = settings.kafka.partitions
    numbers = range(n_partitions) if bed is None else [kafka.partition_for(bed, n_partitions)]
    parts = [TopicPartition(topic, number) for number in numbers]
    kafka.ensure_topic(settings, topic)
    ends = kafka.end_offsets(settings, parts)
    reader = kafka.consumer(settings, group_id=None, fetch_max_wait_ms=100)
    try:
        since_ms = round((time.time() - seconds) * 1e3)
        reader.assign(parts)
        starts = kafka.offsets_for_times(reader, dict.fromkeys(parts, since_ms))
        wanted = {part: start for part, start in starts.items() if start is not None and start < ends[part]}
        reader.assign(list(wanted))
        for part, start in wanted.items():
            reader.seek(part, start)
        yield from _to_end(reader, {part: ends[part] for part in wanted})
    except KafkaError as error:
        raise BrokerError(f"{topic} cannot be read: {error}") from error
    finally:
        reader.close(autocommit=False)


def _to_end(reader: KafkaConsumer, ends: dict[TopicPartition, int]) -> Iterator[bytes]:
    deadline = time.monotonic() + TIMEOUT_S
    while any(reader.position(part) < end for part, end in ends.items()):
        if time.monotonic() > deadline:
            raise BrokerError(f"{len(ends)} partitions were not read to their end within {TIMEOUT_S:g} s")
        for records in reader.poll(timeout_ms=100, max_records=2_000).values():
            yield from (record.value for record in records if record.value is not None)
