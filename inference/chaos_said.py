"""What a run said: its topics read from end to end, and what its recorder stored."""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, TypeVar

import msgspec
from kafka import KafkaConsumer, TopicPartition

from inference.chaos_same import Plain, differs
from inference.errors import ChaosError
from inference.newest import Place, place
from inference.store import Store
from inference.store_trends import EegPoint, TrendPoint
from inference.types import Alarm, CommandOutcome, Prediction, PredictionBatch, Vital, VitalBatch
from ingest import kafka
from ingest.settings import Settings

CLIENT: Final = "chaos-reader"
READ_S: Final = 120.0
NO_DATA: Final = "no_data"
EEG: Final = "eeg"
RECEIVE_TIME: Final = frozenset({NO_DATA, "clock_drift"})
"""Alarms that say when data came, not what they are: faults rightly raise more of them."""

MOST_ALARMS: Final = 100_000


class FoundRecord(Protocol):
    """What is used of a Kafka record."""

    partition: int
    offset: int
    timestamp: int
    timestamp_type: int
    value: bytes


Item = TypeVar("Item", Prediction, Vital, Alarm)

Step = tuple[Plain, ...]
"""State of an alarm, device time at which its condition ended, priority, kind, message and value."""


@dataclass(slots=True)
class Said:
    """Outputs of one run, one of each id as readers keep them: highest (raw offset, revision).

    ``repeated`` counts items whose id had come before, ``contradictions`` names those of one (id, raw offset,
    revision) that say different things, ``disorder`` those of a bed and signal that first came after later
    ones.
    """

    predictions: dict[str, Prediction] = field(default_factory=dict)
    vitals: dict[str, Vital] = field(default_factory=dict)
    alarms: dict[str, Alarm] = field(default_factory=dict)
    steps: dict[str, set[Step]] = field(default_factory=lambda: defaultdict(set))
    raised_at: dict[str, int] = field(default_factory=dict)
    """Least raw offset of each alarm."""
    n_items: int = 0
    repeated: int = 0
    contradictions: list[str] = field(default_factory=list)
    disorder: list[str] = field(default_factory=list)
    dead_letters: int = 0
    _newest: dict[tuple[str, str, str], int] = field(default_factory=dict)
    _at: dict[tuple[type, str, int, int], Prediction | Vital | Alarm] = field(default_factory=dict)

    def note_prediction(self, item: Prediction) -> None:
        """Take in a prediction."""
        if item.id not in self.predictions:
            self._note_order("prediction", item, item.end_ns)
        self.predictions[item.id] = self._newer(self.predictions.get(item.id), item)

    def note_vital(self, item: Vital) -> None:
        """Take in a vital."""
        if item.id not in self.vitals:
            self._note_order("vital", item, item.time_ns)
        self.vitals[item.id] = self._newer(self.vitals.get(item.id), item)

    def note_alarm(self, item: Alarm) -> None:
        """Take in a step of an alarm."""
        self.alarms[item.id] = self._newer(self.alarms.get(item.id), item)
        step = (item.state, item.ended_ns, item.priority, item.kind, item.message, item.value)
        self.steps[item.id].add(step)
        self.raised_at[item.id] = min(item.raw_offset, self.raised_at.get(item.id, item.raw_offset))

    def _newer(self, held: Item | None, item: Item) -> Item:
        self.n_items += 1
        at: Place = place(item)
        first = self._at.setdefault((type(item), item.id, *at), item)
        if held is None:
            return item
        self.repeated += 1
        newest = place(held)
        difference = _contradiction(first, item, newest=at == newest)
        if difference:
            self.contradictions.append(f"{item.id}: {difference}")
        return item if at > newest else held

    def _note_order(self, what: str, item: Prediction | Vital, time_ns: int) -> None:
        key = (what, item.bed, item.signal)
        if time_ns <= self._newest.get(key, time_ns - 1):
            self.disorder.append(item.id)
        self._newest[key] = max(time_ns, self._newest.get(key, time_ns))


def _contradiction(
    first: Prediction | Vital | Alarm, item: Prediction | Vital | Alarm, *, newest: bool
) -> str:
    """In which fields two items of one id and place contradict each other; empty where they do not.

    When an alarm of receive time is raised, each worker tells by its own clock: of those the newest state
    counts. A successor may hear of an acknowledgement between other records than the one before it did: where
    readers have something newer, the states of two steps, one acknowledged and one not, may differ.
    """
    if not (isinstance(first, Alarm) and isinstance(item, Alarm)):
        return differs(first, item)
    if item.kind in RECEIVE_TIME:
        same = first.state is item.state or not newest
        return "" if same else f"state: {first.state} / {item.state}"
    if not newest and (first.acknowledged_by is None) is not (item.acknowledged_by is None):
        first = msgspec.structs.replace(first, state=item.state)
    return differs(first, item)


def read_said(settings: Settings) -> Said:
    """Read all outputs of a run that has ended.

    Raises
    ------
    ChaosError
        They could not be read in time.
    """
    topics, said = settings.topics, Said()
    for value in records(settings, topics.predictions):
        for prediction in msgspec.json.decode(value, type=PredictionBatch).items:
            said.note_prediction(prediction)
    for value in records(settings, topics.vitals):
        for vital in msgspec.json.decode(value, type=VitalBatch).items:
            said.note_vital(vital)
    for value in records(settings, topics.alarms):
        said.note_alarm(msgspec.json.decode(value, type=Alarm))
    said.dead_letters = sum(1 for _ in records(settings, topics.dead_letters))
    return said


def records(settings: Settings, topic: str) -> Iterator[bytes]:
    """Values of all records of a topic; see :func:`read_records`."""
    return (record.value for record in read_records(settings, topic))


def read_records(settings: Settings, topic: str) -> Iterator[FoundRecord]:
    """All records of a topic, each partition's in their order.

    Raises
    ------
    ChaosError
        They could not be read in time.
    """
    parts = [TopicPartition(topic, number) for number in range(settings.kafka.partitions)]
    ends = kafka.end_offsets(settings, parts)
    reader: KafkaConsumer = kafka.consumer(settings, group_id=None, client_id=CLIENT)
    try:
        reader.assign(parts)
        reader.seek_to_beginning()
        deadline = time.monotonic() + READ_S
        while any(reader.position(part) < ends[part] for part in parts):
            if time.monotonic() > deadline:
                raise ChaosError(f"topic {topic} was not read to its end within {READ_S:g} s")
            for polled in reader.poll(timeout_ms=200).values():
                yield from polled
    finally:
        reader.close(autocommit=False)


@dataclass(frozen=True, slots=True)
class Stored:
    """What a recorder stored: alarms, numbers by "bed/signal", strips by alarm, outcomes by id and partition.

    A strip is the digest of its samples where all of it came, else an empty text.
    """

    alarms: dict[str, Alarm]
    numbers: dict[str, list[Plain]]
    strips: dict[str, str]
    answers: dict[tuple[str, int], CommandOutcome] = field(default_factory=dict)


def read_stored(path: Path, streams: list[str]) -> Stored:
    """Read a recorder's SQLite file."""
    with Store(f"sqlite:///{path}") as store:
        found = store.alarms(limit=MOST_ALARMS)
        strips = {
            one.alarm.id: _digest(store, one.alarm.id) for one in found if one.strip_complete is not None
        }
        numbers = {stream: [_plain(point) for point in store.trend(*stream.split("/"))] for stream in streams}
        for bed, _, signal in (stream.partition("/") for stream in streams):
            if signal == EEG:
                numbers[f"{bed}/{signal} trends"] = [_plain(point) for point in store.eeg_trend(bed)]
        answers = {(one.id, one.partition): one.outcome for one in store.audit(limit=MOST_ALARMS)}
        return Stored({one.alarm.id: one.alarm for one in found}, numbers, strips, answers)


def _plain(point: TrendPoint | EegPoint) -> Plain:
    plain: Plain = msgspec.to_builtins(point)
    return plain


def _digest(store: Store, alarm_id: str) -> str:
    strip = store.strip_of(alarm_id)
    if strip is None or not strip.complete:
        return ""
    digest = hashlib.sha256()
    for signal in strip.signals:
        digest.update(f"{signal.signal} {signal.start_ns} {signal.samples.shape}".encode())
        digest.update(signal.samples.tobytes())
    return digest.hexdigest()
