"""The load of a worker: how far it is behind, and what it does about it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import Final

from kafka import KafkaConsumer, TopicPartition

from inference.alarm_book import AlarmBook
from inference.monitor import Outcome
from inference.partitions import Partitions
from inference.reading import Polled, RawReader, more_waits
from inference.schedule import Overload, Pace, Pieces, at_risk, batches, thinned
from inference.schedule_reading import Valve

ROUND_RECORDS: Final = 256
"""So much of a partition is read in a round of all that have more waiting: a flood holds up the others for
as long as this takes, a quarter of a second."""

THINNED = "predictions_thinned"
"""Counter: predictions that only feed the display and were left out."""


class Load:
    """What a worker reads next, in which order it judges, and what it leaves out.

    Parameters
    ----------
    consumer : KafkaConsumer
        Member of the group.
    reader : RawReader
        Polls it.
    book : AlarmBook
        Says which beds are at risk.
    overload : Overload
        What becomes of predictions that only feed the display.
    counts : Counter
        Counters of the worker.
    """

    def __init__(
        self,
        consumer: KafkaConsumer,
        reader: RawReader,
        book: AlarmBook,
        overload: Overload,
        counts: Counter[str],
    ) -> None:
        self._consumer, self._book = consumer, book
        self._overload, self._counts = overload, counts
        self._pace = Pace()
        self._valve = Valve(consumer, reader, counts)

    @property
    def records(self) -> int:
        """Most records of the next poll: fewer while behind, so that each partition's turn comes soon."""
        return min(self._pace.records, ROUND_RECORDS) if self._pace.behind else self._pace.records

    def polled(self, polled: Polled, partitions: Partitions, topic: str, now_s: float) -> None:
        """Find out whether the worker is behind; if so, read beds at risk first, the others in rounds."""
        self._valve.polled(polled, now_s)
        if polled:
            oldest_ms = min(records[0].timestamp for records in polled.values())
            age_s = time.time() - oldest_ms / 1e3
            self._pace.note_age(age_s, lambda: more_waits(self._consumer, self._consumer.assignment()))
        # A turn in which nothing comes is over: what waits is elsewhere.
        if not polled or not self._pace.behind:
            self._valve.open()
            return
        risky, waiting = [], []
        for partition in partitions.values():
            part = TopicPartition(topic, partition.number)
            if any(self.at_risk(bed) for bed, _ in partition.streams):
                risky.append(part)
            # The client's own place: a partition that was taken up and has no new record was read to its end.
            at = max(partition.next_offset, partitions.positions.get(partition.number, 0))
            if at < (self._consumer.highwater(part) or 0):
                waiting.append(part)
        self._valve.prefer(risky, waiting, now_s)

    def at_risk(self, bed: str) -> bool:
        """Whether a patient's grave alarm goes on at a bed."""
        return at_risk(self._book, bed)

    def batches(self, pieces: Pieces) -> Iterable[Pieces]:
        """Pieces of a poll, beds at risk first; between two batches the worker shows that it lives."""
        for batch in batches(pieces, self.at_risk):
            yield batch
            self._valve.breathe(time.monotonic())

    def shown(self, outcome: Outcome) -> Outcome:
        """Leave out what may be while the worker is behind, and count it."""
        if self._overload is Overload.QUEUE or not self._pace.behind:
            return outcome
        shown, n_left = thinned(outcome, self.at_risk)
        self._counts[THINNED] += n_left
        return shown

    def worked(self, n_records: int, began_s: float) -> None:
        """Note that the records of a poll are judged and sent."""
        self._pace.note_work(n_records, time.monotonic() - began_s)
