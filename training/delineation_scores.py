"""Scores of delineation: marks matched within 150 ms between a lead's first and last mark, and their errors.

A mark (onset, peak or end of a wave of one kind) is found when the nearest found mark of its kind lies within
the tolerance and is in turn nearest to it; a found mark that matches none counts against the detector where
it lies between the first and last mark. The tolerance is that of the CSE working party and EC57, as
published work on this set uses it (Kalyakulina 2020, Joung 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.delineate import WAVES
from models.spec import Interval
from training.delineation_records import Lead
from training.evaluation import Cell, Table
from training.metrics import draw, interval
from training.sources import IntArray, WideFloatArray

TOLERANCE_S: Final = 0.15
POINTS: Final = ("onset", "peak", "end")
FIGURES: Final = ("hit", "missed", "extra", "sum_ms", "squares_ms")
"""What is kept of each lead, wave and point: counts, and sums of errors and their squares."""


@dataclass(frozen=True, slots=True)
class FoundWaves:
    """Waves found on one lead: kind (n,), and onset, peak and end in samples of its signal (n, 3).

    A mark that a detector does not give is NaN.
    """

    kind: IntArray
    marks: WideFloatArray


def match(reference: WideFloatArray, found: WideFloatArray, tolerance: float) -> tuple[IntArray, IntArray]:
    """Pairs of mutually nearest marks no further apart than the tolerance.

    Parameters
    ----------
    reference, found : ndarray of float64, shapes (n,) and (m,)
        Places in ascending order.
    tolerance : float
        In the same unit.

    Returns
    -------
    of_reference, of_found : ndarray of int64
        Indices of the pairs.
    """
    nothing = np.zeros(0, dtype=np.int64)
    if not len(reference) or not len(found):
        return nothing, nothing

    def nearest(places: WideFloatArray, others: WideFloatArray) -> IntArray:
        right = np.clip(np.searchsorted(others, places), 1, max(1, len(others) - 1))
        left = right - 1
        right = np.minimum(right, len(others) - 1)
        nearer = np.abs(others[right] - places) < np.abs(others[left] - places)
        return np.where(nearer, right, left).astype(np.int64)

    to_found, to_reference = nearest(reference, found), nearest(found, reference)
    index = np.arange(len(reference))
    pair = (to_reference[to_found] == index) & (np.abs(found[to_found] - reference) <= tolerance)
    return index[pair], to_found[pair]


def score_lead(lead: Lead, found: FoundWaves, rate_hz: float) -> WideFloatArray:
    """Figures of one lead, (wave, point, figure) as ``WAVES``, ``POINTS`` and ``FIGURES`` name them."""
    table = np.zeros((len(WAVES), len(POINTS), len(FIGURES)))
    first, last = lead.known
    for kind in range(len(WAVES)):
        truth = lead.marks[lead.kind == kind]
        marks = found.marks[found.kind == kind]
        for point in range(len(POINTS)):
            places = np.sort(marks[:, point][np.isfinite(marks[:, point])])
            of_truth, of_found = match(truth[:, point], places, TOLERANCE_S * rate_hz)
            extra = (places >= first) & (places <= last)
            extra[of_found] = False
            error_ms = (places[of_found] - truth[of_truth, point]) * 1000.0 / rate_hz
            table[kind, point] = (
                len(of_truth),
                len(truth) - len(of_truth),
                extra.sum(),
                error_ms.sum(),
                (error_ms**2).sum(),
            )
    return table


def score(leads: Sequence[Lead], found: Sequence[FoundWaves], rate_hz: float) -> WideFloatArray:
    """Figures of several leads, (lead, wave, point, figure)."""
    return np.array([score_lead(*pair, rate_hz) for pair in zip(leads, found, strict=True)])


@dataclass(frozen=True, slots=True)
class Summary:
    """Shares in per cent and errors in ms from summed figures; leading shape of the input, NaN where none."""

    sensitivity: WideFloatArray
    precision: WideFloatArray
    f1: WideFloatArray
    mean_ms: WideFloatArray
    sd_ms: WideFloatArray


def summarise(figures: WideFloatArray) -> Summary:
    """Summary of figures (…, figure) that are already summed over leads."""
    hit, missed, extra, total, squares = np.moveaxis(figures, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / hit
        return Summary(
            100 * hit / (hit + missed),
            100 * hit / (hit + extra),
            200 * hit / (2 * hit + missed + extra),
            mean,
            np.sqrt(np.maximum(squares / hit - mean**2, 0.0)),
        )


def wave_f1(figures: WideFloatArray) -> npt.NDArray[np.float64]:
    """F1 of each wave in per cent, its onsets and ends pooled: (…, wave, point, figure) to (…, wave)."""
    ends = figures[..., [POINTS.index("onset"), POINTS.index("end")], :].sum(axis=-2)
    return summarise(ends).f1


def by_patient(figures: WideFloatArray, patient: Sequence[str]) -> WideFloatArray:
    """Sum over the leads of each patient, (patient, wave, point, figure)."""
    _, index = np.unique(np.asarray(patient), return_inverse=True)
    total = np.zeros((int(index.max()) + 1, *figures.shape[1:]))
    np.add.at(total, index, figures)
    return total


def intervals(figures: WideFloatArray, patient: Sequence[str]) -> dict[str, Interval]:
    """F1 of each wave and mark, and errors' mean and SD, with 95 % intervals by bootstrap over patients."""
    patients = by_patient(figures, patient)
    total, drawn = patients.sum(axis=0), draw(patients)
    of_total, of_drawn = summarise(total), summarise(drawn)
    waves, waves_drawn = wave_f1(total), wave_f1(drawn)
    found: dict[str, Interval] = {}

    def put(name: str, value: float, values: WideFloatArray, count: float) -> None:
        if np.isfinite(value):
            found[name] = interval(value, values, count)

    for kind, wave in enumerate(WAVES):
        marked = total[kind, 0, :2].sum()
        put(f"{wave.lower()}_f1", float(waves[kind]), waves_drawn[:, kind], marked)
        for point, name in enumerate(POINTS):
            key, at, hit = f"{wave.lower()}_{name}", (kind, point), total[kind, point, 0]
            put(f"{key}_f1", float(of_total.f1[at]), of_drawn.f1[:, kind, point], marked)
            put(f"{key}_mean_ms", float(of_total.mean_ms[at]), of_drawn.mean_ms[:, kind, point], hit)
            put(f"{key}_sd_ms", float(of_total.sd_ms[at]), of_drawn.sd_ms[:, kind, point], hit)
    return found


def mark_table(title: str, figures: WideFloatArray, note: str = "") -> Table:
    """One row a mark: sensitivity, positive predictive value, F1, error."""
    total = figures.sum(axis=0)
    summary = summarise(total)
    rows: list[tuple[Cell, ...]] = []
    for kind, wave in enumerate(WAVES):
        for point, name in enumerate(POINTS):
            at = (kind, point)
            rows.append(
                (
                    f"{wave} {name}",
                    int(total[kind, point, :2].sum()),
                    round(float(summary.sensitivity[at]), 2),
                    round(float(summary.precision[at]), 2),
                    round(float(summary.f1[at]), 2),
                    round(float(summary.mean_ms[at]), 1),
                    round(float(summary.sd_ms[at]), 1),
                )
            )
    head = ("mark", "marked", "Se %", "+P %", "F1 %", "error mean ms", "error SD ms")
    return Table(title, head, tuple(rows), note)


def group_table(title: str, name: str, figures: WideFloatArray, group: Sequence[str]) -> Table:
    """F1 of the waves and SD of their onsets and ends for each group of leads."""
    rows: list[tuple[Cell, ...]] = []
    for value in dict.fromkeys(group):
        own = figures[[one == value for one in group]]
        total = own.sum(axis=0)
        f1, sd = wave_f1(total), summarise(total).sd_ms
        cells: list[Cell] = [value or "not said", len(own)]
        for kind in range(len(WAVES)):
            numbers = [f1[kind], sd[kind, 0], sd[kind, 2]]
            row: list[Cell] = [round(float(one), 2) if np.isfinite(one) else "-" for one in numbers]
            if not total[kind, 0, :2].any():
                row[0] = f"none marked, {int(total[kind, 0, 2])} extra"
            cells += row
        rows.append(tuple(cells))
    columns = tuple(f"{w} {what}" for w in WAVES for what in ("F1 %", "onset SD ms", "end SD ms"))
    return Table(title, (name, "leads", *columns), tuple(rows))


RECORDS_TITLE: Final = "lead by lead"


def lead_table(leads: Sequence[tuple[str, str, str]], figures: WideFloatArray) -> Table:
    """Figures of each lead and wave; :func:`figures_of` reads them back, so that folds can be pooled."""
    rows: list[tuple[Cell, ...]] = []
    for (record, lead, rhythm), one in zip(leads, figures, strict=True):
        for kind, wave in enumerate(WAVES):
            cells: list[Cell] = [record, lead, rhythm, wave]
            for point in range(len(POINTS)):
                hit, missed, extra, total, squares = one[kind, point].tolist()
                cells += [int(hit), int(missed), int(extra), round(total, 3), round(squares, 3)]
            rows.append(tuple(cells))
    columns = tuple(f"{point} {figure}" for point in POINTS for figure in FIGURES)
    note = "sum_ms and squares_ms: sums of the errors of what was hit, and of their squares"
    return Table(RECORDS_TITLE, ("record", "lead", "rhythm", "wave", *columns), tuple(rows), note)


def figures_of(table: Table) -> tuple[list[tuple[str, str, str]], WideFloatArray]:
    """Back from :func:`lead_table`."""
    rows = table.rows[:: len(WAVES)]
    leads = [(str(row[0]), str(row[1]), str(row[2])) for row in rows]
    numbers = np.array([[float(cell) for cell in row[4:]] for row in table.rows])
    return leads, numbers.reshape(len(leads), len(WAVES), len(POINTS), len(FIGURES))
