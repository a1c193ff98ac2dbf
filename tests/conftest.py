"""Shared fixtures: recordings, a broker, fresh topics."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.settings import KafkaSettings, Settings, Topics

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real recordings."""
    folder = Path(os.environ.get("WARDWAVE_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "mitdb").is_dir():
        pytest.skip(f"recordings are not at {folder} (set WARDWAVE_DATA to where they are)")
    return folder


@pytest.fixture(scope="session")
def broker_address() -> Iterator[str]:
    """Any Kafka named by the environment, else an embedded one."""
    named = os.environ.get("WARDWAVE_KAFKA__BOOTSTRAP_SERVERS")
    if named:
        yield named
        return
    from ingest.broker import EmbeddedBroker

    with EmbeddedBroker() as broker:
        yield broker.bootstrap_servers


@pytest.fixture
def kafka(broker_address: str) -> Settings:
    """Settings with topics and a group of this test's own, the topics made."""
    from ingest.kafka import ensure_topics

    mark = uuid.uuid4().hex[:8]
    names = {name: f"t{mark}.{name}" for name in Topics.model_fields}
    settings = Settings(
        kafka=KafkaSettings(bootstrap_servers=broker_address, group_id=f"g{mark}", partitions=4),
        topics=Topics(**names),
    )
    ensure_topics(settings)
    return settings
