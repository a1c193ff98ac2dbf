"""Rows of the store, made of records and turned back into what they were."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import numpy as np
from sqlalchemy import RowMapping

from inference.store_schema import EEG_SIDED, HEARD
from inference.strips import Samples, Scale, StripSignal
from inference.types import Alarm, Audit, EegSide, EegTrends, Verdict, Vital

Row = dict[str, object]
Item = TypeVar("Item")

_TYPES: Final = {"int16": "<i2", "float32": "<f4"}


@dataclass(frozen=True, slots=True)
class Kept(Generic[Item]):
    """A decoded record, its text as it came, and its partition."""

    item: Item
    record: str
    partition: int


def alarm_row(kept: Kept[Alarm]) -> Row:
    """Row of an alarm's step."""
    alarm = kept.item
    return {
        "id": alarm.id,
        "bed": alarm.bed,
        "signal": alarm.signal,
        "kind": alarm.kind,
        "priority": alarm.priority.value,
        "state": alarm.state.value,
        "message": alarm.message,
        "onset_ns": alarm.onset_ns,
        "raised_ns": alarm.raised_ns,
        "emitted_ns": alarm.emitted_ns,
        "ended_ns": alarm.ended_ns,
        "value": alarm.value,
        "limit_value": alarm.limit,
        "unit": alarm.unit,
        "acknowledged_by": alarm.acknowledged_by,
        "acknowledged_ns": alarm.acknowledged_ns,
        "escalated_ns": alarm.escalated_ns,
        "partition": kept.partition,
        "raw_offset": alarm.raw_offset,
        "revision": alarm.revision,
        "record": kept.record,
    }


def audit_row(kept: Kept[Audit]) -> Row:
    """Row of a line of the audit trail."""
    line = kept.item
    return {
        "id": line.id,
        "partition": line.partition,
        "bed": line.bed,
        "ward": line.ward,
        "user_name": line.user,
        "action": line.action,
        "issued_ns": line.issued_ns,
        "applied_ns": line.applied_ns,
        "outcome": line.outcome.value,
        "detail": line.detail,
        "record": kept.record,
    }


def verdict_row(kept: Kept[Verdict]) -> Row:
    """Row of a verdict."""
    verdict = kept.item
    return {
        "id": verdict.id,
        "bed": verdict.bed,
        "device": verdict.device,
        "kind": verdict.kind,
        "time_ns": verdict.time_ns,
        "stands": verdict.stands,
        "probability": verdict.probability,
        "emitted_ns": verdict.emitted_ns,
        "record": kept.record,
    }


def vital_row(vital: Vital) -> Row:
    """Row of one second's numbers."""
    heard = vital.heard or {}
    return {
        "bed": vital.bed,
        "signal": vital.signal,
        "time_ns": vital.time_ns,
        "heart_rate_bpm": vital.heart_rate_bpm,
        "ventricular_per_min": vital.ventricular_per_min,
        "quality": vital.quality,
        "usable": vital.usable,
        "raw_offset": vital.raw_offset,
        "revision": vital.revision,
        "respiratory_rate_bpm": vital.respiratory_rate_bpm,
    } | {name: float(heard[name]) if name in heard else None for name in HEARD}


def eeg_row(vital: Vital, trends: EegTrends) -> Row:
    """Row of one second's trends of an EEG."""
    sided = (
        getattr(side, name) for name in EegSide.__struct_fields__ for side in (trends.left, trends.right)
    )
    return {
        "bed": vital.bed,
        "time_ns": vital.time_ns,
        "raw_offset": vital.raw_offset,
        "revision": vital.revision,
        "suppression_whole": trends.whole.suppression,
        "asymmetry": trends.asymmetry,
        "symmetry_index": trends.symmetry_index,
        "trusted": trends.trusted / trends.derivations if trends.derivations else 0.0,
    } | dict(zip(EEG_SIDED, sided, strict=True))


def signal_row(alarm_id: str, signal: StripSignal) -> Row:
    """Row of one signal of a strip."""
    encoding = "int16" if signal.digital else "float32"
    samples = np.ascontiguousarray(signal.samples, dtype=_TYPES[encoding])
    return {
        "alarm_id": alarm_id,
        "signal": signal.signal,
        "segment": signal.segment,
        "device": signal.device,
        "channels": json.dumps(signal.channels, ensure_ascii=False),
        "fs_hz": signal.fs_hz,
        "unit": signal.scale.unit,
        "start_ns": signal.start_ns,
        "n_samples": len(samples),
        "gain": json.dumps(signal.scale.gain) if signal.digital else None,
        "baseline": json.dumps(signal.scale.baseline) if signal.digital else None,
        "encoding": encoding,
        "samples": zlib.compress(samples.tobytes()),
    }


def read_signal(row: RowMapping) -> StripSignal:
    """Turn a row of a strip's signal back."""
    channels = tuple(json.loads(row["channels"]))
    gain = tuple(json.loads(row["gain"] or "[]"))
    baseline = tuple(json.loads(row["baseline"] or "[]"))
    flat: Samples = np.frombuffer(zlib.decompress(row["samples"]), dtype=_TYPES[row["encoding"]])
    return StripSignal(
        signal=row["signal"],
        segment=row["segment"],
        device=row["device"],
        channels=channels,
        fs_hz=row["fs_hz"],
        start_ns=row["start_ns"],
        scale=Scale(row["unit"], gain, baseline),
        samples=flat.reshape(-1, len(channels)),
    )
