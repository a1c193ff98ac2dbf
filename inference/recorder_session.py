"""One membership of the recorder in its consumer group, and all that it keeps in memory meanwhile.

Order of effects: a transaction is written, then its offsets are committed. Of the vitals and the raw signals
the offsets follow later: of the vitals when their minutes are brought up to date, of the raw signals when no
strip can need them any more.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from kafka import TopicPartition
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from inference.raw_history import RawHistory
from inference.reading import Polled, RawReader
from inference.recorder_intake import RecordIntake
from inference.stats import STORED, Stats
from inference.status import Standing, lag_of
from inference.store_retention import DAY_NS
from inference.store_write import Batch, Minute, StoreWriter
from inference.strip_cutter import LOOK_BACK_S, StripCutter, Wanted
from ingest import kafka
from ingest.settings import Settings

logger = logging.getLogger(__name__)

GROUP_SUFFIX: Final = "-recorder"
MAX_RECORDS: Final = 2_000
CUT_S: Final = 2.0
"""Longest time for strips in one round."""
COMMIT_MS: Final = 10_000
STRIP_AGE_NS: Final = DAY_NS
"""Kafka keeps raw signals for a day; older alarms get no strip."""


class Session:
    """One membership in the consumer group, with all that is in memory.

    Parameters
    ----------
    settings : Settings
        Broker and topics.
    writer : StoreWriter
        The store.
    stats : Stats
        Counts what was done.
    """

    def __init__(self, settings: Settings, writer: StoreWriter, stats: Stats) -> None:
        self._settings = settings
        self._writer = writer
        self._stats = stats
        self._counts = counts = stats.counts
        self._history = RawHistory(settings)
        self._cutter = StripCutter(settings.ingest, self._history)
        self._intake = RecordIntake(settings.topics, self._cutter, counts)
        self._numbers: set[int] = set()
        self._next: dict[TopicPartition, int] = {}
        self._read_ms: dict[TopicPartition, int] = {}
        """Broker's time of the newest record read of each partition."""
        self._reached: dict[TopicPartition, int] = {}
        """Offset up to which each partition was read, by its records or by the consumer's own word."""
        self._minutes: set[Minute] = set()
        self._consumer = kafka.consumer(
            settings,
            *self._intake.topics,
            group_id=settings.kafka.group_id + GROUP_SUFFIX,
            max_poll_records=MAX_RECORDS,
            # Topics have equally many partitions: by ranges, a bed's are all one member's.
            partition_assignment_strategy=[RangePartitionAssignor],
        )
        self._reader = RawReader(self._consumer, self._step_over)

    def step(self) -> int:
        """Poll once, write what came and the strips that are due; return the number of records.

        Raises
        ------
        SQLAlchemyError, KafkaError
            This session is over: make a new one.
        """
        # Joining the group goes on inside poll: short polls would draw it out.
        polled = self._reader.poll(100 if self._numbers else 500, MAX_RECORDS)
        self._follow_assignment(polled)
        batch = Batch()
        for part, records in polled.items():
            for record in records:
                self._intake.take(record, batch)
            self._next[part] = records[-1].offset + 1
            self._read_ms[part] = records[-1].timestamp
        self._cut(batch)
        if batch:
            new = self._new_alarms(batch)
            self._writer.write(batch)
            self._note_stored(polled)
            self._minutes |= batch.minutes()
            for number, wanted in new:
                self._cutter.want(number, wanted, time.monotonic())
        self._counts["strips"] += len(batch.strips)
        self._counts["strips_wanted"] = self._cutter.n_wanted
        self._counts["partitions"] = len(self._numbers)
        return sum(map(len, polled.values()))

    def _note_stored(self, polled: Polled) -> None:
        now_ms = time.time() * 1e3
        stored = [records[-1].timestamp for part, records in polled.items() if not self._is_raw(part)]
        self._stats.stages.note(STORED, *(now_ms - at_ms for at_ms in stored))

    def standing(self) -> Standing:
        """What this session holds now."""
        self._reached.update(self._next)
        return Standing(sorted(self._numbers), lag_of(self._consumer, self._read_ms, self._reached))

    def _cut(self, batch: Batch) -> None:
        now_s = time.monotonic()
        for number in self._numbers:
            batch.strips.extend(self._cutter.cut(number, now_s, self._at_end(number), now_s + CUT_S))

    def _at_end(self, number: int) -> bool:
        """Whether all there is of a raw partition was read."""
        part = self._raw(number)
        end = self._consumer.highwater(part)
        return end is not None and bool(self._consumer.position(part) >= end)

    def _is_raw(self, part: TopicPartition) -> bool:
        return bool(part.topic == self._settings.topics.raw)

    def _raw(self, number: int) -> TopicPartition:
        return TopicPartition(self._settings.topics.raw, number)

    def _new_alarms(self, batch: Batch) -> list[tuple[int, Wanted]]:
        """Alarms of a batch whose strip nobody has cut or is about to."""
        since_ns = time.time_ns() - STRIP_AGE_NS
        new: dict[str, tuple[int, Wanted]] = {}
        for kept in batch.alarms:
            alarm = kept.item
            if alarm.emitted_ns >= since_ns and not self._cutter.is_wanted(kept.partition, alarm.id):
                wanted = Wanted(alarm.id, alarm.bed, alarm.onset_ns, alarm.raised_ns, alarm.raw_offset)
                new.setdefault(alarm.id, (kept.partition, wanted))
        known = self._writer.with_strip(list(new)) | {strip.alarm_id for strip in batch.strips}
        return [item for alarm_id, item in new.items() if alarm_id not in known]

    def _follow_assignment(self, polled: Polled) -> None:
        """Take up partitions that are new here, let go of those that went (see inference/worker.py)."""
        parts: set[TopicPartition] = self._consumer.assignment()
        numbers = {part.partition for part in parts if self._is_raw(part)}
        for number in self._numbers - numbers:
            self._cutter.drop(number)
        self._next = {part: offset for part, offset in self._next.items() if part in parts}
        self._reached = {part: offset for part, offset in self._reached.items() if part in parts}
        self._take_up(sorted(numbers - self._numbers), polled)
        if numbers != self._numbers:
            logger.info("%d partitions are this recorder's now", len(numbers))
        self._numbers = numbers

    def _take_up(self, numbers: list[int], polled: Polled) -> None:
        # Nobody recorded before: what is older than a strip is left, alarms read it where they need it.
        new = [part for part in map(self._raw, numbers) if self._consumer.committed(part) is None]
        if new:
            since_ms = round((time.time() - LOOK_BACK_S) * 1e3)
            # Of all at once: one by one, many partitions would take longer than a member may stay away.
            # The ends first, so that nothing lies between them and what is found to begin with.
            ends = kafka.end_offsets(self._settings, new)
            starts = kafka.offsets_for_times(self._consumer, dict.fromkeys(new, since_ms))
            for part in new:
                polled.pop(part, None)
                start = starts[part]
                self._consumer.seek(part, ends[part] if start is None else start)
        for number in numbers:
            for wanted in self._writer.without_strip(number, time.time_ns() - STRIP_AGE_NS):
                self._cutter.want(number, wanted, time.monotonic())

    def _step_over(self, part: TopicPartition, offset: int) -> None:
        self._counts["unreadable"] += 1
        self._next[part] = offset + 1

    def commit(self) -> None:
        """Bring the minutes up to date, then commit what a successor need not read again.

        Raises
        ------
        SQLAlchemyError
            This session is over.
        """
        self._writer.aggregate(self._minutes)
        self._minutes.clear()
        offsets = {part: offset for part, offset in self._next.items() if not self._is_raw(part)}
        for number in self._numbers:
            safe = self._cutter.safe_offset(number)
            if safe is not None:
                offsets[self._raw(number)] = safe
        if not offsets:
            return
        try:
            self._consumer.commit(
                {part: OffsetAndMetadata(offset, "", -1) for part, offset in offsets.items()},
                timeout_ms=COMMIT_MS,
            )
        except KafkaError as error:
            # The broker is away, or the partitions are another's: it reads again what is written already.
            self._counts["commits_refused"] += 1
            logger.warning("offsets not committed, they will be later: %s", error)

    def close(self) -> None:
        """Leave the group; nothing is committed here."""
        self._consumer.close(autocommit=False, timeout_ms=1_000)
        self._history.close()
