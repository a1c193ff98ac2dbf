"""The report as plain data: what the page shows, for programs."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any, Final

from models.curves import ClassCurves, Classification
from models.spec import Interval
from training.evaluation import Table
from training.report import Report
from training.report_summary import Curve, Summary, card_metrics

SCHEMA: Final = "evaluation/1"


def clean(value: Any) -> Any:  # noqa: ANN401
    """Plain data in which a number that is not finite is None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return value


def _interval(figure: Interval) -> dict[str, Any]:
    return figure.model_dump()


def _curve(curve: Curve | None) -> dict[str, Any] | None:
    if curve is None:
        return None
    return {"x": curve.x, "y": curve.y, "decided": curve.decided, "area": _interval(curve.area)}


def _table(table: Table) -> dict[str, Any]:
    return {"title": table.title, "note": table.note, "head": table.head, "rows": table.rows}


def _summary(summary: Summary) -> dict[str, Any]:
    return {
        "title": summary.title,
        "key": summary.key,
        "items": summary.items,
        "patients": summary.patients,
        "weighted": summary.weighted,
        "classes": [
            {
                "name": one.name,
                "items": one.items,
                "support": one.support,
                **{name: _interval(figure) for name, figure in one.figures.items()},
                "roc": _curve(one.roc),
                "pr": _curve(one.pr),
                "reliability": one.reliability,
            }
            for one in summary.classes
        ],
        "confusion": summary.confusion.tolist(),
        "figures": {name: _interval(figure) for name, figure in summary.figures.items()},
        "reliability": summary.reliability,
        "worst": [asdict(one) for one in summary.worst],
    }


def to_curves(summary: Summary) -> Classification:
    """What a card's curves hold of a summary."""
    plain = _summary(summary)
    kept = {name: plain[name] for name in Classification.model_fields}
    kept["classes"] = [{name: one[name] for name in ClassCurves.model_fields} for one in plain["classes"]]
    return Classification.model_validate(clean(kept))


def to_plain(report: Report) -> dict[str, Any]:
    """Everything but the signals of the strips."""
    spec, facts = report.spec, report.facts
    plain = {
        "schema": SCHEMA,
        "model": {
            "name": spec.name,
            "task": spec.task,
            "sha256": spec.sha256,
            "code_commit": spec.code_commit,
            "thresholds": spec.thresholds,
            "cost": spec.cost.model_dump(),
        },
        "run": asdict(facts),
        "metrics": {
            name: _interval(figure)
            for name, figure in card_metrics(report.evaluation, report.summaries).items()
        },
        "classifications": [_summary(one) for one in report.summaries],
        "tables": [_table(table) for table in report.evaluation.tables],
        "notes": report.evaluation.notes,
        "strips": [
            {"title": s.title, "fs_hz": s.fs_hz, "marks": s.marks, "found": s.found}
            for s in report.evaluation.strips
        ],
        "history": {"losses": report.history.losses, "validation": report.history.validation},
    }
    cleaned: dict[str, Any] = clean(plain)
    return cleaned
