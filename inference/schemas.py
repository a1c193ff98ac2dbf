"""The published JSON Schemas of what Wardwave sends, made from :mod:`inference.types` and commands.

``wardwave schemas`` writes them to ``ingest/schemas``; a test compares the files with the types. A field is
never removed or given another meaning within a version; a reader must accept fields that it does not know.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import msgspec

from inference.commands import Command
from inference.types import (
    Alarm,
    Audit,
    Bed,
    DeadLetter,
    DeviceAlarm,
    PredictionBatch,
    Verdict,
    VitalBatch,
    WorkerStatus,
)

OUTPUTS: Final[dict[str, type[msgspec.Struct]]] = {
    "predictions-1.json": PredictionBatch,
    "vitals-1.json": VitalBatch,
    "alarm-1.json": Alarm,
    "dead_letter-1.json": DeadLetter,
    "audit-1.json": Audit,
    "bed-1.json": Bed,
    "device_alarm-1.json": DeviceAlarm,
    "verdict-1.json": Verdict,
    "worker_status-1.json": WorkerStatus,
    "command-1.json": Command,
}
"""File name and type of each record; a device's own alarm and a command are sent to Wardwave."""

_BASE: Final = "urn:wardwave:schema:"


def render(name: str) -> str:
    """Return the text of one schema file.

    Parameters
    ----------
    name : str
        A key of :data:`OUTPUTS`.
    """
    schema: dict[str, object] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": _BASE + name.removesuffix(".json"),
        **msgspec.json.schema(OUTPUTS[name], ref_template="#/$defs/{name}"),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write(folder: Path) -> list[Path]:
    """Write all schema files; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in OUTPUTS:
        path = folder / name
        path.write_text(render(name), encoding="utf-8")
        paths.append(path)
    return paths
