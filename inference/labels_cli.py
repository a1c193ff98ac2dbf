"""``wardwave labels``: what reviewers said of alarms."""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path

from inference.recorder_cli import add_url, open_store


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``labels``."""
    labels = subparsers.add_parser(
        "labels",
        help="list and export what reviewers said of alarms",
        description="Labels that reviewers gave alarms at the dashboard: true, false or unclear.",
    )
    actions = labels.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list labelled alarms, the newest first")
    add_url(listing)
    listing.add_argument("--limit", type=int, default=50, help="how many at most (50)")
    listing.set_defaults(run=run_list)
    export = actions.add_parser("export", help="write labelled strips as WFDB records to train on")
    add_url(export)
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the files")
    export.set_defaults(run=run_export)


def run_list(args: argparse.Namespace) -> int:
    """Print one line an alarm."""
    from inference.store_labels import Label
    from inference.store_query import AlarmFilter

    with open_store(args.url) as store:
        for stored in store.find(AlarmFilter(labels=tuple(Label)), limit=args.limit):
            label = stored.label
            assert label is not None
            at = datetime.datetime.fromtimestamp(label.labelled_ns / 1e9, datetime.UTC)
            print(
                f"{label.label:<8} {at:%Y-%m-%d %H:%M}  {label.reviewer}  {stored.alarm.id}  {label.comment}"
            )
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Write the files and say how to train on them."""
    from inference.labels_export import export_labels

    with open_store(args.url) as store:
        done = export_labels(store, args.out)
    print(f"{args.out}: {done.n_alarms} labelled alarms, {done.n_records} records")
    if done.n_for_training:
        print(
            f"{done.n_for_training} records for training: "
            f"wardwave datasets check {args.out} --labels {args.out / 'labels.toml'}"
        )
    return 0
