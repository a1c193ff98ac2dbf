"""What ``wardwave doctor`` asks the broker: does it answer, are the topics right, who speaks, clocks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Final

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError

from dashboard.doctor import SKEW_S, Finding, ok, warning, wrong
from dashboard.feed import RecordReader, reach
from dashboard.system_state import MOST_LETTERS, SystemSnapshot, SystemState
from dashboard.ward import Ward
from ingest import kafka
from ingest.settings import Settings

HISTORY_S: Final = 60.0
"""Statuses and dead letters of so long are read."""
LISTEN_S: Final = 3.0
"""Processes speak every two seconds: so long is waited for one to do so."""
POLL_MS: Final = 200
_RETENTION: Final = "retention.ms"


def topics(settings: Settings) -> Iterator[Finding]:
    """Whether every topic is there, with its partitions, and keeps records for as long as it should."""
    wanted = kafka.topic_configs(settings)
    client = kafka.admin(settings)
    try:
        existing = set(client.list_topics())
        absent = sorted(set(wanted) - existing)
        found = client.describe_topics(sorted(set(wanted) & existing))
        partitions = {str(one["name"]): len(one["partitions"]) for one in found}
        kept = _configs(client, partitions)
    finally:
        client.close()
    if absent:
        yield wrong("topics", f"{', '.join(absent)} missing; make them: wardwave topics")
    n = settings.kafka.partitions
    for name, count in sorted(partitions.items()):
        if count != n:
            yield wrong("topics", f"{name} has {count} partitions, WARDWAVE_KAFKA__PARTITIONS is {n}")
        for key, value in wanted[name].items():
            other = kept.get(name, {}).get(key, value)
            if other != value:
                yield _other_config(name, key, value, other)
    if not absent and set(partitions.values()) == {n}:
        yield ok("topics", f"{len(partitions)} topics with {n} partitions each")


def _other_config(name: str, key: str, wanted: str, found: str) -> Finding:
    line = f"{name} has {key}={found}, Wardwave makes it with {wanted}"
    return (warning if key == _RETENTION else wrong)("topics", line)


def _configs(client: KafkaAdminClient, names: Mapping[str, int]) -> dict[str, dict[str, str]]:
    """Settings of topics, as far as the broker tells them."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    try:
        found = client.describe_configs(resources, config_filter="all").get("topic", {})
    except KafkaError:
        # Who may use topics may not always read their settings.
        return {}
    return {
        str(name): {str(key): str(item.get("value")) for key, item in values.items()}
        for name, values in found.items()
    }


def listen(settings: Settings) -> tuple[SystemSnapshot, Finding]:
    """Hear what processes said in the last minute and say now; and compare clocks with the broker's.

    Returns
    -------
    SystemSnapshot
        Who spoke, what was refused.
    Finding
        About the clocks.
    """
    state = SystemState()
    reader = RecordReader(Ward(), settings, state)
    client = kafka.consumer(settings, group_id=None, fetch_max_wait_ms=POLL_MS)
    try:
        ends = _rewind(client, settings)
        skew_s: float | None = None
        until_s = time.monotonic() + LISTEN_S
        while time.monotonic() < until_s:
            for part, records in client.poll(timeout_ms=POLL_MS, max_records=2_000).items():
                now_ms = time.time() * 1e3
                if part.topic == settings.topics.status and records[-1].offset >= ends[part]:
                    newest_s = (now_ms - records[-1].timestamp) / 1e3
                    # A record is only later for its way: the least is nearest to the clocks' difference.
                    skew_s = newest_s if skew_s is None else min(skew_s, newest_s)
                for record in records:
                    reader.read(record, max(0.0, (now_ms - record.timestamp) / 1e3 - (skew_s or 0.0)))
        state.note_answer()
        return state.snapshot(), _clock(skew_s)
    finally:
        client.close(autocommit=False)


def _rewind(client: KafkaConsumer, settings: Settings) -> dict[TopicPartition, int]:
    """Assign what processes say and refuse, a minute back; return where it ends."""
    names = (settings.topics.status, settings.topics.dead_letters)
    parts = [TopicPartition(name, n) for name in names for n in client.partitions_for_topic(name) or ()]
    client.assign(parts)
    ends = kafka.end_offsets(settings, parts)
    since_ms = round((time.time() - HISTORY_S) * 1e3)
    for part, start in kafka.offsets_for_times(client, dict.fromkeys(parts, since_ms)).items():
        client.seek(part, ends[part] if start is None else max(start, ends[part] - MOST_LETTERS))
    return ends


def _clock(skew_s: float | None) -> Finding:
    if skew_s is None:
        return warning("clock", "not compared with the broker's: no process has said anything meanwhile")
    if abs(skew_s) > SKEW_S:
        word = "ahead of" if skew_s > 0 else "behind"
        return wrong("clock", f"this machine's is {abs(skew_s):.1f} s {word} the broker's; keep both by NTP")
    return ok("clock", f"this machine's and the broker's agree to {abs(skew_s):.2f} s")


def broker(settings: Settings) -> Finding:
    """Whether a broker answers.

    Raises
    ------
    BrokerError
        None does.
    """
    reach(settings.kafka.bootstrap_servers)
    began_s = time.monotonic()
    client = kafka.admin(settings)
    try:
        client.list_topics()
    finally:
        client.close()
    took_ms = 1e3 * (time.monotonic() - began_s)
    kind = settings.kafka.security_protocol
    return ok("broker", f"{settings.kafka.bootstrap_servers} answers ({kind}, {took_ms:.0f} ms)")
