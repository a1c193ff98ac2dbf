"""What the embedded broker does otherwise than Apache Kafka, and what is done about it."""

from __future__ import annotations

import threading
import time

import pytest
from kafka import KafkaConsumer

from ingest import kafka as clients
from ingest.settings import Settings

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


def has_partitions(member: KafkaConsumer, within_s: float) -> bool:
    """Whether a member is given partitions in time."""
    deadline = time.monotonic() + within_s
    while not member.assignment() and time.monotonic() < deadline:
        member.poll(timeout_ms=500)
    return bool(member.assignment())


def member(settings: Settings) -> KafkaConsumer:
    return clients.consumer(settings, settings.topics.raw, group_id=settings.kafka.group_id)


def test_a_member_that_ends_while_another_joins_does_not_hold_up_the_group(kafka: Settings) -> None:
    first = member(kafka)
    assert has_partitions(first, 30)
    second = member(kafka)
    found: list[bool] = []
    joining = threading.Thread(target=lambda: found.append(has_partitions(second, 40)))
    joining.start()
    time.sleep(1)
    first.close()
    joining.join()
    second.close()
    assert found == [True]
