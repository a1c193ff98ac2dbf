"""Points of trends, made of the rows of seconds and of minutes."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import RowMapping

from inference.store_schema import EEG_NUMBERS, HEARD


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """The numbers of one second, or of the minute that begins at ``time_ns``.

    Means where not named otherwise, ``None`` where there was no valid number. ``usable`` is the share of the
    ``n`` seconds in which the signal could be used. ``respiratory_rate_bpm`` is that of lung sounds.
    ``crackle``, ``wheeze`` and ``murmur`` are shares, 0 to 1, of the pieces of sound that a network judged in
    which it heard that: of a second 0 or 1, ``None`` where it judged none.
    """

    time_ns: int
    heart_rate_bpm: float | None
    heart_rate_least_bpm: float | None
    heart_rate_most_bpm: float | None
    ventricular_per_min: float | None
    ventricular_most_per_min: float | None
    quality: float
    quality_least: float
    usable: float
    n: int
    respiratory_rate_bpm: float | None = None
    respiratory_rate_least_bpm: float | None = None
    respiratory_rate_most_bpm: float | None = None
    crackle: float | None = None
    wheeze: float | None = None
    murmur: float | None = None


def of_second(row: RowMapping) -> TrendPoint:
    """Turn a row of ``vitals_1s`` into a point."""
    rate, ventricular, quality = row["heart_rate_bpm"], row["ventricular_per_min"], row["quality"]
    breaths = row["respiratory_rate_bpm"]
    return TrendPoint(
        row["time_ns"], rate, rate, rate, ventricular, ventricular, quality, quality, float(row["usable"]), 1,
        breaths, breaths, breaths, *(row[name] for name in HEARD),
    )  # fmt: skip


def of_minute(row: RowMapping) -> TrendPoint:
    """Turn a row of ``vitals_1min`` into a point."""
    return TrendPoint(
        time_ns=row["minute_ns"],
        heart_rate_bpm=row["heart_rate_mean"],
        heart_rate_least_bpm=row["heart_rate_min"],
        heart_rate_most_bpm=row["heart_rate_max"],
        ventricular_per_min=row["ventricular_mean"],
        ventricular_most_per_min=row["ventricular_max"],
        quality=row["quality_mean"],
        quality_least=row["quality_min"],
        usable=row["n_usable"] / row["n"],
        n=row["n"],
        respiratory_rate_bpm=row["respiratory_rate_mean"],
        respiratory_rate_least_bpm=row["respiratory_rate_min"],
        respiratory_rate_most_bpm=row["respiratory_rate_max"],
        **{name: row[f"{name}_mean"] for name in HEARD},
    )


@dataclass(frozen=True, slots=True)
class EegPoint:
    """Trends of an EEG in one second, or their means over the minute that begins at ``time_ns``.

    What each number is: docs/eeg.md. ``n`` are the seconds that were told, ``trusted`` the share of the
    derivations that counted; ``None`` where no second had a number.
    """

    time_ns: int
    n: int
    aeeg_low_uv_left: float | None
    aeeg_low_uv_right: float | None
    aeeg_high_uv_left: float | None
    aeeg_high_uv_right: float | None
    edge_hz_left: float | None
    edge_hz_right: float | None
    delta_uv2_left: float | None
    delta_uv2_right: float | None
    theta_uv2_left: float | None
    theta_uv2_right: float | None
    alpha_uv2_left: float | None
    alpha_uv2_right: float | None
    beta_uv2_left: float | None
    beta_uv2_right: float | None
    alpha_delta_left: float | None
    alpha_delta_right: float | None
    suppression_left: float | None
    suppression_right: float | None
    suppression_whole: float | None
    asymmetry: float | None
    symmetry_index: float | None
    trusted: float | None


def of_eeg_second(row: RowMapping) -> EegPoint:
    """Turn a row of ``eeg_1s`` into a point."""
    return EegPoint(row["time_ns"], 1, **{name: row[name] for name in EEG_NUMBERS})


def of_eeg_minute(row: RowMapping) -> EegPoint:
    """Turn a row of ``eeg_1min`` into a point."""
    return EegPoint(row["minute_ns"], row["n"], **{name: row[f"{name}_mean"] for name in EEG_NUMBERS})
