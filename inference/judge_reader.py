"""Raw records of one partition, read back from some time on: past records first, then those that come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kafka import TopicPartition

from inference.intake import RawRecord
from inference.reading import RawReader
from ingest import kafka
from ingest.settings import Settings

POLL_MS: Final = 100
MAX_RECORDS: Final = 2_000
FETCH_BYTES: Final = 8_388_608


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a partition has been read.

    Attributes
    ----------
    offset : int
        Where to go on.
    over : bool
        Whether a record has been met that came too late.
    at_end : bool
        Whether there is nothing more yet.
    """

    offset: int
    over: bool
    at_end: bool


class PastReader:
    """Reads the raw topic beside the workers, outside of their group.

    Parameters
    ----------
    settings : Settings
        Broker and topics.
    """

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.topics.raw
        self._consumer = kafka.consumer(
            settings,
            group_id=None,
            fetch_max_wait_ms=POLL_MS,
            fetch_max_bytes=FETCH_BYTES,
            max_partition_fetch_bytes=FETCH_BYTES,
        )
        # The worker has dead-lettered what cannot be read.
        self._reader = RawReader(self._consumer, lambda part, offset: None)

    def since(self, number: int, time_ms: int) -> int:
        """Offset of the first record of a partition at or after a broker time; the end if there is none."""
        part = self._assign(number)
        found = kafka.offsets_for_times(self._consumer, {part: time_ms})[part]
        if found is not None:
            return found
        self._consumer.seek_to_end(part)
        return int(self._consumer.position(part))

    def read(
        self,
        number: int,
        offset: int,
        until_ms: int,
        take: Callable[[RawRecord], None],
        enough: Callable[[], bool],
    ) -> Progress:
        """Hand on what there is now.

        Parameters
        ----------
        number, offset : int
            Partition, and where to begin.
        until_ms : int
            Broker time after which nothing is handed on.
        take : callable
            Is given each record.
        enough : callable
            Asked after each poll whether to stop.
        """
        part = self._assign(number)
        if self._consumer.position(part) != offset:
            self._consumer.seek(part, offset)
        while not enough():
            before = offset
            records = self._reader.poll(POLL_MS, MAX_RECORDS).get(part, [])
            for record in records:
                if record.timestamp > until_ms:
                    return Progress(record.offset, over=True, at_end=False)
                take(record)
            offset = int(self._consumer.position(part))
            end = self._consumer.highwater(part)
            at_end = end is not None and offset >= int(end)
            if at_end or offset == before:
                return Progress(offset, over=False, at_end=at_end)
        return Progress(offset, over=False, at_end=False)

    def _assign(self, number: int) -> TopicPartition:
        part = TopicPartition(self._topic, number)
        if self._consumer.assignment() != {part}:
            self._consumer.assign([part])
        return part

    def close(self) -> None:
        """Let go of the broker."""
        self._consumer.close(autocommit=False)
