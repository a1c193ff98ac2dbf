"""Scores of the heart task: onsets of S1 and S2 beside a plain envelope, murmur by patient and recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from typing import Final

import numpy as np
from scipy.special import expit

from models.spec import Interval
from training.evaluation import Counts, Evaluation, Predictions, Table
from training.heart_envelope import sound_onsets
from training.heart_predict import Heard
from training.heart_records import Segments
from training.metrics import bootstrap, ratio
from training.scoring import match_beats
from training.sound_frames import read_sound
from training.sound_scores import auroc, auroc_interval
from training.sources import IntArray, WideFloatArray

TOLERANCE_S: Final = 0.04
"""An onset is found where one lies this near, paired one to one (:func:`training.scoring.match_beats`)."""
WIDE_S: Final = 0.1
"""Tolerance of Springer et al. 2016, told beside: misses at it are sounds missed, not onsets misplaced."""
ROUNDING_S: Final = 0.0005
"""Two steps of the annotation's grid of 20 ms are within 40 ms, however they are rounded."""
CLASSES: Final = ("no murmur", "murmur")
RECORDINGS: Final = "Recordings"
SOUNDS: Final = ("s1", "s2")
FINDERS: Final = ("", "envelope_")


def annotated_spans(segments: Segments) -> list[tuple[float, float]]:
    """Begin and end of each run of annotated states."""
    spans: list[tuple[float, float]] = []
    for start, end, state in zip(segments.start_s, segments.end_s, segments.state, strict=True):
        if state == 0:
            continue
        if spans and start - spans[-1][1] < 1e-6:
            spans[-1] = spans[-1][0], float(end)
        else:
            spans.append((float(start), float(end)))
    return spans


def reference_onsets(segments: Segments, state: int) -> WideFloatArray:
    """Begins of a state whose predecessor is annotated, too: others are where the annotation begins."""
    begins = segments.start_s[1:][(segments.state[1:] == state) & (segments.state[:-1] != 0)]
    return np.asarray(begins, dtype=np.float64)


def onset_counts(
    segments: Segments, state: int, found_s: WideFloatArray, tolerance_s: float = TOLERANCE_S
) -> IntArray:
    """Paired, annotated and found onsets inside what is annotated, (3,).

    Found onsets within the tolerance of an annotated run's begin are not counted: there a sound may begin
    that was not marked as beginning.
    """
    tolerance_s += ROUNDING_S
    inside = np.zeros(len(found_s), dtype=np.bool_)
    for begin, end in annotated_spans(segments):
        inside |= (found_s > begin + tolerance_s) & (found_s < end)
    reference, found = reference_onsets(segments, state), found_s[inside]
    paired = int((match_beats(reference, found, tolerance_s)[0] >= 0).sum())
    return np.array([paired, len(reference), len(found)], dtype=np.int64)


def f1_of(counts: WideFloatArray | IntArray) -> WideFloatArray:
    """F1 of counts (..., 3): twice the paired by annotated and found."""
    return ratio(2 * counts[..., 0], counts[..., 1] + counts[..., 2])


def sound_counts(
    segments: Segments, s1_s: WideFloatArray, s2_s: WideFloatArray, tolerance_s: float = TOLERANCE_S
) -> IntArray:
    """Counts of S1 and S2, (2, 3)."""
    return np.stack(
        [onset_counts(segments, 1, s1_s, tolerance_s), onset_counts(segments, 3, s2_s, tolerance_s)]
    )


def segmentation_f1(found: Sequence[Heard]) -> dict[str, float]:
    """F1 of S1, of S2 and of both at 40 ms."""
    counts = np.sum([sound_counts(one.record.segments, one.s1_s, one.s2_s) for one in found], axis=0)
    s1, s2 = f1_of(counts)
    return {"s1_f1": float(s1), "s2_f1": float(s2), "f1": float(f1_of(counts.sum(0)))}


def patient_table(found: Sequence[Heard]) -> tuple[WideFloatArray, WideFloatArray]:
    """Logit and truth (1 present, 0 absent) of each patient whose murmur is known: means over recordings."""
    by_patient: dict[str, list[Heard]] = {}
    for one in found:
        if one.record.murmur != "Unknown":
            by_patient.setdefault(one.record.patient, []).append(one)
    logits = [float(np.mean([one.murmur_logit for one in group])) for group in by_patient.values()]
    truth = [float(group[0].record.murmur == "Present") for group in by_patient.values()]
    return np.array(logits), np.array(truth)


@dataclass(frozen=True, slots=True)
class Row:
    """One recording's result: a row of the table from which all figures are made, also over folds.

    ``evidence`` is the calibrated logit of a murmur; the counts are paired, annotated and found onsets of
    the model (``s1_…``, ``s2_…``) and of the envelope; ``wide_…`` are of both sounds at 100 ms.
    """

    recording: str
    patient: str
    place: str
    murmur: str
    heard: str
    grade: str
    campaign: str
    evidence: float
    s1_paired: int
    s1_marked: int
    s1_found: int
    s2_paired: int
    s2_marked: int
    s2_found: int
    envelope_s1_paired: int
    envelope_s1_marked: int
    envelope_s1_found: int
    envelope_s2_paired: int
    envelope_s2_marked: int
    envelope_s2_found: int
    wide_paired: int
    wide_marked: int
    wide_found: int
    envelope_wide_paired: int
    envelope_wide_marked: int
    envelope_wide_found: int

    @property
    def counts(self) -> WideFloatArray:
        """Onset counts at 40 ms, (2 finders, 2 sounds, 3), and of both sounds at 100 ms, behind them."""
        held = np.array(astuple(self)[8:], dtype=np.float64)
        return np.concatenate([held[:12].reshape(2, 2, 3), held[12:].reshape(2, 1, 3)], axis=1)


HEAD: Final = tuple(one.name for one in fields(Row))


def make_row(one: Heard, scale: float, offset: float) -> Row:
    """A recording's result; the envelope hears the same file."""
    record = one.record
    onsets = [(one.s1_s, one.s2_s), sound_onsets(*read_sound(record.path))]
    counts = [sound_counts(record.segments, *pair) for pair in onsets]
    wide = [sound_counts(record.segments, *pair, WIDE_S).sum(0) for pair in onsets]
    heard = "unknown" if np.isnan(record.heard_here) else "yes" if record.heard_here else "no"
    return Row(
        record.name,
        record.patient,
        record.place,
        record.murmur,
        heard,
        record.grade,
        record.campaign,
        round(scale * one.murmur_logit + offset, 4),
        *np.stack(counts).ravel().tolist(),
        *np.stack(wide).ravel().tolist(),
    )


def rows_of(evaluation: Evaluation) -> list[Row]:
    """Rows that an evaluation was made of."""
    table = next(table for table in evaluation.tables if table.title == RECORDINGS)
    return [Row(*cells) for cells in table.rows]  # type: ignore[arg-type]


def _predictions(title: str, key: str, items: Sequence[tuple[str, str, float, bool]]) -> Predictions:
    """Items of (name, patient, evidence, truth)."""
    probability = expit(np.array([evidence for _, _, evidence, _ in items], dtype=np.float64))
    return Predictions(
        title,
        CLASSES,
        tuple(name for name, _, _, _ in items),
        tuple(patient for _, patient, _, _ in items),
        np.array([truth for _, _, _, truth in items], dtype=np.int64),
        np.stack([1 - probability, probability], axis=1),
        (probability >= 0.5).astype(np.int64),
        np.ones(len(items)),
        key,
    )


def _patients(rows: Sequence[Row], *, known: bool) -> list[tuple[str, str, float, bool]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if (row.murmur != "Unknown") == known:
            groups.setdefault(row.patient, []).append(row)
    return [
        (name, name, float(np.mean([row.evidence for row in group])), group[0].murmur == "Present")
        for name, group in groups.items()
    ]


def _onset_figures(total: WideFloatArray) -> dict[str, float]:
    figures: dict[str, float] = {}
    for finder, counts in zip(FINDERS, total, strict=True):
        for sound, own in zip(SOUNDS, counts[: len(SOUNDS)], strict=True):
            figures[f"{finder}{sound}_f1"] = float(f1_of(own))
        figures[f"{finder}s1_s2_f1"] = float(f1_of(counts[: len(SOUNDS)].sum(0)))
        figures[f"{finder}s1_s2_f1_100ms"] = float(f1_of(counts[len(SOUNDS)]))
    return figures


def describe(rows: Sequence[Row], notes: Sequence[str]) -> Evaluation:
    """Figures, tables and predictions of the results of recordings.

    Parameters
    ----------
    rows : sequence of Row
        Of one side or of all folds.
    notes : sequence of str
        Shown under the tables.
    """
    per_patient: dict[str, WideFloatArray] = {}
    for row in rows:
        per_patient[row.patient] = per_patient.get(row.patient, np.zeros((2, 3, 3))) + row.counts
    patients = _patients(rows, known=True)
    recordings = [
        (row.recording, row.patient, row.evidence, row.heard == "yes")
        for row in rows
        if row.heard != "unknown"
    ]
    marked = int(sum(row.s1_marked + row.s2_marked for row in rows))
    metrics: dict[str, Interval] = {
        "murmur_patient_auroc": auroc_interval(patients),
        "murmur_recording_auroc": auroc_interval(recordings),
        **bootstrap(per_patient, _onset_figures, n=marked),
    }
    unknown = _patients(rows, known=False)
    tables = (
        _groups_table("By grade", patients, rows, "grade"),
        _groups_table("By campaign", patients, rows, "campaign"),
        Table(
            "Patients whose murmur is unknown",
            ("patient", "probability of a murmur"),
            tuple((name, round(float(expit(evidence)), 3)) for name, _, evidence, _ in unknown),
            "Apart: in no figure",
        ),
        Table(
            RECORDINGS, HEAD, tuple(astuple(row) for row in rows), "evidence: calibrated logit of a murmur"
        ),
    )
    return Evaluation(
        (
            _predictions("patients, murmur present or absent", "patients", patients),
            _predictions("recordings, murmur heard here or patient without", "recordings", recordings),
        ),
        tables,
        metrics,
        notes=tuple(notes),
        counts=(Counts(f"Onsets at {1000 * TOLERANCE_S:.0f} ms", per_patient, _onset_figures),),
    )


def _groups_table(
    title: str, patients: Sequence[tuple[str, str, float, bool]], rows: Sequence[Row], column: str
) -> Table:
    """How many patients of each group are called, and the F1 of their sounds."""
    group_of = {row.patient: str(getattr(row, column)) or "none" for row in rows}
    cells = []
    for group in sorted(set(group_of.values())):
        own = [one for one in patients if group_of[one[0]] == group]
        counts = np.sum([row.counts for row in rows if group_of[row.patient] == group], axis=0)
        called = sum(evidence >= 0 for _, _, evidence, _ in own)
        truth = np.array([one[3] for one in own], dtype=np.float64)
        area = auroc(np.array([one[2] for one in own], dtype=np.float64), truth)
        cells.append(
            (
                group,
                len(own),
                sum(truth for *_, truth in own),
                called,
                round(area, 3) if np.isfinite(area) else "–",
            )
            + tuple(round(100 * float(f1_of(counts[i, :2].sum(0))), 1) for i in range(2))
        )
    head = (column, "patients", "with a murmur", "called", "ROC area", "S1, S2 F1 %", "envelope F1 %")
    return Table(title, head, tuple(cells), "Patients whose murmur is unknown are in the F1 alone")


def joined(parts: Sequence[Evaluation]) -> Evaluation:
    """All folds together."""
    rows = [row for part in parts for row in rows_of(part)]
    return describe(rows, [note for part in parts for note in part.notes])
