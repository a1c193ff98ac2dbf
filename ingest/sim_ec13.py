"""Test waveforms for cardiac monitors after the published descriptions of ANSI/AAMI EC13 (section 4.1.2.1).

The standard's own recordings are not here. Rates, amplitudes and intervals are those that PhysioNet's page of
the waveforms (aami-ec13) and manuals of conforming monitors disclose; the shapes of 3a and 3b follow what
recordings of them show, those of 3c, 3d, 4a and 4b are drawn to the description alone. All lines are in mV
and have one lead; the beat times that they hold come with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import signal

from ingest.types import FloatArray, WideFloatArray

RANGE_MV: Final = 10.0
"""A monitor's front end is driven to its rail by more than this."""

FINE_HZ: Final = 20_000.0
"""Rate at which pulses are drawn before the front end: 0.1 ms is two samples."""

FRONT_ENDS: Final = ("mean", "filter", "clip, filter", "sample")
"""How a pulse gets into the samples. ``mean``: each sample is the mean over its interval (an integrating
converter). ``filter``: a fourth-order low-pass at 0.4 of the rate, then the rail. ``clip, filter``: the rail
first, as where an oversampling converter saturates. ``sample``: one sample takes the whole pulse."""

# Columns: time from the R peak (s), width (s), height (mV).
Waves = tuple[tuple[float, float, float], ...]
_NARROW: Final[Waves] = ((-0.14, 0.03, 0.08), (0.0, 0.010, 0.36), (0.03, 0.02, 0.05), (0.26, 0.05, -0.11))
_SMALL: Final[Waves] = ((-0.16, 0.03, 0.04), (0.0, 0.009, 0.24), (0.022, 0.009, -0.12), (0.30, 0.04, 0.12))
_WIDE_DOWN: Final[Waves] = (
    (-0.035, 0.010, 0.15),
    (0.0, 0.016, -0.70),
    (0.04, 0.020, -0.15),
    (0.20, 0.045, 0.16),
    (0.245, 0.035, 0.16),
)
_WIDE_DOWN_TALL_T: Final[Waves] = (
    (-0.035, 0.015, 0.08),
    (0.0, 0.017, -0.60),
    (0.04, 0.022, -0.20),
    (0.275, 0.035, 0.42),
    (0.32, 0.06, 0.18),
)
_WIDE_UP: Final[Waves] = ((-0.02, 0.020, 0.25), (0.0, 0.012, 0.68), (0.26, 0.06, -0.20), (0.20, 0.08, -0.05))
_BIDIRECTIONAL: Final[Waves] = (
    (-0.03, 0.016, 0.45),
    (0.0, 0.018, 0.70),
    (0.04, 0.020, -0.15),
    (0.25, 0.050, -0.30),
)
_BIDIRECTIONAL_DOWN: Final[Waves] = tuple((at, width, -0.9 * mv) for at, width, mv in _BIDIRECTIONAL)


@dataclass(frozen=True, slots=True)
class Irregular:
    """A rhythm that repeats: period in seconds, and beats as (time in the period, waves)."""

    rate_bpm: float
    period_s: float
    beats: tuple[tuple[float, Waves], ...]


IRREGULAR: Final = {
    # Intervals of 3a and 3b as recordings show them.
    "3a": Irregular(80, 1.5, ((0.40, _NARROW), (0.95, _WIDE_DOWN))),
    "3b": Irregular(60, 4.0, ((0.34, _WIDE_DOWN_TALL_T), (1.56, _SMALL), (2.14, _WIDE_UP), (3.55, _SMALL))),
    "3c": Irregular(120, 2.0, ((0.20, _WIDE_DOWN), (0.80, _NARROW), (1.20, _WIDE_UP), (1.78, _NARROW))),
    "3d": Irregular(90, 4 / 3, ((0.30, _BIDIRECTIONAL), (0.30 + 2 / 3, _BIDIRECTIONAL_DOWN))),
}
"""Ventricular bigeminy, slow and rapid alternating ventricular bigeminy, bidirectional systoles: the rate is
that of all complexes."""

TACHYCARDIA_BPM: Final = {"4a": 206.0, "4b": 195.0}
TACHYCARDIA_MVPP: Final = {"4a": 1.0, "4b": 2.0}
_HARMONICS: Final = {
    # Height and phase of the fundamental and its harmonics: broad complexes, no isoelectric line.
    "4a": ((1.0, 0.0), (0.45, 0.9), (0.16, 2.0), (0.06, 0.4)),
    "4b": ((1.0, 0.0), (0.28, 2.1), (0.10, 0.7), (0.03, 1.9)),
}


def seconds(length_s: float, fs_hz: float) -> WideFloatArray:
    """Sample times from 0."""
    return np.arange(round(length_s * fs_hz)) / fs_hz


def bells(times_s: WideFloatArray, beats_s: Sequence[float], waves: Waves) -> WideFloatArray:
    """Beats made of Gaussian waves."""
    line = np.zeros(len(times_s))
    for beat_s in beats_s:
        near = slice(*np.searchsorted(times_s, (beat_s - 0.4, beat_s + 0.7)))
        for at_s, width_s, mv in waves:
            line[near] += mv * np.exp(-0.5 * ((times_s[near] - beat_s - at_s) / width_s) ** 2)
    return line


def irregular(name: str, length_s: float, fs_hz: float) -> tuple[FloatArray, WideFloatArray]:
    """One of :data:`IRREGULAR`.

    Returns
    -------
    line : ndarray of float32, shape (n_samples,)
    beats_s : ndarray, shape (n_beats,)
        Its complexes.
    """
    rhythm = IRREGULAR[name]
    times_s = seconds(length_s, fs_hz)
    line, found = np.zeros(len(times_s)), []
    for first_s, waves in rhythm.beats:
        beats_s = np.arange(first_s, length_s, rhythm.period_s)
        line += bells(times_s, beats_s.tolist(), waves)
        found.append(beats_s)
    return line.astype(np.float32), np.sort(np.concatenate(found))


def triangles(
    beats_s: Sequence[float], length_s: float, fs_hz: float, *, qrs_mv: float = 1.0, qrs_s: float = 0.1
) -> WideFloatArray:
    """QRS complexes as the standard's generator draws them: an upright triangle, then a small one below.

    ``qrs_s`` is the whole duration; R takes four fifths of it, S the rest at an eighth of R's height.
    """
    times_s = seconds(length_s, fs_hz)
    line = np.zeros(len(times_s))
    at = np.array([-0.4, 0.0, 0.4, 0.5, 0.6]) * qrs_s
    for beat_s in beats_s:
        line += np.interp(times_s - beat_s, at, [0.0, qrs_mv, 0.0, -qrs_mv / 8, 0.0])
    return line


def tall_t(
    beats_s: Sequence[float], length_s: float, fs_hz: float, t_mv: float, *, qrs_mv: float = 1.0
) -> FloatArray:
    """QRS of 1 mV and 100 ms with a T wave of 180 ms that ends 350 ms after the QRS began.

    The T wave is half a sine, as in conforming generators; there is no P wave.
    """
    line = triangles(beats_s, length_s, fs_hz, qrs_mv=qrs_mv)
    times_s = seconds(length_s, fs_hz)
    for beat_s in beats_s:
        into = (times_s - (beat_s - 0.04) - 0.17) / 0.18
        line += np.where((into > 0) & (into < 1), t_mv * np.sin(np.pi * np.clip(into, 0, 1)), 0.0)
    return line.astype(np.float32)


def tachycardia(name: str, length_s: float, fs_hz: float, *, size: float = 1.0, seed: int = 0) -> FloatArray:
    """Ventricular tachycardia 4a (1 mV peak to peak, 206/min) or 4b (2 mV, 195/min), times ``size``.

    The standard halves and doubles both. A few percent of heights and intervals change from beat to beat.
    """
    rng = np.random.default_rng(seed)
    times_s = seconds(length_s, fs_hz)
    knots = np.arange(0, length_s + 2, 0.5)
    sway = np.interp(times_s, knots, rng.normal(0, 0.10, len(knots)))
    swell = 1 + np.interp(times_s, knots, rng.normal(0, 0.05, len(knots)))
    phase = 2 * np.pi * TACHYCARDIA_BPM[name] / 60 * times_s + sway
    line = np.zeros(len(times_s))
    for order, (height, turn) in enumerate(_HARMONICS[name], 1):
        line += height * np.sin(order * phase + turn)
    line *= TACHYCARDIA_MVPP[name] * size / np.ptp(line) * swell
    return line.astype(np.float32)


def pulses(
    at_s: Sequence[float], length_s: float, fs_hz: float, mv: float, width_s: float, front_end: str
) -> FloatArray:
    """Pacing pulses without tails as they are found in the samples.

    Parameters
    ----------
    at_s : sequence of float
        When they begin.
    length_s, fs_hz : float
        Of the line.
    mv, width_s : float
        Height (with sign) and duration; the standard names ±2 to ±700 mV and 0.1 to 2 ms.
    front_end : str
        One of :data:`FRONT_ENDS`.
    """
    n_samples = round(length_s * fs_hz)
    line = np.zeros(n_samples)
    every = round(FINE_HZ / fs_hz)
    reach = round(0.2 * fs_hz)
    for begin_s in at_s:
        first = round(begin_s * fs_hz) - reach // 4
        fine_s = first / fs_hz + np.arange((reach + 1) * every) / FINE_HZ
        drawn = np.where((fine_s >= begin_s) & (fine_s < begin_s + width_s), mv, 0.0)
        part = _through(front_end, drawn, every, fs_hz)
        inside = (np.arange(len(part)) + first >= 0) & (np.arange(len(part)) + first < n_samples)
        line[np.arange(len(part))[inside] + first] += part[inside]
    return np.clip(line, -RANGE_MV, RANGE_MV).astype(np.float32)


def _through(front_end: str, drawn: WideFloatArray, every: int, fs_hz: float) -> WideFloatArray:
    if front_end == "mean":
        whole = drawn[: len(drawn) // every * every].reshape(-1, every)
        return np.asarray(whole.mean(axis=1))
    if front_end == "sample":
        whole = drawn[: len(drawn) // every * every].reshape(-1, every)
        strongest = np.abs(whole).max(axis=1)
        first = strongest.argmax()
        part = np.zeros(len(whole))
        part[first] = whole[first, np.abs(whole[first]).argmax()]
        return part
    if front_end == "clip, filter":
        drawn = np.clip(drawn, -RANGE_MV, RANGE_MV)
    sos = signal.butter(4, 0.4 * fs_hz, fs=FINE_HZ, output="sos")
    return np.asarray(signal.sosfilt(sos, drawn)[::every])
