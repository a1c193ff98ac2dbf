"""What a found beat must be besides what the network says of it: more than the noise of its line.

The network is used to beats; in the bare noise of an asystole it now and then finds one, and the pause would
seem to be over. Monitors that conform to ANSI/AAMI EC13 take deflections up to 0.15 mV for no QRS; leads of
real patients show smaller ones, which stand out of a quiet line. So a small deflection counts where it does.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ingest.types import BoolArray, FloatArray, IntArray, WideFloatArray

LEAST_QRS_MV: Final = 0.15
"""Peak-to-peak deflection from which a beat is never questioned."""

STANDS_OUT: Final = 6.0
"""Peak to peak over standard deviation from which a smaller one is no noise: of 200 places in white noise of
20 and 30 µV that the network took for beats, two reached it."""

REACH_S: Final = 0.08
"""Span on each side of the peak: a wide QRS."""

NOISE_S: Final = 4.0
"""The line's noise is measured over so much of the window's end, from the differences of its samples: they
leave out waves and wander."""


def stands_out(windows: FloatArray, fs_hz: float, row: IntArray, at: IntArray) -> BoolArray:
    """Which beats are more than the noise of their line.

    Parameters
    ----------
    windows : ndarray of float32, shape (n_windows, n_times)
        Conditioned leads, mV.
    fs_hz : float
        Their rate.
    row, at : ndarray of int64, shape (n,)
        Window and sample of each beat's peak.
    """
    reach = round(REACH_S * fs_hz)
    around = np.clip(at[:, None] + np.arange(-reach, reach + 1), 0, windows.shape[1] - 1)
    height: WideFloatArray = np.ptp(windows[row[:, None], around], axis=1).astype(np.float64)
    fine = height >= LEAST_QRS_MV
    small = np.flatnonzero(~fine)
    if len(small):
        ends = windows[row[small], -round(NOISE_S * fs_hz) :]
        # In a band of a third of the rate, as here, differences of white noise spread as the noise does.
        noise = np.median(np.abs(np.diff(ends, axis=1)), axis=1) / 0.6745
        fine[small] = height[small] >= STANDS_OUT * noise
    return np.asarray(fine, dtype=np.bool_)
