"""Commands as records: only what a holder of the key sent now, unchanged, for this bed, is believed."""

from __future__ import annotations

import json
import math
import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import wardwave
from inference import commands, desk
from inference.commands import (
    HEADER,
    Acknowledge,
    Action,
    Admit,
    Command,
    Discharge,
    PauseAudio,
    ResumeAudio,
    SetAlarm,
    SetProfile,
    Standby,
    Transfer,
)
from inference.errors import BadCommand
from ingest.errors import SettingsError
from ingest.settings import CommandSettings, load_settings
from ingest.types import NS_PER_S

DOC = Path(__file__).resolve().parent.parent / "docs" / "commands.md"
KEY = "k" * 32
OTHER_KEY = "o" * 32
SETTINGS = CommandSettings(key=KEY)
NOW_MS = 1_790_000_000_000
OF_WORKERS = {"transfer_from", "admitted_there_ns", "admitted_ns"}
"""Fields of commands that follow from a transfer."""

ACTIONS: list[Action] = [
    Acknowledge(["bed-01:ecg:vf:1"]),
    PauseAudio(60.0),
    ResumeAudio(),
    Admit("neonatal", "nicu", "stay-7", {"ecg/hr_high": {"limit": 210.0}}),
    Discharge(),
    Transfer("bed-02"),
    Standby(True),
    SetProfile("paediatric"),
    SetAlarm("ecg/hr_high", {"limit": 130.0, "enabled": True, "priority": "high", "on_delay_s": None}),
]


@dataclass(frozen=True)
class Record:
    """What Kafka gives."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp: int = NOW_MS


def command(action: Action = ACTIONS[0], **changes: object) -> Command:
    plain = Command("id-1", "nurse", NOW_MS * 1_000_000, "bed-01", None, action)
    return msgspec.structs.replace(plain, **changes)


def record(given: Command, settings: CommandSettings = SETTINGS) -> Record:
    value = commands.encode(given)
    return Record(given.key, value, ((HEADER, commands.sign(given.key, value, settings)),))


def believe(given: Record, settings: CommandSettings = SETTINGS) -> Command:
    """Read a record as the worker does."""
    found = commands.decode(given)
    commands.check_signature(given, found, settings)
    return found


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: type(action).__name__)
def test_every_command_arrives_as_it_was_sent(action: Action) -> None:
    sent = commands.new_command("nurse", action, bed="bed-01", issued_ns=NOW_MS * 1_000_000)
    assert believe(record(sent)) == sent


def test_two_commands_never_share_an_id() -> None:
    assert len({commands.new_command("nurse", Discharge(), bed="bed-01").id for _ in range(100)}) == 100


def test_the_signature_is_the_documented_one() -> None:
    # printf 'wardwave.command.1\nbed-01\n{}' | openssl dgst -sha256 -hmac kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk
    assert commands.sign(b"bed-01", b"{}", SETTINGS) == (
        b"0e0a8d59042d8e07ec732bda4208e9a0e28ecaedda185033767e8066452dd0cd"
    )


@given(st.data())
def test_any_changed_byte_is_refused(data: st.DataObject) -> None:
    genuine = record(command(data.draw(st.sampled_from(ACTIONS))))
    where = data.draw(st.sampled_from(["key", "value", "signature"]))
    held = {"key": genuine.key, "value": genuine.value, "signature": genuine.headers[0][1]}
    old = held[where] or b""
    at = data.draw(st.integers(0, len(old) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda one: one != old[at]))
    held[where] = old[:at] + bytes([byte]) + old[at + 1 :]
    with pytest.raises(BadCommand):
        believe(Record(held["key"], held["value"], ((HEADER, held["signature"]),)))


@given(st.binary(max_size=200), st.binary(max_size=20), st.binary(max_size=70))
def test_any_bytes_are_refused_and_nothing_else_happens(value: bytes, key: bytes, signature: bytes) -> None:
    with pytest.raises(BadCommand):
        believe(Record(key, value, ((HEADER, signature),)))


@pytest.mark.parametrize(
    "headers", [(), ((HEADER, None),), ((HEADER, b""),), ((HEADER, b"0" * 64),), (("Signature", b"0" * 64),)]
)
def test_a_command_without_a_true_signature_is_refused(
    headers: tuple[tuple[str, bytes | None], ...],
) -> None:
    with pytest.raises(BadCommand, match="signature: missing or not made with WARDWAVE_COMMANDS__KEY"):
        believe(replace(record(command()), headers=headers))


def test_a_signature_of_another_key_or_for_another_bed_is_refused() -> None:
    with pytest.raises(BadCommand, match="signature"):
        believe(record(command(), CommandSettings(key=OTHER_KEY)))
    mine, other = record(command()), record(command(bed="bed-02"))
    with pytest.raises(BadCommand, match="signature"):
        believe(replace(other, headers=mine.headers))
    with pytest.raises(BadCommand, match="key='bed-02': use the command's bed or ward"):
        believe(replace(mine, key=b"bed-02"))


def test_a_key_is_exchanged_without_a_gap() -> None:
    by_old = record(command(), SETTINGS)
    new = CommandSettings(key=OTHER_KEY, old_key=KEY)
    assert believe(by_old, new) == believe(record(command(), new), new)
    with pytest.raises(BadCommand, match="signature"):
        believe(by_old, CommandSettings(key=OTHER_KEY))


def test_without_a_key_nothing_is_signed_and_nothing_believed() -> None:
    with pytest.raises(BadCommand, match="WARDWAVE_COMMANDS__KEY is not set"):
        record(command(), CommandSettings())
    # The old key alone is no key: it was left behind.
    for settings in (CommandSettings(), CommandSettings(old_key=KEY)):
        with pytest.raises(BadCommand, match="this worker has no WARDWAVE_COMMANDS__KEY"):
            believe(record(command()), settings)


def test_a_command_may_not_be_older_than_workers_remember() -> None:
    with pytest.raises(ValidationError, match="max_age_s"):
        CommandSettings(max_age_s=1_801)
    assert desk.REMEMBER_MS >= 2 * 1_800_000


def test_a_short_key_is_refused_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDWAVE_COMMANDS__KEY", "hunter2")
    with pytest.raises(SettingsError, match="32 characters or more: openssl rand -hex 32") as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)
    monkeypatch.setenv("WARDWAVE_COMMANDS__KEY", KEY)
    assert KEY not in repr(load_settings())


@pytest.mark.parametrize(
    ("age_s", "believed"), [(0, True), (299, True), (301, False), (-59, True), (-61, False)]
)
def test_what_lay_about_or_comes_from_the_future_is_refused(age_s: int, believed: bool) -> None:
    sent = command(issued_ns=NOW_MS * 1_000_000 - age_s * NS_PER_S)
    if believed:
        assert believe(record(sent)) == sent
    else:
        with pytest.raises(
            BadCommand, match=rf"issued_ns=.*: {age_s} s before the broker got it; .*-60 to 300"
        ):
            believe(record(sent))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (command(user=""), "user=''"),
        (command(user=" nurse"), "user=' nurse'"),
        (command(user="n" * 65), "user='nnn"),
        (command(bed="bed\n01"), r"bed='bed\\n01'"),
        (command(id=""), "id=''"),
        (command(id="x" * 65), "id='xxx"),
        (command(issued_ns=0), "issued_ns=0: nanoseconds since"),
        (command(issued_ns=10**400), "issued_ns=1000"),
        (command(bed=None), "bed=None, ward=None: name one"),
        (command(ward="icu"), "bed='bed-01', ward='icu': name one"),
        (command(bed=None, ward="icu"), "ward='icu': acknowledge is for one bed"),
        (command(Acknowledge([])), "alarms: 0 ids; give 1 to 1000"),
        (command(Acknowledge(["x"] * 1001)), "alarms: 1001 ids"),
        (command(PauseAudio(5.0)), "seconds=5: between 10 and 600"),
        (command(PauseAudio(601.0)), "seconds=601: between 10 and 600"),
        (command(Transfer("")), "to_bed=''"),
        (command(Admit(ward=" ")), "ward=' '"),
        (command(Admit(stay="s" * 65)), "stay='sss"),
        (command(SetProfile("")), "profile=''"),
        (command(SetAlarm("a" * 65, {"limit": 1.0})), "alarm='aaa"),
        (command(Acknowledge(["x", "y" * 301])), "alarms: 'yyy.*an id has at most 300 characters"),
        (command(SetAlarm("ecg/vt", {"v" * 129: 1.0})), "ecg/vt: vvv.*=1.0: at most 128 characters"),
        (command(SetAlarm("ecg/vt", {"beats": "v" * 129})), "ecg/vt: beats=vvv.*: at most 128 characters"),
        (
            command(SetAlarm("ecg/vt", {f"v{n}": 1.0 for n in range(21)})),
            "21 values; give at most 20",
        ),
        (command(Admit(settings={"k" * 129: {}})), "settings: 'kkk.*at most 128 characters"),
        (
            command(Admit(settings={f"k{n}": {} for n in range(201)})),
            "201 alarms; give at most 200",
        ),
        (command(Admit(settings={"ecg/vt": {"beats": "v" * 129}})), "ecg/vt: beats=vvv.*: at most 128"),
        (command(Admit(transfer_from="b" * 65)), "transfer_from='bbb"),
        (command(Admit(admitted_there_ns=2**63)), "admitted_there_ns=9223372036854775808: nanoseconds"),
        (command(Discharge(-1)), "admitted_ns=-1: nanoseconds since"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_field_is_named_with_its_value(wrong: Command, said: str) -> None:
    with pytest.raises(BadCommand, match=said):
        commands.check(wrong)
    # The worker refuses it just so: a dashboard may be older than the rule.
    with pytest.raises(BadCommand, match=said):
        commands.decode(record(wrong))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_has_not_is_never_sent(value: float) -> None:
    for action in (SetAlarm("ecg/vt", {"beats": value}), Admit(settings={"ecg/vt": {"beats": value}})):
        with pytest.raises(BadCommand, match=r"ecg/vt: beats=.*: a finite number; null unsets"):
            commands.check(command(action))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": "command/2"}, "command/2"),
        ({"issued_ns": "now"}, "issued_ns"),
        ({"user": None}, "user"),
        ({"action": {"type": "explode"}}, "explode"),
        ({"action": {"type": "pause_audio", "seconds": "long"}}, "seconds"),
        ({"action": {"type": "set_alarm", "alarm": "ecg/hr_high"}}, "values"),
    ],
)
def test_what_is_no_command_is_named(change: dict[str, object], said: str) -> None:
    value = json.dumps({**json.loads(commands.encode(command())), **change}).encode()
    with pytest.raises(BadCommand, match=f"no command/1: .*{said}"):
        commands.decode(Record(b"bed-01", value))


@pytest.mark.parametrize("value", [None, b"", b"[]", b'{"schema":"\xff"}', b'{"x":' + b"[" * 100_000])
def test_what_is_not_even_json_is_refused(value: bytes | None) -> None:
    with pytest.raises(BadCommand, match="no command/1"):
        commands.decode(Record(b"bed-01", value))


def test_a_field_that_is_not_known_yet_is_no_error() -> None:
    value = json.dumps({**json.loads(commands.encode(command())), "reason": "false alarm"}).encode()
    assert commands.decode(Record(b"bed-01", value)) == command()


def test_a_ward_is_told_only_what_fits_all_its_beds() -> None:
    for action in ACTIONS:
        fits = isinstance(action, PauseAudio | ResumeAudio | SetAlarm)
        told = command(action, bed=None, ward="icu")
        if fits:
            assert believe(record(told)) == told
        else:
            with pytest.raises(BadCommand, match="is for one bed"):
                commands.check(told)


def test_the_document_shows_what_is_accepted() -> None:
    text = DOC.read_text(encoding="utf-8")
    (example,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    shown = commands.decode(Record(b"bed-03", example.encode()))
    assert shown.action == SetAlarm("ecg/hr_high", {"limit": 130.0})
    rows = re.findall(r"^\| `([a-z_]+)` \|(.*)\| yes \| (yes )?\|$", text, re.MULTILINE)
    assert {name for name, _, _ in rows} == {command(action).name for action in ACTIONS}
    for action in ACTIONS:
        ((fields, of_ward),) = [row[1:] for row in rows if row[0] == command(action).name]
        assert bool(of_ward) == isinstance(action, commands.WARD_ACTIONS)
        told = {one.name for one in msgspec.structs.fields(type(action))} - OF_WORKERS
        assert all(f"`{name}`" in fields for name in told)


def test_the_document_s_shell_lines_are_understood() -> None:
    shell = re.findall(r"```sh\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)[0]
    lines = [
        shlex.split(line, comments=True)[1:] for line in shell.splitlines() if line.startswith("wardwave")
    ]
    parser = wardwave.build_parser(["inference.command_cli", "inference.alarms_cli"])
    told = {parser.parse_args(words).action for words in lines if words[0] == "command"}
    assert told == {
        "acknowledge", "pause", "resume", "admit", "discharge", "transfer", "standby", "profile", "set"
    }  # fmt: skip
