"""Load generator: N beds of two-lead ECG at 250 Hz, one chunk a second each, spread over the second.

Uses librdkafka, so that what is measured is the worker and not the load: ``python load.py ADDRESS TOPIC
PARTITIONS BEDS SECONDS``. Prints one JSON line: chunks sent and acknowledged, own CPU seconds.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
from confluent_kafka import Producer

from ingest import kafka, wire

FS = 250
LOOP_S = 30


def heart(bpm: float, seed: int) -> np.ndarray:
    """Beats, wander and noise, int16 at 1000/mV, (LOOP_S * FS, 2)."""
    seconds = np.arange(LOOP_S * FS) / FS
    line = np.random.default_rng(seed).normal(0, 0.02, len(seconds)) + 0.1 * np.sin(0.4 * np.pi * seconds)
    for beat_s in np.arange(0.3, LOOP_S, 60 / bpm):
        for at_s, width_s, height in (
            (-0.17, 0.03, 0.12),
            (0, 0.012, 1.1),
            (0.03, 0.01, -0.25),
            (0.28, 0.05, 0.3),
        ):
            line += height * np.exp(-(((seconds - beat_s - at_s) / width_s) ** 2) / 2)
    return np.round(np.stack([line, 0.6 * line], axis=1) * 1000).astype(np.int16)


def main() -> None:
    """Send in real time."""
    address, topic, partitions, beds, length_s = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
    # Stored with LogAppendTime or not, latency is measured from the moment of sending: linger is kept short.
    producer = Producer(
        {"bootstrap.servers": address, "linger.ms": 2, "acks": "all", "compression.type": "lz4"}
    )
    lines = [heart(60 + 3 * n, n) for n in range(20)]
    names = [f"bed-{n:04d}" for n in range(beds)]
    homes = [kafka.partition_for(name, partitions) for name in names]
    acknowledged = failed = 0

    def done(error: object, _: object) -> None:
        nonlocal acknowledged, failed
        acknowledged += error is None
        failed += error is not None

    begin_s = time.time() + 1.0
    sent = 0
    for step in range(length_s * beds):
        second, bed = divmod(step, beds)
        due_s = begin_s + second + 1.0 + bed / beds
        while (wait_s := due_s - time.time()) > 0:
            producer.poll(min(wait_s, 0.02))
        at = second % LOOP_S * FS
        value = wire.encode(
            bed=names[bed],
            device="load",
            kind="ecg",
            channels=("II", "V1"),
            unit="mV",
            fs_hz=float(FS),
            start_ns=round((due_s - 1.0) * 1e9),
            seq=second,
            samples=lines[bed % 20][at : at + FS],
            gain=1000.0,
            baseline=0,
        )
        producer.produce(
            topic, value, names[bed].encode(), homes[bed], headers=wire.headers(wire.AVRO), on_delivery=done
        )
        sent += 1
    producer.flush(30)
    cpu_s = time.process_time()
    sys.stdout.write(
        json.dumps({"sent": sent, "acknowledged": acknowledged, "failed": failed, "cpu_s": cpu_s})
    )


if __name__ == "__main__":
    main()
