"""Kafka clients, and the facts about the broker that the rest is built on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import confluent_kafka
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import NewTopic
from kafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
)
from kafka.structs import OffsetAndMetadata

from ingest import kafka as clients
from ingest.errors import BrokerError, SettingsError
from ingest.settings import KafkaSettings, Settings, Topics
from tests.kafka_gate import Authority

pytestmark = pytest.mark.kafka
embedded_only = pytest.mark.skipif(
    "WARDWAVE_KAFKA__BOOTSTRAP_SERVERS" in os.environ, reason="a fact about the embedded broker"
)


@pytest.fixture
def reader(kafka: Settings) -> Iterator[KafkaConsumer]:
    """Reader in the test's own group, closed at the end."""
    consumer = clients.consumer(kafka, group_id=kafka.kafka.group_id)
    yield consumer
    consumer.close(autocommit=False)


def read(consumer: KafkaConsumer, count: int, within_s: float = 20.0) -> list:
    deadline = time.monotonic() + within_s
    found: list = []
    while len(found) < count and time.monotonic() < deadline:
        for records in consumer.poll(timeout_ms=200).values():
            found.extend(records)
    return found


def fill(kafka: Settings, partition: int, count: int) -> TopicPartition:
    """Write one batch."""
    producer = clients.producer(kafka, linger_ms=200)
    for i in range(count):
        producer.send(kafka.topics.raw, b"%d" % i, key=b"bed", partition=partition)
    producer.flush(20)
    producer.close()
    return TopicPartition(kafka.topics.raw, partition)


def test_topics_are_made_once_and_alike(kafka: Settings) -> None:
    clients.ensure_topics(kafka)
    admin = clients.admin(kafka)
    try:
        described = admin.describe_topics(list(kafka.topics.model_dump().values()))
    finally:
        admin.close()
    assert len(described) == len(Topics.model_fields)
    assert {len(topic["partitions"]) for topic in described} == {kafka.kafka.partitions}


def test_another_partition_count_is_refused(kafka: Settings) -> None:
    other = kafka.kafka.model_copy(update={"partitions": kafka.kafka.partitions + 1})
    with pytest.raises(SettingsError, match=r"WARDWAVE_KAFKA__PARTITIONS .*set it to 4"):
        clients.ensure_topics(kafka.model_copy(update={"kafka": other}))


@pytest.mark.parametrize("field", ["raw", "commands", "device_alarms"])
def test_a_topic_that_believes_its_senders_clocks_is_refused(kafka: Settings, field: str) -> None:
    name = f"by-sender.{uuid.uuid4().hex[:8]}"
    admin = clients.admin(kafka)
    try:
        configs = {"message.timestamp.type": "CreateTime"}
        admin.create_topics([NewTopic(name, kafka.kafka.partitions, 1, topic_configs=configs)])
        admin.wait_for_topics([name])
    finally:
        admin.close()
    other = kafka.model_copy(update={"topics": kafka.topics.model_copy(update={field: name})})
    with pytest.raises(SettingsError, match=rf"topic {name} has .*=CreateTime: .*--entity-name {name} --add"):
        clients.ensure_topics(other)


def test_who_may_not_read_a_topic_s_settings_may_use_it(
    kafka: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ClusterAuthorizationFailedError

    monkeypatch.setattr(KafkaAdminClient, "describe_configs", refuse)
    clients.ensure_topics(kafka)


def test_no_broker_is_said_with_its_address() -> None:
    # In a process of its own: kafka-python leaves sockets open when its constructor fails.
    script = "from ingest import kafka, settings; kafka.producer(settings.load_settings())"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={
            **os.environ,
            "WARDWAVE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9",
            "WARDWAVE_KAFKA__REQUEST_TIMEOUT_MS": "1000",
        },
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).resolve().parent.parent,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ingest.errors.BrokerError: no Kafka broker answers at 127.0.0.1:9")
    assert "WARDWAVE_KAFKA__BOOTSTRAP_SERVERS" in last


def test_secrets_and_tls_reach_the_client(tmp_path: Path) -> None:
    authority = str(Authority(tmp_path, "ward").path)
    settings = Settings(
        kafka=KafkaSettings(
            bootstrap_servers="a:1, b:2",
            security_protocol="SASL_SSL",
            sasl_mechanism="SCRAM-SHA-512",
            sasl_plain_username="device",
            sasl_plain_password="s3cret",
            ssl_cafile=authority,
        )
    )
    config = clients.common_config(settings)
    assert config["bootstrap_servers"] == ["a:1", "b:2"]
    assert config["sasl_plain_password"] == "s3cret"
    assert config["ssl_cafile"] == authority
    assert "ssl_keyfile" not in config
    assert "s3cret" not in repr(settings)


@hypothesis_settings(max_examples=20, deadline=None)
@given(bed=st.text(min_size=1, max_size=30), n=st.integers(1, 64))
def test_partition_for_is_within_bounds(bed: str, n: int) -> None:
    assert 0 <= clients.partition_for(bed, n) < n


def test_partition_for_is_what_producers_do(kafka: Settings) -> None:
    beds = [f"bed-{i:02d}" for i in range(20)] + ["Bett Ä", "ICU/3"]
    producer = clients.producer(kafka)
    sent = {bed: producer.send(kafka.topics.raw, b"x", key=bed.encode()) for bed in beds}
    producer.flush(20)
    other = confluent_kafka.Producer(
        {"bootstrap.servers": kafka.kafka.bootstrap_servers, "partitioner": "murmur2_random"}
    )
    by_librdkafka: dict[str, int] = {}
    for bed in beds:
        other.produce(
            kafka.topics.raw,
            b"x",
            key=bed.encode(),
            on_delivery=lambda error, message, bed=bed: by_librdkafka.update({bed: message.partition()}),
        )
    assert other.flush(20) == 0
    for bed in beds:
        expected = clients.partition_for(bed, kafka.kafka.partitions)
        assert sent[bed].get(10).partition == expected
        assert by_librdkafka[bed] == expected
    producer.close()


def test_gzipped_batches_arrive_in_order_with_headers(kafka: Settings, reader: KafkaConsumer) -> None:
    producer = clients.producer(kafka)
    assert producer.config["compression_type"] == "gzip"
    for i in range(500):
        producer.send(kafka.topics.raw, b"%d" % i, key=b"bed-1", headers=[("content-type", b"x")])
    producer.flush(20)
    producer.close()
    reader.subscribe([kafka.topics.raw])
    records = read(reader, 500)
    assert [int(record.value) for record in records] == list(range(500))
    assert list(records[0].headers) == [("content-type", b"x")]


def test_offsets_are_kept_for_a_successor_and_seek_works(kafka: Settings, reader: KafkaConsumer) -> None:
    tp = fill(kafka, 1, 10)
    reader.assign([tp])
    assert reader.committed(tp) is None
    reader.commit({tp: OffsetAndMetadata(6, "", -1)})
    successor = clients.consumer(kafka, group_id=kafka.kafka.group_id)
    try:
        successor.assign([tp])
        assert successor.committed(tp) == 6
        assert read(successor, 1)[0].offset == 6
        successor.seek(tp, 3)
        assert read(successor, 1)[0].offset == 3
    finally:
        successor.close(autocommit=False)


@embedded_only
def test_tansu_drops_commit_metadata(kafka: Settings, reader: KafkaConsumer) -> None:
    """So a snapshot's place cannot be kept in the commit; this test fails when Tansu learns it."""
    tp = fill(kafka, 0, 3)
    reader.assign([tp])
    reader.commit({tp: OffsetAndMetadata(2, '{"snapshot": 41}', 7)})
    kept = reader.committed(tp, metadata=True)
    assert kept.offset == 2
    assert not kept.metadata
    assert kept.leader_epoch == -1


@embedded_only
def test_tansu_reports_a_wrong_end_after_a_batch(kafka: Settings, reader: KafkaConsumer) -> None:
    """The reason for :func:`ingest.kafka.end_offsets`; this test fails when Tansu is mended."""
    tp = fill(kafka, 2, 8)
    assert reader.end_offsets([tp]) == {tp: 1}
    assert clients.end_offsets(kafka, [tp]) == {tp: 8}


def test_end_offsets_are_right(kafka: Settings) -> None:
    tps = [TopicPartition(kafka.topics.raw, i) for i in range(kafka.kafka.partitions)]
    assert clients.end_offsets(kafka, tps) == dict.fromkeys(tps, 0)
    for partition, counts in ((0, (1,)), (1, (8,)), (2, (3, 1)), (3, (1, 30))):
        for count in counts:
            fill(kafka, partition, count)
    assert [clients.end_offsets(kafka, tps)[tp] for tp in tps] == [1, 8, 4, 31]


def test_offsets_for_times_are_never_too_late(kafka: Settings, reader: KafkaConsumer) -> None:
    before_ms = int(time.time() * 1000) - 1
    tp = fill(kafka, 3, 5)
    empty = TopicPartition(kafka.topics.raw, 0)
    found = clients.offsets_for_times(reader, {tp: before_ms, empty: before_ms})
    assert found == {tp: 0, empty: None}
    assert clients.offsets_for_times(reader, {tp: before_ms + 3_600_000}) == {tp: None}


@pytest.mark.parametrize("error", [KafkaConnectionError("reset"), TopicAuthorizationFailedError("no")])
def test_a_line_that_breaks_while_topics_are_asked_for_is_tried_again(
    kafka: Settings, monkeypatch: pytest.MonkeyPatch, error: KafkaError
) -> None:
    asked: list[int] = []

    def breaks_once(client: KafkaAdminClient) -> list[str]:
        asked.append(1)
        if len(asked) == 1:
            raise error
        return list(real(client))

    real = KafkaAdminClient.list_topics
    monkeypatch.setattr(KafkaAdminClient, "list_topics", breaks_once)
    if error.retriable:
        clients.ensure_topics(kafka)
        assert len(asked) == 2
    else:
        with pytest.raises(BrokerError, match="cannot create the topics"):
            clients.ensure_topics(kafka)
