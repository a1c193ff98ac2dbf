"""From step probabilities to beats, over a batch of windows at once. Worker and scoring share it.

A beat's probability mass falls on the one or two steps nearest to its peak; in noise it spreads over one
more, for the network is less sure of the place. A candidate is a step whose mass, summed with both
neighbours', is the largest within the refractory time; its place is the mass's centroid.

Final is what lies between ``final_from_s`` and ``final_to_s`` of the window. Windows' step grids differ
between hops, so the span handed out is a little wider than the hop on its left; a beat seen twice is
dropped by the caller as closer than the refractory time to the last one that it accepted (:func:`accept`
does it for windows in a row).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]
WideFloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

REFRACTORY_S = 0.2
OVERLAP_S = 0.1
"""How much of the previous hop's span is looked at again, so that no beat falls between two step grids."""


@dataclass(frozen=True, slots=True)
class BeatCandidates:
    """Beats of a batch, ordered by window, then time. All arrays have shape (n_candidates,).

    Attributes
    ----------
    window : ndarray of int64
        Index of the window in the batch.
    step : ndarray of float64
        Place in steps; times ``step_s`` it is the time after the window's first sample.
    position_s : ndarray of float64
        The same in seconds.
    label : ndarray of int64
        Index into the step classes: 1 N, 2 S, 3 V, 4 F.
    probability : ndarray of float64
        That there is a beat, 0 to 1.
    """

    window: IntArray
    step: WideFloatArray
    position_s: WideFloatArray
    label: IntArray
    probability: WideFloatArray


def _peaks(rank: WideFloatArray, reach: int) -> BoolArray:
    """Steps larger than the ``reach`` steps before and no smaller than those after, (B, T) to (B, T)."""
    n_steps = rank.shape[1]
    padded = np.pad(rank, ((0, 0), (reach, reach)), constant_values=-np.inf)
    largest = np.ones(rank.shape, dtype=np.bool_)
    for shift in range(1, reach + 1):
        largest &= rank > padded[:, reach - shift : reach - shift + n_steps]
        largest &= rank >= padded[:, reach + shift : reach + shift + n_steps]
    return largest


def _apart(window: IntArray, place: WideFloatArray, rank: WideFloatArray, distance: float) -> BoolArray:
    """Of two neighbours nearer than ``distance`` only the stronger, or the first of equals, stays."""
    close = (window[1:] == window[:-1]) & (place[1:] - place[:-1] < distance)
    keep = np.ones(len(window), dtype=np.bool_)
    keep[1:] &= ~(close & (rank[1:] <= rank[:-1]))
    keep[:-1] &= ~(close & (rank[:-1] < rank[1:]))
    return keep


def decode_beats(
    step_probabilities: FloatArray,
    step_s: float,
    *,
    threshold: float = 0.5,
    class_gains: tuple[float, ...] | None = None,
    refractory_s: float = REFRACTORY_S,
    final_from_s: float = 0.0,
    final_to_s: float = np.inf,
) -> BeatCandidates:
    """Pick beats from the step probabilities of many windows.

    Parameters
    ----------
    step_probabilities : ndarray, shape (n_windows, n_steps, n_classes)
        Softmax of the step logits; class 0 is "no beat".
    step_s : float
        Seconds per step.
    threshold : float
        Least probability of a beat.
    class_gains : tuple of float or None
        One factor for each beat class (N, S, V, F) before the largest wins.
    refractory_s : float
        Two beats of one window are further apart than this.
    final_from_s, final_to_s : float
        Only beats placed in ``[final_from_s, final_to_s)`` are returned.

    Returns
    -------
    BeatCandidates
        Ordered by window, then by time.
    """
    wide = np.asarray(step_probabilities, dtype=np.float64)
    beat_classes = wide[:, :, 1:]
    mass = 1.0 - wide[:, :, 0]
    padded = np.pad(mass, ((0, 0), (1, 1)))
    nearby = mass + padded[:, :-2] + padded[:, 2:]
    # Both steps of a beat may reach the same sum: a touch of the own mass breaks the tie. Centroids lie up
    # to half a step from their peaks: nearer peaks than the refractory time less a step are of one beat.
    rank = nearby + 1e-3 * mass
    window, step = np.nonzero((nearby >= threshold) & _peaks(rank, max(1, int(refractory_s / step_s) - 1)))
    around = step[:, None] + np.arange(-1, 2)
    inside = (around >= 0) & (around < mass.shape[1])
    around = np.clip(around, 0, mass.shape[1] - 1)
    weight = mass[window[:, None], around] * inside
    place = (weight * around).sum(1) / weight.sum(1)
    scores = (beat_classes[window[:, None], around] * inside[:, :, None]).sum(1)
    if class_gains is not None:
        scores = scores * np.asarray(class_gains, dtype=np.float64)
    position_s = place * step_s
    keep = (position_s >= final_from_s) & (position_s < final_to_s)
    keep &= _apart(window, position_s, rank[window, step], refractory_s)
    probability = np.minimum(nearby[window, step], 1.0)
    return BeatCandidates(
        window[keep].astype(np.int64),
        place[keep],
        position_s[keep],
        scores.argmax(1)[keep].astype(np.int64) + 1,
        probability[keep],
    )


def refine_peaks(
    windows: FloatArray, fs_hz: float, window: IntArray, position_s: WideFloatArray, reach_s: float = 0.08
) -> WideFloatArray:
    """Move each beat to the largest deflection of the signal near it.

    Parameters
    ----------
    windows : ndarray, shape (n_windows, n_times)
        The lead that was decoded, as the model saw it.
    fs_hz : float
        Its rate.
    window, position_s : ndarray, shape (n_candidates,)
        As :class:`BeatCandidates` has them.
    reach_s : float
        How far a beat may move; nearer deflections are preferred, so that a T wave or a neighbour does not
        attract.

    Returns
    -------
    ndarray of float64, shape (n_candidates,)
        Seconds after the window's first sample.
    """
    reach = max(1, round(reach_s * fs_hz))
    offsets = np.arange(-reach, reach + 1)
    centre = np.rint(position_s * fs_hz).astype(np.int64)
    index = centre[:, None] + offsets
    inside = (index >= 0) & (index < windows.shape[1])
    values = np.asarray(windows, dtype=np.float64)[window[:, None], np.clip(index, 0, windows.shape[1] - 1)]
    height = np.abs(values - np.median(values, axis=1, keepdims=True)) * (1.0 - 0.5 * np.abs(offsets) / reach)
    best = np.where(inside, height, -1.0).argmax(axis=1)
    return np.asarray((centre + offsets[best]) / fs_hz, dtype=np.float64)


def accept(
    times_s: WideFloatArray, probability: WideFloatArray, refractory_s: float = REFRACTORY_S
) -> BoolArray:
    """Which beats of one stream to keep: the first of any two nearer than the refractory time.

    Beats come in order of time.

    Parameters
    ----------
    times_s : ndarray, shape (n_beats,)
        Times on one clock.
    probability : ndarray, shape (n_beats,)
        Unused beats (probability 0) are refused.
    refractory_s : float
        See :data:`REFRACTORY_S`.
    """
    keep = np.zeros(len(times_s), dtype=np.bool_)
    last = -np.inf
    for i, (time_s, p) in enumerate(zip(times_s.tolist(), probability.tolist(), strict=True)):
        if p > 0 and time_s - last > refractory_s:
            keep[i] = True
            last = time_s
    return keep
