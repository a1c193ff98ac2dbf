"""Watches a chaos run as a dashboard would: when each bed was last spoken of, who holds which partition."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections import defaultdict
from itertools import pairwise
from typing import Final, Self

import msgspec
from kafka import TopicPartition
from kafka.errors import KafkaError

from inference.chaos_said import NO_DATA
from inference.newest import keep_newest
from inference.status import INFER, RECORD, RUNNING
from inference.types import (
    Alarm,
    AlarmState,
    Audit,
    CommandOutcome,
    Prediction,
    PredictionBatch,
    Vital,
    VitalBatch,
    WorkerStatus,
)
from ingest import kafka
from ingest.settings import Settings

CLIENT: Final = "chaos-observer"
FRESH_S: Final = 6.0
"""A process that was silent for longer holds nothing."""


class Observer:
    """Reads outputs and statuses on a thread of its own, on connections that are never broken.

    Parameters
    ----------
    settings : Settings
        Broker and topics.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._heard: dict[str, list[float]] = defaultdict(list)
        self._statuses: dict[str, tuple[float, WorkerStatus]] = {}
        self._silent: dict[str, Alarm] = {}
        self._alarms: dict[str, Alarm] = {}
        self._answers: dict[tuple[str, int], CommandOutcome] = {}
        self._newest_s = time.monotonic()
        self._stopped = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="chaos-observer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(10.0)

    def _run(self) -> None:
        topics = self._settings.topics
        names = (topics.predictions, topics.vitals, topics.alarms, topics.status, topics.audit)
        reader = kafka.consumer(
            self._settings, group_id=None, client_id=CLIENT, fetch_max_wait_ms=100, max_poll_records=2_000
        )
        try:
            numbers = range(self._settings.kafka.partitions)
            reader.assign([TopicPartition(name, number) for name in names for number in numbers])
            reader.seek_to_beginning()
            while not self._stopped.is_set():
                polled = reader.poll(timeout_ms=100)
                now_s = time.monotonic()
                with self._lock:
                    for part, records in polled.items():
                        for record in records:
                            self._note(part.topic, record.value, now_s)
        except (KafkaError, msgspec.MsgspecError) as error:
            self._failure = error
        finally:
            reader.close(autocommit=False)

    def _note(self, topic: str, value: bytes, now_s: float) -> None:
        topics = self._settings.topics
        if topic == topics.status:
            status = msgspec.json.decode(value, type=WorkerStatus)
            self._statuses[status.member] = (now_s, status)
        elif topic == topics.alarms:
            alarm = msgspec.json.decode(value, type=Alarm)
            keep_newest(self._silent if alarm.kind == NO_DATA else self._alarms, alarm)
        elif topic == topics.audit:
            audit = msgspec.json.decode(value, type=Audit)
            self._answers[audit.id, audit.partition] = audit.outcome
        else:
            for item in msgspec.json.decode(value, type=PredictionBatch | VitalBatch).items:
                if self._is_new(item):
                    self._heard[item.bed].append(now_s)
                    self._newest_s = now_s

    def _is_new(self, item: Prediction | Vital) -> bool:
        """Whether it had not been said before; note it."""
        if item.id in self._known:
            return False
        self._known.add(item.id)
        return True

    def check(self) -> None:
        """Do nothing while it reads.

        Raises
        ------
        Exception
            What ended it.
        """
        if self._failure is not None:
            raise self._failure

    def first_after(self, bed: str, moment_s: float) -> float | None:
        """When something new of a bed was first read after a moment (monotonic s)."""
        with self._lock:
            times = self._heard[bed]
            at = bisect_right(times, moment_s)
            return times[at] if at < len(times) else None

    def longest_silences_s(self, since_s: float, until_s: float) -> dict[str, float]:
        """Longest time for which nothing new of each bed was read."""
        with self._lock:
            return {
                bed: max(b - a for a, b in pairwise([since_s, *times, until_s]))
                for bed, every in self._heard.items()
                if (times := [at_s for at_s in every if since_s <= at_s <= until_s])
            }

    def quiet_s(self) -> float:
        """For how long nothing new was read of any bed."""
        with self._lock:
            return time.monotonic() - self._newest_s

    def silent(self) -> set[str]:
        """Ids of the alarms of missing data that have not ended."""
        with self._lock:
            return {one.id for one in self._silent.values() if one.state is not AlarmState.ENDED}

    def alarms(self) -> list[Alarm]:
        """Newest state of every alarm but those of missing data."""
        with self._lock:
            return list(self._alarms.values())

    def answers(self) -> dict[tuple[str, int], CommandOutcome]:
        """What became of each command, by id and partition."""
        with self._lock:
            return dict(self._answers)

    def holdings(self, role: str = INFER) -> dict[int, set[int]]:
        """Partitions of each process of a role that spoke lately, by process id."""
        return {status.pid: set(status.partitions) for status in self._live(role)}

    def _live(self, role: str) -> list[WorkerStatus]:
        now_s = time.monotonic()
        with self._lock:
            return [
                status
                for at_s, status in self._statuses.values()
                if status.role == role and status.state == RUNNING and now_s - at_s < FRESH_S
            ]

    def behind(self, role: str) -> int | None:
        """Records that processes of a role have not read; ``None`` where not every partition is held."""
        live = self._live(role)
        held = {number for status in live for number in status.partitions}
        if len(held) < self._settings.kafka.partitions:
            return None
        return sum(lag.records for status in live for lag in status.lag)

    def strips_wanted(self) -> int:
        """Strips that the recorder has not yet cut."""
        return sum(status.counts.get("strips_wanted", 0) for status in self._live(RECORD))
