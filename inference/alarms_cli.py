"""``wardwave alarms``: what stands, what can be raised, how beds are set."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.types import Alarm, Bed, Setting


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "alarms", help="list alarms that stand, the catalogue, a bed's settings; check a site's file"
    )
    parts = parser.add_subparsers(dest="part", required=True, metavar="WHAT")
    standing = parts.add_parser("list", help="alarms that stand now (begun in the last 12 h)")
    standing.add_argument("--bed")
    standing.set_defaults(run=run_list)
    catalogue = parts.add_parser("catalogue", help="every alarm that can be raised, with its defaults")
    catalogue.add_argument("--markdown", action="store_true", help="as the table of docs/alarms.md")
    catalogue.set_defaults(run=run_catalogue)
    settings = parts.add_parser("settings", help="how a bed is set, as its worker says")
    settings.add_argument("--bed", required=True)
    settings.set_defaults(run=run_settings)
    check = parts.add_parser("check", help="check a site's file before it is used (WARDWAVE_ALARMS_FILE)")
    check.add_argument("file", type=Path, metavar="SITE.toml")
    check.set_defaults(run=run_check)


def run_list(args: argparse.Namespace) -> int:
    """Print the alarms that stand, each with its id, as ``wardwave command`` takes it."""
    from inference import standing
    from ingest.settings import load_settings

    alarms = standing.read(load_settings(), args.bed)
    for alarm in alarms:
        print(line(alarm))
        print(f"    {alarm.id}")
    if not alarms:
        print(f"no alarm stands{f' at {args.bed}' if args.bed else ''}")
    return 0


def line(alarm: Alarm) -> str:
    """An alarm that stands, in words."""
    from ingest.types import NS_PER_S

    words = [f"{alarm.bed:<12} {alarm.message}", f"since {_clock(alarm.onset_ns // NS_PER_S)}", alarm.state]
    if alarm.acknowledged_by is not None:
        words[-1] += f" by {alarm.acknowledged_by}"
    if alarm.ended_ns is not None:
        words.append(f"over since {_clock(alarm.ended_ns // NS_PER_S)}")
    if alarm.audio_paused_until_ns is not None and alarm.audio_paused_until_ns > time.time_ns():
        words.append(f"sound paused until {_clock(alarm.audio_paused_until_ns // NS_PER_S)}")
    if alarm.escalated_ns is not None:
        words.append("escalated")
    return ", ".join(words)


def _clock(seconds: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def run_catalogue(args: argparse.Namespace) -> int:
    """Print the catalogue."""
    from inference import catalog_table
    from inference.catalog import load_catalogue

    catalogue = load_catalogue()
    print(catalog_table.markdown(catalogue) if args.markdown else catalog_table.plain(catalogue))
    return 0


def run_settings(args: argparse.Namespace) -> int:
    """Print how a bed is set."""
    from inference import standing
    from ingest.settings import load_settings

    beds = standing.read_beds(load_settings(), args.bed)
    if not beds:
        print(f"no worker has said anything of {args.bed} in the last {standing.BEDS_S / 60:g} min")
        return 2
    _print_bed(beds[0])
    return 0


def _print_bed(bed: Bed) -> None:
    from ingest.types import NS_PER_S

    admitted = "no patient admitted"
    if bed.admitted:
        since = f" since {_clock(bed.admitted_ns // NS_PER_S)}" if bed.admitted_ns is not None else ""
        admitted = f"admitted{since}" + (f", stay {bed.stay}" if bed.stay else "")
    print(f"{bed.bed}: ward {bed.ward}, profile {bed.profile}, {admitted}")
    if bed.standby:
        print(f'standby by {bed.standby_by}: "no data" is silent')
    if bed.audio_paused_until_ns is not None and bed.audio_paused_until_ns > time.time_ns():
        until = _clock(bed.audio_paused_until_ns // NS_PER_S)
        print(f"sound paused until {until} by {bed.audio_paused_by}, up to {bed.audio_paused_up_to} priority")
    _print_settings(bed.settings)


def _print_settings(settings: Sequence[Setting]) -> None:
    for one in settings:
        limit = "" if one.limit is None else f"{one.limit:g} {one.unit or ''}".strip()
        bounds = "" if one.least is None or one.most is None else f"({one.least:g} to {one.most:g})"
        state = one.priority if one.enabled else "off"
        name = f"{one.signal}/{one.kind}"
        print(f"  {name:<28} {state:<10} {limit:<12} {bounds:<16} delay {one.on_delay_s:g} s  {one.source}")


def run_check(args: argparse.Namespace) -> int:
    """Check a site's file; what is wrong is raised with file, field, value and bounds."""
    from inference.catalog import load_catalogue
    from inference.site import load_site

    site = load_site(args.file, load_catalogue())
    n_set = len(site.alarms) + sum(len(ward.alarms) for ward in site.wards.values())
    print(f"{args.file}: valid, {len(site.wards)} wards, {n_set} alarms set")
    for name, ward in site.wards.items():
        print(f"  {name}: beds {', '.join(ward.beds) or 'none'}, profile {ward.profile or 'adult'}")
    return 0
