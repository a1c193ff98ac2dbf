"""Polls raw records; one that Kafka's own client cannot parse is stepped over and stops nothing else."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Final

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import CorruptRecordError, KafkaError, UnsupportedCodecError

from inference.intake import RawRecord

logger = logging.getLogger(__name__)

Polled = dict[TopicPartition, list[RawRecord]]

LATELY_S: Final = 1.5
"""What was read so shortly ago tells that reading works: half of what a signal may be overdue."""

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

    def poll(self, timeout_ms: int, max_records: int) -> Polled:
        """Return new records by partition; none when one had to be stepped over or the line was cut.

        Raises
        ------
        KafkaError
            Trying again would not help.
        """
        try:
            return dict(self._consumer.poll(timeout_ms=timeout_ms, max_records=max_records))
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


class Abreast:
    """Tells whether what does not come is not there, or is only not read here.

    While a group shares out its partitions anew, or a line is cut, a worker reads nothing though devices
    send. Whoever looked at the clock then would say that a signal is missing, and its successor, who reads
    that signal without a gap, would not know that there is something to be taken back.

    Parameters
    ----------
    consumer : KafkaConsumer
        Reads the raw topic.
    """

    def __init__(self, consumer: KafkaConsumer) -> None:
        self._consumer = consumer
        self._abreast_s = -math.inf

    def note(self, polled: Polled, now_s: float) -> None:
        """Note what a poll gave."""
        if polled:
            self._abreast_s = now_s

    def holds(self, now_s: float) -> bool:
        """Whether something was read just now, or the broker says that there is nothing to read."""
        if now_s - self._abreast_s < LATELY_S:
            return True
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
