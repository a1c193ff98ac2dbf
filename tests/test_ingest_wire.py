"""The wire format: what is sent comes back, and what is wrong is refused with a word that helps."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ingest import wire, wire_cache, wire_decode
from ingest.errors import BadChunk
from ingest.settings import IngestSettings
from ingest.types import DEAD_LETTER_REASONS, UNIT_SCALES, Chunk, SignalKind

START_NS = 1_700_000_000 * 10**9
BASE: dict = {
    "bed": "bed-01",
    "device": "monitor-7",
    "kind": "ecg",
    "channels": ("II", "V1"),
    "unit": "mV",
    "fs_hz": 250.0,
    "start_ns": START_NS,
    "seq": 7,
    "samples": np.arange(20, dtype=np.int16).reshape(10, 2),
    "gain": 200.0,
    "baseline": 5.0,
}

labels = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=64).filter(
    str.isprintable
)
finite_gain = st.floats(1e-3, 1e5)


@st.composite
def chunks(draw: st.DrawFn) -> dict:
    """Any chunk that a device may send, with integer samples."""
    kind = draw(st.sampled_from(list(SignalKind)))
    n_channels = draw(st.integers(1, 5))
    n_samples = draw(st.integers(1, 40))
    per_channel = draw(st.booleans())
    n_scale = n_channels if per_channel else 1
    return {
        "bed": draw(labels),
        "device": draw(labels),
        "kind": str(kind),
        "channels": tuple(draw(st.lists(labels, min_size=n_channels, max_size=n_channels, unique=True))),
        "unit": draw(st.sampled_from(list(UNIT_SCALES[kind]))),
        "fs_hz": draw(st.floats(1.0, 48_000.0)),
        "start_ns": draw(st.integers(1, 7_000_000_000_000_000_000)),
        "seq": draw(st.integers(0, 2**63 - 1)),
        "samples": draw(hnp.arrays(np.int16, (n_samples, n_channels))),
        "gain": draw(st.lists(finite_gain, min_size=n_scale, max_size=n_scale)),
        "baseline": draw(st.lists(st.integers(-30_000, 30_000), min_size=n_scale, max_size=n_scale)),
        "lead_off": draw(st.none() | st.lists(st.booleans(), min_size=n_channels, max_size=n_channels)),
        "status": draw(st.none() | labels),
        "battery": draw(st.none() | st.floats(0.0, 1.0)),
    }


@pytest.mark.parametrize("content_type", [wire.AVRO, wire.JSON])
@settings(max_examples=150, deadline=None)
@given(fields=chunks(), n_marks=st.integers(0, 4))
def test_round_trip(content_type: str, fields: dict, n_marks: int) -> None:
    fields["pacer_ns"] = [fields["start_ns"] + i for i in range(n_marks)]
    chunk = wire.decode(wire.encode(**fields, content_type=content_type), content_type)
    for name in ("bed", "device", "fs_hz", "start_ns", "seq", "status", "battery", "channels"):
        assert getattr(chunk, name) == fields[name]
    assert chunk.kind == fields["kind"]
    assert chunk.pacer_ns == tuple(fields["pacer_ns"])
    assert chunk.lead_off == (None if fields["lead_off"] is None else tuple(fields["lead_off"]))
    scale = UNIT_SCALES[chunk.kind][fields["unit"]]
    digital = fields["samples"].astype(np.float64)
    expected = (digital - np.array(fields["baseline"])) / np.array(fields["gain"]) * scale
    expected[fields["samples"] == -32768] = np.nan
    np.testing.assert_allclose(chunk.samples, expected, rtol=1e-6, equal_nan=True)
    assert chunk.samples.dtype == np.float32


@settings(max_examples=100, deadline=None)
@given(
    samples=hnp.arrays(
        np.float64, st.tuples(st.integers(1, 20), st.just(2)), elements=st.floats(-1e6, 1e6) | st.just(np.nan)
    ),
    gain=st.none() | finite_gain,
)
def test_physical_floats_come_back_within_half_a_step(samples: np.ndarray, gain: float | None) -> None:
    fields = {**BASE, "samples": samples, "gain": gain, "baseline": None}
    avro = wire.decode(wire.encode(**fields), wire.AVRO).samples
    np.testing.assert_array_equal(np.isnan(avro), np.isnan(samples))
    for j in range(2):
        peak = np.nanmax(np.abs(samples[:, j]), initial=0.0)
        # The gain is at least half of what would fill int16, or what was asked for.
        step = max(1 / (gain or 1000.0), peak / 32_767 * 2)
        known = ~np.isnan(samples[:, j])
        assert (np.abs(avro[known, j] - samples[known, j]) <= step / 2 + 1e-6 * peak).all()
    text = wire.decode(wire.encode(**{**fields, "gain": None}, content_type=wire.JSON), wire.JSON).samples
    np.testing.assert_allclose(text, samples, rtol=1e-6, atol=1e-37, equal_nan=True)


@settings(max_examples=400, deadline=None)
@given(
    value=st.binary(max_size=400), content_type=st.sampled_from([wire.AVRO, wire.JSON, None, "text/plain"])
)
def test_random_bytes_are_only_ever_refused(value: bytes, content_type: str | None) -> None:
    with pytest.raises(BadChunk) as refused:
        wire.decode(value, content_type)
    assert refused.value.reason in DEAD_LETTER_REASONS
    assert refused.value.detail


def decoded_or_refused(value: bytes, content_type: str) -> Chunk | None:
    """Fail on anything but a chunk or a refusal with a published reason."""
    try:
        return wire.decode(value, content_type)
    except BadChunk as refused:
        reason = refused.reason
    assert reason in DEAD_LETTER_REASONS
    return None


@settings(max_examples=600, deadline=None)
@given(data=st.data(), content_type=st.sampled_from([wire.AVRO, wire.JSON]))
def test_damaged_chunks_decode_or_are_refused(data: st.DataObject, content_type: str) -> None:
    value = bytearray(wire.encode(**BASE, lead_off=(True, False), battery=0.5, content_type=content_type))
    for _ in range(data.draw(st.integers(1, 6))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(value)))
    chunk = decoded_or_refused(bytes(value[:cut]), content_type)
    if chunk is not None:
        assert chunk.samples.shape == (chunk.n_samples, len(chunk.channels))
        assert not np.isinf(chunk.samples).any()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=400, deadline=None)
@given(
    name=st.sampled_from([*json.loads(wire.encode(**BASE, content_type=wire.JSON)), "lead_off", "extra"]),
    item=json_values,
)
def test_any_json_in_any_field_decodes_or_is_refused(name: str, item: object) -> None:
    fields = json.loads(wire.encode(**BASE, content_type=wire.JSON))
    fields[name] = item
    chunk = decoded_or_refused(json.dumps(fields).encode(), wire.JSON)
    assert chunk is None or not np.isinf(chunk.samples).any()


REFUSED = [
    ({"fs_hz": 0.5}, "invalid_field", "fs_hz=0.5"),
    ({"fs_hz": 48_001.0}, "invalid_field", "fs_hz=48001"),
    ({"fs_hz": math.nan}, "non_finite", "fs_hz=nan"),
    ({"kind": "egg"}, "invalid_field", "kind='egg'"),
    ({"unit": "furlong"}, "wrong_unit", "unit='furlong'"),
    ({"kind": "abp"}, "wrong_unit", "mmHg"),
    ({"channels": ("II", "II")}, "invalid_field", "channels"),
    ({"gain": 0.0}, "invalid_field", "gain=0"),
    ({"gain": math.inf}, "non_finite", "gain"),
    ({"gain": 1e-60}, "invalid_field", "gain"),
    ({"gain": 1e-36}, "invalid_field", "gain"),
    ({"gain": [1.0, 2.0, 3.0]}, "invalid_field", "gain has 3"),
    ({"seq": -1}, "invalid_field", "seq=-1"),
    ({"start_ns": 0}, "invalid_field", "start_ns=0"),
    ({"start_ns": 2**63 - 1}, "invalid_field", "start_ns="),
    ({"bed": ""}, "invalid_field", "bed=''"),
    ({"bed": "x" * 65}, "invalid_field", "bed="),
    ({"bed": "bed\n1"}, "invalid_field", "bed="),
    ({"device": " m"}, "invalid_field", "device="),
    ({"lead_off": (True,)}, "invalid_field", "lead_off has 1 flags for 2"),
    ({"battery": 1.5}, "invalid_field", "battery=1.5"),
    ({"status": "x" * 201}, "invalid_field", "status="),
    ({"pacer_ns": [START_NS] * 1001}, "invalid_field", "pacer_ns="),
    ({"pacer_ns": [START_NS - 11 * 10**9]}, "invalid_field", "pacer_ns="),
    ({"samples": np.zeros((0, 2), np.int16)}, "invalid_field", "samples has shape (0, 2)"),
    ({"samples": np.zeros((5, 3), np.int16)}, "invalid_field", "samples has shape (5, 3)"),
    ({"samples": np.full((5, 2), 40_000)}, "invalid_field", "int16"),
    ({"samples": np.array([[1.0, np.inf]])}, "non_finite", "infinite"),
    ({"gain": None}, "invalid_field", "gain"),
]


@pytest.mark.parametrize(("change", "reason", "names"), REFUSED)
def test_the_sender_is_told_at_once(change: dict, reason: str, names: str) -> None:
    with pytest.raises(BadChunk) as refused:
        wire.encode(**{**BASE, **change})
    assert refused.value.reason == reason
    assert names in refused.value.detail


def raw_json(**change: object) -> bytes:
    fields = json.loads(wire.encode(**BASE, content_type=wire.JSON))
    fields.update(change)
    return json.dumps({name: item for name, item in fields.items() if item != "absent"}).encode()


RECEIVED: list[tuple[bytes, str | None, str, str]] = [
    (b"", wire.AVRO, "malformed", "no value"),
    (b"{", wire.JSON, "malformed", "not JSON"),
    (b"[1]", wire.JSON, "malformed", "list"),
    (b'{"version": 1, "bed": "\xff"}', wire.JSON, "malformed", "not JSON"),
    (b"[" * 100_000, wire.JSON, "malformed", "not JSON"),
    (raw_json(), "text/csv", "unknown_content_type", "text/csv"),
    (wire.encode(**BASE), None, "unknown_content_type", "content-type=None"),
    (raw_json(version=2), wire.JSON, "unknown_version", "version=2"),
    (raw_json(version="absent"), wire.JSON, "unknown_version", "version=None"),
    (b"\x04" + wire.encode(**BASE)[1:], wire.AVRO, "unknown_version", "version=2"),
    (wire.encode(**BASE) + b"\x00", wire.AVRO, "malformed", "1 bytes follow"),
    (raw_json(bed="absent"), wire.JSON, "invalid_field", "bed is absent"),
    (raw_json(seq="7"), wire.JSON, "invalid_field", "seq='7'"),
    (raw_json(fs_hz=True), wire.JSON, "invalid_field", "fs_hz=True"),
    (raw_json(colour="red"), wire.JSON, "invalid_field", "colour"),
    (raw_json(samples=[[1, 2], [3]]), wire.JSON, "invalid_field", "samples[1]"),
    (raw_json(samples=[[1, "2"]]), wire.JSON, "invalid_field", "'2'"),
    (raw_json(samples=[[1, 2.5]]), wire.JSON, "invalid_field", "digital"),
    (raw_json(samples=[[1, 32768]]), wire.JSON, "invalid_field", "digital"),
    (raw_json(samples=[[1, 10**400]]), wire.JSON, "non_finite", "samples"),
    (raw_json(samples=[]), wire.JSON, "invalid_field", "samples=[]"),
    (raw_json(samples=[[1, math.inf]]), wire.JSON, "non_finite", "samples[0] is infinite"),
    (raw_json(samples=[[1, 1e39]], gain="absent", baseline="absent"), wire.JSON, "non_finite", "single"),
    (raw_json(gain=[]), wire.JSON, "invalid_field", "baseline"),
]


@pytest.mark.parametrize(("value", "content_type", "reason", "names"), RECEIVED)
def test_the_receiver_refuses(value: bytes, content_type: str | None, reason: str, names: str) -> None:
    with pytest.raises(BadChunk) as refused:
        wire.decode(value, content_type)
    assert (refused.value.reason, names in refused.value.detail) == (reason, True), refused.value


def test_oversized_records_are_refused_unread() -> None:
    with pytest.raises(BadChunk, match="max_record_bytes=1000") as refused:
        wire.decode(b"{" * 1001, wire.JSON, max_record_bytes=1000)
    assert refused.value.reason == "oversized"


def test_json_without_header_or_with_a_parameter_is_understood() -> None:
    for content_type in (None, "application/json; charset=utf-8", "Application/JSON"):
        assert wire.decode(raw_json(), content_type).bed == "bed-01"


def test_json_takes_nan_and_null_for_missing_and_one_gain_for_all() -> None:
    value = raw_json(samples=[[None, math.nan], [205, 5]], gain=200, baseline=5)
    expected = [[np.nan, np.nan], [1.0, 0.0]]
    np.testing.assert_allclose(wire.decode(value, wire.JSON).samples, expected, equal_nan=True)


def test_units_become_canonical() -> None:
    fields = {
        **BASE,
        "unit": "uV",
        "gain": 1.0,
        "baseline": 0.0,
        "samples": np.array([[500, -1000]], np.int16),
    }
    np.testing.assert_allclose(wire.decode(wire.encode(**fields), wire.AVRO).samples, [[0.5, -1.0]])


def test_a_remembered_stream_does_not_hide_a_change() -> None:
    """The decoder remembers streams by their bytes; a changed gain, unit or rate is another stream."""
    first = wire.decode(wire.encode(**BASE), wire.AVRO)
    again = wire.decode(wire.encode(**BASE), wire.AVRO)
    np.testing.assert_array_equal(first.samples, again.samples)
    doubled = wire.decode(wire.encode(**{**BASE, "gain": 400.0}), wire.AVRO)
    np.testing.assert_allclose(doubled.samples * 2, first.samples, rtol=1e-6)
    assert wire.decode(wire.encode(**{**BASE, "fs_hz": 62.5}), wire.AVRO).fs_hz == 62.5


def said_of(value: bytes, cache: wire_cache.StreamCache) -> tuple[object, ...]:
    """All of a chunk, or why it is refused, as a decoder with this memory says it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire_decode, "_cache", cache)
        try:
            chunk = wire.decode(value, wire.AVRO)
        except BadChunk as refused:
            return refused.reason, refused.detail
    fields = [getattr(chunk, name) for name in Chunk.__slots__ if name != "samples"]
    return *fields, chunk.samples.shape, chunk.samples.tobytes()


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    first=chunks(),
    start_ns=st.integers(1, 7_000_000_000_000_000_000),
    seq=st.integers(0, 2**63 - 1),
    plain=st.booleans(),
)
def test_a_decoder_that_remembers_says_what_one_without_memory_says(
    data: st.DataObject, first: dict, start_ns: int, seq: int, plain: bool
) -> None:
    if plain:
        first |= {"gain": 200.0, "baseline": 0.0}
    shape = (data.draw(st.integers(1, 40)), len(first["channels"]))
    samples = data.draw(hnp.arrays(np.int16, shape, elements=st.sampled_from([-32768, -1, 0, 128, 32767])))
    value = bytearray(wire.encode(**{**first, "start_ns": start_ns, "seq": seq, "samples": samples}))
    for _ in range(data.draw(st.integers(0, 2))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    sent = bytes(value[: len(value) - data.draw(st.integers(0, 3))])
    warm = wire_cache.StreamCache()
    said_of(wire.encode(**first), warm)
    assert said_of(sent, warm) == said_of(sent, wire_cache.StreamCache())
    assert said_of(sent, warm) == said_of(sent, wire_cache.StreamCache())


def test_the_memory_of_streams_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_cache, "_MAX_STREAMS", 50)
    monkeypatch.setattr(wire_cache, "_MAX_HEAD_LENGTHS", 24)
    monkeypatch.setattr(wire_decode, "_cache", wire_cache.StreamCache())
    for i in range(500):
        bed = f"bed-{i}" + "x" * (i % 50)
        assert wire.decode(wire.encode(**{**BASE, "bed": bed}), wire.AVRO).bed == bed
    assert len(wire_decode._cache.streams) <= 50
    assert len(wire_decode._cache.lengths) <= 24


@pytest.mark.parametrize(
    ("offset_s", "refused"),
    [(0.0, False), (59.0, False), (61.0, True), (-86_399.0, False), (-86_500.0, True)],
)
def test_time_travel(offset_s: float, refused: bool) -> None:
    receive_ms = START_NS // 1_000_000
    chunk = wire.decode(wire.encode(**{**BASE, "start_ns": START_NS + int(offset_s * 1e9)}), wire.AVRO)
    check: Callable[[], None] = lambda: wire.check_time(chunk, receive_ms, IngestSettings())  # noqa: E731
    if refused:
        with pytest.raises(BadChunk, match="set the device's clock") as error:
            check()
        assert error.value.reason == "time_travel"
    else:
        check()


@pytest.mark.parametrize("key", [None, b"", b"bed-02", b"\xff"])
def test_the_key_must_be_the_bed(key: bytes | None) -> None:
    chunk = wire.decode(wire.encode(**BASE), wire.AVRO)
    wire.check_key(chunk, b"bed-01")
    with pytest.raises(BadChunk, match="use the bed") as error:
        wire.check_key(chunk, key)
    assert error.value.reason == "key_mismatch"


def test_any_avro_reader_reads_a_chunk_by_the_published_schema() -> None:
    import io

    import fastavro

    schema = fastavro.schema.load_schema("ingest/schemas/chunk-1.avsc")
    value = wire.encode(**BASE, lead_off=(True, False))
    record = fastavro.schemaless_reader(io.BytesIO(value), schema, None)
    assert record["version"] == 1
    assert record["lead_off"] == [True, False]
    assert record["samples"] == BASE["samples"].astype("<i2").tobytes()
    again = io.BytesIO()
    fastavro.schemaless_writer(again, schema, record)
    assert again.getvalue() == value


def test_headers_name_the_form() -> None:
    assert wire.headers(wire.JSON) == [("content-type", b"application/json")]
    with pytest.raises(BadChunk, match="use application/avro"):
        wire.encode(**BASE, content_type="application/xml")
