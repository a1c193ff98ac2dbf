"""The published schemas are those of the types, and hold for records of these types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import jsonschema
import msgspec
import pytest

from inference import commands, schemas, types
from inference.commands import Command, SetAlarm

FOLDER = Path(__file__).resolve().parent.parent / "ingest" / "schemas"

BEAT = types.Beat(time_ns=1, label="N", probability=0.9)
RECORDS: dict[str, msgspec.Struct] = {
    "predictions-1.json": types.PredictionBatch(
        [types.Prediction("i", "bed", "ecg", "m", "II", 1, 2, {"vf": 0.1}, [BEAT], 1.0, 3, 0)]
    ),
    "vitals-1.json": types.VitalBatch(
        [
            types.Vital("i", "bed", "ecg", 1, None, 2.0, 1.0, True, 3, 0),
            types.Vital("i", "bed", "lung_sound", 1, None, None, 1.0, True, 3, 0, 12.5, {"crackle": True}),
        ]
    ),
    "alarm-1.json": types.Alarm(
        id="i",
        bed="bed",
        signal="ecg",
        kind="asystole",
        priority=types.Priority.HIGH,
        state=types.AlarmState.ACTIVE,
        message="Asystole",
        onset_ns=1,
        raised_ns=2,
        emitted_ns=3,
        ended_ns=None,
        value=None,
        limit=4.0,
        unit="s",
        delay=types.Delay(1.0, 2.0, 3.0),
        raw_offset=5,
        revision=6,
    ),
    "audit-1.json": types.Audit(
        id="i",
        partition=3,
        bed="bed",
        ward=None,
        user="nurse",
        action="set_alarm",
        issued_ns=1,
        applied_ns=2,
        outcome=types.CommandOutcome.APPLIED,
        detail="",
        changes=[types.AuditChange("ecg/hr_high limit", "120", None)],
    ),
    "bed-1.json": types.Bed(
        bed="bed",
        ward="icu",
        stay=None,
        admitted=True,
        admitted_ns=1,
        profile="adult",
        standby=False,
        standby_by=None,
        audio_paused_until_ns=2,
        audio_paused_by="nurse",
        audio_paused_up_to=types.Priority.MEDIUM,
        settings=[
            types.Setting(
                "ecg", "hr_high", True, types.Priority.LOW, 130.0, "/min", 40.0, 300.0, 3.0, 3.0, "bed"
            )
        ],
        revision=1,
        emitted_ns=3,
    ),
    "device_alarm-1.json": types.DeviceAlarm(1, "i", "bed", "monitor-7", "asystole", 1),
    "verdict-1.json": types.Verdict(
        "i", "bed", "monitor-7", "asystole", 1, False, 0.1, 0.5, ["a pulse goes on"], "", "m", 2
    ),
    "command-1.json": Command("i", "nurse", 1, "bed", None, SetAlarm("ecg/hr_high", {"limit": 130.0})),
    "worker_status-1.json": types.WorkerStatus(
        member="infer@host:1:ab",
        role="infer",
        state="running",
        host="host",
        pid=1,
        started_ns=1,
        emitted_ns=2,
        version="0.1.0",
        code_commit="unknown",
        libraries={"numpy": "2"},
        group="wardwave",
        partitions=[0, 1],
        n_partitions=4,
        beds=1,
        lag=[types.Lag(0, 3, None)],
        rates={"chunks_in": 1.0},
        latencies={"receipt_to_poll": types.Latency(1.0, 2.0, 3)},
        counts={"chunks_in": 1},
        dead_letters={"malformed": 1},
        clocks=[types.ClockAhead("bed", "ecg", -0.1)],
        models=[types.LoadedModel("m", "ab")],
        device="cpu",
        rss_bytes=1,
        cpu_share=0.1,
        oldest=[types.DataAge("bed", "ecg", 2.5)],
        threads=3,
    ),
    "dead_letter-1.json": types.DeadLetter("malformed", "d", "t", 0, 1, 2, None, {"a": "b"}, "AA=="),
}

OF_DEVICES = {"device_alarm-1.json"}
"""Records with a number for their version instead of the name of a schema."""


@pytest.mark.parametrize("name", list(schemas.OUTPUTS))
def test_the_file_is_up_to_date(name: str) -> None:
    written = (FOLDER / name).read_text(encoding="utf-8")
    assert written == schemas.render(name), "run `wardwave schemas` and commit what it writes"


@pytest.mark.parametrize("name", list(schemas.OUTPUTS))
def test_records_hold_to_their_schema(name: str) -> None:
    schema = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    record = json.loads(msgspec.json.encode(RECORDS[name]))
    jsonschema.validate(record, schema)
    if name in OF_DEVICES:
        assert record["version"] == 1
    else:
        assert record["schema"] == name.removesuffix(".json").replace("-", "/")
    defaulted = {field.name for field in msgspec.structs.fields(schemas.OUTPUTS[name]) if not field.required}
    for field in set(record) - defaulted:
        broken = {key: item for key, item in record.items() if key != field}
        with pytest.raises(jsonschema.ValidationError, match=field):
            jsonschema.validate(broken, schema)


ACTIONS = (
    commands.Acknowledge(["i"]),
    commands.PauseAudio(),
    commands.ResumeAudio(),
    commands.Admit(stay="s", settings={"ecg/hr_high": {"limit": 130.0, "enabled": True}}),
    commands.Discharge(),
    commands.Transfer("bed-02"),
    commands.Standby(True),
    commands.SetProfile("neonatal"),
    commands.SetAlarm("ecg/hr_high", {"limit": 130.0, "priority": "low", "beats": None}),
)


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: type(action).__name__)
def test_every_command_holds_to_the_schema(action: commands.Action) -> None:
    schema = json.loads((FOLDER / "command-1.json").read_text(encoding="utf-8"))
    record = json.loads(commands.encode(Command("i", "nurse", 1, "bed", None, action)))
    jsonschema.validate(record, schema)
    record["action"]["type"] = "explode"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(record, schema)


def test_no_action_is_left_out() -> None:
    assert {type(action) for action in ACTIONS} == set(get_args(commands.Action))


def test_every_schema_file_is_known() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {*schemas.OUTPUTS, "chunk-1.avsc"}


def test_schemas_are_written_anywhere(tmp_path: Path) -> None:
    assert [path.name for path in schemas.write(tmp_path / "new")] == list(schemas.OUTPUTS)
