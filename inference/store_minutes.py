"""What a minute of trends is made of, as statements over the rows of its seconds.

Parameters: ``of_bed``, ``begin_ns``, ``end_ns``, and ``of_signal`` of vitals.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Integer, Select, bindparam, cast, func, select

from inference.store_schema import EEG_NUMBERS, HEARD, eeg_1s, vitals_1s

Expression = ColumnElement[object] | ColumnElement[int] | ColumnElement[float]
Columns = dict[str, Expression]


def vitals_of_minute() -> tuple[Columns, Select[*tuple[object, ...]]]:
    """Columns of ``vitals_1min`` and their selection."""
    one = vitals_1s.c
    columns: Columns = {
        "bed": one.bed,
        "signal": one.signal,
        "minute_ns": bindparam("begin_ns", type_=one.time_ns.type),
        "n": func.count(),
        "n_usable": func.sum(cast(one.usable, Integer)),
    }
    for name, column in (
        ("heart_rate", one.heart_rate_bpm),
        ("ventricular", one.ventricular_per_min),
        ("respiratory_rate", one.respiratory_rate_bpm),
    ):
        columns[f"{name}_n"] = func.count(column)
        columns |= _mean_min_max(name, column)
    for name in HEARD:
        columns |= {f"{name}_n": func.count(one[name]), f"{name}_mean": func.avg(one[name])}
    columns |= _mean_min_max("quality", one.quality)
    of_signal = one.signal == bindparam("of_signal")
    return columns, _seconds(columns, one.bed, one.time_ns).where(of_signal).group_by(one.bed, one.signal)


def eeg_of_minute() -> tuple[Columns, Select[*tuple[object, ...]]]:
    """Columns of ``eeg_1min`` and their selection."""
    one = eeg_1s.c
    columns: Columns = {
        "bed": one.bed,
        "minute_ns": bindparam("begin_ns", type_=one.time_ns.type),
        "n": func.count(),
    }
    columns |= {f"{name}_mean": func.avg(one[name]) for name in EEG_NUMBERS}
    return columns, _seconds(columns, one.bed, one.time_ns).group_by(one.bed)


def _seconds(
    columns: Columns, bed: ColumnElement[str], time_ns: ColumnElement[int]
) -> Select[*tuple[object, ...]]:
    return select(*columns.values()).where(
        bed == bindparam("of_bed"), time_ns >= bindparam("begin_ns"), time_ns < bindparam("end_ns")
    )


def _mean_min_max(name: str, column: ColumnElement[float]) -> Columns:
    return {
        f"{name}_mean": func.avg(column),
        f"{name}_min": func.min(column),
        f"{name}_max": func.max(column),
    }
