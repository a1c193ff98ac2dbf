"""ECG paper: a piece of line on the calibrated grid, as an image that does not move.

Drawn with Matplotlib's own canvas, without pyplot: nothing is shared between sessions and threads.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font

SPEED_MM_S: Final = 25.0
GAIN_MM_MV: Final = 10.0
PX_PER_MM: Final = 4.0
MAX_S: Final = 60.0
"""The longest piece that is drawn: 1.5 m of paper."""

_LEFT_MM: Final = 14.0
_RIGHT_MM: Final = 4.0
_HEAD_MM: Final = 9.0
_FOOT_MM: Final = 7.0
_LEAST_MM, _MOST_MM = 20.0, 50.0
MM_PER_INCH: Final = 25.4
_NAME_CHARACTERS: Final = 24
_TEXT_CHARACTERS: Final = 110

Samples = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class PaperMark:
    """Something at a time of the strip.

    Attributes
    ----------
    at_s : float
        Seconds from the strip's begin.
    text : str
        A beat's class, or what happened.
    is_event : bool
        Events get a line over all leads, beats a letter above the first.
    """

    at_s: float
    text: str
    is_event: bool = False


@dataclass(frozen=True, slots=True)
class Ink:
    """Colours of a sheet."""

    paper: str
    fine: str
    bold: str
    trace: str
    text: str
    ectopic: str
    event: str
    heat: str


LIGHT: Final = Ink("#fffdfb", "#f6dcd8", "#e6aaa3", "#14181c", "#3a424a", "#b3261e", "#b3261e", "#f2a33c")
DARK: Final = Ink("#0e1216", "#1d252c", "#36434e", "#5dff8f", "#c3ccd4", "#ffb340", "#ff7d7d", "#b06a00")


def paper_strip(
    samples_mv: Samples,
    fs_hz: float,
    names: Sequence[str],
    marks: Sequence[PaperMark] = (),
    *,
    dark: bool = False,
    title: str = "",
    begin_s: float = 0.0,
    weight: Samples | None = None,
    px_per_mm: float = PX_PER_MM,
) -> bytes:
    """Draw leads one above the other at 25 mm/s and 10 mm/mV, each about its own median.

    Parameters
    ----------
    samples_mv : ndarray, shape (n_samples, n_leads)
        Physical values in mV; NaN where missing. At most :data:`MAX_S` seconds are drawn.
    fs_hz : float
        Their rate.
    names : sequence of str
        Of the leads; drawn as they are, never as markup.
    marks : sequence of PaperMark
        Beats and events.
    dark : bool
        Colours of a dark page.
    title : str
        Above the strip.
    begin_s : float
        What the time axis calls the strip's begin (s).
    weight : ndarray or None, shape (n_samples,)
        0 to 1, shaded behind the line: where a network looked.
    px_per_mm : float
        Resolution; the image's dpi says it, so that a printer keeps the scale.

    Returns
    -------
    bytes
        A PNG image.
    """
    length_s = min(len(samples_mv) / fs_hz, MAX_S)
    samples_mv = samples_mv[: round(length_s * fs_hz)]
    ink = DARK if dark else LIGHT
    centred = samples_mv - _medians(samples_mv)
    heights = [_height_mm(centred[:, at]) for at in range(centred.shape[1])]
    width_mm = _LEFT_MM + max(length_s, 1.0) * SPEED_MM_S + _RIGHT_MM
    height_mm = _HEAD_MM + sum(heights) + _FOOT_MM
    figure, axes = sheet(width_mm, height_mm, px_per_mm, ink)
    top_mm = height_mm - _HEAD_MM
    area = (_LEFT_MM, width_mm - _RIGHT_MM, _FOOT_MM, top_mm)
    draw_grid(axes, area, ink)
    if weight is not None:
        draw_heat(axes, weight[: len(samples_mv)], fs_hz, area, ink)
    x_mm = _LEFT_MM + np.arange(len(samples_mv)) / fs_hz * SPEED_MM_S
    upper_mm = top_mm
    for at, height in enumerate(heights):
        middle_mm = upper_mm - height / 2
        y_mm = np.clip(centred[:, at] * GAIN_MM_MV, -height / 2, height / 2) + middle_mm
        axes.plot(x_mm, y_mm, color=ink.trace, linewidth=1.0, solid_joinstyle="round")
        draw_calibration(axes, middle_mm, ink)
        name = drawable(names[at], _NAME_CHARACTERS)
        write(axes, _LEFT_MM + 1.5, upper_mm - 3.2, name, ink.text, weight="bold")
        upper_mm -= height
    _marks(axes, marks, length_s, area, ink)
    _words(axes, title, begin_s, length_s, (width_mm, height_mm), ink)
    return png(figure)


def png(figure: Figure) -> bytes:
    """Draw a figure on its own ground, at its own resolution."""
    out = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(out, format="png", dpi="figure", facecolor=figure.get_facecolor())
    return out.getvalue()


@lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    """Characters of Matplotlib's font: of every other one it would warn, and draw a box."""
    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())


def drawable(text: str, most: int) -> str:
    """What the font can draw, not endless."""
    kept = "".join(char if char.isprintable() and ord(char) in _glyphs() else "?" for char in text)
    return kept if len(kept) <= most else kept[: most - 1] + "…"


def _medians(samples_mv: Samples) -> npt.NDArray[np.float64]:
    finite = [column[np.isfinite(column)] for column in samples_mv.T]
    return np.array([np.median(column) if len(column) else 0.0 for column in finite])


def _height_mm(centred_mv: Samples) -> float:
    """Room of a lead: what nearly all of its samples need, in whole large squares."""
    finite = np.abs(centred_mv[np.isfinite(centred_mv)])
    reach_mv = float(np.quantile(finite, 0.999)) if len(finite) else 0.0
    needed_mm = 2 * reach_mv * GAIN_MM_MV + 6
    return float(np.clip(np.ceil(needed_mm / 10) * 10, _LEAST_MM, _MOST_MM))


def sheet(width_mm: float, height_mm: float, px_per_mm: float, ink: Ink) -> tuple[Figure, Axes]:
    """Make a figure whose axes count millimetres from its lower left corner."""
    size = (width_mm / MM_PER_INCH, height_mm / MM_PER_INCH)
    figure = Figure(figsize=size, dpi=px_per_mm * MM_PER_INCH, facecolor=ink.paper)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0, width_mm)
    axes.set_ylim(0, height_mm)
    axes.set_axis_off()
    return figure, axes


def draw_grid(axes: Axes, area: tuple[float, float, float, float], ink: Ink) -> None:
    """Draw squares of 1 and 5 mm into an area (left, right, bottom, top; mm)."""
    left, right, bottom, top = area
    for step, colour, width in ((1.0, ink.fine, 0.4), (5.0, ink.bold, 0.6)):
        columns = np.arange(left, right + 1e-6, step)
        # Rows are counted from the top, where the first lead begins.
        rows = np.arange(top, bottom - 1e-6, -step)
        lines = [[(x, bottom), (x, top)] for x in columns] + [[(left, y), (right, y)] for y in rows]
        axes.add_collection(LineCollection(lines, colors=colour, linewidths=width, zorder=0))


def draw_heat(
    axes: Axes, weight: Samples, fs_hz: float, area: tuple[float, float, float, float], ink: Ink
) -> None:
    """Shade an area from its left end on by weights of 0 to 1."""
    left, _, bottom, top = area
    right = left + len(weight) / fs_hz * SPEED_MM_S
    shade = np.clip(np.nan_to_num(weight), 0.0, 1.0)[None, :]
    rgb = [int(ink.heat[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    image = np.empty((1, shade.shape[1], 4))
    image[..., :3], image[..., 3] = rgb, shade * 0.6
    axes.imshow(image, extent=(left, right, bottom, top), aspect="auto", interpolation="bilinear", zorder=0.5)


def draw_calibration(axes: Axes, middle_mm: float, ink: Ink, left_mm: float = 0.0) -> None:
    """1 mV over 0.2 s, left of the line; ``left_mm`` is where the strip begins on its sheet."""
    x = left_mm + np.array([3.0, 4.5, 4.5, 9.5, 9.5, 11.0])
    y = middle_mm - GAIN_MM_MV / 2 + np.array([0, 0, 1, 1, 0, 0]) * GAIN_MM_MV
    axes.plot(x, y, color=ink.text, linewidth=0.9, solid_joinstyle="miter")


def _marks(
    axes: Axes,
    marks: Sequence[PaperMark],
    length_s: float,
    area: tuple[float, float, float, float],
    ink: Ink,
) -> None:
    left, _, bottom, top = area
    for mark in marks:
        if not 0 <= mark.at_s <= length_s:
            continue
        x_mm = left + mark.at_s * SPEED_MM_S
        if mark.is_event:
            axes.plot([x_mm, x_mm], [bottom, top], color=ink.event, linewidth=1.2, linestyle=(0, (4, 2)))
            # Beside the line, on the side where there is room.
            ha, dx = ("left", 1.0) if mark.at_s < length_s * 0.6 else ("right", -1.0)
            write(axes, x_mm + dx, bottom + 1.2, drawable(mark.text, 60), ink.event, ha=ha, weight="bold")
        else:
            colour = ink.text if mark.text == "N" else ink.ectopic
            write(axes, x_mm, top + 0.8, drawable(mark.text, 3), colour, ha="center")


def _words(
    axes: Axes, title: str, begin_s: float, length_s: float, size_mm: tuple[float, float], ink: Ink
) -> None:
    width_mm, height_mm = size_mm
    write(
        axes, _LEFT_MM, height_mm - 4.2, drawable(title, _TEXT_CHARACTERS), ink.text, size=8.5, weight="bold"
    )
    scale = f"{SPEED_MM_S:g} mm/s  {GAIN_MM_MV:g} mm/mV"
    write(axes, width_mm - _RIGHT_MM, 1.4, scale, ink.text, ha="right")
    every_s = 1 if length_s <= 12 else 5
    for second in range(0, int(length_s) + 1, every_s):
        # The scale stands at the right end.
        if second * SPEED_MM_S < length_s * SPEED_MM_S - 45:
            write(axes, _LEFT_MM + second * SPEED_MM_S, 2.4, _clock(begin_s + second), ink.text)


def _clock(seconds: float) -> str:
    hours, rest = divmod(max(seconds, 0.0), 3600)
    minutes, rest = divmod(rest, 60)
    head = f"{int(hours)}:{int(minutes):02d}" if hours else f"{int(minutes)}"
    return f"{head}:{int(rest):02d}"


def write(
    axes: Axes,
    x_mm: float,
    y_mm: float,
    text: str,
    colour: str,
    *,
    ha: str = "left",
    size: float = 7.5,
    weight: str = "normal",
) -> None:
    """Write text as it is: names come from files, and Matplotlib would set ``$...$`` as mathematics."""
    axes.text(x_mm, y_mm, text, color=colour, fontsize=size, ha=ha, fontweight=weight, parse_math=False)
