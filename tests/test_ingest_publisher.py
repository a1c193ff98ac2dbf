"""The publisher: everything arrives in order, a full queue blocks or drops as chosen, and losses are said."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from ingest import kafka as clients
from ingest import wire
from ingest.broker import EmbeddedBroker
from ingest.errors import BadChunk, PublishError
from ingest.publisher import Publisher
from ingest.settings import KafkaSettings, Settings
from ingest.types import Chunk

# kafka-python leaves the sockets of refused connections to the garbage collector.
pytestmark = [pytest.mark.kafka, pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")]
START_NS = 1_700_000_000 * 10**9
SAMPLES = np.arange(500, dtype=np.int16).reshape(250, 2)


@pytest.fixture
def own_broker() -> Iterator[EmbeddedBroker]:
    """A broker that a test may stop."""
    with EmbeddedBroker() as broker:
        yield broker
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@contextmanager
def frozen(broker: EmbeddedBroker) -> Iterator[None]:
    """Stop the broker's process without ending its connections, as a hung machine would."""
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        if broker.pid is not None:
            os.kill(broker.pid, signal.SIGCONT)


def settings_of(broker: EmbeddedBroker) -> Settings:
    return Settings(kafka=KafkaSettings(bootstrap_servers=broker.bootstrap_servers, partitions=4))


def chunk(bed: str = "bed-01", number: int = 0, **change: object) -> dict:
    return {
        "bed": bed,
        "kind": "ecg",
        "channels": ("II", "V1"),
        "unit": "mV",
        "fs_hz": 250.0,
        "start_ns": START_NS + number * 10**9,
        "samples": SAMPLES,
        "gain": 200.0,
        **change,
    }


def received(settings: Settings, count: int) -> list[Chunk]:
    consumer = clients.consumer(settings, settings.topics.raw, group_id=None)
    found: list[Chunk] = []
    deadline = time.monotonic() + 20
    try:
        while len(found) < count and time.monotonic() < deadline:
            for records in consumer.poll(timeout_ms=200).values():
                for record in records:
                    content_type = dict(record.headers)["content-type"].decode()
                    one = wire.decode(record.value, content_type)
                    wire.check_key(one, record.key)
                    found.append(one)
    finally:
        consumer.close(autocommit=False)
    return found


def eventually(condition: Callable[[], bool], within_s: float = 20.0) -> bool:
    deadline = time.monotonic() + within_s
    tick = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        tick.wait(0.01)
    return True


@pytest.mark.parametrize("content_type", [wire.AVRO, wire.JSON])
def test_all_arrive_in_order_and_are_counted(kafka: Settings, content_type: str) -> None:
    with Publisher(kafka, device="monitor-7", content_type=content_type) as publisher:
        for number in range(30):
            for bed in ("bed-01", "bed-02"):
                publisher.publish(**chunk(bed, number))
                publisher.publish(**chunk(bed, number, kind="resp", unit="au", channels=("a", "b")))
        publisher.flush()
        stats = publisher.stats
    assert (stats.sent, stats.acknowledged, stats.dropped, stats.failed, stats.waiting) == (120, 120, 0, 0, 0)
    found = received(kafka, 120)
    for bed in ("bed-01", "bed-02"):
        for kind in ("ecg", "resp"):
            mine = [item for item in found if item.bed == bed and item.kind == kind]
            assert [item.seq for item in mine] == list(range(30))
            assert {item.device for item in mine} == {"monitor-7"}
    np.testing.assert_allclose(found[0].samples, SAMPLES / 200.0, rtol=1e-6)


def test_closing_sends_what_waits(kafka: Settings) -> None:
    publisher = Publisher(kafka, device="m", linger_ms=1_000)
    for number in range(10):
        publisher.publish(**chunk(number=number))
    publisher.close()
    publisher.close()
    assert publisher.stats.acknowledged == 10
    with pytest.raises(PublishError, match="closed"):
        publisher.publish(**chunk())


def test_a_wrong_chunk_is_refused_at_once_and_takes_no_number(kafka: Settings) -> None:
    with Publisher(kafka, device="m") as publisher:
        with pytest.raises(BadChunk, match="wrong_unit"):
            publisher.publish(**chunk(unit="furlong"))
        publisher.publish(**chunk())
        publisher.publish(**chunk(seq=41))
        publisher.publish(**chunk())
    assert [item.seq for item in received(kafka, 3)] == [0, 41, 42]


def test_threads_may_share_a_publisher(kafka: Settings) -> None:
    with Publisher(kafka, device="m", max_waiting=50) as publisher:

        def send(bed: str) -> None:
            for number in range(100):
                publisher.publish(**chunk(bed, number))

        threads = [threading.Thread(target=send, args=(f"bed-{i}",)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    found = received(kafka, 400)
    for i in range(4):
        assert [item.seq for item in found if item.bed == f"bed-{i}"] == list(range(100))


def test_a_full_queue_drops_the_oldest(own_broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture) -> None:
    settings = settings_of(own_broker)
    with (
        caplog.at_level(logging.WARNING, "ingest.publisher"),
        Publisher(settings, device="m", on_full="drop_oldest", max_waiting=20) as publisher,
    ):
        publisher.publish(**chunk())
        publisher.flush()
        with frozen(own_broker):
            for number in range(1, 101):
                publisher.publish(**chunk(number=number))
            stats = publisher.stats
            assert stats.waiting == 20
            assert stats.dropped == 80
            assert stats.sent == 101
        publisher.flush()
    seqs = [item.seq for item in received(settings, 21)]
    assert len(seqs) == 21
    assert seqs == sorted(seqs)
    # The newest survive; a few of the oldest were already on their way.
    assert seqs[-10:] == list(range(91, 101))
    assert [r.message for r in caplog.records if "the oldest are dropped" in r.message] != []
    assert sum("chunks wait for" in r.message for r in caplog.records) == 1


def test_a_full_queue_blocks_until_there_is_room(own_broker: EmbeddedBroker) -> None:
    settings = settings_of(own_broker)
    with Publisher(settings, device="m", on_full="block", max_waiting=20) as publisher:
        publisher.publish(**chunk())
        publisher.flush()
        done = threading.Event()

        def send() -> None:
            for number in range(1, 101):
                publisher.publish(**chunk(number=number))
            done.set()

        thread = threading.Thread(target=send)
        with frozen(own_broker):
            thread.start()
            assert eventually(lambda: publisher.stats.waiting == 20)
            assert not done.wait(0.2)
        assert done.wait(20)
        thread.join(5)
    assert publisher.stats.dropped == 0
    assert [item.seq for item in received(settings, 101)] == list(range(101))


def test_no_room_in_time_is_an_error(own_broker: EmbeddedBroker) -> None:
    publisher = Publisher(settings_of(own_broker), device="m", max_waiting=4, timeout_s=30.0)
    publisher.publish(**chunk())
    publisher.flush()
    publisher._timeout_s = 0.2
    with frozen(own_broker):
        for number in range(1, 5):
            publisher.publish(**chunk(number=number))
        with pytest.raises(PublishError, match=r"no room for 0\.2 s: 4 chunks wait") as error:
            publisher.publish(**chunk(number=5))
    assert error.value.retriable
    publisher._timeout_s = 30.0
    publisher.close()
    assert publisher.stats.acknowledged == 5


def test_undeliverable_chunks_are_said(own_broker: EmbeddedBroker) -> None:
    publisher = Publisher(settings_of(own_broker), device="m", timeout_s=1.0)
    publisher.publish(**chunk())
    publisher.flush()
    own_broker.stop()
    publisher.publish(**chunk())
    with pytest.raises(PublishError, match=r"1 given up|1 chunks not acknowledged"):
        publisher.close()
    stats = publisher.stats
    assert (stats.acknowledged, stats.acknowledged + stats.failed + stats.waiting) == (1, 2)


def test_an_error_inside_the_block_is_not_hidden_by_closing(own_broker: EmbeddedBroker) -> None:
    def device() -> None:
        with Publisher(settings_of(own_broker), device="m", timeout_s=0.5) as publisher:
            publisher.publish(**chunk())
            publisher.flush()
            own_broker.stop()
            publisher.publish(**chunk())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        device()


def test_topics_are_made_with_the_right_partitions(own_broker: EmbeddedBroker) -> None:
    """The broker would make an absent topic by itself, with another number of partitions."""
    settings = settings_of(own_broker)
    with Publisher(settings, device="m") as publisher:
        publisher.publish(**chunk())
    admin = clients.admin(settings)
    try:
        (topic,) = admin.describe_topics([settings.topics.raw])
    finally:
        admin.close()
    assert len(topic["partitions"]) == 4


@pytest.mark.parametrize(("option", "value"), [("on_full", "wait"), ("max_waiting", 0)])
def test_wrong_options_are_named(option: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{option}={value!r}"):
        Publisher(Settings(), device="m", **{option: value})


def test_raw_bytes_go_as_they_are(kafka: Settings) -> None:
    with Publisher(kafka, device="m") as publisher:
        publisher.send_raw(b"bed-01", b"\x00broken")
    consumer = clients.consumer(kafka, kafka.topics.raw, group_id=None)
    try:
        deadline = time.monotonic() + 20
        values: list[bytes] = []
        while not values and time.monotonic() < deadline:
            for records in consumer.poll(timeout_ms=200).values():
                values += [record.value for record in records]
    finally:
        consumer.close(autocommit=False)
    assert values == [b"\x00broken"]


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("start_ns", "n_samples", "word"),
    [(1_795_241_998, 250, "seconds perhaps"), (1_795_241_998 * 10**9, 600_000, "max_record_bytes")],
)
def test_what_the_worker_would_refuse_is_refused_at_once(
    kafka: Settings, start_ns: int, n_samples: int, word: str
) -> None:
    samples = np.zeros((n_samples, 1), np.int16)
    with Publisher(kafka, device="m") as publisher, pytest.raises(BadChunk, match=word):
        publisher.publish(
            bed="b", kind="ecg", channels=("II",), unit="mV", fs_hz=250.0, start_ns=start_ns,
            samples=samples, gain=200.0, baseline=0,
        )  # fmt: skip
