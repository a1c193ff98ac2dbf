"""The whole path on this machine: load → broker → ``wardwave infer`` → topics, from 10 to 2,000 beds.

Wall-clock figures go to ``extra_info`` of the benchmark's JSON and to the terminal; no time is asserted,
only that no chunk was lost.
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
LENGTH_S = int(os.environ.get("WARDWAVE_BENCH_S", "30"))
BEDS = [int(beds) for beds in os.environ.get("WARDWAVE_BENCH_BEDS", "10,100,500,1000,1500,2000").split(",")]
HERE = Path(__file__).resolve().parent


def _wait_for(path: Path, chunks: int, worker: subprocess.Popen[bytes], limit_s: float) -> dict[str, Any]:
    deadline = time.monotonic() + limit_s
    figures: dict[str, Any] = {}
    while time.monotonic() < deadline and worker.poll() is None:
        if path.exists():
            figures = json.loads(path.read_text())
            if figures.get("chunks_in", 0) >= chunks:
                break
        time.sleep(0.2)
    return figures


def _joined(path: Path, worker: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert worker.poll() is None, "the worker died at start"
        assert time.monotonic() < deadline, "the worker did not start within 60 s"
        time.sleep(0.2)
    # The stats file is there before the group's first join is over.
    time.sleep(8)


@pytest.mark.parametrize("beds", BEDS)
def test_whole_path(benchmark: Any, tmp_path: Path, beds: int) -> None:
    stats = tmp_path / "stats.json"
    with EmbeddedBroker(max_memory_bytes=6_000_000_000) as broker:
        settings = Settings(
            kafka=KafkaSettings(bootstrap_servers=broker.bootstrap_servers, partitions=PARTITIONS)
        )
        kafka.ensure_topics(settings)
        environment = {**os.environ, "WARDWAVE_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers}
        command = [sys.executable, "-m", "wardwave", "--log-level", "WARNING", "infer", "--stats", str(stats)]
        worker = subprocess.Popen(command, env=environment)
        try:
            _joined(stats, worker)
            before = json.loads(stats.read_text())
            load = [
                sys.executable, str(HERE / "load.py"), broker.bootstrap_servers, settings.topics.raw,
                str(PARTITIONS), str(beds), str(LENGTH_S),
            ]  # fmt: skip

            def once() -> dict[str, Any]:
                made = subprocess.run(load, check=True, capture_output=True, env=environment)
                return dict(json.loads(made.stdout))

            sent = benchmark.pedantic(once, rounds=1, iterations=1)
            after = _wait_for(stats, sent["acknowledged"], worker, 60)
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(60)
    bed_seconds = beds * LENGTH_S
    figures = {
        "beds": beds,
        "chunks": sent["acknowledged"],
        "lost": sent["acknowledged"] - after.get("chunks_in", 0),
        "p50_ms": after["latency_p50_ms"],
        "p99_ms": after["latency_p99_ms"],
        "alarm_p99_ms": after["alarm_latency_p99_ms"],
        "load_late_s": sent["late_s"],
        "load_average": round(os.getloadavg()[0], 1),
        "worker_cpu_us_per_bed_second": round((after["cpu_s"] - before["cpu_s"]) / bed_seconds * 1e6),
        "load_cpu_us_per_bed_second": round(sent["cpu_s"] / bed_seconds * 1e6),
        "worker_rss_mb": round(after["rss_bytes"] / 1e6),
    }
    benchmark.extra_info.update(figures)
    sys.stderr.write(f"\nwhole path: {json.dumps(figures)}\n")
    assert figures["lost"] == 0
    assert sent["failed"] == 0
