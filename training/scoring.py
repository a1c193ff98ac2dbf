"""Scores: beats matched as in EC57, rhythm windows as a table, intervals by bootstrap over records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.spec import RHYTHM_CLASSES, STEP_CLASSES, Interval
from training.metrics import FEWEST
from training.sources import IntArray, WideFloatArray

MATCH_S = 0.15
UNKNOWN = len(STEP_CLASSES)
"""Column and row of beats without a class, after none, N, S, V, F."""


def match_beats(
    reference_s: WideFloatArray, found_s: WideFloatArray, tolerance_s: float = MATCH_S
) -> tuple[IntArray, IntArray]:
    """Pair beats one to one, in order of time, each with the nearest still free within the tolerance.

    Parameters
    ----------
    reference_s, found_s : ndarray, shape (n,), (m,)
        Times, ascending.

    Returns
    -------
    of_reference : ndarray of int64, shape (n,)
        Index of the found beat, or -1.
    of_found : ndarray of int64, shape (m,)
        Index of the reference beat, or -1.
    """
    of_reference = np.full(len(reference_s), -1, dtype=np.int64)
    of_found = np.full(len(found_s), -1, dtype=np.int64)
    j = 0
    for i, time_s in enumerate(reference_s.tolist()):
        while j < len(found_s) and found_s[j] < time_s - tolerance_s:
            j += 1
        while j + 1 < len(found_s) and abs(found_s[j + 1] - time_s) < abs(found_s[j] - time_s):
            j += 1
        if j >= len(found_s) or abs(found_s[j] - time_s) > tolerance_s:
            continue
        if i + 1 < len(reference_s) and abs(reference_s[i + 1] - found_s[j]) < abs(time_s - found_s[j]):
            continue
        of_reference[i], of_found[j] = j, i
        j += 1
    return of_reference, of_found


def beat_table(
    reference_s: WideFloatArray, reference: IntArray, found_s: WideFloatArray, found: IntArray
) -> IntArray:
    """Count pairs: rows the reference (none, N, S, V, F, no class), columns the found (none, N, S, V, F)."""
    of_reference, of_found = match_beats(reference_s, found_s)
    table = np.zeros((UNKNOWN + 1, len(STEP_CLASSES)), dtype=np.int64)
    rows = np.where(reference < 0, UNKNOWN, reference)
    columns = np.where(of_reference < 0, 0, found[of_reference] if len(found) else 0).astype(np.int64)
    np.add.at(table, (rows, columns), 1)
    spurious = found[of_found < 0]
    np.add.at(table, (np.zeros_like(spurious), spurious), 1)
    return table


LEARNING_S = 300.0
"""EC57: the first five minutes are not scored."""


def learning_s(record_s: float) -> float:
    """Seconds at a record's begin that are not scored: none of a record of less than six minutes."""
    return LEARNING_S if record_s >= LEARNING_S + 60 else 0.0


@dataclass(frozen=True, slots=True)
class BeatScores:
    """Figures of one table, 0 to 1; NaN where nothing is counted."""

    qrs_se: float
    qrs_ppv: float
    veb_se: float
    veb_ppv: float
    veb_f1: float
    sveb_se: float
    sveb_ppv: float
    sveb_f1: float


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else float("nan")


def _class_scores(table: IntArray, label: int, forgiven: tuple[int, ...]) -> tuple[float, float, float]:
    hits = table[label, label]
    sensitivity = _ratio(hits, table[label].sum())
    wrong = sum(table[row, label] for row in range(UNKNOWN + 1) if row != label and row not in forgiven)
    precision = _ratio(hits, hits + wrong)
    return sensitivity, precision, _ratio(2 * hits, table[label].sum() + hits + wrong)


def beat_scores(table: IntArray) -> BeatScores:
    """EC57 figures of a table.

    As EC57 has it, a fusion or unclassified beat called V is no false VEB, and an unclassified one called S
    no false SVEB. A beat missed counts against its class.
    """
    reference = table[1:]
    found = reference[:, 1:].sum()
    v, s = STEP_CLASSES.index("V"), STEP_CLASSES.index("S")
    veb = _class_scores(table, v, (STEP_CLASSES.index("F"), UNKNOWN))
    sveb = _class_scores(table, s, (UNKNOWN,))
    return BeatScores(_ratio(found, reference.sum()), _ratio(found, found + table[0, 1:].sum()), *veb, *sveb)


@dataclass(frozen=True, slots=True)
class RhythmScores:
    """Figures of one rhythm against all others, 0 to 1; NaN where nothing is counted."""

    n: int
    sensitivity: float
    specificity: float
    precision: float
    f1: float


def rhythm_table(reference: IntArray, found: IntArray) -> IntArray:
    """Count windows: rows the reference, columns what was found, in order of ``RHYTHM_CLASSES``."""
    table = np.zeros((len(RHYTHM_CLASSES), len(RHYTHM_CLASSES)), dtype=np.int64)
    np.add.at(table, (reference, found), 1)
    return table


def rhythm_scores(table: IntArray, label: int) -> RhythmScores:
    """One class against the rest."""
    hits = int(table[label, label])
    positives, called, total = int(table[label].sum()), int(table[:, label].sum()), int(table.sum())
    negatives = total - positives
    return RhythmScores(
        positives,
        _ratio(hits, positives),
        _ratio(negatives - (called - hits), negatives),
        _ratio(hits, called),
        _ratio(2 * hits, positives + called),
    )


def shockable(table: IntArray, *, with_noise: bool) -> tuple[float, float]:
    """Sensitivity and specificity of fibrillation, flutter and tachycardia together.

    Parameters
    ----------
    table : ndarray of int64, shape (6, 6)
        As :func:`rhythm_table` gives it.
    with_noise : bool
        Whether windows of noise count among those not to be called (AHA's specificity leaves them out).
    """
    calls = [RHYTHM_CLASSES.index(name) for name in ("vf", "vt")]
    called = table[:, calls].sum(1)
    others = [
        i for i, name in enumerate(RHYTHM_CLASSES) if i not in calls and (with_noise or name != "noise")
    ]
    rest = int(table[others].sum())
    return (
        _ratio(int(called[calls].sum()), int(table[calls].sum())),
        _ratio(rest - int(called[others].sum()), rest),
    )


def balanced_accuracy(table: IntArray) -> float:
    """Mean sensitivity of the classes that occur."""
    positives = table.sum(1)
    present = positives > 0
    return float((table.diagonal()[present] / positives[present]).mean()) if present.any() else float("nan")


def bootstrap(
    tables: list[IntArray], figure: Callable[[IntArray], float], n: int, *, draws: int = 1000, seed: int = 0
) -> Interval:
    """A figure of the summed tables with its 95 % interval, records drawn with replacement.

    Of fewer than :data:`~training.metrics.FEWEST` records the bounds are NaN.

    Parameters
    ----------
    tables : list of ndarray
        One a record.
    figure : callable
        From a summed table to a number.
    n : int
        Beats or windows behind the figure, for the card.
    """
    stack = np.stack(tables)
    if len(tables) < FEWEST:
        return Interval(value=round(figure(stack.sum(0)), 4), low=np.nan, high=np.nan, n=n)
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(tables), size=(draws, len(tables)))
    values = np.array([figure(stack[rows].sum(0)) for rows in chosen])
    values = values[np.isfinite(values)]
    low, high = np.quantile(values, [0.025, 0.975]) if len(values) else (float("nan"), float("nan"))
    return Interval(
        value=round(figure(stack.sum(0)), 4), low=round(float(low), 4), high=round(float(high), 4), n=n
    )
