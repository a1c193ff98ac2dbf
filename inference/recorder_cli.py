"""``wardwave record`` and ``wardwave strips``."""

from __future__ import annotations

import argparse
import datetime
import logging
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inference.store import Store

DESCRIPTION = "Writes alarms with their lives, strips, trends and the audit trail to a database."


# It tells of all its plugins, and of every migration that there is nothing to do.
logging.getLogger("alembic").setLevel(logging.WARNING)


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the recorder's subcommands."""
    record = subparsers.add_parser(
        "record",
        help="write alarms, strips, trends and the audit trail to a database",
        description=DESCRIPTION,
    )
    add_url(record)
    record.add_argument("--stats", type=Path, help="JSON file with counters, rewritten every second")
    record.set_defaults(run=run_record)
    strips = subparsers.add_parser(
        "strips", help="list and export the waveforms around alarms", description="Strips that were recorded."
    )
    actions = strips.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list alarms, the newest first")
    add_url(listing)
    listing.add_argument("--bed", help="only this bed")
    listing.add_argument("--kind", help="only this kind of alarm")
    listing.add_argument("--limit", type=int, default=50, help="how many at most (50)")
    listing.set_defaults(run=run_list)
    export = actions.add_parser("export", help="write strips as WFDB or EDF+")
    add_url(export)
    which = export.add_mutually_exclusive_group(required=True)
    which.add_argument("alarm_id", nargs="?", metavar="ALARM_ID", help="id as 'strips list' shows it")
    which.add_argument("--all", action="store_true", help="every strip there is")
    export.add_argument("--format", choices=["wfdb", "edf"], default="wfdb", help="wfdb, or edf for EDF+")
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the files")
    export.set_defaults(run=run_export)


def add_url(parser: argparse.ArgumentParser) -> None:
    """Add what says which store is meant."""
    parser.add_argument(
        "--url",
        help="sqlite:///FILE or postgresql://USER@HOST/NAME, by default WARDWAVE_RECORDER__URL, else the "
        "file wardwave.sqlite here (a password belongs into the variable: other users see arguments)",
    )


def run_record(args: argparse.Namespace) -> int:
    """Record until SIGINT or SIGTERM."""
    import signal
    import threading

    from inference.recorder import Recorder
    from inference.recorder_settings import load_recorder_settings
    from ingest import kafka
    from ingest.settings import load_settings

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    settings, options = load_settings(), load_recorder_settings(args.url)
    kafka.ensure_topics(settings)
    Recorder(settings, options, args.stats).run(stop.is_set)
    return 0


def run_list(args: argparse.Namespace) -> int:
    """Print one line an alarm."""
    with open_store(args.url) as store:
        for stored in store.alarms(bed=args.bed, kind=args.kind, limit=args.limit):
            alarm = stored.alarm
            raised = datetime.datetime.fromtimestamp(alarm.raised_ns / 1e9, datetime.UTC)
            strip = {None: "no strip", True: "strip", False: "strip (part)"}[stored.strip_complete]
            print(f"{raised:%Y-%m-%d %H:%M:%S}  {alarm.state:<12}  {strip:<12}  {alarm.id}  {alarm.message}")
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Write the files and print their names."""
    from inference.errors import StoreError
    from inference.strip_export import export_edf, export_wfdb

    write = export_wfdb if args.format == "wfdb" else export_edf
    with open_store(args.url) as store:
        for alarm_id in store.with_strip() if args.all else [args.alarm_id]:
            stored, strip = store.alarm(alarm_id), store.strip_of(alarm_id)
            if stored is None:
                raise StoreError(f"alarm {alarm_id!r} is not there; 'wardwave strips list' shows which are")
            if strip is None or not strip.signals:
                if args.all:
                    continue
                raise StoreError(f"alarm {alarm_id!r} has no waveforms: none came, or they were too old")
            for path in write(stored.alarm, strip, args.out):
                print(path)
    return 0


def open_store(url: str | None) -> Store:
    """Open the store that is named, by the command line or the environment."""
    from inference.recorder_settings import load_recorder_settings
    from inference.store import Store

    return Store(load_recorder_settings(url).url.get_secret_value())
