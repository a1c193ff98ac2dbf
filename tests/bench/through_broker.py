"""Load → embedded broker → ``wardwave infer`` → topics on this machine: what the workers of a path cost.

What keeps up is told by chunks that are still unread when the load ends; no time is asserted by who calls it,
only that no chunk was lost.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ingest import kafka
from ingest.broker import EmbeddedBroker
from ingest.settings import KafkaSettings, Settings

PARTITIONS = 64
TESTS = Path(__file__).resolve().parent.parent
START_S = 300


def prepared(broker: EmbeddedBroker) -> tuple[Settings, dict[str, str]]:
    """Topics, and the environment of workers and load."""
    address = broker.bootstrap_servers
    settings = Settings(kafka=KafkaSettings(bootstrap_servers=address, partitions=PARTITIONS))
    kafka.ensure_topics(settings)
    return settings, {
        **os.environ, "WARDWAVE_KAFKA__BOOTSTRAP_SERVERS": address,
        "WARDWAVE_KAFKA__PARTITIONS": str(PARTITIONS), "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(TESTS.parent), os.environ.get("PYTHONPATH")])),
    }  # fmt: skip


def start_worker(
    stats: Path, environment: dict[str, str], options: Sequence[str] = ()
) -> subprocess.Popen[bytes]:
    """Start a worker that writes its figures to a file."""
    command = [sys.executable, "-m", "wardwave", "--log-level", "WARNING", "infer", "--threads", "1"]
    return subprocess.Popen([*command, "--stats", str(stats), *options], env=environment)


def load_command(load: Path, settings: Settings, beds: int) -> list[str]:
    """Command of a load, but for its length."""
    where = [settings.kafka.bootstrap_servers, settings.topics.raw, str(PARTITIONS)]
    return [sys.executable, str(load), *where, str(beds)]


def measured(
    benchmark: Any, folder: Path, load: Path, beds: int, workers: int, length_s: int
) -> dict[str, Any]:
    """Run a load script (``ADDRESS TOPIC PARTITIONS BEDS SECONDS``) and give the figures of its streams."""
    paths = [folder / f"stats-{nth}.json" for nth in range(workers)]
    with EmbeddedBroker(max_memory_bytes=6_000_000_000) as broker:
        settings, environment = prepared(broker)
        running = [start_worker(path, environment) for path in paths]
        try:
            joined(paths, running)
            before = _read(paths)
            command = load_command(load, settings, beds)

            def once() -> dict[str, Any]:
                done = subprocess.run(
                    [*command, str(length_s)], check=True, capture_output=True, env=environment
                )
                return dict(json.loads(done.stdout))

            sent = benchmark.pedantic(once, rounds=1, iterations=1)
            time.sleep(1.5)  # the stats are written once a second
            unread = sent["acknowledged"] - _chunks(paths)
            deadline = time.monotonic() + START_S
            while _chunks(paths) < sent["acknowledged"] and time.monotonic() < deadline:
                time.sleep(0.2)
            after = _read(paths)
        finally:
            for worker in running:
                worker.send_signal(signal.SIGTERM)
            for worker in running:
                worker.wait(60)
    each_s = sum(one["cpu_s"] for one in after) - sum(one["cpu_s"] for one in before)
    each_s /= beds * length_s
    figures = {
        "beds": beds, "workers": workers, "chunks": sent["acknowledged"], "failed": sent["failed"],
        "lost": sent["acknowledged"] - _chunks(paths), "unread_when_load_ended": unread,
        "load_late_s": round(sent["late_s"], 2), "load_cpu_s": round(sent["cpu_s"], 1),
        "chunks_of_each_worker": [one["chunks_in"] for one in after],
        "p50_ms": [one["latency_p50_ms"] for one in after],
        "p99_ms": [one["latency_p99_ms"] for one in after],
        "rss_mb": [[round(one["rss_bytes"] / 1e6) for one in both] for both in (before, after)],
        "worker_cpu_ms_per_stream_second": round(1e3 * each_s, 3),
        "streams_of_two_cores_by_cpu": round(2 / each_s), "load_average": round(os.getloadavg()[0], 1),
    }  # fmt: skip
    benchmark.extra_info.update(figures)
    sys.stderr.write(f"\n{load.stem}: {json.dumps(figures)}\n")
    return figures


def _read(paths: list[Path]) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def joined(paths: list[Path], workers: list[subprocess.Popen[bytes]]) -> None:
    """Wait until the workers share all partitions."""
    deadline = time.monotonic() + START_S
    while True:
        shares = [one.get("partitions", 0) for one in _read(paths)]
        if len(shares) == len(paths) and all(shares) and sum(shares) == PARTITIONS:
            return
        assert all(worker.poll() is None for worker in workers), "a worker died at start"
        assert time.monotonic() < deadline, f"the workers did not start within {START_S} s"
        time.sleep(0.2)


def _chunks(paths: list[Path]) -> int:
    return sum(one.get("chunks_in", 0) for one in _read(paths))
