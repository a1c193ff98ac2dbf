"""Whether a bed is in atrial fibrillation: the network's windows of the last minute and irregular R-R.

Fibrillation comes and goes within minutes and the network's word on single windows flickers, so that its
beginning and end are told from many windows, each once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from inference.beats import LABELS, RecentBeats, row_medians
from ingest.types import BoolArray, IntArray, WideFloatArray

NONE, BEGAN, THERE, ENDED = 0, 1, 2, 3
"""What is known of a bed: no fibrillation; it began, not said yet; it is there; it ended, not said yet."""

BEGIN_S, END_S = 30, 60
"""Windows (1 s apart) that must show it, or not show it, for most of this time."""

BEGIN_SHARE: Final = 0.7
END_SHARE: Final = 0.1
LEAST_KNOWN: Final = 0.7
"""Share of windows that must have been judged."""

IRREGULAR: Final = 0.06
"""Median change from one R-R interval to the next, as a share of the median interval, from which on a rhythm
is irregular."""

LEAST_INTERVALS: Final = 12


class AtrialFibrillation:
    """State of all beds, one row a slot.

    Attributes
    ----------
    windows : ndarray, shape (n_slots, END_S)
        1 where a window showed fibrillation, 0 where not, NaN where it was not judged; newest last.
    phase : ndarray of int64, shape (n_slots,)
        :data:`NONE`, :data:`BEGAN`, :data:`THERE` or :data:`ENDED`.
    """

    def __init__(self, n_slots: int) -> None:
        self.windows = np.full((n_slots, END_S), np.nan)
        self.phase = np.zeros(n_slots, dtype=np.int64)

    def resize(self, n_slots: int) -> None:
        """Make room for more slots."""
        extra = n_slots - len(self.phase)
        if extra > 0:
            self.windows = np.pad(self.windows, ((0, extra), (0, 0)), constant_values=np.nan)
            self.phase = np.pad(self.phase, (0, extra))

    def reset(self, slot: int) -> None:
        """Forget a slot."""
        self.windows[slot], self.phase[slot] = np.nan, NONE

    def step(
        self,
        slots: IntArray,
        windows: WideFloatArray,
        irregular: Callable[[IntArray], BoolArray],
        said_now: BoolArray,
    ) -> tuple[BoolArray, BoolArray]:
        """Take in a window of each of some beds.

        Parameters
        ----------
        slots : ndarray of int64, shape (n_beds,)
            Each once.
        windows : ndarray, shape (n_beds,)
            1 where the window shows fibrillation, 0 where not, NaN where it cannot be judged.
        irregular : callable
            Says of some rows of ``slots`` whether the R-R intervals are irregular (:func:`irregular`); asked
            only where the windows show fibrillation.
        said_now : ndarray of bool, shape (n_beds, 2)
            Whether the alarms of the beginning and of the end are active: then they have been said.

        Returns
        -------
        began, ended : ndarray of bool, shape (n_beds,)
            What is to be said.
        """
        held = np.concatenate([self.windows[slots, 1:], windows[:, None]], axis=1)
        self.windows[slots] = held
        phase = self.phase[slots]
        phase = np.where((phase == BEGAN) & said_now[:, 0], THERE, phase)
        phase = np.where((phase == ENDED) & said_now[:, 1], NONE, phase)
        begins = _share(held[:, -BEGIN_S:]) >= BEGIN_SHARE
        rows = np.flatnonzero(begins)
        begins[rows] = irregular(rows) if len(rows) else False
        ends = 1.0 - _share(held) >= 1.0 - END_SHARE
        phase = np.where(begins & (phase == NONE), BEGAN, phase)
        # An end that nobody was told of is none when fibrillation is there again, nor is such a beginning.
        phase = np.where(begins & (phase == ENDED), THERE, phase)
        phase = np.where(ends & (phase == THERE), ENDED, np.where(ends & (phase == BEGAN), NONE, phase))
        self.phase[slots] = phase
        return phase == BEGAN, phase == ENDED


def _share(windows: WideFloatArray) -> WideFloatArray:
    """Share of judged windows that show it; NaN where too few were judged."""
    known = ~np.isnan(windows)
    count = known.sum(axis=1)
    enough = count >= LEAST_KNOWN * windows.shape[1]
    return np.where(enough, np.where(known, windows, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)


def irregular(beats: RecentBeats) -> BoolArray:
    """Whether intervals between beats that are not ventricular change from one to the next; (n_beds,)."""
    normal = beats.labels != LABELS.index("V")
    intervals_s = np.where(normal[:, 1:] & normal[:, :-1], beats.intervals_s, np.nan)
    change_s = np.abs(np.diff(intervals_s, axis=1))
    enough = (~np.isnan(change_s)).sum(axis=1) >= LEAST_INTERVALS
    some = enough[:, None]
    typical_s = row_medians(np.where(some, intervals_s, 1.0))
    return np.asarray(enough & (row_medians(np.where(some, change_s, 0.0)) >= IRREGULAR * typical_s))
