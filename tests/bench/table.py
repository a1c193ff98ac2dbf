"""Benchmarks' figures as one table and one JSON file: ``python tests/bench/table.py [FILE …]``.

Reads what ``pytest --benchmark-json`` wrote (by default all of ``runs/bench/``), prints a row a figure, and
writes them with machine, load and code state to ``--json``. ``--markdown FILE`` writes the table for reading,
``--headline FILE`` renews the first lines of ``docs/performance.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RAW = ROOT / "runs" / "bench"
P99_MS = 300
"""Up to this a ward counts as carried in real time."""

UNITS = {"us": "µs", "ms": "ms", "mb": "MB", "s": "s", "mflop": "MFLOP", "mv": "mV"}
RATIO = "ratio"
HEADLINE = "measured: "

Value = float | str


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a benchmark, and the state of machine and code that it was taken in."""

    benchmark: str
    name: str
    value: Value
    unit: str
    code: str
    taken: str


@dataclass(frozen=True, slots=True)
class Headline:
    """Beds in real time, µs worker CPU per bed-second, and how much a peer costs; None: not measured."""

    beds: int | None
    us_per_bed_second: float | None
    peer: float | None

    def line(self) -> str:
        """As ``docs/performance.md`` begins."""
        beds = "no number of" if self.beds is None else f"{self.beds:,}"
        us = "not measured" if self.us_per_bed_second is None else f"{self.us_per_bed_second:,.0f}"
        peer = "not measured" if self.peer is None else f"{self.peer:.1f}"
        cost = f"{us} µs worker CPU per bed-second"
        return f"{HEADLINE}{beds} beds in real time on two cores, {cost}, {peer} × peer"


def unit_of(name: str) -> str:
    """Unit of a figure by its name."""
    words = name.split("_")
    if RATIO in words:
        return "×"
    if name.endswith("_per_s"):
        return "1/s"
    return next((UNITS[word] for word in words if word in UNITS), "")


def figures_of(run: Mapping[str, object]) -> list[Figure]:
    """Figures of one run of pytest-benchmark: what a benchmark notes, or its median."""
    commit = run["commit_info"]
    assert isinstance(commit, dict)
    code = f"{str(commit['id'])[:7]}{' with changes' if commit.get('dirty') else ''}"
    taken = str(run["datetime"])[:16].replace("T", " ")
    found = []
    benchmarks = run["benchmarks"]
    assert isinstance(benchmarks, list)
    for one in benchmarks:
        noted = one["extra_info"] or {"median_us": round(one["stats"]["median"] * 1e6, 1)}
        for name, value in noted.items():
            shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
            found.append(Figure(one["name"], name, shown, unit_of(name), code, taken))
    return found


def headline_of(runs: Iterable[Mapping[str, object]]) -> Headline:
    """The most beds that were carried, and what they cost."""
    best, peer = (-1, 0.0), None
    for run in runs:
        benchmarks = run["benchmarks"]
        assert isinstance(benchmarks, list)
        for one in benchmarks:
            noted = one["extra_info"]
            if "quixstreams" in one["name"]:
                peer = float(noted[RATIO])
            elif {"beds", "lost", "p99_ms", "worker_cpu_us_per_bed_second"} <= noted.keys():
                p99 = noted["p99_ms"]
                worst = max(p99) if isinstance(p99, list) else p99
                if noted["lost"] == 0 and worst is not None and worst < P99_MS:
                    best = max(best, (noted["beds"], noted["worker_cpu_us_per_bed_second"]))
    return Headline(best[0], best[1], peer) if best[0] >= 0 else Headline(None, None, peer)


def machine_of(run: Mapping[str, object]) -> str:
    """The machine, in words."""
    machine = run["machine_info"]
    assert isinstance(machine, dict)
    cpu = machine.get("cpu", {})
    name = cpu.get("brand_raw", machine.get("processor", ""))
    return f"{os.cpu_count()} cores of {name}, {machine['system']}, Python {machine['python_version']}"


def markdown(figures: Iterable[Figure], machine: str, headline: Headline) -> str:
    """The table for reading."""
    lines = [
        "# Last benchmarks",
        "",
        headline.line(),
        "",
        f"Machine: {machine}. Written by `python tests/bench/table.py`.",
        "",
        "| benchmark | figure | value | unit | code | taken |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for one in figures:
        value = f"{one.value:,}" if isinstance(one.value, int) else one.value
        lines.append(f"| {one.benchmark} | {one.name} | {value} | {one.unit} | {one.code} | {one.taken} |")
    return "\n".join(lines) + "\n"


def renew(path: Path, headline: Headline, figures: list[Figure]) -> None:
    """Put the headline first, and when and on what code it was taken."""
    text = path.read_text(encoding="utf-8")
    taken, code = max((one.taken, one.code) for one in figures)
    first = f"{headline.line()}\n({taken}, code {code})\n\n"
    rest = re.sub(rf"\A{HEADLINE}.*\n\(.*\)\n\n", "", text)
    path.write_text(first + rest, encoding="utf-8")


def main() -> int:
    """Read, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="*", help="of pytest-benchmark; default runs/bench/*.json")
    parser.add_argument("--json", type=Path, default=ROOT / "runs" / "bench.json")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--headline", type=Path)
    args = parser.parse_args()
    files = args.files or sorted(RAW.glob("*.json"))
    if not files:
        sys.stderr.write(f"no figures in {RAW}: run `make bench` or `make bench-peers` first\n")
        return 2
    runs = [json.loads(path.read_text()) for path in files]
    figures = [figure for run in runs for figure in figures_of(run)]
    headline, machine = headline_of(runs), machine_of(runs[-1])
    for one in figures:
        sys.stdout.write(f"{one.benchmark:62} {one.name:38} {one.value!s:>14} {one.unit}\n")
    sys.stdout.write(f"{headline.line()}\n")
    args.json.parent.mkdir(parents=True, exist_ok=True)
    state = {"machine": machine, "load_average": os.getloadavg()[0], "headline": asdict(headline)}
    args.json.write_text(json.dumps({**state, "figures": [asdict(one) for one in figures]}, indent=1))
    if args.markdown:
        args.markdown.write_text(markdown(figures, machine, headline), encoding="utf-8")
    if args.headline:
        renew(args.headline, headline, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
