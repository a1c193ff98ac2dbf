"""Sends N beds of one kind of signal, a chunk a second each, spread over the second, by librdkafka.

``python SCRIPT ADDRESS TOPIC PARTITIONS BEDS SECONDS`` prints one JSON line: chunks sent, acknowledged and
failed, own CPU seconds, and how late the last one left.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from confluent_kafka import Producer

from ingest import kafka, wire


@dataclass(frozen=True)
class Load:
    """What is sent: lines of int16, (whole seconds, channels), each looped and given to many beds."""

    kind: str
    channels: Sequence[str]
    unit: str
    fs_hz: float
    gain: float
    lines: Sequence[np.ndarray]


def send(load: Load) -> None:
    """Send in real time, as the command line says."""
    address, topic, partitions, beds, length_s = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
    producer = Producer(
        {"bootstrap.servers": address, "linger.ms": 2, "acks": "all", "compression.type": "lz4"}
    )
    names = [f"bed-{n:04d}" for n in range(beds)]
    homes = [kafka.partition_for(name, partitions) for name in names]
    count = {"acknowledged": 0, "failed": 0}

    def done(error: object, _: object) -> None:
        count["acknowledged" if error is None else "failed"] += 1

    fs, headers = round(load.fs_hz), wire.headers(wire.AVRO)
    before_s, begin_s = time.process_time(), time.time() + 1.0
    for step in range(length_s * beds):
        second, bed = divmod(step, beds)
        due_s = begin_s + second + 1.0 + bed / beds
        while (wait_s := due_s - time.time()) > 0:
            producer.poll(min(wait_s, 0.02))
        line = load.lines[bed % len(load.lines)]
        at = second * fs % len(line)
        value = wire.encode(
            bed=names[bed], device="load", kind=load.kind, channels=tuple(load.channels), unit=load.unit,
            fs_hz=load.fs_hz, start_ns=round((due_s - 1.0) * 1e9), seq=second, samples=line[at : at + fs],
            gain=load.gain, baseline=0,
        )  # fmt: skip
        producer.produce(topic, value, names[bed].encode(), homes[bed], headers=headers, on_delivery=done)
    producer.flush(60)
    own = {"sent": length_s * beds, "cpu_s": time.process_time() - before_s, "late_s": time.time() - due_s}
    sys.stdout.write(json.dumps({**own, **count}))
