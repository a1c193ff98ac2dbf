"""The table of benchmarks: figures with units, and the line that docs/performance.md begins with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "tests" / "bench" / "table.py"
PLAN = ROOT / "tests" / "bench" / "plan.py"


def path_of(beds: int, lost: int, p99_ms: float | None, us: int) -> dict[str, Any]:
    noted = {"beds": beds, "lost": lost, "p99_ms": p99_ms, "worker_cpu_us_per_bed_second": us}
    return {"name": f"test_whole_path[{beds}]", "extra_info": noted, "stats": {"median": 1.0}}


def run(folder: Path, *benchmarks: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    raw = {
        "machine_info": {"cpu": {"brand_raw": "Some CPU"}, "system": "Linux", "python_version": "3.11"},
        "commit_info": {"id": "abcdef0123", "dirty": True},
        "datetime": "2026-11-22T04:05:06",
        "benchmarks": list(benchmarks),
    }
    (folder / "raw.json").write_text(json.dumps(raw))
    (folder / "performance.md").write_text("measured: old\n(old)\n\n# Speed\n\nText.\n")
    words = ["--json", "out.json", "--markdown", "bench.md", "--headline", "performance.md"]
    return subprocess.run(
        [sys.executable, str(TABLE), "raw.json", *words], cwd=folder, text=True, capture_output=True
    )


def test_the_headline_is_of_the_most_beds_that_were_carried(tmp_path: Path) -> None:
    peer = {
        "name": "test_worker_beside_quixstreams",
        "extra_info": {"ratio": 8.25},
        "stats": {"median": 1.0},
    }
    slow, lossy = path_of(2000, 0, 900.0, 500), path_of(1800, 3, 90.0, 500)
    done = run(tmp_path, path_of(100, 0, 40.0, 3000), path_of(1500, 0, 210.5, 612), slow, lossy, peer)
    assert done.returncode == 0, done.stderr
    line = "measured: 1,500 beds in real time on two cores, 612 µs worker CPU per bed-second, 8.2 × peer"
    document = (tmp_path / "performance.md").read_text()
    assert document == f"{line}\n(2026-11-22 04:05, code abcdef0 with changes)\n\n# Speed\n\nText.\n"
    assert line in done.stdout
    table = (tmp_path / "bench.md").read_text()
    assert (
        "| test_whole_path[1500] | p99_ms | 210.5 | ms | abcdef0 with changes | 2026-11-22 04:05 |" in table
    )
    assert "Some CPU" in table


def test_figures_have_their_units_and_a_benchmark_without_any_its_median(tmp_path: Path) -> None:
    plain = {"name": "test_decode", "extra_info": {}, "stats": {"median": 4.25e-6}}
    assert run(tmp_path, plain, path_of(10, 0, None, 900)).returncode == 0
    written = json.loads((tmp_path / "out.json").read_text())
    units = {(one["benchmark"], one["name"]): (one["value"], one["unit"]) for one in written["figures"]}
    assert units["test_decode", "median_us"] == (4.2, "µs")
    assert units["test_whole_path[10]", "worker_cpu_us_per_bed_second"] == (900, "µs")
    assert written["headline"] == {"beds": None, "us_per_bed_second": None, "peer": None}
    assert "Some CPU" in written["machine"]


def test_the_document_begins_with_the_headline() -> None:
    line = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8").splitlines()[0]
    assert line.startswith("measured: ")
    assert line.endswith("× peer")


def test_the_plan_follows_from_what_a_bed_second_costs(tmp_path: Path) -> None:
    (tmp_path / "bench.json").write_text(json.dumps({"headline": {"us_per_bed_second": 600.0}}))
    words = [sys.executable, str(PLAN), "--json", str(tmp_path / "bench.json"), "--beds", "10000", "100000"]
    done = subprocess.run(words, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    # 10,000 beds × 600 µs on cores of which six tenths are used.
    assert "| workers | 10 | 100 |" in done.stdout
    assert "| partitions | 64 | 512 |" in done.stdout
    dearer = subprocess.run([*words, "--worker-us", "1200"], text=True, capture_output=True)
    assert "| workers | 20 | 200 |" in dearer.stdout


def test_a_plan_without_a_figure_says_how_to_get_one(tmp_path: Path) -> None:
    (tmp_path / "bench.json").write_text(json.dumps({"headline": {"us_per_bed_second": None}}))
    done = subprocess.run(
        [sys.executable, str(PLAN), "--json", str(tmp_path / "bench.json")], text=True, capture_output=True
    )
    assert done.returncode == 2
    assert "make bench" in done.stderr
