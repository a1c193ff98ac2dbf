"""Numbers over time, thinned for a chart: extremes stay, gaps stay.

Shapes: all arrays (n_points,), oldest first; NaN where there was no valid number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from dashboard.heard_sounds import ABNORMAL
from dashboard.snapshots import VitalHistory
from inference.store_trends import TrendPoint
from ingest.types import NS_PER_S, IntArray, WideFloatArray

MOST_BUCKETS: Final = 720
"""Points of a line in a chart: about one for two pixels."""
MINUTE_NS: Final = 60 * NS_PER_S
GAP_STEPS: Final = 1.5
"""Points further apart than so many of their steps have a gap between them."""


@dataclass(frozen=True, slots=True)
class Series:
    """One quantity: its mean and its extremes about each time."""

    times_ns: IntArray
    mean: WideFloatArray
    least: WideFloatArray
    most: WideFloatArray


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a trend shows of one signal: rates per minute, quality 0 to 1.

    ``heard`` are shares, 0 to 1, of the pieces of sound that a network judged, by what it heard in them.
    """

    heart_rate: Series
    ventricular: Series
    quality: Series
    breaths: Series
    heard: Mapping[str, Series]

    @property
    def newest_ns(self) -> int | None:
        """Device time of the newest point, valid or not."""
        times = self.quality.times_ns
        return int(times[-1]) if len(times) else None


@dataclass(frozen=True, slots=True)
class Line:
    """A thinned series; points of one ``piece`` are joined, between pieces there is a gap."""

    times_ns: IntArray
    mean: WideFloatArray
    least: WideFloatArray
    most: WideFloatArray
    piece: IntArray

    @property
    def alone(self) -> IntArray:
        """Indices of points that no line reaches."""
        _, first, counts = np.unique(self.piece, return_index=True, return_counts=True)
        alone: IntArray = first[counts == 1]
        return alone


def of_points(points: Sequence[TrendPoint]) -> Numbers:
    """Return what the store gave."""
    times_ns = np.array([point.time_ns for point in points], dtype=np.int64)

    def values(name: str) -> WideFloatArray:
        return np.array([getattr(point, name) for point in points], dtype=np.float64)

    rate, ventricular, quality = (
        values("heart_rate_bpm"),
        values("ventricular_per_min"),
        values("quality"),
    )
    return Numbers(
        Series(times_ns, rate, values("heart_rate_least_bpm"), values("heart_rate_most_bpm")),
        Series(times_ns, ventricular, ventricular, values("ventricular_most_per_min")),
        Series(times_ns, quality, values("quality_least"), quality),
        Series(
            times_ns,
            values("respiratory_rate_bpm"),
            values("respiratory_rate_least_bpm"),
            values("respiratory_rate_most_bpm"),
        ),
        {name: Series(times_ns, share, share, share) for name in ABNORMAL for share in (values(name),)},
    )


def of_history(history: VitalHistory) -> Numbers:
    """Return what the dashboard itself holds."""

    def series(values: WideFloatArray) -> Series:
        return Series(history.times_ns, values, values, values)

    return Numbers(
        series(history.heart_rate_bpm),
        series(history.ventricular_per_min),
        series(history.quality),
        series(history.respiratory_rate_bpm),
        {name: series(values) for name, values in history.heard.items()},
    )


def joined(older: Numbers, newer: Numbers) -> Numbers:
    """Put ``older`` before ``newer``, which counts where both have points."""

    def join(first: Series, second: Series) -> Series:
        if len(second.times_ns) == 0:
            return first
        kept = first.times_ns < second.times_ns[0]
        return Series(
            np.concatenate([first.times_ns[kept], second.times_ns]),
            np.concatenate([first.mean[kept], second.mean]),
            np.concatenate([first.least[kept], second.least]),
            np.concatenate([first.most[kept], second.most]),
        )

    return Numbers(
        join(older.heart_rate, newer.heart_rate),
        join(older.ventricular, newer.ventricular),
        join(older.quality, newer.quality),
        join(older.breaths, newer.breaths),
        {name: join(older.heard[name], newer.heard[name]) for name in ABNORMAL},
    )


def of_minutes(series: Series) -> Series:
    """Average a series over each minute: of single pieces of sound a share says nothing."""
    known = ~np.isnan(series.mean)
    times_ns, values = series.times_ns[known], series.mean[known]
    minutes = times_ns // MINUTE_NS
    first = np.flatnonzero(np.diff(minutes, prepend=-1))
    if len(first) == 0:
        return Series(times_ns, values, values, values)
    mean = np.add.reduceat(values, first) / np.diff(first, append=len(values))
    return Series(minutes[first] * MINUTE_NS + MINUTE_NS // 2, mean, mean, mean)


def thinned(series: Series, begin_ns: int, end_ns: int, step_s: float) -> Line:
    """Thin a series to about :data:`MOST_BUCKETS` points between two times.

    Each point has the mean, the least and the greatest of its bucket of time. Where points are further apart
    than 1.5 steps and than a bucket, the line is cut: nothing is drawn through a gap.
    """
    wanted = ~np.isnan(series.mean) & (series.times_ns >= begin_ns) & (series.times_ns <= end_ns)
    times_ns = series.times_ns[wanted]
    bucket_ns = max(1, (end_ns - begin_ns) // MOST_BUCKETS)
    gap_ns = max(round(GAP_STEPS * step_s * NS_PER_S), bucket_ns)
    cut = np.diff(times_ns, prepend=times_ns[:1]) > gap_ns
    piece = np.cumsum(cut, dtype=np.int64)
    bucket = (times_ns - begin_ns) // bucket_ns
    changed = (np.diff(bucket, prepend=-1) != 0) | (np.diff(piece, prepend=-1) != 0)
    starts = np.flatnonzero(changed)
    if len(starts) == 0:
        empty = np.empty(0)
        return Line(starts, empty, empty, empty, starts)
    counts = np.diff(starts, append=len(times_ns))
    since_ns = np.add.reduceat(times_ns - begin_ns, starts) // counts
    return Line(
        times_ns=begin_ns + since_ns,
        mean=np.add.reduceat(series.mean[wanted], starts) / counts,
        least=np.minimum.reduceat(series.least[wanted], starts),
        most=np.maximum.reduceat(series.most[wanted], starts),
        piece=piece[starts],
    )
