"""Scale-out by Kafka's own means: one, two and four workers of a group under one load; a killed one replaced.

On two cores more workers than cores do not carry more beds: what counts there is what each bed costs (CPU
time), how evenly the group shares them, and how long a dead worker's beds are silent.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kafka import KafkaConsumer, TopicPartition

from inference.types import PredictionBatch, WorkerStatus
from ingest import kafka
from ingest.broker import EmbeddedBroker
from ingest.settings import Settings
from tests.bench.through_broker import PARTITIONS, joined, load_command, measured, prepared, start_worker

HERE = Path(__file__).resolve().parent
LENGTH_S = int(os.environ.get("WARDWAVE_BENCH_S", "20"))
BEDS = int(os.environ.get("WARDWAVE_BENCH_BEDS", "200"))
KILLS = int(os.environ.get("WARDWAVE_BENCH_KILLS", "5"))
KILL_BEDS = 16
MOST_S = 60.0


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize(
    "workers", [int(n) for n in os.environ.get("WARDWAVE_BENCH_WORKERS", "1,2,4").split(",")]
)
def test_beds_by_one_two_and_four_workers(benchmark: Any, tmp_path: Path, workers: int) -> None:
    figures = measured(benchmark, tmp_path, HERE / "load.py", BEDS, workers, LENGTH_S)
    assert (figures["lost"], figures["failed"]) == (0, 0)


@contextmanager
def reading(settings: Settings, topic: str) -> Iterator[KafkaConsumer]:
    reader = kafka.consumer(settings, group_id=None)
    try:
        parts = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        reader.assign(parts)
        for part, end in kafka.end_offsets(settings, parts).items():
            reader.seek(part, end)
        yield reader
    finally:
        reader.close(autocommit=False)


def partitions_of(settings: Settings, pid: int) -> set[int]:
    """Partitions that a worker says it has, from its next status on."""
    deadline = time.monotonic() + MOST_S
    with reading(settings, settings.topics.status) as reader:
        while time.monotonic() < deadline:
            for records in reader.poll(timeout_ms=200).values():
                for record in records:
                    status = msgspec.json.decode(record.value, type=WorkerStatus)
                    if status.pid == pid and status.partitions:
                        return set(status.partitions)
    raise AssertionError(f"worker {pid} said nothing of itself within {MOST_S:g} s")


def silence_s(settings: Settings, victim: subprocess.Popen[bytes], homes: set[int]) -> float:
    """Kill a worker; until the last of its beds has a prediction again (s), by the successor's clock."""
    waiting = partitions_of(settings, victim.pid) & homes
    with reading(settings, settings.topics.predictions) as reader:
        killed_s = time.time()
        victim.kill()
        victim.wait()
        last_s = killed_s
        while waiting:
            assert time.time() < killed_s + MOST_S, f"nothing of partitions {sorted(waiting)}"
            for records in reader.poll(timeout_ms=100).values():
                for record in records:
                    said_s = record.timestamp / 1e3
                    if said_s <= killed_s:
                        continue
                    batch = msgspec.json.decode(record.value, type=PredictionBatch)
                    told = waiting & {kafka.partition_for(one.bed, PARTITIONS) for one in batch.items}
                    if told:
                        waiting -= told
                        last_s = max(last_s, said_s)
    return last_s - killed_s


@pytest.mark.timeout(1_800)
def test_a_killed_worker_is_replaced(benchmark: Any, tmp_path: Path) -> None:
    took_s: list[float] = []
    homes = {kafka.partition_for(f"bed-{n:04d}", PARTITIONS) for n in range(KILL_BEDS)}
    with EmbeddedBroker() as broker:
        settings, environment = prepared(broker)
        running: dict[Path, subprocess.Popen[bytes]] = {}

        def start(nth: int) -> None:
            path = tmp_path / f"stats-{nth}.json"
            running[path] = start_worker(path, environment)

        start(0)
        start(1)
        load = subprocess.Popen(
            [*load_command(HERE / "load.py", settings, KILL_BEDS), "1500"],
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        try:

            def kills() -> None:
                for nth in range(KILLS):
                    joined(list(running), list(running.values()))
                    path = next(iter(running))
                    took_s.append(silence_s(settings, running.pop(path), homes))
                    start(nth + 2)

            benchmark.pedantic(kills, rounds=1, iterations=1)
        finally:
            for process in (load, *running.values()):
                process.kill()
                process.wait()
    figures = {
        "beds": KILL_BEDS, "kills": KILLS, "silent_s": [round(one, 1) for one in took_s],
        "median_s": round(statistics.median(took_s), 1), "most_s": round(max(took_s), 1),
        "load_average": round(os.getloadavg()[0], 1),
    }  # fmt: skip
    benchmark.extra_info.update(figures)
    sys.stderr.write(f"\ntakeover: {json.dumps(figures)}\n")
    assert len(took_s) == KILLS
