"""From windows and their beats to what the AF network sees: one row a beat.

A row holds the beat's own piece of signal, the window's typical beat (the median of its beats, where noise
averages out and the P wave stays), and numbers about its timing and shape. Nothing outside the window is
looked at, so a window of a live stream gives the same rows as one of a recording.

Where beats are far apart, steps are put between them, so that the network also sees what lies there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
WideFloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

FS_HZ: Final = 125.0
BEFORE: Final = 72
SEGMENT: Final = 128
"""Samples of a piece (1.02 s), and how many of them lie before the beat's peak: P wave to T wave."""

PIECES: Final = 2
CONTEXT: Final = (
    "rr_before",
    "rr_after",
    "rr_before_to_median",
    "rr_after_to_median",
    "rr_change",
    "rr_change_size",
    "likeness",
    "size_to_typical",
    "probability",
    "no_beat",
    "before_known",
    "after_known",
    "rr_median",
    "rr_irregularity",
)
"""The numbers of a row. R-R intervals are logarithms of their ratio to 0.8 s, times three."""

WIDTH: Final = PIECES * SEGMENT + len(CONTEXT)
LONGEST_GAP_S: Final = 1.7
SPACING_S: Final = 0.9
EDGE_S: Final = 0.3
RR_UNIT_S: Final = 0.8
RR_BOUNDS_S: Final = (0.2, 3.0)
RR_SCALE: Final = 3.0
NEAR: Final = 40
"""Samples on each side of the peak over which a beat is compared with the typical one."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Time steps of several windows, window after window in order of time. Arrays of shape (n_steps,).

    Attributes
    ----------
    window : ndarray of int64
        Which window.
    time_s : ndarray of float64
        After the window's start.
    beat : ndarray of int64
        Index among the beats given for its window; -1 for a step put in a gap.
    probability : ndarray of float32
        That there is a beat.
    n_windows : int
        Windows in all; some may have no step.
    """

    window: IntArray
    time_s: WideFloatArray
    beat: IntArray
    probability: FloatArray
    n_windows: int

    @property
    def counts(self) -> IntArray:
        """Steps of each window, (n_windows,)."""
        return np.bincount(self.window, minlength=self.n_windows).astype(np.int64)

    @property
    def place(self) -> IntArray:
        """Number of each step in its window, (n_steps,)."""
        counts = self.counts
        return np.arange(len(self.window)) - np.repeat(np.cumsum(counts) - counts, counts)


def fill_gaps(time_s: WideFloatArray, duration_s: float) -> tuple[WideFloatArray, IntArray]:
    """Times of the steps of one window, and which beat each is (-1: none), steps put where beats are rare."""
    edges = np.concatenate([[-EDGE_S], time_s, [duration_s + EDGE_S]])
    gaps = np.diff(edges)
    wide = np.flatnonzero(gaps > LONGEST_GAP_S)
    times, beats = [time_s], [np.arange(len(time_s))]
    for gap in wide.tolist():
        n = int(gaps[gap] // SPACING_S)
        times.append(edges[gap] + gaps[gap] * np.arange(1, n + 1) / (n + 1))
        beats.append(np.full(n, -1))
    joined = np.concatenate(times)
    order = np.argsort(joined, kind="stable")
    return joined[order], np.concatenate(beats)[order]


def steps_of(
    times_s: list[WideFloatArray], probabilities: list[FloatArray], durations_s: WideFloatArray
) -> Steps:
    """Steps of windows from the beats in each.

    Parameters
    ----------
    times_s, probabilities : list of ndarray, one a window
        Its beats in order, seconds after its start.
    durations_s : ndarray, shape (n_windows,)
        How long each is.
    """
    placed = [fill_gaps(t, d) for t, d in zip(times_s, durations_s.tolist(), strict=True)]
    beat = np.concatenate([b for _, b in placed]).astype(np.int64)
    given = [
        np.where(b >= 0, p[b], 0.0) if len(p) else np.zeros(len(b))
        for (_, b), p in zip(placed, probabilities, strict=True)
    ]
    return Steps(
        np.repeat(np.arange(len(placed)), [len(b) for _, b in placed]),
        np.concatenate([t for t, _ in placed]),
        beat,
        np.concatenate(given).astype(np.float32),
        len(placed),
    )


def cut(
    signal: FloatArray, centre: WideFloatArray, scale: WideFloatArray, low: IntArray, high: IntArray
) -> FloatArray:
    """Pieces around places of a flat signal, (n_steps, SEGMENT), by linear interpolation.

    Parameters
    ----------
    signal : ndarray of float32, shape (n,)
        Windows or recordings end to end.
    centre : ndarray, shape (n_steps,)
        Place of each beat's peak, in samples.
    scale : ndarray, shape (n_steps,)
        Samples of the signal a sample of the piece; 1 when serving.
    low, high : ndarray of int64, shape (n_steps,)
        The window's samples [low, high): outside, the piece is 0.
    """
    place = centre[:, None] + (np.arange(SEGMENT) - BEFORE) * scale[:, None]
    left = np.floor(place).astype(np.int64)
    share = (place - left).astype(np.float32)
    inside = (left >= low[:, None]) & (left + 1 < high[:, None])
    left = np.where(inside, left, 0)
    pieces = signal[left] * (1 - share) + signal[left + 1] * share
    return np.asarray(np.where(inside, pieces, 0), dtype=np.float32)


def typical(pieces: FloatArray, steps: Steps) -> FloatArray:
    """Median of each window's beats, for each step, (n_steps, SEGMENT); 0 where a window has no beat."""
    medians = np.zeros((steps.n_windows, SEGMENT), dtype=np.float32)
    beats = np.flatnonzero(steps.beat >= 0)
    if not len(beats):
        return medians[steps.window]
    present, first = np.unique(steps.window[beats], return_index=True)
    for i, part in zip(present.tolist(), np.split(beats, first[1:]), strict=True):
        medians[i] = np.median(pieces[part], axis=0)
    return medians[steps.window]


def _median_by_window(values: WideFloatArray, window: IntArray, n_windows: int) -> WideFloatArray:
    """Median of each window's values, (n_windows,); 0 where there is none."""
    order = np.lexsort((values, window))
    counts = np.bincount(window, minlength=n_windows)
    first = np.cumsum(counts) - counts
    some = counts > 0
    ordered = values[order]
    medians = np.zeros(n_windows)
    low, high = first[some] + (counts[some] - 1) // 2, first[some] + counts[some] // 2
    medians[some] = (ordered[low] + ordered[high]) / 2
    return medians


def context_of(steps: Steps, pieces: FloatArray, medians: FloatArray, scale: WideFloatArray) -> FloatArray:
    """Numbers of each step, (n_steps, len(CONTEXT)); ``scale`` as in :func:`cut`."""
    n = len(steps.window)
    real = steps.beat >= 0
    before = np.zeros(n, dtype=np.bool_)
    before[1:] = real[1:] & real[:-1] & (steps.window[1:] == steps.window[:-1])
    after = np.append(before[1:], False)
    rr_s = np.diff(steps.time_s, prepend=0.0) / scale
    log_rr = np.where(before, np.log(np.clip(rr_s, *RR_BOUNDS_S) / RR_UNIT_S), 0.0)
    log_next = np.append(log_rr[1:], 0.0) * after
    median = _median_by_window(log_rr[before], steps.window[before], steps.n_windows)
    both = before & after
    change = np.where(both, log_next - log_rr, 0.0)
    n_both = np.bincount(steps.window, weights=both, minlength=steps.n_windows)
    changes = np.bincount(steps.window, weights=np.abs(change), minlength=steps.n_windows)
    irregularity = changes / np.maximum(n_both, 1)
    near = slice(BEFORE - NEAR, BEFORE + NEAR)
    own = np.sqrt((pieces[:, near] ** 2).sum(1) + 1e-6)
    usual = np.sqrt((medians[:, near] ** 2).sum(1) + 1e-6)
    likeness = (pieces[:, near] * medians[:, near]).sum(1) / (own * usual)
    columns = (
        RR_SCALE * log_rr,
        RR_SCALE * log_next,
        RR_SCALE * (log_rr - median[steps.window]) * before,
        RR_SCALE * (log_next - median[steps.window]) * after,
        RR_SCALE * change,
        RR_SCALE * np.abs(change),
        likeness,
        np.clip(np.log(own / usual), -2, 2),
        steps.probability,
        ~real,
        before,
        after,
        RR_SCALE * median[steps.window],
        RR_SCALE * irregularity[steps.window],
    )
    return np.stack([np.asarray(column, dtype=np.float32) for column in columns], axis=1)


def to_batch(steps: Steps, pieces: FloatArray, scale: WideFloatArray) -> FloatArray:
    """Rows of all windows, (n_windows, T, WIDTH); windows of fewer steps end in rows of zeros."""
    medians = typical(pieces, steps)
    rows = np.concatenate([pieces, medians, context_of(steps, pieces, medians, scale)], axis=1)
    longest = int(steps.counts.max(initial=1))
    x = np.zeros((steps.n_windows, longest, WIDTH), dtype=np.float32)
    x[steps.window, steps.place] = rows
    return x


def sequences(
    windows: FloatArray, times_s: list[WideFloatArray], probabilities: list[FloatArray]
) -> FloatArray:
    """What the network sees of windows of one length: (n_windows, T, WIDTH).

    Parameters
    ----------
    windows : ndarray of float32, shape (n_windows, n_samples)
        Conditioned, mV, 125 Hz.
    times_s, probabilities : list of ndarray, one a window
        Its beats: seconds after the window's start, and their probabilities.
    """
    n, length = windows.shape
    steps = steps_of(times_s, probabilities, np.full(n, length / FS_HZ))
    low = steps.window * length
    one = np.ones(len(low))
    centre = low + steps.time_s * FS_HZ
    pieces = cut(np.ascontiguousarray(windows).reshape(-1), centre, one, low, low + length)
    return to_batch(steps, pieces, one)
