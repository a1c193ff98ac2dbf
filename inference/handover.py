"""Leaving and finding state: how one worker goes on where another stopped."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

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

LOOK_BACK_S: Final = (60.0, 300.0, math.inf)
"""How far back state is looked for: further only where what is younger is not whole, or too old.

Workers leave it whole every 30 s. Of 1,000 beds that is 65 MB each time, so what is read decides how long the
beds of a dead worker are silent.
"""

UNTOLD_S: Final = 300.0
"""Before version 2 had its list of what was left, so much had to do."""

NOT_WHOLE: Final = -1
"""Raw offset up to which a state reaches of which a part was not read."""

TAKE_UP: Final = 1 << 32
"""A successor counts on so much higher: whatever its predecessor still leaves, woken late, is the older."""

LAST_RECORDS: Final = 4_096
"""The furthest look back."""


@dataclass(slots=True)
class Left:
    """What is known of a partition: its signals by record key, its beds, what its commands have done."""

    signals: dict[str, Snapshot] = field(default_factory=dict)
    beds: dict[str, BedState] = field(default_factory=dict)
    desk: DeskState | None = None
    remains: dict[str, Remains] = field(default_factory=dict)
    up_to: int | None = None
    """Raw offset up to which the partition's state is whole; ``None`` where nobody said what that is."""
    leaving: int = 0
    """The highest count of leavings that was read."""

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
            if held is None or _is_newer(_place(state), _place(held)):
                self.signals[key] = state
                self.remains.pop(key, None)
            self.leaving = max(self.leaving, state.leaving)
        elif bed:
            of_bed = snapshot.decode_as(value, BedState)
            known = self.beds.get(bed)
            if known is None or _is_newer(_place(of_bed), _place(known)):
                self.beds[bed] = of_bed
            self.leaving = max(self.leaving, of_bed.leaving)
        else:
            desk = snapshot.decode_as(value, DeskState)
            self._note_whole(desk)
            if self.desk is None or _is_newer(_place(desk), _place(self.desk)):
                self.desk = desk
            self.leaving = max(self.leaving, desk.leaving)

    def _note_whole(self, desk: DeskState) -> None:
        """Note how far the state reaches that this one closes, if all of it was read."""
        if desk.left is None:
            return
        whole = all(self._has(key, mark, desk.leaving) for key, mark in desk.left.items())
        known = NOT_WHOLE if self.up_to is None else self.up_to
        self.up_to = max(known, desk.left_up_to if whole else NOT_WHOLE)

    def _has(self, key: str, mark: int, leaving: int) -> bool:
        """Whether a state as new as this was read: raw offset of a signal, revision of a bed."""
        bed, _, signal = key.rpartition("/")
        if signal:
            state = self.signals.get(key)
            return state is not None and (state.next_offset, state.leaving) >= (mark, leaving)
        of_bed = self.beds.get(bed)
        return of_bed is not None and (of_bed.revision, of_bed.leaving) >= (mark, leaving)

    def reaches(self, start: int, look_back_s: float) -> bool:
        """Whether this is all that a successor needs who reads on at a raw offset."""
        if self.up_to is not None:
            return self.up_to >= start
        return look_back_s >= UNTOLD_S and bool(self.signals or self.beds or self.desk)

    def of_former_patient(self, state: Snapshot) -> bool:
        """Whether a signal's state is from before the bed's patient came."""
        bed = self.beds.get(state.bed)
        return bed is not None and state.patient != bed.patient


def _place(state: Snapshot | BedState | DeskState) -> tuple[tuple[int, ...], int]:
    """How far a state reaches, and with which leaving it was left."""
    if isinstance(state, Snapshot):
        return (state.patient, state.next_offset), state.leaving
    return (state.revision if isinstance(state, BedState) else state.next_offset,), state.leaving


def _is_newer(one: tuple[tuple[int, ...], int], held: tuple[tuple[int, ...], int]) -> bool:
    """Whether a state that was read after another is the newer one, too, and no late copy.

    Where one of them comes from a version that did not count, what stands later on the topic is the newer.
    """
    (reach, leaving), (held_reach, held_leaving) = one, held
    if reach == held_reach and leaving and held_leaving:
        return leaving >= held_leaving
    return reach >= held_reach


def leave_desk(outputs: Outputs, number: int, desk: DeskState, beds: Iterable[BedState]) -> None:
    """Send what the commands of a partition have done, last of all that is left of it.

    ``desk.left`` names the signals that were left before; the beds are added here.
    """
    for bed in beds:
        bed.leaving = desk.leaving
        outputs.send_state(f"{bed.bed}/", snapshot.encode(bed), number)
        if desk.left is not None:
            desk.left[f"{bed.bed}/"] = bed.revision
    outputs.send_state("/", snapshot.encode(desk), number)


def leave(
    outputs: Outputs, partition: Partition, bedside: Bedside, leaving: int, bed: str | None = None
) -> dict[str, int]:
    """Send the state of every signal of a partition, or of one bed. The caller flushes before.

    ``leaving`` is the partition's count of leavings with this one.

    Returns
    -------
    dict of str to int
        Raw offset up to which each signal ("bed/signal") is done.
    """
    left = {}
    for (name, signal), stream in partition.streams.items():
        if bed in (None, name):
            state = snapshot.take(
                bedside, name, signal, stream.safe_offset, stream.continuity.state(), leaving
            )
            outputs.send_state(f"{name}/{signal}", snapshot.encode(state), partition.number)
            left[f"{name}/{signal}"] = state.next_offset
    return left


def find(settings: Settings, starts: Mapping[int, int], timeout_s: float = 60.0) -> dict[int, Left]:
    """Newest state of some partitions.

    The newest is the one with the highest ``next_offset``, of several such the one that was left last: a
    worker that wakes from a long pause may write an older one later, or a producer the same one a second
    time. So what is youngest will do only where it is whole and reaches as far as the raw records that were
    committed; else older records are read.

    Parameters
    ----------
    starts : mapping of int to int
        Raw offset from which on each partition will be read.

    Raises
    ------
    SnapshotError
        It was not read in time.
    KafkaError, BrokerError
        The broker does not answer.
    """
    parts = [TopicPartition(settings.topics.state, number) for number in starts]
    found = {number: Left() for number in starts}
    raw = {number: TopicPartition(settings.topics.raw, number) for number in starts}
    ends = kafka.end_offsets(settings, [*parts, *raw.values()])
    missing = [part for part in parts if ends[part] > 0]
    if not missing:
        return found
    reader = kafka.consumer(settings, group_id=None)
    try:
        for look_back_s in LOOK_BACK_S:
            reader.assign(missing)
            _seek_back(reader, missing, ends, look_back_s)
            _read_to_end(reader, missing, ends, found, timeout_s)
            missing = [
                part
                for part in missing
                if not found[part.partition].reaches(starts[part.partition], look_back_s)
            ]
            if not missing:
                break
        for part in missing:
            left, start = found[part.partition], starts[part.partition]
            if left.up_to is not None:
                logger.warning(
                    "partition %d: its state reaches to raw offset %d, it is read from %d",
                    part.partition,
                    left.up_to,
                    start,
                )
    finally:
        reader.close(autocommit=False)
    for number, left in found.items():
        for key, state in list(left.signals.items()):
            if state.next_offset > ends[raw[number]]:
                # The raw topic was made anew: holding on to the old offset would swallow what comes.
                logger.warning("signal %r begins anew: its state is of an older topic", key)
                del left.signals[key]
    return found


def _seek_back(
    reader: KafkaConsumer, parts: list[TopicPartition], ends: dict[TopicPartition, int], look_back_s: float
) -> None:
    if math.isinf(look_back_s):
        first = reader.beginning_offsets(parts)
        for part in parts:
            reader.seek(part, max(first[part], ends[part] - LAST_RECORDS))
        return
    since_ms = round((time.time() - look_back_s) * 1e3)
    by_time = kafka.offsets_for_times(reader, dict.fromkeys(parts, since_ms))
    for part in parts:
        offset = by_time.get(part)
        reader.seek(part, ends[part] if offset is None else offset)


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
