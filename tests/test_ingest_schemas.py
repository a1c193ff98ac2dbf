"""The published schemas are those of the types, and hold for records of these types."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest

from inference import schemas, types

FOLDER = Path(__file__).resolve().parent.parent / "ingest" / "schemas"

BEAT = types.Beat(time_ns=1, label="N", probability=0.9)
RECORDS: dict[str, msgspec.Struct] = {
    "predictions-1.json": types.PredictionBatch(
        [types.Prediction("i", "bed", "ecg", "m", "II", 1, 2, {"vf": 0.1}, [BEAT], 1.0, 3, 0)]
    ),
    "vitals-1.json": types.VitalBatch([types.Vital("i", "bed", "ecg", 1, None, 2.0, 1.0, True, 3, 0)]),
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
    "dead_letter-1.json": types.DeadLetter("malformed", "d", "t", 0, 1, 2, None, {"a": "b"}, "AA=="),
}


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
    assert record["schema"] == name.removesuffix(".json").replace("-", "/")
    for field in record:
        broken = {key: item for key, item in record.items() if key != field}
        with pytest.raises(jsonschema.ValidationError, match=field):
            jsonschema.validate(broken, schema)


def test_every_schema_file_is_known() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {*schemas.OUTPUTS, "chunk-1.avsc"}


def test_schemas_are_written_anywhere(tmp_path: Path) -> None:
    assert [path.name for path in schemas.write(tmp_path / "new")] == list(schemas.OUTPUTS)
