"""The worker through a real broker: outputs, takeover, dead letters, published schemas."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jsonschema
import msgspec
import numpy as np
import pytest

from inference.errors import NotDelivered
from inference.types import Alarm, DeadLetter, PredictionBatch, VitalBatch
from inference.worker import Worker, WorkerOptions
from ingest import kafka as clients
from ingest import wire
from ingest.publisher import Publisher
from ingest.settings import Settings
from ingest.types import NS_PER_S
from tests.topics import read_all

pytestmark = pytest.mark.kafka

FS = 250.0
SCHEMAS = Path(__file__).resolve().parent.parent / "ingest" / "schemas"


def heart(length_s: float, stops_s: float, bpm: float = 75.0) -> np.ndarray:
    seconds = np.arange(round(length_s * FS)) / FS
    line = np.random.default_rng(1).normal(0, 0.02, len(seconds))
    for time_s in np.arange(0.4, stops_s, 60 / bpm):
        line += 1.2 * np.exp(-(((seconds - time_s) / 0.018) ** 2))
    return np.round(np.stack([line, 0.6 * line], axis=1) * 1000).astype(np.int16)


def publish(publisher: Publisher, bed: str, line: np.ndarray, start_ns: int, first: int, last: int) -> None:
    for second in range(first, last):
        publisher.publish(
            bed=bed,
            kind="ecg",
            channels=("II", "V1"),
            unit="mV",
            fs_hz=FS,
            start_ns=start_ns + second * NS_PER_S,
            seq=second,
            samples=line[second * 250 : second * 250 + 250],
            gain=1000.0,
            baseline=0,
        )
    publisher.flush(30.0)


def predictions(values: list[bytes]) -> dict[str, object]:
    batches = [msgspec.json.decode(value, type=PredictionBatch) for value in values]
    return {item.id: item for batch in batches for item in batch.items}


def alarms(values: list[bytes]) -> set[tuple[str, str]]:
    decoded = [msgspec.json.decode(value, type=Alarm) for value in values]
    return {(alarm.id, alarm.state.value) for alarm in decoded if alarm.kind != "no_data"}


@contextmanager
def working(settings: Settings, predictor: object, **options: float) -> Iterator[Worker]:
    worker = Worker(settings, predictor, WorkerOptions(**options))
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop.is_set,))
    thread.start()
    try:
        yield worker
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


def crash(worker: Worker, stop: threading.Event, thread: threading.Thread) -> None:
    """As near to ``kill -9`` as one process can: nothing is flushed, left, or committed."""
    worker.close = lambda: None
    worker._commit = lambda numbers: None
    stop.set()
    thread.join(60)
    worker._consumer.close(autocommit=False)
    worker._partitions.commands.close()
    worker._producer.close(timeout=0.5)


def test_a_stopped_heart_gives_an_alarm_and_every_window_a_prediction(
    kafka: Settings, plain_predictor: object
) -> None:
    start_ns = time.time_ns() - 60 * NS_PER_S
    line = heart(30, stops_s=15)
    with Publisher(kafka, device="m") as publisher, working(kafka, plain_predictor):
        publish(publisher, "bed-01", line, start_ns, 0, 30)
        values = read_all(kafka, kafka.topics.alarms, lambda got: len(alarms(got)) >= 1)
        (found,) = alarms(values)
        assert ":asystole:" in found[0]
        made = read_all(kafka, kafka.topics.predictions, lambda got: len(predictions(got)) >= 30)
        assert len(predictions(made)) == 30


def test_bad_records_become_dead_letters_and_stop_nothing(kafka: Settings, plain_predictor: object) -> None:
    start_ns = time.time_ns() - 60 * NS_PER_S
    line = heart(12, stops_s=12)
    good = wire.encode(
        bed="bed-01", device="m", kind="ecg", channels=("II",), unit="mV", fs_hz=FS, start_ns=start_ns,
        seq=0, samples=line[:250, :1], gain=1000.0, baseline=0,
    )  # fmt: skip
    future = wire.encode(
        bed="bed-02", device="m", kind="ecg", channels=("II",), unit="mV", fs_hz=FS,
        start_ns=time.time_ns() + 3600 * NS_PER_S, seq=0, samples=line[:250, :1], gain=1000.0, baseline=0,
    )  # fmt: skip
    bad = {
        "malformed": (b"bed-01", b"\x02not avro at all", wire.headers(wire.AVRO)),
        "key_mismatch": (b"bed-99", good, wire.headers(wire.AVRO)),
        "unknown_content_type": (b"bed-01", good, [("content-type", b"text/plain")]),
        "time_travel": (b"bed-02", future, wire.headers(wire.AVRO)),
    }
    producer = clients.producer(kafka)
    with Publisher(kafka, device="m") as publisher, working(kafka, plain_predictor):
        for key, value, headers in bad.values():
            producer.send(kafka.topics.raw, value, key=key, headers=headers)
        producer.flush()
        publish(publisher, "bed-01", line, start_ns, 0, 12)
        values = read_all(kafka, kafka.topics.dead_letters, lambda got: len(got) >= len(bad))
        letters = [msgspec.json.decode(value, type=DeadLetter) for value in values]
        assert {letter.reason for letter in letters} == set(bad)
        by_reason = {letter.reason: letter for letter in letters}
        for reason, (_, value, _) in bad.items():
            assert base64.b64decode(by_reason[reason].value_base64) == value
        made = read_all(kafka, kafka.topics.predictions, lambda got: len(predictions(got)) >= 12)
        assert len(predictions(made)) == 12
    producer.close()


def test_what_is_sent_fits_the_published_schemas(kafka: Settings, plain_predictor: object) -> None:
    start_ns = time.time_ns() - 60 * NS_PER_S
    producer = clients.producer(kafka)
    with Publisher(kafka, device="m") as publisher, working(kafka, plain_predictor):
        producer.send(kafka.topics.raw, b"{", key=b"bed-01", headers=wire.headers(wire.JSON))
        producer.flush()
        publish(publisher, "bed-01", heart(20, stops_s=8), start_ns, 0, 20)
        for topic, name in (
            (kafka.topics.predictions, "predictions-1.json"),
            (kafka.topics.vitals, "vitals-1.json"),
            (kafka.topics.alarms, "alarm-1.json"),
            (kafka.topics.dead_letters, "dead_letter-1.json"),
        ):
            schema = json.loads((SCHEMAS / name).read_text())
            for value in read_all(kafka, topic, lambda got: len(got) >= 1):
                jsonschema.validate(json.loads(value), schema)
    producer.close()


@pytest.mark.parametrize("killed_at_s", [9, 18])
def test_a_killed_worker_is_replaced_and_nothing_is_lost(
    kafka: Settings, plain_predictor: object, killed_at_s: int
) -> None:
    beds = [f"bed-{n:02d}" for n in range(6)]
    start_ns = time.time_ns() - 120 * NS_PER_S
    lines = {bed: heart(40, stops_s=14 + n) for n, bed in enumerate(beds)}
    with Publisher(kafka, device="m") as publisher:
        worker = Worker(kafka, plain_predictor, WorkerOptions(snapshot_s=0.5))
        stop = threading.Event()
        thread = threading.Thread(target=worker.run, args=(stop.is_set,))
        thread.start()
        for bed in beds:
            publish(publisher, bed, lines[bed], start_ns, 0, killed_at_s - 3)
        read_all(kafka, kafka.topics.state, lambda got: len(got) >= 2 * len(beds))
        for bed in beds:
            publish(publisher, bed, lines[bed], start_ns, killed_at_s - 3, killed_at_s)
        seen = len(beds) * killed_at_s
        read_all(kafka, kafka.topics.predictions, lambda got: len(predictions(got)) >= seen)
        crash(worker, stop, thread)
        for bed in beds:
            publish(publisher, bed, lines[bed], start_ns, killed_at_s, 40)
        with working(kafka, plain_predictor) as successor:
            everything = read_all(
                kafka, kafka.topics.predictions, lambda got: len(predictions(got)) >= len(beds) * 40
            )
            assert successor.stats.counts["chunks_in"] <= len(beds) * (40 - killed_at_s + 3)
            rung = read_all(kafka, kafka.topics.alarms, lambda got: len(alarms(got)) >= len(beds))
    assert len(predictions(everything)) == len(beds) * 40
    assert len(alarms(rung)) == len(beds)
    # What was said twice was said the same way.
    said: dict[str, object] = {}
    for value in everything:
        for item in msgspec.json.decode(value, type=PredictionBatch).items:
            assert said.setdefault(item.id, item) == item


def test_two_workers_share_the_beds_and_one_takes_over(kafka: Settings, plain_predictor: object) -> None:
    beds = [f"bed-{n:02d}" for n in range(12)]
    start_ns = time.time_ns() - 120 * NS_PER_S
    line = heart(30, stops_s=30)
    with Publisher(kafka, device="m") as publisher, working(kafka, plain_predictor, snapshot_s=1.0) as first:
        with working(kafka, plain_predictor, snapshot_s=1.0) as second:
            deadline = time.monotonic() + 40
            while not (len(first._partitions) == 2 and len(second._partitions) == 2):
                assert time.monotonic() < deadline, "the two workers do not share the partitions"
                time.sleep(0.1)
            for bed in beds:
                publish(publisher, bed, line, start_ns, 0, 15)
            read_all(kafka, kafka.topics.predictions, lambda got: len(predictions(got)) >= 12 * 15)
            assert first.stats.counts["windows"] < 12 * 15
            assert second.stats.counts["windows"] < 12 * 15
        for bed in beds:
            publish(publisher, bed, line, start_ns, 15, 30)
        made = read_all(kafka, kafka.topics.predictions, lambda got: len(predictions(got)) >= 12 * 30)
        vitals = read_all(kafka, kafka.topics.vitals, lambda got: len(got) > 0)
    assert len(predictions(made)) == 12 * 30
    assert all(msgspec.json.decode(value, type=VitalBatch).items for value in vitals)


class Breaks:
    """A network that fails after some windows, as a GPU that runs out of memory."""

    def __init__(self, predictor: object, after: int) -> None:
        self.spec = predictor.spec
        self._predictor = predictor
        self._left = after

    def __call__(self, windows: np.ndarray) -> object:
        self._left -= len(windows)
        if self._left < 0:
            raise RuntimeError("out of memory")
        return self._predictor(windows)


def test_what_was_read_before_an_error_is_not_committed(kafka: Settings, plain_predictor: object) -> None:
    start_ns = time.time_ns() - 60 * NS_PER_S
    with Publisher(kafka, device="m") as publisher:
        publish(publisher, "bed-01", heart(20, stops_s=20), start_ns, 0, 20)
        broken = Worker(kafka, Breaks(plain_predictor, after=5), WorkerOptions())
        with pytest.raises(RuntimeError, match="out of memory"):
            broken.run(lambda: False)
        with working(kafka, plain_predictor):
            made = read_all(kafka, kafka.topics.predictions, lambda got: len(predictions(got)) >= 20)
    assert len(predictions(made)) == 20


def test_an_output_that_is_not_delivered_is_not_committed(kafka: Settings, plain_predictor: object) -> None:
    start_ns = time.time_ns() - 60 * NS_PER_S
    with Publisher(kafka, device="m") as publisher:
        publish(publisher, "bed-01", heart(20, stops_s=20), start_ns, 0, 20)
        worker = Worker(kafka, plain_predictor, WorkerOptions(snapshot_s=0.2))
        worker._outputs._note_failure(TimeoutError("expired"))
        with pytest.raises(NotDelivered, match="expired"):
            worker.run(lambda: False)
        with working(kafka, plain_predictor) as successor:
            deadline = time.monotonic() + 60
            while successor.stats.counts["chunks_in"] < 20:
                assert time.monotonic() < deadline, "what was not committed was not read again"
                time.sleep(0.1)


class NotUtf8(str):
    """A header name that kafka-python's consumer cannot decode."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return b"\xff\xfe"


def test_a_record_that_cannot_be_parsed_is_stepped_over(kafka: Settings, plain_predictor: object) -> None:
    start_ns = time.time_ns() - 60 * NS_PER_S
    line = heart(20, stops_s=20)
    poison = clients.producer(kafka, compression_type=None)
    with Publisher(kafka, device="m") as publisher, working(kafka, plain_predictor) as worker:
        publish(publisher, "bed-01", line, start_ns, 0, 8)
        poison.send(kafka.topics.raw, b"?", key=b"bed-01", headers=[(NotUtf8("x"), b"1")])
        poison.flush()
        publish(publisher, "bed-01", line, start_ns, 8, 20)
        made = read_all(kafka, kafka.topics.predictions, lambda got: len(predictions(got)) >= 20)
        assert worker.stats.counts["unreadable"] == 1
    poison.close()
    assert len(predictions(made)) == 20


def test_a_refused_record_of_full_size_reaches_the_dead_letters(
    kafka: Settings, plain_predictor: object
) -> None:
    value = b"\x02" + b"x" * 999_000
    sender = clients.producer(kafka, compression_type=None)
    with working(kafka, plain_predictor):
        sender.send(kafka.topics.raw, value, key=b"bed-01", headers=wire.headers(wire.AVRO))
        sender.flush()
        (letter,) = read_all(kafka, kafka.topics.dead_letters, lambda got: len(got) >= 1)
    sender.close()
    assert base64.b64decode(msgspec.json.decode(letter, type=DeadLetter).value_base64) == value
