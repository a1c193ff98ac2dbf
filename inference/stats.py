"""What a worker counts about itself."""

from __future__ import annotations

import json
import os
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import psutil

from inference.types import Latency
from ingest.types import WideFloatArray

REMEMBERED = 20_000
RECENT_S: Final = 30.0
"""Latencies of the stages are those of so long."""

POLLED: Final = "receipt_to_poll"
PREDICTED: Final = "poll_to_prediction"
SENT: Final = "prediction_to_send"
PREDICTION_OUT: Final = "receipt_to_prediction_out"
ALARM_OUT: Final = "receipt_to_alarm_out"
STORED: Final = "receipt_to_stored"
VERDICT_OUT: Final = "receipt_to_verdict_out"
ACK: Final = "send_to_acknowledged"
"""From sending a status to its being on all replicas, as every output goes."""

LACKING: Final = "networks_lacking"
"""Counter of a worker: networks that it was to have and cannot load."""

AWAY: Final = "database_away"
"""Of a recorder: 1 while its database does not answer or takes nothing, else 0."""

KEYS_UNREAD: Final = "device_keys_unread"
"""Of who checks signatures: 1 while the file of device keys cannot be used as it is now, else 0."""

BOUNDS_MS: Final = (5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2e3, 5e3, 10e3, 30e3)
"""Upper bounds of a histogram's buckets but the last, which has none."""


@dataclass(slots=True)
class Histogram:
    """How often a stage took how long since the start: values of each bucket, and their sum."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_MS) + 1))
    sum_ms: float = 0.0

    def add(self, took_ms: WideFloatArray) -> None:
        """Count values, shape (n,)."""
        places = np.searchsorted(BOUNDS_MS, took_ms, side="left")
        found = np.bincount(places, minlength=len(self.counts)).tolist()
        self.counts = [before + more for before, more in zip(self.counts, found, strict=True)]
        # Two clocks that differ may give less than nothing; a sum never falls.
        self.sum_ms += float(np.maximum(took_ms, 0.0).sum())


class Stages:
    """How long the stages between the broker's receipt and an output took lately."""

    def __init__(self) -> None:
        self.histograms: dict[str, Histogram] = {}
        """By stage, up to the last :meth:`summary`."""
        self._new: dict[str, list[float]] = {}
        self._past: dict[str, deque[tuple[float, WideFloatArray]]] = {}

    def note(self, stage: str, *took_ms: float) -> None:
        """Note how long a stage took, each time (ms)."""
        self._new.setdefault(stage, []).extend(took_ms)

    def summary(self, now_s: float) -> dict[str, Latency]:
        """Figures of the last :data:`RECENT_S` up to a monotonic time; stages without any are left out."""
        found = {}
        for stage, new in self._new.items():
            past = self._past.setdefault(stage, deque())
            if new:
                values = np.array(new)
                past.append((now_s, values))
                self.histograms.setdefault(stage, Histogram()).add(values)
                new.clear()
            while past and past[0][0] < now_s - RECENT_S:
                past.popleft()
            if past:
                values = np.concatenate([part for _, part in past])
                p50, p99 = np.percentile(values, [50, 99])
                found[stage] = Latency(round(float(p50), 1), round(float(p99), 1), len(values))
        return found


@dataclass(slots=True)
class Stats:
    """Counters and the latest latencies.

    A latency is the time in ms from the broker's receipt of a window's last chunk to the publishing of what
    was said of it. ``dead_letters`` counts refused records by reason.
    ``fallen_back`` gives the networks that lost their GPU, each with its fault; ``where`` says what computes
    that of the ECG now.
    """

    counts: Counter[str] = field(default_factory=Counter)
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    alarm_latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    dead_letters: Counter[str] = field(default_factory=Counter)
    stages: Stages = field(default_factory=Stages)
    fallen_back: Callable[[], Mapping[str, str]] = dict
    where: Callable[[], str] | None = None

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
