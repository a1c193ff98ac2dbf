"""Which partitions are read, by Kafka's pause and resume: beds at risk first, all others in rounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Final

from kafka import KafkaConsumer, TopicPartition

from inference.reading import RawReader

TURN_S: Final = 1.0
"""While a worker is behind it reads partitions with beds at risk alone for so long, then the others alone."""

BREATHE_S: Final = 5.0
"""So long may work go on without a poll: a member that does not poll is thought dead (30 s by default)."""

PAUSED: Final = "partitions_paused"
"""Counter: how often a partition was paused."""


class Valve:
    """Pauses partitions and resumes them. Nothing is lost: a paused partition is read on where it stands.

    Parameters
    ----------
    consumer : KafkaConsumer
        Member of the group.
    reader : RawReader
        Polls it.
    counts : Counter
        Takes :data:`PAUSED`.
    """

    def __init__(self, consumer: KafkaConsumer, reader: RawReader, counts: Counter[str]) -> None:
        self._consumer, self._reader, self._counts = consumer, reader, counts
        self._turn_s = 0.0
        self._alone = False
        self._served: set[TopicPartition] = set()
        self._polled_s = 0.0

    def polled(self, parts: Iterable[TopicPartition], now_s: float) -> None:
        """Note of which partitions a poll gave records."""
        self._polled_s = now_s
        self._served.update(parts)

    def prefer(
        self, parts: Collection[TopicPartition], waiting: Collection[TopicPartition], now_s: float
    ) -> None:
        """Read these alone, turn by turn with the others; of those in turn, who was not read in this round.

        Whoever is not preferred is read every second turn: an alarm may begin there, too. Not all are read
        then: what the client holds of those preferred would come first, for as long as it holds any. Likewise
        in rounds: what it holds of one partition may be minutes of it, while the other beds get older.

        Parameters
        ----------
        parts : collection of TopicPartition
            Those to prefer; with none or all of them there are no turns.
        waiting : collection of TopicPartition
            Those that are known to have more than what was read.
        now_s : float
            Monotonic.
        """
        assigned = self._consumer.assignment()
        mine = assigned & set(parts)
        others = assigned - mine
        aside: set[TopicPartition] = set()
        if others and mine:
            if now_s >= self._turn_s + TURN_S:
                self._turn_s, self._alone = now_s, not self._alone
            aside = others if self._alone else mine
        in_turn = (assigned - aside) & set(waiting)
        self._served &= set(waiting)
        if in_turn <= self._served:
            self._served -= in_turn
        self._pause(aside | (in_turn & self._served))

    def open(self) -> None:
        """Read all partitions."""
        self._alone = False
        self._served.clear()
        self._pause(set())

    def _pause(self, wanted: set[TopicPartition]) -> None:
        paused = self._consumer.paused()
        if wanted - paused:
            self._counts[PAUSED] += len(wanted - paused)
            self._consumer.pause(*(wanted - paused))
        if paused - wanted:
            self._consumer.resume(*(paused - wanted))

    def breathe(self, now_s: float) -> None:
        """Stay a member of the group while work goes on: poll, if it is time, without reading anything."""
        if now_s < self._polled_s + BREATHE_S:
            return
        self._polled_s = now_s
        before = set(self._consumer.paused())
        self._pause(set(self._consumer.assignment()))
        for part, records in self._reader.poll(0, 1).items():
            # New here since this poll: it is read again once it is taken up.
            self._consumer.seek(part, records[0].offset)
        self._pause(before & set(self._consumer.assignment()))
