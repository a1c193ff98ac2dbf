"""Reads a bed's raw records that lie further back in Kafka than the recorder keeps them."""

from __future__ import annotations

import logging
import time
from typing import Final

from kafka import KafkaConsumer, TopicPartition

from inference.intake import RawRecord
from inference.reading import RawReader
from inference.strips import Received
from ingest import kafka, signing
from ingest.admission import content_type
from ingest.settings import Settings

logger = logging.getLogger(__name__)

LONGEST_READ_S: Final = 10.0
LONGEST_FAR_S: Final = 5.0
"""The same of more than :data:`FAR_MS`: a strip may need both, and who does not poll meanwhile for half a
minute is put out of the group."""

FAR_MS: Final = 120_000
POLL_MS: Final = 200
MOST_RECORDS: Final = 2_000


def received(record: RawRecord) -> Received:
    """What is kept of a raw record."""
    signed = tuple(one for one in record.headers if one[0] in (signing.SIGNATURE, signing.SIGNED_BY))
    said = content_type(record.headers)
    return Received(record.offset, record.timestamp, record.value or b"", said, signed)


class RawHistory:
    """A reader without a group, made when it is first needed.

    Parameters
    ----------
    settings : Settings
        Broker and topics.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer: KafkaConsumer | None = None

    def close(self) -> None:
        """Close the connection."""
        if self._consumer is not None:
            self._consumer.close(autocommit=False)

    def read(self, number: int, bed: str, raw_offset: int, before_ms: int, after_ms: int) -> list[Received]:
        """Records of a bed from ``before_ms`` before to ``after_ms`` after the record at an offset.

        Parameters
        ----------
        number : int
            Partition of the raw topic.
        bed : str
            Only its records are given.
        raw_offset : int
            Of the record whose time of receipt counts.
        before_ms, after_ms : int
            Span around it, broker's time.

        Returns
        -------
        list of Received
            In order; empty where the topic no longer has them, cut short where reading takes too long.

        Raises
        ------
        KafkaError, BrokerError
            The broker does not answer.
        """
        if self._consumer is None:
            self._consumer = kafka.consumer(self._settings, group_id=None)
        reader, part = self._consumer, TopicPartition(self._settings.topics.raw, number)
        reader.assign([part])
        first = reader.beginning_offsets([part])[part]
        if not first <= raw_offset < kafka.end_offsets(self._settings, [part])[part]:
            return []
        reader.seek(part, raw_offset)
        deadline = time.monotonic() + (LONGEST_FAR_S if before_ms > FAR_MS else LONGEST_READ_S)
        centre = self._scan(reader, part, 0, deadline)
        if not centre:
            return []
        at_ms = centre[0].timestamp
        start = kafka.offsets_for_times(reader, {part: at_ms - before_ms})[part]
        reader.seek(part, first if start is None else start)
        records = self._scan(reader, part, at_ms + after_ms, deadline)
        logger.info("the signals of bed %s around offset %d were read again", bed, raw_offset)
        return [received(record) for record in records if record.key == bed.encode()]

    def _scan(
        self, reader: KafkaConsumer, part: TopicPartition, until_ms: int, deadline: float
    ) -> list[RawRecord]:
        """Read until a record is younger (that one included), to the end, or until a moment (monotonic s)."""
        source = RawReader(reader, _say_unreadable)
        found: list[RawRecord] = []
        while time.monotonic() < deadline:
            found.extend(source.poll(POLL_MS, MOST_RECORDS).get(part, []))
            end = reader.highwater(part)
            if (found and found[-1].timestamp > until_ms) or (
                end is not None and reader.position(part) >= end
            ):
                return found
        logger.warning("partition %d was not read through in time: %d records", part.partition, len(found))
        return found


def _say_unreadable(part: TopicPartition, offset: int) -> None:
    logger.debug("%s/%d@%d stepped over", part.topic, part.partition, offset)
