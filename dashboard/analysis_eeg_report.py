"""The EEG of an analysis in its report: words, figures, tables and sheets, all escaped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Final

from dashboard import analysis_eeg_pictures as pictures
from dashboard import analysis_eeg_words as words
from dashboard.analysis_html import table
from dashboard.words import clock
from inference.analysis_eeg_trace import EegTrace
from inference.analysis_findings import AlarmFinding, EegFindings
from inference.analysis_wire import Trace
from inference.explanation_eeg_sheet import SHEET_S

MAX_SHEETS: Final = 12
MAX_ROWS: Final = 300


def eeg_part(
    eeg: EegFindings,
    trace: Trace,
    spectra: EegTrace | None,
    image: Callable[[bytes, str], str],
    alarms: Callable[[Sequence[AlarmFinding]], str],
) -> str:
    """An EEG as HTML.

    Parameters
    ----------
    eeg, trace, spectra
        What was found, and what is drawn; no spectra where nothing was played.
    image, alarms : callable
        As the report sets an image (PNG, what it is) and a table of alarms.
    """
    parts = [f"<h2>EEG</h2><p>{escape(eeg.statement)}</p>"]
    parts += [f"<p><small>{escape(' '.join(eeg.caveats))}</small></p>"] if eeg.caveats else []
    cells = words.figures(eeg, trace.duration_s)
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in cells)
    parts.append(f"<dl>{rows}</dl>")
    parts += [f"<p>{escape(line)}</p>" for line in words.lost_lines(eeg)]
    if eeg.seizures:
        parts.append(f"<h3>Seizures found</h3>{table(words.seizure_rows(eeg), MAX_ROWS)}")
    compared = words.compared(eeg)
    if compared is not None:
        parts.append(f"<h3>Annotated in the file</h3><p>{escape(compared)}</p>")
        parts.append(table(words.annotated_rows(eeg), MAX_ROWS))
    if eeg.alarms:
        parts.append(f"<h3>Alarms that the ward's monitor would have raised</h3>{alarms(eeg.alarms)}")
    if spectra is not None:
        parts.append(
            f"<h3>Trends</h3>{image(pictures.trends_chart(eeg, spectra, trace.duration_s), 'trends')}"
        )
        parts.append(f"<p><small>{escape(words.TRENDS_LEGEND)}</small></p>")
        parts.append(_sheets(eeg, trace, spectra, image))
    parts.append(f"<h3>Electrodes</h3>{table(words.electrode_rows(eeg), MAX_ROWS)}")
    return "\n".join(parts)


def _sheets(eeg: EegFindings, trace: Trace, spectra: EegTrace, image: Callable[[bytes, str], str]) -> str:
    if not pictures.drawable(trace):
        return ""
    found = ["<h3>Sheets</h3>"]
    for begin_s, looked in pictures.sheets_of(eeg, spectra, trace.duration_s)[:MAX_SHEETS]:
        title = pictures.sheet_title(begin_s, SHEET_S)
        found.append(image(pictures.eeg_sheet(trace, eeg, begin_s, title=title, looked=looked), title))
        if looked is not None:
            said = words.looked_line(looked.at_s, looked.probability, looked.model)
            found.append(f"<p><small>{escape(said)}</small></p>")
    left = len(eeg.seizures) - MAX_SHEETS
    if left > 0:
        at = ", ".join(clock(one.begin_s) for one in eeg.seizures[MAX_SHEETS:][:50])
        found.append(f"<p>{left} more seizures are in the table, without a sheet: {escape(at)}</p>")
    found.append(f"<p><small>{escape(words.LEGEND)}</small></p>")
    return "\n".join(found)
