"""A broker that confirms chunks without an offset: they go again in order, not too often, not for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from kafka.future import Future

from ingest import kafka as clients
from ingest.errors import PublishError
from ingest.publisher import Publisher
from ingest.settings import Settings


class Producer:
    """Confirms at once what it was told an offset for, and leaves the rest to the test."""

    def __init__(self, offset: int | None = None) -> None:
        self.offset = offset
        self.sent: list[bytes] = []
        self.futures: list[Future] = []
        self.changed = threading.Condition()

    def send(self, topic: str, value: bytes, key: bytes, headers: object) -> Future:
        future = Future()
        if self.offset is not None:
            future.success(SimpleNamespace(offset=self.offset))
        with self.changed:
            self.sent.append(value)
            self.futures.append(future)
            self.changed.notify_all()
        return future

    def confirm(self, number: int, offset: int) -> None:
        self.futures[number].success(SimpleNamespace(offset=offset))

    def wait_for(self, count: int) -> list[bytes]:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.sent) >= count, 5)
            return self.sent[:]

    def close(self, timeout: float) -> None:
        """Nothing is held here."""


@pytest.fixture
def publisher_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[Producer, float], Publisher]:
    def make(producer: Producer, timeout_s: float) -> Publisher:
        monkeypatch.setattr(clients, "ensure_topic", lambda *_: None)
        monkeypatch.setattr(clients, "producer", lambda *_, **__: producer)
        return Publisher(Settings(), device="monitor-7", timeout_s=timeout_s)

    return make


PublisherOf = Callable[[Producer, float], Publisher]


def test_a_chunk_that_never_gets_an_offset_is_given_up_after_the_timeout(publisher_of: PublisherOf) -> None:
    producer = Producer(offset=-1)
    publisher = publisher_of(producer, 0.5)
    publisher.send_raw(b"bed-01", b"chunk")
    with pytest.raises(PublishError, match=r"0 chunks not .* 1 given up .*no offset of it in time"):
        publisher.flush()
    stats = publisher.stats
    assert (stats.acknowledged, stats.failed, stats.waiting) == (0, 1, 0)
    # Every 50 ms, where it comes back at once.
    assert 2 <= len(producer.sent) <= 11
    publisher.close()


def test_what_goes_again_keeps_its_order_and_goes_before_what_is_new(publisher_of: PublisherOf) -> None:
    producer = Producer()
    publisher = publisher_of(producer, 30.0)
    values = [b"%d" % number for number in range(6)]
    for value in values:
        publisher.send_raw(b"bed-01", value)
    producer.wait_for(6)
    for number in (1, 3, 4):
        producer.confirm(number, -1)
    publisher.send_raw(b"bed-01", b"new")
    assert producer.wait_for(10)[6:] == [b"1", b"3", b"4", b"new"]
    for number in (0, 2, 5, 6, 7, 8, 9):
        producer.confirm(number, 40 + number)
    publisher.close()
    assert publisher.stats.acknowledged == 7


class Gate:
    """Holds one thread up before the publisher's lock."""

    def __init__(self, condition: threading.Condition) -> None:
        self._condition = condition
        self.reached, self.open = threading.Event(), threading.Event()

    def __enter__(self) -> bool:
        if threading.current_thread().name == "kafka":
            self.reached.set()
            assert self.open.wait(5)
        return self._condition.__enter__()

    def __exit__(self, *error: object) -> None:
        self._condition.__exit__(*error)

    def __getattr__(self, name: str) -> object:
        return getattr(self._condition, name)


def test_what_is_confirmed_without_an_offset_while_the_publisher_closes_is_given_up(
    publisher_of: PublisherOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer = Producer()
    publisher = publisher_of(producer, 30.0)
    publisher.send_raw(b"bed-01", b"chunk")
    producer.wait_for(1)
    gate = Gate(publisher._condition)
    monkeypatch.setattr(publisher, "_condition", gate)
    thread = threading.Thread(target=producer.confirm, args=(0, -1), name="kafka")
    thread.start()
    assert gate.reached.wait(5)
    with pytest.raises(PublishError, match="1 chunks not acknowledged"):
        publisher.close(0.1)
    gate.open.set()
    thread.join(5)
    stats = publisher.stats
    assert (stats.sent, stats.failed, stats.waiting) == (1, 1, 0)
