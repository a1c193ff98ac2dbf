"""Which found beats are believed: noise between beats, and a line that has lost them, look like beats too.

In noise the network finds lone "beats" that it is half sure of (0.35 to 0.8) and that are much smaller than
the bed's own. A beat of which it is sure counts, whatever its height.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ingest.types import BoolArray, FloatArray, IntArray, WideFloatArray

SURE: Final = 0.9
"""Probability from which a beat is believed as it is."""

LEAST_SHARE: Final = 0.3
"""Of the bed's usual height, below which one is not believed that the network is not sure of."""

STILL: Final = 0.5
"""Probability of asystole from which a window's beats must be sure."""

REACH_S: Final = 0.08
"""Half the width of the widest QRS."""


def heights_mv(windows: FloatArray, fs_hz: float, row: IntArray, at: IntArray) -> WideFloatArray:
    """Deflection around peaks, peak to peak.

    Parameters
    ----------
    windows : ndarray of float32, shape (n_windows, n_times)
        Conditioned leads, mV.
    fs_hz : float
        Their rate.
    row, at : ndarray of int64, shape (n,)
        Window and sample of each peak.
    """
    reach = round(REACH_S * fs_hz)
    around = np.clip(at[:, None] + np.arange(-reach, reach + 1), 0, windows.shape[1] - 1)
    return np.asarray(np.ptp(windows[row[:, None], around], axis=1), dtype=np.float64)


def believed(
    probabilities: WideFloatArray, heights: WideFloatArray, typical_mv: WideFloatArray, still: FloatArray
) -> BoolArray:
    """Which beats count. All arrays have shape (n,).

    Parameters
    ----------
    probabilities, heights : ndarray
        That there is a beat, and its deflection, mV.
    typical_mv : ndarray
        The bed's usual height; NaN where it is not known yet.
    still : ndarray
        Probability of asystole in the window in which the beat was found.
    """
    small = np.nan_to_num(heights / typical_mv, nan=1.0) < LEAST_SHARE
    doubtful = small | (still >= STILL)
    return np.asarray((probabilities >= SURE) | ~doubtful, dtype=np.bool_)
