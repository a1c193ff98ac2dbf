"""What the beats network sees of a beat: its signal, how that differs from the usual beat, its timing.

A beat's row holds two pieces of one lead around the peak, then numbers (:data:`CONTEXT`):

1. the signal, divided by the running median of the beats' heights, so that gain does not matter;
2. the same minus the running beat: an average that follows beats like itself quickly and others slowly;
3. logarithms of the R-R interval against the previous one and against running figures of the last 8, 32
   and 96, the interval to the next beat where it is known, how irregular the rhythm is, the beat's height,
   and its correlation with the running beat and with the previous one (features after de Chazal et al. 2004
   and Llamedo & Martinez 2011).

Everything looks back only, but for the interval to the next beat. :func:`rows` makes the rows of whole
sequences for training; :class:`BeatRows` makes them beat by beat for many streams, as the worker finds beats.
Both call the same functions, and a test holds them equal.

Shape legend: n sequences or streams, m beats, T beats that the network sees, H intervals of history.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
WideFloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Number = TypeVar("Number", np.float32, np.float64)

FS_HZ: Final = 125.0
BEFORE: Final = 45
"""Samples of a segment before the beat's peak: 0.36 s, so that the P wave of a long PR interval is inside."""

AFTER: Final = 63
"""Samples from the peak on: 0.5 s."""

SEGMENT: Final = BEFORE + AFTER
PIECES: Final = 2
QRS: Final = slice(BEFORE - 12, BEFORE + 13)
"""Where heights and correlations are taken: 0.1 s to both sides of the peak."""

HISTORY: Final = 96
"""Intervals that the running figures look back over: more than a minute."""

HEIGHTS: Final = 16
UNIT_S: Final = 0.8
SHORTEST_S, LONGEST_S = 0.15, 4.0
"""Intervals are clipped to these."""

ALIKE: Final = 0.7
"""Correlation from which a beat counts as one of the usual ones."""

CONTEXT: Final = (
    "interval",
    "to_previous",
    "to_median_8",
    "to_mean_32",
    "to_mean_96",
    "to_low_32",
    "to_high_32",
    "median_32_to_mean_96",
    "irregularity",
    "interval_known",
    "next_to_interval",
    "next_to_median_8",
    "next_known",
    "height",
    "like_running",
    "like_previous",
)
"""Names of the numbers behind the pieces. Ratios are natural logarithms, clipped to ±2; 0 where unknown."""

N_INTERVAL: Final = CONTEXT.index("interval_known") + 1
ROW: Final = PIECES * SEGMENT + len(CONTEXT)
RUNNING: Final = "running"
"""Name of the second piece, for :func:`shown`."""


def segments_at(signal: FloatArray, positions: IntArray) -> FloatArray:
    """Segments around peaks; beyond the signal's ends its outermost sample is held.

    Parameters
    ----------
    signal : ndarray of float32, shape (n_samples,)
        One conditioned lead at :data:`FS_HZ`.
    positions : ndarray of int64, shape (m,)
        Samples of the peaks.

    Returns
    -------
    ndarray of float32, shape (m, SEGMENT)
    """
    around = positions[:, None] + np.arange(-BEFORE, AFTER)
    return np.asarray(signal[np.clip(around, 0, len(signal) - 1)], dtype=np.float32)


def log_interval(interval_s: WideFloatArray) -> WideFloatArray:
    """Natural logarithm of intervals, clipped to what a heart does."""
    return np.asarray(np.log(np.clip(interval_s, SHORTEST_S, LONGEST_S)), dtype=np.float64)


def medians(values: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """Medians over the last axis: ``np.median`` takes ten times as long on the few numbers of a bed."""
    ordered = np.sort(values, axis=-1)
    n = values.shape[-1]
    middle: npt.NDArray[Number] = ordered[..., n // 2]
    if n % 2 == 0:
        return np.asarray((ordered[..., n // 2 - 1] + middle) / 2, dtype=values.dtype)
    return middle


def interval_context(log_s: WideFloatArray, past: WideFloatArray) -> WideFloatArray:
    """Numbers on an interval among those before it: the first of :data:`CONTEXT`, shape (..., N_INTERVAL).

    Parameters
    ----------
    log_s : ndarray, shape (...)
        Of the interval that ends with the beat.
    past : ndarray, shape (..., H)
        The ones before, oldest first.
    """
    last_32 = np.sort(past[..., -32:], axis=-1)
    median_8 = medians(past[..., -8:])
    seconds = np.exp(past)
    mean_32, mean_96 = np.log(seconds[..., -32:].mean(-1)), np.log(seconds.mean(-1))
    irregularity = medians(np.abs(np.diff(past[..., -16:], axis=-1)))
    median_32 = last_32[..., 16]
    context = np.stack(
        [
            log_s - np.log(UNIT_S),
            log_s - past[..., -1],
            log_s - median_8,
            log_s - mean_32,
            log_s - mean_96,
            log_s - last_32[..., 6],
            log_s - last_32[..., 25],
            median_32 - mean_96,
            5.0 * irregularity - 0.5,
            np.ones_like(log_s),
        ],
        axis=-1,
    )
    return context.clip(-2, 2)


def set_next(beats: FloatArray, next_s: WideFloatArray) -> None:
    """Write the interval to the next beat into rows or their contexts, in place; NaN: it is not known.

    It is held against the row's own interval and the median before it; where that is not known, neither is
    the ratio.

    Parameters
    ----------
    beats : ndarray of float32, shape (..., ROW) or (..., len(CONTEXT))
        Rows, or what is behind their pieces.
    next_s : ndarray, shape (...)
        Seconds.
    """
    context = beats[..., -len(CONTEXT) :]
    known = np.isfinite(next_s) & (context[..., CONTEXT.index("interval_known")] > 0)
    longer = log_interval(np.where(known, next_s, UNIT_S)) - np.log(UNIT_S) - context[..., 0]
    to_median = longer + context[..., CONTEXT.index("to_median_8")]
    begin = CONTEXT.index("next_to_interval")
    values = np.stack([longer, to_median, np.ones_like(longer)], axis=-1).clip(-2, 2)
    context[..., begin : begin + 3] = np.where(known[..., None], values, 0.0)


def correlation(one: FloatArray, other: FloatArray) -> FloatArray:
    """Correlation of the QRS of segments, (..., SEGMENT) to (...)."""
    a, b = one[..., QRS], other[..., QRS]
    a, b = a - a.mean(-1, keepdims=True), b - b.mean(-1, keepdims=True)
    both = np.sqrt((a * a).sum(-1) * (b * b).sum(-1) + 1e-6)
    return np.asarray((a * b).sum(-1) / both, dtype=np.float32)


def height_of(segments: FloatArray) -> FloatArray:
    """Peak to peak of the QRS in the signal's unit, (..., SEGMENT) to (...)."""
    return np.asarray(np.ptp(segments[..., QRS], axis=-1) + 1e-3, dtype=np.float32)


def usual_height(last: FloatArray) -> FloatArray:
    """Median over the last heights, (..., HEIGHTS) to (...)."""
    return np.asarray(medians(last).clip(0.02, None), dtype=np.float32)


def learn(running: FloatArray, segments: FloatArray, like: FloatArray, seen: IntArray) -> FloatArray:
    """The running beat after one more; ``seen`` counts the beats before it. Shapes (n, SEGMENT), (n,)."""
    rate = np.where(like > ALIKE, 0.08, 0.02)
    rate = np.where(seen < 12, np.maximum(rate, 1.0 / (seen + 1)), rate)
    return np.asarray(running + rate[:, None] * (segments - running), dtype=np.float32)


def _shape_context(
    height: FloatArray, usual: FloatArray, like: FloatArray, previous: FloatArray
) -> FloatArray:
    return np.stack([np.log(height / usual).clip(-2, 2), like, previous], axis=-1)


def _windows_before(values: WideFloatArray, length: int) -> WideFloatArray:
    """The ``length`` values before each along the last axis, the first one held: (n, m) to (n, m, length)."""
    padded = np.concatenate([np.repeat(values[:, :1], length, axis=1), values], axis=1)
    return np.lib.stride_tricks.sliding_window_view(padded, length, axis=1)[:, :-1]


def _intervals_of(intervals_s: WideFloatArray, first: IntArray) -> tuple[WideFloatArray, BoolArray]:
    """Logarithms of intervals, and which are known; unknown ones take the sequence's first known."""
    n, m = intervals_s.shape
    known = (np.arange(m) > first[:, None]) & np.isfinite(intervals_s)
    held = intervals_s[np.arange(n), known.argmax(1)]
    held = np.where(known.any(1), held, UNIT_S)
    return log_interval(np.where(known, intervals_s, held[:, None])), known


def rows(
    segments: FloatArray,
    intervals_s: WideFloatArray,
    first: IntArray,
    keep: int | None = None,
    waited_s: WideFloatArray | None = None,
) -> FloatArray:
    """Rows of whole sequences.

    Parameters
    ----------
    segments : ndarray of float32, shape (n, m, SEGMENT)
        In the signal's unit.
    intervals_s : ndarray, shape (n, m)
        Seconds from the beat before; NaN where that is not known.
    first : ndarray of int64, shape (n,)
        Index of each sequence's first beat; what comes before becomes zeros.
    keep : int or None
        Only the last so many rows are returned; the others are history.
    waited_s : ndarray or None, shape (n,)
        As :meth:`BeatRows.sequences` has it.

    Returns
    -------
    ndarray of float32, shape (n, keep, ROW)
        The last beat's next interval is not known, but for ``waited_s``.
    """
    n, m, _ = segments.shape
    keep = m if keep is None else keep
    real = np.arange(m) >= first[:, None]
    held = np.where(real[:, :, None], segments, segments[np.arange(n), first][:, None])
    heights = height_of(held)
    before = _windows_before(heights.astype(np.float64), HEIGHTS - 1).astype(np.float32)
    usual = usual_height(np.concatenate([before, heights[:, :, None]], axis=2))
    scaled = np.asarray(held / usual[:, :, None], dtype=np.float32)
    running, like = np.empty_like(scaled), np.ones((n, m), dtype=np.float32)
    now = scaled[np.arange(n), first]
    for i in range(m):
        running[:, i] = now
        like[:, i] = correlation(scaled[:, i], now)
        now = learn(now, scaled[:, i], like[:, i], np.maximum(i - first, 0))
    previous = np.ones((n, m), dtype=np.float32)
    previous[:, 1:] = correlation(scaled[:, 1:], scaled[:, :-1])
    log_s, known = _intervals_of(intervals_s, first)
    late = slice(m - keep, m)
    context = interval_context(log_s[:, late], _windows_before(log_s, HISTORY)[:, late])
    context *= known[:, late, None]
    shape = _shape_context(heights, usual, like, previous)[:, late]
    joined = np.zeros((n, keep, ROW), dtype=np.float32)
    joined[:, :, :SEGMENT] = scaled[:, late]
    joined[:, :, SEGMENT : PIECES * SEGMENT] = scaled[:, late] - running[:, late]
    joined[:, :, : PIECES * SEGMENT].clip(-6, 6, out=joined[:, :, : PIECES * SEGMENT])
    joined[:, :, PIECES * SEGMENT :][:, :, :N_INTERVAL] = context
    joined[:, :, -3:] = shape
    joined[~real[:, late]] = 0
    ahead = np.full((n, keep), np.nan)
    ahead[:, :-1] = np.where(known, intervals_s, np.nan)[:, late][:, 1:]
    if waited_s is not None:
        ahead[:, -1] = waited_s
    set_next(joined, ahead)
    return joined


def shown(hidden: tuple[str, ...]) -> BoolArray:
    """Columns of a row that stay when some are hidden: names of :data:`CONTEXT`, or :data:`RUNNING`."""
    columns = np.array([""] * SEGMENT + [RUNNING] * SEGMENT + list(CONTEXT))
    return ~np.isin(columns, hidden)


@dataclass(frozen=True, slots=True)
class StreamState:
    """State of one stream, for snapshots: copies of its arrays, and how many beats it has seen."""

    rows: FloatArray
    running: FloatArray
    heights: FloatArray
    previous: FloatArray
    past: WideFloatArray
    seen: int
    intervals: int


@dataclass(frozen=True, slots=True)
class Pushed:
    """What one more beat of several streams gave.

    Parameters
    ----------
    rows : ndarray of float32, shape (n, ROW)
        Of the new beats; what follows them is not known.
    before : ndarray of float32, shape (n, len(CONTEXT))
        Context of the beats before them, which know their next interval now.
    had : ndarray of bool, shape (n,)
        Where there was a beat before.
    """

    rows: FloatArray
    before: FloatArray
    had: BoolArray


class BeatRows:
    """Rows of many streams, beat by beat.

    Parameters
    ----------
    n_slots : int
        Streams to make room for; grows by :meth:`resize`.
    beats : int
        T, the rows that the network sees.
    """

    def __init__(self, n_slots: int, beats: int) -> None:
        self.beats = beats
        self._rows = np.zeros((n_slots, beats, ROW), dtype=np.float32)
        self._running = np.zeros((n_slots, SEGMENT), dtype=np.float32)
        self._previous = np.zeros((n_slots, SEGMENT), dtype=np.float32)
        self._heights = np.zeros((n_slots, HEIGHTS), dtype=np.float32)
        self._past = np.zeros((n_slots, HISTORY))
        self._seen = np.zeros(n_slots, dtype=np.int64)
        self._intervals = np.zeros(n_slots, dtype=np.int64)

    @property
    def n_slots(self) -> int:
        """Streams that there is room for."""
        return len(self._seen)

    def resize(self, n_slots: int) -> None:
        """Make room for ``n_slots`` streams; those that exist keep their state."""
        extra = n_slots - self.n_slots
        if extra <= 0:
            return
        self._rows = np.pad(self._rows, ((0, extra), (0, 0), (0, 0)))
        for name in ("_running", "_previous", "_heights", "_past"):
            setattr(self, name, np.pad(getattr(self, name), ((0, extra), (0, 0))))
        self._seen = np.pad(self._seen, (0, extra))
        self._intervals = np.pad(self._intervals, (0, extra))

    def reset(self, slot: int) -> None:
        """Forget a stream, as for another patient or another lead."""
        self._rows[slot] = 0
        self._seen[slot] = self._intervals[slot] = 0

    def push(self, slots: IntArray, segments: FloatArray, intervals_s: WideFloatArray) -> Pushed:
        """Add one beat to each of several streams.

        Parameters
        ----------
        slots : ndarray of int64, shape (n,)
            Distinct streams. Of a stream's beats in one hop the first goes first, the second in another call.
        segments : ndarray of float32, shape (n, SEGMENT)
            The conditioned lead around each peak, in the signal's unit.
        intervals_s : ndarray, shape (n,)
            Seconds since the stream's beat before; NaN for a first beat or after missing data.

        Returns
        -------
        Pushed
            The new rows, and what became of those before them.
        """
        seen, new = self._seen[slots], self._seen[slots] == 0
        height = height_of(segments)
        heights = np.concatenate([self._heights[slots, 1:], height[:, None]], axis=1)
        heights = np.where(new[:, None], height[:, None], heights)
        usual = usual_height(heights)
        scaled = np.asarray(segments / usual[:, None], dtype=np.float32)
        running = np.where(new[:, None], scaled, self._running[slots])
        like = correlation(scaled, running)
        previous = np.where(new, np.float32(1), correlation(scaled, self._previous[slots]))
        row = np.zeros((len(slots), ROW), dtype=np.float32)
        row[:, :SEGMENT] = scaled
        row[:, SEGMENT : 2 * SEGMENT] = scaled - running
        row[:, : 2 * SEGMENT] = row[:, : 2 * SEGMENT].clip(-6, 6)
        row[:, -3:] = _shape_context(height, usual, like, previous.astype(np.float32))
        before = self._time(slots, row, intervals_s)
        self._running[slots] = learn(running, scaled, like, seen)
        self._previous[slots], self._heights[slots] = scaled, heights
        self._seen[slots] += 1
        self._rows[slots, seen % self.beats] = row
        return Pushed(row, before, ~new)

    def _time(self, slots: IntArray, row: FloatArray, intervals_s: WideFloatArray) -> FloatArray:
        """Fill in what is known of time, in the new rows and in those before them; return their context."""
        known = np.isfinite(intervals_s) & (self._seen[slots] > 0)
        starting = known & (self._intervals[slots] == 0)
        given = log_interval(np.where(known, intervals_s, UNIT_S))
        past = np.where(starting[:, None], given[:, None], self._past[slots])
        log_s = np.where(known, given, medians(past[:, -8:]))
        context = interval_context(log_s, past) * known[:, None]
        row[:, PIECES * SEGMENT :][:, :N_INTERVAL] = context
        newest = (self._seen[slots] - 1) % self.beats
        before = self._rows[slots, newest, PIECES * SEGMENT :]
        set_next(before, np.where(known, intervals_s, np.nan))
        self._rows[slots, newest, PIECES * SEGMENT :] = before
        started = self._intervals[slots] + known > 0
        self._past[slots] = np.where(
            started[:, None], np.concatenate([past[:, 1:], log_s[:, None]], axis=1), past
        )
        self._intervals[slots] += known
        return before

    def _in_order(self, slots: IntArray) -> IntArray:
        """Places of streams' rows, oldest first; shape (n, beats)."""
        return np.asarray((self._seen[slots][:, None] + np.arange(self.beats)) % self.beats)

    def last_context(self, slots: IntArray) -> FloatArray:
        """Context of the newest beat of some streams, (n, len(CONTEXT)); zeros where there was none."""
        newest: FloatArray = self._rows[slots, (self._seen[slots] - 1) % self.beats, PIECES * SEGMENT :]
        return newest

    def sequences(self, slots: IntArray, waited_s: WideFloatArray | None = None) -> FloatArray:
        """What the network sees of some streams now.

        Parameters
        ----------
        slots : ndarray of int64, shape (n,)
            Streams.
        waited_s : ndarray or None, shape (n,)
            Where not NaN: so long no beat has followed the last one, which counts as its next interval.

        Returns
        -------
        ndarray of float32, shape (n, T, ROW)
            Oldest first; zeros where there was no beat.
        """
        seen: FloatArray = self._rows[slots[:, None], self._in_order(slots)]
        if waited_s is not None:
            set_next(seen[:, -1], waited_s)
        return seen

    def state(self, slot: int) -> StreamState:
        """Copy of one stream's state."""
        return StreamState(
            self.sequences(np.array([slot]))[0],
            self._running[slot].copy(),
            self._heights[slot].copy(),
            self._previous[slot].copy(),
            self._past[slot].copy(),
            int(self._seen[slot]),
            int(self._intervals[slot]),
        )

    def restore(self, slot: int, state: StreamState) -> None:
        """Put a state back, as :meth:`state` gave it."""
        self._seen[slot], self._intervals[slot] = state.seen, state.intervals
        self._rows[slot, self._in_order(np.array([slot]))[0]] = state.rows
        self._running[slot], self._past[slot] = state.running, state.past
        self._heights[slot], self._previous[slot] = state.heights, state.previous
