"""Lung sounds through load → broker → two ``wardwave infer`` → topics, on this machine.

Two workers with one thread each share the beds. What keeps up is told by chunks that are still unread when
the load ends; no time is asserted, only that no chunk was lost.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ingest import kafka
from ingest.broker import EmbeddedBroker
from ingest.settings import KafkaSettings, Settings

PARTITIONS = 64
WORKERS = 2
LENGTH_S = int(os.environ.get("WARDWAVE_BENCH_S", "20"))
LOAD = Path(__file__).resolve().parent.parent / "sound_load.py"


def _read(paths: list[Path]) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def _joined(paths: list[Path], workers: list[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + 300
    while len(_read(paths)) < len(paths):
        assert all(worker.poll() is None for worker in workers), "a worker died at start"
        assert time.monotonic() < deadline, "the workers did not start within 300 s"
        time.sleep(0.2)
    # The stats files are there before the group's first joins are over.
    time.sleep(10)


def _chunks(paths: list[Path]) -> int:
    return sum(one.get("chunks_in", 0) for one in _read(paths))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("beds", [int(n) for n in os.environ.get("WARDWAVE_BENCH_BEDS", "50,200").split(",")])
def test_lung_sounds_by_two_workers(benchmark: Any, tmp_path: Path, beds: int) -> None:
    paths = [tmp_path / f"stats-{n}.json" for n in range(WORKERS)]
    with EmbeddedBroker() as broker:
        address = broker.bootstrap_servers
        settings = Settings(kafka=KafkaSettings(bootstrap_servers=address, partitions=PARTITIONS))
        kafka.ensure_topics(settings)
        environment = {
            **os.environ, "WARDWAVE_KAFKA__BOOTSTRAP_SERVERS": address,
            "WARDWAVE_KAFKA__PARTITIONS": str(PARTITIONS), "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        start = [
            sys.executable,
            "-m",
            "wardwave",
            "--log-level",
            "WARNING",
            "infer",
            "--threads",
            "1",
            "--stats",
        ]
        workers = [subprocess.Popen([*start, str(path)], env=environment) for path in paths]
        try:
            _joined(paths, workers)
            before = _read(paths)
            load = [sys.executable, str(LOAD), address, settings.topics.raw, str(PARTITIONS), str(beds)]

            def once() -> dict[str, Any]:
                done = subprocess.run(
                    [*load, str(LENGTH_S)], check=True, capture_output=True, env=environment
                )
                return dict(json.loads(done.stdout))

            sent = benchmark.pedantic(once, rounds=1, iterations=1)
            time.sleep(1.5)  # the stats are written once a second
            unread = sent["acknowledged"] - _chunks(paths)
            deadline = time.monotonic() + 300
            while _chunks(paths) < sent["acknowledged"] and time.monotonic() < deadline:
                time.sleep(0.2)
            after = _read(paths)
        finally:
            for worker in workers:
                worker.send_signal(signal.SIGTERM)
            for worker in workers:
                worker.wait(60)
    cpu_s = sum(one["cpu_s"] for one in after) - sum(one["cpu_s"] for one in before)
    each_s = cpu_s / (beds * LENGTH_S)
    figures = {
        "beds": beds,
        "chunks": sent["acknowledged"],
        "lost": sent["acknowledged"] - _chunks(paths),
        "unread_when_load_ended": unread,
        "load_late_s": round(sent["late_s"], 2),
        "chunks_of_each_worker": [one["chunks_in"] for one in after],
        "p99_ms": [one["latency_p99_ms"] for one in after],
        "worker_cpu_ms_per_stream_second": round(1e3 * each_s, 3),
        "streams_of_two_cores_by_cpu": round(WORKERS / each_s),
        "load_average": os.getloadavg()[0],
    }
    benchmark.extra_info.update(figures)
    sys.stderr.write(f"\nlung sounds by two workers: {json.dumps(figures)}\n")
    assert figures["lost"] == 0
    assert sent["failed"] == 0
