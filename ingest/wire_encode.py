"""Chunks to bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import fastavro
import msgspec
import numpy as np
import numpy.typing as npt

from ingest.errors import BadChunk
from ingest.types import MISSING_INT16
from ingest.wire_fields import check_pacer, short, validate_moment, validate_stream
from ingest.wire_schema import AVRO, DEFAULT_GAIN, HEAD_SCHEMA, JSON, SCHEMA_VERSION, TAIL_SCHEMA

Scale: TypeAlias = float | Sequence[float] | npt.NDArray[np.floating] | npt.NDArray[np.integer]


def encode(
    *,
    bed: str,
    device: str,
    kind: str,
    channels: Sequence[str],
    unit: str,
    fs_hz: float,
    start_ns: int,
    seq: int,
    samples: npt.ArrayLike,
    gain: Scale | None = None,
    baseline: Scale | None = None,
    lead_off: Sequence[bool] | None = None,
    pacer_ns: Sequence[int] = (),
    status: str | None = None,
    battery: float | None = None,
    content_type: str = AVRO,
) -> bytes:
    """Encode one chunk, with the checks that the receiver makes.

    Parameters
    ----------
    samples : array, shape (n_samples, n_channels)
        Integers are digital values and need ``gain``: physical = (digital - baseline) / gain; -32768 is
        missing.
        Floats are physical values in ``unit``, NaN is missing. In Avro (and in JSON with a gain) floats are
        rounded to digital steps of ``gain`` (default :data:`DEFAULT_GAIN`); the gain of a channel that would
        leave the range of int16 is halved until it fits.
    gain, baseline : float or sequence of float
        One for all channels or one each.
    content_type : str
        :data:`AVRO` or :data:`JSON`.

    Other parameters are the fields of :class:`~ingest.types.Chunk`.

    Raises
    ------
    BadChunk
        As :func:`decode` would.
    """
    if content_type not in (AVRO, JSON):
        raise BadChunk("unknown_content_type", f"content_type={short(content_type)}; use {AVRO} or {JSON}")
    values = _sample_array(samples, len(channels))
    gains, baselines = _scale("gain", gain), _scale("baseline", baseline)
    fields: dict[str, object] = {
        "bed": bed,
        "device": device,
        "kind": str(kind),
        "channels": list(channels),
        "unit": unit,
        "fs_hz": float(fs_hz),
        "gain": gains,
        "baseline": baselines or ([0.0] if gains else []),
    }
    moment: dict[str, object] = {
        "start_ns": int(start_ns),
        "seq": int(seq),
        "lead_off": None if lead_off is None else [bool(flag) for flag in lead_off],
        "pacer_ns": [int(mark) for mark in pacer_ns],
        "status": status,
        "battery": battery,
    }
    stream = validate_stream(fields)
    check_pacer(validate_moment(moment, values.shape[1]), values.shape[0], stream.fs_hz)
    if np.issubdtype(values.dtype, np.integer):
        if not gains:
            raise BadChunk("invalid_field", "integer samples are digital: give their gain, or send floats")
        digital = _narrow(values)
    elif content_type == AVRO or gains:
        digital, fields["gain"], fields["baseline"] = _quantise(values, unit, gains, baselines)
    else:
        return _json(fields, moment, [[_or_none(x) for x in row] for row in values.tolist()])
    if content_type == JSON:
        rows = [[None if x == MISSING_INT16 else x for x in row] for row in digital.tolist()]
        return _json(fields, moment, rows)
    writer = io.BytesIO()
    fastavro.schemaless_writer(writer, HEAD_SCHEMA, {"version": SCHEMA_VERSION, **fields})
    moment["samples"] = digital.astype("<i2").tobytes()
    fastavro.schemaless_writer(writer, TAIL_SCHEMA, moment)
    return writer.getvalue()


def _json(fields: Mapping[str, object], moment: Mapping[str, object], rows: object) -> bytes:
    given = {k: v for k, v in {**fields, **moment}.items() if v is not None and v != []}
    return msgspec.json.encode({"version": SCHEMA_VERSION, **given, "samples": rows})


def _or_none(value: float) -> float | None:
    return None if value != value else value


def _scale(name: str, scale: Scale | None) -> list[float]:
    if scale is None:
        return []
    array = np.atleast_1d(np.asarray(scale, np.float64))
    if array.ndim != 1 or not array.size:
        raise BadChunk("invalid_field", f"{name} has shape {array.shape}; give one number or one a channel")
    return [float(x) for x in array]


def _sample_array(samples: npt.ArrayLike, n_channels: int) -> npt.NDArray[np.generic]:
    values = np.asarray(samples)
    if values.ndim != 2 or not values.size or values.shape[1] != n_channels:
        raise BadChunk(
            "invalid_field", f"samples has shape {values.shape}; it must be (n_samples, {n_channels})"
        )
    if values.dtype.kind not in "iuf":
        raise BadChunk("invalid_field", f"samples has dtype {values.dtype}; send integers or floats")
    if values.dtype.kind == "f" and np.isinf(values).any():
        raise BadChunk("non_finite", "samples holds an infinite value; use NaN where a sample is missing")
    return values


def _narrow(values: npt.NDArray[np.generic]) -> npt.NDArray[np.int16]:
    wide = values.astype(np.int64)
    if values.dtype != np.int16 and (wide.min() < MISSING_INT16 or wide.max() > 32767):
        raise BadChunk(
            "invalid_field", "samples leaves int16 (-32768 is missing); scale it down, or send floats"
        )
    return wide.astype(np.int16)


def _quantise(
    values: npt.NDArray[np.generic], unit: str, gains: list[float], baselines: list[float]
) -> tuple[npt.NDArray[np.int16], list[float], list[float]]:
    physical = values.astype(np.float64)
    n_channels = physical.shape[1]
    missing = np.isnan(physical)
    gain = np.array(np.broadcast_to(gains or [DEFAULT_GAIN.get(unit, 32_767.0)], n_channels))
    baseline = np.array(np.broadcast_to(baselines or [0.0], n_channels))
    if (np.abs(baseline) > 32_766).any():
        raise BadChunk("invalid_field", f"baseline={short(baselines)} leaves int16")
    steps = np.where(missing, 0.0, physical)
    low, high = steps.min(axis=0), steps.max(axis=0)
    for _ in range(2_200):  # from the largest double down to the smallest
        over = np.maximum(np.abs(low * gain + baseline), np.abs(high * gain + baseline)) > 32_767.0
        if not over.any():
            break
        gain[over] /= 2.0
    digital = np.rint(steps * gain + baseline).astype(np.int16)
    digital[missing] = MISSING_INT16
    return digital, gain.tolist(), baseline.tolist()
