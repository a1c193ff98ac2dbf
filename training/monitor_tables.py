"""The monitor's scores as the tables and predictions of an evaluation."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from models.spec import RHYTHM_CLASSES, Interval
from training.evaluation import Counts, Evaluation, Predictions, Table
from training.metrics import TOO_FEW
from training.monitor_scores import BEAT_FIGURES, RHYTHM_FIGURES, Report
from training.scoring import beat_scores
from training.streaming import FIRST_FINAL_S

BEAT_HEAD = ("QRS Se", "QRS +P", "VEB Se", "VEB +P", "VEB F1", "SVEB Se", "SVEB +P", "SVEB F1")
MANY = 40
"""Data sets of more records than this get no table record by record."""


def percent(value: float) -> str:
    """99.12, or a dash where nothing was counted."""
    return "–" if not np.isfinite(value) else f"{100 * value:.2f}"


def with_interval(figure: Interval) -> str:
    """99.12 (98.00 to 99.90)."""
    if not np.isfinite(figure.low):
        return f"{percent(figure.value)} ({TOO_FEW})" if np.isfinite(figure.value) else "–"
    return f"{percent(figure.value)} ({percent(figure.low)} to {percent(figure.high)})"


def _left_out(report: Report) -> str:
    """What is not scored at the begin of the records."""
    if not report.n_short:
        return "first 5 min excluded"
    if report.n_short == len(report.beats):
        return f"first {FIRST_FINAL_S:g} s excluded"
    return f"first 5 min excluded, of records under 6 min the first {FIRST_FINAL_S:g} s"


def beat_tables(report: Report) -> list[Table]:
    """Beat tables: gross figures, record by record, and the confusion."""
    if not report.beats:
        return []
    variants = [("all", ""), ("without 232", "without_232_")]
    gross = tuple(
        (label, *(with_interval(report.metrics[prefix + name]) for name in BEAT_FIGURES))
        for label, prefix in variants
        if prefix + BEAT_FIGURES[0] in report.metrics
    )
    single = tuple(
        (record, int(table[1:].sum()), int(table[2].sum()), int(table[3].sum()))
        + tuple(percent(getattr(beat_scores(table), name)) for name in BEAT_FIGURES)
        for record, table in sorted(report.beats.items())
    )
    total = np.asarray(sum(report.beats.values()))
    names = ("none", "N", "S", "V", "F", "no class")
    confusion = tuple((name, *total[i].tolist()) for i, name in enumerate(names))
    return [
        Table(f"Beats, EC57 (150 ms, {_left_out(report)})", ("records", *BEAT_HEAD), gross, "percent"),
        Table("Beats, record by record", ("record", "beats", "S", "V", *BEAT_HEAD), single),
        Table(
            "Beats, confusion",
            ("", "none", "N", "S", "V", "F"),
            confusion,
            "rows the reference, columns what was found",
        ),
    ]


def rhythm_tables(report: Report, sources: tuple[str, ...], prefix: str, title: str) -> list[Table]:
    """Rhythm tables of some sources: one class against the rest, confusion, record by record."""
    tables = {k: v for k, v in report.rhythms.items() if k.split("/")[0] in sources}
    if not tables:
        return []
    metrics = report.metrics
    notes = [f"balanced accuracy {with_interval(metrics[prefix + 'balanced_accuracy'])}"]
    if f"{prefix}shockable_sensitivity" in metrics:
        shown = {
            "Se": "sensitivity",
            "Sp": "specificity",
            "Sp without windows of noise": "specificity_without_noise",
        }
        parts = (f"{k} {with_interval(metrics[f'{prefix}shockable_{v}'])}" for k, v in shown.items())
        notes.append("VF, VFL or VT against the rest: " + ", ".join(parts))
    rows = tuple(
        (label, metrics[f"{prefix}{label}_f1"].n)
        + tuple(with_interval(metrics[f"{prefix}{label}_{name}"]) for name in RHYTHM_FIGURES)
        for label in RHYTHM_CLASSES
        if f"{prefix}{label}_f1" in metrics
    )
    total = np.asarray(sum(tables.values()))
    found = [
        Table(title, ("class", "windows", "Se", "Sp", "PPV", "F1"), rows, "; ".join(notes)),
        Table(
            f"{title}, confusion",
            ("", *RHYTHM_CLASSES),
            tuple((name, *total[i].tolist()) for i, name in enumerate(RHYTHM_CLASSES)),
            "rows the reference, columns what was found",
        ),
    ]
    if len(tables) > MANY:
        return found
    single = tuple(
        (
            record,
            *(
                f"{int(table[i, i])}/{int(table[i].sum())}" if table[i].sum() else "–"
                for i in range(len(table))
            ),
        )
        for record, table in sorted(tables.items())
    )
    note = "windows found right / windows of the class"
    return [*found, Table(f"{title}, record by record", ("record", *RHYTHM_CLASSES), single, note)]


def alarm_tables(report: Report) -> list[Table]:
    """Which ICU alarms stand."""
    if not any(a.true_total + a.false_total for a in report.alarms.values()):
        return []
    rows = tuple(
        (name, f"{a.true_upheld}/{a.true_total}", f"{a.false_upheld}/{a.false_total}")
        for name, a in report.alarms.items()
    )
    title = "ICU alarms of cinc2015, rhythm head alone, last 10 s before the alarm"
    return [Table(title, ("alarm", "true ones upheld", "false ones upheld"), rows)]


def rhythm_predictions(report: Report) -> tuple[Predictions, ...]:
    """Windows of known rhythm as predictions."""
    if not report.windows:
        return ()
    truth = np.concatenate([labels for labels, _, _ in report.windows.values()])
    found = np.concatenate([p for _, p, _ in report.windows.values()]).astype(np.float64)
    items = [f"{name} @ {t:.1f} s" for name, (_, _, at) in report.windows.items() for t in at.tolist()]
    patients = [name for name, (labels, _, _) in report.windows.items() for _ in labels]
    return (
        Predictions(
            "Rhythm of the last 4 s",
            RHYTHM_CLASSES,
            tuple(items),
            tuple(patients),
            truth,
            found,
            found.argmax(1).astype(np.int64),
            np.ones(len(truth)),
        ),
    )


def beat_counts(report: Report) -> tuple[Counts, ...]:
    """Beat tables in a form in which two models can be compared."""
    if not report.beats:
        return ()
    tables = {f"mitdb/{record}": table.astype(np.float64) for record, table in report.beats.items()}
    return (Counts("Beats, EC57", tables, lambda table: asdict(beat_scores(table.astype(np.int64)))),)


def to_evaluation(report: Report) -> Evaluation:
    """All that the report shows."""
    tables = (
        *beat_tables(report),
        *rhythm_tables(report, ("mitdb", "vfdb"), "rhythm_", "Rhythm of the last 4 s: mitdb and vfdb"),
        *rhythm_tables(report, ("cinc2017",), "cinc2017_", "Rhythm of the last 4 s: cinc2017 (hand-held)"),
        *alarm_tables(report),
    )
    return Evaluation(rhythm_predictions(report), tables, report.metrics, counts=beat_counts(report))
