"""Figures of classifications: confusion, precision and recall, curves with areas, calibration, intervals.

Everything is a function of weighted counts, so a figure and its bootstrap are the same arithmetic: patients
are drawn with replacement, their counts are summed, the figure is taken of the sum.

Shape legend: n items, K classes, P patients, D draws, M bins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.spec import Interval

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

DRAWS: Final = 1000
FEWEST: Final = 5
"""Patients: of fewer, draws with replacement say little of other patients, and no interval is given."""
TOO_FEW: Final = "too few patients for an interval"

BINS: Final = 512
"""Bins that scores are sorted into for the intervals of areas; the areas themselves are exact."""

CALIBRATION_BINS: Final = 10
AVERAGED: Final = ("precision", "recall", "f1")


def ratio(part: npt.ArrayLike, whole: npt.ArrayLike) -> FloatArray:
    """Part of whole, NaN where the whole is 0."""
    above, below = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    unknown = np.full(np.broadcast(above, below).shape, np.nan)
    return np.asarray(np.divide(above, below, out=unknown, where=below > 0), dtype=np.float64)


def mean_of_known(values_DK: FloatArray, weight_DK: FloatArray) -> FloatArray:
    """Weighted mean along the last axis of what is no NaN; NaN where nothing is known."""
    known = np.isfinite(values_DK)
    weight = np.where(known, weight_DK, 0.0)
    return ratio((np.where(known, values_DK, 0.0) * weight).sum(-1), weight.sum(-1))


def confusion(
    truth: IntArray, decided: IntArray, weight: FloatArray, group: IntArray, n_groups: int, n_classes: int
) -> FloatArray:
    """Weighted counts a group (patient), (P, K, K): rows the truth, columns what was decided."""
    place = (group * n_classes + truth) * n_classes + decided
    counts = np.bincount(place, weights=weight, minlength=n_groups * n_classes**2)
    return np.asarray(counts.reshape(n_groups, n_classes, n_classes), dtype=np.float64)


def class_figures(counts: FloatArray, outside: int | None = None) -> dict[str, FloatArray]:
    """Figures of each class against the rest, from confusions (..., K, K) to (..., K) each.

    ``recall`` and ``f1`` are NaN for a class that does not occur, ``precision`` where it is never decided,
    all for the class that is ``outside`` (:class:`training.evaluation.Predictions`).
    """
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    support, called = counts.sum(-1), counts.sum(-2)
    total = support.sum(-1, keepdims=True)
    f1 = ratio(2 * hits, support + called)
    inside = np.arange(counts.shape[-1]) != outside
    figures = {
        "precision": ratio(hits, called),
        "recall": ratio(hits, support),
        "specificity": ratio(total - support - called + hits, total - support),
        "f1": np.where(support > 0, f1, np.nan),
    }
    return {name: np.where(inside, values, np.nan) for name, values in figures.items()}


def overall_figures(counts: FloatArray, outside: int | None = None) -> dict[str, FloatArray]:
    """Figures over all classes that occur, from confusions (..., K, K) to (...) each.

    ``macro_`` is the plain mean over the classes, ``weighted_`` the mean by support; the recall of a class
    that is never decided is 0, and so counts its precision. ``outside`` is in no mean.
    """
    support = counts.sum(-1)
    of_class = class_figures(counts, outside)
    occurs = (support > 0) & (np.arange(counts.shape[-1]) != outside)
    precision = np.where(np.isfinite(of_class["precision"]), of_class["precision"], 0.0)
    values = of_class | {"precision": np.where(occurs, precision, np.nan)}
    hits = np.diagonal(counts, axis1=-2, axis2=-1).sum(-1)
    found = {
        "accuracy": ratio(hits, support.sum(-1)),
        "balanced_accuracy": mean_of_known(of_class["recall"], np.ones_like(support)),
    }
    for name in AVERAGED:
        found[f"macro_{name}"] = mean_of_known(values[name], np.ones_like(support))
    for name in AVERAGED:
        found[f"weighted_{name}"] = mean_of_known(values[name], support)
    return found


def _steps(
    score: FloatArray, positive: BoolArray, weight: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weight of positives and negatives at or above each distinct score, highest score first."""
    order = np.argsort(-score, kind="stable")
    score, positive, weight = score[order], positive[order], weight[order]
    last = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)
    return np.cumsum(weight * positive)[last], np.cumsum(weight * ~positive)[last], score[last]


@dataclass(frozen=True, slots=True)
class Curves:
    """ROC and precision against recall of one class against the rest; all arrays of shape (m,)."""

    false_positive_rate: FloatArray
    recall: FloatArray
    precision: FloatArray
    score: FloatArray
    roc_area: float
    pr_area: float


def curves(score: FloatArray, positive: BoolArray, weight: FloatArray) -> Curves:
    """ROC and precision-recall curves with areas.

    The area under the ROC is by trapezoids; that of precision against recall is the average precision
    (each gain in recall times the precision there), without interpolation.

    Parameters
    ----------
    score : ndarray of float64, shape (n,)
        Higher speaks for the class.
    positive : ndarray of bool, shape (n,)
        Whether the item is of the class.
    weight : ndarray of float64, shape (n,)
        Of each item.
    """
    hits, false, at = _steps(score, positive, weight)
    recall, rate, precision = ratio(hits, hits[-1]), ratio(false, false[-1]), ratio(hits, hits + false)
    roc = np.trapezoid(np.append(0.0, recall), np.append(0.0, rate))
    average = float((np.diff(recall, prepend=0.0) * precision).sum())
    return Curves(rate, recall, precision, at, float(roc), average)


def histograms(
    score: FloatArray, positive: BoolArray, weight: FloatArray, group: IntArray, n_groups: int
) -> FloatArray:
    """Weight of positives and negatives a patient and bin of score, (P, 2, M), highest scores first.

    The bins are quantiles of the positives' and of the negatives' scores, so that neither a rare class nor
    the many others fall into a few of them.
    """
    share = np.linspace(0, 1, BINS // 2)
    edges = [np.quantile(score[side], share) for side in (positive, ~positive) if side.any()]
    cut = np.unique(np.concatenate(edges))[::-1]
    place = np.searchsorted(-cut, -score, side="left").clip(0, len(cut) - 1)
    index = (group * 2 + ~positive) * len(cut) + place
    counts = np.bincount(index, weights=weight, minlength=n_groups * 2 * len(cut))
    return np.asarray(counts.reshape(n_groups, 2, -1), dtype=np.float64)


def binned_areas(counts: FloatArray) -> tuple[FloatArray, FloatArray]:
    """ROC area and average precision of histograms (..., 2, M)."""
    positive, negative = counts[..., 0, :], counts[..., 1, :]
    hits, false = positive.cumsum(-1), negative.cumsum(-1)
    roc = ratio((negative * (hits - positive / 2)).sum(-1), hits[..., -1] * false[..., -1])
    precision = np.nan_to_num(ratio(hits, hits + false))
    return roc, ratio((positive * precision).sum(-1), hits[..., -1])


def reliability(
    confidence: FloatArray, right: BoolArray, weight: FloatArray, group: IntArray, n_groups: int
) -> FloatArray:
    """Sums a patient and bin of confidence, (P, 3, M): weight, weighted confidence, weight of the right."""
    place = np.minimum((confidence * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    index = group * CALIBRATION_BINS + place
    sums = [
        np.bincount(index, weights=w, minlength=n_groups * CALIBRATION_BINS).reshape(n_groups, -1)
        for w in (weight, weight * confidence, weight * right)
    ]
    return np.stack(sums, axis=1)


def expected_calibration_error(sums: FloatArray) -> FloatArray:
    """Mean distance between confidence and accuracy over the bins, by weight; from (..., 3, M)."""
    return ratio(np.abs(sums[..., 1, :] - sums[..., 2, :]).sum(-1), sums[..., 0, :].sum(-1))


def draw(per_patient: FloatArray, *, draws: int = DRAWS, seed: int = 0) -> FloatArray:
    """Sums over patients drawn with replacement, (P, ...) to (D, ...).

    Of fewer than :data:`FEWEST` patients all draws are NaN: no interval is made of them. The draws depend on
    the number of patients and the seed alone, so that two models are drawn alike.
    """
    n = len(per_patient)
    if n < FEWEST:
        return np.full((draws, *per_patient.shape[1:]), np.nan)
    times = np.random.default_rng(seed).multinomial(n, np.full(n, 1.0 / n), size=draws).astype(np.float64)
    flat = times @ per_patient.reshape(n, -1)
    return np.asarray(flat.reshape(draws, *per_patient.shape[1:]))


def interval(value: float, drawn: FloatArray, n: float) -> Interval:
    """A figure with the 95 % interval of its draws; draws in which it is not defined are left out."""
    known = drawn[np.isfinite(drawn)]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (np.nan, np.nan)
    return Interval(
        value=round(float(value), 4), low=round(float(low), 4), high=round(float(high), 4), n=round(n)
    )


def _each(table: FloatArray, figures: Callable[[FloatArray], Mapping[str, float]]) -> dict[str, FloatArray]:
    rows = [figures(one) for one in table]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def bootstrap(
    per_patient: Mapping[str, FloatArray | IntArray],
    figures: Callable[[FloatArray], Mapping[str, float]],
    *,
    n: int,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Interval]:
    """Figures of summed counts with 95 % intervals, patients drawn with replacement.

    Parameters
    ----------
    per_patient : mapping of str to ndarray
        Counts of each patient, all of one shape.
    figures : callable
        From summed counts to named numbers.
    n : int
        Items behind the figures, for the card.
    """
    stack = np.stack([np.asarray(counts, dtype=np.float64) for counts in per_patient.values()])
    whole = figures(stack.sum(0))
    if len(stack) < FEWEST:
        return {name: interval(value, np.full(draws, np.nan), n) for name, value in whole.items()}
    drawn = _each(draw(stack, draws=draws, seed=seed), figures)
    return {name: interval(value, drawn[name], n) for name, value in whole.items()}


@dataclass(frozen=True, slots=True)
class Difference:
    """How much larger a figure is of B than of A, on the same patients.

    Attributes
    ----------
    a, b : float
        The figure of each.
    value, low, high : float
        B less A, with the 95 % interval of the paired bootstrap.
    for_b : float
        Share of draws in which B is the better; a tie counts half. NaN where there are no draws (too few
        patients) or every draw is a tie.
    """

    a: float
    b: float
    value: float
    low: float
    high: float
    for_b: float


def difference(
    a: float, b: float, drawn_a: FloatArray, drawn_b: FloatArray, *, lower_is_better: bool = False
) -> Difference:
    """Difference of a figure of two models that were drawn alike."""
    drawn = drawn_b - drawn_a
    known = drawn[np.isfinite(drawn)]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (np.nan, np.nan)
    tie = not (known != 0).any()
    ahead = float("nan") if tie else float((known > 0).mean() + 0.5 * (known == 0).mean())
    ahead = 1.0 - ahead if lower_is_better else ahead
    return Difference(float(a), float(b), float(b) - float(a), float(low), float(high), ahead)


def paired_bootstrap(
    a: Sequence[FloatArray | IntArray],
    b: Sequence[FloatArray | IntArray],
    figures: Callable[[FloatArray], Mapping[str, float]],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Difference]:
    """Differences of figures between two models, the same patients drawn for both.

    Parameters
    ----------
    a, b : sequence of ndarray
        Counts a patient, in the same order of patients.
    figures : callable
        From summed counts to named numbers.
    """
    stacks = [np.stack([np.asarray(counts, dtype=np.float64) for counts in one]) for one in (a, b)]
    whole = [figures(stack.sum(0)) for stack in stacks]
    if len(stacks[0]) < FEWEST:
        none = np.full(draws, np.nan)
        return {name: difference(value, whole[1][name], none, none) for name, value in whole[0].items()}
    drawn = [_each(draw(stack, draws=draws, seed=seed), figures) for stack in stacks]
    return {
        name: difference(whole[0][name], whole[1][name], drawn[0][name], drawn[1][name]) for name in whole[0]
    }
