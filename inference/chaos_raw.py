"""What a broker did to the raw topic: records that it acknowledged and lost, offsets that it gave twice.

A broker that hands out a record before it has noted it as its own gives the record's offset to another one
when it is killed in between. Whoever read the first never reads the second. Apache Kafka hands out nothing
above its high watermark; whether another broker did so can be told afterwards, because every output names the
offset of the record that brought its last sample.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from inference.chaos_said import Said, read_records
from inference.chaos_same import TIME_NS
from inference.chaos_ward import Plan
from inference.types import Prediction, Vital
from ingest import kafka, wire
from ingest.settings import Settings


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A record of the raw topic as it lies there in the end."""

    bed: str
    kind: str
    end_ns: int
    value: bytes


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
        found[place] = RawRecord(chunk.bed, chunk.kind.value, chunk.end_ns, record.value)
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
