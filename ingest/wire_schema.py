"""The Avro schema of a chunk, cut into the part that stays and the part that changes."""

from __future__ import annotations

import importlib.resources
import json
from typing import Final

import fastavro

AVRO: Final = "application/avro"
JSON: Final = "application/json"
SCHEMA_VERSION: Final = 1
DEFAULT_MAX_RECORD_BYTES: Final = 1_000_000
DEFAULT_GAIN: Final = {"mV": 1_000.0, "uV": 20.0, "V": 1e6, "mmHg": 50.0, "kPa": 400.0, "ohm": 1_000.0}
"""Digital steps per unit for floats that come without a gain; 32767 for ``au`` and ``Pa``."""


_N_HEAD: Final = 9


def _schemas() -> tuple[fastavro.types.Schema, fastavro.types.Schema]:
    text = importlib.resources.files("ingest").joinpath("schemas/chunk-1.avsc").read_text("utf-8")
    raw = json.loads(text)
    head = {**raw, "name": "ChunkHead", "fields": raw["fields"][:_N_HEAD]}
    tail = {**raw, "name": "ChunkTail", "fields": raw["fields"][_N_HEAD:]}
    return fastavro.parse_schema(head), fastavro.parse_schema(tail)


HEAD_SCHEMA, TAIL_SCHEMA = _schemas()
