"""``wardwave infer`` with the shipped model: killed with ``kill -9``, its successor loses nothing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

import msgspec
import numpy as np
import pytest
from kafka import TopicPartition

from inference.beat_predictor import BeatPredictor
from inference.cli import DEFAULT_MODEL
from inference.monitor import EcgMonitor, Outcome
from inference.predictor import Predictor
from inference.types import Alarm, Prediction, PredictionBatch
from ingest import kafka as clients
from ingest.broker import EmbeddedBroker
from ingest.continuity import Continuity
from ingest.publisher import Publisher
from ingest.readers import read_signal_files
from ingest.settings import IngestSettings, KafkaSettings, Settings
from ingest.sim_events import parse_script
from ingest.simulate import Ward
from ingest.types import NS_PER_S, Chunk, SignalKind
from tests.browsing import until

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).resolve().parent.parent


def environment(settings: Settings) -> dict[str, str]:
    names = {
        f"WARDWAVE_TOPICS__{name.upper()}": value for name, value in settings.topics.model_dump().items()
    }
    return {
        **os.environ,
        **names,
        "WARDWAVE_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "WARDWAVE_KAFKA__GROUP_ID": settings.kafka.group_id,
        "WARDWAVE_KAFKA__PARTITIONS": str(settings.kafka.partitions),
    }


def start_worker(
    settings: Settings, level: str = "WARNING", stderr: IO[bytes] | None = None
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "wardwave", "--log-level", level, "infer", "--threads", "1"]
    return subprocess.Popen(
        [*command, "--snapshot-s", "1", "--overload", "queue"],
        env=environment(settings),
        cwd=ROOT,
        stderr=stderr,
    )


@pytest.fixture
def worker(kafka: Settings) -> Iterator[subprocess.Popen[bytes]]:
    process = start_worker(kafka)
    yield process
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.wait(30)


def send(publisher: Publisher, chunks: list[Chunk]) -> None:
    for chunk in chunks:
        publisher.publish(
            bed=chunk.bed,
            kind=chunk.kind,
            channels=chunk.channels,
            unit="mV",
            fs_hz=chunk.fs_hz,
            start_ns=chunk.start_ns,
            seq=chunk.seq,
            samples=np.round(chunk.samples * 1000).astype(np.int16),
            gain=1000.0,
            baseline=0,
            lead_off=chunk.lead_off,
        )
    publisher.flush(60.0)


def unbroken(chunks: list[Chunk]) -> Outcome:
    """What one monitor says that is never killed."""
    beats = BeatPredictor("ecg-beats-1", "cpu")
    monitor = EcgMonitor(Predictor(DEFAULT_MODEL, "cpu"), time.time_ns, beats)
    lines: dict[str, Continuity] = {}
    total = Outcome()
    for offset, chunk in enumerate(chunks):
        line = lines.setdefault(chunk.bed, Continuity(IngestSettings()))
        received = np.round(chunk.samples * 1000).astype(np.float32) / np.float32(1000)
        sent = replace(chunk, samples=received)
        total.extend(monitor.push([(chunk.bed, piece) for piece in line.push(sent, offset, 0)]))
    return total


def read_until(settings: Settings, n_predictions: int) -> tuple[dict[str, Prediction], dict[str, Alarm]]:
    """Read predictions and alarms until there are so many windows, one of each id."""
    topics = settings.topics
    reader = clients.consumer(settings, group_id=None)
    try:
        parts = range(settings.kafka.partitions)
        reader.assign(
            [TopicPartition(topic, part) for topic in (topics.predictions, topics.alarms) for part in parts]
        )
        reader.seek_to_beginning()
        predictions: dict[str, Prediction] = {}
        alarms: dict[str, Alarm] = {}
        deadline = time.monotonic() + 120
        quiet = 0
        while len(predictions) < n_predictions or quiet < 5:
            assert time.monotonic() < deadline, f"{len(predictions)} of {n_predictions} windows after 120 s"
            got = [record for records in reader.poll(timeout_ms=200).values() for record in records]
            quiet = 0 if got else quiet + 1
            for record in got:
                if record.topic == topics.alarms:
                    alarm = msgspec.json.decode(record.value, type=Alarm)
                    if alarm.kind != "no_data":
                        alarms[f"{alarm.id} {alarm.state}"] = alarm
                else:
                    batch = msgspec.json.decode(record.value, type=PredictionBatch)
                    predictions.update((item.id, item) for item in batch.items)
        return predictions, alarms
    finally:
        reader.close(autocommit=False)


def assert_same(chunks: list[Chunk], settings: Settings, worker: subprocess.Popen[bytes], cut: int) -> None:
    expected = unbroken(chunks)
    with Publisher(settings, device="test") as publisher:
        send(publisher, chunks[: cut // 2])
        read_until(settings, cut // 2)
        send(publisher, chunks[cut // 2 : cut])
        worker.send_signal(signal.SIGKILL)
        worker.wait(30)
        send(publisher, chunks[cut:])
    successor = start_worker(settings)
    try:
        predictions, alarms = read_until(settings, len(expected.predictions))
    finally:
        successor.send_signal(signal.SIGTERM)
        assert successor.wait(60) == 0
    assert set(predictions) == {item.id for item in expected.predictions}
    for item in expected.predictions:
        said = predictions[item.id]
        np.testing.assert_allclose(
            list(said.probabilities.values()), list(item.probabilities.values()), atol=1e-5
        )
        assert [beat.label for beat in said.beats] == [beat.label for beat in item.beats]
        np.testing.assert_allclose(
            [beat.time_ns for beat in said.beats], [beat.time_ns for beat in item.beats], atol=1000
        )
    assert set(alarms) == {f"{alarm.id} {alarm.state}" for alarm in expected.alarms}


def test_a_killed_worker_on_a_simulated_ward(kafka: Settings, worker: subprocess.Popen[bytes]) -> None:
    events = parse_script(["bed-01:vf@20s:20s", "bed-02:asystole@25s:15s", "bed-03:tachy@15s:40s"])
    start_ns = time.time_ns() - 120 * NS_PER_S
    chunks = list(Ward(6, 1, events).chunks(start_ns, 60, 1.0))
    assert_same(chunks, kafka, worker, cut=6 * 27)


def test_a_worker_that_is_stopped_without_its_broker_ends_soon_and_says_so_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with EmbeddedBroker() as broker:
        address = KafkaSettings(bootstrap_servers=broker.bootstrap_servers, partitions=2)
        with log.open("wb") as output:
            process = start_worker(Settings(kafka=address), level="INFO", stderr=output)
        until("the worker works", lambda: "took up partitions" in log.read_text(), 120)
    try:
        until("it misses the broker", lambda: " kafka." in log.read_text(), 60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(25) == 0
    finally:
        process.kill()
        process.wait(30)
    said = log.read_text()
    assert "Traceback" not in said
    assert said.count("ended without the broker") == 1
    assert len(said.splitlines()) < 15


@pytest.mark.data
@pytest.mark.slow  # A simulated ward is killed in every run; the two real ones take a minute.
@pytest.mark.parametrize("record", ["mitdb/207", "vfdb/430"])
def test_a_killed_worker_on_a_real_record(
    kafka: Settings, worker: subprocess.Popen[bytes], data_dir: Path, record: str
) -> None:
    recording = read_signal_files(data_dir / record, duration_s=90.0)
    (signal_,) = (item for item in recording.signals if item.kind is SignalKind.ECG)
    start_ns = time.time_ns() - 200 * NS_PER_S
    step = round(signal_.fs_hz)
    chunks = [
        Chunk(
            "bed-01", "test", signal_.kind, signal_.channels, signal_.fs_hz,
            start_ns + n * NS_PER_S, n, signal_.samples[n * step : (n + 1) * step],
        )
        for n in range(90)
    ]  # fmt: skip
    assert_same(chunks, kafka, worker, cut=44)
