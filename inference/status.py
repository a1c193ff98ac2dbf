"""What a process says of itself on ``biosignals.status``: every two seconds, and once when it leaves.

A thread beside the process talks to the broker: whatever becomes of a status, alarms never wait for it.
"""

from __future__ import annotations

import copy
import heapq
import logging
import os
import secrets
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import msgspec
import psutil
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError
from kafka.producer.future import FutureRecordMetadata

from inference import memory
from inference.health import families_of
from inference.patience import drop
from inference.stats import ACK, KEYS_UNREAD, Stats
from inference.types import ClockAhead, DataAge, Lag, LoadedModel, WorkerStatus
from ingest import kafka, version
from ingest.device_keys import keys_of
from ingest.errors import BrokerError
from ingest.health import Health, HealthServer
from ingest.settings import Settings

logger = logging.getLogger(__name__)

TRIM_S: Final = 60.0
"""So often what a takeover or a backlog needed for a moment goes back to the system."""

PERIOD_S: Final = 2.0
RATE_S: Final = 10.0
MOST_AGES: Final = 20
"""Signals whose data are oldest, that a status names."""
OLD_S: Final = 10.0
"""A signal that sent nothing for so long is counted as silent."""
RUNNING: Final = "running"
STOPPED: Final = "stopped"
INFER: Final = "infer"
RECORD: Final = "record"
JUDGE: Final = "judge"

LIBRARIES: Final = ("kafka-python", "msgspec", "numpy", "scipy", "torch")
_BLOCK_MS: Final = 5_000
_ACK_S: Final = 10.0
_LAST_ACK_S: Final = 2.0
_SLICE_S: Final = 0.25
_LEAVE_S: Final = 4.0
_TELL_S: Final = 60.0
"""A fault that comes back with every status is logged this often."""
_FOLDERS: Final = ("inference", "ingest", "models")


@dataclass(frozen=True, slots=True)
class Standing:
    """What a process holds now."""

    partitions: Sequence[int] = ()
    lag: list[Lag] = field(default_factory=list)
    beds: int = 0
    clocks: list[ClockAhead] = field(default_factory=list)
    ages: list[DataAge] = field(default_factory=list)


class Rates:
    """Counters per second over the last :data:`RATE_S`."""

    def __init__(self) -> None:
        self._past: deque[tuple[float, Counter[str]]] = deque()

    def of(self, counts: Counter[str], now_s: float) -> dict[str, float]:
        """Note the counters of a moment (monotonic s) and return what they grew by a second."""
        self._past.append((now_s, counts.copy()))
        while len(self._past) > 2 and self._past[1][0] <= now_s - RATE_S:
            self._past.popleft()
        since_s, before = self._past[0]
        passed_s = now_s - since_s
        if passed_s <= 0:
            return {}
        return {name: round((n - before[name]) / passed_s, 2) for name, n in counts.items()}


class StatusReporter:
    """Says what a process does, from its start until :meth:`close`.

    Parameters
    ----------
    settings : Settings
        Broker and topics.
    role : str
        What it does: infer, record, judge.
    group : str
        Its consumer group.
    models : sequence of LoadedModel
        Networks that it uses.
    device : str
        Torch device of these.
    """

    def __init__(
        self,
        settings: Settings,
        role: str,
        group: str,
        models: Sequence[LoadedModel] = (),
        device: str = "cpu",
    ) -> None:
        host, pid = socket.gethostname(), os.getpid()
        self._process = psutil.Process()
        self._rates, self._cpu = Rates(), Rates()
        self._status = WorkerStatus(
            # A process of the same number on a host of the same name is another member.
            member=f"{role}@{host}:{pid}:{secrets.token_hex(3)}",
            role=role,
            state=RUNNING,
            host=host,
            pid=pid,
            started_ns=time.time_ns(),
            emitted_ns=0,
            version=version.installed(),
            code_commit=version.code_commit(*_FOLDERS),
            libraries=version.libraries(*LIBRARIES),
            group=group,
            partitions=[],
            n_partitions=settings.kafka.partitions,
            beds=0,
            lag=[],
            rates={},
            latencies={},
            counts={},
            dead_letters={},
            clocks=[],
            models=list(models),
            device=device,
            rss_bytes=0,
            cpu_share=0.0,
            threads=0,
        )
        self._due_s = 0.0
        self._trimmed_s = time.monotonic()
        self._health = Health()
        at = settings.health_at
        self._server = None if at is None else HealthServer(at, self._health)
        self._sender = _Sender(settings)
        path = settings.ingest.device_keys
        self._keys = None if path is None else keys_of(path)
        if self._keys is None:
            logger.info("records of devices are not signed: whoever may write them can speak for any device")

    @property
    def member(self) -> str:
        """Key of its records."""
        return self._status.member

    def tell(self, stats: Stats, standing: Callable[[], Standing]) -> None:
        """Say how it stands, if it is time; costs nothing otherwise."""
        now_s = time.monotonic()
        self._health.come_round()
        if now_s < self._due_s:
            return
        self._due_s = now_s + PERIOD_S
        if now_s >= self._trimmed_s + TRIM_S:
            self._trimmed_s = now_s
            memory.give_back()
        acknowledged = self._sender.take_acknowledged()
        for took_ms in acknowledged:
            stats.stages.note(ACK, took_ms)
        if self._keys is not None:
            stats.counts[KEYS_UNREAD] = int(self._keys.problem is not None)
        holds, process = standing(), self._process
        times = process.cpu_times()
        self._status = msgspec.structs.replace(
            self._status,
            emitted_ns=time.time_ns(),
            partitions=sorted(holds.partitions),
            lag=holds.lag,
            beds=holds.beds,
            clocks=holds.clocks,
            fallen_back=dict(stats.fallen_back()),
            device=stats.where() if stats.where else self._status.device,
            oldest=heapq.nlargest(MOST_AGES, holds.ages, key=lambda one: one.age_s),
            n_silent=sum(one.age_s > OLD_S for one in holds.ages),
            rates=self._rates.of(stats.counts, now_s),
            latencies=stats.stages.summary(now_s),
            counts=dict(stats.counts),
            dead_letters=dict(stats.dead_letters),
            rss_bytes=process.memory_info().rss,
            cpu_share=self._cpu_share(times.user + times.system, now_s),
            threads=process.num_threads(),
        )
        histograms = copy.deepcopy(stats.stages.histograms)
        figures = partial(families_of, self._status, histograms, holds.ages)
        self._health.note(figures, taken=bool(acknowledged))
        self._sender.put(self._status)

    def _cpu_share(self, used_s: float, now_s: float) -> float:
        """Cores in use: CPU time a second."""
        milliseconds = Counter({"ms": round(1e3 * used_s)})
        return round(self._cpu.of(milliseconds, now_s).get("ms", 0.0) / 1e3, 3)

    def close(self) -> None:
        """Say goodbye: nobody need wait for this one. Waits a few seconds at most."""
        gone = msgspec.structs.replace(
            self._status,
            state=STOPPED,
            emitted_ns=time.time_ns(),
            partitions=[],
            lag=[],
            rates={},
            clocks=[],
            oldest=[],
            n_silent=0,
        )
        self._sender.close(gone)
        if self._server is not None:
            self._server.close()


class _Sender:
    """Sends the newest status; one that could not be sent in time gives way to the next."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._changed = threading.Condition()
        self._waiting: WorkerStatus | None = None
        self._closing = False
        self._took_ms: deque[float] = deque(maxlen=16)
        self._producer: KafkaProducer | None = None
        self._told_s = -_TELL_S
        self._thread = threading.Thread(target=self._run, name="status", daemon=True)
        self._thread.start()

    def put(self, status: WorkerStatus) -> None:
        with self._changed:
            self._waiting = status
            self._changed.notify()

    def take_acknowledged(self) -> list[float]:
        """How long the records took that were acknowledged since the last call, ms."""
        return [self._took_ms.popleft() for _ in range(len(self._took_ms))]

    def close(self, last: WorkerStatus) -> None:
        with self._changed:
            self._waiting, self._closing = last, True
            self._changed.notify()
        self._thread.join(_LEAVE_S)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is not None)
                status, self._waiting, last = self._waiting, None, self._closing
            if status is not None:
                self._send(status)
            if last:
                break
        self._drop()

    def _send(self, status: WorkerStatus) -> None:
        try:
            if self._producer is None:
                self._producer = kafka.producer(self._settings, linger_ms=0, max_block_ms=_BLOCK_MS)
            began_s = time.monotonic()
            value, key = msgspec.json.encode(status), status.member.encode()
            self._wait(self._producer.send(self._settings.topics.status, value, key=key))
            self._took_ms.append(1e3 * (time.monotonic() - began_s))
        except (KafkaError, BrokerError) as error:
            logger.debug("status not sent: %s", error)
        except Exception:
            # Whatever it is: a thread that ends here would let a process that works look as if it were lost.
            if time.monotonic() - self._told_s >= _TELL_S:
                self._told_s = time.monotonic()
                logger.exception("status not sent; the next one goes by a new connection")
            self._drop()

    def _drop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                drop(producer)
            except Exception:
                logger.debug("connection for the status not closed", exc_info=True)

    def _wait(self, sent: FutureRecordMetadata) -> None:
        """Wait until a status is acknowledged; hardly at all once the process is to end."""
        began_s = time.monotonic()
        while True:
            try:
                sent.get(timeout=_SLICE_S)
            except KafkaTimeoutError:
                waited_s = time.monotonic() - began_s
                if sent.is_done or waited_s >= (_LAST_ACK_S if self._closing else _ACK_S):
                    raise
            else:
                return


POSITION_MS: Final = 500
"""How long the broker is asked where a partition is read."""


def lag_of(
    consumer: KafkaConsumer,
    read_ms: Mapping[TopicPartition, int],
    reached: MutableMapping[TopicPartition, int] | None = None,
) -> list[Lag]:
    """How far behind the ends of its partitions a consumer reads, as far as the broker has told.

    Parameters
    ----------
    consumer : KafkaConsumer
        Member of a group. Of topics with the same partitions one entry tells: records of all, seconds of
        the latest.
    read_ms : mapping of TopicPartition to int
        Broker's time of the newest record read.
    reached : mapping of TopicPartition to int or None
        Offset after the newest record read. Where it is the end, the consumer is not asked: kafka-python
        goes through all partitions to answer for one. What it answers is noted here.
    """
    now_ms = time.time() * 1e3
    reached = {} if reached is None else reached
    found: dict[int, Lag] = {}
    for part in consumer.assignment():
        mark = consumer.highwater(part)
        if mark is None:
            continue
        known = reached.get(part, -1)
        if known < mark:
            # No answer while the broker is away: what is known here stands.
            at = consumer.position(part, timeout_ms=POSITION_MS)
            known = reached[part] = max(known, 0) if at is None else int(at)
        behind = max(0, int(mark) - known)
        newest_ms = read_ms.get(part)
        seconds = None if newest_ms is None else round(max(0.0, now_ms - newest_ms) / 1e3, 3)
        own = Lag(part.partition, behind, seconds if behind else 0.0)
        other = found.get(part.partition)
        found[part.partition] = own if other is None else _both(own, other)
    return [found[number] for number in sorted(found)]


def _both(a: Lag, b: Lag) -> Lag:
    unknown = a.seconds is None or b.seconds is None
    seconds = None if unknown else max(a.seconds or 0.0, b.seconds or 0.0)
    return Lag(a.partition, a.records + b.records, seconds)
