"""The rate of a line's waves where it has no beats to count: fast tachycardia, flutter and fibrillation.

The beats of a ventricular tachycardia merge into waves as it quickens, and few of them are found; the network
may also take a fibrillation for one. The rate is then the frequency at which the line's power stands.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ingest.types import BoolArray, FloatArray, WideFloatArray

LAST_S: Final = 4.0
BAND_HZ: Final = (1.0, 12.0)
LEAST_HZ: Final = 4.0
"""Slower waves may be the beats, or the T waves, of another rhythm: beats tell."""

NEAR_HZ: Final = 0.6
LEAST_SHARE: Final = 0.5
"""So much of the band's power lies within ``NEAR_HZ`` of the peak, or there is no one frequency."""


def wave_rate_bpm(windows: FloatArray, fs_hz: float, wanted: BoolArray) -> WideFloatArray:
    """Rate of the waves in the last seconds of windows.

    Parameters
    ----------
    windows : ndarray of float32, shape (n_windows, n_times)
        Conditioned leads, mV.
    fs_hz : float
        Their rate.
    wanted : ndarray of bool, shape (n_windows,)
        Where to look; the rest costs nothing.

    Returns
    -------
    ndarray of float64, shape (n_windows,)
        Per minute; NaN where not wanted, or where the line has no such waves.
    """
    rates = np.full(len(windows), np.nan)
    rows = np.flatnonzero(wanted)
    if len(rows) == 0:
        return rates
    ends = windows[rows, -round(LAST_S * fs_hz) :].astype(np.float64)
    ends = (ends - ends.mean(axis=1, keepdims=True)) * np.hanning(ends.shape[1])
    n_fft = 2 * ends.shape[1]
    hz = np.fft.rfftfreq(n_fft, 1 / fs_hz)
    band = (hz >= BAND_HZ[0]) & (hz <= BAND_HZ[1])
    power = np.abs(np.fft.rfft(ends, n_fft, axis=1)[:, band]) ** 2
    peak_hz = hz[band][power.argmax(axis=1)]
    near = np.abs(hz[band] - peak_hz[:, None]) <= NEAR_HZ
    total = power.sum(axis=1)
    share = (power * near).sum(axis=1) / np.where(total > 0, total, 1.0)
    rates[rows] = np.where((peak_hz >= LEAST_HZ) & (share >= LEAST_SHARE), 60.0 * peak_hz, np.nan)
    return rates
