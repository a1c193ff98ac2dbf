"""What an evaluation of delineation shows: marks, leads, rhythms, the peer beside it, steps, worst leads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.delineate import WAVES
from training.delineation_peer import PEER
from training.delineation_records import Lead
from training.delineation_scores import (
    FIGURES,
    RECORDS_TITLE,
    TOLERANCE_S,
    FoundWaves,
    figures_of,
    group_table,
    intervals,
    lead_table,
    mark_table,
)
from training.errors import BadRecipe
from training.evaluation import Evaluation, Predictions, Strip, Table, pool
from training.sources import FloatArray, WideFloatArray

CLASSES: Final = ("none", *WAVES)
STEPS_TITLE: Final = "steps between the first and last mark"
EVERY: Final = 8
"""Of the steps, one in so many enters the confusion of steps: neighbours say the same."""

STRIPS: Final = 6
NOTE: Final = (
    f"Marks match within {1000 * TOLERANCE_S:.0f} ms, one to one, between a lead's first and last annotated "
    "mark; each lead is read by itself, in windows at 1 s hops with 1 s of right context as a stream is. "
    "F1 of a wave pools its onsets and ends."
)
PEER_SUFFIX: Final = f", {PEER}"


def step_predictions(
    leads: Sequence[Lead], probabilities: Sequence[FloatArray], stride: int, rate_hz: float
) -> Predictions:
    """Every eighth step between the marks as an item of none, P, QRS, T."""
    items: list[str] = []
    patients: list[str] = []
    truth, shares = [], []
    for lead, found in zip(leads, probabilities, strict=True):
        first, last = lead.known
        step = np.arange(-(-int(first) // stride), int(last) // stride + 1, EVERY)
        place = step * stride
        wave = np.searchsorted(lead.marks[:, 0], place, side="right") - 1
        inside = (wave >= 0) & (place <= lead.marks[np.maximum(wave, 0), 2])
        truth.append(np.where(inside, lead.kind[np.maximum(wave, 0)] + 1, 0))
        merged = found[step]
        shares.append(np.column_stack([merged[:, 0], merged[:, 1::2] + merged[:, 2::2]]))
        items += [f"{lead.record} {lead.lead} @ {sample / rate_hz:.2f} s" for sample in place.tolist()]
        patients += [lead.record] * len(step)
    table = np.concatenate(shares).astype(np.float64)
    return Predictions(
        STEPS_TITLE,
        CLASSES,
        tuple(items),
        tuple(patients),
        np.concatenate(truth).astype(np.int64),
        table,
        table.argmax(axis=1).astype(np.int64),
        np.ones(len(table)),
    )


def worst_strips(
    leads: Sequence[Lead], found: Sequence[FoundWaves], figures: WideFloatArray, rate_hz: float
) -> tuple[Strip, ...]:
    """Leads with the most marks missed or extra: annotated ones above the signal, found ones below."""
    errors = figures[:, :, :, FIGURES.index("missed") : FIGURES.index("extra") + 1].sum(axis=(1, 2, 3))
    order = np.argsort(-errors, kind="stable")[:STRIPS]
    strips = []
    for index in order[errors[order] > 0].tolist():
        lead, waves = leads[index], found[index]
        marks = [
            (mark / rate_hz, WAVES[kind]) for kind, mark in zip(lead.kind, lead.marks[:, 1], strict=True)
        ]
        found_marks = [
            (mark / rate_hz, WAVES[kind]) for kind, mark in zip(waves.kind, waves.marks[:, 1], strict=True)
        ]
        title = f"{lead.record} {lead.lead}, {lead.rhythm or 'rhythm not said'}: peaks of P, QRS, T"
        strips.append(
            Strip(title, rate_hz, lead.signal[None], tuple(sorted(marks)), tuple(sorted(found_marks)))
        )
    return tuple(strips)


def describe(
    names: Sequence[tuple[str, str, str]],
    figures: WideFloatArray,
    peer: WideFloatArray | None,
    steps: Predictions,
    strips: tuple[Strip, ...],
    notes: tuple[str, ...],
) -> Evaluation:
    """Tables and figures of leads named (record, lead, rhythm); ``peer`` on the same leads, if it was run."""
    tables = [mark_table("marks", figures, NOTE)]
    if peer is not None:
        tables.append(mark_table(f"marks{PEER_SUFFIX}", peer))
    tables.append(group_table("by lead", "lead", figures, [lead for _, lead, _ in names]))
    tables.append(group_table("by rhythm", "rhythm", figures, [rhythm for _, _, rhythm in names]))
    tables.append(lead_table(names, figures))
    if peer is not None:
        own = lead_table(names, peer)
        tables.append(Table(RECORDS_TITLE + PEER_SUFFIX, own.head, own.rows, own.note))
    patients = [record for record, _, _ in names]
    return Evaluation((steps,), tuple(tables), intervals(figures, patients), strips, notes)


def _table(part: Evaluation, title: str) -> Table | None:
    return next((table for table in part.tables if table.title == title), None)


def join(parts: Sequence[Evaluation]) -> Evaluation:
    """Pool the test sides of all folds.

    Raises
    ------
    BadRecipe
        A part is no evaluation of delineation.
    """
    own = [_table(part, RECORDS_TITLE) for part in parts]
    peers = [_table(part, RECORDS_TITLE + PEER_SUFFIX) for part in parts]
    pairs = [figures_of(table) for table in own if table is not None]
    if not pairs or len(pairs) < len(parts):
        raise BadRecipe(f"a fold has no table {RECORDS_TITLE!r}: it is no evaluation of delineation")
    beside = [figures_of(table)[1] for table in peers if table is not None]
    strips = sorted((strip for part in parts for strip in part.strips), key=lambda strip: strip.title)
    return describe(
        [name for names, _ in pairs for name in names],
        np.concatenate([figures for _, figures in pairs]),
        np.concatenate(beside) if len(beside) == len(parts) else None,
        pool([part.predictions[0] for part in parts]),
        tuple(strips),
        tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )
