"""What a broker did to the raw topic: records that it acknowledged and lost, offsets that it gave twice.

A broker that hands out a record before it has noted it as its own gives the record's offset to another one
when it is killed in between. Whoever read the first never reads the second. Apache Kafka hands out nothing
above its high watermark; whether another broker did so can be told afterwards, because every output names the
offset of the record that brought its last sample.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Final

from inference.chaos_said import NO_DATA, Said, read_records
from inference.chaos_same import TIME_NS
from inference.chaos_ward import Plan
from inference.no_data import GRACE_S
from inference.strips import span
from inference.types import Alarm, Prediction, Vital
from ingest import kafka, wire
from ingest.settings import Settings
from ingest.types import NS_PER_S

BY_BROKER: Final = 1
"""Type of the time of a record that the broker stamped (LogAppendTime)."""

SLACK_S: Final = 1.0
"""A silence may be so much shorter than it should be: of this the record was under way to the worker."""

SENDER_SLACK_S: Final = 0.5
"""The same where of each record it is only known that it came before the next one was sent."""

LATE_S: Final = 15.0
"""A recorder waits for 25 s; it may have been cut off itself for the last ten of them."""

EARLY_S: Final = 3.0
"""A recorder looks back by 5 s more than the strip is long, and further only now and then."""


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A record of the raw topic as it lies there in the end."""

    bed: str
    kind: str
    end_ns: int
    value: bytes
    start_ns: int = 0
    timestamp_ms: int = 0
    by_broker: bool = True
    """Whether the time is that of the broker; the embedded one leaves the sender's."""


def read_raw(settings: Settings) -> dict[tuple[int, int], RawRecord]:
    """Read the raw topic: record by partition and offset.

    Raises
    ------
    ChaosError
        It could not be read in time.
    """
    found = {}
    for record in read_records(settings, settings.topics.raw):
        chunk = wire.decode(record.value, wire.AVRO, settings.ingest.max_record_bytes)
        place = (record.partition, record.offset)
        found[place] = RawRecord(
            chunk.bed,
            chunk.kind.value,
            chunk.end_ns,
            record.value,
            chunk.start_ns,
            record.timestamp,
            record.timestamp_type == BY_BROKER,
        )
    return found


def gone(plan: Plan, raw: Iterable[RawRecord]) -> list[str]:
    """Records that were all acknowledged to the devices and are not on the topic."""
    there = Counter(record.value for record in raw)
    return [
        f"{one.bed}, second {second}"
        for second, sent in enumerate(plan.seconds)
        for one in sent
        if one.value not in there
    ]


def given_again(said: Said, raw: dict[tuple[int, int], RawRecord], n_partitions: int) -> list[str]:
    """Outputs that name an offset at which lies what cannot have brought them.

    It is another bed's or signal's record, one that ends before what is said of it, or none. So the
    worker read something else there.
    """
    found = []
    items: list[Prediction | Vital] = [*said.predictions.values(), *said.vitals.values()]
    for item in items:
        place = (kafka.partition_for(item.bed, n_partitions), item.raw_offset)
        record = raw.get(place)
        if record is None:
            found.append(f"{item.id}: nothing at partition {place[0]}, offset {place[1]}")
        elif (record.bed, record.kind) != (item.bed, item.signal) or record.end_ns + TIME_NS < _until_ns(
            item
        ):
            found.append(
                f"{item.id}: at partition {place[0]}, offset {place[1]} lies {record.bed}/{record.kind} "
                f"up to {record.end_ns}"
            )
    return found


def _until_ns(item: Prediction | Vital) -> int:
    return item.end_ns if isinstance(item, Prediction) else item.time_ns


def false_missing(said: Said, raw: Mapping[tuple[int, int], RawRecord], last: Set[str]) -> list[str]:
    """Alarms of missing data, beside the last ones, of which the next record came in time.

    Each must name the end of a record of its stream, with none of the stream received for nearly as long as
    a chunk may be overdue.
    """
    streams: dict[tuple[str, str], list[RawRecord]] = defaultdict(list)
    for _, record in sorted(raw.items()):
        streams[record.bed, record.kind].append(record)
    found = []
    for alarm in said.alarms.values():
        if alarm.kind == NO_DATA and alarm.id not in last:
            silent_s, least_s = _silence(streams[alarm.bed, alarm.signal], alarm.onset_ns)
            if silent_s < least_s:
                found.append(f"{alarm.id}: the next record came {silent_s:.1f} s later, in time")
            elif silent_s == math.inf and least_s == math.inf:
                found.append(f"{alarm.id}: no record of this signal ends there")
    return found


def _silence(records: Sequence[RawRecord], end_ns: int) -> tuple[float, float]:
    """Longest time that may have passed between a record with this end and the next one, and what is due (s).

    Both are infinite where there is no such record. What was sent again counts as heard. Where the broker
    does not tell when a record came, it came at the latest when the device, which waits for each to be
    confirmed, sent the one after it.
    """
    newest_ns, longest_s, least_s = 0, -math.inf, math.inf
    for at, record in enumerate(records):
        newest_ns = max(newest_ns, record.end_ns)
        if abs(newest_ns - end_ns) > TIME_NS:
            continue
        after = records[at + (1 if record.by_broker else 2) :]
        came_s = after[0].timestamp_ms / 1e3 if after else math.inf
        longest_s = max(longest_s, came_s - record.timestamp_ms / 1e3)
        slack_s = SLACK_S if record.by_broker else SENDER_SLACK_S
        least_s = (record.end_ns - record.start_ns) / NS_PER_S + GRACE_S - slack_s
    return (math.inf, math.inf) if longest_s == -math.inf else (longest_s, least_s)


def late_strips(said: Said, raw: Mapping[tuple[int, int], RawRecord], n_partitions: int) -> set[str]:
    """Alarms whose strip may rightly be in part.

    Something of it came so long after the record that raised the alarm, or so long before it, that the
    recorder need not have waited for it or looked so far back; or a signal began within it.
    """
    beds: dict[str, list[RawRecord]] = defaultdict(list)
    for _, record in sorted(raw.items()):
        beds[record.bed].append(record)
    found = set()
    for alarm in said.alarms.values():
        place = (kafka.partition_for(alarm.bed, n_partitions), said.raised_at[alarm.id])
        raised_by = raw.get(place)
        if raised_by is None or _may_lack(alarm, raised_by, beds[alarm.bed]):
            found.add(alarm.id)
    return found


def _may_lack(alarm: Alarm, raised_by: RawRecord, records: Sequence[RawRecord]) -> bool:
    start_ns, end_ns = span(alarm.onset_ns, min(alarm.raised_ns, raised_by.end_ns))
    earliest_s = raised_by.timestamp_ms / 1e3 - (end_ns - start_ns) / NS_PER_S - EARLY_S
    latest_s = raised_by.timestamp_ms / 1e3 + LATE_S
    for kind in {record.kind for record in records}:
        line = [record for record in records if record.kind == kind]
        if min(record.start_ns for record in line) > start_ns:
            return True
        for at, record in enumerate(line):
            if record.end_ns <= start_ns or record.start_ns >= end_ns:
                continue
            came = line[at : at + 1] if record.by_broker else line[at + 1 : at + 2]
            came_s = came[0].timestamp_ms / 1e3 if came else math.inf
            if not earliest_s < record.timestamp_ms / 1e3 <= came_s < latest_s:
                return True
    return False
