"""``python -m tests.fuzz``, ``make fuzz``: readers in processes of their own; figures to a JSON file.

The last line is the verdict: "N inputs, 14 readers: no failure" (exit status 0), or which of them failed and
how (1). Arguments that cannot be meant end it with 2.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.fuzz.targets import targets

LIMIT_S = 7_200
"""A target that takes longer hangs."""

MOST_GAIN_MB = 100.0
"""Memory may grow by so much after the first fifth of the inputs; a real leak goes on beyond it."""


Figures = dict[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Fuzz the readers that are asked for; 0 where none crashed, hung or grew."""
    args = _parser().parse_args(argv)
    args.json.parent.mkdir(parents=True, exist_ok=True)
    done: list[Figures] = []
    for name, target in targets().items():
        if args.targets and name not in args.targets:
            continue
        done.append(_fuzz(name, max(1, round(args.inputs * target.share)), args.seed))
        whole = {"schema": "fuzz/1", "inputs": _total(done), "failed": list(_failed(done))}
        written = {**whole, "load": os.getloadavg()[0], "targets": done}
        args.json.write_text(json.dumps(written, indent=1) + "\n")
        sys.stdout.write(f"{json.dumps(done[-1])}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{verdict(done)}\n")
    return 1 if _failed(done) else 0


def _parser() -> argparse.ArgumentParser:
    names = ", ".join(targets())
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description="Gives inputs to everything that reads what comes from outside: a JSON line for each "
        "reader, and a last line that says whether one failed. Exit status 0: none; 1: some; 2: wrong "
        "arguments.",
        epilog=f"Readers: {names}. With atheris (pip install 'wardwave[fuzz]') inputs follow what they "
        "reach, else they are mutations of good ones. 'make fuzz' runs all of it.",
    )
    parser.add_argument(
        "--inputs", type=_count, default=1_100_000, metavar="N", help="in all (default: 1100000)"
    )
    parser.add_argument(
        "--targets", nargs="+", choices=sorted(targets()), metavar="READER", help="these alone (default: all)"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the inputs (default: 1)")
    parser.add_argument(
        "--json", type=Path, default=Path("runs/fuzz.json"), metavar="FILE", help="figures (runs/fuzz.json)"
    )
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: a number from 1 on")
    return int(text)


def _total(done: Sequence[Figures]) -> int:
    return sum(one["inputs"] for one in done)


def _failed(done: Sequence[Figures]) -> dict[str, str]:
    """Readers that failed, and how."""
    return {one["target"]: one["failure"] for one in done if one["failure"]}


def verdict(done: Sequence[Figures]) -> str:
    """What came of it, in a line."""
    readers = f"{len(done)} reader{'' if len(done) == 1 else 's'}"
    failed = _failed(done)
    how = "; ".join(f"{name}: {why}" for name, why in failed.items())
    return f"{_total(done)} inputs, {readers}: " + (
        f"{len(failed)} failed: {how}" if failed else "no failure"
    )


def _fuzz(name: str, inputs: int, seed: int) -> Figures:
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
