"""The worker's outputs on their topics: what concerns one bed in its raw partition, batches in a few.

A record costs its writer and each of its readers some 100 µs, however little it holds: predictions and
numbers of all beds of a poll go out in an eighth as many records as there are partitions, or in eight. Which
one is a bed's follows from its raw partition alone, so that its order is kept whoever speaks of it.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, TypeVar

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaTimeoutError
from kafka.producer.future import RecordMetadata

from inference.commands import HEADER
from inference.errors import NotDelivered
from inference.monitor import Outcome
from inference.patience import FLUSH_S, Patience
from inference.types import Alarm, Audit, Bed, DeadLetter, PredictionBatch, Verdict, VitalBatch
from ingest.settings import Topics
from ingest.tansu import is_unsure

logger = logging.getLogger(__name__)

encode = msgspec.json.Encoder().encode

LEAST_BATCHES: Final = 8

AGAIN_S: Final = 0.05
"""Least time between two sendings of what the broker confirms without an offset."""


def batch_partitions(n_partitions: int) -> int:
    """So many partitions of their topics are used by predictions and numbers: an eighth, 8 at least."""
    return max(LEAST_BATCHES, n_partitions // 8)


class _OfBed(Protocol):
    @property
    def bed(self) -> str: ...


Item = TypeVar("Item", bound=_OfBed)


@dataclass(frozen=True, slots=True)
class _Record:
    topic: str
    value: bytes
    partition: int
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class Outputs:
    """Sends what was found. Nothing here waits: :meth:`flush` does.

    Parameters
    ----------
    producer : KafkaProducer
        Acknowledged by all replicas, in order.
    topics : Topics
        Where to.
    partition_of : callable
        Gives a bed's raw partition.
    patience : Patience or None
        How long a broker is waited for.
    batches : int
        Partitions that predictions and numbers go to.
    """

    def __init__(
        self,
        producer: KafkaProducer,
        topics: Topics,
        partition_of: Callable[[str], int],
        patience: Patience | None = None,
        batches: int = LEAST_BATCHES,
    ) -> None:
        self._batches = batches
        self._producer = producer
        self._patience = patience or Patience()
        self._topics = topics
        self._partition_of = partition_of
        self._failure: BaseException | None = None
        self._unsure: list[_Record] = []

    def send(self, outcome: Outcome) -> None:
        """Send alarms first, then predictions and vitals; before them what a broker may have lost."""
        self._send_again()
        for alarm in outcome.alarms:
            self.send_alarm(alarm)
        for number, predictions in self._batched(outcome.predictions):
            self._put(self._topics.predictions, encode(PredictionBatch(predictions)), number)
        for number, vitals in self._batched(outcome.vitals):
            self._put(self._topics.vitals, encode(VitalBatch(vitals)), number)

    def send_alarm(self, alarm: Alarm) -> None:
        """Send one step of an alarm's life."""
        self._put(self._topics.alarms, encode(alarm), self._partition_of(alarm.bed), alarm.bed.encode())

    def send_audit(self, audit: Audit) -> None:
        """Send the answer to a command."""
        key = (audit.bed or audit.ward or "").encode()
        self._put(self._topics.audit, encode(audit), audit.partition, key)

    def send_bed(self, bed: Bed) -> None:
        """Send how a bed is set."""
        self._put(self._topics.beds, encode(bed), self._partition_of(bed.bed), bed.bed.encode())

    def send_command(self, bed: str, value: bytes, signature: bytes) -> None:
        """Send a command that follows from another."""
        headers = ((HEADER, signature),)
        self._send(_Record(self._topics.commands, value, self._partition_of(bed), bed.encode(), headers))

    def send_verdict(self, verdict: Verdict) -> None:
        """Send what is said of a device's alarm."""
        self._put(
            self._topics.verdicts, encode(verdict), self._partition_of(verdict.bed), verdict.bed.encode()
        )

    def send_dead_letter(self, letter: DeadLetter) -> None:
        """Send a refused record."""
        self._put(self._topics.dead_letters, encode(letter), letter.partition)

    def _batched(self, items: Iterable[Item]) -> Iterable[tuple[int, list[Item]]]:
        groups: dict[int, list[Item]] = defaultdict(list)
        for item in items:
            groups[self._partition_of(item.bed) % self._batches].append(item)
        return groups.items()

    def _put(self, topic: str, value: bytes, number: int, key: bytes | None = None) -> None:
        self._send(_Record(topic, value, number, key))

    def _send(self, record: _Record) -> None:
        future = self._producer.send(
            record.topic,
            record.value,
            key=record.key,
            partition=record.partition,
            headers=list(record.headers),
        )
        future.add_callback(partial(self._check, record))
        future.add_errback(self._note_failure)

    def _check(self, record: _Record, confirmed: RecordMetadata) -> None:
        if is_unsure(confirmed):
            self._unsure.append(record)

    def _send_again(self) -> None:
        """Send once more, in its order, what has been confirmed without an offset so far."""
        for _ in range(len(self._unsure)):
            self._send(self._unsure[0])
            del self._unsure[0]

    def _send_unsure(self) -> None:
        began_s = time.monotonic()
        # What was refused is no better for waiting.
        while self._unsure and self._failure is None:
            left_s = self._patience.left_s(began_s + FLUSH_S - time.monotonic())
            if left_s <= 0:
                raise self._not_confirmed()
            self._send_again()
            self._patience.flush(self._producer)
            if self._unsure:
                time.sleep(min(AGAIN_S, left_s))

    def _not_confirmed(self) -> KafkaTimeoutError:
        said = f"the broker gave no offset of {len(self._unsure)} outputs in time"
        if self._patience.ending:
            logger.warning("%s; nothing is committed, a successor finds them again", said)
        return KafkaTimeoutError(said)

    def _note_failure(self, error: BaseException) -> None:
        self._failure = self._failure or error

    def send_state(self, key: str, value: bytes, number: int) -> None:
        """Send the state of one signal."""
        self._put(self._topics.state, value, number, key.encode())

    def flush(self) -> None:
        """Wait until all is acknowledged.

        Raises
        ------
        NotDelivered
            Something sent since the worker's start was refused or expired.
        KafkaTimeoutError
            The broker does not answer, or gives no offset of something however often it is sent: the next
            call sends that again.
        """
        self._patience.flush(self._producer)
        self._send_unsure()
        if self._failure is not None:
            raise NotDelivered(f"an output was not delivered: {self._failure}") from self._failure
