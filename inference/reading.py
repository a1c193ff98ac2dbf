"""Polls raw records; one that Kafka's own client cannot parse is stepped over and stops nothing else."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable
from typing import Final

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import CorruptRecordError, KafkaError, UnsupportedCodecError
from kafka.structs import MemberState

from inference.intake import RawRecord

logger = logging.getLogger(__name__)

Polled = dict[TopicPartition, list[RawRecord]]

OLD_MS: Final = 2_000
"""Older than this when they are read, records tell nothing of whether their device still sends."""

LATELY_S: Final = 1.5
"""What was read so shortly ago tells that reading works: half of what a signal may be overdue."""

JOINING_MS: Final = 1_000
"""How long a poll lasts while the group shares out its partitions.

kafka-python 3.0.12 drops what it is given if that comes between two polls, and asks anew: with short polls
and pauses between them it took 10 to 15 s to take over a killed member's partitions, with these 9 (of which 6
are the session).
"""

SETTLED_S: Final = 7.0
"""Longer than a session: who slept, or has just taken beds over, knows after it that they are its own, and
has read what staff commanded."""

STANDSTILL_S: Final = 5.0
"""Whoever did not poll for so long slept."""

ENDS_MS: Final = 500
"""How long the broker may take to say where its partitions end."""

UNREADABLE = (CorruptRecordError, UnsupportedCodecError, UnicodeDecodeError)
"""What ``poll`` raises, at the same place for ever, for a record whose frame is damaged."""


class RawReader:
    """Reads the raw topic as a member of the group.

    Parameters
    ----------
    consumer : KafkaConsumer
        Subscribed.
    on_unreadable : callable
        Called with partition and offset of each record that was stepped over.
    """

    def __init__(self, consumer: KafkaConsumer, on_unreadable: Callable[[TopicPartition, int], None]) -> None:
        self._consumer = consumer
        self._on_unreadable = on_unreadable

    @property
    def joining(self) -> bool:
        """Whether the group shares out its partitions: nothing is read until then. Never without a group."""
        member = self._consumer.group_metadata()
        return member.group_id is not None and member.state != MemberState.STABLE

    def poll(self, timeout_ms: int, max_records: int) -> Polled:
        """Return new records by partition; none when one had to be stepped over or the line was cut.

        Waits for longer while the group shares out its partitions.

        Raises
        ------
        KafkaError
            Trying again would not help.
        """
        waits_ms = max(timeout_ms, JOINING_MS) if self.joining else timeout_ms
        self._prepare()
        try:
            return dict(self._consumer.poll(timeout_ms=waits_ms, max_records=max_records))
        except UNREADABLE as error:
            part = self._at_fault(error)
            position = int(self._consumer.position(part))
            logger.warning("%s/%d@%d cannot be read: %s", part.topic, part.partition, position, error)
            # The batch comes again from the next offset on: poll by poll, until what follows is readable.
            self._consumer.seek(part, position + 1)
            self._on_unreadable(part, position)
            return {}
        except KafkaError as error:
            # kafka-python mostly waits in silence, but not where the line breaks while it looks for the
            # group's coordinator. Nothing was taken out: the next poll goes on.
            if not error.retriable:
                raise
            logger.warning("nothing read this time: %s", error)
            return {}

    def _prepare(self) -> None:
        """Put the client in a state in which a poll returns.

        Of a poll that gave records and met one that it could not parse, kafka-python 3.0.12 keeps the error
        for the next. Were its partition paused by then the error would be forgotten and the dead batch
        iterated over for ever; were another partition taken in hand, it could not be told whose it is.
        """
        kept = getattr(getattr(self._consumer, "_fetcher", None), "_next_in_line_exception_metadata", None)
        if kept is None:
            self._take_up_parked()
        elif kept.partition in self._consumer.paused():
            self._consumer.resume(kept.partition)

    def _take_up_parked(self) -> None:
        """Let what the client holds of a partition that was paused be read on.

        kafka-python 3.0.12 takes it up where its place for the partition in hand is None, which it is not
        once that one is empty, nor while a backlog fills every poll: nothing more would come of a partition
        that was paused half read. So the one in hand is put behind those that wait.
        """
        fetcher = getattr(self._consumer, "_fetcher", None)
        if fetcher is None:
            return
        in_hand, waiting = fetcher._next_partition_records, fetcher._paused_partition_records
        if not in_hand:
            fetcher._next_partition_records = None
        elif waiting.keys() - self._consumer.paused():
            waiting[in_hand.topic_partition] = in_hand
            fetcher._next_partition_records = None

    def _at_fault(self, error: Exception) -> TopicPartition:
        """Partition whose record could not be read.

        kafka-python 3.0.12 does not say it in the error, and polling on without a seek would never return: it
        iterates over the dead batch for ever. So this looks at the batch that it has in hand.
        """
        in_hand = getattr(getattr(self._consumer, "_fetcher", None), "_next_partition_records", None)
        part = getattr(in_hand, "topic_partition", None)
        if not isinstance(part, TopicPartition):
            raise error
        return part


def more_waits(consumer: KafkaConsumer, parts: Iterable[TopicPartition]) -> bool:
    """Whether some partitions are known to have more than what was read; asks nobody."""
    for part in parts:
        end = consumer.highwater(part)
        if end is not None and (consumer.position(part, timeout_ms=ENDS_MS) or 0) < end:
            return True
    return False


class Abreast:
    """Tells whether what does not come is not there, or is only not read here.

    While a group shares out its partitions anew, or a line is cut, a worker reads nothing though devices
    send. Whoever looked at the clock then would say that a signal is missing, and its successor, who reads
    that signal without a gap, would not know that there is something to be taken back. So it is while a
    backlog is worked off, partition by partition: what has not come yet is there to be read.

    Parameters
    ----------
    consumer : KafkaConsumer
        Reads the raw topic.
    """

    def __init__(self, consumer: KafkaConsumer) -> None:
        self._consumer = consumer
        self._abreast_s = self._noted_s = self._unsettled_s = -math.inf
        self._read_s: dict[TopicPartition, float] = {}

    def note(self, polled: Polled, now_s: float) -> None:
        """Note what a poll gave."""
        if now_s - self._noted_s > STANDSTILL_S:
            self.unsettle(now_s)
        self._noted_s = now_s
        if polled:
            self._abreast_s = now_s
            since_ms = time.time() * 1e3 - OLD_MS
            for part, records in polled.items():
                # Old records are of a backlog: what a signal sent since may lie behind them.
                old = bool(records) and records[-1].timestamp < since_ms
                self._read_s[part] = -math.inf if old else now_s

    def unsettle(self, now_s: float) -> None:
        """Note that beds were taken over."""
        self._unsettled_s = now_s

    def reads(self, now_s: float) -> bool:
        """Whether something came just now, be it old, and has for a while: these are this worker's beds."""
        return self._came_lately(now_s) and now_s - self._unsettled_s >= SETTLED_S

    def _came_lately(self, now_s: float) -> bool:
        return now_s - self._abreast_s < LATELY_S

    def _waiting(self, now_s: float) -> bool:
        """Whether a partition that was not read just now is known to have more to read."""
        parts = self._consumer.assignment()
        unread = {part for part in parts if now_s - self._read_s.get(part, -math.inf) >= LATELY_S}
        # Of a partition that is paused it is not known how far it reaches by now.
        return bool(unread & self._consumer.paused()) or more_waits(self._consumer, unread)

    def holds(self, now_s: float) -> bool:
        """Whether all that there is was read just now, or the broker says that there is nothing to read."""
        if self._came_lately(now_s):
            return not self._waiting(now_s)
        parts = self._consumer.assignment()
        if not parts:
            return False
        try:
            ends = self._consumer.end_offsets(parts, timeout_ms=ENDS_MS)
            at = {part: self._consumer.position(part, timeout_ms=ENDS_MS) for part in parts}
        except KafkaError as error:
            logger.debug("not known whether there is more to read: %s", error)
            return False
        abreast = all(at[part] is not None and at[part] >= ends.get(part, math.inf) for part in parts)
        if abreast:
            self._abreast_s = now_s
        return abreast
