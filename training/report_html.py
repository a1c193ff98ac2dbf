"""The report as one HTML file. Everything shown was computed before; the page computes nothing."""

from __future__ import annotations

from html import escape

from training.evaluation import Table
from training.figures import Series, chart, strip
from training.report import Report, class_table, metrics_table, overall_table, percent, worst_table
from training.report_history import Curves, History
from training.report_page import facts, page, table
from training.report_summary import Summary

UNIT = (0.0, 1.0)
SPLIT_SHOWN = 400
"""Names of records shown of one side."""


def _heat(summary: Summary) -> str:
    """Confusion with each cell shaded by its share of the row."""
    head = "".join(f"<th>{escape(one.name)}</th>" for one in summary.classes)
    rows = []
    for one, counts in zip(summary.classes, summary.confusion.tolist(), strict=True):
        whole = sum(counts)
        cells = "".join(
            f'<td class="heat" style="--share:{0.75 * count / whole if whole else 0:.3f}">{count:.6g} '
            f"<small>{percent(count / whole, 1) if whole else '–'} %</small></td>"
            for count in counts
        )
        rows.append(f"<tr><td>{escape(one.name)}</td>{cells}<td>{whole:.6g}</td></tr>")
    return (
        f"<h3>{escape(summary.title)}: confusion</h3>"
        '<p class="note">Rows the truth, columns what was decided; percent of the row.</p>'
        f'<div class="scroll"><table><tr><th></th>{head}<th>all</th></tr>{"".join(rows)}</table></div>'
    )


def _curves(summary: Summary) -> str:
    """ROC, precision against recall, and reliability."""
    colours = {one.name: i for i, one in enumerate(summary.classes)}
    roc: list[Series] = []
    pr: list[Series] = []
    for one in summary.classes:
        if one.roc is not None and one.pr is not None:
            for lines, curve in ((roc, one.roc), (pr, one.pr)):
                label = f"{one.name} {curve.area.value:.3f}"
                lines.append(Series(label, curve.x, curve.y, curve.decided, colour=colours[one.name]))
    ece = summary.figures["ece"].value
    bins = [(one.name, one.reliability, colours[one.name]) for one in summary.classes if one.roc is not None]
    bins.append(("likeliest class", summary.reliability, len(colours)))
    reliability = [
        Series(name, [at[0] for at in found], [at[1] for at in found], dots=True, colour=colour)
        for name, found, colour in bins
    ]
    charts = [
        chart("ROC (legend: area; dot: as decided)", roc, "1 − specificity", "sensitivity",
              x_range=UNIT, y_range=UNIT, diagonal=True),
        chart("Precision against recall (legend: area; dot: as decided)", pr, "recall", "precision",
              x_range=UNIT, y_range=UNIT),
        chart(f"Reliability (ECE {percent(ece)} % of the likeliest class)", reliability, "probability said",
              "share that is so", x_range=UNIT, y_range=UNIT, diagonal=True),
    ]  # fmt: skip
    return f'<div class="row">{"".join(charts)}</div>'


def _classification(summary: Summary) -> str:
    return "\n".join(
        (
            f"<h2>{escape(summary.title)}</h2>",
            table(overall_table(summary)),
            table(class_table(summary)),
            _heat(summary),
            _curves(summary),
            table(worst_table(summary)) if summary.worst else "",
        )
    )


def _lines(curves: Curves, names: list[str]) -> list[Series]:
    return [Series(name, curves["step"], curves[name]) for name in names if name in curves]


def _history(history: History) -> str:
    """Losses, learning rate and validation over the steps."""
    charts = []
    if "step" in history.losses:
        parts = [name for name in history.losses if name not in ("step", "seconds", "lr")]
        charts.append(chart("Loss", _lines(history.losses, parts), "step", "loss"))
        if "lr" in history.losses:
            charts.append(chart("Learning rate", _lines(history.losses, ["lr"]), "step", "rate"))
    if "step" in history.validation:
        rest = [name for name in history.validation if name not in ("step", "score")]
        charts.append(chart("Validation: score", _lines(history.validation, ["score"]), "step", "score"))
        if rest:
            charts.append(chart("Validation: figures", _lines(history.validation, rest), "step", ""))
    if not charts:
        return ""
    return f'<h2 id="history">Training history</h2><div class="row">{"".join(charts)}</div>'


def _about(report: Report) -> str:
    spec, facts_ = report.spec, report.facts
    cost = spec.cost
    trained = [f"{spec.training[key]} {words}" for key, words in (
        ("steps_done", "steps"), ("minutes", "minutes")) if key in spec.training]  # fmt: skip
    trained += [str(spec.training[key]) for key in ("hardware",) if key in spec.training]
    return facts(
        [
            ("task", spec.task),
            ("input", f"{spec.signal}, {spec.fs_hz:g} Hz, {spec.band_hz[0]:g} to {spec.band_hz[1]:g} Hz"),
            ("network", f"{cost.parameters:,} parameters, {cost.mflop_per_window:g} MFLOP a window"),
            ("trained on", spec.data),
            ("training", ", ".join(trained)),
            ("thresholds", ", ".join(f"{k} {v:g}" for k, v in spec.thresholds.items())),
            ("weights", f"SHA-256 {spec.sha256}"),
            ("scored", ", ".join(f"{n} records of {source}" for source, n in facts_.records.items())),
            ("data", facts_.data),
            ("command", facts_.command),
            ("code", f"{facts_.commit} (trained with {spec.code_commit})"),
            ("took", f"{facts_.seconds:.0f} s on {facts_.device}"),
            ("made", f"{facts_.made}, " + ", ".join(f"{k} {v}" for k, v in facts_.versions.items())),
        ]
    )


def _split(report: Report) -> str:
    """Names of the records of each side."""
    sides = {side: list(names) for side, names in report.spec.split.items()}
    sides["scored here"] = list(report.facts.names)
    rows = [
        (side, ", ".join(names[:SPLIT_SHOWN]) + (" …" if len(names) > SPLIT_SHOWN else ""))
        for side, names in sides.items()
    ]
    return f"<details><summary>Split by patient</summary>{facts(rows)}</details>"


def _caveats(report: Report) -> str:
    items = "".join(f"<li>{escape(text)}</li>" for text in (*report.evaluation.notes, *report.spec.caveats))
    return f'<h2 id="notes">Notes</h2><ul>{items}</ul>' if items else ""


def to_html(report: Report) -> str:
    """The whole page."""
    spec, evaluation = report.spec, report.evaluation
    own = [metrics_table(evaluation.metrics)] if evaluation.metrics else []
    tables: list[Table] = [*evaluation.tables, *own]
    links = [("task", "Figures of the task"), ("classes", "Classifications"), ("history", "Training history"),
             ("strips", "Worst records"), ("notes", "Notes")]  # fmt: skip
    body = [
        f"<h1>{escape(spec.name)} ({spec.sha256[:8]}): {escape(report.facts.side)}</h1>",
        f'<p class="soft">{escape(spec.description)}</p>',
        _about(report),
        _split(report),
    ]
    sections = {
        "task": '<h2 id="task">Figures of the task</h2>' + "\n".join(table(one) for one in tables)
        if tables
        else "",
        "classes": f'<div id="classes">{"".join(_classification(one) for one in report.summaries)}</div>'
        if report.summaries
        else "",
        "history": _history(report.history),
        "strips": '<h2 id="strips">Worst records</h2>' + "\n".join(strip(one) for one in evaluation.strips)
        if evaluation.strips
        else "",
        "notes": _caveats(report),
    }
    shown = "".join(f'<a href="#{key}">{words}</a>' for key, words in links if sections[key])
    return page(f"{spec.name}: {report.facts.side}", [*body, f"<nav>{shown}</nav>", *sections.values()])
