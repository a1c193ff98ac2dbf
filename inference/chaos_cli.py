"""``wardwave chaos``: the proof that nothing is lost and nothing doubled."""

from __future__ import annotations

import argparse
from pathlib import Path

SHORT_S = 25


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    chaos = subparsers.add_parser(
        "chaos",
        help="kill, pause and cut off everything, and prove that nothing is lost or doubled",
        description="Replays a small ward while workers, recorder, devices and the way to the "
        "broker are struck, then the same ward unbroken, and compares all that was said and stored. The "
        "embedded broker is used "
        "unless WARDWAVE_KAFKA__BOOTSTRAP_SERVERS names another; topics are this run's own.",
    )
    chaos.add_argument("--seconds", type=int, default=240, help="length of each run's ward (240)")
    chaos.add_argument("--seeds", type=int, nargs="+", default=[1], metavar="SEED", help="one run each (1)")
    chaos.add_argument("--until-faults", type=int, metavar="N", help="run on, seed by seed, until N faults")
    chaos.add_argument("--workers", type=int, default=3, help="how many at first, 2 to 4 (3)")
    chaos.add_argument("--beds", type=int, default=3, help="simulated beds, 1 to 3 (3)")
    chaos.add_argument(
        "--data", type=Path, default=Path("../shared/data"), help="folder with real records (../shared/data)"
    )
    chaos.add_argument("--snapshot-s", type=float, default=30.0, help="as of 'wardwave infer' (30)")
    chaos.add_argument("--no-strips", action="store_true", help="do not wait for the recorder's last strips")
    chaos.add_argument(
        "--proxy-at",
        metavar="HOST:PORT",
        help="address that another broker advertises; the proxy listens there",
    )
    chaos.add_argument(
        "--broker-command",
        metavar="COMMAND",
        help="kills and restarts a broker that keeps its data, as a fault",
    )
    chaos.add_argument(
        "--broker-keeps",
        action="store_true",
        help="the embedded broker keeps its data in a store beside it, so that it is killed, too",
    )
    chaos.add_argument("--json", type=Path, metavar="FILE", help="write the figures of all runs")
    chaos.add_argument("--keep", type=Path, metavar="FOLDER", help="keep logs, plan and databases here")
    chaos.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run it; 0 where nothing was lost, doubled or said otherwise, else 1."""
    import os
    import tempfile
    from contextlib import nullcontext

    from inference.chaos_quiet import quiet_libraries

    quiet_libraries()
    from inference.chaos_broker import BrokerOptions
    from inference.chaos_report import summary
    from inference.chaos_run import ChaosOptions, run_chaos
    from inference.chaos_ward import SIGNALS, WardOptions
    from inference.errors import ChaosError
    from ingest.settings import load_settings

    if args.seconds < SHORT_S:
        raise ChaosError(f"--seconds {args.seconds}: a fault and what follows take {SHORT_S} s at least")
    if not 2 <= args.workers <= 4:
        raise ChaosError(f"--workers {args.workers}: give 2 to 4")
    if not 1 <= args.beds <= len(SIGNALS):
        raise ChaosError(f"--beds {args.beds}: give 1 to {len(SIGNALS)}")
    broker = load_settings().kafka if "WARDWAVE_KAFKA__BOOTSTRAP_SERVERS" in os.environ else None
    if broker is None and (args.proxy_at or args.broker_command):
        raise ChaosError("--proxy-at and --broker-command are for a broker that WARDWAVE_KAFKA__… names")
    if broker is not None and args.broker_keeps:
        raise ChaosError("--broker-keeps is for the embedded broker; another's is --broker-command")
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
    reports, seeds = [], list(args.seeds)
    while seeds:
        seed = seeds.pop(0)
        options = ChaosOptions(
            WardOptions(args.seconds, seed, args.beds, args.data if args.data.is_dir() else None),
            seed,
            args.workers,
            args.snapshot_s,
            not args.no_strips,
            BrokerOptions(broker, args.proxy_at, args.broker_command, args.broker_keeps),
        )
        with nullcontext(args.keep) if args.keep else tempfile.TemporaryDirectory() as parent:
            folder = Path(parent) / f"seed-{seed}"
            folder.mkdir(parents=True, exist_ok=True)
            reports.append(run_chaos(options, folder))
        print("\n".join(reports[-1].lines()), flush=True)
        if args.json is not None:
            args.json.write_bytes(b"[" + b",\n".join(one.to_json() for one in reports) + b"]\n")
        n_faults = sum(len(one.every_fault) for one in reports)
        if not seeds and args.until_faults is not None and n_faults < args.until_faults:
            seeds.append(seed + 1)
    print(summary(reports))
    return 0 if all(one.passed for one in reports) else 1
