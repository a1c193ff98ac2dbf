"""Topics, read by tests."""

from __future__ import annotations

import time
from collections.abc import Callable

from kafka import TopicPartition

from ingest import kafka as clients
from ingest.settings import Settings


def read_all(settings: Settings, topic: str, enough: Callable[[list[bytes]], bool]) -> list[bytes]:
    """Read a topic from its start until it holds enough."""
    reader = clients.consumer(settings, group_id=None)
    try:
        reader.assign([TopicPartition(topic, number) for number in range(settings.kafka.partitions)])
        reader.seek_to_beginning()
        values: list[bytes] = []
        deadline = time.monotonic() + 60
        while not enough(values):
            assert time.monotonic() < deadline, f"{topic}: {len(values)} records after 60 s"
            for records in reader.poll(timeout_ms=200).values():
                values.extend(record.value for record in records)
        return values
    finally:
        reader.close(autocommit=False)
