"""Scores of recordings by the CinC 2017 rule, re-weighted to the shares of the challenge's full set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from models.spec import Interval
from training.af_beats import IntArray, WideFloatArray
from training.af_config import AF_CLASSES, FULL_SET
from training.evaluation import Cell, Predictions, Table

SCORED: Final = ("N", "A", "O")
"""The challenge's figure is the mean F1 of these three."""

DRAWS: Final = 2000
SEED: Final = 0
WORST: Final = 30
FACTORS: Final = tuple(np.exp(np.linspace(np.log(0.4), np.log(2.5), 9)).tolist())
"""Factors of a class that are tried, times the ratio of its shares."""

WORTH: Final = 0.01
"""A factor away from the ratio of shares must win this much of mean F1 for each step of the grid: on two
hundred records the optimum wanders by more than a factor of two, while the gain it promises is chance."""


def class_weights(truth: IntArray) -> WideFloatArray:
    """Weight of each record, (n,): the classes get the shares of the full set, the sum is n."""
    counts = np.bincount(truth, minlength=len(AF_CLASSES))
    full = np.where(counts > 0, FULL_SET, 0)
    ratio = full / np.maximum(counts, 1)
    return np.asarray(ratio[truth] * (len(truth) / full.sum()))


def f1_scores(table: WideFloatArray) -> WideFloatArray:
    """F1 of each class from a confusion of rows truth, columns decided; NaN where there is nothing of it."""
    both = table.sum(0) + table.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(both > 0, 2 * table.diagonal() / both, np.nan))


def mean_f1(table: WideFloatArray) -> float:
    """The challenge's figure."""
    return float(np.mean(f1_scores(table)[[AF_CLASSES.index(name) for name in SCORED]]))


def confusion(truth: IntArray, decided: IntArray, weight: WideFloatArray) -> WideFloatArray:
    """Weighted counts, rows the truth, columns what was decided, (4, 4)."""
    table = np.zeros((len(AF_CLASSES), len(AF_CLASSES)))
    np.add.at(table, (truth, decided), weight)
    return table


def factors_of(thresholds: Mapping[str, float]) -> WideFloatArray:
    """Factors of the classes, in their order."""
    return np.array([thresholds[f"factor_{name}"] for name in AF_CLASSES])


def decide(probabilities: WideFloatArray, factors: WideFloatArray) -> IntArray:
    """Class of each record: the largest of probability times factor."""
    return np.asarray((probabilities * factors).argmax(1), dtype=np.int64)


def shares_ratio(truth: IntArray) -> WideFloatArray:
    """Shares of the classes in the full set over those among these records, (4,); 1 where there is none."""
    shares = np.bincount(truth, minlength=len(AF_CLASSES)) / max(1, len(truth))
    full = np.array(FULL_SET) / sum(FULL_SET)
    return np.asarray(np.where(shares > 0, full / np.where(shares > 0, shares, 1.0), 1.0))


def choose_factors(probabilities: WideFloatArray, truth: IntArray) -> dict[str, float]:
    """Factors that turn the network's posterior into decisions at the full set's shares.

    The classes have about the same shares on the training and validation side. The factors begin at the
    ratio of shares, as Bayes' rule has it; those of A and O move away from it where validation records ask
    for it by more than :data:`WORTH`.

    Parameters
    ----------
    probabilities : ndarray, shape (n, 4)
        Of validation records.
    truth : ndarray of int64, shape (n,)
        Their classes.
    """
    ratio, weight = shares_ratio(truth), class_weights(truth)
    middle = len(FACTORS) // 2
    best, chosen = -np.inf, ratio
    for a, factor_a in enumerate(FACTORS):
        for o, factor_o in enumerate(FACTORS):
            factors = ratio * np.array([1.0, factor_a, factor_o, 1.0])
            score = mean_f1(confusion(truth, decide(probabilities, factors), weight))
            score -= WORTH * (abs(a - middle) + abs(o - middle))
            if score > best:
                best, chosen = score, factors
    return {f"factor_{name}": round(float(value), 4) for name, value in zip(AF_CLASSES, chosen, strict=True)}


def predictions_of(
    names: tuple[str, ...], truth: IntArray, probabilities: WideFloatArray, decided: IntArray
) -> Predictions:
    """Recordings with their weights."""
    return Predictions(
        "recordings of cinc2017",
        AF_CLASSES,
        names,
        names,
        truth,
        probabilities,
        decided,
        class_weights(truth),
    )


def _interval(
    counts: WideFloatArray, weights: WideFloatArray, figure: Callable[[WideFloatArray], float], n: int
) -> Interval:
    """A figure with its interval, records drawn with replacement.

    A record adds one to one cell, so drawing records is drawing the cells' counts from a multinomial.

    Parameters
    ----------
    counts : ndarray, shape (4, 4)
        Records, rows the truth.
    weights : ndarray, shape (4,)
        Of a record of each class; kept as they are in every draw.
    """
    total = int(counts.sum())
    drawn = np.random.default_rng(SEED).multinomial(total, (counts / total).ravel(), size=DRAWS)
    values = np.array([figure(table.reshape(counts.shape) * weights[:, None]) for table in drawn])
    values = values[np.isfinite(values)]
    low, high = np.quantile(values, [0.025, 0.975]) if len(values) else (np.nan, np.nan)
    value = figure(counts * weights[:, None])
    return Interval(value=round(value, 4), low=round(float(low), 4), high=round(float(high), 4), n=n)


def metrics_of(found: Predictions) -> dict[str, Interval]:
    """Figures with intervals; the weights are those of the whole."""
    n = len(found.truth)
    counts = confusion(found.truth, found.decided, np.ones(n))
    per_class = np.bincount(found.truth, minlength=len(AF_CLASSES))
    sums = np.bincount(found.truth, weights=found.weight, minlength=len(AF_CLASSES))
    weights = sums / np.maximum(per_class, 1)
    metrics = {"cinc2017_mean_f1": _interval(counts, weights, mean_f1, n)}
    for i, name in enumerate(AF_CLASSES):

        def of_class(table: WideFloatArray, i: int = i) -> float:
            return float(f1_scores(table)[i])

        label = "noise" if name == "~" else name
        metrics[f"cinc2017_{label}_f1"] = _interval(counts, weights, of_class, int(per_class[i]))
    metrics["cinc2017_mean_f1_raw"] = _interval(counts, np.ones(len(AF_CLASSES)), mean_f1, n)
    return metrics


def _percent(value: float) -> str:
    return "–" if not np.isfinite(value) else f"{100 * value:.1f}"


def tables_of(found: Predictions, metrics: Mapping[str, Interval]) -> tuple[Table, ...]:
    """Figures a class, confusion as it is and re-weighted, the records it is most wrong about."""
    weighted = confusion(found.truth, found.decided, found.weight)
    raw = confusion(found.truth, found.decided, np.ones(len(found.truth)))
    rows: list[tuple[Cell, ...]] = []
    for i, name in enumerate(AF_CLASSES):
        interval = metrics[f"cinc2017_{'noise' if name == '~' else name}_f1"]
        with np.errstate(invalid="ignore", divide="ignore"):
            sensitivity = float(weighted[i, i] / weighted[i].sum())
            precision = float(weighted[i, i] / weighted[:, i].sum())
        shown = f"{_percent(interval.value)} ({_percent(interval.low)} to {_percent(interval.high)})"
        rows.append(
            (name, interval.n, _percent(sensitivity), _percent(precision), shown, _percent(f1_scores(raw)[i]))
        )
    mean = metrics["cinc2017_mean_f1"]
    shown = f"{_percent(mean.value)} ({_percent(mean.low)} to {_percent(mean.high)})"
    rows.append(("mean N, A, O", mean.n, "", "", shown, _percent(metrics["cinc2017_mean_f1_raw"].value)))
    own = found.probabilities[np.arange(len(found.truth)), found.truth]
    wrong = [int(i) for i in np.argsort(own) if found.truth[i] != found.decided[i]][:WORST]
    worst = tuple(
        (
            found.item[i],
            AF_CLASSES[int(found.truth[i])],
            AF_CLASSES[int(found.decided[i])],
            *(f"{p:.3f}" for p in found.probabilities[i].tolist()),
        )
        for i in wrong
    )
    shares = " / ".join(f"{n:,}" for n in FULL_SET)
    return (
        Table(
            "Recordings of cinc2017",
            ("class", "records", "Se", "+P", "F1", "F1, classes as they are here"),
            tuple(rows),
            f"percent; classes re-weighted to {shares} but for the last column",
        ),
        Table(
            "Confusion, re-weighted",
            ("", *AF_CLASSES),
            tuple((name, *(f"{v:.1f}" for v in weighted[i].tolist())) for i, name in enumerate(AF_CLASSES)),
            "rows the reference, columns what was decided",
        ),
        Table(
            "Confusion, records as they are here",
            ("", *AF_CLASSES),
            tuple((name, *(int(v) for v in raw[i].tolist())) for i, name in enumerate(AF_CLASSES)),
            "rows the reference, columns what was decided",
        ),
        Table(
            "Records it is most wrong about",
            ("record", "is", "decided", *(f"p({name})" for name in AF_CLASSES)),
            worst,
        ),
    )
