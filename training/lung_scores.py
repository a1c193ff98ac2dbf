"""Scores of the lung task: crackles and wheezes by cycle, ICBHI's four classes, diagnosis by patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from scipy.special import logit

from models.spec import Interval
from training.evaluation import Counts, Evaluation, Predictions, Table, pool
from training.lung_maps import map_figures
from training.lung_predict import HeardLung
from training.lung_records import CLASS_OF, classes_of, parse_name
from training.lung_sampling import KINDS, LABELS, kind_of
from training.metrics import bootstrap, confusion, ratio
from training.sound_calibration import calibrated
from training.sound_scores import auroc, auroc_interval
from training.sources import IntArray, WideFloatArray

BOTH_SIDES_PATIENT: Final = "218"
MAPS: Final = "Maps inside cycles with the sound"
SHARES: Final = (0.2, 0.5)
"""What a side can hold of abnormal cycles and still be one to go by."""


def four_class_figures(table: WideFloatArray) -> dict[str, float]:
    """ICBHI's figures of a confusion (4, 4): specificity of normal cycles, sensitivity of the others, score.

    Sensitivity counts abnormal cycles that are given exactly their class; the score is the mean of both
    (Rocha et al. 2019).
    """
    specificity = float(ratio(table[0, 0], table[0].sum()))
    sensitivity = float(ratio(np.trace(table[1:, 1:]), table[1:].sum()))
    return {
        "score": (specificity + sensitivity) / 2,
        "sensitivity": sensitivity,
        "specificity": specificity,
        "any_sensitivity": float(ratio(table[1:, 1:].sum(), table[1:].sum())),
    }


def best_thresholds(labels: IntArray) -> dict[str, float]:
    """Thresholds with the best score that calibrated probabilities can have, from labels (n, 2).

    A call gains its share of the sensitivity where it is right and costs its share of the specificity where
    it is not: it pays from the share of abnormal cycles on (the Bayes rule for the mean of both). Thresholds
    that are searched for on six to nine patients are fitted to these.
    """
    share = round(float(np.clip(labels.any(axis=1).mean(), *SHARES)), 2)
    return dict.fromkeys(LABELS, share)


def cycle_table(found: Sequence[HeardLung]) -> tuple[WideFloatArray, IntArray]:
    """Logits (n, 2) and labels (n, 2) of all cycles that their recordings hold."""
    logits = np.concatenate([one.cycle_logits for one in found])
    labels = np.concatenate([one.record.about.cycles.labels for one in found])
    there = np.isfinite(logits).all(1)
    return logits[there], labels[there]


def predictions_of(
    found: Sequence[HeardLung], thresholds: Mapping[str, float], diagnoses: str = "groups"
) -> tuple[Predictions, ...]:
    """Cycles by label, in four classes, and the diagnoses of recordings and patients.

    Parameters
    ----------
    found : sequence of HeardLung
        Of one side.
    thresholds : mapping of str to float
        ``crackle``, ``wheeze``, and their ``_scale`` and ``_offset``.
    diagnoses : str
        As the recipe's ``data.diagnoses``.
    """
    logits, labels = cycle_table(found)
    items = [
        (f"{one.record.about.name} cycle {k + 1}", one.record.about.patient)
        for one in found
        for k in np.flatnonzero(np.isfinite(one.cycle_logits).all(1))
    ]
    names, patients = tuple(name for name, _ in items), tuple(patient for _, patient in items)
    fitted = [
        (thresholds.get(f"{name}_scale", 1.0), thresholds.get(f"{name}_offset", 0.0)) for name in LABELS
    ]
    p = np.stack([calibrated(logits[:, k], *fitted[k]) for k in range(len(LABELS))], axis=1)
    called = (p >= [thresholds.get(name, 0.5) for name in LABELS]).astype(np.int64)
    ones = np.ones(len(names))
    by_label = [
        Predictions(
            f"cycles with {name}s",
            ("without", "with"),
            names,
            patients,
            labels[:, k],
            np.stack([1 - p[:, k], p[:, k]], axis=1),
            called[:, k],
            ones,
            name,
        )
        for k, name in enumerate(LABELS)
    ]
    c, w = p.T
    four = np.stack([(1 - c) * (1 - w), c * (1 - w), (1 - c) * w, c * w], axis=1)
    kinds = Predictions(
        "cycles, four classes", KINDS, names, patients, kind_of(labels), four, kind_of(called), ones, "four"
    )
    return (*by_label, kinds, *_diagnoses(found, diagnoses))


def _diagnoses(found: Sequence[HeardLung], diagnoses: str) -> tuple[Predictions, Predictions]:
    classes, class_of = classes_of(diagnoses), CLASS_OF[diagnoses]
    known = [one for one in found if one.record.about.diagnosis in class_of]
    groups: dict[str, list[HeardLung]] = {}
    for one in known:
        groups.setdefault(one.record.about.patient, []).append(one)

    def made(title: str, key: str, rows: Sequence[tuple[str, str, str, WideFloatArray]]) -> Predictions:
        logs = np.array([row[3] for row in rows]).reshape(-1, len(classes))
        p = np.exp(logs - np.logaddexp.reduce(logs, axis=1, keepdims=True))
        truth = np.array([classes.index(class_of[row[2]]) for row in rows], dtype=np.int64)
        return Predictions(
            title,
            classes,
            tuple(row[0] for row in rows),
            tuple(row[1] for row in rows),
            truth,
            p,
            p.argmax(1).astype(np.int64),
            np.ones(len(rows)),
            key,
        )

    recordings = [
        (one.record.about.name, one.record.about.patient, one.record.about.diagnosis, one.diagnosis)
        for one in known
    ]
    patients = [
        (name, name, group[0].record.about.diagnosis, np.stack([one.diagnosis for one in group]).mean(0))
        for name, group in groups.items()
    ]
    return (
        made("diagnosis by recording", "recording_diagnosis", recordings),
        made("diagnosis by patient", "patient_diagnosis", patients),
    )


def _tables_a_patient(kinds: Predictions) -> dict[str, WideFloatArray]:
    names = list(dict.fromkeys(kinds.patient))
    group = np.array([names.index(one) for one in kinds.patient], dtype=np.int64)
    tables = confusion(kinds.truth, kinds.decided, kinds.weight, group, len(names), len(KINDS))
    return dict(zip(names, tables, strict=True))


def _items(one: Predictions) -> list[tuple[str, str, float, bool]]:
    score = logit(np.clip(one.probabilities[:, 1], 1e-9, 1 - 1e-9))
    truth = one.truth == 1
    return list(zip(one.item, one.patient, score.tolist(), truth.tolist(), strict=True))


def _of(one: Predictions, keep: Sequence[bool]) -> Predictions:
    """Some of the items."""
    chosen = np.asarray(keep, dtype=np.bool_)
    return Predictions(
        one.title,
        one.classes,
        tuple(item for item, kept in zip(one.item, chosen, strict=True) if kept),
        tuple(patient for patient, kept in zip(one.patient, chosen, strict=True) if kept),
        one.truth[chosen],
        one.probabilities[chosen],
        one.decided[chosen],
        one.weight[chosen],
        one.key,
        one.outside,
    )


def _metrics(labels: Sequence[Predictions], kinds: Predictions, prefix: str) -> dict[str, Interval]:
    figures = {f"{prefix}{one.key}_auroc": auroc_interval(_items(one)) for one in labels}
    four = bootstrap(_tables_a_patient(kinds), four_class_figures, n=len(kinds.truth))
    return figures | {f"{prefix}icbhi_{name}": figure for name, figure in four.items()}


def describe(
    predictions: Sequence[Predictions], maps: dict[str, WideFloatArray], notes: Sequence[str]
) -> Evaluation:
    """Figures and tables of predictions, of one side or of all folds.

    Parameters
    ----------
    predictions : sequence of Predictions
        As :func:`predictions_of` gives them.
    maps : dict of str to ndarray
        As :func:`training.lung_maps.map_counts` gives them.
    notes : sequence of str
        Shown under the tables.
    """
    labels, kinds = predictions[: len(LABELS)], predictions[len(LABELS)]
    metrics = _metrics(labels, kinds, "")
    without = [patient != BOTH_SIDES_PATIENT for patient in kinds.patient]
    if any(without) and not all(without):
        metrics |= _metrics([_of(one, without) for one in labels], _of(kinds, without), "without_218_")
    devices = [parse_name(_stem(item))[2] for item in kinds.item]
    for device in sorted(set(devices)):
        own = [one == device for one in devices]
        metrics |= _metrics([_of(one, own) for one in labels], _of(kinds, own), f"device_{device}_")
    if maps:
        metrics |= bootstrap(maps, map_figures, n=len(maps))
    tables = tuple(
        _group_table(f"By {word}", labels, kinds, [parse_name(_stem(item))[at] for item in kinds.item])
        for word, at in (("device", 2), ("place", 1))
    )
    return Evaluation(
        tuple(predictions),
        (*tables, _patients_table(labels, kinds)),
        metrics,
        notes=tuple(notes),
        counts=(
            Counts("ICBHI four classes", _tables_a_patient(kinds), four_class_figures),
            Counts(MAPS, maps, map_figures),
        ),
    )


def _stem(item: str) -> str:
    return item.split("/", 1)[1].split(" ", 1)[0]


def _row(labels: Sequence[Predictions], kinds: Predictions) -> tuple[str | float | int, ...]:
    table = np.sum(list(_tables_a_patient(kinds).values()), axis=0)
    figures = four_class_figures(table)
    areas = [auroc(one.probabilities[:, 1], one.truth.astype(np.float64)) for one in labels]
    return (
        len(set(kinds.patient)),
        len(kinds.truth),
        *(int(one.truth.sum()) for one in labels),
        *(_rounded(area, 3) for area in areas),
        *(_rounded(100 * figures[name], 1) for name in ("sensitivity", "specificity", "score")),
    )


def _rounded(value: float, digits: int) -> str | float:
    return round(value, digits) if np.isfinite(value) else "–"


COLUMNS: Final = (
    "patients",
    "cycles",
    "crackles",
    "wheezes",
    "crackle ROC area",
    "wheeze ROC area",
    "Se %",
    "Sp %",
    "Score %",
)


def _group_table(
    title: str, labels: Sequence[Predictions], kinds: Predictions, groups: Sequence[str]
) -> Table:
    rows = []
    for group in sorted(set(groups)):
        keep = [one == group for one in groups]
        rows.append((group, *_row([_of(one, keep) for one in labels], _of(kinds, keep))))
    return Table(title, (title.removeprefix("By "), *COLUMNS), tuple(rows))


def _patients_table(labels: Sequence[Predictions], kinds: Predictions) -> Table:
    rows = []
    for patient in dict.fromkeys(kinds.patient):
        keep = [one == patient for one in kinds.patient]
        rows.append((patient, *_row([_of(one, keep) for one in labels], _of(kinds, keep))[1:]))
    return Table("By patient", ("patient", *COLUMNS[1:]), tuple(rows))


def _maps_of(part: Evaluation) -> dict[str, WideFloatArray]:
    return next(one.patients for one in part.counts if one.title == MAPS)


def joined(parts: Sequence[Evaluation]) -> Evaluation:
    """All folds together."""
    pooled = [pool([part.predictions[i] for part in parts]) for i in range(len(parts[0].predictions))]
    maps = {patient: sums for part in parts for patient, sums in _maps_of(part).items()}
    return describe(pooled, maps, [note for part in parts for note in part.notes])
