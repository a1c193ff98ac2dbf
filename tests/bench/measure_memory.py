"""What a worker holds over an hour of many beds: load → embedded broker → ``wardwave infer``, in real time.

``python -m tests.bench.measure_memory --beds 1000 --minutes 60 --json runs/memory.json`` samples the worker's
memory, handles and threads every 10 s and tells their slopes after the first ten minutes, in which each bed's
rings and histories fill. Options behind ``--`` go to ``wardwave infer``.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from ingest import version
from ingest.broker import EmbeddedBroker
from tests.bench import through_broker as path

HERE = Path(__file__).resolve().parent
EVERY_S = 10.0
SETTLED_S = 600.0
BROKER_BYTES = 12_000_000_000


def sample(worker: psutil.Process, began_s: float, stats: Path) -> dict[str, Any]:
    """What the worker holds now, and how it stands."""
    said = json.loads(stats.read_text())
    return {
        "at_s": round(time.monotonic() - began_s, 1),
        "rss_mb": round(worker.memory_info().rss / 1e6, 1),
        "handles": worker.num_fds(),
        "threads": worker.num_threads(),
        "cpu_s": round(said["cpu_s"], 1),
        "chunks_in": said["chunks_in"],
        "windows": said.get("windows", 0),
        "p99_ms": said["latency_p99_ms"],
    }


def slopes(samples: list[dict[str, Any]]) -> dict[str, float]:
    """Growth an hour of each quantity, after the first minutes: least squares."""
    settled = [one for one in samples if one["at_s"] >= SETTLED_S]
    if len(settled) < 3:
        return {}
    hours = np.array([one["at_s"] for one in settled]) / 3600
    return {
        name: round(float(np.polyfit(hours, [one[name] for one in settled], 1)[0]), 2)
        for name in ("rss_mb", "handles", "threads")
    }


def main() -> None:
    """Run, and write what was sampled anew each time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--beds", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--json", type=Path, default=Path("runs/memory.json"))
    parser.add_argument("infer", nargs="*", help="options of wardwave infer, behind --")
    args = parser.parse_args()
    args.json.parent.mkdir(parents=True, exist_ok=True)
    samples: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker(max_memory_bytes=BROKER_BYTES) as broker:
        settings, environment = path.prepared(broker)
        stats = Path(folder) / "stats.json"
        worker = path.start_worker(stats, environment, args.infer)
        load = None
        try:
            path.joined([stats], [worker])
            command = path.load_command(HERE / "load.py", settings, args.beds)
            load = subprocess.Popen(
                [*command, str(round(60 * args.minutes))], env=environment, stdout=subprocess.PIPE
            )
            began_s, watched = time.monotonic(), psutil.Process(worker.pid)
            while load.poll() is None:
                time.sleep(EVERY_S)
                assert worker.poll() is None, "the worker ended by itself"
                samples.append(sample(watched, began_s, stats))
                args.json.write_text(
                    json.dumps(
                        {
                            "beds": args.beds, "options": args.infer, "load_average": os.getloadavg(),
                            "code": version.code_commit("inference", "ingest", "models"),
                            "an_hour": slopes(samples), "samples": samples,
                        }
                    )
                )  # fmt: skip
        finally:
            for process in filter(None, (load, worker)):
                process.send_signal(signal.SIGTERM)
                process.wait(60)
    sys.stdout.write(f"{args.beds} beds: {samples[-1]}; growth an hour: {slopes(samples)}\n")


if __name__ == "__main__":
    main()
