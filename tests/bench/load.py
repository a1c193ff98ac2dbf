"""Load generator: N beds of two-lead ECG at 250 Hz, some chunks a second each, spread over the second.

Uses librdkafka and records made beforehand, so that what is measured is the worker and not the load:
``python load.py ADDRESS TOPIC PARTITIONS BEDS SECONDS [CHUNKS]``. Prints one JSON line: chunks sent and
acknowledged, how late it was at most, own CPU seconds while it sent.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass

import numpy as np
from confluent_kafka import Producer

from ingest import kafka, wire

FS = 250
LOOP_S = 30
STEP_S = 0.01
_SOME_NS = 1_700_000_000_000_000_000


@dataclass(frozen=True, slots=True)
class Record:
    """What intake uses of a raw record."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


STANDSTILL_S = (15.0, 22.0)
"""In these seconds of the loop the last sort of hearts stands still."""


def heart(bpm: float, seed: int, still_s: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Beats (but for a standstill), wander and noise, int16 at 1000/mV, (LOOP_S * FS, 2)."""
    seconds = np.arange(LOOP_S * FS) / FS
    line = np.random.default_rng(seed).normal(0, 0.02, len(seconds)) + 0.1 * np.sin(0.4 * np.pi * seconds)
    beats_s = np.arange(0.3, LOOP_S, 60 / bpm)
    for beat_s in beats_s[(beats_s < still_s[0]) | (beats_s > still_s[1])]:
        for at_s, width_s, height in (
            (-0.17, 0.03, 0.12),
            (0, 0.012, 1.1),
            (0.03, 0.01, -0.25),
            (0.28, 0.05, 0.3),
        ):
            line += height * np.exp(-(((seconds - beat_s - at_s) / width_s) ** 2) / 2)
    return np.round(np.stack([line, 0.6 * line], axis=1) * 1000).astype(np.int16)


def _long(value: int) -> bytes:
    """Avro's zigzag varint of a number that is not negative."""
    value <<= 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Beds:
    """Chunks of N beds, put together of parts that are made once: of a chunk only time and number are new.

    Parameters
    ----------
    n_beds : int
        Beds, in twenty sorts of hearts.
    n_chunks : int
        Chunks a second of each.
    """

    def __init__(self, n_beds: int, n_chunks: int) -> None:
        self.names = [f"bed-{n:04d}" for n in range(n_beds)]
        self.cuts = np.linspace(0, FS, n_chunks + 1).round().astype(int).tolist()
        self.n_chunks = n_chunks
        lines = [heart(60 + 3 * n, n) for n in range(19)] + [heart(75, 19, STANDSTILL_S)]
        self._heads = [_parts(name, lines[0][:1])[0] for name in self.names]
        self._rests = [
            [
                _parts("", line[second * FS + begin : second * FS + end])[1]
                for second in range(LOOP_S)
                for begin, end in zip(self.cuts, self.cuts[1:], strict=False)
            ]
            for line in lines
        ]

    def value(self, bed: int, chunk: int, begin_ns: int) -> bytes:
        """Encoded chunk of a bed whose first one began at ``begin_ns``."""
        second, part = divmod(chunk, self.n_chunks)
        start_ns = begin_ns + (second * FS + self.cuts[part]) * 1_000_000_000 // FS
        rests = self._rests[bed % len(self._rests)]
        return self._heads[bed] + _long(start_ns) + _long(chunk) + rests[chunk % len(rests)]


def _parts(bed: str, samples: np.ndarray) -> tuple[bytes, bytes]:
    """Bytes of a chunk before its time, and after its number."""
    value = wire.encode(
        bed=bed or "-", device="load", kind="ecg", channels=("II", "V1"), unit="mV", fs_hz=float(FS),
        start_ns=_SOME_NS, seq=0, samples=samples, gain=1000.0, baseline=0,
    )  # fmt: skip
    head, rest = value.split(_long(_SOME_NS) + _long(0), 1)
    return head, rest


def main() -> None:
    """Send in real time."""
    address, topic, partitions, beds, length_s = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
    chunks = int(sys.argv[6]) if len(sys.argv) > 6 else 1
    # Stored with LogAppendTime or not, latency is measured from the moment of sending: linger is kept short.
    producer = Producer(
        {"bootstrap.servers": address, "linger.ms": 5, "acks": "all", "compression.type": "lz4"}
    )
    ward = Beds(beds, chunks)
    keys = [name.encode() for name in ward.names]
    homes = [kafka.partition_for(name, partitions) for name in ward.names]
    headers = wire.headers(wire.AVRO)
    acknowledged = failed = 0

    def done(error: object, _: object) -> None:
        nonlocal acknowledged, failed
        acknowledged += error is None
        failed += error is not None

    begin_s = time.time() + 1.0
    late_s, began_cpu_s = 0.0, time.process_time()
    for step in range(length_s * beds * chunks):
        chunk, bed = divmod(step, beds)
        begun_s = begin_s + bed / beds / chunks
        due_s = begun_s + (chunk + 1) / chunks
        if (wait_s := due_s - time.time()) > 0:
            # All that is due within a step goes at once: librdkafka's own waiting costs more than sending.
            producer.poll(0)
            time.sleep(wait_s + STEP_S)
        late_s = max(late_s, -wait_s)
        value = ward.value(bed, chunk, round(begun_s * 1e9))
        producer.produce(topic, value, keys[bed], homes[bed], headers=headers, on_delivery=done)
    producer.flush(30)
    sys.stdout.write(
        json.dumps(
            {
                "sent": length_s * beds * chunks,
                "acknowledged": acknowledged,
                "failed": failed,
                "late_s": late_s,
                "cpu_s": time.process_time() - began_cpu_s,
            }
        )
    )


if __name__ == "__main__":
    main()
