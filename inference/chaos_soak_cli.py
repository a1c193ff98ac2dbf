"""``wardwave soak``: many beds for an hour under faults; does anything grow, is anything lost."""

from __future__ import annotations

import argparse
from pathlib import Path

SHORTEST_S = 60


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    soak = subparsers.add_parser(
        "soak",
        help="run many beds under faults for an hour and measure what grows",
        description="Plays simulated beds in real time through an embedded broker while workers, recorder, "
        "devices and the way to the broker are struck. Memory, open handles and threads of every process are "
        "sampled; seconds of signal of which nothing was said are counted. The first worker and the recorder "
        "are paused and cut off, but never ended, so that one of each lives through it all.",
    )
    soak.add_argument("--minutes", type=float, default=60.0, help="how long (60)")
    soak.add_argument("--beds", type=int, default=200, help="how many (200)")
    soak.add_argument("--workers", type=int, default=2, help="how many, 2 to 4 (2)")
    soak.add_argument("--seed", type=int, default=1, help="of signals and faults (1)")
    soak.add_argument("--every-s", type=float, default=10.0, help="time between two samples (10)")
    soak.add_argument("--snapshot-s", type=float, default=60.0, help="as of 'wardwave infer' (60)")
    soak.add_argument("--json", type=Path, metavar="FILE", help="write samples and figures, anew each minute")
    soak.add_argument("--keep", type=Path, metavar="FOLDER", help="keep logs and database here")
    soak.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run it; 0 where nothing was lost or doubled and no process ended by itself, else 1."""
    import signal
    import tempfile
    from contextlib import nullcontext

    from inference.chaos_quiet import quiet_libraries

    quiet_libraries()
    from inference.chaos_soak import SoakOptions, run_soak
    from inference.errors import ChaosError

    for number in (signal.SIGINT, signal.SIGTERM):
        # Also where a shell that started it in the background had them ignored.
        signal.signal(number, signal.default_int_handler)
    seconds = round(args.minutes * 60)
    if seconds < SHORTEST_S:
        raise ChaosError(f"--minutes {args.minutes:g}: give {SHORTEST_S / 60:g} at least")
    if args.beds < 1:
        raise ChaosError(f"--beds {args.beds}: give 1 or more")
    if not 2 <= args.workers <= 4:
        raise ChaosError(f"--workers {args.workers}: give 2 to 4")
    for place in (args.keep, args.json.parent if args.json else None):
        if place is not None:
            place.mkdir(parents=True, exist_ok=True)
    options = SoakOptions(
        seconds, args.beds, args.workers, args.seed, every_s=args.every_s, snapshot_s=args.snapshot_s
    )
    with nullcontext(args.keep) if args.keep else tempfile.TemporaryDirectory() as folder:
        report = run_soak(options, Path(folder), args.json)
    print("\n".join(report.lines()))
    return 0 if report.passed else 1
