"""What a device integrator uses to send chunks.

A bounded queue stands between the device and Kafka: when the broker is away, :meth:`Publisher.publish` either
waits or the oldest chunk is dropped, as the integrator chose; both are said (log, :class:`PublisherStats`).
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal, Self

import numpy.typing as npt
from kafka.errors import KafkaError, KafkaTimeoutError
from kafka.producer.future import RecordMetadata

from ingest import kafka, signing, wire
from ingest.errors import BadChunk, PublishError
from ingest.settings import Settings, load_settings
from ingest.tansu import is_unsure
from ingest.wire_encode import Scale

logger = logging.getLogger(__name__)

_MAX_IN_FLIGHT: Final = 2_000
"""Records inside kafka-python, beyond which they wait in the own queue, where the oldest can be dropped."""

_AGAIN_S: Final = 0.05
"""Least time between two sendings of a record that the broker confirms without an offset."""

_LEAST_NS: Final = 10**16
"""April 1970: a smaller number of ns is another unit."""


@dataclass(frozen=True, slots=True)
class PublisherStats:
    """Counts of chunks since the publisher was made.

    Parameters
    ----------
    sent : int
        Accepted by :meth:`Publisher.publish`.
    acknowledged : int
        Stored by the broker.
    dropped : int
        Dropped as the oldest of a full queue.
    failed : int
        Given up after ``timeout_s``.
    waiting : int
        On their way.
    """

    sent: int
    acknowledged: int
    dropped: int
    failed: int
    waiting: int


@dataclass(slots=True)
class _Record:
    key: bytes
    value: bytes
    signature: list[tuple[str, bytes]] = field(default_factory=list)
    number: int = 0
    sent_s: float = -math.inf
    """When it was last handed to kafka-python (monotonic)."""
    until_s: float = math.inf
    """So long it is sent again."""


class Publisher:
    """Sends the chunks of one device (or of several) to the raw topic; safe to use from several threads.

    Parameters
    ----------
    settings : Settings or None
        ``None`` reads the environment.
    device : str
        Label of the device.
    on_full : {"block", "drop_oldest"}
        What :meth:`publish` does when ``max_waiting`` chunks wait: wait for room (at most ``timeout_s``), or
        drop the oldest chunk, which keeps what is live live.
    max_waiting : int
        Chunks that may wait.
    timeout_s : float
        After this time an undeliverable chunk is given up; also the longest wait for room.
    linger_ms : int
        How long a chunk may wait for company in its batch.
    content_type : str
        :data:`ingest.wire.AVRO` or :data:`ingest.wire.JSON`.

    Raises
    ------
    BrokerError
        No broker answers.

    Examples
    --------
    >>> with Publisher(device="monitor-7") as publisher:  # doctest: +SKIP
    ...     for start_ns, samples in amplifier:  # int16, shape (n_samples, 2)
    ...         publisher.publish(
    ...             bed="bed-01", kind="ecg", channels=("II", "V1"), unit="mV", fs_hz=250.0,
    ...             start_ns=start_ns, samples=samples, gain=200.0)
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        device: str,
        on_full: Literal["block", "drop_oldest"] = "block",
        max_waiting: int = 10_000,
        timeout_s: float = 30.0,
        linger_ms: int = 20,
        content_type: str = wire.AVRO,
    ) -> None:
        if on_full not in ("block", "drop_oldest"):
            raise ValueError(f"on_full={on_full!r}; use 'block' or 'drop_oldest'")
        if max_waiting < 1:
            raise ValueError(f"max_waiting={max_waiting}; it must be at least 1")
        self._settings = settings if settings is not None else load_settings()
        self._device = device
        self._drop_oldest = on_full == "drop_oldest"
        self._max_waiting = max_waiting
        self._timeout_s = timeout_s
        self._content_type = content_type
        self._headers = wire.headers(content_type)
        self._queue: deque[_Record] = deque()
        self._in_flight = 0
        self._sent = self._acknowledged = self._dropped = self._failed = 0
        self._failed_seen = 0
        self._last_error: BaseException | None = None
        self._full_said = False
        self._closing = self._closed = False
        self._again_s = -math.inf
        self._next_seq: dict[tuple[str, str, str], int] = {}
        self._condition = threading.Condition()
        kafka.ensure_topic(self._settings, self._settings.topics.raw)
        timeout_ms = max(1, int(timeout_s * 1000))
        self._producer = kafka.producer(
            self._settings,
            linger_ms=linger_ms,
            delivery_timeout_ms=timeout_ms,
            request_timeout_ms=max(1, min(timeout_ms - linger_ms, self._settings.kafka.request_timeout_ms)),
            max_block_ms=timeout_ms,
            bootstrap_timeout_ms=timeout_ms,
        )
        self._thread = threading.Thread(target=self._send, name="publisher", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if kind is None:
            self.close()
            return
        with contextlib.suppress(PublishError):
            self.close()

    @property
    def stats(self) -> PublisherStats:
        """Counts so far."""
        with self._condition:
            return PublisherStats(
                self._sent, self._acknowledged, self._dropped, self._failed, self._waiting_now()
            )

    def publish(
        self,
        *,
        bed: str,
        kind: str,
        channels: Sequence[str],
        unit: str,
        fs_hz: float,
        start_ns: int,
        samples: npt.ArrayLike,
        gain: Scale | None = None,
        baseline: Scale | None = None,
        seq: int | None = None,
        device: str | None = None,
        lead_off: Sequence[bool] | None = None,
        pacer_ns: Sequence[int] = (),
        status: str | None = None,
        battery: float | None = None,
    ) -> None:
        """Send one chunk. Returns at once unless the queue is full.

        Parameters are those of :func:`ingest.wire.encode`; ``seq`` is counted per (device, bed, kind) unless
        given.

        Raises
        ------
        BadChunk
            The chunk would be refused by the worker; nothing was sent.
        SettingsError
            Records are to be signed (``WARDWAVE_INGEST__DEVICE_KEYS``) and there is no key of the device.
        PublishError
            The publisher is closed, or there was no room for ``timeout_s`` (``on_full="block"``).
        """
        device = device if device is not None else self._device
        stream = (device, bed, str(kind))
        with self._condition:
            if self._closing:
                raise PublishError("the publisher is closed; make a new one")
            number = self._next_seq.get(stream, 0) if seq is None else seq
            value = wire.encode(
                bed=bed,
                device=device,
                kind=kind,
                channels=channels,
                unit=unit,
                fs_hz=fs_hz,
                start_ns=start_ns,
                seq=number,
                samples=samples,
                gain=gain,
                baseline=baseline,
                lead_off=lead_off,
                pacer_ns=pacer_ns,
                status=status,
                battery=battery,
                content_type=self._content_type,
            )
            self._check(value, start_ns)
            signature = signing.headers(signing.CHUNK, device, bed.encode(), value, self._settings.ingest)
            self._next_seq[stream] = number + 1
            self._accept(_Record(bed.encode(), value, signature))

    def _check(self, value: bytes, start_ns: int) -> None:
        """Refuse at once what the worker would refuse for its size or its clock.

        Raises
        ------
        BadChunk
            ``oversized`` or ``time_travel``.
        """
        limit = self._settings.ingest.max_record_bytes
        if len(value) > limit:
            raise BadChunk(
                "oversized",
                f"the chunk takes {len(value)} bytes, more than max_record_bytes={limit}; "
                "send shorter chunks",
            )
        if start_ns < _LEAST_NS:
            raise BadChunk(
                "time_travel",
                f"start_ns={start_ns}: that is no time in ns since the epoch (seconds perhaps?); "
                "time.time_ns() is",
            )

    def send_raw(self, key: bytes, value: bytes) -> None:
        """Send bytes as they are, unsigned, for tools that send what a broken device would send.

        Raises
        ------
        PublishError
            As :meth:`publish`.
        """
        with self._condition:
            if self._closing:
                raise PublishError("the publisher is closed; make a new one")
            self._accept(_Record(key, value))

    def flush(self, timeout_s: float | None = None) -> None:
        """Wait until every accepted chunk is acknowledged (or dropped).

        Raises
        ------
        PublishError
            Chunks still wait after ``timeout_s`` (default: the publisher's), or were given up since the last
            flush.
        """
        # Longer than the time after which kafka-python itself gives a chunk up.
        limit_s = self._timeout_s + 1.0 if timeout_s is None else timeout_s
        with self._condition:
            self._condition.wait_for(lambda: self._waiting_now() == 0, limit_s)
            waiting = self._waiting_now()
            lost = self._failed - self._failed_seen
            self._failed_seen = self._failed
            cause = self._last_error
        if waiting or lost:
            raise PublishError(
                f"{waiting} chunks not acknowledged within {limit_s:g} s, {lost} given up "
                f"({cause or 'no answer'}); broker {self._settings.kafka.bootstrap_servers}"
            ) from cause

    def close(self, timeout_s: float | None = None) -> None:
        """Flush and close; may be called twice.

        Raises
        ------
        PublishError
            As :meth:`flush`; the publisher is closed all the same.
        """
        with self._condition:
            if self._closing:
                return
            self._closing = True
        try:
            self.flush(timeout_s)
        finally:
            with self._condition:
                self._failed += len(self._queue)
                self._queue.clear()
                self._closed = True
                self._condition.notify_all()
            with contextlib.suppress(KafkaError):
                self._producer.close(timeout=0.5)
            self._thread.join(5.0)

    def _waiting_now(self) -> int:
        return len(self._queue) + self._in_flight

    def _accept(self, record: _Record) -> None:
        if self._waiting_now() >= self._max_waiting:
            self._say_full()
            if self._drop_oldest and self._queue:
                self._queue.popleft()
                self._dropped += 1
            elif not self._condition.wait_for(self._has_room_or_closing, self._timeout_s):
                raise PublishError(
                    f"no room for {self._timeout_s:g} s: {self._max_waiting} chunks wait for "
                    f"{self._settings.kafka.bootstrap_servers} ({self._last_error or 'no answer'})"
                ) from self._last_error
            if self._closing:
                raise PublishError("the publisher was closed while this chunk waited for room")
        record.number = self._sent
        self._queue.append(record)
        self._sent += 1
        self._condition.notify_all()

    def _has_room_or_closing(self) -> bool:
        return self._closing or self._waiting_now() < self._max_waiting

    def _say_full(self) -> None:
        if not self._full_said:
            self._full_said = True
            logger.warning(
                "%d chunks wait for %s: %s",
                self._max_waiting,
                self._settings.kafka.bootstrap_servers,
                "the oldest are dropped" if self._drop_oldest else "the device waits",
            )

    def _send(self) -> None:
        # Where the queue is small, kafka-python may hold half of it: the rest stays droppable.
        limit = max(1, min(_MAX_IN_FLIGHT, self._max_waiting // 2))
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._closing or (self._queue and self._in_flight < limit))
                if self._closed or (self._closing and not self._waiting_now()):
                    return
                early_s = self._again_s - time.monotonic()
                if not self._queue or self._in_flight >= limit or early_s > 0:
                    # Closing: the rest goes out as acknowledgements make room, until close() clears it.
                    self._condition.wait(early_s if early_s > 0 else 0.05)
                    continue
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), limit - self._in_flight))]
                self._in_flight += len(batch)
            for record in batch:
                self._hand_over(record)

    def _hand_over(self, record: _Record) -> None:
        record.sent_s = time.monotonic()
        deadline = record.sent_s + self._timeout_s
        record.until_s = min(record.until_s, deadline)
        while True:
            try:
                future = self._producer.send(
                    self._settings.topics.raw,
                    record.value,
                    key=record.key,
                    headers=[*self._headers, *record.signature],
                )
            except KafkaError as error:
                if error.retriable and time.monotonic() < deadline and not self._closing:
                    continue
                self._settle(error)
                return
            future.add_callback(partial(self._confirm, record))
            future.add_errback(self._settle)
            return

    def _confirm(self, record: _Record, confirmed: RecordMetadata) -> None:
        if not is_unsure(confirmed):
            self._settle(None)
            return
        with self._condition:
            if self._closed or time.monotonic() >= record.until_s:
                when = "before the publisher was closed" if self._closed else "in time"
                self._settle(KafkaTimeoutError(f"the broker gave no offset of it {when}"))
                return
            # All that waits is held up with it: a later chunk is not to overtake it.
            self._again_s = max(self._again_s, record.sent_s + _AGAIN_S)
            self._in_flight -= 1
            # Those of a batch come back one by one: they go out again in their order.
            earlier = sum(1 for held in self._queue if held.number < record.number)
            self._queue.insert(earlier, record)
            self._condition.notify_all()

    def _settle(self, error: BaseException | None) -> None:
        with self._condition:
            self._in_flight -= 1
            if error is None:
                self._acknowledged += 1
                if self._full_said and self._waiting_now() < self._max_waiting // 2:
                    self._full_said = False
                    logger.info("the queue has room again; %d chunks were dropped so far", self._dropped)
            else:
                self._failed += 1
                if self._last_error is None or type(self._last_error) is not type(error):
                    logger.error("a chunk was given up after %g s: %s", self._timeout_s, error)
                self._last_error = error
            self._condition.notify_all()
