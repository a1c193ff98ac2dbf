"""What staff tell the workers: records of ``biosignals.commands``, signed by who knows the user.

A command is JSON (schema command/1). Its record's key is the bed, or for a whole ward the ward's name, and
then it is sent to every partition. The header ``signature`` holds the hexadecimal HMAC-SHA-256, with the key
that dashboards and workers share (``WARDWAVE_COMMANDS__KEY``), of ``wardwave.command.1``, a line feed, the
record's key, a line feed and the record's value. Each command is applied once and answered by an ``audit/1``
record.
"""

from __future__ import annotations

import hmac
import math
import time
import uuid
from collections.abc import Mapping
from typing import Final

import msgspec

from inference.errors import BadCommand
from ingest import signing
from ingest.settings import CommandSettings
from ingest.signing import BrokerRecord
from ingest.types import NS_PER_S

HEADER: Final = signing.SIGNATURE
MOST_IDS: Final = 1_000
MOST_LABEL: Final = 64
MOST_ID: Final = 300
"""Characters of an alarm's id."""
MOST_SETTINGS: Final = 200
MOST_VALUES: Final = 20
MOST_WORD: Final = 128
"""Characters of an alarm's name in a patient's settings, of a field and of a value."""
MOST_NS: Final = 2**63 - 1
PAUSE_S: Final = (10.0, 600.0)
"""Shortest and longest audio pause."""

Value = float | bool | str | None


class Acknowledge(msgspec.Struct, frozen=True, tag="acknowledge"):
    """Exactly these alarms have been seen."""

    alarms: list[str]


class PauseAudio(msgspec.Struct, frozen=True, tag="pause_audio"):
    """No sound for so long, but for graver new alarms."""

    seconds: float = 120.0


class ResumeAudio(msgspec.Struct, frozen=True, tag="resume_audio"):
    """End the pause."""


class Admit(msgspec.Struct, frozen=True, tag="admit"):
    """A new patient, who inherits nothing. ``stay`` is a pseudonym, never a name.

    Without a profile it is the ward's. ``transfer_from`` and ``admitted_there_ns`` are set by the worker that
    moves a patient here.
    """

    profile: str | None = None
    ward: str | None = None
    stay: str | None = None
    settings: dict[str, dict[str, Value]] = {}
    transfer_from: str | None = None
    admitted_there_ns: int | None = None


class Discharge(msgspec.Struct, frozen=True, tag="discharge"):
    """The patient has gone; all that was known of them is forgotten.

    ``admitted_ns`` is set by the worker that moved a patient away: whoever was admitted since stays.
    """

    admitted_ns: int | None = None


class Transfer(msgspec.Struct, frozen=True, tag="transfer"):
    """The patient moves to another bed with profile and settings; alarms and baselines stay behind."""

    to_bed: str


class Standby(msgspec.Struct, frozen=True, tag="standby"):
    """Silence "no data" and say so; physiological alarms stay awake."""

    on: bool


class SetProfile(msgspec.Struct, frozen=True, tag="set_profile"):
    """Other defaults: adult, paediatric, neonatal."""

    profile: str


class SetAlarm(msgspec.Struct, frozen=True, tag="set_alarm"):
    """Set one alarm ("ecg/hr_high"), or switch all of a signal ("eeg/*"). A value of null unsets a field."""

    alarm: str
    values: dict[str, Value]


Action = (
    Acknowledge | PauseAudio | ResumeAudio | Admit | Discharge | Transfer | Standby | SetProfile | SetAlarm
)
WARD_ACTIONS: Final = (PauseAudio, ResumeAudio, SetAlarm)
"""What may be told to a whole ward."""


class Command(msgspec.Struct, frozen=True, tag_field="schema", tag="command/1"):
    """Who, when, what, for which bed or ward (one of them)."""

    id: str
    user: str
    issued_ns: int
    bed: str | None
    ward: str | None
    action: Action

    @property
    def name(self) -> str:
        """What is asked for ("acknowledge")."""
        return str(type(self.action).__struct_config__.tag)

    @property
    def key(self) -> bytes:
        """The record's key."""
        return (self.bed or self.ward or "").encode()


_decoder = msgspec.json.Decoder(Command)
encode = msgspec.json.Encoder().encode


def new_command(
    user: str, action: Action, bed: str | None = None, ward: str | None = None, issued_ns: int | None = None
) -> Command:
    """Make a command with an id of its own.

    Raises
    ------
    BadCommand
        Names the field, the value and the way out.
    """
    now_ns = time.time_ns() if issued_ns is None else issued_ns
    command = Command(uuid.uuid4().hex, user, now_ns, bed, ward, action)
    check(command)
    return command


def check(command: Command) -> None:
    """Refuse what no worker could apply, whatever stands at the bed.

    Raises
    ------
    BadCommand
        Names the field, the value and the way out.
    """
    # A command that follows from another adds "/admit" or "/discharge" to its id.
    first_id = command.id.partition("/")[0]
    _check_labels({"id": first_id, "user": command.user, "bed": command.bed, "ward": command.ward})
    if not 0 < command.issued_ns <= MOST_NS:
        raise BadCommand(f"issued_ns={str(command.issued_ns)[:80]}: nanoseconds since 1970-01-01 UTC")
    if (command.bed is None) == (command.ward is None):
        raise BadCommand(f"bed={command.bed!r}, ward={command.ward!r}: name one of them")
    if command.ward is not None and not isinstance(command.action, WARD_ACTIONS):
        raise BadCommand(f"ward={command.ward!r}: {command.name} is for one bed; name the bed")
    _check_action(command.action)


def _check_action(action: Action) -> None:
    if isinstance(action, Acknowledge) and not 1 <= len(action.alarms) <= MOST_IDS:
        raise BadCommand(f"alarms: {len(action.alarms)} ids; give 1 to {MOST_IDS}")
    if isinstance(action, PauseAudio) and not PAUSE_S[0] <= action.seconds <= PAUSE_S[1]:
        raise BadCommand(f"seconds={action.seconds:g}: between {PAUSE_S[0]:g} and {PAUSE_S[1]:g}")
    if isinstance(action, Acknowledge) and max(map(len, action.alarms)) > MOST_ID:
        longest = max(action.alarms, key=len)
        raise BadCommand(f"alarms: {longest[:80]!r}...: an id has at most {MOST_ID} characters")
    if isinstance(action, SetAlarm):
        _check_values(action.alarm, action.values)
    if isinstance(action, Admit):
        _check_settings(action.settings)
    for name in ("admitted_ns", "admitted_there_ns"):
        time_ns = getattr(action, name, None)
        if time_ns is not None and not 0 < time_ns <= MOST_NS:
            raise BadCommand(f"{name}={str(time_ns)[:80]}: nanoseconds since 1970-01-01 UTC")
    names = ("to_bed", "ward", "stay", "profile", "alarm", "transfer_from")
    _check_labels({name: getattr(action, name, None) for name in names})


def _check_settings(settings: Mapping[str, Mapping[str, Value]]) -> None:
    if len(settings) > MOST_SETTINGS:
        raise BadCommand(f"settings: {len(settings)} alarms; give at most {MOST_SETTINGS}")
    for key, values in settings.items():
        if len(key) > MOST_WORD:
            raise BadCommand(f"settings: {key[:80]!r}...: an alarm's name has at most {MOST_WORD} characters")
        _check_values(key, values)


def _check_values(alarm: str, values: Mapping[str, Value]) -> None:
    if len(values) > MOST_VALUES:
        raise BadCommand(f"{alarm[:80]}: {len(values)} values; give at most {MOST_VALUES}")
    for name, value in values.items():
        shown = f"{alarm[:80]}: {name[:80]}={str(value)[:80]}"
        if len(name) > MOST_WORD or (isinstance(value, str) and len(value) > MOST_WORD):
            raise BadCommand(f"{shown}: at most {MOST_WORD} characters")
        # JSON has no such number: it would be sent as null, which unsets the field.
        if isinstance(value, float) and not math.isfinite(value):
            raise BadCommand(f"{shown}: a finite number; null unsets")


def _check_labels(labels: Mapping[str, str | None]) -> None:
    for name, value in labels.items():
        if value is not None and not _is_label(value):
            raise BadCommand(
                f"{name}={value[:80]!r}: 1 to {MOST_LABEL} printable characters, no blank at the ends"
            )


def _is_label(value: str) -> bool:
    return 0 < len(value) <= MOST_LABEL and value.isprintable() and value == value.strip()


def sign(key: bytes, value: bytes, settings: CommandSettings) -> bytes:
    """Signature of a record, for the header.

    Raises
    ------
    BadCommand
        No key is set.
    """
    if settings.key is None:
        raise BadCommand(
            "WARDWAVE_COMMANDS__KEY is not set: commands cannot be signed (openssl rand -hex 32)"
        )
    return _mac(settings.key.get_secret_value(), key, value)


def _mac(secret: str, key: bytes, value: bytes) -> bytes:
    return signing.mac(secret.encode(), signing.COMMAND, key, value)


def is_signed(record: BrokerRecord, settings: CommandSettings) -> bool:
    """Whether a record's signature is that of the key, or of the old one while a new one is brought in."""
    given = next((value for name, value in record.headers if name == HEADER), None) or b""
    secrets = [one.get_secret_value() for one in (settings.key, settings.old_key) if one is not None]
    macs = [_mac(secret, record.key or b"", record.value or b"") for secret in secrets]
    return any([hmac.compare_digest(mac, given) for mac in macs])


def decode(record: BrokerRecord) -> Command:
    """Read a command; whether it is signed is another matter.

    Raises
    ------
    BadCommand
        It is no command of this version, or its key is neither its bed nor its ward.
    """
    try:
        command = _decoder.decode(record.value or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        # The latter two: a tag that is no UTF-8, lists within lists.
        raise BadCommand(f"no command/1: {error}") from error
    if record.key != command.key:
        shown = (record.key or b"").decode(errors="replace")[:80]
        raise BadCommand(f"key={shown!r}: use the command's bed or ward as the record's key")
    check(command)
    return command


def check_signature(record: BrokerRecord, command: Command, settings: CommandSettings) -> None:
    """Refuse a command that nobody trustworthy sent, or that lay about for too long before it was sent.

    Raises
    ------
    BadCommand
        Says which of the two, and the way out.
    """
    if settings.key is None:
        raise BadCommand("signature: this worker has no WARDWAVE_COMMANDS__KEY; set the dashboard's on it")
    if not is_signed(record, settings):
        raise BadCommand("signature: missing or not made with WARDWAVE_COMMANDS__KEY of this worker")
    age_s = record.timestamp / 1e3 - command.issued_ns / NS_PER_S
    if not -settings.max_future_s <= age_s <= settings.max_age_s:
        raise BadCommand(
            f"issued_ns={command.issued_ns}: {age_s:.0f} s before the broker got it; allowed are "
            f"-{settings.max_future_s:g} to {settings.max_age_s:g} s: set the sender's clock, send it again"
        )
