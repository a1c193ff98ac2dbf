"""How long a process waits for a broker that does not answer: long while it works, shortly when it ends."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from typing import Final

from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError

from ingest.errors import BrokerError

logger = logging.getLogger(__name__)

FLUSH_S: Final = 30.0
"""While it works: a broker that is restarted comes back within this."""

COMMIT_S: Final = 5.0
"""An offset that is not committed by then is committed the next time."""

LAST_S: Final = 4.0
"""For all last words together: containers are killed 10 s after they were told to end."""

_SLICE_S: Final = 0.5


def may_pass(error: Exception) -> bool:
    """Whether trying again may help: the broker did not answer, rather than that it refused."""
    cause = error.__cause__ if isinstance(error, BrokerError) and error.__cause__ is not None else error
    return bool(cause.retriable) if isinstance(cause, KafkaError) else True


class Patience:
    """Waits for deliveries, and no longer than :data:`LAST_S` once the process is to end."""

    def __init__(self) -> None:
        self._stopped: Callable[[], bool] = lambda: False
        self._until_s: float | None = None

    def watch(self, stopped: Callable[[], bool]) -> None:
        """Look here for whether the process is to end."""
        self._stopped = stopped

    @property
    def ending(self) -> bool:
        """Whether the process is to end."""
        return self._until_s is not None or self._stopped()

    def left_s(self, most_s: float) -> float:
        """How long may be waited from now on."""
        if self._until_s is None and self._stopped():
            self._until_s = time.monotonic() + LAST_S
        return most_s if self._until_s is None else min(most_s, max(0.0, self._until_s - time.monotonic()))

    def flush(self, producer: KafkaProducer) -> None:
        """Wait until all is acknowledged.

        Raises
        ------
        KafkaTimeoutError
            Not in time.
        """
        began_s = time.monotonic()
        while True:
            left_s = self.left_s(began_s + FLUSH_S - time.monotonic())
            try:
                producer.flush(timeout=max(0.0, min(_SLICE_S, left_s)))
            except KafkaTimeoutError:
                if left_s <= _SLICE_S:
                    raise
            else:
                return

    def commit_ms(self) -> int:
        """How long a commit may take (ms)."""
        return round(1e3 * self.left_s(COMMIT_S))

    def close(self, producer: KafkaProducer, consumer: KafkaConsumer) -> None:
        """Leave the group and close; says in one line what did not reach the broker."""
        try:
            consumer.close(autocommit=False, timeout_ms=max(100, self.commit_ms()))
        except KafkaError as error:
            logger.warning("left its group without a word: %s", error)
        try:
            self.flush(producer)
        except KafkaTimeoutError:
            logger.warning(
                "ended without the broker: what was found since the last commit is not all delivered; a "
                "successor finds it again"
            )
            drop(producer)
        else:
            producer.close(timeout=1.0)


def drop(producer: KafkaProducer) -> None:
    """Close a producer with what it has not delivered.

    ``close`` raises where something is left and is called again at the interpreter's end; kafka-python 3.0.12
    has no public way round it.
    """
    try:
        producer.close(timeout=_SLICE_S)
    except KafkaTimeoutError:
        producer._sender.force_close()
        producer._sender.join(1.0)
        with contextlib.suppress(KafkaError):
            producer.close(timeout=_SLICE_S)
