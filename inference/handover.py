"""Leaving and finding state: how one worker goes on where another stopped."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from kafka import KafkaConsumer, TopicPartition

from inference import snapshot
from inference.errors import SnapshotError
from inference.intake import Partition
from inference.monitor import EcgMonitor
from inference.no_data import NoData
from inference.publish import Outputs
from inference.snapshot import Snapshot
from ingest import kafka
from ingest.settings import Settings
from ingest.types import SignalKind

logger = logging.getLogger(__name__)

LOOK_BACK_S = 600.0
"""Snapshots younger than this are found by time; without any the last ones there are will do."""

LAST_RECORDS = 4_096


def leave(outputs: Outputs, partition: Partition, monitor: EcgMonitor, no_data: NoData) -> None:
    """Send the state of every signal of a partition. The caller flushes, then commits."""
    for (bed, signal), stream in partition.streams.items():
        ecg = snapshot.take_ecg(monitor, bed) if stream.kind is SignalKind.ECG else None
        state = Snapshot(
            snapshot.VERSION,
            bed,
            signal,
            stream.safe_offset,
            stream.continuity.state(),
            no_data.state((bed, signal)),
            ecg,
        )
        outputs.send_state(f"{bed}/{signal}", snapshot.encode(state), partition.number)


def find(
    settings: Settings, numbers: Iterable[int], timeout_s: float = 20.0
) -> dict[int, dict[str, Snapshot]]:
    """Newest snapshot of each signal of some partitions, by partition and record key.

    The newest is the one with the highest ``next_offset``: a worker that wakes from a long pause may write an
    older one later.
    """
    parts = [TopicPartition(settings.topics.state, number) for number in numbers]
    found: dict[int, dict[str, Snapshot]] = {part.partition: {} for part in parts}
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
    for number, states in found.items():
        for key, state in list(states.items()):
            if state.next_offset > ends[raw[number]]:
                # The raw topic was made anew: holding on to the old offset would swallow what comes.
                logger.warning("signal %r begins anew: its state is of an older topic", key)
                del states[key]
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
    found: dict[int, dict[str, Snapshot]],
    timeout_s: float,
) -> None:
    deadline = time.monotonic() + timeout_s
    while any(reader.position(part) < ends[part] for part in parts):
        if time.monotonic() > deadline:
            raise SnapshotError(f"the state of {len(parts)} partitions was not read within {timeout_s:g} s")
        for part, records in reader.poll(timeout_ms=200, max_records=1_000).items():
            for record in records:
                _keep_newest(found[part.partition], record.key, record.value)


def _keep_newest(known: dict[str, Snapshot], name: bytes | None, value: bytes | None) -> None:
    key = (name or b"").decode(errors="replace")
    try:
        state = snapshot.decode(value or b"")
    except SnapshotError as error:
        logger.warning("signal %r begins anew: %s", key, error)
        return
    if key not in known or state.next_offset >= known[key].next_offset:
        known[key] = state
