"""Scores of the EEG task: SzCORE's events and seconds, latency, false alarms, and segments of ten seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from scipy.special import expit

from models.eeg_events import EventRule
from models.spec import Interval
from models.szcore import Tally, add_up, latencies, score_events, score_samples
from training.eeg_config import EegEvents
from training.eeg_predict import SeenEeg
from training.evaluation import Cell, Counts, Evaluation, Predictions, Table, pool
from training.metrics import bootstrap
from training.sound_scores import auroc, auroc_interval
from training.sources import WideFloatArray

SEGMENT_S: Final = 10.0
SEGMENTS: Final = "segments"
GRID: Final = np.round(np.arange(0.30, 0.96, 0.05), 2)
FEWEST_SEIZURE_PATIENTS: Final = 3
"""Of fewer validation patients with seizures the threshold is chosen by background alone."""
EVENTS: Final = "Seizures (SzCORE)"
NONE: Final = "–"
PROMPT_S: Final = 15.0
"""An alarm so soon after the onset, and not before it, is prompt."""


def rule_of(threshold: float, events: EegEvents) -> EventRule:
    """The rule that a recipe makes of a threshold."""
    return EventRule(threshold, events.within_s, events.least_s, events.release, events.off_s)


def rule_from(thresholds: Mapping[str, float]) -> EventRule:
    """The rule of a card's thresholds."""
    return EventRule(
        thresholds["seizure"],
        round(thresholds["within_s"]),
        round(thresholds["least_s"]),
        thresholds["release"],
        round(thresholds["off_s"]),
    )


def tally_events(one: SeenEeg, rule: EventRule, delay_s: float) -> Tally:
    """Events of one recording."""
    found = [(event.start_s, min(event.end_s, one.record.duration_s)) for event in one.events(rule, delay_s)]
    counted = score_events(one.record.seizures, found, one.record.duration_s)
    return Tally(counted.reference, counted.hits, counted.false, one.record.scored_s())


def tally_samples(one: SeenEeg, rule: EventRule, delay_s: float) -> Tally:
    """Seconds of one recording."""
    found = [(event.start_s, min(event.end_s, one.record.duration_s)) for event in one.events(rule, delay_s)]
    return score_samples(one.record.seizures, found, one.record.duration_s)


def choose_threshold(seen: Sequence[SeenEeg], events: EegEvents, delay_s: float) -> float:
    """Threshold of the validation side.

    Where at least :data:`FEWEST_SEIZURE_PATIENTS` of its patients have seizures: the best event F1, the
    middle of equals. Else the least at which background raises no more than ``events.false_per_day``, one
    step higher for safety.
    """
    tallies = [
        add_up(tally_events(one, rule_of(float(value), events), delay_s) for one in seen) for value in GRID
    ]
    patients = {one.record.about.patient for one in seen if one.record.seizures}
    if len(patients) >= FEWEST_SEIZURE_PATIENTS:
        scores = np.nan_to_num([one.f1 for one in tallies])
        best = np.flatnonzero(scores >= scores.max() - 1e-9)
        return float(GRID[best[len(best) // 2]])
    quiet = [one.false_per_day <= events.false_per_day for one in tallies]
    first = quiet.index(True) if any(quiet) else len(GRID) - 1
    return float(GRID[min(first + 1, len(GRID) - 1)])


def segments_of(seen: Sequence[SeenEeg], threshold: float) -> Predictions:
    """Segments of ten seconds of one kind, scored by the mean evidence of their seconds."""
    rows: list[tuple[str, str, bool, float]] = []
    for one in seen:
        step_s, known = one.record.step_s, one.known()
        length = max(1, round(SEGMENT_S / step_s))
        for first in range(0, one.record.n_steps - length + 1, length):
            cut = slice(first, first + length)
            truth = one.record.seizure[cut]
            if known[cut].all() and truth.all() == truth.any():
                name = f"{one.record.about.name} @ {first * step_s:g} s"
                rows.append((name, one.record.about.patient, bool(truth[0]), float(one.logit[cut].mean())))
    p = expit(np.array([row[3] for row in rows], dtype=np.float64))
    return Predictions(
        f"segments of {SEGMENT_S:g} s",
        ("none", "seizure"),
        tuple(row[0] for row in rows),
        tuple(row[1] for row in rows),
        np.array([row[2] for row in rows], dtype=np.int64),
        np.stack([1 - p, p], axis=1),
        (p >= threshold).astype(np.int64),
        np.ones(len(rows)),
        SEGMENTS,
    )


def figures_of(counts: WideFloatArray) -> dict[str, float]:
    """Figures of summed counts (2, 4): rows events and seconds, columns reference, hits, false, seconds."""
    found: dict[str, float] = {}
    for name, row in zip(("event", "second"), counts, strict=True):
        reference, hits, false = (round(float(value)) for value in row[:3])
        one = Tally(reference, hits, false, float(row[3]))
        found |= {
            f"{name}_sensitivity": one.sensitivity,
            f"{name}_precision": one.precision,
            f"{name}_f1": one.f1,
        }
    events = Tally(0, 0, round(float(counts[0, 2])), float(counts[0, 3]))
    return found | {"false_per_day": events.false_per_day}


def _row(one: Tally) -> tuple[float, ...]:
    return (one.reference, one.hits, one.false, one.duration_s)


Item = tuple[str, str, float, bool]


def _items(segments: Predictions) -> list[Item]:
    """Name, patient, score and truth of each segment."""
    score, truth = segments.probabilities[:, 1].tolist(), (segments.truth == 1).tolist()
    return list(zip(segments.item, segments.patient, score, truth, strict=True))


def _areas(segments: Predictions) -> dict[str, Interval]:
    """ROC areas over the patients that have seizures: pooled, and the mean of each one's own."""
    items = _items(segments)
    with_seizure = {patient for _, patient, _, truth in items if truth}
    kept = [item for item in items if item[1] in with_seizure]
    if not kept:
        return {}
    none = float("nan")
    own = [_own_area(kept, patient) for patient in sorted(with_seizure)]
    known = [area for area in own if np.isfinite(area)]
    mean = float(np.mean(known)) if known else none
    return {
        "seizure_patients_auroc": auroc_interval(kept),
        "within_patient_auroc": Interval(value=round(mean, 4), low=none, high=none, n=len(known)),
    }


def _own_area(items: Sequence[Item], patient: str) -> float:
    own = [item for item in items if item[1] == patient]
    return auroc(np.array([item[2] for item in own]), np.array([item[3] for item in own], dtype=np.float64))


def _patients_table(seen: Sequence[SeenEeg], segments: Predictions, rule: EventRule, delay_s: float) -> Table:
    rows: list[tuple[Cell, ...]] = []
    items = _items(segments)
    quiet: dict[str, Tally] = {}
    for patient in dict.fromkeys(one.record.about.patient for one in seen):
        own = [one for one in seen if one.record.about.patient == patient]
        events = add_up(tally_events(one, rule, delay_s) for one in own)
        if not events.reference and not events.false:
            source = own[0].record.about.name.split("/", 1)[0]
            quiet[source] = quiet.get(source, Tally()) + events
            continue
        area = _own_area(items, patient)
        rows.append(
            (
                patient,
                len(own),
                round(events.duration_s / 3600, 3),
                events.reference,
                events.hits,
                events.false,
                round(area, 3) if np.isfinite(area) else NONE,
            )
        )
    rows += [
        (f"others of {source}", NONE, round(one.duration_s / 3600, 3), 0, 0, 0, NONE)
        for source, one in quiet.items()
    ]
    head = ("patient", "records", "hours", "seizures", "found", "false", "ROC area")
    return Table("By patient", head, tuple(rows))


def _seizures_table(seen: Sequence[SeenEeg], rule: EventRule, delay_s: float) -> Table:
    """Each seizure, with the first alarm that is counted for it; one before its onset has a minus."""
    rows: list[tuple[Cell, ...]] = []
    for one in seen:
        raised = [found.raised_s for found in one.events(rule, delay_s)]
        for start, end in one.record.seizures:
            late = latencies([(start, end)], raised)[0]
            row = (one.record.about.name, round(start, 1), round(end - start, 1))
            rows.append((*row, NONE if late is None else round(late, 1)))
    return Table("By seizure", ("record", "begins s", "lasts s", "alarm after s"), tuple(rows))


def _late_figures(table: Table) -> dict[str, Interval]:
    """Median latency of the seizures that were found, and the share with a prompt alarm."""
    if not table.rows:
        return {}
    none = float("nan")
    late = [float(row[3]) for row in table.rows if isinstance(row[3], float)]
    prompt = sum(0 <= one <= PROMPT_S for one in late) / len(table.rows)
    share = Interval(value=round(prompt, 4), low=none, high=none, n=len(table.rows))
    median = Interval(
        value=round(float(np.median(late)), 2) if late else none, low=none, high=none, n=len(late)
    )
    return {"prompt_share": share} | ({"median_latency_s": median} if late else {})


def describe(seen: Sequence[SeenEeg], rule: EventRule, delay_s: float, notes: Sequence[str]) -> Evaluation:
    """Figures and tables of one side.

    Parameters
    ----------
    seen : sequence of SeenEeg
        Of one model.
    rule : EventRule
        With the threshold of its validation side.
    delay_s : float
        After a second before it is judged.
    notes : sequence of str
        Shown under the tables.
    """
    counts: dict[str, WideFloatArray] = {}
    for one in seen:
        both = np.array([_row(tally_events(one, rule, delay_s)), _row(tally_samples(one, rule, delay_s))])
        held = counts.setdefault(one.record.about.patient, np.zeros((2, 4)))
        held += both
    segments = segments_of(seen, rule.threshold)
    tables = (_patients_table(seen, segments, rule, delay_s), _seizures_table(seen, rule, delay_s))
    return _evaluation(segments, counts, tables, notes)


def _evaluation(
    segments: Predictions,
    counts: dict[str, WideFloatArray],
    tables: tuple[Table, ...],
    notes: Sequence[str],
) -> Evaluation:
    total = np.sum(list(counts.values()), axis=0)
    metrics = bootstrap(counts, figures_of, n=round(float(total[0, 0]))) | _areas(segments)
    # Of recordings without any seizure nothing is said of how many are found.
    metrics = {name: figure for name, figure in metrics.items() if np.isfinite(figure.value)}
    metrics |= _late_figures(tables[1])
    predictions = (segments,) if len(segments.truth) else ()
    return Evaluation(
        predictions, tables, metrics, notes=tuple(notes), counts=(Counts(EVENTS, counts, figures_of),)
    )


def joined(parts: Sequence[Evaluation]) -> Evaluation:
    """All folds together; each decided by its own fold's threshold."""
    segments = pool([part.predictions[0] for part in parts if part.predictions])
    counts = {patient: sums for part in parts for patient, sums in part.counts[0].patients.items()}
    tables = tuple(
        Table(
            parts[0].tables[i].title,
            parts[0].tables[i].head,
            tuple(row for part in parts for row in part.tables[i].rows),
        )
        for i in range(2)
    )
    return _evaluation(segments, counts, tables, [note for part in parts for note in part.notes])
