"""``wardwave doctor``: what is right and what is not, in plain lines.

Here is what is looked at beside the broker, and how what the processes say is judged: by the same words as on
the System page (:mod:`dashboard.trust`). :mod:`dashboard.doctor_broker` asks the broker.
"""

from __future__ import annotations

import ipaddress
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from sqlalchemy import make_url

from dashboard import model_cards, trust
from dashboard.model_cards import Card
from dashboard.system_state import SystemSnapshot
from dashboard.trust import Broker, Level, many
from inference.errors import StoreError
from inference.recorder_settings import RecorderSettings
from inference.status import INFER, JUDGE, OLD_S, RECORD
from inference.store import Store
from inference.types import DataAge
from ingest import tls
from ingest.settings import Settings

SKEW_S: Final = 2.0
"""Clocks further apart make latencies and alarms of clocks wrong."""
LEAST_ROOM: Final = 10**9
NO_ROOM: Final = 200 * 10**6
PATIENCE_S: Final = 5.0
MOST: Final = 8
"""So many are named, the rest is counted."""


class Grade(StrEnum):
    """How a finding is meant."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it is, and in words why and what to do."""

    what: str
    grade: Grade
    line: str


def ok(what: str, line: str) -> Finding:
    """It is as it should be."""
    return Finding(what, Grade.OK, line)


def warning(what: str, line: str) -> Finding:
    """Somebody should know; monitoring goes on."""
    return Finding(what, Grade.WARNING, line)


def wrong(what: str, line: str) -> Finding:
    """Something must be done."""
    return Finding(what, Grade.WRONG, line)


def processes(snapshot: SystemSnapshot) -> Iterator[Finding]:
    """Who runs, and whether they can be trusted: the System page's verdict."""
    verdict, gone = trust.judge(snapshot, Broker(connected=True)), trust.gone(snapshot)
    workers = trust.live(snapshot, INFER)
    if verdict.level is Level.NO_WORKER:
        yield wrong(
            "workers", f"NO WORKER runs: no bed is watched; start one: wardwave infer ({_heard(snapshot)})"
        )
    else:
        ages = ", ".join(f"{trust.name_of(one)} spoke {one.age_s:.1f} s ago" for one in workers[:MOST])
        yield ok("workers", f"{many(len(workers), 'worker')}: {ages}")
        if verdict.level is Level.OK:
            yield ok("system", verdict.line)
        told = {trust.says_nothing(role, silent_s) for role, silent_s in gone.items()}
        for reason in verdict.reasons:
            if reason not in told:
                yield wrong("system", reason)
    for role, without in ((RECORD, "nothing is stored"), (JUDGE, "alarms of bedside devices are not judged")):
        speaking = trust.live(snapshot, role)
        word = trust.role_word(role)
        if speaking:
            yield ok(
                word,
                ", ".join(f"{trust.name_of(one)} spoke {one.age_s:.1f} s ago" for one in speaking[:MOST]),
            )
        elif role in gone:
            yield wrong(word, f"{trust.says_nothing(role, gone[role])}: {without}")
        else:
            yield warning(word, f"no {word} runs: {without}")


def _heard(snapshot: SystemSnapshot) -> str:
    if snapshot.worker_age_s is None:
        return "none has been heard"
    return f"the last one was heard {snapshot.worker_age_s:.0f} s ago"


def old_data(snapshot: SystemSnapshot) -> Finding:
    """Beds whose signals have sent nothing for long."""
    speaking = [member.status for member in trust.live(snapshot, INFER)]
    ages: list[DataAge] = [one for status in speaking for one in status.oldest]
    if not ages:
        return warning("data", "no worker tells of any bed's data")
    old = sorted((one for one in ages if one.age_s > OLD_S), key=lambda one: -one.age_s)
    if not old:
        return ok("data", f"the oldest signal's newest chunk came {max(one.age_s for one in ages):.1f} s ago")
    # A worker names its worst only, but counts them all.
    n_old = max(len(old), sum(status.n_silent for status in speaking))
    named = ", ".join(_age(one) for one in old[:MOST])
    more = f" and {n_old - MOST} more" if n_old > MOST else ""
    return warning("data", f"{many(n_old, 'signal')} sent nothing for over {OLD_S:g} s: {named}{more}")


def _age(one: DataAge) -> str:
    """``bed-03 ecg 12 s``, or ``at least 12 s`` where another worker read it last."""
    least = "at least " if one.at_least else ""
    return f"{one.bed[:40]} {one.signal[:20]} {least}{one.age_s:.0f} s"


def models(snapshot: SystemSnapshot) -> Iterator[Finding]:
    """Whether the shipped networks are whole, and the running ones are those."""
    found = model_cards.read_cards()
    broken = [card for card in found if not isinstance(card, Card) or not card.intact]
    for card in broken:
        name = card.spec.name if isinstance(card, Card) else card.path.name
        yield wrong("models", f"{name}: the weights are missing or not those of the card; install anew")
    for card in found:
        others = model_cards.live_in(card.spec, snapshot)[1] if isinstance(card, Card) else []
        if others and isinstance(card, Card):
            yield wrong(
                "models", f"{card.spec.name}: other weights than here run in {', '.join(others[:MOST])}"
            )
    if not broken:
        yield ok("models", f"{many(len(found), 'network')} here, all with the weights of their cards")


def store(settings: RecorderSettings) -> Finding:
    """Whether the recorder's database answers and has this version's schema."""
    try:
        with Store(settings.url.get_secret_value(), PATIENCE_S):
            return ok("database", "answers, with this version's schema")
    except StoreError as error:
        return warning("database", f"{error}")


def disk(settings: RecorderSettings) -> Iterator[Finding]:
    """Room where the recorder writes and where this process does."""
    folders = {Path.cwd()}
    url = make_url(settings.url.get_secret_value())
    if url.get_backend_name() == "sqlite" and url.database:
        folders.add(Path(url.database).resolve().parent)
    for folder in sorted(folder for folder in folders if folder.is_dir()):
        free = shutil.disk_usage(folder).free
        line = f"{free / 1e9:.1f} GB free in {folder}"
        if free < NO_ROOM:
            yield wrong("disk", f"{line}: make room")
        else:
            yield (warning if free < LEAST_ROOM else ok)("disk", line)


def secrecy(settings: Settings) -> Iterator[Finding]:
    """Whether what is sent can be read, forged or commanded by others.

    At a loopback address only who is on this machine can: no warning there, so that a demo is healthy.
    """
    kafka = settings.kafka
    away = [host for host in tls.hosts(kafka.bootstrap_servers) if not _is_loopback(host)]
    if away and kafka.security_protocol in ("PLAINTEXT", "SASL_PLAINTEXT"):
        yield warning(
            "security",
            f"{kafka.security_protocol} to {', '.join(away)}: all is sent in clear; set "
            "WARDWAVE_KAFKA__SECURITY_PROTOCOL=SASL_SSL (docs/security.md)",
        )
    if away and settings.ingest.device_keys is None:
        yield warning(
            "security", "records of devices are not signed: WARDWAVE_INGEST__DEVICE_KEYS (docs/security.md)"
        )
    if settings.commands.key is None:
        yield warning("security", "no WARDWAVE_COMMANDS__KEY here: commands can be neither sent nor checked")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in ("localhost", "")
