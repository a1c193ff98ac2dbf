"""The whole path on this machine: load → broker → ``wardwave infer`` → topics, from 10 to 2,000 beds.

``WARDWAVE_BENCH_WORKERS`` processes share the beds (1). One bed in twenty stands still for seven seconds of
thirty, so that alarms are raised. Wall-clock figures go to ``extra_info`` of the benchmark's JSON and to the
terminal; no time is asserted, only that no chunk was lost.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ingest.broker import EmbeddedBroker
from tests.bench.through_broker import joined, load_command, prepared, start_worker

LENGTH_S = int(os.environ.get("WARDWAVE_BENCH_S", "30"))
BEDS = [int(beds) for beds in os.environ.get("WARDWAVE_BENCH_BEDS", "10,100,500,1000,1500,2000").split(",")]
WORKERS = int(os.environ.get("WARDWAVE_BENCH_WORKERS", "1"))
OPTIONS = shlex.split(os.environ.get("WARDWAVE_BENCH_INFER", ""))
"""Further options of ``wardwave infer``."""

HERE = Path(__file__).resolve().parent


def figures_of(
    paths: list[Path], chunks: int, workers: list[subprocess.Popen[bytes]], limit_s: float
) -> list[dict[str, Any]]:
    """What the workers wrote of themselves once they have read all chunks, or when the time is up."""
    deadline = time.monotonic() + limit_s
    while True:
        figures = [json.loads(path.read_text()) for path in paths]
        done = sum(one.get("chunks_in", 0) for one in figures) >= chunks
        if done or time.monotonic() > deadline or any(worker.poll() is not None for worker in workers):
            return figures
        time.sleep(0.2)


@pytest.mark.parametrize("beds", BEDS)
def test_whole_path(benchmark: Any, tmp_path: Path, beds: int) -> None:
    paths = [tmp_path / f"stats-{nth}.json" for nth in range(WORKERS)]
    with EmbeddedBroker(max_memory_bytes=6_000_000_000) as broker:
        settings, environment = prepared(broker)
        workers = [start_worker(path, environment, OPTIONS) for path in paths]
        try:
            joined(paths, workers)
            before = figures_of(paths, 0, workers, 0)
            load = [*load_command(HERE / "load.py", settings, beds), str(LENGTH_S)]

            def once() -> dict[str, Any]:
                made = subprocess.run(load, check=True, capture_output=True, env=environment)
                return dict(json.loads(made.stdout))

            sent = benchmark.pedantic(once, rounds=1, iterations=1)
            unread = sent["acknowledged"] - sum(
                one.get("chunks_in", 0) for one in figures_of(paths, 0, workers, 0)
            )
            after = figures_of(paths, sent["acknowledged"], workers, 60)
        finally:
            for worker in workers:
                worker.send_signal(signal.SIGTERM)
            for worker in workers:
                worker.wait(60)
    bed_seconds = beds * LENGTH_S
    worker_cpu_s = sum(one["cpu_s"] for one in after) - sum(one["cpu_s"] for one in before)
    alarms_ms = [one["alarm_latency_p99_ms"] for one in after if one["alarm_latency_p99_ms"] is not None]
    figures = {
        "beds": beds,
        "workers": WORKERS,
        "chunks": sent["acknowledged"],
        "lost": sent["acknowledged"] - sum(one.get("chunks_in", 0) for one in after),
        "unread_when_load_ended": unread,
        "p50_ms": max(one["latency_p50_ms"] for one in after),
        "p99_ms": max(one["latency_p99_ms"] for one in after),
        "alarm_p99_ms": max(alarms_ms, default=None),
        "load_late_s": round(sent["late_s"], 3),
        "load_average": round(os.getloadavg()[0], 1),
        "worker_cpu_us_per_bed_second": round(worker_cpu_s / bed_seconds * 1e6),
        "load_cpu_us_per_bed_second": round(sent["cpu_s"] / bed_seconds * 1e6),
        "worker_rss_mb": round(sum(one["rss_bytes"] for one in after) / 1e6),
    }
    benchmark.extra_info.update(figures)
    sys.stderr.write(f"\nwhole path: {json.dumps(figures)}\n")
    assert figures["lost"] == 0
    assert sent["failed"] == 0
