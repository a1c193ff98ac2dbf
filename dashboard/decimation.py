"""Thinning a trace for display without losing its peaks."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from ingest.types import FloatArray

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
