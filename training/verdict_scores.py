"""Scores of verdicts on alarms: the challenge's score, tables by kind of alarm, the wrong ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.spec import Interval
from models.verdict import KINDS
from training.evaluation import Evaluation, FloatArray, IntArray, Predictions, Strip, Table
from training.metrics import TOO_FEW
from training.scoring import bootstrap

TITLE: Final = "ICU alarms"
CLASSES: Final = ("false", "true")
MISS_COST: Final = 5
DRAWS: Final = 4000


def counts_of(truth: IntArray, decided: IntArray) -> IntArray:
    """TP, FP, TN, FN of each alarm, (n,) to (n, 4)."""
    columns = [truth & decided, (1 - truth) & decided, (1 - truth) & (1 - decided), truth & (1 - decided)]
    return np.stack(columns, axis=1).astype(np.int64)


def challenge_score(counts: IntArray) -> float:
    """100 (TP + TN) / (TP + TN + FP + 5 FN), by TP, FP, TN, FN (4,)."""
    tp, fp, tn, fn = (float(count) for count in counts)
    whole = tp + tn + fp + MISS_COST * fn
    return 100.0 * (tp + tn) / whole if whole else float("nan")


def sensitivity(counts: IntArray) -> float:
    """True alarms called true, percent."""
    whole = counts[0] + counts[3]
    return float(100.0 * counts[0] / whole) if whole else float("nan")


def specificity(counts: IntArray) -> float:
    """False alarms called false, percent."""
    whole = counts[1] + counts[2]
    return float(100.0 * counts[2] / whole) if whole else float("nan")


FIGURES: Final = {"score": challenge_score, "sensitivity": sensitivity, "specificity": specificity}


def kind_of(item: str) -> str:
    """Kind of alarm of an item ``cinc2015/v158s Ventricular_Tachycardia``."""
    return item.rsplit(" ", 1)[1]


def predictions_of(
    items: Sequence[str], truth: IntArray, probability: FloatArray, decided: IntArray
) -> Predictions:
    """Alarms with what was said about them; each record counts for itself, patients are not told."""
    return Predictions(
        TITLE,
        CLASSES,
        tuple(items),
        tuple(item.split(" ", 1)[0] for item in items),
        truth,
        np.column_stack([1.0 - probability, probability]),
        decided,
        np.ones(len(truth)),
    )


def _text(interval: Interval) -> str:
    if not np.isfinite(interval.low):
        return f"{interval.value:.1f} ({TOO_FEW})"
    return f"{interval.value:.1f} ({interval.low:.1f} to {interval.high:.1f})"


def by_kind(predictions: Predictions) -> Table:
    """TP, FP, TN, FN, sensitivity, specificity and score of each kind and of all."""
    counts = counts_of(predictions.truth, predictions.decided)
    kinds = np.array([kind_of(item) for item in predictions.item])
    rows: list[tuple[str | float | int, ...]] = []
    for kind in (*KINDS, "all"):
        own = counts if kind == "all" else counts[kinds == kind]
        if not len(own):
            continue
        total = own.sum(0)
        rows.append(
            (
                kind,
                *(int(count) for count in total),
                round(sensitivity(total), 1),
                round(specificity(total), 1),
                _text(bootstrap(list(own), challenge_score, len(own), draws=DRAWS)),
            )
        )
    head = ("alarm", "TP", "FP", "TN", "FN", "Se %", "Sp %", "score")
    return Table("Alarms by kind", head, tuple(rows), "95 % intervals by bootstrap over records")


def wrong_ones(predictions: Predictions) -> Table:
    """Alarms that were judged wrongly, the most confident first."""
    p = predictions.probabilities[:, 1]
    wrong = np.flatnonzero(predictions.truth != predictions.decided)
    order = wrong[np.argsort(-np.abs(p[wrong] - predictions.truth[wrong]), kind="stable")]
    rows = tuple(
        (
            predictions.patient[i],
            kind_of(predictions.item[i]),
            CLASSES[predictions.truth[i]],
            round(float(p[i]), 3),
        )
        for i in order
    )
    return Table("Wrong verdicts", ("record", "alarm", "truth", "probability of true"), rows)


def describe(predictions: Predictions, notes: Sequence[str] = (), strips: Sequence[Strip] = ()) -> Evaluation:
    """All figures and tables of verdicts."""
    counts = list(counts_of(predictions.truth, predictions.decided))
    n = len(counts)
    metrics = {name: bootstrap(counts, figure, n, draws=DRAWS) for name, figure in FIGURES.items()}
    tables = (by_kind(predictions), wrong_ones(predictions))
    return Evaluation((predictions,), tables, metrics, tuple(strips), tuple(notes))
