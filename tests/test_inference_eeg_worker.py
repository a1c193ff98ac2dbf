"""EEGs through the worker: a real broker, wrong units, refused chunks, a worker that hands over."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import numpy as np
import pytest

from inference.types import Alarm, DeadLetter, Prediction, PredictionBatch, Vital, VitalBatch
from inference.worker import Worker, WorkerOptions
from ingest import kafka as clients
from ingest import wire
from ingest.publisher import Publisher
from ingest.settings import Settings
from ingest.sim_eeg_waves import CHANNELS
from ingest.types import NS_PER_S
from tests.eeg_networks import BEHIND, Loud, loud
from tests.topics import read_all

SECONDS = 70


@contextmanager
def working(settings: Settings, predictor: object, network: Loud | None) -> Iterator[Worker]:
    worker = Worker(settings, predictor, WorkerOptions(), eeg=network)  # type: ignore[arg-type]
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop.is_set,))
    thread.start()
    try:
        yield worker
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


def numbers(values: list[bytes], bed: str) -> list[Vital]:
    found = [item for value in values for item in msgspec.json.decode(value, type=VitalBatch).items]
    return sorted((one for one in found if one.bed == bed), key=lambda one: one.time_ns)


def told(values: list[bytes]) -> list[Prediction]:
    return [item for value in values for item in msgspec.json.decode(value, type=PredictionBatch).items]


def alarms(values: list[bytes]) -> list[Alarm]:
    return [msgspec.json.decode(value, type=Alarm) for value in values]


@pytest.mark.kafka
def test_eegs_go_through_the_broker_to_trends_and_alarms_and_from_one_worker_to_the_next(
    kafka: Settings, plain_predictor: object
) -> None:
    start_ns = time.time_ns() - 200 * NS_PER_S
    steps = np.rint(10 * np.clip(loud(SECONDS, (20, 45)), -3000, 3000)).astype(np.int16)

    def send(publisher: Publisher, begin: int, end: int) -> None:
        for second in range(begin, end):
            # The second amplifier says mV where it means µV.
            for bed, unit in (("bed-01", "uV"), ("bed-02", "mV")):
                publisher.publish(
                    bed=bed, kind="eeg", channels=CHANNELS, unit=unit, fs_hz=256.0, gain=10.0, baseline=0,
                    start_ns=start_ns + second * NS_PER_S, samples=steps[second * 256 : (second + 1) * 256],
                )  # fmt: skip
        publisher.flush(30.0)

    slow = wire.encode(
        bed="bed-03", device="old", kind="eeg", channels=("Cz", "Pz"), unit="uV", fs_hz=60.0,
        start_ns=start_ns, seq=0, samples=np.zeros((60, 2), np.int16), gain=10.0, baseline=0,
    )  # fmt: skip
    topics, producer = kafka.topics, clients.producer(kafka)
    with Publisher(kafka, device="amp") as publisher:
        with working(kafka, plain_predictor, Loud()):
            send(publisher, 0, 30)
            read_all(kafka, topics.vitals, lambda got: len(numbers(got, "bed-01")) >= 28)
        with working(kafka, plain_predictor, Loud()):
            send(publisher, 30, SECONDS)
            producer.send(topics.raw, slow, key=b"bed-03", headers=wire.headers(wire.AVRO))
            producer.flush()
            vitals = read_all(kafka, topics.vitals, lambda got: len(ids(numbers(got, "bed-01"))) >= SECONDS)
            rung = alarms(
                read_all(
                    kafka,
                    topics.alarms,
                    lambda got: (
                        {"seizure", "implausible", "unknown_rate"} <= {one.kind for one in alarms(got)}
                    ),
                )
            )
            (letter,) = read_all(kafka, topics.dead_letters, lambda got: len(got) >= 1)
            made = read_all(
                kafka,
                topics.predictions,
                lambda got: len({one.id for one in told(got) if one.bed == "bed-01"}) >= SECONDS - BEHIND,
            )
    producer.close()
    first = numbers(vitals, "bed-01")
    assert len(ids(first)) == SECONDS
    last = first[-1].eeg
    assert last is not None
    assert (last.derivations, last.trusted, last.electrodes) == (18, 18, {})
    assert last.whole.suppression == 0.0
    assert last.left.aeeg_high_uv is not None
    wrong = numbers(vitals, "bed-02")[-1]
    assert not wrong.usable
    assert wrong.eeg is not None
    assert wrong.eeg.whole.edge_hz is None
    assert {(one.bed, one.kind) for one in rung if one.kind != "no_data"} == {
        ("bed-01", "seizure"), ("bed-02", "implausible"), ("bed-03", "unknown_rate"),
    }  # fmt: skip
    assert len({one.id for one in rung if one.kind == "seizure"}) == 1
    assert "eeg up to 40 Hz needs at least 88 Hz" in msgspec.json.decode(letter, type=DeadLetter).detail
    spans = [event for one in told(made) for event in one.events]
    assert (min(span.start_ns for span in spans) - start_ns) / NS_PER_S == pytest.approx(20, abs=1.5)


@pytest.mark.kafka
def test_channels_rates_units_and_names_may_change_in_mid_stream(
    kafka: Settings, plain_predictor: object
) -> None:
    """Electrodes go and come back, the rate doubles, another unit says the same, one name stands twice."""
    start_ns = time.time_ns() - 100 * NS_PER_S
    steps = np.rint(10 * np.clip(loud(48), -3000, 3000)).astype(np.int16)
    fewer = [at for at, name in enumerate(CHANNELS) if name not in ("T7", "Fz")]
    parts = [
        (0, 12, list(range(19)), 1, "uV", 10.0),
        (12, 24, fewer, 1, "uV", 10.0),
        (24, 36, list(range(19)), 2, "uV", 10.0),
        (36, 48, list(range(19)), 1, "mV", 10_000.0),
    ]
    twice = wire.encode(
        bed="bed-02", device="amp", kind="eeg", channels=("Cz", "Pz"), unit="uV", fs_hz=256.0,
        start_ns=start_ns, seq=0, samples=np.zeros((256, 2), np.int16), gain=10.0, baseline=0,
    ).replace(b"Pz", b"Cz")  # fmt: skip
    topics, producer = kafka.topics, clients.producer(kafka)
    with Publisher(kafka, device="amp") as publisher, working(kafka, plain_predictor, Loud()):
        producer.send(topics.raw, twice, key=b"bed-02", headers=wire.headers(wire.AVRO))
        for begin, end, columns, times, unit, gain in parts:
            for second in range(begin, end):
                samples = np.repeat(steps[second * 256 : (second + 1) * 256, columns], times, axis=0)
                publisher.publish(
                    bed="bed-01", kind="eeg", channels=[CHANNELS[at] for at in columns], unit=unit,
                    fs_hz=256.0 * times, gain=gain, baseline=0, samples=samples,
                    start_ns=start_ns + second * NS_PER_S,
                )  # fmt: skip
        publisher.flush(30.0)
        # A stream that begins anew gives up the second that its filters' delay cut off.
        vitals = numbers(
            read_all(kafka, topics.vitals, lambda got: len(ids(numbers(got, "bed-01"))) >= 48 - len(parts)),
            "bed-01",
        )
        (letter,) = read_all(kafka, topics.dead_letters, lambda got: len(got) >= 1)
    producer.close()
    last = {}
    for begin, end, columns, times, unit, _ in parts:
        inside = [one for one in vitals if begin < (one.time_ns - start_ns) / NS_PER_S < end + 0.5]
        last[(len(columns), times, unit)] = inside[-1].eeg
        assert inside[-1].usable
    whole, few, fast, millivolts = last.values()
    assert [one and one.derivations for one in (whole, few, fast, millivolts)] == [18, 16, 18, 18]
    assert few is not None
    assert few.trusted == 16
    assert whole is not None
    for other in (fast, millivolts):
        assert other is not None
        assert other.whole.alpha_uv2 == pytest.approx(whole.whole.alpha_uv2, rel=0.9)
    detail = msgspec.json.decode(letter, type=DeadLetter)
    assert detail.reason == "invalid_field"
    assert "Cz" in detail.detail


@pytest.mark.kafka
@pytest.mark.slow
def test_a_network_that_came_back_ends_its_alarm_and_looks_for_seizures(
    kafka: Settings, plain_predictor: object
) -> None:
    """As ``wardwave infer`` does it: the worker without ends, the one with it goes on from its state."""
    start_ns = time.time_ns() - 100 * NS_PER_S
    steps = np.rint(10 * np.clip(loud(40, (15, 35)), -3000, 3000)).astype(np.int16)

    def send(publisher: Publisher, begin: int, end: int) -> None:
        for second in range(begin, end):
            publisher.publish(
                bed="bed-01", kind="eeg", channels=CHANNELS, unit="uV", fs_hz=256.0, gain=10.0, baseline=0,
                start_ns=start_ns + second * NS_PER_S, samples=steps[second * 256 : (second + 1) * 256],
            )  # fmt: skip
        publisher.flush(30.0)

    def steps_of(found: list[bytes], kind: str) -> list[str]:
        return [one.state.value for one in alarms(found) if one.kind == kind]

    topic = kafka.topics.alarms
    with Publisher(kafka, device="amp") as publisher:
        with working(kafka, plain_predictor, None):
            send(publisher, 0, 10)
            read_all(kafka, topic, lambda got: "active" in steps_of(got, "model_unavailable"))
        with working(kafka, plain_predictor, Loud()):
            send(publisher, 10, 40)
            rung = read_all(
                kafka,
                topic,
                lambda got: (
                    "ended" in steps_of(got, "model_unavailable") and "active" in steps_of(got, "seizure")
                ),
            )
    lacking = [one for one in alarms(rung) if one.kind == "model_unavailable"]
    assert [one.state.value for one in lacking] == ["active", "ended"]
    assert len({one.id for one in lacking}) == 1


def ids(vitals: list[Vital]) -> set[str]:
    return {one.id for one in vitals}
