"""What a worker counts about itself."""

from __future__ import annotations

import json
import os
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

REMEMBERED = 20_000


@dataclass(slots=True)
class Stats:
    """Counters and the latest latencies.

    A latency is the time in ms from the broker's receipt of a window's last chunk to the publishing of what
    was said of it.
    """

    counts: Counter[str] = field(default_factory=Counter)
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    alarm_latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def summary(self) -> dict[str, float | int | None]:
        """Return all figures."""
        p50, p99 = _percentiles(self.latencies_ms)
        alarm_p50, alarm_p99 = _percentiles(self.alarm_latencies_ms)
        process = psutil.Process()
        times = process.cpu_times()
        return {
            **self.counts,
            "latency_p50_ms": p50,
            "latency_p99_ms": p99,
            "alarm_latency_p50_ms": alarm_p50,
            "alarm_latency_p99_ms": alarm_p99,
            "rss_bytes": process.memory_info().rss,
            "cpu_s": times.user + times.system,
        }

    def write(self, path: Path) -> None:
        """Replace a JSON file, so that a reader never sees half of it."""
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        part.write_text(json.dumps(self.summary()))
        part.replace(path)


def _percentiles(values: deque[float]) -> tuple[float | None, float | None]:
    if not values:
        return None, None
    p50, p99 = np.percentile(np.fromiter(values, dtype=np.float64), [50, 99])
    return round(float(p50), 1), round(float(p99), 1)
