"""Beats of all beds as arrays, and what follows from their times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ingest.types import NS_PER_S, BoolArray, IntArray, WideFloatArray

LABELS: Final = ("N", "S", "V", "F")
NORMAL: Final = LABELS.index("N")
VENTRICULAR: Final = LABELS.index("V")
FUSION: Final = LABELS.index("F")
RECENT: Final = 40
"""Beats that the rules look at: 33 for extreme tachycardia, and a margin."""

REMEMBERED: Final = 256
"""Beats kept per bed: those of the last minute, whatever the rate."""

TYPICAL_OF: Final = 16
"""A bed's usual height of beats is the median of so many."""

OF_RATE: Final = 12
"""The heart rate is that of so many intervals."""

REFRACTORY_NS: Final = NS_PER_S // 5
NEVER: Final = np.iinfo(np.int64).min // 4


@dataclass(frozen=True, slots=True)
class RecentBeats:
    """Last beats of some beds, oldest first; shape (n_windows, RECENT).

    ``times_ns`` is :data:`NEVER` and ``labels`` -1 where there was none; ``intervals_s`` (one column
    fewer) is NaN where an end is lacking or data were missing between; ``apart`` is True for what was found
    in or around a lethal rhythm.
    """

    times_ns: IntArray
    labels: IntArray
    intervals_s: WideFloatArray
    apart: BoolArray

    def of(self, rows: IntArray) -> RecentBeats:
        """Of some of the beds, by their rows."""
        return RecentBeats(self.times_ns[rows], self.labels[rows], self.intervals_s[rows], self.apart[rows])


class BeatHistory:
    """Ring of the last beats of each slot."""

    def __init__(self, n_slots: int) -> None:
        self._times = np.full((n_slots, REMEMBERED), NEVER, dtype=np.int64)
        self._labels = np.full((n_slots, REMEMBERED), -1, dtype=np.int64)
        self._apart = np.zeros((n_slots, REMEMBERED), dtype=np.bool_)
        self._heights = np.full((n_slots, TYPICAL_OF), np.nan)
        self._count = np.zeros(n_slots, dtype=np.int64)
        self.clear_since_ns = np.full(n_slots, NEVER, dtype=np.int64)
        """No interval counts that reaches back before this: data were missing or useless."""
        self.last_ns = np.full(n_slots, NEVER, dtype=np.int64)

    def resize(self, n_slots: int) -> None:
        """Make room for more slots."""
        extra = n_slots - len(self._count)
        if extra <= 0:
            return
        self._times = np.pad(self._times, ((0, extra), (0, 0)), constant_values=NEVER)
        self._labels = np.pad(self._labels, ((0, extra), (0, 0)), constant_values=-1)
        self._apart = np.pad(self._apart, ((0, extra), (0, 0)))
        self._heights = np.pad(self._heights, ((0, extra), (0, 0)), constant_values=np.nan)
        self._count = np.pad(self._count, (0, extra))
        self.clear_since_ns = np.pad(self.clear_since_ns, (0, extra), constant_values=NEVER)
        self.last_ns = np.pad(self.last_ns, (0, extra), constant_values=NEVER)

    def reset(self, slot: int) -> None:
        """Forget a slot's beats."""
        self._times[slot], self._labels[slot], self._count[slot] = NEVER, -1, 0
        self._apart[slot] = False
        self.clear_since_ns[slot] = self.last_ns[slot] = NEVER
        self.forget_heights(np.array([slot]))

    def forget_heights(self, slots: IntArray) -> None:
        """Beats are looked for in another lead from now on."""
        self._heights[slots] = np.nan

    def append(
        self, slots: IntArray, times_ns: IntArray, labels: IntArray, heights_mv: WideFloatArray | None = None
    ) -> None:
        """Add beats, sorted by slot and time. Shapes (n_beats,)."""
        if len(slots) == 0:
            return
        first = np.concatenate([[True], slots[1:] != slots[:-1]])
        begins = np.flatnonzero(first)
        lengths = np.diff(np.append(begins, len(slots)))
        rank = np.arange(len(slots)) - np.repeat(begins, lengths)
        at = (self._count[slots] + rank) % REMEMBERED
        self._times[slots, at] = times_ns
        self._labels[slots, at] = labels
        self._apart[slots, at] = False
        self._heights[slots, at % TYPICAL_OF] = np.nan if heights_mv is None else heights_mv
        self._count[slots[begins]] += lengths
        self.last_ns[slots[begins]] = times_ns[begins + lengths - 1]

    def revise(self, slots: IntArray, times_ns: IntArray, labels: IntArray) -> None:
        """Give beats that are remembered another class, found by their times. Shapes (n_beats,)."""
        beat, place = np.nonzero(self._times[slots] == times_ns[:, None])
        self._labels[slots[beat], place] = labels[beat]

    def set_apart(self, slots: IntArray, since_ns: IntArray) -> None:
        """Count no more what was found since a time: waves of a lethal rhythm. Shapes (n_beds,)."""
        self._apart[slots] |= self._times[slots] >= since_ns[:, None]

    def recent(self, slots: IntArray) -> RecentBeats:
        """Last beats of some slots, oldest first."""
        return self._last(slots, RECENT)

    def _last(self, slots: IntArray, n_beats: int) -> RecentBeats:
        at = (self._count[slots][:, None] + np.arange(-n_beats, 0)) % REMEMBERED
        times = self._times[slots[:, None], at]
        labels = self._labels[slots[:, None], at]
        both = (times[:, :-1] > self.clear_since_ns[slots][:, None]) & (times[:, 1:] > NEVER)
        intervals = np.where(both, np.diff(times) / NS_PER_S, np.nan)
        return RecentBeats(times, labels, intervals, self._apart[slots[:, None], at])

    def typical_heights_mv(self, slots: IntArray) -> WideFloatArray:
        """Median height of each bed's last beats, peak to peak; NaN where fewer than half are known."""
        heights = self._heights[slots]
        enough = (~np.isnan(heights)).sum(axis=1) >= TYPICAL_OF // 2
        typical = row_medians(np.where(enough[:, None], heights, 1.0))
        return np.where(enough, typical, np.nan)

    def ventricular_since(self, slots: IntArray, since_ns: IntArray) -> IntArray:
        """How many ventricular beats of each bed came after a time and count. Shapes (n_beds,)."""
        late = (self._times[slots] > since_ns[:, None]) & ~self._apart[slots]
        return np.asarray((late & (self._labels[slots] == VENTRICULAR)).sum(axis=1))

    def state(self, slot: int) -> tuple[list[int], list[int], int]:
        """Times, labels and ``clear_since_ns`` of a slot, for snapshots."""
        beats = self._last(np.array([slot]), REMEMBERED)
        known = beats.labels[0] >= 0
        return (
            beats.times_ns[0][known].tolist(),
            beats.labels[0][known].tolist(),
            int(self.clear_since_ns[slot]),
        )

    def apart_ns(self, slot: int) -> list[int]:
        """Times of a slot's beats that do not count, for snapshots."""
        beats = self._last(np.array([slot]), REMEMBERED)
        times_ns: list[int] = beats.times_ns[0][beats.apart[0] & (beats.labels[0] >= 0)].tolist()
        return times_ns

    def restore_apart(self, slot: int, times_ns: list[int]) -> None:
        """Say again which beats do not count, after the beats."""
        self._apart[slot] = np.isin(self._times[slot], times_ns)

    def heights_mv(self, slot: int) -> WideFloatArray:
        """Heights of a slot's last :data:`TYPICAL_OF` beats, oldest first, for snapshots."""
        return np.asarray(self._heights[slot, self._height_places(slot)])

    def restore_heights(self, slot: int, heights_mv: WideFloatArray) -> None:
        """Put heights back, after the beats."""
        self._heights[slot, self._height_places(slot)] = heights_mv

    def _height_places(self, slot: int) -> IntArray:
        return np.asarray((self._count[slot] + np.arange(-TYPICAL_OF, 0)) % TYPICAL_OF)

    def restore(self, slot: int, times_ns: list[int], labels: list[int], clear_since_ns: int) -> None:
        """Put a slot's beats back."""
        self.reset(slot)
        self.clear_since_ns[slot] = clear_since_ns
        self.append(np.full(len(times_ns), slot), np.array(times_ns, dtype=np.int64), np.array(labels))


def heart_rate_bpm(intervals_s: WideFloatArray) -> WideFloatArray:
    """Heart rate as monitors show it (docs/alarms.md).

    The mean of the last 12 R-R intervals, or of the last 4 when three in a row exceed 1,200 ms.

    Parameters
    ----------
    intervals_s : ndarray, shape (n_beds, n_intervals)
        Oldest first, NaN where there is none.

    Returns
    -------
    ndarray, shape (n_beds,)
        NaN with fewer than two intervals.
    """
    slow = (intervals_s[:, -3:] > 1.2).all(axis=1)
    return np.where(slow, mean_rate_bpm(intervals_s[:, -4:], 2), mean_rate_bpm(intervals_s[:, -OF_RATE:], 2))


def mean_rate_bpm(intervals_s: WideFloatArray, least: int) -> WideFloatArray:
    """Rate from the mean of the intervals that exist; NaN with fewer than ``least`` of them."""
    known = ~np.isnan(intervals_s)
    count = known.sum(axis=1)
    total = np.where(known, intervals_s, 0.0).sum(axis=1)
    enough = (count >= least) & (total > 0)
    return np.where(enough, 60.0 * count / np.where(enough, total, 1.0), np.nan)


def row_medians(values: WideFloatArray) -> WideFloatArray:
    """Median of each row without its NaN, NaN where there is nothing else; (n_rows, n) to (n_rows,).

    The same as ``np.nanmedian``, which takes ten times as long on the few numbers of a second.
    """
    ordered = np.sort(values, axis=1)  # NaN come last.
    count = (~np.isnan(values)).sum(axis=1)
    row = np.arange(len(values))
    low, high = ordered[row, np.maximum(count - 1, 0) // 2], ordered[row, count // 2]
    return np.asarray((low + high) / 2)
