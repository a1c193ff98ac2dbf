"""An analysis as one HTML file: no script, nothing loaded from elsewhere, all text escaped."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from dashboard import analysis_pictures as pictures
from dashboard.analysis_eeg_report import eeg_part
from dashboard.analysis_sound_report import sound_part
from dashboard.words import clock
from inference.analysis_findings import NOTICE, AlarmFinding, Findings, gravest_first, head_lines
from inference.analysis_job import Result
from inference.analysis_wire import Trace

MAX_STRIPS: Final = 20
MAX_ROWS: Final = 500
_STYLE: Final = """
body { margin: 0 auto; max-width: 1120px; padding: 24px 20px 60px; background: #fff; color: #1b2127;
  font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.6em; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 1.2em; margin: 28px 0 8px; }
.notice { border: 1px solid #b3261e; color: #8f1212; padding: 4px 10px; display: inline-block; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; font-size: .93em; }
dt { color: #59636e; } dd { margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; font-size: .88em; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 3px 10px; border-bottom: 1px solid #dde2e7; text-align: left; }
tr.high td { background: #fbdcdc; } tr.medium td { background: #fff3c9; }
figure { margin: 12px 0; break-inside: avoid; } img { max-width: 100%; height: auto; }
@media print { body { font-size: 10pt; } }
"""


def to_html(result: Result) -> bytes:
    """The whole report."""
    found = result.findings
    parts = [
        f'<h1>{escape(found.name)}</h1><p class="notice">{NOTICE}</p>',
        "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in [*head_lines(found), *found.notes]) + "</ul>",
    ]
    if found.ecg is not None:
        parts.append(_ecg(result))
    if found.eeg is not None:
        shown = next(one for one in result.traces.traces if one.signal == "eeg")
        parts.append(eeg_part(found.eeg, shown, next(iter(result.traces.eegs), None), _image, _alarms))
    traces = {trace.signal: trace for trace in result.traces.sounds}
    for sound, picture in zip(found.sounds, result.traces.pictures, strict=True):
        parts.append(sound_part(sound, picture, traces.get(sound.signal), _image, _alarms))
    parts += ["<h2>Signals</h2>", _signals(found), "<h2>How this was made</h2>", _made(found)]
    title = escape(f"Analysis of {found.name}")
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + f"\n<p><small>{escape(found.notice)}</small></p>\n</body></html>\n"
    )
    # Names come from files: a lone surrogate in one would make the page unwritable.
    return page.encode("utf-8", "replace")


def _ecg(result: Result) -> str:
    found = result.findings
    assert found.ecg is not None
    alarms = gravest_first(found.ecg.alarms)
    trace = next(one for one in result.traces.traces if one.signal == "ecg")
    shown = "".join(_strip(trace, alarm, result) for alarm in alarms[:MAX_STRIPS])
    left = len(alarms) - MAX_STRIPS
    rest = f"<p>{left} more alarms are in the table, without a strip.</p>" if left > 0 else ""
    return (
        "<h2>Alarms that the ward's monitor would have raised</h2>"
        + (_alarms(alarms) if alarms else "<p>None.</p>")
        + "<h2>Heart rate and rhythm</h2>"
        + _image(pictures.trend_chart(found.ecg, found.duration_s), "heart rate and probabilities")
        + (f"<h2>Strips</h2>{shown}{rest}" if shown else "")
    )


def _strip(trace: Trace, alarm: AlarmFinding, result: Result) -> str:
    ecg = result.findings.ecg
    assert ecg is not None
    begin_s = pictures.strip_begin_s(alarm.onset_s, trace.duration_s)
    title = f"{alarm.message}   from {clock(alarm.onset_s)}"
    return _image(pictures.strip(trace, begin_s, ecg.beats, [alarm], title=title), title)


def _image(png: bytes, what: str) -> str:
    data = base64.b64encode(png).decode()
    return f'<figure><img alt="{escape(what)}" src="data:image/png;base64,{data}"/></figure>'


def _alarms(alarms: Sequence[AlarmFinding]) -> str:
    rows = [
        (
            alarm.priority,
            (
                clock(alarm.onset_s),
                clock(alarm.raised_s),
                "to the end" if alarm.end_s is None else clock(alarm.end_s),
                str(alarm.priority),
                alarm.message,
                "; ".join(alarm.reasons),
            ),
        )
        for alarm in alarms[:MAX_ROWS]
    ]
    head = ("onset", "raised", "end", "priority", "message", "reasons")
    body = "".join(f'<tr class="{escape(p)}">{_cells(row)}</tr>' for p, row in rows)
    return f"<table><tr>{''.join(f'<th>{name}</th>' for name in head)}</tr>{body}</table>"


def _cells(row: Iterable[str]) -> str:
    return "".join(f"<td>{escape(cell)}</td>" for cell in row)


def _signals(found: Findings) -> str:
    head = ("signal", "channel", "rate", "missing", "flat", "range", "use")
    body = "".join(
        f"<tr>{_cells(row)}</tr>"
        for one in found.signals
        for channel in one.channels
        for row in [
            (
                one.signal,
                channel.name,
                f"{one.fs_hz:g} Hz",
                f"{channel.missing_share:.1%}",
                f"{channel.flat_share:.1%}",
                f"{channel.low:.4g} to {channel.high:.4g} {one.unit}",
                one.statement,
            )
        ]
    )
    return f"<table><tr>{''.join(f'<th>{name}</th>' for name in head)}</tr>{body}</table>"


def _made(found: Findings) -> str:
    rows = [
        *((f"file {file.name}", f"{file.n_bytes:,} bytes, SHA-256 {file.sha256}") for file in found.files),
        ("format", found.format),
        ("length", f"{found.duration_s:,.1f} s"),
        *(("model", name) for name in found.models),
        *found.settings.items(),
        *((name, version) for name, version in found.versions.items()),
        ("made", f"{found.made}, in {found.took_s:.1f} s"),
        ("notice", NOTICE),
    ]
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in rows) + "</dl>"
