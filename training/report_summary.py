"""All figures of a classification, computed once: Markdown, HTML, JSON and the card read them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.spec import Interval
from training import metrics
from training.evaluation import Evaluation, Predictions
from training.metrics import BoolArray, FloatArray, IntArray

CURVE_POINTS: Final = 200
WORST: Final = 12
"""Records in the table of the worst."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of a curve, thinned out for drawing, and where the decisions lie on it (None: not on it)."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    area: Interval
    decided: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class ClassSummary:
    """One class against the rest. ``figures``: precision, recall, specificity, f1."""

    name: str
    items: int
    support: float
    figures: dict[str, Interval]
    roc: Curve | None
    pr: Curve | None
    reliability: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True, slots=True)
class Worst:
    """A record with its errors.

    Attributes
    ----------
    record : str
        The item's name up to its time.
    wrong : float
        Weight of the wrong ones.
    confusion : str
        The most frequent: "V as N".
    item : str
        The item whose wrong class was surest.
    said : str
        Of that item, with the probability of the wrong class: "V as N (0.98)".
    """

    record: str
    patient: str
    items: int
    wrong: float
    share: float
    confusion: str
    item: str
    said: str


@dataclass(frozen=True, slots=True)
class Summary:
    """All figures of one :class:`~training.evaluation.Predictions`.

    Attributes
    ----------
    confusion : ndarray of float64, shape (K, K)
        Weighted; rows the truth.
    figures : dict of str to Interval
        Accuracy, balanced accuracy, macro and weighted averages, calibration error, Brier score.
    reliability : tuple of (confidence, accuracy, share of the items)
        Of the likeliest class, bin by bin.
    """

    title: str
    key: str
    classes: tuple[ClassSummary, ...]
    items: int
    patients: int
    weighted: bool
    confusion: FloatArray
    figures: dict[str, Interval]
    reliability: tuple[tuple[float, float, float], ...]
    worst: tuple[Worst, ...]


def key_of(predictions: Predictions) -> str:
    """What its figures begin with in the card."""
    return predictions.key or re.sub(r"[^a-z0-9]+", "_", predictions.title.lower()).strip("_")


def groups(patients: tuple[str, ...]) -> tuple[tuple[str, ...], IntArray]:
    """Distinct patients in order of name, and the index of each item's."""
    names, index = np.unique(np.array(patients, dtype=np.str_), return_inverse=True)
    return tuple(names.tolist()), np.asarray(index, dtype=np.int64)


def thin(x: FloatArray, y: FloatArray, points: int = CURVE_POINTS) -> IntArray:
    """Indices of points about evenly spaced along a curve; its corners stay where they are few."""
    if len(x) <= points:
        return np.arange(len(x), dtype=np.int64)
    way = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    return np.unique(np.searchsorted(way, np.linspace(0, way[-1], points)).clip(0, len(x) - 1))


def _rounded(values: FloatArray) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in values)


def _bins(sums: FloatArray) -> tuple[tuple[float, float, float], ...]:
    """Reliability of the bins that hold anything, from sums (3, M)."""
    held = sums[0] > 0
    columns = (
        sums[1] / np.where(held, sums[0], 1),
        sums[2] / np.where(held, sums[0], 1),
        sums[0] / sums[0].sum(),
    )
    return tuple(zip(*(_rounded(column[held]) for column in columns), strict=True))


def _curves(
    score: FloatArray, positive: BoolArray, called: BoolArray, weight: FloatArray, group: IntArray, n: int
) -> tuple[Curve | None, Curve | None]:
    """ROC and precision against recall; None where the class, or all others, do not occur."""
    if not weight[positive].sum() or not weight[~positive].sum():
        return None, None
    found = metrics.curves(score, positive, weight)
    drawn = metrics.binned_areas(metrics.draw(metrics.histograms(score, positive, weight, group, n)))
    items = int(positive.sum())
    areas = [
        metrics.interval(v, d, items) for v, d in zip((found.roc_area, found.pr_area), drawn, strict=True)
    ]
    recall = float(weight[positive & called].sum() / weight[positive].sum())
    rate = float(weight[~positive & called].sum() / weight[~positive].sum())
    precision = float(metrics.ratio(weight[positive & called].sum(), weight[called].sum()))
    x, y = np.append(0.0, found.false_positive_rate), np.append(0.0, found.recall)
    keep = thin(x, y)
    roc = Curve(_rounded(x[keep]), _rounded(y[keep]), areas[0], (round(rate, 4), round(recall, 4)))
    keep = thin(found.recall, found.precision)
    at = (round(recall, 4), round(precision, 4)) if np.isfinite(precision) else None
    return roc, Curve(_rounded(found.recall[keep]), _rounded(found.precision[keep]), areas[1], at)


def _class(
    predictions: Predictions, k: int, figures: dict[str, Interval], group: IntArray, n: int
) -> ClassSummary:
    positive, score, weight = predictions.truth == k, predictions.probabilities[:, k], predictions.weight
    roc, pr = None, None
    if k != predictions.outside:
        roc, pr = _curves(score, positive, predictions.decided == k, weight, group, n)
    sums = metrics.reliability(score, positive, weight, np.zeros(len(score), dtype=np.int64), 1)[0]
    return ClassSummary(
        predictions.classes[k],
        int(positive.sum()),
        round(float(weight[positive].sum()), 2),
        figures,
        roc,
        pr,
        _bins(sums),
    )


def record_of(item: str) -> str:
    """``mitdb/200`` of ``mitdb/200 @ 123.4 s``: up to the first space."""
    return item.split(" ", 1)[0]


def worst_records(predictions: Predictions, limit: int = WORST) -> tuple[Worst, ...]:
    """Records with most wrong, by weight; of each the most frequent confusion and the surest wrong item."""
    wrong = predictions.truth != predictions.decided
    records, index = groups(tuple(record_of(item) for item in predictions.item))
    weight = predictions.weight
    missed = np.bincount(index, weights=weight * wrong, minlength=len(records))
    whole = np.bincount(index, weights=weight, minlength=len(records))
    sure = predictions.probabilities[np.arange(len(wrong)), predictions.decided]
    found = []

    def as_text(truth: int, decided: int) -> str:
        return f"{predictions.classes[truth]} as {predictions.classes[decided]}"

    for i in np.lexsort((-missed / np.maximum(whole, 1e-12), -missed))[:limit].tolist():
        if not missed[i]:
            break
        own = np.flatnonzero((index == i) & wrong)
        pairs = predictions.truth[own] * len(predictions.classes) + predictions.decided[own]
        pair = int(np.bincount(pairs, weights=weight[own]).argmax())
        surest = int(own[sure[own].argmax()])
        found.append(
            Worst(
                records[i],
                predictions.patient[surest],
                int((index == i).sum()),
                round(float(missed[i]), 2),
                round(float(missed[i] / whole[i]), 4),
                as_text(*divmod(pair, len(predictions.classes))),
                predictions.item[surest],
                f"{as_text(int(predictions.truth[surest]), int(predictions.decided[surest]))} "
                f"({sure[surest]:.2f})",
            )
        )
    return tuple(found)


def _calibration(
    predictions: Predictions, group: IntArray, n: int
) -> tuple[dict[str, Interval], tuple[tuple[float, float, float], ...]]:
    """Expected calibration error and Brier score; the reliability of the likeliest class."""
    p, weight, truth = predictions.probabilities, predictions.weight, predictions.truth
    likeliest = p.argmax(1)
    confidence = p[np.arange(len(p)), likeliest]
    sums = metrics.reliability(confidence, likeliest == truth, weight, group, n)
    error = metrics.expected_calibration_error
    squares = ((p - np.eye(p.shape[1])[truth]) ** 2).sum(1)
    sums_of = [np.bincount(group, weights=w, minlength=n) for w in (weight * squares, weight)]
    brier: FloatArray = np.stack(sums_of, axis=1).astype(np.float64)
    drawn, whole = metrics.draw(brier), brier.sum(0)
    return {
        "ece": metrics.interval(float(error(sums.sum(0))), error(metrics.draw(sums)), len(p)),
        "brier": metrics.interval(whole[0] / whole[1], metrics.ratio(drawn[:, 0], drawn[:, 1]), len(p)),
    }, _bins(sums.sum(0))


def summarise(predictions: Predictions) -> Summary:
    """Compute every figure, with 95 % intervals by bootstrap over patients.

    Raises
    ------
    ValueError
        There are no items.
    """
    if not len(predictions.truth):
        raise ValueError(f"{predictions.title}: no items")
    names, group = groups(predictions.patient)
    n, k = len(names), len(predictions.classes)
    counts = metrics.confusion(predictions.truth, predictions.decided, predictions.weight, group, n, k)
    total, drawn = counts.sum(0), metrics.draw(counts)
    items = np.bincount(predictions.truth, minlength=k)
    outside = predictions.outside
    overall, overall_drawn = metrics.overall_figures(total, outside), metrics.overall_figures(drawn, outside)
    figures = {
        name: metrics.interval(float(value), overall_drawn[name], len(predictions.truth))
        for name, value in overall.items()
    }
    of_class, of_class_drawn = metrics.class_figures(total, outside), metrics.class_figures(drawn, outside)
    classes = tuple(
        _class(
            predictions,
            i,
            {
                name: metrics.interval(float(values[i]), of_class_drawn[name][:, i], int(items[i]))
                for name, values in of_class.items()
            },
            group,
            n,
        )
        for i in range(k)
    )
    calibration, reliability = _calibration(predictions, group, n)
    return Summary(
        predictions.title,
        key_of(predictions),
        classes,
        len(predictions.truth),
        n,
        bool(np.ptp(predictions.weight) > 0),
        total,
        figures | calibration,
        reliability,
        worst_records(predictions),
    )


def card_figures(summary: Summary) -> dict[str, Interval]:
    """Figures for the card, ``key_name`` and ``key_name_class``; those not defined are left out."""
    found = {f"{summary.key}_{name}": figure for name, figure in summary.figures.items()}
    for one in summary.classes:
        found |= {f"{summary.key}_{name}_{one.name}": figure for name, figure in one.figures.items()}
        for name, curve in (("roc_area", one.roc), ("pr_area", one.pr)):
            if curve is not None:
                found[f"{summary.key}_{name}_{one.name}"] = curve.area
    return {
        name: figure
        for name, figure in found.items()
        if np.isfinite([figure.value, figure.low, figure.high]).all() and figure.n > 0
    }


def card_metrics(evaluation: Evaluation, summaries: tuple[Summary, ...]) -> dict[str, Interval]:
    """Everything that enters the card; the task's own figures win where names collide."""
    found: dict[str, Interval] = {}
    for summary in summaries:
        found |= card_figures(summary)
    return found | evaluation.metrics
