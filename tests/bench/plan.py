"""What 10,000 and 100,000 beds would take, on paper: ``python tests/bench/plan.py [--json runs/bench.json]``.

Unit costs are measured (worker CPU from the benchmarks' JSON, bytes from ``--bytes``), the rest is assumed
and said so: what a core of a Kafka broker carries, how full cores are run, prices. ECG of two leads at
250 Hz, one chunk a second.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import dataclass, fields
from pathlib import Path

REPLICAS = 3
MB = 1e6
DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Units:
    """Unit costs.

    Parameters
    ----------
    worker_us : float
        Worker CPU a bed-second, µs (measured).
    in_bytes, out_bytes : float
        Of a bed-second's raw record, and of all that is said of it (measured).
    worker_mb, bed_mb : float
        Memory of a worker, and more for each of its beds (measured).
    full : float
        Share of a core that is used: the rest is for takeovers and busy seconds (assumed).
    readers : int
        Who reads raw records: worker, recorder (assumed); dashboards read what is said.
    broker_mb_s : float
        What a broker's core takes, sends and copies, MB/s (assumed; measure it on your machines).
    core_eur, tb_eur : float
        Price of a core with 4 GB and of a TB of disk, a month (assumed).
    gpu_windows_s : float
        Windows a second of a GPU (the goal; not measured).
    """

    worker_us: float
    in_bytes: float = 1_074
    out_bytes: float = 783
    worker_mb: float = 600
    bed_mb: float = 0.12
    full: float = 0.6
    readers: int = 2
    broker_mb_s: float = 50
    core_eur: float = 20
    tb_eur: float = 40
    gpu_windows_s: float = 100_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What a number of beds takes."""

    beds: int
    records_s: int
    raw_mb_s: float
    said_mb_s: float
    workers: int
    beds_a_worker: int
    worker_memory_gb: float
    partitions: int
    broker_traffic_mb_s: float
    brokers: int
    gbit_s_a_broker: float
    raw_day_tb: float
    gpus: float
    eur_a_month: int
    eur_a_bed_and_month: float


def plan(beds: int, units: Units) -> Plan:
    """Reckon."""
    raw, said = beds * units.in_bytes / MB, beds * units.out_bytes / MB
    # One process a core, its network on one thread.
    workers = max(2, math.ceil(beds * units.worker_us / 1e6 / units.full))
    # Four a worker, so that the share of one that dies is spread, and a power of two to grow into.
    partitions = max(64, 2 ** math.ceil(math.log2(4 * workers)))
    # In once, copied to the other replicas, out to each reader; what is said is read once a dashboard host.
    traffic = raw * (REPLICAS + units.readers) + said * (REPLICAS + 1)
    broker_cores = traffic / units.broker_mb_s / units.full
    brokers = max(REPLICAS, math.ceil(broker_cores / 8))
    memory = workers * units.worker_mb / 1e3 + beds * units.bed_mb / 1e3
    disk_tb = raw * DAY_S * REPLICAS / 1e6
    cores = workers + brokers * max(2.0, broker_cores / brokers)
    eur = cores * units.core_eur + disk_tb * units.tb_eur
    return Plan(
        beds=beds,
        records_s=beds,
        raw_mb_s=round(raw, 1),
        said_mb_s=round(said, 1),
        workers=workers,
        beds_a_worker=beds // workers,
        worker_memory_gb=round(memory, 1),
        partitions=partitions,
        broker_traffic_mb_s=round(traffic),
        brokers=brokers,
        gbit_s_a_broker=round(traffic * 8 / 1e3 / brokers, 2),
        raw_day_tb=round(disk_tb, 2),
        gpus=round(beds / units.gpu_windows_s / units.full, 2),
        eur_a_month=round(eur),
        eur_a_bed_and_month=round(eur / beds, 3),
    )


def main() -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("runs/bench.json"))
    parser.add_argument("--worker-us", type=float, help="instead of what the JSON says")
    parser.add_argument("--bytes", type=float, nargs=2, default=(1_074, 783), metavar=("IN", "OUT"))
    parser.add_argument("--beds", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    args = parser.parse_args()
    worker_us = args.worker_us
    if worker_us is None:
        worker_us = json.loads(args.json.read_text())["headline"]["us_per_bed_second"]
    if worker_us is None:
        sys.stderr.write(f"{args.json}: no ward was carried in it; run `make bench`, or give --worker-us\n")
        return 2
    units = Units(worker_us, *args.bytes)
    plans = [plan(beds, units) for beds in args.beds]
    sys.stdout.write(f"{worker_us:,.0f} µs worker CPU a bed-second\n\n| |{' |' * len(plans)}\n")
    sys.stdout.write(f"| --- |{' ---: |' * len(plans)}\n")
    for field in fields(Plan):
        values = " | ".join(f"{getattr(one, field.name):,}" for one in plans)
        sys.stdout.write(f"| {field.name.replace('_', ' ')} | {values} |\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
