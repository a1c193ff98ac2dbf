"""A report as Markdown."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from models.spec import RHYTHM_CLASSES, Interval, ModelSpec
from training.evaluate import BEAT_FIGURES, RHYTHM_FIGURES, Report
from training.scoring import beat_scores


def _row(cells: Iterable[object]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _table(head: tuple[str, ...], rows: Iterable[Iterable[object]]) -> list[str]:
    return [_row(head), _row("---" for _ in head), *(_row(row) for row in rows), ""]


def percent(value: float) -> str:
    """99.12, or a dash where nothing was counted."""
    return "–" if not np.isfinite(value) else f"{100 * value:.2f}"


def with_interval(figure: Interval) -> str:
    """99.12 (98.00 to 99.90)."""
    return f"{percent(figure.value)} ({percent(figure.low)} to {percent(figure.high)})"


def beat_lines(report: Report) -> list[str]:
    """Beat tables: gross figures, then record by record."""
    if not report.beats:
        return []
    variants = [("all", ""), ("without 232", "without_232_")]
    rows = [
        (label, *(with_interval(report.metrics[prefix + name]) for name in BEAT_FIGURES))
        for label, prefix in variants
        if prefix + BEAT_FIGURES[0] in report.metrics
    ]
    head = ("QRS Se", "QRS +P", "VEB Se", "VEB +P", "VEB F1", "SVEB Se", "SVEB +P", "SVEB F1")
    lines = ["### Beats", "", *_table(("records", *head), rows)]
    single = [
        (record, int(table[1:].sum()), int(table[2].sum()), int(table[3].sum()))
        + tuple(percent(getattr(beat_scores(table), name)) for name in BEAT_FIGURES)
        for record, table in sorted(report.beats.items())
    ]
    lines += _table(("record", "beats", "S", "V", *head), single)
    total = np.asarray(sum(report.beats.values()))
    names = ("none", "N", "S", "V", "F", "no class")
    lines += ["Rows the reference, columns what was found:", ""]
    lines += _table(
        ("", "none", "N", "S", "V", "F"), [(name, *total[i].tolist()) for i, name in enumerate(names)]
    )
    return lines


def rhythm_lines(report: Report, sources: tuple[str, ...], prefix: str, title: str) -> list[str]:
    """Rhythm tables of some sources: one class against the rest, confusion, record by record."""
    tables = {k: v for k, v in report.rhythms.items() if k.split("/")[0] in sources}
    if not tables:
        return []
    lines = [f"### {title}", ""]
    balanced = report.metrics[f"{prefix}balanced_accuracy"]
    lines += [
        f"Balanced accuracy over the classes that occur: {with_interval(balanced)}, n={balanced.n}.",
        "",
    ]
    if f"{prefix}shockable_sensitivity" in report.metrics:
        sensitivity, specificity, clean = (
            report.metrics[f"{prefix}shockable_{name}"]
            for name in ("sensitivity", "specificity", "specificity_without_noise")
        )
        lines += [
            f"Fibrillation, flutter or tachycardia against the rest: Se {with_interval(sensitivity)}, "
            f"Sp {with_interval(specificity)}; Sp without windows of noise {with_interval(clean)}.",
            "",
        ]
    rows = [
        (label, report.metrics[f"{prefix}{label}_f1"].n)
        + tuple(with_interval(report.metrics[f"{prefix}{label}_{name}"]) for name in RHYTHM_FIGURES)
        for label in RHYTHM_CLASSES
        if f"{prefix}{label}_f1" in report.metrics
    ]
    lines += _table(("class", "windows", "Se", "Sp", "PPV", "F1"), rows)
    total = np.asarray(sum(tables.values()))
    lines += ["Rows the reference, columns what was found:", ""]
    lines += _table(
        ("", *RHYTHM_CLASSES), [(name, *total[i].tolist()) for i, name in enumerate(RHYTHM_CLASSES)]
    )
    if len(tables) > 40:
        return lines
    single = [
        (
            record,
            *(
                f"{int(table[i, i])}/{int(table[i].sum())}" if table[i].sum() else "–"
                for i in range(len(table))
            ),
        )
        for record, table in sorted(tables.items())
    ]
    lines += ["Record by record: windows found right / windows of the class:", ""]
    return lines + _table(("record", *RHYTHM_CLASSES), single)


def alarm_lines(report: Report) -> list[str]:
    """Which ICU alarms stand."""
    if not any(a.true_total + a.false_total for a in report.alarms.values()):
        return []
    rows = [
        (name, f"{a.true_upheld}/{a.true_total}", f"{a.false_upheld}/{a.false_total}")
        for name, a in report.alarms.items()
    ]
    lines = ["### ICU alarms (cinc2015 test side, rhythm head alone, last 10 s before the alarm)", ""]
    return lines + _table(("alarm", "true ones upheld", "false ones upheld"), rows)


def to_markdown(report: Report, spec: ModelSpec, side: str) -> str:
    """All tables of a report."""
    cost = spec.cost
    lines = [
        f"## {spec.name}: {side} patients",
        "",
        f"{cost.parameters} parameters, {cost.mflop_per_window} MFLOP a window, "
        f"{100 * cost.recurrent_share:.1f} % of it recurrent. "
        f"Weights {spec.sha256[:12]}, code {spec.code_commit}.",
        f"Thresholds {spec.thresholds}, gains N S V F {spec.beat_gains}. "
        "Percent, with 95 % intervals by bootstrap over records.",
        "",
        *beat_lines(report),
        *rhythm_lines(report, ("mitdb", "vfdb"), "rhythm_", "Rhythm of the last 4 s: mitdb and vfdb"),
        *rhythm_lines(report, ("cinc2017",), "cinc2017_", "Rhythm of the last 4 s: cinc2017 (hand-held)"),
        *alarm_lines(report),
    ]
    return "\n".join(lines).rstrip() + "\n"
