"""The figures of a process that says a status, for Prometheus (:mod:`ingest.health` serves them).

What they tell is the process's own status (:mod:`inference.status`), so that there is one truth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from inference.stats import BOUNDS_MS, Histogram
from inference.types import DataAge, WorkerStatus
from ingest.health import Family, Sample, single
from ingest.types import DEAD_LETTER_REASONS


def families_of(
    status: WorkerStatus, histograms: Mapping[str, Histogram], ages: Sequence[DataAge]
) -> Iterator[Family]:
    """Figures of a worker, recorder or judge.

    Parameters
    ----------
    status : WorkerStatus
        The newest.
    histograms : mapping of str to Histogram
        How long each stage took since the start.
    ages : sequence of DataAge
        Of every signal of every bed.
    """
    yield from _about(status)
    yield from _reading(status)
    yield Family("wardwave_latency_seconds", "how long stages took in the last 30 s", _latencies(status))
    parts = [part for stage, one in histograms.items() for part in _histogram(stage, one)]
    yield Family("wardwave_stage_seconds", "how long stages took since the start", parts, "histogram")
    data = [Sample(one.age_s, {"bed": one.bed, "signal": one.signal}) for one in ages]
    yield Family("wardwave_data_age_seconds", "since the newest chunk of a signal", data)
    clocks = [Sample(one.ahead_s, {"bed": one.bed, "signal": one.signal}) for one in status.clocks]
    yield Family("wardwave_clock_ahead_seconds", "device clocks that are furthest off", clocks)
    yield single("wardwave_resident_bytes", "resident memory", status.rss_bytes)
    yield single("wardwave_cpu_cores", "cores in use", status.cpu_share)
    yield single("wardwave_threads", "threads", status.threads)


def _about(status: WorkerStatus) -> Iterator[Family]:
    yield single(
        "wardwave_info",
        "what runs",
        1,
        role=status.role,
        group=status.group,
        version=status.version,
        device=status.device,
        code_commit=status.code_commit,
    )
    models = [Sample(1, {"name": one.name, "sha256": one.sha256}) for one in status.models]
    yield Family("wardwave_model_info", "networks in use", models)
    lost = len(status.fallen_back)
    yield single("wardwave_networks_fallen_back", "networks on the CPU because their GPU failed", lost)
    yield single("wardwave_started_seconds", "when it started, Unix time", status.started_ns / 1e9)
    yield single("wardwave_status_seconds", "when this was true, Unix time", status.emitted_ns / 1e9)


def _reading(status: WorkerStatus) -> Iterator[Family]:
    yield single("wardwave_partitions", "partitions held", len(status.partitions))
    yield single("wardwave_beds", "beds that sent", status.beds)
    records = [Sample(one.records, {"partition": one.partition}) for one in status.lag]
    yield Family("wardwave_lag_records", "records not yet read", records)
    seconds = [Sample(one.seconds, {"partition": one.partition}) for one in status.lag]
    yield Family("wardwave_lag_seconds", "age of the newest record read where there are more", seconds)
    counts = [Sample(n, {"name": name}) for name, n in status.counts.items()]
    yield Family("wardwave_count", "counters since the start, by name (docs/system.md)", counts)
    # Each from 0 on: of a series that begins with its first forged record no rate can be told.
    refused = dict.fromkeys(DEAD_LETTER_REASONS, 0) | status.dead_letters
    letters = [Sample(n, {"reason": reason}) for reason, n in refused.items()]
    yield Family("wardwave_dead_letters", "refused records since the start", letters, "counter")


def _latencies(status: WorkerStatus) -> list[Sample]:
    return [
        Sample(milliseconds / 1e3, {"stage": stage, "quantile": quantile})
        for stage, one in status.latencies.items()
        for quantile, milliseconds in (("0.5", one.p50_ms), ("0.99", one.p99_ms))
    ]


def _histogram(stage: str, one: Histogram) -> Iterator[Sample]:
    """Parts of one stage's histogram, cumulative as Prometheus wants them."""
    n = 0
    for bound_ms, more in zip((*BOUNDS_MS, float("inf")), one.counts, strict=True):
        n += more
        bound = "+Inf" if bound_ms == float("inf") else f"{bound_ms / 1e3:g}"
        yield Sample(n, {"stage": stage, "le": bound}, "_bucket")
    yield Sample(round(one.sum_ms / 1e3, 6), {"stage": stage}, "_sum")
    yield Sample(n, {"stage": stage}, "_count")
