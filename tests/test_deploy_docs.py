"""What the documents tell an integrator to send is accepted as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ingest import wire
from ingest.types import DEAD_LETTER_REASONS, UNIT_SCALES, Chunk
from ingest.wire_fields import Layout, Moment

TEXT = (Path(__file__).resolve().parent.parent / "docs" / "wire-format.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    assert found is not None
    return found.group(1)


def check_example(chunk: Chunk) -> None:
    assert (chunk.bed, chunk.device, chunk.kind, chunk.channels) == (
        "bed-01",
        "monitor-7",
        "ecg",
        ("II", "V1"),
    )
    assert (chunk.fs_hz, chunk.start_ns, chunk.seq) == (250.0, 1_790_000_000_000_000_000, 0)
    np.testing.assert_allclose(chunk.samples, [[0.025, -0.015], [0.03, np.nan]], rtol=1e-6, equal_nan=True)


def test_the_bytes_in_the_document_are_a_chunk() -> None:
    value = bytes.fromhex(block("hex"))
    assert len(value) == 84
    check_example(wire.decode(value, wire.AVRO))


def test_the_json_in_the_document_is_the_same_chunk() -> None:
    check_example(wire.decode(block("json").encode(), None))


def test_the_calls_in_the_c_example_follow_the_schema() -> None:
    """Each field of the schema has its line, in order."""
    code = block("c")
    names = ["version", "bed", "device", "kind", "channels", "unit", "fs_hz", "gain", "baseline"]
    names += ["start_ns", "seq", "samples", "lead_off", "pacer_ns", "status", "battery"]
    body = code[code.index("{") :]
    places = [re.search(rf"\b{name}\b", body) for name in names]
    assert all(places)
    assert [place.start() for place in places if place] == sorted(place.start() for place in places if place)


def test_every_field_reason_and_unit_is_in_the_document() -> None:
    for name in ("version", "samples", *Layout.model_fields, *Moment.model_fields):
        assert f"| `{name}` |" in TEXT
    rows = re.findall(r"^\| `([a-z_]+)` \| .* \| .* \|$", TEXT.split("## What is refused")[1], re.MULTILINE)
    assert tuple(rows[: len(DEAD_LETTER_REASONS)]) == DEAD_LETTER_REASONS
    for units in UNIT_SCALES.values():
        assert all(f"`{unit}`" in TEXT for unit in units)
