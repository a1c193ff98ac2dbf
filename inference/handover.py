"""Leaving and finding state: how one worker goes on where another stopped."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from kafka import KafkaConsumer, TopicPartition

from inference import snapshot
from inference.beds import BedState, DeskState
from inference.bedside import Bedside
from inference.errors import SnapshotError
from inference.intake import Partition
from inference.publish import Outputs
from inference.snapshot import Remains, Snapshot
from ingest import kafka
from ingest.settings import Settings

logger = logging.getLogger(__name__)

LOOK_BACK_S = 300.0
"""Snapshots younger than this are found by time; without any the last ones there are will do."""

LAST_RECORDS = 4_096


@dataclass(slots=True)
class Left:
    """What is known of a partition: its signals by record key, its beds, what its commands have done."""

    signals: dict[str, Snapshot] = field(default_factory=dict)
    beds: dict[str, BedState] = field(default_factory=dict)
    desk: DeskState | None = None
    remains: dict[str, Remains] = field(default_factory=dict)

    def keep_newest(self, key: str, value: bytes) -> None:
        """Take in a record unless a newer one is held.

        Raises
        ------
        SnapshotError
            It is no state of this version.
        """
        bed, _, signal = key.rpartition("/")
        if signal:
            try:
                state = snapshot.decode(value)
            except SnapshotError:
                self.remains[key] = snapshot.decode_remains(value)
                raise
            held = self.signals.get(key)
            if held is None or (state.patient, state.next_offset) >= (held.patient, held.next_offset):
                self.signals[key] = state
                self.remains.pop(key, None)
        elif bed:
            of_bed = snapshot.decode_as(value, BedState)
            known = self.beds.get(bed)
            if known is None or of_bed.revision >= known.revision:
                self.beds[bed] = of_bed
        else:
            desk = snapshot.decode_as(value, DeskState)
            if self.desk is None or desk.next_offset >= self.desk.next_offset:
                self.desk = desk

    def of_former_patient(self, state: Snapshot) -> bool:
        """Whether a signal's state is from before the bed's patient came."""
        bed = self.beds.get(state.bed)
        return bed is not None and state.patient != bed.patient


def leave_desk(outputs: Outputs, number: int, desk: DeskState, beds: Iterable[BedState]) -> None:
    """Send what the commands of a partition have done."""
    for bed in beds:
        outputs.send_state(f"{bed.bed}/", snapshot.encode(bed), number)
    outputs.send_state("/", snapshot.encode(desk), number)


def leave(outputs: Outputs, partition: Partition, bedside: Bedside, bed: str | None = None) -> None:
    """Send the state of every signal of a partition, or of one bed. The caller flushes before."""
    for (name, signal), stream in partition.streams.items():
        if bed in (None, name):
            state = snapshot.take(bedside, name, signal, stream.safe_offset, stream.continuity.state())
            outputs.send_state(f"{name}/{signal}", snapshot.encode(state), partition.number)


def find(settings: Settings, numbers: Iterable[int], timeout_s: float = 60.0) -> dict[int, Left]:
    """Newest state of some partitions.

    The newest is the one with the highest ``next_offset``: a worker that wakes from a long pause may write an
    older one later.
    """
    parts = [TopicPartition(settings.topics.state, number) for number in numbers]
    found = {part.partition: Left() for part in parts}
    raw = {number.partition: TopicPartition(settings.topics.raw, number.partition) for number in parts}
    ends = kafka.end_offsets(settings, [*parts, *raw.values()])
    filled = [part for part in parts if ends[part] > 0]
    if not filled:
        return found
    reader = kafka.consumer(settings, group_id=None)
    try:
        reader.assign(filled)
        _seek_back(reader, filled, ends)
        _read_to_end(reader, filled, ends, found, timeout_s)
    finally:
        reader.close(autocommit=False)
    for number, left in found.items():
        for key, state in list(left.signals.items()):
            if state.next_offset > ends[raw[number]]:
                # The raw topic was made anew: holding on to the old offset would swallow what comes.
                logger.warning("signal %r begins anew: its state is of an older topic", key)
                del left.signals[key]
    return found


def _seek_back(reader: KafkaConsumer, parts: list[TopicPartition], ends: dict[TopicPartition, int]) -> None:
    since_ms = round((time.time() - LOOK_BACK_S) * 1e3)
    by_time = kafka.offsets_for_times(reader, dict.fromkeys(parts, since_ms))
    first = reader.beginning_offsets(parts)
    for part in parts:
        offset = by_time.get(part)
        back = max(first[part], ends[part] - LAST_RECORDS)
        reader.seek(part, back if offset is None else offset)


def _read_to_end(
    reader: KafkaConsumer,
    parts: list[TopicPartition],
    ends: dict[TopicPartition, int],
    found: dict[int, Left],
    timeout_s: float,
) -> None:
    deadline = time.monotonic() + timeout_s
    while any(reader.position(part) < ends[part] for part in parts):
        if time.monotonic() > deadline:
            raise SnapshotError(f"the state of {len(parts)} partitions was not read within {timeout_s:g} s")
        for part, records in reader.poll(timeout_ms=200, max_records=1_000).items():
            for record in records:
                _keep_newest(found[part.partition], record.key, record.value)


def _keep_newest(left: Left, name: bytes | None, value: bytes | None) -> None:
    key = (name or b"").decode(errors="replace")
    try:
        left.keep_newest(key, value or b"")
    except SnapshotError as error:
        logger.warning("signal %r begins anew: %s", key, error)
