"""The report of an evaluation: what it is about, Markdown, and which files it is written to."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from models.spec import Interval, ModelSpec
from training.evaluation import Cell, Evaluation, Table
from training.metrics import TOO_FEW
from training.report_history import History
from training.report_summary import Summary, summarise

SHOWN: Final = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "macro_f1": "macro F1",
    "weighted_precision": "weighted precision",
    "weighted_recall": "weighted recall",
    "weighted_f1": "weighted F1",
    "ece": "calibration error (ECE)",
    "brier": "Brier score (0 to 2)",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """Where the figures of a report come from.

    Attributes
    ----------
    side : str
        As "test patients".
    records : dict of str to int
        Scored records of each data set.
    names : tuple of str
        Those records.
    """

    side: str
    records: dict[str, int]
    names: tuple[str, ...]
    data: str
    command: str
    commit: str
    seconds: float
    device: str
    made: str
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is shown."""

    spec: ModelSpec
    facts: Facts
    evaluation: Evaluation
    summaries: tuple[Summary, ...]
    history: History


def summaries_of(evaluation: Evaluation) -> tuple[Summary, ...]:
    """All figures of each classification that has items."""
    return tuple(summarise(one) for one in evaluation.predictions if len(one.truth))


def percent(value: float, digits: int = 2) -> str:
    """99.12, or a dash where nothing was counted."""
    return f"{100 * value:.{digits}f}" if np.isfinite(value) else "–"


def with_interval(figure: Interval) -> str:
    """99.12 (98.00 to 99.90), in percent."""
    if not np.isfinite(figure.value):
        return "–"
    if not np.isfinite(figure.low):
        return f"{percent(figure.value)} ({TOO_FEW})"
    return f"{percent(figure.value)} ({percent(figure.low)} to {percent(figure.high)})"


def plain(figure: Interval) -> str:
    """0.1234 (0.1200 to 0.1300), as it is."""
    if not np.isfinite(figure.low):
        return f"{figure.value:.4f} ({TOO_FEW})"
    return f"{figure.value:.4f} ({figure.low:.4f} to {figure.high:.4f})"


def metrics_table(metrics: dict[str, Interval]) -> Table:
    """The task's own figures as they enter the card."""
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (name, *(x if np.isfinite(x) else "–" for x in (f.value, f.low, f.high)), f.n)
        for name, f in metrics.items()
    )
    bare = any(np.isfinite(f.value) and not np.isfinite(f.low) for f in metrics.values())
    note = f"95 % intervals{f'; –: {TOO_FEW}' if bare else ''}"
    return Table("Figures of the task", ("figure", "value", "from", "to", "n"), rows, note)


def overall_table(summary: Summary) -> Table:
    """Figures over all classes."""
    rows = tuple(
        (words, with_interval(summary.figures[name]) if name != "brier" else plain(summary.figures[name]))
        for name, words in SHOWN.items()
    )
    weighted = "; items are weighted" if summary.weighted else ""
    note = f"{summary.items} items of {summary.patients} patients, percent but for Brier's score{weighted}"
    return Table(f"{summary.title}: all classes", ("figure", "value"), rows, note)


def class_table(summary: Summary) -> Table:
    """Figures of each class against the rest."""
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            one.name,
            one.items,
            *(with_interval(one.figures[name]) for name in ("precision", "recall", "specificity", "f1")),
            *("–" if curve is None else with_interval(curve.area) for curve in (one.roc, one.pr)),
        )
        for one in summary.classes
    )
    head = ("class", "items", "precision", "recall", "specificity", "F1", "ROC area", "PR area")
    return Table(f"{summary.title}: each class against the rest", head, rows, "percent")


def confusion_table(summary: Summary) -> Table:
    """Counts with the share of their row."""
    whole = summary.confusion.sum(1)
    rows = tuple(
        (one.name, *(f"{count:.6g} ({percent(count / whole[i], 1) if whole[i] else '–'})" for count in row))
        for i, (one, row) in enumerate(zip(summary.classes, summary.confusion.tolist(), strict=True))
    )
    head = ("", *(one.name for one in summary.classes))
    note = "rows the truth, columns what was decided, percent of the row in brackets"
    return Table(f"{summary.title}: confusion", head, rows, note)


def worst_table(summary: Summary) -> Table:
    """Records with most errors."""
    rows = tuple(
        (one.record, one.items, f"{one.wrong:.6g}", percent(one.share, 1), one.confusion, one.item, one.said)
        for one in summary.worst
    )
    head = ("record", "items", "wrong", "percent", "most often", "surest wrong one", "is as")
    return Table(f"{summary.title}: worst records", head, rows)


def summary_tables(summary: Summary) -> tuple[Table, ...]:
    """All tables of a classification."""
    tables = (overall_table(summary), class_table(summary), confusion_table(summary), worst_table(summary))
    return tuple(table for table in tables if table.rows)


def _row(cells: Iterable[object]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def table_lines(table: Table, most: int | None = None) -> list[str]:
    """One table in Markdown, with its title and note; of more than ``most`` rows only their number."""
    if most is not None and len(table.rows) > most:
        return [f"### {table.title}", "", f"{len(table.rows)} rows: in the report.", ""]
    note = [f"{table.note[0].upper()}{table.note[1:]}.", ""] if table.note else []
    rows = [_row(row) for row in table.rows]
    return [f"### {table.title}", "", *note, _row(table.head), _row("---" for _ in table.head), *rows, ""]


def to_markdown(
    evaluation: Evaluation,
    spec: ModelSpec,
    side: str,
    summaries: tuple[Summary, ...] = (),
    most: int | None = None,
) -> str:
    """All tables of an evaluation under the name of its model; ``most`` as in :func:`table_lines`."""
    cost = spec.cost
    lines = [
        f"## {spec.name}: {side}",
        "",
        f"{cost.parameters} parameters, {cost.mflop_per_window} MFLOP a window, "
        f"{100 * cost.recurrent_share:.1f} % of it recurrent. "
        f"Weights {spec.sha256[:12]}, code {spec.code_commit}.",
        f"Thresholds {spec.thresholds}. Percent, with 95 % intervals by bootstrap over patients.",
        "",
        *(line for note in evaluation.notes for line in (note, "")),
        *(line for table in evaluation.tables for line in table_lines(table, most)),
        *(line for one in summaries for table in summary_tables(one) for line in table_lines(table, most)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def files_of(out: Path, name: str) -> dict[str, Path]:
    """Which files ``--out`` asks for: a folder, or ``FILE.html``, ``FILE.json`` or ``FILE.md``.

    Returns
    -------
    dict of str to Path
        ``html`` and ``json`` always, side by side; ``md`` where it was named.
    """
    if out.suffix not in (".html", ".json", ".md"):
        out = out / f"{name}.html"
    kinds = ("html", "json", "md") if out.suffix == ".md" else ("html", "json")
    return {kind: out.with_suffix(f".{kind}") for kind in kinds}


def write_report(report: Report, out: Path) -> dict[str, Path]:
    """Write the report's files; their folder is made if it is not there."""
    from training.report_html import to_html
    from training.report_json import to_plain

    files = files_of(out, f"{report.spec.name}-{report.facts.side.split(' ')[0]}")
    files["html"].parent.mkdir(parents=True, exist_ok=True)
    files["html"].write_text(to_html(report), encoding="utf-8")
    files["json"].write_text(json.dumps(to_plain(report), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    if "md" in files:
        text = to_markdown(report.evaluation, report.spec, report.facts.side, report.summaries)
        files["md"].write_text(text, encoding="utf-8")
    return files
