"""Scores of the shock task: from probabilities to decisions, figures over patients, tables.

Everything that is pooled over folds is told by the predictions' items (``vfdb/418 lead 1 @ 123.0 s (VFL``)
or by rows of one record, so that folds can be joined in any form they were stored in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from models.spec import Interval
from training.evaluation import Cell, Evaluation, Predictions, Table
from training.metrics import TOO_FEW
from training.scoring import bootstrap
from training.shock_records import CLASSES
from training.sources import FloatArray, IntArray, WideFloatArray

BoolArray = npt.NDArray[np.bool_]

GRID: Final = np.round(np.linspace(0.05, 0.95, 91), 2)
AS_GOOD: Final = 0.01
"""Thresholds whose balanced accuracy is this near to the best are as good, with so few patients: their middle
is taken."""

RECORDS: Final = "Windows of 4 s, record by record"
APART: Final = "Scored apart"
RECORD_HEAD: Final = (
    "record", "VF", "VT", "other", "VF called", "VT called", "other called", "VF as VF", "VT as VT"
)  # fmt: skip
APART_HEAD: Final = ("record", "what", "windows", "called")


def decide(probabilities: FloatArray | WideFloatArray, thresholds: Mapping[str, float]) -> IntArray:
    """Class of each window: shockable by ``shock``, then VF by its share in what is shockable, ``vf``."""
    shock = probabilities[:, 0] + probabilities[:, 1]
    is_vf = probabilities[:, 0] >= thresholds["vf"] * shock
    return np.where(shock >= thresholds["shock"], np.where(is_vf, 0, 1), 2).astype(np.int64)


def _middle(values: WideFloatArray) -> float:
    """Middle of the thresholds that are as good as the best (the run of them around the best)."""
    good = values >= values.max() - AS_GOOD
    best = int(values.argmax())
    left = right = best
    while left > 0 and good[left - 1]:
        left -= 1
    while right < len(good) - 1 and good[right + 1]:
        right += 1
    return float(GRID[(left + right) // 2])


def choose_thresholds(probabilities: FloatArray, truth: IntArray, patient: IntArray) -> dict[str, float]:
    """Threshold ``shock`` with the best balanced accuracy; a patient's windows weigh by their root.

    ``vf`` stays at one half: on the two or three patients that a validation side has it cannot be chosen.

    Parameters
    ----------
    probabilities : ndarray, shape (n, 3)
    truth, patient : ndarray of int64, shape (n,)
        Index into ``CLASSES``; index of the patient.
    """
    positive = truth < 2
    if positive.all() or not positive.any():
        return {"shock": 0.5, "vf": 0.5}
    _, inverse, count = np.unique(2 * patient + positive, return_inverse=True, return_counts=True)
    weight = 1.0 / np.sqrt(count[inverse])
    called = (probabilities[:, 0] + probabilities[:, 1])[None] >= GRID[:, None]
    hit = (called * (weight * positive)).sum(1) / (weight * positive).sum()
    passed = (~called * (weight * ~positive)).sum(1) / (weight * ~positive).sum()
    return {"shock": _middle((hit + passed) / 2), "vf": 0.5}


def record_of(item: str) -> str:
    """Record that an item is from."""
    return item.split(" ", 1)[0]


def mark_of(item: str) -> str:
    """Annotated rhythm of an item."""
    return item.rsplit(" ", 1)[1].lstrip("(")


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def _against_rest(label: int, *, sensitivity: bool) -> Callable[[IntArray], float]:
    def figure(table: IntArray) -> float:
        hits, positives, called = table[label, label], table[label].sum(), table[:, label].sum()
        if sensitivity:
            return _ratio(hits, positives)
        negatives = table.sum() - positives
        return _ratio(negatives - (called - hits), negatives)

    return figure


def _sensitivity(table: IntArray) -> float:
    return _ratio(table[:2, :2].sum(), table[:2].sum())


def _specificity(table: IntArray) -> float:
    return _ratio(table[2, 2], table[2].sum())


FIGURES: Final[dict[str, Callable[[IntArray], float]]] = {
    "shockable_sensitivity": _sensitivity,
    "shockable_specificity": _specificity,
    "balanced_accuracy": lambda t: (_sensitivity(t) + _specificity(t)) / 2,
    "shockable_precision": lambda t: _ratio(t[:2, :2].sum(), t[:, :2].sum()),
    "vf_called": lambda t: _ratio(t[0, :2].sum(), t[0].sum()),
    "vt_called": lambda t: _ratio(t[1, :2].sum(), t[1].sum()),
    "vf_sensitivity": _against_rest(0, sensitivity=True),
    "vf_specificity": _against_rest(0, sensitivity=False),
    "vt_sensitivity": _against_rest(1, sensitivity=True),
    "vt_specificity": _against_rest(1, sensitivity=False),
}
"""Figures of a 3 x 3 table: rows the truth, columns what was decided; ``called`` is called shockable."""


def tables_of(predictions: Predictions, names: Iterable[str]) -> dict[str, IntArray]:
    """A 3 x 3 table for each name of ``names`` (one a window: patient, record or mark)."""
    found: dict[str, IntArray] = {}
    for name, truth, decided in zip(names, predictions.truth, predictions.decided, strict=True):
        table = found.setdefault(name, np.zeros((3, 3), dtype=np.int64))
        table[truth, decided] += 1
    return found


def figures(predictions: Predictions) -> dict[str, Interval]:
    """All figures with 95 % intervals by bootstrap over patients, and the mean over patients."""
    tables = list(tables_of(predictions, predictions.patient).values())
    total = np.sum(tables, axis=0)
    counts = {"vf_called": total[0], "vt_called": total[1], "shockable_sensitivity": total[:2]}
    counts |= {"vf_sensitivity": total[0], "vt_sensitivity": total[1], "shockable_specificity": total[2]}
    found = {
        name: bootstrap(tables, figure, int(counts.get(name, total).sum()))
        for name, figure in FIGURES.items()
    }
    with_shock = [table for table in tables if table[:2].sum()]
    if with_shock:
        each = [np.array([_sensitivity(table), 1.0]) for table in with_shock]
        found["shockable_sensitivity_mean_of_patients"] = bootstrap(each, lambda t: t[0] / t[1], len(each))
    return found


def _percent(value: float) -> str:
    return "–" if not np.isfinite(value) else f"{100 * value:.1f}"


def _with_interval(figure: Interval) -> str:
    if not np.isfinite(figure.low):
        return f"{_percent(figure.value)} ({TOO_FEW})"
    return f"{_percent(figure.value)} ({_percent(figure.low)} to {_percent(figure.high)})"


def record_rows(predictions: Predictions) -> tuple[tuple[Cell, ...], ...]:
    """One row a record, in order of names: windows of each class, percent called shockable, told apart."""
    rows: list[tuple[Cell, ...]] = []
    for name, t in sorted(tables_of(predictions, map(record_of, predictions.item)).items()):
        calls = (_percent(_ratio(t[i, :2].sum(), t[i].sum())) for i in range(3))
        apart = (_percent(_ratio(t[i, i], t[i, :2].sum())) for i in range(2))
        rows.append((name, *(int(n) for n in t.sum(1)), *calls, *apart))
    return tuple(rows)


def _recall(table: IntArray, label: int) -> float:
    return _ratio(table[label, label], table[label].sum())


def _leads_table(predictions: Predictions) -> Table:
    """Windows of records with two leads, called where either, or both, are called."""
    at: dict[str, list[tuple[int, int]]] = {}
    for item, truth, decided in zip(
        predictions.item, predictions.truth.tolist(), predictions.decided.tolist(), strict=True
    ):
        record, place = record_of(item), item.rsplit("@", 1)[1]
        at.setdefault(f"{record}{place}", []).append((truth, decided))
    rows = []
    for title, rule in (("either lead", any), ("both leads", all)):
        called = np.array([rule(d < 2 for _, d in pair) for pair in at.values()], dtype=np.bool_)
        shock = np.array([pair[0][0] < 2 for pair in at.values()], dtype=np.bool_)
        rows.append((title, _percent(called[shock].mean()), _percent((~called[~shock]).mean())))
    return Table("Both leads of a window", ("called where", "Se", "Sp"), tuple(rows), "percent")


def told_apart(predictions: Predictions, clear: BoolArray, threshold: float) -> Predictions:
    """Ventricular windows that are clearly what they are marked: VF or VT, by the share of VF.

    Parameters
    ----------
    predictions : Predictions
        Of all windows.
    clear : ndarray of bool, shape (n,)
        Whether regularity agrees with the mark: VF repeats nothing, VT repeats itself.
    threshold : float
        Least share of VF.
    """
    keep = clear & (predictions.truth < 2)
    ventricular = predictions.probabilities[keep, :2]
    ventricular = ventricular / np.maximum(ventricular.sum(1, keepdims=True), 1e-9)
    return Predictions(
        "VF against VT where regularity agrees with the mark",
        CLASSES[:2],
        tuple(item for item, kept in zip(predictions.item, keep, strict=True) if kept),
        tuple(patient for patient, kept in zip(predictions.patient, keep, strict=True) if kept),
        predictions.truth[keep],
        ventricular,
        (ventricular[:, 0] < threshold).astype(np.int64),
        np.ones(int(keep.sum())),
    )


def describe(
    predictions: Predictions, clear: Predictions, apart: Iterable[tuple[Cell, ...]], notes: Iterable[str]
) -> Evaluation:
    """Evaluation of windows whose truth is sure.

    Parameters
    ----------
    predictions : Predictions
        Of all classes.
    clear : Predictions
        Of VF against VT, as :func:`told_apart` gives them.
    apart : iterable of tuple
        Rows (``APART_HEAD``) of windows scored apart.
    notes : iterable of str
        Thresholds and the like.
    """
    metrics = figures(predictions)
    for label, name in enumerate(CLASSES[:2]):
        tables = list(tables_of(clear, clear.patient).values())
        count = sum(int(table[label].sum()) for table in tables)
        if count:
            metrics[f"clear_{name}_as_{name}"] = bootstrap(tables, partial(_recall, label=label), count)
    total = np.sum(list(tables_of(predictions, predictions.patient).values()), axis=0)
    rows = tuple((name.replace("_", " "), value.n, _with_interval(value)) for name, value in metrics.items())
    marks = tables_of(predictions, map(mark_of, predictions.item))
    by_mark = tuple(
        (mark, int(t.sum()), _percent(_ratio(t[:, :2].sum(), t.sum())))
        for mark, t in sorted(marks.items(), key=lambda pair: (-pair[1][:2].sum(), pair[0]))
    )
    apart = tuple(sorted(apart, key=lambda row: (str(row[1]), str(row[0]))))
    sums: dict[str, list[float]] = {}
    for _, what, windows, called in apart:
        entry = sums.setdefault(str(what), [0.0, 0.0])
        entry[0] += float(windows)
        entry[1] += float(called)
    return Evaluation(
        predictions=(predictions, clear),
        tables=(
            Table(
                "Windows of 4 s: shockable (VF, VFL, VT ≥ 150/min)",
                ("figure", "windows", "percent"),
                rows,
                "each lead of a window is one; 95 % intervals by bootstrap over patients",
            ),
            Table(
                "Confusion",
                ("", *(name.upper() for name in CLASSES)),
                tuple((name.upper(), *total[i].tolist()) for i, name in enumerate(CLASSES)),
                "rows the annotation, columns what was decided",
            ),
            Table(RECORDS, RECORD_HEAD, record_rows(predictions), "windows, then percent called shockable"),
            Table("By annotated rhythm", ("mark", "windows", "percent called shockable"), by_mark),
            _leads_table(predictions),
            Table(APART, APART_HEAD, apart, "windows of no sure truth: how many are called shockable"),
            Table(
                "Scored apart, sums",
                ("what", "windows", "percent called shockable"),
                tuple((what, int(n), _percent(_ratio(c, n))) for what, (n, c) in sorted(sums.items())),
            ),
        ),
        metrics=metrics,
        notes=tuple(notes),
    )


def apart_rows(evaluation: Evaluation) -> tuple[tuple[Cell, ...], ...]:
    """Rows of the windows that an evaluation scored apart."""
    return next((table.rows for table in evaluation.tables if table.title == APART), ())
