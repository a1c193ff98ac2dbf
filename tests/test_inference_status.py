"""What processes say of themselves: while they work, when they leave, and what it costs."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import jsonschema
import msgspec
import numpy as np
import pytest
from kafka import TopicPartition

from inference import status
from inference.judge import Judge
from inference.recorder import Recorder
from inference.recorder_settings import RecorderSettings
from inference.stats import (
    ACK,
    ALARM_OUT,
    KEYS_UNREAD,
    POLLED,
    PREDICTED,
    PREDICTION_OUT,
    RECENT_S,
    SENT,
    STORED,
    VERDICT_OUT,
    Stages,
    Stats,
)
from inference.status import Rates, lag_of
from inference.stream_watch import StreamWatch
from inference.types import ClockAhead, Lag, LoadedModel, WorkerStatus
from inference.verdict_views import shipped
from inference.worker import Worker, WorkerOptions
from ingest import kafka as clients
from ingest import version, wire
from ingest.publisher import Publisher
from ingest.settings import IngestSettings, Settings
from ingest.types import NS_PER_S, Chunk, SignalKind

FS = 250
SCHEMA = Path(__file__).resolve().parent.parent / "ingest" / "schemas" / "worker_status-1.json"
COMMON = {"member", "host", "pid", "started_ns", "version", "code_commit", "group"}


def heart(length_s: int) -> np.ndarray:
    """Beats for 8 s, then none, in steps of 1/1000 mV."""
    seconds = np.arange(length_s * FS) / FS
    line = np.random.default_rng(1).normal(0, 0.02, len(seconds))
    for time_s in np.arange(0.4, 8.0, 0.8):
        line += 1.2 * np.exp(-(((seconds - time_s) / 0.018) ** 2))
    return np.round(line[:, None] * 1000).astype(np.int16)


def publish(publisher: Publisher, bed: str, start_ns: int, seconds: range) -> None:
    line = heart(seconds.stop)
    for second in seconds:
        publisher.publish(
            bed=bed, kind="ecg", channels=("II",), unit="mV", fs_hz=float(FS),
            start_ns=start_ns + second * NS_PER_S, seq=second,
            samples=line[second * FS : second * FS + FS], gain=1000.0, baseline=0,
        )  # fmt: skip
    publisher.flush(30.0)


@contextmanager
def running(process: Worker | Recorder | Judge) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=process.run, args=(stop.is_set,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


def said(settings: Settings, enough: Callable[[list[WorkerStatus]], bool]) -> list[WorkerStatus]:
    """Read what was said from the start until it is enough; each record fits the published schema."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    reader = clients.consumer(settings, group_id=None)
    topic = settings.topics.status
    try:
        reader.assign([TopicPartition(topic, number) for number in range(settings.kafka.partitions)])
        reader.seek_to_beginning()
        found: list[WorkerStatus] = []
        deadline = time.monotonic() + 60
        while not enough(found):
            assert time.monotonic() < deadline, f"not enough in 60 s: {found[-1:]}"
            for records in reader.poll(timeout_ms=100).values():
                for record in records:
                    jsonschema.validate(json.loads(record.value), schema)
                    one = msgspec.json.decode(record.value, type=WorkerStatus)
                    assert record.key.decode() == one.member
                    found.append(one)
        return found
    finally:
        reader.close(autocommit=False)


@pytest.mark.kafka
def test_a_worker_says_what_it_does_and_says_goodbye(
    kafka: Settings, plain_predictor: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "PERIOD_S", 0.3)
    start_ns = time.time_ns() - 120 * NS_PER_S
    rude = clients.producer(kafka)
    with Publisher(kafka, device="m") as publisher, running(Worker(kafka, plain_predictor, WorkerOptions())):
        for bed in ("bed-01", "bed-02"):
            publish(publisher, bed, start_ns, range(20))
        for _ in range(3):
            rude.send(kafka.topics.raw, b"?", key=b"bed-01", headers=wire.headers(wire.AVRO))
        rude.flush()

        def all_done(found: list[WorkerStatus]) -> bool:
            last = found[-1] if found else None
            return (
                last is not None
                and last.counts.get("windows", 0) >= 40
                and last.dead_letters != {}
                and {ALARM_OUT, ACK} <= last.latencies.keys()
                and all(lag.records == 0 for lag in last.lag)
            )

        one = said(kafka, all_done)[-1]
    rude.close()
    assert (one.role, one.state, one.device) == ("infer", "running", "cpu")
    assert one.models == [LoadedModel("plain", "plain")]
    assert (one.partitions, one.n_partitions, one.beds) == ([0, 1, 2, 3], 4, 2)
    assert (one.version, one.group) == (version.installed(), kafka.kafka.group_id)
    assert sum(one.dead_letters.values()) == one.counts["dead_letters"] == 3
    assert one.counts["chunks_in"] == 43
    assert one.rates["chunks_in"] > 0
    stages = one.latencies
    assert {POLLED, PREDICTED, SENT, PREDICTION_OUT} <= stages.keys()
    assert all(0 <= stage.p50_ms <= stage.p99_ms < 60_000 for stage in stages.values())
    assert stages[PREDICTION_OUT].p99_ms >= stages[PREDICTED].p50_ms
    assert {(clock.bed, clock.signal) for clock in one.clocks} == {("bed-01", "ecg"), ("bed-02", "ecg")}
    assert all(-125 < clock.ahead_s < -95 for clock in one.clocks)
    assert one.rss_bytes > 10_000_000
    assert one.threads >= 2
    last = said(kafka, lambda found: found[-1:] != [] and found[-1].state == "stopped")[-1]
    assert last.member == one.member
    assert (last.partitions, last.lag, last.rates) == ([], [], {})
    assert last.counts["windows"] == one.counts["windows"]


@pytest.mark.kafka
def test_recorder_and_judge_say_what_they_do_too(
    kafka: Settings, plain_predictor: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "PERIOD_S", 0.3)
    model, beats = shipped()
    judge = Judge(kafka, model, beats)
    recorder = Recorder(kafka, RecorderSettings(url=f"sqlite:///{tmp_path / 'a.sqlite'}"))
    alarm = {
        "version": 1,
        "id": "1",
        "bed": "bed-01",
        "device": "m",
        "kind": "leak",
        "time_ns": time.time_ns(),
    }
    producer = clients.producer(kafka)
    with running(judge), running(recorder):
        producer.send(kafka.topics.device_alarms, json.dumps(alarm).encode(), key=b"bed-01").get(30)
        producer.close()

        def newest(found: list[WorkerStatus]) -> dict[str, WorkerStatus]:
            return {one.role: one for one in found}

        def both(found: list[WorkerStatus]) -> bool:
            last = newest(found)
            return (
                {"judge", "record"} <= last.keys()
                and VERDICT_OUT in last["judge"].latencies
                and STORED in last["record"].latencies
            )

        last = newest(said(kafka, both))
    assert last["judge"].group.endswith("-judge")
    assert [one.name for one in last["judge"].models] == [model.spec.name, model.spec.beats_model]
    assert last["judge"].partitions == last["record"].partitions == [0, 1, 2, 3]
    assert [lag.partition for lag in last["record"].lag] == [0, 1, 2, 3]
    gone = said(kafka, lambda found: sum(one.state == "stopped" for one in found) == 2)
    assert {one.role for one in gone if one.state == "stopped"} == {"judge", "record"}


class FaultyProducer:
    """Takes a status only after two faults that no library announces."""

    made = 0
    took = threading.Event()
    closed: ClassVar[list[int]] = []

    def __init__(self) -> None:
        FaultyProducer.made += 1
        self.number = FaultyProducer.made

    def send(self, topic: str, value: bytes, key: bytes) -> FaultyProducer:
        if self.number <= 2:
            raise ValueError(f"fault of producer {self.number}")
        return self

    def get(self, timeout: float) -> None:
        self.took.set()

    def close(self, timeout: float) -> None:
        self.closed.append(self.number)
        raise OSError("gone already")


def test_a_fault_of_any_kind_does_not_end_what_a_process_says(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(status, "PERIOD_S", 0.0)
    monkeypatch.setattr(status.kafka, "producer", lambda *_, **__: FaultyProducer())
    reporter = status.StatusReporter(Settings(), "infer", "group")
    deadline = time.monotonic() + 30
    while not FaultyProducer.took.wait(0.01):
        assert time.monotonic() < deadline, "the thread has ended"
        reporter.tell(Stats(), status.Standing)
    reporter.close()
    assert FaultyProducer.made == 3
    assert FaultyProducer.closed == [1, 2, 3]
    said = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert said == ["status not sent; the next one goes by a new connection"], "once a minute, not each time"
    assert "fault of producer 1" in caplog.text


class NoSender:
    """Sends nothing."""

    def __init__(self, _: Settings) -> None:
        self.sent: list[WorkerStatus] = []

    def take_acknowledged(self) -> list[float]:
        return []

    def put(self, said: WorkerStatus) -> None:
        self.sent.append(said)

    def close(self, said: WorkerStatus) -> None:
        self.sent.append(said)


def test_a_file_of_keys_that_cannot_be_used_is_told_while_it_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(status, "PERIOD_S", 0.0)
    monkeypatch.setattr(status, "_Sender", NoSender)
    monkeypatch.setattr("ingest.device_keys.LOOK_S", 0.0)
    path = tmp_path / "keys.toml"
    path.write_text(f'"a" = "{"1" * 32}"')
    path.chmod(0o600)
    caplog.set_level("INFO")
    stats = Stats()
    reporter = status.StatusReporter(Settings(ingest=IngestSettings(device_keys=path)), "infer", "group")
    found = []
    for mode in (0o600, 0o644, 0o600):
        path.chmod(mode)
        reporter.tell(stats, status.Standing)
        found.append(stats.counts[KEYS_UNREAD])
    assert found == [0, 1, 0]
    assert "not signed" not in caplog.text


def test_at_the_start_it_is_said_that_records_are_not_signed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(status, "_Sender", NoSender)
    caplog.set_level("INFO")
    status.StatusReporter(Settings(ingest=IngestSettings.model_validate({"device_keys": ""})), "infer", "g")
    assert "records of devices are not signed" in caplog.text


class Reader:
    """A consumer that stands somewhere."""

    def __init__(self, marks: dict[TopicPartition, int | None], at: dict[TopicPartition, int]) -> None:
        self.highwater = marks.get
        self.position = lambda part, timeout_ms: at[part]
        self.assignment = lambda: set(marks)


def test_lag_is_records_and_age_and_unknown_where_the_broker_has_not_told() -> None:
    raw, alarms = ([TopicPartition(topic, n) for n in range(4)] for topic in ("raw", "alarms"))
    marks = {raw[0]: 10, raw[1]: 12, raw[2]: None, raw[3]: 9, alarms[1]: 5}
    at = {raw[0]: 10, raw[1]: 2, raw[3]: 0, alarms[1]: 4}
    now_ms = round(time.time() * 1e3)
    found = lag_of(Reader(marks, at), {raw[1]: now_ms - 7_000, alarms[1]: now_ms - 9_000, raw[0]: 1})
    assert [(one.partition, one.records) for one in found] == [(0, 0), (1, 11), (3, 9)]
    assert found[0] == Lag(0, 0, 0.0)
    assert found[1].seconds == pytest.approx(9, abs=1)
    assert found[2].seconds is None


def test_lag_asks_the_consumer_only_where_it_has_not_read_to_the_end() -> None:
    parts = [TopicPartition("raw", n) for n in range(3)]
    reader = Reader(dict.fromkeys(parts, 10), {parts[1]: 8})
    found = lag_of(reader, {}, {parts[0]: 10, parts[1]: 7, parts[2]: 11})
    assert [(one.partition, one.records) for one in found] == [(0, 0), (1, 2), (2, 0)]


def test_lag_asks_once_for_a_partition_in_which_nothing_comes() -> None:
    part = TopicPartition("alarms", 3)
    reached: dict[TopicPartition, int] = {}
    reader = Reader({part: 10}, {part: 10})
    assert [one.records for one in lag_of(reader, {}, reached)] == [0]
    reader.position = lambda part, timeout_ms: pytest.fail("asked again")
    assert [one.records for one in lag_of(reader, {}, reached)] == [0]


def test_stages_forget_what_is_older_than_half_a_minute() -> None:
    stages = Stages()
    stages.note("a", 1.0, 2.0, 3.0)
    stages.note("b")
    assert stages.summary(0.0).keys() == {"a"}
    stages.note("a", 9.0)
    assert (stages.summary(10.0)["a"].n, stages.summary(10.0)["a"].p50_ms) == (4, 2.5)
    assert stages.summary(RECENT_S + 5)["a"].p50_ms == 9.0
    assert stages.summary(RECENT_S + 11) == {}


def test_rates_are_those_of_the_last_ten_seconds() -> None:
    rates = Rates()
    assert rates.of(Counter(chunks=5), 0.0) == {}
    assert rates.of(Counter(chunks=25), 2.0) == {"chunks": 10.0}
    for at_s in range(4, 30, 2):
        found = rates.of(Counter(chunks=25, late=at_s), float(at_s))
    assert found == {"chunks": 0.0, "late": 1.0}


def test_the_device_clocks_that_are_furthest_off_come_first() -> None:
    watch = StreamWatch({SignalKind.ECG})
    now_s, now_ms = time.monotonic(), 1_700_000_000_000
    for bed, ahead_s in (("near", 0.1), ("behind", -30.0), ("ahead", 4.0)):
        end_ns = (now_ms * 1_000_000) + round(ahead_s * NS_PER_S)
        samples = np.zeros((250, 1), np.float32)
        chunk = Chunk(bed, "m", SignalKind.ECG, ("II",), 250.0, end_ns - NS_PER_S, 1, samples)
        watch.heard((bed, "ecg"), chunk, now_ms, 1, now_s)
    assert watch.clocks(2, now_s) == [ClockAhead("behind", "ecg", -30.0), ClockAhead("ahead", "ecg", 4.0)]
    assert watch.clocks(9, now_s + 61) == []
