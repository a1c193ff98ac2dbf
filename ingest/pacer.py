"""Removal of pacing pulses from a sampled ECG, before any filter smears them into something like a QRS.

A pulse of a pacemaker lasts 0.1 to 2 ms. Whatever the front end makes of it, in the samples it leaves a quiet
line within one or two samples and is back within a few, which no heart does: the narrowest QRS takes 40 ms. A
pulse found so is replaced by the median around it. The idea is that of the pace pulse eliminators in monitors
(US patents 4,832,041 and EP 1,435,217: steep, short, back to the line before); the rule here is our own. At
less than :data:`LEAST_HZ` a pulse cannot be told from a narrow R wave and nothing is removed. At 250 Hz the
same holds for pulses of around 1 mV·ms: each leaves a quarter of a millivolt in one sample, nearly as the
small beats of EC13's waveform 3b do. Of such pulses some remain, and about one in a hundred is then counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from ingest.types import BoolArray, WideFloatArray

LEAST_HZ: Final = 200.0
LEAST_MV: Final = 0.2
"""Smaller pulses stay: the filters leave less of them than the least QRS."""

QUIET_S: Final = 0.020
"""So long before a pulse the line must be quiet."""

QUIET_SHARE: Final = 0.25
"""How much the line may move then, and stand off when the pulse is over, as a share of the pulse's height."""

QUIET_MV: Final = 0.07
"""So much it may move then in any case: the noise of a good line."""

BACK_S: Final = 0.010
"""A pulse is back by then."""

RINGING: Final = 6
"""Samples after its peak in which a front end that cuts off below half the rate still rings."""

RAILED_MV: Final = 5.0
RAILED_RINGING: Final = 10
"""The same of a pulse that drove the front end to its rail, and perhaps far beyond."""

BEFORE: Final = 14
"""Samples before one over which the median is taken, with those known after it: more than a pulse fills."""


@dataclass(frozen=True, slots=True)
class PulseRemover:
    """Takes pacing pulses out of ECG of one rate. Without state: what it needs of the past is passed in.

    Parameters
    ----------
    fs_hz : float
        Sampling rate.
    """

    fs_hz: float

    @property
    def works(self) -> bool:
        """Whether the rate is high enough to tell a pulse from a QRS."""
        return self.fs_hz >= LEAST_HZ

    @property
    def _rise(self) -> int:
        """Samples before the peak that a pulse may have touched."""
        return 1 + math.ceil(0.002 * self.fs_hz)

    @property
    def _quiet(self) -> int:
        return round(QUIET_S * self.fs_hz)

    @property
    def _back(self) -> int:
        return math.ceil(BACK_S * self.fs_hz)

    @property
    def ahead(self) -> int:
        """Samples after one that must be known before it is final; the delay, in samples."""
        return self._rise + self._back if self.works else 0

    @property
    def behind(self) -> int:
        """Samples before one that its value depends on."""
        return max(BEFORE, RAILED_RINGING + self._rise + self._quiet) if self.works else 0

    def __call__(self, line: WideFloatArray) -> WideFloatArray:
        """Remove pulses.

        Parameters
        ----------
        line : ndarray, shape (..., behind + n + ahead)
            In mV, without missing samples.

        Returns
        -------
        ndarray, shape (..., n)
            The samples between ``behind`` and ``ahead``.
        """
        n = line.shape[-1] - self.behind - self.ahead
        kept = line[..., self.behind : self.behind + n]
        if not self.works or n <= 0:
            return kept
        where = np.nonzero(self._touched(line, n))
        if len(where[0]) == 0:
            return kept
        around = where[-1][:, None] + self.behind + np.arange(-BEFORE, self.ahead + 1)
        cleaned = kept.copy()
        cleaned[where] = np.median(line[(*(axis[:, None] for axis in where[:-1]), around)], axis=-1)
        return cleaned

    def _touched(self, line: WideFloatArray, n: int) -> BoolArray:
        """Which of the ``n`` middle samples belong to a pulse."""
        # Peaks that matter lie up to the ringing before and the rise after the samples asked for.
        first, count = self.behind - RAILED_RINGING, n + RAILED_RINGING + self._rise
        peaks = self._peaks(line, first, count)
        railed = peaks & (np.abs(line[..., first : first + count]) >= RAILED_MV)
        touched = np.zeros((*line.shape[:-1], n), dtype=np.bool_)
        for shift in range(RAILED_RINGING + self._rise + 1):
            rings = railed if shift < RAILED_RINGING - RINGING else peaks
            touched |= rings[..., shift : shift + n]
        return touched

    def _peaks(self, line: WideFloatArray, first: int, count: int) -> BoolArray:
        """Samples from ``first`` on that stand off a line that was quiet before and is back soon after."""
        part = line[..., first : first + count]
        # Few samples stand so far off the one before the rise; no other can be a peak.
        least_rise = LEAST_MV - max(QUIET_SHARE * LEAST_MV, QUIET_MV) / 2
        rise = part - line[..., first - self._rise : first - self._rise + count]
        peaks: BoolArray = np.abs(rise) >= least_rise
        where = np.nonzero(peaks)
        if len(where[0]) == 0:
            return peaks
        around = where[-1][:, None] + first + np.arange(-self._quiet, self._back + 1)
        near = line[(*(axis[:, None] for axis in where[:-1]), around)]
        before, after = near[:, : self._quiet - self._rise + 1], near[:, self._quiet + 1 :]
        low, high = before.min(axis=1), before.max(axis=1)
        height = near[:, self._quiet] - (low + high) / 2
        left = (np.sign(height)[:, None] * (after - ((low + high) / 2)[:, None])).min(axis=1)
        # On the rise of a small R wave the line before is still quiet: at its peak it is not.
        size = np.abs(near[:, self._quiet - 1 : self._quiet + 2] - ((low + high) / 2)[:, None])
        peak = (size[:, 1] >= RAILED_MV) | (size[:, 1] >= size.max(axis=1))
        quiet = np.maximum(QUIET_SHARE * size[:, 1], QUIET_MV)
        peaks[where] = peak & (size[:, 1] >= LEAST_MV) & (high - low <= quiet) & (left <= quiet)
        return peaks
