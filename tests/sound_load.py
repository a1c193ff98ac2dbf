"""Load generator: N beds of lung sounds at 4 kHz, one chunk a second each, spread over the second.

By librdkafka, as tests/bench/load.py: ``python sound_load.py ADDRESS TOPIC PARTITIONS BEDS SECONDS`` prints
one JSON line: chunks sent, acknowledged and failed, own CPU seconds.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
from confluent_kafka import Producer

from ingest import kafka, wire
from ingest.sounds import GAIN, LungSound

FS = 4_000
LOOP_S = 8
LINES = 10


def main() -> None:
    """Send in real time."""
    address, topic, partitions, beds, length_s = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
    producer = Producer(
        {"bootstrap.servers": address, "linger.ms": 2, "acks": "all", "compression.type": "lz4"}
    )
    lines = [
        np.rint(LungSound(1, f"line-{n}").next_samples(LOOP_S * FS) * GAIN).astype(np.int16)
        for n in range(LINES)
    ]
    names = [f"bed-{n:04d}" for n in range(beds)]
    homes = [kafka.partition_for(name, partitions) for name in names]
    count = {"acknowledged": 0, "failed": 0}

    def done(error: object, _: object) -> None:
        count["acknowledged" if error is None else "failed"] += 1

    before_s, begin_s = time.process_time(), time.time() + 1.0
    for step in range(length_s * beds):
        second, bed = divmod(step, beds)
        due_s = begin_s + second + 1.0 + bed / beds
        while (wait_s := due_s - time.time()) > 0:
            producer.poll(min(wait_s, 0.02))
        at = second % LOOP_S * FS
        value = wire.encode(
            bed=names[bed], device="load", kind="lung_sound", channels=("chest",), unit="au", fs_hz=float(FS),
            start_ns=round((due_s - 1.0) * 1e9), seq=second, samples=lines[bed % LINES][at : at + FS],
            gain=GAIN, baseline=0,
        )  # fmt: skip
        headers = wire.headers(wire.AVRO)
        producer.produce(topic, value, names[bed].encode(), homes[bed], headers=headers, on_delivery=done)
    producer.flush(60)
    own = {"sent": length_s * beds, "cpu_s": time.process_time() - before_s, "late_s": time.time() - due_s}
    sys.stdout.write(json.dumps({**own, **count}))


if __name__ == "__main__":
    main()
