"""The page that reports are shown on: one HTML file, no script, nothing loaded from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Final

from models.spec import NOTICE
from training.evaluation import Cell, Table

WITH_INTERVAL: Final = re.compile(r"^([\d.]+) \(([\d.–]+ to [\d.–]+)\)$")
FOLDED: Final = 40
"""Tables of more rows are folded away until they are asked for."""

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b2127; --soft: #59636e; --page: #ffffff; --panel: #f5f7f9;
  --grid: #dde2e7; --shade: 31, 111, 180; --mark: #b02a37;
  --c0: #1f6fb4; --c1: #c65a11; --c2: #0b7a55; --c3: #a33a8f; --c4: #7d6608; --c5: #b3282d; --c6: #5559b5; --c7: #5b6670; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7ebef; --soft: #a3adb8; --page: #14181c; --panel: #1c2228;
  --grid: #333c45; --shade: 96, 165, 230; --mark: #ff8f95;
  --c0: #6db3f2; --c1: #f2994a; --c2: #4cc38a; --c3: #e28bd2; --c4: #d9bf3d; --c5: #ff8080; --c6: #a3a6ff; --c7: #aab4bf; } }
@media print { :root { color-scheme: light; --ink: #000; --soft: #444; --page: #fff; --panel: #fff; --grid: #ccc;
  --shade: 31, 111, 180; --mark: #b02a37; --c0: #1f6fb4; --c1: #c65a11; --c2: #0b7a55; --c3: #a33a8f; --c4: #7d6608;
  --c5: #b3282d; --c6: #5559b5; --c7: #5b6670; }
  body { font-size: 10pt; } nav { display: none; } figure, tr { break-inside: avoid; } h2, h3 { break-after: avoid; }
  td.heat { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  details::details-content { content-visibility: visible; height: auto; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1160px; padding: 24px 20px 60px; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7em; margin: 0 0 4px; } h2 { font-size: 1.3em; margin: 36px 0 8px; padding-top: 12px;
  border-top: 1px solid var(--grid); } h3 { font-size: 1.05em; margin: 22px 0 4px; }
p { margin: 4px 0 10px; max-width: 80ch; } .soft, figcaption, .note { color: var(--soft); } .note { font-size: .9em; }
nav { margin: 12px 0; } nav a { margin-right: 14px; color: var(--c0); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 12px 0; font-size: .93em; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .88em; font-variant-numeric: tabular-nums; }
th, td { padding: 3px 10px; border-bottom: 1px solid var(--grid); text-align: right; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; } th:first-child, td:first-child { text-align: left; }
td.heat { background: rgba(var(--shade), var(--share)); } td small { color: var(--soft); } td.heat small { color: inherit; }
td.interval { line-height: 1.25; }
.row { display: flex; flex-wrap: wrap; gap: 18px; } figure { margin: 12px 0; }
figure.chart { flex: 1 1 320px; max-width: 460px; } figcaption { font-size: .9em; margin-bottom: 2px; }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--soft); font-size: 11px; font-family: inherit; }
svg path { fill: none; } .grid { stroke: var(--grid); stroke-width: 1; } .line { stroke-width: 1.8; }
.diagonal { stroke: var(--soft); stroke-dasharray: 4 4; } .trace { stroke: var(--ink); stroke-width: 1.1; }
path.mark { stroke: var(--mark); stroke-width: 2; } svg text.mark { fill: var(--mark); text-anchor: middle; }
path.annotated { stroke: var(--c0); stroke-width: 2; } svg text.annotated { fill: var(--c0); text-anchor: middle; font-size: 9px; }
path.found { stroke: var(--c1); stroke-width: 2; } svg text.found { fill: var(--c1); text-anchor: middle; font-size: 9px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 14px; font-size: .85em; color: var(--soft); }
.legend i { display: inline-block; width: 14px; height: 3px; margin-right: 5px; vertical-align: middle; }
details { margin: 10px 0; } summary { cursor: pointer; font-weight: 600; } img { max-width: 100%; background: #fff; }
"""  # noqa: E501


def page(title: str, body: Sequence[str]) -> str:
    """A whole HTML file."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + f'\n<p class="soft"><small>{escape(NOTICE)}</small></p>\n</body></html>\n'
    )


def facts(rows: Sequence[tuple[str, str]]) -> str:
    """Names and values in two columns."""
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in rows if v) + "</dl>"


def _cell(value: Cell) -> str:
    text = escape(f"{value:.6g}" if isinstance(value, float) else str(value))
    interval = WITH_INTERVAL.match(text)
    if interval is None:
        return f"<td>{text}</td>"
    return f'<td class="interval">{interval[1]}<br><small>{interval[2]}</small></td>'


def table(one: Table) -> str:
    """A table with its title and note; a long one is folded."""
    head = "".join(f"<th>{escape(name)}</th>" for name in one.head)
    rows = "".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in one.rows)
    note = f'<p class="note">{escape(one.note[0].upper() + one.note[1:])}.</p>' if one.note else ""
    whole = f'{note}<div class="scroll"><table><tr>{head}</tr>{rows}</table></div>'
    if len(one.rows) > FOLDED:
        return f"<details><summary>{escape(one.title)} ({len(one.rows)} rows)</summary>{whole}</details>"
    return f"<h3>{escape(one.title)}</h3>{whole}"
