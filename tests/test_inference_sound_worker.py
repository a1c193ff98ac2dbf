"""Sounds through the worker: real broker, bad chunks, what comes out."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pytest

from inference.bedside import Bedside
from inference.errors import UnfitModel
from inference.intake import Partition, Taken
from inference.monitor import Outcome
from inference.types import Alarm, DeadLetter, PredictionBatch
from inference.worker import Worker, WorkerOptions
from ingest import kafka as clients
from ingest import wire
from ingest.kafka import partition_for
from ingest.publisher import Publisher
from ingest.settings import IngestSettings, Settings
from ingest.sounds import LungSound
from ingest.types import NS_PER_S
from models.melspec import HEART_MEL
from tests.sound_playing import HEART, LUNG, T0, PlainListener, asked_at
from tests.topics import read_all

N_PARTITIONS = 8
BED = "bed-01"


@dataclass
class Record:
    """A raw record, as kafka-python gives it."""

    value: bytes
    offset: int
    timestamp: int
    key: bytes = BED.encode()
    partition: int = partition_for(BED, N_PARTITIONS)
    topic: str = "biosignals.raw"
    headers: list[tuple[str, bytes | None]] = field(default_factory=lambda: wire.headers(wire.AVRO))


@dataclass
class Sent:
    """Chunks that one device sends, second after second, through intake and bedside."""

    bedside: Bedside
    offset: int = 0
    end_ns: int = T0
    taken: Taken = field(default_factory=Taken)
    outcome: Outcome = field(default_factory=Outcome)

    def __post_init__(self) -> None:
        self.partition = Partition(Record.partition, N_PARTITIONS, IngestSettings(), self.bedside.watch)

    def send(self, sound: np.ndarray, fs_hz: float, kind: str = LUNG, device: str = "patch") -> None:
        """Send a sound as int16 of full scale, a second a chunk."""
        n = round(fs_hz)
        for begin in range(0, len(sound), n):
            steps = np.rint(np.clip(sound[begin : begin + n], -1, 1) * 32_767).astype(np.int16)[:, None]
            value = wire.encode(
                bed=BED, device=device, kind=kind, channels=("chest",), unit="au", fs_hz=fs_hz,
                start_ns=self.end_ns, seq=self.offset, samples=steps, gain=32_767.0, baseline=0,
            )  # fmt: skip
            self.end_ns += round(len(steps) / fs_hz * NS_PER_S)
            taken = Taken()
            self.partition.take(Record(value, self.offset, self.end_ns // 1_000_000), taken)
            self.taken.dead_letters.extend(taken.dead_letters)
            self.outcome.alarms.extend(self.bedside.note(taken.technical))
            self.outcome.extend(self.bedside.push(taken.pieces))
            self.offset += 1

    def tick(self) -> list[str]:
        """Kinds of alarms that the clock begins."""
        return [alarm.kind for alarm in self.bedside.tick(time.monotonic()) if alarm.state.value == "active"]


def bedside(plain_predictor: object, **networks: PlainListener) -> Bedside:
    kinds = {"lung": LUNG, "heart": HEART}
    return Bedside(plain_predictor, lambda: T0, sounds={kinds[name]: one for name, one in networks.items()})  # type: ignore[arg-type, misc]


def lung(seconds: int, fs_hz: int = 4_000) -> np.ndarray:
    return np.repeat(LungSound(1, BED).next_samples(seconds * 4_000)[:, 0], fs_hz // 4_000)


@pytest.mark.parametrize("fs_hz", [4_000, 8_000, 48_000])
def test_a_stethoscope_of_any_rate_is_listened_to(plain_predictor: object, fs_hz: int) -> None:
    sent = Sent(bedside(plain_predictor, lung=PlainListener()))
    sent.send(lung(12, fs_hz), fs_hz)
    assert sent.taken.dead_letters == []
    assert [one.signal for one in sent.outcome.predictions] == ["lung_sound"] * len(asked_at(BED, 12))
    assert sent.tick() == []


@pytest.mark.parametrize(("kind", "fs_hz", "least"), [(LUNG, 2_000, "3960"), (HEART, 500, "880")])
def test_a_rate_too_low_is_refused_and_told_and_nothing_else_is_lost(
    plain_predictor: object, kind: str, fs_hz: int, least: str
) -> None:
    sent = Sent(bedside(plain_predictor, lung=PlainListener()))
    sent.send(np.zeros(2 * fs_hz), fs_hz, kind)
    assert [letter.reason for letter in sent.taken.dead_letters] == ["invalid_field"] * 2
    assert f"needs at least {least} Hz; sample faster" in sent.taken.dead_letters[0].detail
    assert "unknown_rate" in sent.tick()
    other = HEART if kind == LUNG else LUNG
    sent.send(lung(8), 4_000, other, device="another")
    assert len(sent.taken.dead_letters) == 2


def test_a_rate_too_high_is_refused_by_name(plain_predictor: object) -> None:
    with pytest.raises(Exception, match="fs_hz"):
        Sent(bedside(plain_predictor)).send(np.zeros(96_000), 96_000)


def test_a_rate_that_changes_goes_on_anew(plain_predictor: object) -> None:
    sent = Sent(bedside(plain_predictor, lung=PlainListener()))
    sent.send(lung(12), 4_000)
    sent.send(lung(12, 8_000), 8_000)
    assert sent.taken.dead_letters == []
    n = len(asked_at(BED, 12))
    assert len(sent.outcome.predictions) == 2 * n
    starts_s = [(one.start_ns - T0) / NS_PER_S for one in sent.outcome.predictions]
    assert all(0 <= start_s < 12 for start_s in starts_s[:n])
    assert all(12 <= start_s < 24 for start_s in starts_s[n:])


def test_a_dead_sensor_is_told_and_suspends_what_it_cannot_know(plain_predictor: object) -> None:
    sent = Sent(bedside(plain_predictor, lung=PlainListener()))
    sent.send(np.concatenate([lung(30), np.zeros(40 * 4_000)]), 4_000)
    assert "sensor_silent" in sent.tick()


def test_without_a_network_a_sound_says_so_and_is_watched_all_the_same(plain_predictor: object) -> None:
    sent = Sent(bedside(plain_predictor))
    sent.send(np.clip(200 * lung(12), -0.4, 0.4), 4_000)
    assert sent.outcome.predictions == []
    assert [alarm.kind for alarm in sent.outcome.alarms] == ["saturated"]
    assert sent.tick() == ["model_unavailable"]


def test_a_network_of_hearts_is_not_put_on_lungs(plain_predictor: object) -> None:
    with pytest.raises(UnfitModel, match="its frames are"):
        bedside(plain_predictor, lung=PlainListener(mel=HEART_MEL))


@contextmanager
def working(settings: Settings, predictor: object) -> Iterator[Worker]:
    sounds = {LUNG: PlainListener()}
    worker = Worker(settings, predictor, WorkerOptions(), sounds=sounds)  # type: ignore[arg-type]
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop.is_set,))
    thread.start()
    try:
        yield worker
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


def spoken(values: list[bytes]) -> list[object]:
    return [item for value in values for item in msgspec.json.decode(value, type=PredictionBatch).items]


@pytest.mark.kafka
def test_a_wheeze_goes_through_the_broker_to_an_alarm_beside_a_refused_patch(
    kafka: Settings, plain_predictor: object
) -> None:
    start_ns = time.time_ns() - 120 * NS_PER_S
    sound = lung(27, 8_000)
    at = np.arange(12 * 8_000, len(sound))
    sound[at] += 0.05 * np.sin(2 * np.pi * 1_300 * at / 8_000)
    steps = np.rint(sound * 32_767).astype(np.int16)[:, None]
    slow = wire.encode(
        bed="bed-02", device="old", kind="lung_sound", channels=("chest",), unit="au", fs_hz=2_000.0,
        start_ns=start_ns, seq=0, samples=np.zeros((2_000, 1), np.int16), gain=32_767.0, baseline=0,
    )  # fmt: skip
    producer = clients.producer(kafka)
    with Publisher(kafka, device="patch") as publisher, working(kafka, plain_predictor):
        producer.send(kafka.topics.raw, slow, key=b"bed-02", headers=wire.headers(wire.AVRO))
        producer.flush()
        for second in range(27):
            publisher.publish(
                bed=BED, kind="lung_sound", channels=("chest",), unit="au", fs_hz=8_000.0,
                start_ns=start_ns + second * NS_PER_S, samples=steps[second * 8_000 : (second + 1) * 8_000],
                gain=32_767.0, baseline=0,
            )  # fmt: skip
        publisher.flush(30.0)
        n = len(asked_at(BED, 27))
        made = spoken(read_all(kafka, kafka.topics.predictions, lambda got: len(spoken(got)) >= n))
        assert len(made) == n
        assert any(event.label == "wheeze" for one in made for event in one.events)  # type: ignore[attr-defined]
        rung = read_all(
            kafka, kafka.topics.alarms, lambda got: any(b'"kind":"new_wheeze"' in value for value in got)
        )
        alarm = next(
            one
            for one in (msgspec.json.decode(value, type=Alarm) for value in rung)
            if one.kind == "new_wheeze"
        )
        assert (alarm.bed, alarm.message) == (BED, "** NEW WHEEZE")
        (letter,) = read_all(kafka, kafka.topics.dead_letters, lambda got: len(got) >= 1)
        assert "needs at least 3960 Hz" in msgspec.json.decode(letter, type=DeadLetter).detail
    producer.close()
