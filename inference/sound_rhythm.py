"""How fast something recurs in the loudness of many beds: breaths in lung sounds, beats in heart sounds.

A breath or a beat has a loudness that comes again with the next one, whatever its shape, so that the
autocorrelation of the loudness has a peak at the period (for heart sounds Schmidt et al., Physiol Meas 31
(2010) 513-529). No network is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from scipy import fft

from ingest.types import BoolArray, FloatArray, IntArray, WideFloatArray
from models.melspec import HEART_MEL, LUNG_MEL, MelSpec

_LEAST: Final = 1e-9


@dataclass(frozen=True, slots=True)
class RhythmSpec:
    """How loudness is followed, and what is looked for in it.

    Parameters
    ----------
    mel : MelSpec
        Of the frames that loudness is read from.
    low_hz, high_hz : float
        Bands that count.
    points : int
        Points of loudness a second.
    span_s, least_s : int
        Seconds that are looked at, and those of them that must have been heard.
    shortest_s, longest_s : float
        Periods that are possible.
    smooth : int
        Points over which loudness is smoothed (Hann).
    prefer : float
        The shortest period is taken whose peak has this share of the highest: that of two breaths is as high.
    sure : float
        Correlation from which a period counts.
    least_swing : float
        Deviation of the loudness in nepers of power, up to which nothing is heard that could recur.
    """

    mel: MelSpec
    low_hz: float
    high_hz: float
    points: int
    span_s: int
    least_s: int
    shortest_s: float
    longest_s: float
    smooth: int
    prefer: float
    sure: float
    least_swing: float

    @property
    def bands(self) -> slice:
        """Mel bands whose centre lies in the range."""
        centres_hz = self.mel.band_edges_hz()[1:-1]
        inside = np.flatnonzero((centres_hz >= self.low_hz) & (centres_hz <= self.high_hz))
        return slice(int(inside[0]), int(inside[-1]) + 1)


BREATHS: Final = RhythmSpec(
    mel=LUNG_MEL, low_hz=150.0, high_hz=800.0, points=10, span_s=30, least_s=10, shortest_s=1.0,
    longest_s=10.0, smooth=9, prefer=0.6, sure=0.4, least_swing=0.25,
)  # fmt: skip
"""6 to 60 breaths a minute. Below 150 Hz the heart is louder than the lung. Chosen on the train side of
icbhi2017 (docs/auscultation.md)."""

BEATS: Final = RhythmSpec(
    mel=HEART_MEL, low_hz=25.0, high_hz=150.0, points=100, span_s=8, least_s=4, shortest_s=0.27,
    longest_s=1.7, smooth=5, prefer=0.9, sure=0.35, least_swing=0.7,
)  # fmt: skip
"""35 to 222 beats a minute. Murmurs lie above 150 Hz. S1 and S2 are unlike enough that half a cycle has a
lower peak than a whole one; chosen on half of circor2022's patients (docs/auscultation.md)."""


def loudness(frames: FloatArray, spec: RhythmSpec) -> WideFloatArray:
    """Logarithm of the power within the range.

    Parameters
    ----------
    frames : ndarray of float32, shape (n, n_mels, n_frames)
        Log-mel frames, whole points of them.

    Returns
    -------
    ndarray, shape (n, n_points)
        Means over the frames of a point, in nepers of power.
    """
    power = np.exp(frames[:, spec.bands].astype(np.float64)).sum(axis=1)
    per_point = round(spec.mel.frame_hz) // spec.points
    return np.asarray(np.log(power + spec.mel.floor).reshape(len(power), -1, per_point).mean(axis=2))


@dataclass(frozen=True, slots=True)
class Rhythm:
    """What recurs. Shapes (n,); ``per_min`` is NaN where nothing does with enough certainty."""

    per_min: WideFloatArray
    certainty: WideFloatArray


def rhythm_of(lines: WideFloatArray, spec: RhythmSpec) -> Rhythm:
    """Find the rate at which the loudness of many beds recurs.

    Parameters
    ----------
    lines : ndarray, shape (n, span_s * points)
        Loudness, the newest last; NaN where it was not heard or does not count.
    spec : RhythmSpec
        What is possible.
    """
    n_points = lines.shape[1]
    there = ~np.isnan(lines)
    correlation, pairs, swing = _correlation(_flattened(lines, there), there, spec.smooth)
    first, last = round(spec.shortest_s * spec.points), round(spec.longest_s * spec.points)
    lags = np.arange(first, min(last, n_points // 2) + 1)
    at = correlation[:, lags]
    # A period that was heard less than twice is none.
    heard = 2 * pairs[:, lags] >= there.sum(axis=1)[:, None]
    peaks = (at >= correlation[:, lags - 1]) & (at > correlation[:, lags + 1]) & heard
    heights = np.where(peaks, at, -np.inf)
    highest = heights.max(axis=1)
    chosen = (heights >= spec.prefer * highest[:, None]).argmax(axis=1)
    rows = np.arange(len(lines))
    certainty = np.where(highest > 0, heights[rows, chosen], 0.0)
    enough = (there.sum(axis=1) >= spec.least_s * spec.points) & (swing >= spec.least_swing)
    sure = enough & (certainty >= spec.sure)
    lag = lags[chosen] + _vertex(correlation, rows, lags[chosen])
    return Rhythm(
        np.where(sure, 60.0 * spec.points / lag, np.nan), np.where(enough, np.maximum(certainty, 0.0), 0.0)
    )


def _flattened(lines: WideFloatArray, there: BoolArray) -> WideFloatArray:
    """Loudness less its straight line, 0 where it was not heard."""
    count = np.maximum(there.sum(axis=1, keepdims=True), 1)
    filled = np.where(there, lines, 0.0)
    times = np.where(there, np.arange(lines.shape[1], dtype=np.float64), 0.0)
    times = np.where(there, times - times.sum(axis=1, keepdims=True) / count, 0.0)
    level = np.where(there, filled - filled.sum(axis=1, keepdims=True) / count, 0.0)
    slope = (level * times).sum(axis=1, keepdims=True) / np.maximum(
        (times**2).sum(axis=1, keepdims=True), _LEAST
    )
    return np.asarray(level - slope * times)


def _correlation(
    level: WideFloatArray, there: BoolArray, smooth: int
) -> tuple[WideFloatArray, WideFloatArray, WideFloatArray]:
    """Correlation of the smoothed loudness with itself and pairs behind it, by lag; its deviation."""
    n_points = level.shape[1]
    size = fft.next_fast_len(2 * n_points + smooth, real=True)
    spectrum = fft.rfft(level, size, axis=1)
    power = (spectrum.real**2 + spectrum.imag**2) * _smoothing(smooth, size)
    products = fft.irfft(power, size, axis=1)[:, :n_points]
    mask = fft.rfft(there.astype(np.float64), size, axis=1)
    pairs = np.round(fft.irfft(mask.real**2 + mask.imag**2, size, axis=1)[:, :n_points])
    mean = products / np.maximum(pairs, 1.0)
    return mean / np.maximum(mean[:, :1], _LEAST), pairs, np.sqrt(np.maximum(mean[:, 0], 0.0))


@lru_cache(maxsize=8)
def _smoothing(smooth: int, size: int) -> WideFloatArray:
    """Power response of a Hann window of so many points."""
    window = np.hanning(smooth + 2)[1:-1]
    spectrum = fft.rfft(window / window.sum(), size)
    return np.asarray(spectrum.real**2 + spectrum.imag**2)


def _vertex(correlation: WideFloatArray, rows: IntArray, lags: IntArray) -> WideFloatArray:
    """How far from a lag the top of the parabola through it and its neighbours lies."""
    before, at, after = (correlation[rows, lags + step] for step in (-1, 0, 1))
    bend = before - 2 * at + after
    shift = 0.5 * (before - after) / np.where(np.abs(bend) < _LEAST, np.inf, bend)
    return np.asarray(np.clip(shift, -0.5, 0.5))
