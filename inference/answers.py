"""Answers to commands, read by one thread for all who wait, so that nobody waits behind another's command."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from inference.types import Audit
from ingest import kafka
from ingest.errors import BrokerError
from ingest.settings import Settings

logger = logging.getLogger(__name__)

_POLL_MS: Final = 100
_decoder = msgspec.json.Decoder(Audit)

Place = tuple[str, int]
"""Id and partition of an answer."""


class Answers:
    """Answers to one command, and to those that follow from it, as far as they have come."""

    def __init__(self, condition: threading.Condition) -> None:
        self._condition = condition
        self._found: dict[Place, Audit] = {}
        self._problem: BaseException | None = None

    def put(self, answer: Audit) -> None:
        """Take in an answer; the first of its place counts, for a successor may answer once more."""
        with self._condition:
            self._found.setdefault((answer.id, answer.partition), answer)
            self._condition.notify_all()

    def fail(self, problem: BaseException) -> None:
        """There will be no more."""
        with self._condition:
            self._problem = problem
            self._condition.notify_all()

    def wait(self, enough: Callable[[dict[Place, Audit]], bool], timeout_s: float) -> dict[Place, Audit]:
        """Wait until there are enough, or the time is over; return what there is.

        Raises
        ------
        BrokerError
            The answers cannot be read.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._problem is not None or enough(self._found), timeout_s)
            if self._problem is not None and not enough(self._found):
                raise BrokerError(f"the answers cannot be read: {self._problem}") from self._problem
            return dict(self._found)


class AnswerReader:
    """The thread that reads the audit trail from its present end on.

    Parameters
    ----------
    settings : Settings
        Broker and topics.

    Raises
    ------
    BrokerError
        No broker answers.
    """

    def __init__(self, settings: Settings) -> None:
        self._consumer = _read_from_end(settings)
        self._condition = threading.Condition()
        self._waiting: dict[str, Answers] = {}
        self._problem: BaseException | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="answers", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it still reads; after an error it does not, and a new one is needed."""
        return self._thread.is_alive()

    @contextmanager
    def expect(self, id_: str) -> Iterator[Answers]:
        """Collect the answers to a command that is sent from now on."""
        answers = Answers(self._condition)
        with self._condition:
            self._waiting[id_] = answers
            if self._problem is not None:
                answers.fail(self._problem)
        try:
            yield answers
        finally:
            with self._condition:
                del self._waiting[id_]

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                for records in self._consumer.poll(timeout_ms=_POLL_MS).values():
                    for record in records:
                        self._take(record.value)
        except (KafkaError, OSError) as error:
            logger.warning("answers to commands cannot be read: %s", error)
            with self._condition:
                self._problem = error
                for answers in self._waiting.values():
                    answers.fail(error)
        finally:
            self._consumer.close(autocommit=False)

    def _take(self, value: bytes | None) -> None:
        try:
            answer = _decoder.decode(value or b"")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        with self._condition:
            answers = self._waiting.get(answer.id.partition("/")[0])
        if answers is not None:
            answers.put(answer)

    def close(self) -> None:
        """Stop reading."""
        self._stopping.set()
        self._thread.join()


def _read_from_end(settings: Settings) -> KafkaConsumer:
    topic = settings.topics.audit
    kafka.ensure_topic(settings, topic)
    parts = [TopicPartition(topic, number) for number in range(settings.kafka.partitions)]
    ends = kafka.end_offsets(settings, parts)
    reader = kafka.consumer(settings, group_id=None, fetch_max_wait_ms=_POLL_MS)
    reader.assign(parts)
    for part, end in ends.items():
        reader.seek(part, end)
    return reader
