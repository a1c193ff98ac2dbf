"""Figures as inline SVG whose colours are those of the page: light, dark and print need no second drawing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

import numpy as np

from training.evaluation import FloatArray, Strip

COLOURS: Final = 8
"""The page defines ``--c0`` … for so many series."""

WIDTH, HEIGHT = 360, 270
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 40
STRIP_WIDTH, LEAD_HEIGHT = 960, 130
STRIP_POINTS: Final = 4000
MARK_LETTER: Final = 6.0
"""About how wide a letter of a mark is."""

ABOVE_AND_BELOW: Final = (
    '<div class="legend"><span><i style="background:var(--c0)"></i>annotated (above)</span>'
    '<span><i style="background:var(--c1)"></i>found (below)</span></div>'
)


@dataclass(frozen=True, slots=True)
class Series:
    """A line with its name; ``mark`` is a point on it worth a dot, ``dots`` shows every point.

    ``colour`` is a number of the page's colours; by its place among the series where None.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    mark: tuple[float, float] | None = None
    dots: bool = False
    colour: int | None = None

    def css(self, place: int) -> str:
        """The page's name of its colour."""
        return f"var(--c{(place if self.colour is None else self.colour) % COLOURS})"


def nice_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from at or above ``low`` to at or below ``high``."""
    if not high > low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _number(value: float) -> str:
    return f"{value:.6g}"


def _path(x: FloatArray, y: FloatArray) -> str:
    """Points of an SVG path; a gap where a value is missing."""
    parts, pen = [], "M"
    for a, b in zip(x.tolist(), y.tolist(), strict=True):
        if not (math.isfinite(a) and math.isfinite(b)):
            pen = "M"
            continue
        parts.append(f"{pen}{a:.1f} {b:.1f}")
        pen = "L"
    return "".join(parts)


class _Frame:
    """Axes of a chart: from values to places."""

    def __init__(self, x_range: tuple[float, float], y_range: tuple[float, float]) -> None:
        self.x_range, self.y_range = x_range, y_range

    def x(self, values: Sequence[float] | FloatArray) -> FloatArray:
        low, high = self.x_range
        share = (np.asarray(values, dtype=np.float64) - low) / (high - low)
        return np.asarray(LEFT + share * (WIDTH - LEFT - RIGHT))

    def y(self, values: Sequence[float] | FloatArray) -> FloatArray:
        low, high = self.y_range
        share = (np.asarray(values, dtype=np.float64) - low) / (high - low)
        return np.asarray(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM))

    def axes(self, x_label: str, y_label: str) -> list[str]:
        bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
        parts = []
        for tick in nice_ticks(*self.y_range):
            at = float(self.y([tick])[0])
            parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{right}"/>')
            parts.append(f'<text x="{LEFT - 6}" y="{at + 3.5:.1f}" text-anchor="end">{_number(tick)}</text>')
        for tick in nice_ticks(*self.x_range):
            at = float(self.x([tick])[0])
            parts.append(f'<path class="grid" d="M{at:.1f} {TOP}V{bottom}"/>')
            parts.append(f'<text x="{at:.1f}" y="{bottom + 15}" text-anchor="middle">{_number(tick)}</text>')
        middle = (LEFT + right) / 2
        parts.append(f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>')
        parts.append(
            f'<text transform="translate(11 {(TOP + bottom) / 2}) rotate(-90)" text-anchor="middle">'
            f"{escape(y_label)}</text>"
        )
        return parts


def _legend(series: Sequence[Series]) -> str:
    if len(series) < 2:
        return ""
    keys = "".join(
        f'<span><i style="background:{one.css(i)}"></i>{escape(one.label)}</span>'
        for i, one in enumerate(series)
    )
    return f'<div class="legend">{keys}</div>'


def _range(values: Sequence[Sequence[float]]) -> tuple[float, float]:
    known = [v for row in values for v in row if math.isfinite(v)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    room = 0.05 * (high - low) or 0.5
    return low - room, high + room


def chart(
    title: str,
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    *,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    diagonal: bool = False,
) -> str:
    """A line chart with its title and legend, as an HTML figure.

    Parameters
    ----------
    series : sequence of Series
        Drawn in the page's colours in this order.
    x_range, y_range : (float, float) or None
        Ends of the axes; by the values where None.
    diagonal : bool
        Draw the line y = x.
    """
    wide = x_range or _range([one.x for one in series])
    frame = _Frame(
        wide if wide[1] > wide[0] else (wide[0], wide[0] + 1), y_range or _range([s.y for s in series])
    )
    parts = frame.axes(x_label, y_label)
    if diagonal:
        (x0, x1), (y0, y1) = frame.x([0, 1]), frame.y([0, 1])
        parts.append(f'<path class="diagonal" d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}"/>')
    for i, one in enumerate(series):
        colour = one.css(i)
        x, y = frame.x(one.x), frame.y(one.y)
        parts.append(
            f'<path class="line" style="stroke:{colour}" d="{_path(x, y)}">'
            f"<title>{escape(one.label)}</title></path>"
        )
        dots = list(zip(one.x, one.y, strict=True)) if one.dots else []
        for a, b in [*dots, *([one.mark] if one.mark else [])]:
            (px,), (py,) = frame.x([a]), frame.y([b])
            parts.append(
                f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" style="fill:{colour}">'
                f"<title>{escape(one.label)}: {_number(a)}, {_number(b)}</title></circle>"
            )
    svg = (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )
    return f'<figure class="chart"><figcaption>{escape(title)}</figcaption>{svg}{_legend(series)}</figure>'


def _lead_path(strip: Strip, lead: int, middle: float) -> tuple[str, float]:
    """Trace of a lead and what its height of the strip stands for."""
    values = strip.signal[lead].astype(np.float64)
    step = max(1, len(values) // STRIP_POINTS)
    values = values[::step]
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    span = max(high - low, 1e-3)
    y = middle - (values - (low + high) / 2) / span * (LEAD_HEIGHT - 24)
    x = np.arange(len(values)) / max(1, len(values) - 1) * STRIP_WIDTH
    return _path(x, y), span


def _mark_row(
    marks: Sequence[tuple[float, str]], seconds: float, tick: str, text_y: float, kind: str
) -> list[str]:
    """A row of marks; where two stand too close, the second keeps its tick and loses its text."""
    parts, free = [], 0.0
    for time_s, text in marks:
        at, half = time_s / seconds * STRIP_WIDTH, len(text) * MARK_LETTER / 2
        parts.append(f'<path class="{kind}" d="M{at:.1f} {tick}"/>')
        if at - half >= free - 0.5 or not free:
            parts.append(f'<text class="{kind}" x="{at:.1f}" y="{text_y}">{escape(text)}</text>')
            free = at + half
    return parts


def strip(one: Strip) -> str:
    """Leads over time with their marks, as an HTML figure; a grid line each second."""
    n_leads, n_samples = one.signal.shape
    seconds = n_samples / one.fs_hz
    end = n_leads * LEAD_HEIGHT + 16
    height = end + (34 if one.found else 18)
    parts = []
    for second in nice_ticks(0, seconds, max(5, min(20, int(seconds)))):
        at = second / seconds * STRIP_WIDTH
        parts.append(f'<path class="grid" d="M{at:.1f} 16V{end}"/>')
        anchor = "start" if at < 20 else "end" if at > STRIP_WIDTH - 20 else "middle"
        parts.append(f'<text x="{at:.1f}" y="{height - 4}" text-anchor="{anchor}">{_number(second)} s</text>')
    for lead in range(n_leads):
        trace, span = _lead_path(one, lead, 16 + (lead + 0.5) * LEAD_HEIGHT)
        parts.append(f'<path class="trace" d="{trace}"/>')
        parts.append(f'<text x="4" y="{28 + lead * LEAD_HEIGHT}">{span:.2g} {one.unit} peak to peak</text>')
    parts += _mark_row(one.marks, seconds, "16v6", 12, "annotated" if one.found else "mark")
    parts += _mark_row(one.found, seconds, f"{end - 6}v6", end + 12, "found")
    box = f'viewBox="0 0 {STRIP_WIDTH} {height}" role="img" aria-label="{escape(one.title)}"'
    svg = f"<svg {box}>{''.join(parts)}</svg>"
    legend = ABOVE_AND_BELOW if one.found else ""
    return f'<figure class="strip"><figcaption>{escape(one.title)}</figcaption>{svg}{legend}</figure>'
