"""Polls raw records; one that Kafka's own client cannot parse is stepped over and stops nothing else."""

from __future__ import annotations

import logging
from collections.abc import Callable

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import CorruptRecordError, KafkaError, UnsupportedCodecError

from inference.intake import RawRecord

logger = logging.getLogger(__name__)

Polled = dict[TopicPartition, list[RawRecord]]

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
