"""Which partitions are read, by Kafka's pause and resume: beds at risk first, none far behind the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final

from kafka import KafkaConsumer, TopicPartition

from inference.reading import RawReader

TURN_S: Final = 1.0
"""While a worker is behind it reads partitions with beds at risk alone for so long, then the others alone."""

ABREAST_MS: Final = 2_000.0
"""So much newer may what was read of one partition be than what was read of another that has more waiting."""

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
        self._polled_s = 0.0

    def polled(self, now_s: float) -> None:
        """Note a poll."""
        self._polled_s = now_s

    def prefer(
        self, parts: Collection[TopicPartition], reached_ms: Mapping[TopicPartition, float], now_s: float
    ) -> None:
        """Read these alone, turn by turn with the others; of those in turn, who is furthest behind.

        Whoever is not preferred is read every second turn: an alarm may begin there, too. Not all are read
        then: what the client holds of those preferred would come first, for as long as it holds any. And what
        it holds of one partition may be minutes of it, while the other beds get older.

        Parameters
        ----------
        parts : collection of TopicPartition
            Those to prefer; with none or all of them there are no turns.
        reached_ms : mapping
            Of partitions that have more waiting: when the broker got what was read last; -inf: nothing was.
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
        in_turn = {part: reached_ms[part] for part in (assigned - aside) & reached_ms.keys()}
        limit_ms = min(in_turn.values(), default=0.0) + ABREAST_MS
        self._pause(aside | {part for part, at_ms in in_turn.items() if at_ms > limit_ms})

    def open(self) -> None:
        """Read all partitions."""
        self._alone = False
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
