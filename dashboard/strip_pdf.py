"""A strip as a PDF to print: A4 landscape, 25 mm/s and 10 mm/mV in true millimetres."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from textwrap import wrap
from typing import Final

from matplotlib.backends.backend_pdf import PdfPages

from dashboard.paper import LIGHT, drawable, sheet, write
from dashboard.strip_lanes import gap_words
from dashboard.strip_sheet import WIDTH_MM, Drawing, Row, draw_row, rows_of
from dashboard.summary import alarm_text
from dashboard.words import NOTICE
from inference.store_labels import AlarmLabel
from ingest.types import NS_PER_S

A4_MM: Final = (297.0, 210.0)
_MARGIN_MM: Final = 10.0
_HEADER_MM: Final = 29.0
_FOOTER_MM: Final = 9.0
_ROOM_MM: Final = A4_MM[1] - 2 * _MARGIN_MM - _HEADER_MM - _FOOTER_MM
_LINE_CHARACTERS: Final = 150
_MOST_LINES: Final = 6
_MM_PER_LINE: Final = 4.2
_SPACE_MM: Final = 2.0
_DPI_PER_MM: Final = 4.0


def strip_pdf(drawing: Drawing, label: AlarmLabel | None = None) -> bytes:
    """Draw a strip on pages of A4.

    Parameters
    ----------
    drawing : Drawing
        Strip, alarm, beats, and the explanation where it is to be shown.
    label : AlarmLabel or None
        What a reviewer said of the alarm.

    Returns
    -------
    bytes
        The PDF. Printed at 100 % its squares are 1 and 5 mm.
    """
    pages = _pages(rows_of(drawing.strip, _ROOM_MM))
    out = io.BytesIO()
    # No time of making: the same strip gives the same file.
    with PdfPages(out, metadata={"Title": "Alarm strip", "Creator": "Wardwave", "CreationDate": None}) as pdf:
        for number, rows in enumerate(pages, 1):
            figure, axes = sheet(*A4_MM, _DPI_PER_MM, LIGHT)
            figure.set_facecolor("white")
            top_mm = A4_MM[1] - _MARGIN_MM
            for line, words in enumerate(_header(drawing, label)):
                size, weight = (11.0, "bold") if line == 0 else (8.0, "normal")
                place_mm = top_mm - 4 - line * _MM_PER_LINE - (1.2 if line else 0)
                write(axes, _left_mm(), place_mm, words, LIGHT.text, size=size, weight=weight)
            top_mm -= _HEADER_MM
            for row in rows:
                draw_row(axes, drawing, row, top_mm, LIGHT, _left_mm())
                top_mm -= row.height_mm + _SPACE_MM
            foot = f"{NOTICE}  25 mm/s, ECG 10 mm/mV when printed at 100 %.  Page {number} of {len(pages)}"
            write(axes, _left_mm(), _MARGIN_MM, foot, LIGHT.text, size=8.0, weight="bold")
            pdf.savefig(figure)
    return out.getvalue()


def _left_mm() -> float:
    return (A4_MM[0] - WIDTH_MM) / 2


def _pages(rows: list[Row]) -> list[list[Row]]:
    """Rows page by page; one page where there is none."""
    pages: list[list[Row]] = [[]]
    for row in rows:
        used_mm = sum(one.height_mm + _SPACE_MM for one in pages[-1])
        if pages[-1] and used_mm + row.height_mm > _ROOM_MM + _SPACE_MM:
            pages.append([])
        pages[-1].append(row)
    return pages


def _header(drawing: Drawing, label: AlarmLabel | None) -> list[str]:
    """Lines of the head, none of them endless: bed, message and comment come from outside."""
    alarm, strip = drawing.alarm, drawing.strip
    leads = ", ".join(
        dict.fromkeys(f"{signal.signal} {channel}" for signal in strip.signals for channel in signal.channels)
    )
    devices = ", ".join(dict.fromkeys(signal.device for signal in strip.signals))
    times = (
        f"Onset {_utc(alarm.onset_ns)}, raised {_utc(alarm.raised_ns)}, ended {_utc(alarm.ended_ns)} (UTC)"
    )
    said = (
        "not labelled"
        if label is None
        else f"{label.label} by {label.reviewer}, {_utc(label.labelled_ns)} UTC. {label.comment}"
    )
    lines = [
        drawable(f"Bed {alarm.bed}   {alarm_text(alarm)}", 100),
        f"{times}   Alarm {drawable(alarm.id, 60)}",
        f"Leads {drawable(leads or 'none', 70)}   Device {drawable(devices or 'none', 30)}   "
        "Filters: none (as the device sent it)",
        f"Label: {drawable(said, _LINE_CHARACTERS - 8)}",
    ]
    rest = gap_words(strip)
    if drawing.explained is not None:
        rest.append(f"Shaded: what spoke for {drawing.explained.label} to {drawing.explained.model}.")
    gaps = wrap(drawable(" ".join(rest), 2 * _LINE_CHARACTERS), _LINE_CHARACTERS)
    return [*lines, *gaps][:_MOST_LINES]


def _utc(time_ns: int | None) -> str:
    if time_ns is None:
        return "–"
    return f"{datetime.fromtimestamp(time_ns / NS_PER_S, UTC):%Y-%m-%d %H:%M:%S}"
