"""EEGs through a broker and the worker, faster than real time, and the alarms on the topic after it.

What plays is the real path: chunks of a second as an amplifier sends them, Kafka's protocol, the worker of
``wardwave infer``, the alarms' topic. The device's clock is set so that all recordings end at the present.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from kafka import TopicPartition
from kafka.errors import KafkaError

from inference.eeg_listener import SEIZURE, SeizureNetwork
from inference.errors import InferenceError
from inference.newest import keep_newest
from inference.predictor import Predictor
from inference.types import Alarm, AlarmState
from inference.worker import Worker, WorkerOptions
from ingest import kafka
from ingest.publisher import Publisher
from ingest.settings import Settings, Topics
from ingest.types import NS_PER_S, SignalKind

logger = logging.getLogger(__name__)

Steps = npt.NDArray[np.int16]

DEVICE: Final = "score-eeg"
NO_DATA: Final = "no_data"
OF_PLAYING: Final = "clock_drift"
"""Faster than real time a device's clock lies behind the broker's."""

AT_ONCE: Final = 40
"""Recordings that are played side by side."""

STANDSTILL_S: Final = 120.0
"""The worker has to take at least one chunk in so long."""

LEFT_S: Final = 2.0
"""How often the worker leaves what it has found: the score waits for the last time."""

_PATIENT: Final = {"max_poll_interval_ms": 300_000, "session_timeout_ms": 60_000}
"""On a busy machine a full batch may take longer than a ward would wait for."""

MOST_WAITING: Final = 4_000
"""Chunks that may lie unread: a worker that hangs back does not fill the broker's memory."""


@dataclass(frozen=True, slots=True)
class Second:
    """What an amplifier sends at once.

    Parameters
    ----------
    start_s : float
        From the recording's start.
    steps : ndarray of int16, shape (n, C)
        As digitised.
    lead_off : tuple of bool or None
        The device's flag of each channel.
    """

    start_s: float
    steps: Steps
    lead_off: tuple[bool, ...] | None = None


@dataclass(frozen=True, slots=True)
class EegCase:
    """A recording to be played, and what is annotated in it.

    Parameters
    ----------
    name : str
        Of its bed, too.
    channels : tuple of str
        Labels.
    fs_hz : float
        Sampling rate.
    steps_per_uv : float
        Gain of the digitised samples.
    duration_s : float
        Length.
    seizures : tuple of (float, float)
        Starts and ends in seconds.
    seconds : callable
        Gives its signal, from the start.
    causes : tuple of (str, float, float)
        What else is known to go on in it: name, start, end.
    gaps : tuple of (float, float)
        Seconds that nobody kept and that are not sent.
    """

    name: str
    channels: tuple[str, ...]
    fs_hz: float
    steps_per_uv: float
    duration_s: float
    seizures: tuple[tuple[float, float], ...]
    seconds: Callable[[], Iterator[Second]]
    causes: tuple[tuple[str, float, float], ...] = ()
    gaps: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """An alarm of a recording, in seconds from its start; ``end_s`` is ``None`` while it stands."""

    kind: str
    onset_s: float
    raised_s: float
    end_s: float | None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Played:
    """What came of some recordings: alarms by name, chunks sent, records refused, seconds on the clock."""

    alarms: dict[str, list[Told]]
    chunks: int
    refused: int
    wall_s: float


@dataclass(slots=True)
class _Run:
    """A worker in a thread of its own."""

    worker: Worker
    stop: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None

    def work(self) -> None:
        try:
            self.worker.run(self.stop.is_set)
        except BaseException as error:  # whatever ended it is said by the thread that waits for it
            self.error = error

    @property
    def taken(self) -> int:
        """Chunks that were read so far."""
        return int(self.worker.stats.counts["chunks_in"])


@contextmanager
def own_topics(settings: Settings) -> Iterator[Settings]:
    """Settings with topics and a group that nothing else uses; the topics are deleted in the end."""
    mark = f"score-eeg-{uuid.uuid4().hex[:8]}"
    topics = Topics(**{name: f"{mark}.{name}" for name in Topics.model_fields})
    group = settings.kafka.model_copy(update={"group_id": mark, **_PATIENT})
    own = settings.model_copy(update={"topics": topics, "kafka": group})
    kafka.ensure_topics(own)
    try:
        yield own
    finally:
        client = kafka.admin(own)
        try:
            client.delete_topics(list(topics.model_dump().values()))
        except KafkaError as error:
            logger.warning("topics %s.* are left behind: %s", mark, error)
        finally:
            client.close()


def play(
    cases: Sequence[EegCase], settings: Settings, predictor: Predictor, network: SeizureNetwork | None
) -> Played:
    """Play recordings through the broker of ``settings`` and a worker, on topics of their own.

    Raises
    ------
    InferenceError
        The worker ended or stands still, or two recordings have one name.
    IngestError
        The broker cannot be used, or refuses a chunk.
    """
    names = [case.name for case in cases]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InferenceError(f"{twice}: two recordings have this name, and a bed is called after it")
    alarms: dict[str, list[Told]] = {name: [] for name in names}
    chunks = refused = 0
    began_s = time.monotonic()
    for begin in range(0, len(cases), AT_ONCE):
        part = cases[begin : begin + AT_ONCE]
        start_ns = time.time_ns() - round((max(case.duration_s for case in part) + 2.0) * NS_PER_S)
        with own_topics(settings) as own:
            with _working(own, predictor, network) as run:
                chunks += _send(part, own, start_ns, run)
            refused += run.worker.stats.counts["dead_letters"]
            for alarm in _newest(own):
                alarms[alarm.bed].append(_told(alarm, start_ns))
    return Played(alarms, chunks, refused, time.monotonic() - began_s)


@contextmanager
def _working(settings: Settings, predictor: Predictor, network: SeizureNetwork | None) -> Iterator[_Run]:
    run = _Run(Worker(settings, predictor, WorkerOptions(snapshot_s=LEFT_S), eeg=network))
    thread = threading.Thread(target=run.work, name="score-eeg-worker")
    thread.start()
    try:
        yield run
    finally:
        run.stop.set()
        thread.join()
    _check(run)


def _check(run: _Run) -> None:
    if run.error is not None:
        raise InferenceError(f"the worker ended: {run.error}") from run.error


def _send(cases: Sequence[EegCase], settings: Settings, start_ns: int, run: _Run) -> int:
    """Send a second of each recording in turn; return how many chunks, once all are worked through."""
    sent = 0
    with Publisher(settings, device=DEVICE, timeout_s=STANDSTILL_S) as publisher:
        for case, second in _turns(cases):
            publisher.publish(
                bed=case.name, kind=SignalKind.EEG.value, channels=case.channels, unit="uV",
                fs_hz=case.fs_hz, gain=case.steps_per_uv, baseline=0, samples=second.steps,
                start_ns=start_ns + round(second.start_s * NS_PER_S), seq=round(second.start_s),
                lead_off=second.lead_off,
            )  # fmt: skip
            sent += 1
            _wait(run, lambda: run.taken, sent - MOST_WAITING)
        publisher.flush()
    with _offsets(settings) as committed:
        # A worker that is told to stop does not wait for a slow broker: what it says has to be there before.
        _wait(run, committed, sent)
    return sent


def _wait(run: _Run, count: Callable[[], int], wanted: int) -> None:
    """Wait until so many chunks were worked through."""
    done, deadline = count(), time.monotonic() + STANDSTILL_S
    while done < wanted:
        _check(run)
        if time.monotonic() > deadline:
            raise InferenceError(
                f"the worker is through with {done} chunks, {wanted} are there, and with none more for "
                f"{STANDSTILL_S:g} s: is its broker reachable, or the machine overloaded?"
            )
        time.sleep(0.05)
        now = count()
        if now > done:
            done, deadline = now, time.monotonic() + STANDSTILL_S


@contextmanager
def _offsets(settings: Settings) -> Iterator[Callable[[], int]]:
    """Give what counts the chunks whose outputs and state are delivered."""
    parts = [TopicPartition(settings.topics.raw, number) for number in range(settings.kafka.partitions)]
    reader = kafka.consumer(settings, group_id=settings.kafka.group_id)
    try:
        reader.assign(parts)
        yield lambda: sum(int(reader.committed(part) or 0) for part in parts)
    finally:
        reader.close(autocommit=False)


def _turns(cases: Sequence[EegCase]) -> Iterator[tuple[EegCase, Second]]:
    """Seconds of all recordings, in the order of time."""
    streams = [(case, case.seconds()) for case in cases]
    second = 0
    waiting = {case.name: next(stream, None) for case, stream in streams}
    while any(one is not None for one in waiting.values()):
        for case, stream in streams:
            now = waiting[case.name]
            if now is not None and now.start_s < second + 1:
                yield case, now
                waiting[case.name] = next(stream, None)
        second += 1


def _newest(settings: Settings) -> list[Alarm]:
    """Each alarm as it stands at the end of its topic."""
    topic = settings.topics.alarms
    parts = [TopicPartition(topic, number) for number in range(settings.kafka.partitions)]
    ends = kafka.end_offsets(settings, parts)
    reader = kafka.consumer(settings, group_id=None)
    found: dict[str, Alarm] = {}
    try:
        reader.assign(parts)
        reader.seek_to_beginning()
        deadline = time.monotonic() + STANDSTILL_S
        while any(reader.position(part) < end for part, end in ends.items()):
            if time.monotonic() > deadline:
                raise InferenceError(f"{topic} was not read to its end within {STANDSTILL_S:g} s")
            for records in reader.poll(timeout_ms=200).values():
                for record in records:
                    keep_newest(found, msgspec.json.decode(record.value, type=Alarm))
    finally:
        reader.close(autocommit=False)
    return sorted(found.values(), key=lambda alarm: alarm.raised_ns)


def _told(alarm: Alarm, start_ns: int) -> Told:
    over = alarm.state in (AlarmState.LATCHED, AlarmState.ENDED) and alarm.ended_ns is not None
    return Told(
        alarm.kind,
        (alarm.onset_ns - start_ns) / NS_PER_S,
        (alarm.raised_ns - start_ns) / NS_PER_S,
        (alarm.ended_ns - start_ns) / NS_PER_S if over and alarm.ended_ns is not None else None,
        tuple(alarm.reasons),
    )


def seizures_told(alarms: Sequence[Told]) -> list[Told]:
    """The seizure alarms among those of a recording."""
    return [alarm for alarm in alarms if alarm.kind == SEIZURE]


def technical_told(alarms: Sequence[Told], duration_s: float) -> list[Told]:
    """Alarms of electrodes, signal and stream; what comes of playing alone is none."""
    return [
        alarm
        for alarm in alarms
        if alarm.kind not in (SEIZURE, "status_epilepticus", "burst_suppression", OF_PLAYING)
        and not (alarm.kind == NO_DATA and alarm.onset_s >= duration_s - 1.5)
    ]
