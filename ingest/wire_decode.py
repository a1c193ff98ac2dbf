"""Bytes to chunks.

The first nine fields of an Avro chunk are the same in every chunk of a stream, so their bytes are: the
decoder remembers them and parses and validates only what follows. So are the bytes behind the samples, save
for pacing marks: they are remembered, too. Avro delimits itself: equal bytes are equal fields. What is left
of a chunk that brings nothing new are two numbers and the samples.
"""

from __future__ import annotations

import io
import struct
from typing import Final, cast

import fastavro
import numpy as np
from pydantic_core import from_json

from ingest.errors import BadChunk
from ingest.types import MISSING_INT16, Chunk, FloatArray
from ingest.wire_cache import StreamCache, canonical, decode_usual
from ingest.wire_fields import (
    Moment,
    Stream,
    check_pacer,
    short,
    validate_moment,
    validate_stream,
)
from ingest.wire_schema import AVRO, DEFAULT_MAX_RECORD_BYTES, HEAD_SCHEMA, JSON, SCHEMA_VERSION, TAIL_SCHEMA

_cache = StreamCache()
# Whatever fastavro raises on bytes that are not of the schema.
_AVRO_ERRORS: Final = (
    EOFError, ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError, struct.error
)  # fmt: skip


def decode(
    value: bytes | None, content_type: str | None, max_record_bytes: int = DEFAULT_MAX_RECORD_BYTES
) -> Chunk:
    """Decode one record's value.

    Parameters
    ----------
    value : bytes or None
        The record's value.
    content_type : str or None
        From the record's header. Without one, a value that begins with ``{`` is taken for JSON.
    max_record_bytes : int
        A longer value is refused before it is looked at.

    Returns
    -------
    Chunk
        In the canonical unit of its kind, missing samples NaN.

    Raises
    ------
    BadChunk
        With one of the dead letter reasons, and nothing else, whatever the bytes are.
    """
    if not value:
        raise BadChunk("malformed", "the record has no value; send a chunk")
    if len(value) > max_record_bytes:
        raise BadChunk(
            "oversized",
            f"{len(value)} bytes is above max_record_bytes={max_record_bytes}; send shorter chunks",
        )
    if content_type == AVRO:
        return _decode_avro(value)
    form = (content_type or "").partition(";")[0].strip().lower()
    if form == AVRO:
        return _decode_avro(value)
    if form == JSON or (not form and value[:1] == b"{"):
        return _decode_json(value)
    raise BadChunk(
        "unknown_content_type",
        f"header content-type={content_type!r:.80}; send {AVRO} or {JSON}",
    )


def _decode_avro(value: bytes) -> Chunk:
    stream, length = _cache.find(value)
    if stream is not None:
        chunk = decode_usual(_cache, value, stream, length)
        if chunk is not None:
            return chunk
    reader = io.BytesIO(value)
    try:
        if stream is None:
            head = cast("dict[str, object]", _read_head(reader, value))
            length = reader.tell()
            stream = _digital_stream(head)
            _cache.add(value[:length], stream)
        else:
            reader.seek(length)
        tail = cast("dict[str, object]", fastavro.schemaless_reader(reader, TAIL_SCHEMA, None))
    except _AVRO_ERRORS as error:
        # fastavro names the stream that it read from: an address in memory, of use to nobody.
        why = (str(error) or repr(error)).split(" from <")[0]
        raise BadChunk("malformed", f"not a chunk of ingest/schemas/chunk-1.avsc: {short(why)}") from None
    if reader.tell() != len(value):
        raise BadChunk(
            "malformed", f"{len(value) - reader.tell()} bytes follow the chunk; send one chunk a record"
        )
    digital = cast("bytes", tail.pop("samples"))
    n_channels = len(stream.channels)
    if not digital or len(digital) % (2 * n_channels):
        raise BadChunk(
            "invalid_field",
            f"samples has {len(digital)} bytes, no positive multiple of 2 bytes × {n_channels} channels",
        )
    moment = validate_moment(tail, n_channels)
    _cache.add_end(value, length, len(digital), moment, n_channels)
    return _chunk(stream, moment, canonical(np.frombuffer(digital, "<i2").reshape(-1, n_channels), stream))


def _read_head(reader: io.BytesIO, value: bytes) -> object:
    if value[0] != SCHEMA_VERSION << 1:
        # Any other first byte is another version (or no Avro at all).
        version = fastavro.schemaless_reader(io.BytesIO(value[:10]), "long", None)
        raise BadChunk("unknown_version", f"version={version!r}; this reader knows version {SCHEMA_VERSION}")
    return fastavro.schemaless_reader(reader, HEAD_SCHEMA, None)


def _digital_stream(head: dict[str, object]) -> Stream:
    del head["version"]
    for name in ("gain", "baseline"):
        if not head[name]:
            raise BadChunk("invalid_field", f"{name} is empty; give one number for all channels or one each")
    return validate_stream(head)


def _decode_json(value: bytes) -> Chunk:
    try:
        fields = from_json(value, allow_inf_nan=True)
    except (ValueError, RecursionError) as error:
        raise BadChunk("malformed", f"not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise BadChunk("malformed", f"a JSON {type(fields).__name__}; send an object with the chunk's fields")
    version = fields.pop("version", None)
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise BadChunk("unknown_version", f"version={short(version)}; this reader knows {SCHEMA_VERSION}")
    samples = fields.pop("samples", None)
    moment = {name: fields.pop(name) for name in Moment.model_fields if name in fields}
    for name in ("gain", "baseline"):
        given = fields.get(name)
        if given is None:
            fields[name] = [] if name == "gain" or not fields.get("gain") else [0.0]
        elif isinstance(given, (int, float)):
            fields[name] = [given]
    stream = validate_stream(fields)
    array = _json_samples(samples, stream)
    return _chunk(stream, validate_moment(moment, len(stream.channels)), array)


def _json_samples(samples: object, stream: Stream) -> FloatArray:
    n_channels = len(stream.channels)
    if not isinstance(samples, list) or not samples:
        raise BadChunk("invalid_field", f"samples={short(samples)}: send a list of n_samples rows")
    for i, row in enumerate(samples):
        if not isinstance(row, list) or len(row) != n_channels:
            raise BadChunk(
                "invalid_field", f"samples[{i}]={short(row)}: a row has {n_channels} numbers, one per channel"
            )
        for item in row:
            if item is not None and type(item) is not int and type(item) is not float:
                raise BadChunk("invalid_field", f"samples[{i}] holds {short(item)}; send numbers or null")
    try:
        values = np.array(samples, dtype=np.float64)
    except OverflowError:
        raise BadChunk("non_finite", "samples holds a number beyond double precision") from None
    if np.isinf(values).any():
        i = int(np.argwhere(np.isinf(values))[0, 0])
        raise BadChunk("non_finite", f"samples[{i}] is infinite; send null where a sample is missing")
    if not stream.digital:
        with np.errstate(over="ignore"):
            scaled = (values * stream.factor.astype(np.float64)).astype(np.float32)
        if np.isinf(scaled).any():
            raise BadChunk("non_finite", "samples holds a number beyond single precision")
        return scaled
    known = values[~np.isnan(values)]
    if (known != np.trunc(known)).any() or (np.abs(known + 0.5) > 32767.5).any():
        raise BadChunk(
            "invalid_field",
            "samples with a gain are digital: integers from -32768 (missing) to 32767; "
            "leave gain and baseline out to send physical values",
        )
    return canonical(np.where(np.isnan(values), MISSING_INT16, values).astype(np.int16), stream)


def _chunk(stream: Stream, moment: Moment, samples: FloatArray) -> Chunk:
    if moment.pacer_ns:
        check_pacer(moment, samples.shape[0], stream.fs_hz)
    return Chunk(
        stream.bed,
        stream.device,
        stream.kind,
        stream.channels,
        stream.fs_hz,
        moment.start_ns,
        moment.seq,
        samples,
        None if moment.lead_off is None else tuple(moment.lead_off),
        tuple(moment.pacer_ns),
        moment.status,
        moment.battery,
    )
