"""``make fuzz``: every target in a process of its own, one after another; figures to a JSON file."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.targets import targets

LIMIT_S = 7_200
"""A target that takes longer hangs."""

MOST_GAIN_MB = 100.0
"""Memory may grow by so much after the first fifth of the inputs; a real leak goes on beyond it."""


def main() -> int:
    """Fuzz all targets; 0 where none crashed, hung or grew."""
    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("--inputs", type=int, default=1_100_000, help="of all targets together (1100000)")
    parser.add_argument("--targets", nargs="+", choices=sorted(targets()), metavar="TARGET")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, default=Path("runs/fuzz.json"))
    args = parser.parse_args()
    args.json.parent.mkdir(parents=True, exist_ok=True)
    done = []
    for name, target in targets().items():
        if args.targets and name not in args.targets:
            continue
        done.append(_fuzz(name, max(1, round(args.inputs * target.share)), args.seed))
        total = sum(one["inputs"] for one in done)
        failed = [one["target"] for one in done if one["failure"]]
        whole = {"schema": "fuzz/1", "inputs": total, "failed": failed, "load": os.getloadavg()[0]}
        args.json.write_text(json.dumps({**whole, "targets": done}, indent=1) + "\n")
        sys.stdout.write(f"{json.dumps(done[-1])}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{total} inputs, failed: {', '.join(failed) or 'none'}\n")
    return 1 if failed else 0


def _fuzz(name: str, inputs: int, seed: int) -> dict[str, object]:
    folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    stats = folder / "stats.json"
    command = [sys.executable, "-m", "tests.fuzz.one", name, str(inputs), str(seed), str(stats), str(folder)]
    began_s = time.monotonic()
    with (folder / "log").open("wb") as log:
        try:
            status = subprocess.run(command, stdout=log, stderr=log, timeout=LIMIT_S).returncode
        except subprocess.TimeoutExpired:
            status = None
    empty = {"target": name, "inputs": 0, "rss_mb_warm": None, "rss_mb_end": 0.0}
    figures = json.loads(stats.read_text()) if stats.exists() else empty
    failure = ""
    if status is None:
        failure = f"no end after {time.monotonic() - began_s:.0f} s; see {folder}"
    elif status != 0:
        failure = f"exit status {status}; see {folder}"
    elif figures["rss_mb_warm"] and figures["rss_mb_end"] - figures["rss_mb_warm"] > MOST_GAIN_MB:
        failure = f"memory grew from {figures['rss_mb_warm']} to {figures['rss_mb_end']} MB"
    return {**figures, "failure": failure}


if __name__ == "__main__":
    sys.exit(main())
