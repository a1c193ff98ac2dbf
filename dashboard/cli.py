"""``wardwave dashboard`` and ``wardwave demo``."""

from __future__ import annotations

import argparse
from pathlib import Path


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the dashboard's subcommands."""
    serve = subparsers.add_parser(
        "dashboard",
        help="serve the ward in a browser",
        description="Serves the ward. It has no sign-in, so it listens on this machine only by default.",
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
    from ingest.settings import load_settings

    settings = load_settings()
    serve.check_port(args.address, args.port)
    if serve.is_loopback(args.address):
        print(f"dashboard on http://{_host(args.address)}:{args.port} (this machine only: it has no sign-in)")
    else:
        print(
            f"dashboard on {args.address}:{args.port}. WARNING: other machines may reach it and it has no "
            "sign-in; put a proxy with a login before it"
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
        port=args.port,
        duration_s=args.duration,
        headless=args.headless,
        own_broker=not args.kafka,
        device=args.device,
    )
    return Demo(options, lambda line: print(line, flush=True)).run()


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
