"""``wardwave trends``: the numbers of a bed as the recorder keeps them, as a table."""

from __future__ import annotations

import argparse
import contextlib
import csv
import datetime
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TextIO

from inference.recorder_cli import add_url, open_store
from ingest.types import SignalKind


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    trends = subparsers.add_parser(
        "trends",
        help="write a bed's recorded numbers as CSV: heart rate, breaths, sounds, trends of an EEG",
        description="Numbers of one signal of a bed, second by second or minute by minute; empty cells where "
        "there was no valid number. Of crackle, wheeze and murmur: the share of judged pieces with it. Of "
        "eeg: aEEG margins, spectral edge, powers, suppression, asymmetry (docs/eeg.md); of a minute means.",
    )
    add_url(trends)
    trends.add_argument("--bed", required=True, help="label of the bed")
    trends.add_argument("--signal", default="ecg", help="ecg, lung_sound, heart_sound, eeg, ... (ecg)")
    trends.add_argument("--step", type=int, choices=[1, 60], default=60, help="seconds a row (60)")
    for name, what in (("since", "first"), ("until", "not after this")):
        trends.add_argument(f"--{name}", metavar="TIME", help=f"{what}, as 2026-11-21T08:00 (UTC)")
    trends.add_argument("--out", type=Path, metavar="FILE", help="CSV file (standard output)")
    trends.set_defaults(run=run_trends)


def run_trends(args: argparse.Namespace) -> int:
    """Write the table."""
    from inference.errors import StoreError
    from inference.store import MOST_ROWS
    from inference.store_trends import EegPoint, TrendPoint

    since_ns, until_ns = _time_ns("since", args.since), _time_ns("until", args.until)
    step_s: Literal[1, 60] = 1 if args.step == 1 else 60
    points: Sequence[TrendPoint | EegPoint]
    with open_store(args.url) as store:
        if args.signal == SignalKind.EEG:
            points = store.eeg_trend(args.bed, since_ns=since_ns, until_ns=until_ns, step_s=step_s)
        else:
            points = store.trend(args.bed, args.signal, since_ns=since_ns, until_ns=until_ns, step_s=step_s)
    if not points:
        raise StoreError(f"--bed {args.bed} --signal {args.signal}: no numbers in this span; choose another")
    if len(points) == MOST_ROWS:
        print(f"only the last {MOST_ROWS:,} rows: give --since and --until for others", file=sys.stderr)
    names = type(points[0]).__slots__
    with _opened(args.out) as file:
        table = csv.writer(file)
        table.writerow(["time_utc", *names])
        for point in points:
            at = datetime.datetime.fromtimestamp(point.time_ns / 1e9, datetime.UTC)
            table.writerow([f"{at:%Y-%m-%dT%H:%M:%SZ}", *(getattr(point, name) for name in names)])
    return 0


def _opened(path: Path | None) -> contextlib.AbstractContextManager[TextIO]:
    from inference.errors import StoreError

    if path is None:
        return contextlib.nullcontext(sys.stdout)
    try:
        return path.open("w", newline="", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"--out {path}: {error.strerror}; name a file that can be written") from error


def _time_ns(name: str, text: str | None) -> int | None:
    from inference.errors import StoreError

    if text is None:
        return None
    try:
        at = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise StoreError(f"--{name} {text}: no time; write it as 2026-11-21T08:00") from error
    if at.tzinfo is None:
        at = at.replace(tzinfo=datetime.UTC)
    return round(at.timestamp() * 1e9)
