"""Rhythm that no brain makes: an EEG that repeats itself seconds later, wave by wave, in many derivations.

A seizure evolves, and its rhythm wavers: a few seconds later its waves are out of step with what they were,
though one wave is still like the next. A hand, a pump or a bed keeps its pace: its waves are as like after
three seconds as after one period. Both likenesses sink alike in noise, so that their ratio tells them apart
whatever lies over them.

Shape legend: B beds, C channels, N samples.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import fft

FloatArray = npt.NDArray[np.float32]
WideArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

SPAN_S: Final = 6
"""Seconds that are looked at, the newest last."""
PERIOD_S: Final = (0.11, 1.1)
"""Periods of a rhythm: 0.9 to 9 Hz."""
LATER_S: Final = (2.5, 3.5)
"""So much later it is asked whether the waves still fit: some multiple of each period lies within."""
LEAST: Final = 0.6
"""Correlation with the EEG of seconds ago."""
KEPT: Final = 0.85
"""Least share that this is of the correlation with the EEG of one period ago."""
OWN: Final = 0.4
MANY: Final = 1 / 3
"""A derivation takes part from this correlation on; at least this share of them has to, and three: what one
electrode does holds nothing."""
FEWEST: Final = 3
DIPS: Final = 0.3
"""The correlation has to fall below this before it rises again: slow waves are alike at any short lag."""


def _correlation(x_BCN: WideArray) -> tuple[WideArray, WideArray]:
    """Covariance with what was ``lag`` samples before, and what it is at most; (B, C, N) each, by lag."""
    n = x_BCN.shape[-1]
    spectrum = fft.rfft(x_BCN, 2 * n, axis=-1)
    covariance = fft.irfft(np.square(spectrum.real) + np.square(spectrum.imag), axis=-1)[..., :n]
    energy = np.square(x_BCN)
    early = np.cumsum(energy, axis=-1)[..., ::-1]
    late = np.cumsum(energy[..., ::-1], axis=-1)[..., ::-1]
    return np.asarray(covariance), np.sqrt(early * late)


def steady(x_BCN: FloatArray, rate_hz: float) -> BoolArray:
    """Which EEGs repeat themselves as a brain's do not.

    Parameters
    ----------
    x_BCN : ndarray of float32, shape (B, C, N)
        The last :data:`SPAN_S` seconds in units of each channel's scale; NaN where missing.
    rate_hz : float
        Of the samples.

    Returns
    -------
    ndarray of bool, shape (B,)
    """
    there = np.isfinite(x_BCN)
    count = np.maximum(there.sum(axis=-1, keepdims=True), 1)
    filled = np.where(there, x_BCN, 0.0).astype(np.float64)
    # What is missing is like nothing: gaps make it less steady, never more.
    filled = np.where(there, filled - filled.sum(axis=-1, keepdims=True) / count, 0.0)
    covariance, most = _correlation(filled)
    later = slice(round(LATER_S[0] * rate_hz), round(LATER_S[1] * rate_hz))
    whole = covariance.sum(axis=1) / np.maximum(most.sum(axis=1), 1e-9)
    until = round(PERIOD_S[1] * rate_hz)
    short = whole[:, :until]
    # From the first dip on: before it a wave is only like itself.
    risen = np.logical_or.accumulate(short < DIPS, axis=1)
    risen[:, : round(PERIOD_S[0] * rate_hz)] = False
    one_period = np.where(risen, short, 0.0).max(axis=1)
    best = later.start + whole[:, later].argmax(axis=1)
    long = np.take_along_axis(whole, best[:, None], axis=1)[:, 0]
    own = np.take_along_axis(covariance / np.maximum(most, 1e-9), best[:, None, None], axis=2)[:, :, 0]
    taking = (own >= OWN).sum(axis=1)
    many = taking >= np.maximum(FEWEST, MANY * there.any(axis=-1).sum(axis=1))
    return np.asarray((long >= LEAST) & (long >= KEPT * one_period) & (one_period > 0) & many)
