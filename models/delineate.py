"""From step probabilities to P, QRS and T waves with onset, peak and end, over a batch of windows at once.

Each wave is two classes of steps, before and after its peak, so that the network learns where the peak is as
it learns the boundaries. A step's probabilities are read as the share of the step that each class covers, so
boundaries are finer than the step grid.

Cleaning uses what holds for every cycle: between two QRS complexes there is one T wave and then one P wave
at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]
WideFloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

WAVES: Final = ("P", "QRS", "T")
STEP_CLASSES: Final = ("none", "P_rise", "P_fall", "QRS_rise", "QRS_fall", "T_rise", "T_fall")
"""Classes of a time step: no wave, or a wave before ("rise") and after ("fall") its peak, of any polarity."""

QRS: Final = WAVES.index("QRS")
JOIN_S: Final = 0.04
"""Pieces of one kind of wave nearer than this are one wave."""

REACH_S: Final = 0.064
"""Probability this far outside a wave still moves its boundary."""

LEAST_S: Final = (0.02, 0.024, 0.03)
"""Least probability mass of a P, QRS and T wave, in seconds: about a quarter of the shortest that occur."""


@dataclass(frozen=True, slots=True)
class Delineation:
    """Waves of a batch of windows, ordered by window, then time. All arrays have shape (n_waves,).

    Attributes
    ----------
    window : ndarray of int64
        Index of the window in the batch.
    kind : ndarray of int64
        Index into :data:`WAVES`.
    onset_s, peak_s, end_s : ndarray of float64
        Seconds after the window's first sample.
    probability : ndarray of float64
        Mean probability of the wave from onset to end, 0 to 1.
    """

    window: IntArray
    kind: IntArray
    onset_s: WideFloatArray
    peak_s: WideFloatArray
    end_s: WideFloatArray
    probability: WideFloatArray

    def select(self, keep: BoolArray | IntArray) -> Delineation:
        """Some of the waves, by mask or index."""
        return Delineation(
            self.window[keep],
            self.kind[keep],
            self.onset_s[keep],
            self.peak_s[keep],
            self.end_s[keep],
            self.probability[keep],
        )


@dataclass(frozen=True, slots=True)
class _Runs:
    """Runs of steps [begin, end) of one wave; shape (n_runs,) each."""

    window: IntArray
    begin: IntArray
    end: IntArray
    kind: IntArray

    def select(self, keep: BoolArray) -> _Runs:
        return _Runs(self.window[keep], self.begin[keep], self.end[keep], self.kind[keep])


def _runs_of(label: IntArray) -> _Runs:
    """Runs of equal labels above 0 in each row of (B, T); the kind is the label less 1."""
    padded = np.pad(label, ((0, 0), (1, 1)))
    window, place = np.nonzero(padded[:, 1:] != padded[:, :-1])
    inner = np.flatnonzero(window[1:] == window[:-1])
    begin, end, row = place[inner], place[inner + 1], window[inner]
    runs = _Runs(row, begin, end, label[row, begin] - 1)
    return runs.select(runs.kind >= 0)


def _joined(runs: _Runs, gap: float) -> _Runs:
    """Neighbours of one kind no further apart than ``gap`` steps become one."""
    near = (
        (runs.window[1:] == runs.window[:-1])
        & (runs.kind[1:] == runs.kind[:-1])
        & (runs.begin[1:] - runs.end[:-1] <= gap)
    )
    first = np.ones(len(runs.kind), dtype=np.bool_)
    first[1:] = ~near
    last = np.ones(len(runs.kind), dtype=np.bool_)
    last[:-1] = ~near
    return _Runs(runs.window[first], runs.begin[first], runs.end[last], runs.kind[first])


def _one_a_cycle(runs: _Runs, mass: WideFloatArray) -> BoolArray:
    """Between two QRS complexes the heaviest T wave and the heaviest P wave stay."""
    new_window = np.zeros(len(runs.kind), dtype=np.bool_)
    new_window[1:] = runs.window[1:] != runs.window[:-1]
    cycle = np.cumsum((runs.kind == QRS) | new_window)
    keep = np.ones(len(runs.kind), dtype=np.bool_)
    for kind in (WAVES.index("P"), WAVES.index("T")):
        index = np.flatnonzero(runs.kind == kind)
        index = index[np.lexsort((-mass[index], cycle[index]))]
        keep[index[1:]] &= cycle[index][1:] != cycle[index][:-1]
    return keep


def _mass(values_BTK: WideFloatArray, runs: _Runs, begin: IntArray, end: IntArray) -> WideFloatArray:
    """Sum over the steps [begin, end) of the column of each run's kind."""
    total = np.pad(np.cumsum(values_BTK, axis=1), ((0, 0), (1, 0), (0, 0)))
    found = total[runs.window, end, runs.kind] - total[runs.window, begin, runs.kind]
    return np.asarray(found, dtype=np.float64)


def _edges(waves_BTK: WideFloatArray, runs: _Runs, reach: int) -> tuple[WideFloatArray, WideFloatArray]:
    """Onset and end of each run in steps: the expected boundaries.

    Mass counts from ``reach`` steps inside to ``reach`` steps outside the run's own boundary, but no further
    than half way to the neighbouring wave and the run's middle.
    """
    n_steps = waves_BTK.shape[1]
    same = runs.window[1:] == runs.window[:-1]
    between = (runs.end[:-1] + runs.begin[1:]) // 2
    first, last = np.zeros_like(runs.begin), np.full_like(runs.end, n_steps)
    first[1:][same], last[:-1][same] = between[same], between[same]
    middle = (runs.begin + runs.end) // 2
    early, late = np.minimum(middle, runs.begin + reach), np.maximum(middle, runs.end - reach)
    onset = early - _mass(waves_BTK, runs, np.maximum(first, runs.begin - reach), early)
    end = late + _mass(waves_BTK, runs, late, np.minimum(last, runs.end + reach))
    # Step k covers [k - 1/2, k + 1/2).
    return onset - 0.5, end - 0.5


def _measured(runs: _Runs, rise_BTK: WideFloatArray, waves_BTK: WideFloatArray, step_s: float) -> Delineation:
    """Waves of runs: too light ones and second ones of a cycle dropped, then their marks."""
    mass = _mass(waves_BTK, runs, runs.begin, runs.end)
    heavy = mass * step_s >= np.array(LEAST_S)[runs.kind]
    runs, mass = runs.select(heavy), mass[heavy]
    keep = _one_a_cycle(runs, mass)
    runs, mass = runs.select(keep), mass[keep]
    onset, end = _edges(waves_BTK, runs, round(REACH_S / step_s))
    before_peak = _mass(rise_BTK / np.maximum(waves_BTK, 1e-9), runs, runs.begin, runs.end)
    peak = np.clip(runs.begin - 0.5 + before_peak, onset, end)
    return Delineation(
        runs.window,
        runs.kind,
        onset * step_s,
        peak * step_s,
        end * step_s,
        mass / np.maximum(runs.end - runs.begin, 1),
    )


def decode_waves(
    step_probabilities: FloatArray,
    step_s: float,
    *,
    gains: Mapping[str, float] | None = None,
) -> Delineation:
    """Waves of many windows from the step probabilities.

    Parameters
    ----------
    step_probabilities : ndarray, shape (n_windows, n_steps, 7)
        Columns as :data:`STEP_CLASSES`; rows sum to 1.
    step_s : float
        Seconds a step; step ``k`` is centred on ``k * step_s`` after the window's first sample.
    gains : mapping of str to float or None
        Factors of the probabilities of ``P``, ``QRS``, ``T`` before the largest wins (1 where not given).

    Returns
    -------
    Delineation
        Waves that touch a window's edge are cut off there.

    Raises
    ------
    ValueError
        The array has another number of classes.
    """
    if step_probabilities.ndim != 3 or step_probabilities.shape[2] != len(STEP_CLASSES):
        expected = f"(n, n_steps, {len(STEP_CLASSES)})"
        raise ValueError(f"step_probabilities has shape {step_probabilities.shape}, expected {expected}")
    wide = np.asarray(step_probabilities, dtype=np.float64)
    rise, fall = wide[:, :, 1::2], wide[:, :, 2::2]
    waves = rise + fall
    factors = np.array([(gains or {}).get(name, 1.0) for name in WAVES])
    label = np.concatenate([wide[:, :, :1], waves * factors], axis=2).argmax(axis=2)
    runs = _joined(_runs_of(label.astype(np.int64)), JOIN_S / step_s)
    return _measured(runs, rise, waves, step_s)
