"""What a broker confirmed is there after it was killed: records sent while it is killed again and again."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import pytest
from kafka import TopicPartition

from inference.chaos_broker import BrokerOptions, broker_of
from ingest import kafka as clients
from ingest.settings import Settings

# kafka-python leaves sockets that were refused to the garbage collector.
pytestmark = [
    pytest.mark.kafka,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
    ),
]

N_PARTITIONS = 8
N_PRODUCERS = 3
N_KILLS = 15
APART_S = 1.5


@dataclass
class Sent:
    """Records that producers sent, by name, until they are told to stop."""

    settings: Settings
    stop: threading.Event = field(default_factory=threading.Event)
    confirmed: set[bytes] = field(default_factory=set)
    refused: list[BaseException] = field(default_factory=list)

    def produce(self, who: int) -> None:
        """Send a record to each partition ten times a second, as a worker and devices do."""
        producer = clients.producer(self.settings, delivery_timeout_ms=120_000)
        numbers = itertools.count()
        while not self.stop.wait(0.1):
            for partition in range(N_PARTITIONS):
                name = b"%d-%d" % (who, next(numbers))
                future = producer.send(self.settings.topics.raw, name, partition=partition)
                future.add_callback(lambda _, name=name: self.confirmed.add(name))
                future.add_errback(self.refused.append)
        producer.flush(60)
        producer.close()


def read_all(settings: Settings) -> list[tuple[int, bytes]]:
    """Read partition and value of all records."""
    reader = clients.consumer(settings, group_id=None)
    places = [TopicPartition(settings.topics.raw, number) for number in range(N_PARTITIONS)]
    ends = clients.end_offsets(settings, places)
    reader.assign(places)
    reader.seek_to_beginning(*places)
    found: list[tuple[int, bytes]] = []
    while any(reader.position(place) < ends[place] for place in places):
        for records in reader.poll(timeout_ms=500).values():
            found += [(record.partition, record.value) for record in records]
    reader.close()
    return found


def test_a_killed_broker_has_all_that_it_confirmed_and_in_order() -> None:
    with broker_of(BrokerOptions(keeps=True), seed=1) as way:
        assert way.restart is not None
        settings = Settings(kafka=way.address.model_copy(update={"partitions": N_PARTITIONS}))
        clients.ensure_topic(settings, settings.topics.raw)
        sent = Sent(settings)
        threads = [threading.Thread(target=sent.produce, args=(who,)) for who in range(N_PRODUCERS)]
        for thread in threads:
            thread.start()
        for _ in range(N_KILLS):
            time.sleep(APART_S)
            way.restart()
        sent.stop.set()
        for thread in threads:
            thread.join()
        found = read_all(settings)
    assert sent.refused == []
    assert len(sent.confirmed) > N_PRODUCERS * N_PARTITIONS * N_KILLS
    assert sent.confirmed - {value for _, value in found} == set()
    first_time = list(dict.fromkeys(found))
    numbers: Counter[tuple[int, bytes]] = Counter()
    for partition, value in first_time:
        who, _, number = value.partition(b"-")
        assert int(number) >= numbers[partition, who], "a record came before an earlier one"
        numbers[partition, who] = int(number)
