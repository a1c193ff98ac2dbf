"""Outputs go to partitions that their readers can count on, in few records."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec
import pytest
from kafka.errors import KafkaTimeoutError

from inference import patience as waiting
from inference import publish
from inference.monitor import Outcome
from inference.patience import Patience
from inference.publish import LEAST_BATCHES, Outputs, batch_partitions
from inference.types import Vital, VitalBatch
from ingest.settings import Topics

HOMES = {f"bed-{n:02d}": n for n in range(64)}


@dataclass
class Confirmed:
    offset: int


@dataclass
class Sent:
    confirmed: Confirmed

    def add_callback(self, note: Callable[[Confirmed], None]) -> None:
        note(self.confirmed)

    def add_errback(self, note: object) -> None:
        """Nothing fails here."""


class Producer:
    def __init__(self, offsets: Iterable[int] = ()) -> None:
        self.records: list[tuple[str, int, bytes]] = []
        self.offsets = iter(offsets)

    def flush(self, timeout: float) -> None:
        """All is confirmed at once."""

    def send(
        self,
        topic: str,
        value: bytes,
        key: bytes | None,
        partition: int,
        headers: list[tuple[str, bytes]],
    ) -> Sent:
        assert headers == []
        self.records.append((topic, partition, value))
        return Sent(Confirmed(next(self.offsets, 0)))


def vital(bed: str, second: int) -> Vital:
    return Vital(f"{bed}-{second}", bed, "ecg", second * 10**9, 60.0, 0.0, 1.0, True, second, 0)


def sent(vitals: list[Vital]) -> list[tuple[int, list[Vital]]]:
    producer = Producer()
    outputs = Outputs(producer, Topics(), HOMES.__getitem__)
    outputs.send(Outcome(vitals=vitals))
    assert {topic for topic, _, _ in producer.records} == {Topics().vitals}
    read = msgspec.json.Decoder(VitalBatch).decode
    return [(number, list(read(value).items)) for _, number, value in producer.records]


def test_a_poll_of_many_partitions_goes_out_in_few_records() -> None:
    vitals = [vital(bed, 1) for bed in HOMES]
    batches = sent(vitals)
    assert len(batches) == LEAST_BATCHES == batch_partitions(64)
    assert sorted(one.id for _, items in batches for one in items) == sorted(one.id for one in vitals)


def test_a_bed_is_always_in_the_same_partition_and_in_order() -> None:
    alone = [(number, one.id) for bed in HOMES for number, items in sent([vital(bed, 1)]) for one in items]
    together = [(number, one.id) for number, items in sent([vital(bed, 1) for bed in HOMES]) for one in items]
    assert sorted(alone) == sorted(together)
    ((_, items),) = sent([vital("bed-10", second) for second in (3, 4, 5)])
    assert [one.time_ns for one in items] == [3 * 10**9, 4 * 10**9, 5 * 10**9]


def test_fewer_partitions_than_batches_are_used_as_they_are() -> None:
    assert [number for number, _ in sent([vital(f"bed-{n:02d}", 1) for n in range(4)])] == [0, 1, 2, 3]


def test_a_large_cluster_uses_more_partitions() -> None:
    assert [batch_partitions(n) for n in (1, 64, 128, 1024)] == [8, 8, 16, 128]


def test_what_is_confirmed_without_an_offset_is_sent_until_it_has_one() -> None:
    producer = Producer([7, -1, 8, -1, 9])
    outputs = Outputs(producer, Topics(), HOMES.__getitem__)
    for value in (b"a", b"b", b"c"):
        outputs.send_state("signal", value, 0)
    assert [value for _, _, value in producer.records] == [b"a", b"b", b"c"]
    outputs.flush()
    assert [value for _, _, value in producer.records] == [b"a", b"b", b"c", b"b", b"b"]
    outputs.flush()
    assert len(producer.records) == 5


def test_what_is_confirmed_without_an_offset_does_not_wait_for_a_flush() -> None:
    producer = Producer([-1, -1, 7])
    outputs = Outputs(producer, Topics(), HOMES.__getitem__)
    outputs.send_state("alarm", b"a", 0)
    outputs.send_state("signal", b"b", 0)
    outputs.send(Outcome(vitals=[vital("bed-00", 1)]))
    assert [value for _, _, value in producer.records[:4]] == [b"a", b"b", b"a", b"b"]
    assert producer.records[4][0] == Topics().vitals


def unsure(monkeypatch: pytest.MonkeyPatch, stopped: bool) -> tuple[Producer, Outputs]:
    monkeypatch.setattr(waiting, "LAST_S", 0.3)
    monkeypatch.setattr(publish, "FLUSH_S", 0.3)
    producer, patience = Producer(itertools.repeat(-1)), Patience()
    patience.watch(lambda: stopped)
    outputs = Outputs(producer, Topics(), HOMES.__getitem__, patience)
    for value in (b"a", b"b"):
        outputs.send_state("signal", value, 0)
    return producer, outputs


@pytest.mark.parametrize("stopped", [False, True])
def test_what_never_gets_an_offset_counts_as_undelivered_when_patience_is_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, stopped: bool
) -> None:
    producer, outputs = unsure(monkeypatch, stopped)
    with caplog.at_level(logging.WARNING), pytest.raises(KafkaTimeoutError, match="no offset of 2 outputs"):
        outputs.flush()
    # Once each, and then every 50 ms: no flood.
    assert 4 <= len(producer.records) <= 2 + 2 * 7
    assert ("a successor finds them again" in caplog.text) is stopped


def test_what_was_undelivered_goes_again_in_its_order_with_the_next_flush(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    producer, outputs = unsure(monkeypatch, False)
    with pytest.raises(KafkaTimeoutError):
        outputs.flush()
    producer.records.clear()
    producer.offsets = itertools.repeat(7)
    outputs.flush()
    assert [value for _, _, value in producer.records] == [b"a", b"b"]
