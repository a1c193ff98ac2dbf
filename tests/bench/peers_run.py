"""One side of a comparison through the broker: load → embedded broker → some processes → what they said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from ingest.broker import EmbeddedBroker

ROOT = Path(__file__).resolve().parents[2]
LOAD = Path(__file__).resolve().with_name("load.py")
PARTITIONS = 64
RAW, SAID = "biosignals.raw", "biosignals.predictions"
WARM_S = 9
"""Seconds until each bed has a window; costs are counted from then on."""

LIMIT_S = 300
JOIN_S = 20

Rhythms = dict[tuple[str, int], str]
"""Rhythm said of a bed's window, by bed and the second that the window ends in."""


@dataclass(frozen=True, slots=True)
class Side:
    """What runs: its processes by the address and their files of counts, and how to read what they say.

    ``counted`` is what of its counts is one for each bed-second once all is warm: a worker may leave out
    windows under overload, a peer that lags takes chunks of one bed before those of another.
    """

    processes: int
    counted: Literal["chunks", "windows"]
    command: Callable[[str, Path], Sequence[str]]
    environment: Mapping[str, str]
    read: Callable[[bytes], Rhythms]


@dataclass(frozen=True, slots=True)
class Measured:
    """What a side did and cost.

    ``cpu_us_per_bed_second`` is of what came after :data:`WARM_S`.
    """

    chunks: int
    lost: int
    unread_when_load_ended: int
    cpu_us_per_bed_second: float
    load_average: float
    rhythms: Rhythms


@dataclass(frozen=True, slots=True)
class _Counts:
    chunks: int
    windows: int
    cpu_s: float


def measure(side: Side, folder: Path, beds: int, length_s: int) -> Measured:
    """Run a side under real-time load."""
    paths = [folder / f"stats-{nth}.json" for nth in range(side.processes)]
    with EmbeddedBroker(max_memory_bytes=6_000_000_000) as broker:
        address = broker.bootstrap_servers
        _make_topics(address)
        environment = {
            **os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT),
            "WARDWAVE_KAFKA__BOOTSTRAP_SERVERS": address, "WARDWAVE_KAFKA__PARTITIONS": str(PARTITIONS),
        }  # fmt: skip
        running = [
            subprocess.Popen(side.command(address, path), env={**environment, **side.environment})
            for path in paths
        ]
        try:
            _wait(lambda: all(path.exists() for path in paths), running)
            # Their files are there before the group's first joins are over.
            time.sleep(JOIN_S)
            arguments = [address, RAW, str(PARTITIONS), str(beds), str(length_s)]
            load = subprocess.Popen(
                [sys.executable, str(LOAD), *arguments], env=environment, stdout=subprocess.PIPE
            )
            _wait(lambda: _counts(paths).chunks >= WARM_S * beds, running)
            before = _counts(paths)
            output, _ = load.communicate(timeout=LIMIT_S)
            unread = beds * length_s - _counts(paths).chunks
            sent = json.loads(output)
            _wait(lambda: _counts(paths).chunks >= sent["acknowledged"], running, patient=True)
            # Counts are written each second.
            time.sleep(1.5)
            after = _counts(paths)
        finally:
            for process in running:
                process.send_signal(signal.SIGTERM)
            for process in running:
                process.wait(60)
        rhythms = _said(address, side.read)
    assert sent["failed"] == 0, "chunks were not taken by the broker"
    bed_seconds = getattr(after, side.counted) - getattr(before, side.counted)
    return Measured(
        chunks=after.chunks,
        lost=sent["acknowledged"] - after.chunks,
        unread_when_load_ended=max(0, unread),
        cpu_us_per_bed_second=(after.cpu_s - before.cpu_s) / max(1, bed_seconds) * 1e6,
        load_average=round(os.getloadavg()[0], 1),
        rhythms=rhythms,
    )


def _make_topics(address: str) -> None:
    """Both topics with a retention of their own: quixstreams asks for it, Tansu has no default."""
    client = KafkaAdminClient(bootstrap_servers=address)
    try:
        configs = {"retention.ms": "3600000"}
        client.create_topics([NewTopic(name, PARTITIONS, 1, topic_configs=configs) for name in (RAW, SAID)])
    finally:
        client.close()


def _counts(paths: Sequence[Path]) -> _Counts:
    read = [json.loads(path.read_text()) for path in paths if path.exists()]
    return _Counts(
        sum(one.get("chunks_in", 0) for one in read),
        sum(one.get("windows", 0) for one in read),
        sum(one["cpu_s"] for one in read),
    )


def _wait(
    done: Callable[[], bool], running: Sequence[subprocess.Popen[bytes]], patient: bool = False
) -> None:
    """Wait until done; ``patient``: what is missing at the end is counted by who asks."""
    deadline = time.monotonic() + LIMIT_S
    while not done():
        assert all(process.poll() is None for process in running), "a process died"
        if time.monotonic() > deadline:
            assert patient, f"nothing after {LIMIT_S} s"
            return
        time.sleep(0.1)


def _said(address: str, read: Callable[[bytes], Rhythms]) -> Rhythms:
    """All that was said, from the broker."""
    consumer = KafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest")
    parts = [TopicPartition(SAID, number) for number in range(PARTITIONS)]
    found: Rhythms = {}
    try:
        consumer.assign(parts)
        consumer.seek_to_beginning(*parts)
        ends = consumer.end_offsets(parts)
        while any(consumer.position(part) < ends[part] for part in parts):
            for records in consumer.poll(timeout_ms=500).values():
                for record in records:
                    found.update(read(record.value))
    finally:
        consumer.close()
    return found


class _Window(msgspec.Struct):
    bed: str
    end_ns: int
    probabilities: dict[str, float]


class _Windows(msgspec.Struct):
    items: list[_Window]


_DECODER = msgspec.json.Decoder(_Windows)


def read_ours(value: bytes, rhythms: Sequence[str]) -> Rhythms:
    """Rhythms of a record of many beds' predictions."""
    return {
        (one.bed, round(one.end_ns / 1e9)): max(rhythms, key=lambda name: one.probabilities.get(name, 0.0))
        for one in _DECODER.decode(value).items
    }


def from_the_end(rhythms: Rhythms) -> Rhythms:
    """The same by seconds before a bed's last window: each side had its own load, of the same signals."""
    last: dict[str, int] = {}
    for bed, second in rhythms:
        last[bed] = max(second, last.get(bed, second))
    return {(bed, second - last[bed]): said for (bed, second), said in rhythms.items()}


def read_peer(value: bytes, rhythms: Sequence[str]) -> Rhythms:
    """Rhythm of a record of one window, as ``peers_quix.py`` sends it."""
    said = json.loads(value)
    probabilities = said["rhythms"]
    return {(said["bed"], round(said["end_ns"] / 1e9)): rhythms[probabilities.index(max(probabilities))]}
