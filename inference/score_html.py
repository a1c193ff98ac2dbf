"""The scores as one HTML file: no script, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from inference.reference_marks import KINDS
from inference.score_document import Document, Summary
from inference.score_figures import delay_chart, legend, strip, timeline
from inference.score_report import (
    ALARM_HEAD,
    DEVICE_HEAD,
    MISSED_HEAD,
    RECORD_HEAD,
    alarm_rows,
    device_rows,
    missed_rows,
    record_row,
    say_fit,
    say_raised,
    say_rate,
    say_share,
    worth_a_row,
)
from inference.score_strips import Strip
from models.spec import NOTICE

FOLDED: Final = 40
"""Tables of more rows are folded away until they are asked for."""

KIND_HEAD: Final = (
    "episode", "answered", "within 10 s of the onset", "within 10 s of the definition", "median (s)",
    "p95 (s)", "worst (s)", "sounding for over 10 s before", "answered by",
)  # fmt: skip

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b2127; --soft: #59636e; --page: #ffffff; --grid: #dde2e7;
  --mark: #b02a37; --c0: #b3282d; --c1: #5559b5; --c2: #c65a11; --c3: #1f6fb4; --c4: #7d6608; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7ebef; --soft: #a3adb8; --page: #14181c; --grid: #333c45;
  --mark: #ff8f95; --c0: #ff8080; --c1: #a3a6ff; --c2: #f2994a; --c3: #6db3f2; --c4: #d9bf3d; } }
@media print { body { font-size: 10pt; } nav { display: none; } figure, tr { break-inside: avoid; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1160px; padding: 24px 20px 60px; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7em; margin: 0 0 4px; } h2 { font-size: 1.3em; margin: 36px 0 8px; padding-top: 12px;
  border-top: 1px solid var(--grid); } h3 { font-size: 1.05em; margin: 22px 0 4px; }
p, li { margin: 4px 0 10px; max-width: 80ch; } .soft, figcaption { color: var(--soft); }
nav { margin: 12px 0; } nav a { margin-right: 14px; color: var(--c3); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 12px 0; font-size: .93em; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .88em; font-variant-numeric: tabular-nums; }
th, td { padding: 3px 10px; border-bottom: 1px solid var(--grid); text-align: right; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; } th:first-child, td:first-child { text-align: left; }
figure { margin: 12px 0; } figure.chart { max-width: 560px; } figcaption { font-size: .9em; margin-bottom: 2px; }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--soft); font-size: 11px; font-family: inherit; }
svg path { fill: none; } .grid { stroke: var(--grid); stroke-width: 1; } .line { stroke-width: 1.8; }
.goal { stroke: var(--soft); stroke-dasharray: 4 4; } .trace { stroke: var(--ink); stroke-width: 1.1; }
.mark { stroke: var(--mark); stroke-width: 2; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 14px; font-size: .85em; color: var(--soft); }
.legend i { display: inline-block; width: 14px; height: 3px; margin-right: 5px; vertical-align: middle; }
details { margin: 10px 0; } summary { cursor: pointer; font-weight: 600; }
"""  # noqa: E501


def to_html(document: Document, strips: Sequence[Strip] = ()) -> str:
    """The whole page; ``strips`` show false alarms."""
    missed, false = missed_rows(document.records), alarm_rows(document.records)
    sections = {
        "Summaries": "".join(_summary(summary) for summary in document.summaries),
        "Delays": delay_chart(document.records),
        "CinC 2015": "".join(
            f"<h3>{escape(one.title)}</h3><p>{escape(say_fit(one))}</p>{table(DEVICE_HEAD, device_rows(one))}"
            for one in document.devices
        ),
        "Records": table(RECORD_HEAD, [record_row(one) for one in document.records if worth_a_row(one)]),
        "Missed or late episodes": table(MISSED_HEAD, missed) if missed else "",
        "False alarms": table(ALARM_HEAD, false) + "".join(strip(one) for one in strips) if false else "",
        "Timelines": _timelines(document),
        "How this was made": "<ul>"
        + "".join(f"<li>{escape(note)}</li>" for note in document.notes)
        + "</ul>",
    }
    shown = [(title, body) for title, body in sections.items() if body]
    links = "".join(f'<a href="#{_anchor(title)}">{escape(title)}</a>' for title, _ in shown)
    body = "\n".join(f'<h2 id="{_anchor(title)}">{escape(title)}</h2>\n{part}' for title, part in shown)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>Alarms against annotations</title><style>{STYLE}</style></head>\n<body>\n"
        f"<h1>Alarms against annotations</h1>{_about(document)}<nav>{links}</nav>\n{body}\n"
        f'<p class="soft"><small>{escape(NOTICE)}</small></p>\n</body></html>\n'
    )


def _about(document: Document) -> str:
    days = sum(score.length_s for score in document.records) / 86_400
    rows = [
        ("records", f"{len(document.records)}, {days:.2f} bed-days"),
        ("models", "; ".join(document.models)),
        ("command", document.command),
        ("overload", document.overload),
        ("made", document.made),
    ]
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in rows) + "</dl>"


def _summary(summary: Summary) -> str:
    rows = [
        (
            kind.kind,
            say_share(kind.answered),
            say_share(kind.prompt),
            say_share(kind.prompt_met),
            *("" if value is None else f"{value:.1f}" for value in (kind.median_s, kind.p95_s, kind.worst_s)),
            str(kind.before),
            ", ".join(f"{count} {name}" for name, count in sorted(kind.by.items())),
        )
        for kind in summary.kinds
    ]
    return (
        f"<h3>{escape(summary.title)}: {summary.records} records, {summary.bed_days:.2f} bed-days</h3>"
        + (table(KIND_HEAD, rows) if rows else "")
        + f"<p>False high-priority alarms: {escape(say_rate(summary.false_high))}.</p>"
        + f'<p class="soft">Raised a bed-day, true or not: {escape(say_raised(summary))}.</p>'
    )


def _timelines(document: Document) -> str:
    shown = [
        score
        for score in document.records
        if score.reference.device is None and (score.answers or score.false or score.unlabelled)
    ]
    return legend(KINDS) + "".join(timeline(score) for score in shown) if shown else ""


def table(head: Iterable[str], rows: Sequence[Iterable[str]]) -> str:
    """A table that scrolls; a long one is folded."""
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    cells = "".join("<tr>" + "".join(f"<td>{escape(value)}</td>" for value in row) + "</tr>" for row in rows)
    whole = f'<div class="scroll"><table><tr>{names}</tr>{cells}</table></div>'
    if len(rows) <= FOLDED:
        return whole
    return f"<details><summary>{len(rows)} rows</summary>{whole}</details>"


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")
