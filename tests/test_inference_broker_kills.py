"""What a broker confirmed is there after it was killed: records sent while it is killed again and again."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from kafka import TopicPartition

from inference.chaos_broker import BrokerOptions, broker_of
from inference.publish import Outputs
from ingest import kafka as clients
from ingest.publisher import Publisher
from ingest.settings import Settings

# kafka-python leaves sockets that were refused to the garbage collector.
pytestmark = [
    pytest.mark.kafka,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

N_PARTITIONS = 8
N_KILLS = 15
APART_S = 1.5


@dataclass
class Senders:
    """Devices and a worker that send, each as it does in a ward, until they are told to stop."""

    settings: Settings
    stop: threading.Event = field(default_factory=threading.Event)
    sent: dict[str, set[bytes]] = field(default_factory=dict)

    def devices(self, name: str) -> None:
        """Send chunks by a publisher, which waits for nothing."""
        with Publisher(self.settings, device=name, timeout_s=120.0) as publisher:
            for number in self._numbers():
                for bed in range(N_PARTITIONS):
                    value = b"%s-%d-%d" % (name.encode(), number, bed)
                    publisher.send_raw(b"bed-%d" % bed, value)
                    self._note(self.settings.topics.raw, value)

    def worker(self) -> None:
        """Send outputs and wait for their acknowledgement at each turn."""
        producer = clients.producer(self.settings)
        outputs = Outputs(producer, self.settings.topics, lambda bed: 0)
        for number in self._numbers():
            for partition in range(N_PARTITIONS):
                value = b"%d-%d" % (number, partition)
                outputs.send_state(f"signal-{partition}", value, partition)
                self._note(self.settings.topics.state, value)
            outputs.flush()
        producer.close()

    def _numbers(self) -> itertools.takewhile[int]:
        return itertools.takewhile(lambda _: not self.stop.wait(0.1), itertools.count())

    def _note(self, topic: str, value: bytes) -> None:
        self.sent.setdefault(topic, set()).add(value)


def read_all(settings: Settings, topic: str) -> set[bytes]:
    """Read the values of all records."""
    reader = clients.consumer(settings, group_id=None)
    places = [TopicPartition(topic, number) for number in range(N_PARTITIONS)]
    ends = clients.end_offsets(settings, places)
    reader.assign(places)
    reader.seek_to_beginning(*places)
    found: set[bytes] = set()
    while any(reader.position(place) < ends[place] for place in places):
        for records in reader.poll(timeout_ms=500).values():
            found |= {record.value for record in records}
    reader.close()
    return found


def test_a_killed_broker_has_all_that_devices_and_workers_were_told_it_has() -> None:
    with broker_of(BrokerOptions(keeps=True), seed=1) as way:
        assert way.restart is not None
        settings = Settings(kafka=way.address.model_copy(update={"partitions": N_PARTITIONS}))
        clients.ensure_topics(settings)
        senders = Senders(settings)
        work: list[Callable[[], None]] = [
            lambda: senders.devices("a"),
            lambda: senders.devices("b"),
            senders.worker,
        ]
        threads = [threading.Thread(target=one) for one in work]
        for thread in threads:
            thread.start()
        for _ in range(N_KILLS):
            time.sleep(APART_S)
            way.restart()
        senders.stop.set()
        for thread in threads:
            thread.join()
        found = {topic: read_all(settings, topic) for topic in senders.sent}
    assert all(len(values) > N_PARTITIONS * N_KILLS for values in senders.sent.values())
    assert {topic: values - found[topic] for topic, values in senders.sent.items()} == {
        topic: set() for topic in senders.sent
    }
