"""Thinning a trace for display without losing its peaks."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np

from ingest.types import FloatArray

SMOOTH_HZ: Final = 256.0
"""Above this rate an EEG is low-passed and thinned."""
TAPS_A_SIDE: Final = 8
"""Of the low-pass, in samples that are kept."""
DISPLAY_HZ: Final = 250.0
"""Above this rate a trace is thinned: 25 mm/s at 96 dpi is 95 pixels a second."""


class PeakDecimator:
    """Thin a signal to at most :data:`DISPLAY_HZ`, keeping the extremes of every group of samples.

    Of each ``2 * factor`` samples the least and the greatest stay, in the order in which they came, so a
    narrow QRS or a pacing spike keeps its height. Chunks of any size give the same output.

    Parameters
    ----------
    fs_hz : float
        Rate of the input.
    n_channels : int
        Channels of the input.
    """

    __slots__ = ("_held", "factor", "fs_hz")

    settle: Final = 0
    """Missing samples after which nothing of what came before them waits."""

    def __init__(self, fs_hz: float, n_channels: int) -> None:
        self.factor = max(1, math.ceil(fs_hz / DISPLAY_HZ))
        self.fs_hz = fs_hz / self.factor
        self._held: FloatArray = np.empty((0, n_channels), dtype=np.float32)

    @property
    def n_held(self) -> int:
        """Input samples that wait for their group to fill."""
        return int(self._held.shape[0])

    def push(self, samples: FloatArray) -> FloatArray:
        """Take samples ``(n_samples, n_channels)``, NaN where missing; return the thinned ones so far."""
        if self.factor == 1:
            return samples
        whole = np.concatenate([self._held, samples]) if self.n_held else samples
        size = 2 * self.factor
        n_groups = whole.shape[0] // size
        self._held = whole[n_groups * size :].copy()
        groups = whole[: n_groups * size].reshape(n_groups, size, whole.shape[1])
        missing = np.isnan(groups)
        lowest = np.where(missing, np.inf, groups).argmin(axis=1)
        highest = np.where(missing, -np.inf, groups).argmax(axis=1)
        ends = np.sort(np.stack([lowest, highest], axis=1), axis=1)
        thinned: FloatArray = np.take_along_axis(groups, ends, axis=1)
        return thinned.reshape(n_groups * 2, whole.shape[1])


class SmoothDecimator:
    """Thin a signal to at most :data:`SMOOTH_HZ` behind a linear-phase low-pass, all channels at one moment.

    Differences of channels (montages) and spectra hold, which those of peaks would not. An output whose
    filter meets a missing sample is missing. Chunks of any size give the same output.

    Parameters
    ----------
    fs_hz : float
        Rate of the input.
    n_channels : int
        Channels of the input.
    """

    __slots__ = ("_held", "_n_before", "_taps", "factor", "fs_hz", "settle")

    def __init__(self, fs_hz: float, n_channels: int) -> None:
        self.factor = max(1, math.ceil(fs_hz / SMOOTH_HZ))
        self.fs_hz = fs_hz / self.factor
        reach = TAPS_A_SIDE * self.factor if self.factor > 1 else 0
        self.settle = 2 * reach
        self._n_before = reach
        self._taps = _low_pass(self.factor, reach)
        self._held: FloatArray = np.full((reach, n_channels), np.nan, dtype=np.float32)

    @property
    def n_held(self) -> int:
        """Input samples that wait for the filter to reach them."""
        return int(self._held.shape[0]) - self._n_before

    def push(self, samples: FloatArray) -> FloatArray:
        """Take samples ``(n_samples, n_channels)``, NaN where missing; return the thinned ones so far."""
        if self.factor == 1:
            return samples
        whole = np.concatenate([self._held, samples])
        count = max(0, (whole.shape[0] - len(self._taps)) // self.factor + 1)
        self._held = whole[count * self.factor :].copy()
        if count == 0:
            return np.empty((0, whole.shape[1]), dtype=np.float32)
        pieces = np.lib.stride_tricks.sliding_window_view(whole, len(self._taps), axis=0)
        thinned: FloatArray = pieces[:: self.factor][:count] @ self._taps
        return thinned


@lru_cache(maxsize=32)
def _low_pass(factor: int, reach: int) -> FloatArray:
    from scipy.signal import firwin

    taps: FloatArray = (
        firwin(2 * reach + 1, 0.85 / factor).astype(np.float32) if reach else np.ones(1, np.float32)
    )
    return taps
