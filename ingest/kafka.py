"""Kafka clients with Wardwave's settings.

Three facts of Tansu, the embedded broker, that callers of kafka-python meet (tests/test_ingest_kafka.py holds
them): commit metadata is dropped; the end offset reported for a partition is that of the last *batch's* first
record plus one, so use :func:`end_offsets`; times are looked up by broker time and a time after the end gives
offset 0 with timestamp -1, so use :func:`offsets_for_times`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Final, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError
from kafka.partitioner.default import murmur2

from ingest import login, tansu, tls
from ingest.errors import BrokerError, SettingsError
from ingest.settings import Settings

logger = logging.getLogger(__name__)

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
_BATCH_BYTES: Final = 131_072
_BOOTSTRAP_MS: Final = 10_000
_ASK_S: Final = 10.0
_ASK_AGAIN_S: Final = 0.5
_END_WAIT_MS: Final = 20
"""How long the broker keeps a read of an end, where there is nothing: by default half a second."""
_STAMP: Final = "message.timestamp.type"
_BY_BROKER: Final = "LogAppendTime"

Answer = TypeVar("Answer")


def common_config(settings: Settings) -> dict[str, object]:
    """Return the configuration that every client shares: address, TLS, SASL."""
    kafka = settings.kafka
    config: dict[str, object] = {
        "bootstrap_servers": [item.strip() for item in kafka.bootstrap_servers.split(",") if item.strip()],
        "security_protocol": kafka.security_protocol,
        "ssl_check_hostname": kafka.ssl_check_hostname,
        "request_timeout_ms": kafka.request_timeout_ms,
        # A user who forgot to start a broker should not wait for half a minute.
        "bootstrap_timeout_ms": min(kafka.request_timeout_ms, _BOOTSTRAP_MS),
    }
    optional = {
        "ssl_cafile": kafka.ssl_cafile,
        "ssl_certfile": kafka.ssl_certfile,
        "ssl_keyfile": kafka.ssl_keyfile,
        "ssl_password": kafka.ssl_password and kafka.ssl_password.get_secret_value(),
        "sasl_mechanism": kafka.sasl_mechanism,
        "sasl_plain_username": kafka.sasl_plain_username,
        "sasl_plain_password": kafka.sasl_plain_password and kafka.sasl_plain_password.get_secret_value(),
    }
    config.update({name: value for name, value in optional.items() if value is not None})
    return config


def producer(settings: Settings, **overrides: object) -> KafkaProducer:
    """Make a producer that loses nothing: all replicas acknowledge, retries are idempotent and in order.

    An acknowledgement without an offset (:func:`ingest.tansu.is_unsure`) is none: send again.

    Batches are gzipped: measured with 250 Hz two-lead ECG on Tansu, the rate is the same (7,400 against 7,200
    records a second) and the broker needs 0.67 kB instead of 1.18 kB a record.

    Raises
    ------
    BrokerError
        No broker answers.
    """
    config = common_config(settings)
    config.update(
        acks="all",
        enable_idempotence=True,
        # A topic made by chance would have another number of partitions.
        allow_auto_create_topics=False,
        compression_type="gzip",
        linger_ms=5,
        batch_size=_BATCH_BYTES,
        # A dead letter holds its record in base64.
        max_request_size=2 * (settings.ingest.max_record_bytes + _BATCH_BYTES),
        metrics_enabled=False,
    )
    config.update(overrides)
    with _reachable(settings):
        return KafkaProducer(**config)


def consumer(settings: Settings, *topics: str, group_id: str | None, **overrides: object) -> KafkaConsumer:
    """Make a consumer that commits by hand and begins with the earliest record.

    Parameters
    ----------
    topics : str
        To subscribe to; none for a consumer that is assigned partitions.
    group_id : str or None
        ``None`` for a reader without a group.

    Raises
    ------
    BrokerError
        No broker answers.
    """
    config = common_config(settings)
    config.update(
        group_id=group_id,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        allow_auto_create_topics=False,
        session_timeout_ms=settings.kafka.session_timeout_ms,
        heartbeat_interval_ms=settings.kafka.heartbeat_interval_ms,
        # A request to join that the broker never answers is sent again 5 s after the longer of the two:
        # the libraries' 300 s would leave a ward without a worker for as long.
        max_poll_interval_ms=settings.kafka.max_poll_interval_ms,
        request_timeout_ms=min(settings.kafka.request_timeout_ms, settings.kafka.max_poll_interval_ms),
        metrics_enabled=False,
    )
    config.update(overrides)
    with _reachable(settings):
        client = KafkaConsumer(*topics, **config)
    if group_id is not None:
        tansu.never_leave(client)
    return client


def admin(settings: Settings, **overrides: object) -> KafkaAdminClient:
    """Make an admin client.

    Raises
    ------
    BrokerError
        No broker answers.
    """
    with _reachable(settings):
        return KafkaAdminClient(**{**common_config(settings), **overrides})


def ensure_topics(settings: Settings) -> None:
    """Create the topics that do not exist, all with the same number of partitions.

    Raises
    ------
    SettingsError
        A topic exists with another number of partitions: beds would be looked for in the wrong ones. Or one
        takes the sender's word for when a record came, which the age of data and commands is judged by.
    BrokerError
        The broker does not answer or refuses.
    """
    _ask(settings, "create the topics", partial(_ensure, settings))


def _ensure(settings: Settings, client: KafkaAdminClient) -> None:
    kafka = settings.kafka
    wanted = topic_configs(settings)
    existing = set(client.list_topics())
    new = [
        NewTopic(name, kafka.partitions, kafka.replication_factor, topic_configs=config)
        for name, config in wanted.items()
        if name not in existing
    ]
    if new:
        try:
            client.create_topics(new)
        except TopicAlreadyExistsError:
            # Another process creates them at the same time.
            logger.debug("topics were created by another process")
        client.wait_for_topics([topic.name for topic in new])
    for topic in client.describe_topics(list(wanted)):
        found = len(topic["partitions"])
        if found != kafka.partitions:
            raise SettingsError(
                f"topic {topic['name']} has {found} partitions, WARDWAVE_KAFKA__PARTITIONS is "
                f"{kafka.partitions}: the count is fixed at creation; set it to {found} or use new topics"
            )
    stamped = [name for name, config in wanted.items() if _STAMP in config and name in existing]
    _check_times(client, kafka.bootstrap_servers, stamped)


def _ask(settings: Settings, what: str, ask: Callable[[KafkaAdminClient], Answer]) -> Answer:
    """Ask the broker; over a line that breaks meanwhile it is asked again, for some seconds."""
    until_s = time.monotonic() + _ASK_S
    while True:
        client = admin(settings)
        try:
            return ask(client)
        except KafkaError as error:
            if not error.retriable or time.monotonic() > until_s:
                raise BrokerError(f"cannot {what} on {settings.kafka.bootstrap_servers}: {error}") from error
            logger.debug("asked to %s once more: %s", what, error)
        finally:
            client.close()
        time.sleep(_ASK_AGAIN_S)


def _check_times(client: KafkaAdminClient, servers: str, names: list[str]) -> None:
    """Refuse topics whose records are not stamped by the broker, where it tells."""
    try:
        # All of a topic's settings: Tansu drops the connection when asked for one.
        found = client.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, name) for name in names], config_filter="all"
        )
    except KafkaError as error:
        # Who may use topics may not always read their settings.
        logger.debug("settings of topics cannot be read: %s", error)
        return
    for name, settings in found.get("topic", {}).items():
        value = settings.get(_STAMP, {}).get("value", _BY_BROKER)
        if value != _BY_BROKER:
            raise SettingsError(
                f"topic {name} has {_STAMP}={value}: records would be as old as their sender says; "
                f"kafka-configs.sh --bootstrap-server {servers} --alter --entity-type topics "
                f"--entity-name {name} --add-config {_STAMP}={_BY_BROKER}"
            )


def ensure_topic(settings: Settings, name: str) -> None:
    """Create the topics if this one is absent, asking for nothing that a device may not do if it exists.

    A broker may make an absent topic by itself (Tansu does, whatever the client says), with another number of
    partitions.

    Raises
    ------
    SettingsError, BrokerError
        As :func:`ensure_topics`.
    """
    if name not in _ask(settings, "list the topics", lambda client: set(client.list_topics())):
        ensure_topics(settings)


def topic_configs(settings: Settings) -> dict[str, dict[str, str]]:
    """Settings that each topic is made with, by its name."""
    topics = settings.topics
    limit = str(settings.ingest.max_record_bytes + _BATCH_BYTES)
    stamped = {_STAMP: _BY_BROKER}
    return {
        # Receive time is the broker's, whatever a device's clock says.
        topics.raw: {"retention.ms": str(_DAY_MS), "max.message.bytes": limit, **stamped},
        topics.predictions: {"retention.ms": str(_DAY_MS)},
        topics.vitals: {"retention.ms": str(7 * _DAY_MS)},
        topics.alarms: {"retention.ms": str(30 * _DAY_MS)},
        topics.state: {"retention.ms": str(_DAY_MS), "max.message.bytes": limit, **stamped},
        topics.commands: {"retention.ms": str(_DAY_MS), **stamped},
        topics.audit: {"retention.ms": str(30 * _DAY_MS)},
        topics.beds: {"retention.ms": str(_DAY_MS)},
        topics.device_alarms: {"retention.ms": str(7 * _DAY_MS), **stamped},
        topics.verdicts: {"retention.ms": str(30 * _DAY_MS)},
        # A dead letter holds its record in base64.
        topics.dead_letters: {"retention.ms": str(7 * _DAY_MS), "max.message.bytes": str(2 * int(limit))},
        topics.status: {"retention.ms": str(_HOUR_MS), **stamped},
    }


@lru_cache(maxsize=65_536)
def partition_for(bed: str, n_partitions: int) -> int:
    """Return the partition of a bed: Kafka's murmur2 over the key, as every default partitioner does."""
    return int((murmur2(bed.encode()) & 0x7FFFFFFF) % n_partitions)


def end_offsets(
    settings: Settings, partitions: Iterable[TopicPartition], timeout_s: float = 10.0
) -> dict[TopicPartition, int]:
    """Return the offset after the last record of each partition, right on any broker.

    Asks for the end, then reads on from there until the fetch's high watermark is reached (see the module's
    first lines for why).

    Raises
    ------
    BrokerError
        The broker does not answer in time.
    """
    wanted = list(partitions)
    reader = consumer(settings, group_id=None, fetch_max_wait_ms=_END_WAIT_MS)
    try:
        reader.assign(wanted)
        ends = {tp: int(offset) for tp, offset in reader.end_offsets(wanted).items()}
        for tp, offset in ends.items():
            reader.seek(tp, offset)
        deadline = time.monotonic() + timeout_s
        unknown = set(wanted)
        while unknown:
            if time.monotonic() > deadline:
                raise BrokerError(f"no end offsets of {len(unknown)} partitions within {timeout_s:g} s")
            reader.poll(timeout_ms=50, max_records=10_000)
            for tp in list(unknown):
                mark = reader.highwater(tp)
                if mark is not None:
                    ends[tp] = max(ends[tp], int(mark))
                    unknown.discard(tp)
                    reader.pause(tp)
        return ends
    except KafkaError as error:
        raise BrokerError(f"no end offsets from {settings.kafka.bootstrap_servers}: {error}") from error
    finally:
        reader.close(autocommit=False)


def offsets_for_times(
    reader: KafkaConsumer, times_ms: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int | None]:
    """Return the first offset at or after a broker time, ``None`` where there is no such record.

    A broker may answer with the first record of the batch; the offset is never too late.
    """
    found = reader.offsets_for_times(dict(times_ms))
    return {
        tp: int(item.offset) if item is not None and item.timestamp >= 0 else None
        for tp, item in found.items()
    }


@contextmanager
def _reachable(settings: Settings) -> Iterator[None]:
    tls.install()
    login.install()
    began_s = time.monotonic()
    try:
        yield
    except KafkaError as error:
        why = login.refusal(settings.kafka, began_s) or _no_answer(settings, error)
        raise BrokerError(why) from error


def _no_answer(settings: Settings, error: KafkaError) -> str:
    """Why there is no client, and the way out."""
    servers, protocol = settings.kafka.bootstrap_servers, settings.kafka.security_protocol
    if protocol == "PLAINTEXT":
        return (
            f"no Kafka broker answers at {servers} ({error}); start one (wardwave broker) or set "
            "WARDWAVE_KAFKA__BOOTSTRAP_SERVERS"
        )
    why = (protocol.endswith("SSL") and tls.problem(servers)) or error
    return (
        f"no Kafka broker answers at {servers} by {protocol} ({why}); does it speak that there? Else set "
        "WARDWAVE_KAFKA__SECURITY_PROTOCOL or WARDWAVE_KAFKA__BOOTSTRAP_SERVERS (docs/security.md)"
    )
