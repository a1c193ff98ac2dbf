"""``wardwave doctor``."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dashboard.doctor import Finding
    from ingest.settings import Settings

MARKS = {"ok": "ok     ", "warning": "WARNING", "wrong": "WRONG  "}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "doctor",
        help="say what is right and what is not: broker, workers, data, database, clocks, disk",
        description="Looks at everything that a ward needs and says it in plain lines. Exit status 1 if "
        "something must be done; warnings alone leave it 0. It writes nothing and belongs to no group.",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    parser.set_defaults(run=run_doctor)


def run_doctor(args: argparse.Namespace) -> int:
    """Look, print what is found as it is found, and return 1 if something must be done."""
    # What the libraries say of a broker that is away stands in a line of its own here.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    found = []
    for one in look():
        found.append(one)
        if not args.json:
            print(f"{MARKS[one.grade]}  {one.what:<9} {one.line}", flush=True)
    healthy = all(one.grade != "wrong" for one in found)
    if args.json:
        print(json.dumps({"healthy": healthy, "findings": [asdict(one) for one in found]}))
    else:
        print("healthy" if healthy else "something must be done")
    return 0 if healthy else 1


def look() -> Iterator[Finding]:
    """Look at everything; settings that cannot be read are a finding, and the rest is looked at."""
    from dashboard import doctor, doctor_settings
    from dashboard.settings import load_dashboard_settings
    from dashboard.system_state import SystemState
    from inference import recorder_settings
    from ingest.errors import SettingsError

    settings, problems = doctor_settings.load_for_broker()
    recorder, more = doctor_settings.load(recorder_settings.load_recorder_settings)
    _, others = doctor_settings.load(load_dashboard_settings)
    # A name that no setting has is wrong for each of them.
    yield from dict.fromkeys([*problems, *more, *others])
    if settings is None:
        yield doctor.wrong("workers", "not known: the broker is not asked with wrong settings")
        yield from doctor.models(SystemState().snapshot())
    else:
        try:
            yield from examine(settings)
        except SettingsError as error:
            yield doctor.wrong("settings", f"{error}")
        yield from doctor_settings.alarms(settings)
        yield from doctor.secrecy(settings)
    if recorder is not None:
        yield doctor.store(recorder)
        yield from doctor.disk(recorder)


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at broker, processes and networks; what cannot be looked at is a finding, too."""
    from kafka.errors import KafkaError

    from dashboard import doctor, doctor_broker
    from dashboard.system_state import SystemState
    from ingest.errors import BrokerError

    snapshot = SystemState().snapshot()
    try:
        yield doctor_broker.broker(settings)
        yield from doctor_broker.topics(settings)
        snapshot, clock = doctor_broker.listen(settings)
        yield from doctor.processes(snapshot)
        yield doctor.old_data(snapshot)
        yield clock
    except (BrokerError, KafkaError) as error:
        yield doctor.wrong("broker", f"{error}")
        yield doctor.wrong("workers", "not known: nothing is heard from the broker, so no bed can be watched")
    yield from doctor.models(snapshot)
