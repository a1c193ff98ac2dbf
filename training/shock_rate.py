"""Rate of a tachycardia where no beats are marked: a fixed rule, no model in it.

A regular rhythm repeats itself: its period is where the autocorrelation of the leads peaks. Where nothing
repeats (polymorphic tachycardia), deflections are counted.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import signal

from training.sources import FloatArray, WideFloatArray

SLOWEST_BPM: Final = 40.0
FASTEST_BPM: Final = 350.0
FIRST_PEAK: Final = 0.85
"""The period is the shortest lag whose peak reaches this share of the highest: not two periods at once."""

REGULAR: Final = 0.5
"""Autocorrelation at the period from which a rhythm counts as regular (monomorphic)."""

DEFLECTION_BAND_HZ: Final = (1.0, 10.0)
DEFLECTION: Final = 0.75
"""Least prominence of a counted deflection, in standard deviations of the band-passed lead."""

SMOOTHED: Final = 9
"""Windows, 1 s apart, whose median is the rate in their middle."""


def autocorrelation(windows: FloatArray) -> WideFloatArray:
    """Unbiased autocorrelation along the last axis, 1 at lag 0, (..., N) to (..., N)."""
    n = windows.shape[-1]
    centred = windows - windows.mean(-1, keepdims=True, dtype=np.float64)
    spectrum = np.fft.rfft(centred, 2 * n)
    product = np.fft.irfft(np.abs(spectrum) ** 2)[..., :n] / (np.arange(n, 0, -1) / n)
    return np.asarray(product / np.maximum(product[..., :1], 1e-12), dtype=np.float64)


def periods(windows: FloatArray, fs_hz: float) -> tuple[WideFloatArray, WideFloatArray]:
    """Rate by the period at which the leads repeat themselves.

    Parameters
    ----------
    windows : ndarray, shape (n_windows, n_leads, n_samples)
        Conditioned signal.
    fs_hz : float
        Its rate.

    Returns
    -------
    bpm : ndarray of float64, shape (n_windows,)
        NaN where the autocorrelation has no peak between 40 and 350 per minute.
    regularity : ndarray of float64, shape (n_windows,)
        Autocorrelation there, mean over leads; 1 is perfect repetition.
    """
    mean = autocorrelation(windows).mean(1)
    first = int(fs_hz * 60 / FASTEST_BPM)
    last = min(int(fs_hz * 60 / SLOWEST_BPM), windows.shape[-1] * 3 // 4)
    here, before, after = mean[:, first:last], mean[:, first - 1 : last - 1], mean[:, first + 1 : last + 1]
    peak = np.where((here >= before) & (here > after) & (here > 0), here, -np.inf)
    best = peak.max(1, keepdims=True)
    lag = (peak >= FIRST_PEAK * best).argmax(1)
    found = np.isfinite(best[:, 0])
    row = np.arange(len(lag))
    bend = before[row, lag] - 2 * here[row, lag] + after[row, lag]
    shift = 0.5 * (before[row, lag] - after[row, lag]) / np.where(np.abs(bend) > 1e-9, bend, 1.0)
    bpm = np.where(found, 60 * fs_hz / (first + lag + np.clip(shift, -0.5, 0.5)), np.nan)
    return bpm, np.where(found, here[row, lag], 0.0)


def deflections(windows: FloatArray, fs_hz: float) -> WideFloatArray:
    """Rate by counting upward deflections of the 1 to 10 Hz band; the lead with more of them counts.

    Parameters and shapes as in :func:`periods`.
    """
    sos = signal.butter(2, DEFLECTION_BAND_HZ, "bandpass", fs=fs_hz, output="sos")
    # Zero-phase filtering is no part of what a model sees: it only makes labels.
    slow = signal.sosfiltfilt(sos, windows, axis=-1)
    deviation = slow.std(-1)
    counted = np.zeros(windows.shape[:2])
    for index in np.ndindex(*windows.shape[:2]):
        peaks, _ = signal.find_peaks(slow[index], prominence=max(DEFLECTION * deviation[index], 1e-6))
        if len(peaks) > 1:
            counted[index] = 60 * fs_hz * (len(peaks) - 1) / (peaks[-1] - peaks[0])
    return np.asarray(counted.max(1), dtype=np.float64)


def rate_track(span: FloatArray, fs_hz: float, window: int) -> tuple[WideFloatArray, WideFloatArray]:
    """Rate and regularity each second of a span of one rhythm.

    Parameters
    ----------
    span : ndarray, shape (n_leads, n_samples)
        At least one window long.
    fs_hz : float
        Rate of the signal.
    window : int
        Samples of a window.

    Returns
    -------
    bpm, regularity : ndarray of float64, shape (n_windows,)
        Of the window that begins that many seconds after the span; ``bpm`` is a running median.
    """
    cut: npt.NDArray[np.float32] = np.lib.stride_tricks.sliding_window_view(span, window, axis=1)
    windows = np.ascontiguousarray(cut[:, :: round(fs_hz)].transpose(1, 0, 2))
    bpm, regularity = periods(windows, fs_hz)
    irregular = ~(regularity >= REGULAR)
    if irregular.any():
        bpm[irregular] = deflections(windows[irregular], fs_hz)
    around = np.pad(bpm, SMOOTHED // 2, mode="edge")
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(around, SMOOTHED), axis=1)
    return smooth, regularity
