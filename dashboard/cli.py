"""``wardwave dashboard`` and ``wardwave demo``."""

from __future__ import annotations

import argparse
from pathlib import Path


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the dashboard's subcommands."""
    serve = subparsers.add_parser(
        "dashboard",
        help="serve the ward in a browser",
        description="Serves the ward. Other machines may reach it only where people sign in "
        "(docs/dashboard-access.md); without, it listens on this machine alone.",
    )
    serve.add_argument("--port", type=int, default=8501)
    serve.add_argument("--address", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    serve.set_defaults(run=run_dashboard)
    demo = subparsers.add_parser(
        "demo",
        help="broker, simulated beds, worker and dashboard in one go",
        description="A ward on this machine: all of the real path, with simulated or recorded beds.",
    )
    demo.add_argument("--beds", type=int, default=8, help="simulated beds (default 8)")
    demo.add_argument(
        "--script", nargs="+", metavar="EVENT", help="as of wardwave simulate (default: bed-03:vf@20s:20s)"
    )
    demo.add_argument("--wfdb", metavar="DIR[,DIR...]", help="recorded beds besides: folders or .hea files")
    demo.add_argument(
        "--records", type=int, default=6, metavar="N", help="at most so many recorded beds (default 6)"
    )
    demo.add_argument(
        "--wfdb-start",
        type=float,
        metavar="S",
        help="begin here in the records (default: 30 s before the first annotated VF, VT or asystole)",
    )
    for organ in ("lung", "heart"):
        demo.add_argument(
            f"--{organ}-sounds",
            nargs="+",
            type=Path,
            default=[],
            metavar="FILE",
            help=f"{organ} sounds (WAV, FLAC), looped: a bed each, called after its file",
        )
    demo.add_argument(
        "--eeg",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="EEGs (EDF), looped: a bed each, called after its file",
    )
    demo.add_argument(
        "--eeg-beds",
        type=int,
        metavar="N",
        help="bed-01 to bed-N have a simulated EEG (default: 1 where beds are simulated, else 0)",
    )
    demo.add_argument(
        "--eeg-script", nargs="+", metavar="EVENT", help="of those (default: bed-01:seizure@60s:60s)"
    )
    demo.add_argument("--port", type=int, default=8501, help="of the dashboard (default 8501)")
    demo.add_argument("--duration", type=float, metavar="S", help="stop after so many seconds")
    demo.add_argument("--headless", action="store_true", help="open no browser")
    demo.add_argument(
        "--kafka", action="store_true", help="use the Kafka of the settings, not the embedded broker"
    )
    demo.add_argument("--device", help="torch device of the worker")
    demo.set_defaults(run=run_demo)


def run_dashboard(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM."""
    from dashboard import serve
    from dashboard.settings import load_dashboard_settings
    from ingest.settings import load_settings

    settings, own = load_settings(), load_dashboard_settings()
    serve.check_guarded(args.address, own)
    serve.check_port(args.address, args.port)
    guarded = own.users is not None or own.oidc
    scheme = "https" if own.tls_certificate is not None else "http"
    where = f"{scheme}://{_host(args.address)}:{args.port}"
    print(f"dashboard on {where} ({'people sign in' if guarded else 'this machine only: nobody signs in'})")
    if scheme == "http" and not serve.is_loopback(args.address):
        print(
            "WARNING: passwords cross the network in clear unless a proxy before it speaks https, or "
            "WARDWAVE_DASHBOARD__TLS_CERTIFICATE and __TLS_KEY are set"
        )
    print(f"reading from {settings.kafka.bootstrap_servers}; Ctrl-C stops it", flush=True)
    serve.serve(args.address, args.port)
    return 0


def run_demo(args: argparse.Namespace) -> int:
    """Run the demo."""
    from dashboard.demo import Demo, DemoOptions

    options = DemoOptions(
        beds=args.beds,
        script=tuple(args.script) if args.script is not None else None,
        recordings=tuple(Path(part) for part in (args.wfdb or "").split(",") if part),
        max_recordings=args.records,
        recordings_start_s=args.wfdb_start,
        lung_sounds=tuple(args.lung_sounds),
        heart_sounds=tuple(args.heart_sounds),
        eegs=tuple(args.eeg),
        eeg_beds=max(0, min(args.beds, 1)) if args.eeg_beds is None else args.eeg_beds,
        eeg_script=tuple(args.eeg_script) if args.eeg_script is not None else None,
        port=args.port,
        duration_s=args.duration,
        headless=args.headless,
        own_broker=not args.kafka,
        device=args.device,
    )
    return Demo(options, lambda line: print(line, flush=True)).run()


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
