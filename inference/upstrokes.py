"""Systolic upstrokes in windows of many streams at once.

The slope sum function of Zong, Heldt, Moody and Mark, "An open-source algorithm to detect onset of arterial
blood pressure pulses", Computers in Cardiology 30 (2003) 259-262: how far the wave rose within the time that
an upstroke takes. A pulse is where it is largest around and over a threshold that the stream's past gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage

from ingest.conditioning import PULSE
from ingest.types import BoolArray, FloatArray, IntArray, WideFloatArray

RISE: Final = round(0.16 * PULSE.rate_hz)
"""Samples that an upstroke takes, about."""

APART: Final = round(0.28 * PULSE.rate_hz)
"""Samples around a pulse without a higher one; so much must have come after it before it is known."""

BEFORE: Final = round(0.24 * PULSE.rate_hz)
SHAPE: Final = BEFORE + APART
"""Samples of a pulse's shape: from :data:`BEFORE` its top to :data:`APART` after."""


AROUND: Final = np.arange(-BEFORE, APART)


@dataclass(frozen=True, slots=True)
class Upstrokes:
    """Pulses found, sorted by row, then time. Shapes (n_pulses,), ``shapes`` (n_pulses, SHAPE).

    ``row`` and ``at`` point into the windows; ``rises`` is how far the wave rose, in its own unit; shapes are
    without mean and of length 1.
    """

    row: IntArray
    at: IntArray
    rises: WideFloatArray
    shapes: WideFloatArray

    def where_present(self, present: BoolArray) -> Upstrokes:
        """Those of which no sample was missing; ``present`` (n_windows, n_times)."""
        whole = present[self.row[:, None], self.at[:, None] + AROUND].all(axis=1)
        return Upstrokes(self.row[whole], self.at[whole], self.rises[whole], self.shapes[whole])


def slope_sum(windows: FloatArray) -> WideFloatArray:
    """How far each stream rose over the last :data:`RISE` samples; shape (n_windows, n_times).

    Summed term by term: while the wave falls the sum stays bit for bit as it was, so that its first sample is
    the top of the upstroke however the stream was cut.
    """
    steps = np.diff(windows.astype(np.float64), axis=1, prepend=windows[:, :1])
    up = np.pad(np.maximum(steps, 0.0), ((0, 0), (RISE - 1, 0)))
    n_times = windows.shape[1]
    total = up[:, :n_times].copy()
    for begin in range(1, RISE):
        total += up[:, begin : begin + n_times]
    return total


def find(windows: FloatArray, sums: WideFloatArray, least: WideFloatArray, begin: int) -> Upstrokes:
    """Pulses from sample ``begin`` to :data:`APART` before the windows' end.

    Parameters
    ----------
    windows : ndarray of float32, shape (n_windows, n_times)
        Conditioned to :data:`ingest.conditioning.PULSE`.
    sums : ndarray of float64, shape (n_windows, n_times)
        Their :func:`slope_sum`.
    least : ndarray of float64, shape (n_windows,)
        Sum that makes a pulse.
    begin : int
        At least :data:`SHAPE` and :data:`APART`.
    """
    first = begin - APART
    around = ndimage.maximum_filter1d(sums[:, first:], 2 * APART + 1, axis=1, mode="nearest")
    end = sums.shape[1] - APART
    here = sums[:, begin:end]
    top = (here == around[:, APART:-APART]) & (here > sums[:, begin - 1 : end - 1]) & (here >= least[:, None])
    row, at = np.nonzero(top)
    at += begin
    segments = windows[row[:, None], at[:, None] + AROUND].astype(np.float64)
    return Upstrokes(row, at, sums[row, at], unit(segments))


def unit(segments: WideFloatArray) -> WideFloatArray:
    """Rows without mean and of length 1; zeros where a row is flat."""
    centred = segments - segments.mean(axis=1, keepdims=True)
    length = np.sqrt((centred * centred).sum(axis=1, keepdims=True))
    return np.asarray(centred / np.where(length > 0, length, 1.0))
