"""A sheet of EEG as readers know it: a montage in µV a millimetre, what was found, where a network looked.

Drawn for pages, reports and ``wardwave explain`` alike; nothing that stands in a file is written on it but
electrodes' canonical names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from ingest.conditioning import EEG, condition, delay_s
from ingest.electrodes import Side
from ingest.montage import Montage, Plan, plan_of
from ingest.types import FloatArray, WideFloatArray

SHEET_S: Final = 20.0
LEAD_IN_S: Final = 10.0
"""Of the recording before a sheet, for the filters to settle."""

SENSITIVITIES_UV_MM: Final = (2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 70.0, 100.0)
USUAL_UV_MM: Final = 7.0
FITS_MM: Final = 9.0
"""Size of the largest usual waves (peak to baseline) from which the sensitivity is lowered."""

LEAST_SHOWN: Final = 0.05
_WIDTH_MM: Final = 267.0
_LEFT_MM, _RIGHT_MM, _TOP_MM, _FOOT_MM = 20.0, 4.0, 9.0, 8.0
_PITCH_MM, _GAP_MM = 8.5, 4.0
_LANE_MM: Final = 4.5
_SCALE_MM: Final = 10.0
_MM: Final = 25.4


@dataclass(frozen=True, slots=True)
class SheetInk:
    """Colours of a sheet."""

    ground: str
    text: str
    grid: str
    left: str
    right: str
    midline: str
    heat: str
    event: str
    annotated: str


SHEET_LIGHT: Final = SheetInk(
    "#fffdfb", "#3a424a", "#e3e6ea", "#1f5fa8", "#a8321f", "#14181c", "#f2a33c", "#b3261e", "#5b3fa0"
)
SHEET_DARK: Final = SheetInk(
    "#0e1216", "#c3ccd4", "#2a343d", "#7fb8ff", "#ff9a8f", "#e8edf2", "#b06a00", "#ff7d7d", "#b9a2ff"
)


@dataclass(frozen=True, slots=True)
class EegStretch:
    """Derivations of a piece of a recording, conditioned as the network sees them.

    Attributes
    ----------
    plan : Plan
        Of C derivations.
    begin_s : float
        When the first sample was.
    values : ndarray of float32, shape (n, C)
        µV at the conditioning's rate; NaN where missing.
    """

    plan: Plan
    begin_s: float
    values: FloatArray


@dataclass(frozen=True, slots=True)
class Span:
    """Something over a stretch of time: "found", "annotated" or "lost"; ``text`` is written in it."""

    what: str
    begin_s: float
    end_s: float
    text: str


@dataclass(frozen=True, slots=True)
class Heat:
    """Where a network looked: activation 0 to 1 by derivation and second, and the explained second."""

    derivations: Sequence[str]
    start_s: float
    at_s: float
    cam: FloatArray | WideFloatArray


def stretch_of(
    samples: FloatArray | WideFloatArray,
    fs_hz: float,
    channels: tuple[str, ...],
    first_s: float,
    begin_s: float,
    end_s: float,
    montage: Montage = Montage.LONGITUDINAL,
) -> EegStretch:
    """Derive and condition a piece.

    Parameters
    ----------
    samples : ndarray, shape (n_samples, n_channels)
        In µV, NaN where missing, from ``first_s`` on: better :data:`LEAD_IN_S` before ``begin_s``.
    fs_hz : float
        Sampling rate, the conditioning's lowest or more.
    channels : tuple of str
        Labels.
    first_s, begin_s, end_s : float
        Begin of the samples, and the stretch that is wanted.
    montage : Montage
        How it is looked at.
    """
    plan = plan_of(channels, montage)
    derived = plan(samples)
    held = condition(derived, fs_hz, EEG)
    times_s = first_s - delay_s(fs_hz, EEG) + np.arange(len(held)) / EEG.rate_hz
    nearest = np.clip(np.rint((times_s - first_s) * fs_hz).astype(np.int64), 0, max(0, len(derived) - 1))
    shown = np.where(np.isnan(derived[nearest]), np.float32(np.nan), held)
    inside = (times_s >= begin_s - 1e-6) & (times_s < end_s)
    start = float(times_s[inside][0]) if inside.any() else begin_s
    return EegStretch(plan, start, shown[inside].astype(np.float32))


def fitting_uv_mm(stretch: EegStretch) -> float:
    """The usual sensitivity, or the next at which waves stay within their rows."""
    sizes = np.abs(stretch.values[np.isfinite(stretch.values)])
    if not len(sizes):
        return USUAL_UV_MM
    needed = float(np.quantile(sizes, 0.98)) / FITS_MM
    fitting = (one for one in SENSITIVITIES_UV_MM if one >= max(needed, USUAL_UV_MM))
    return next(fitting, SENSITIVITIES_UV_MM[-1])


def sheet_figure(
    stretch: EegStretch,
    length_s: float,
    *,
    ink: SheetInk = SHEET_LIGHT,
    uv_mm: float | None = None,
    spans: Sequence[Span] = (),
    heat: Heat | None = None,
    title: str = "",
) -> Figure:
    """Draw a stretch; seconds are those of the recording.

    Parameters
    ----------
    stretch : EegStretch
        At least one derivation.
    length_s : float
        Seconds that the sheet shows.
    ink : SheetInk
        Colours.
    uv_mm : float or None
        µV a millimetre of the figure; a fitting one where ``None``.
    spans : sequence of Span
        What was found, annotated, or not judged.
    heat : Heat or None
        Of derivations of the same names.
    title : str
        Above it.
    """
    scale = fitting_uv_mm(stretch) if uv_mm is None else uv_mm
    rows_mm = _rows_mm(stretch.plan)
    body_mm = rows_mm[-1] + 2 * _PITCH_MM + 2 * _LANE_MM
    height_mm = body_mm + _TOP_MM + _FOOT_MM
    figure = Figure(figsize=(_WIDTH_MM / _MM, height_mm / _MM), dpi=100, facecolor=ink.ground)
    FigureCanvasAgg(figure)
    width = 1 - (_LEFT_MM + _RIGHT_MM) / _WIDTH_MM
    axes = figure.add_axes((_LEFT_MM / _WIDTH_MM, _FOOT_MM / height_mm, width, body_mm / height_mm))
    axes.set(xlim=(stretch.begin_s, stretch.begin_s + length_s), ylim=(body_mm, 0), facecolor=ink.ground)
    places_mm = [2 * _LANE_MM + _PITCH_MM / 2 + at_mm for at_mm in rows_mm]
    _spans(axes, spans, body_mm, ink)
    if heat is not None:
        _heat(axes, heat, stretch.plan, places_mm, ink)
    _traces(axes, stretch, places_mm, scale, ink)
    _calibration(axes, scale, length_s, stretch.begin_s, body_mm, ink)
    _frame(axes, stretch.plan, places_mm, length_s, ink)
    said = f"{title}   " if title else ""
    figure.text(
        _LEFT_MM / _WIDTH_MM,
        1 - 5.5 / height_mm,
        f"{said}{scale:g} µV/mm, {EEG.low_hz:g} to {EEG.high_hz:g} Hz",
        color=ink.text,
        fontsize=9,
        parse_math=False,
    )
    return figure


def _rows_mm(plan: Plan) -> list[float]:
    """Middle of each row; a wider gap where a chain ends."""
    at_mm, found = 0.0, []
    for row, region in enumerate(plan.regions):
        if row and region != plan.regions[row - 1]:
            at_mm += _GAP_MM
        found.append(at_mm)
        at_mm += _PITCH_MM
    return found


def _traces(axes: Axes, stretch: EegStretch, places_mm: Sequence[float], scale: float, ink: SheetInk) -> None:
    times_s = stretch.begin_s + np.arange(len(stretch.values)) / EEG.rate_hz
    colours = {Side.LEFT: ink.left, Side.RIGHT: ink.right, Side.MIDLINE: ink.midline}
    for row, (side, at_mm) in enumerate(zip(stretch.plan.sides, places_mm, strict=True)):
        # Negative is up, as readers of EEG have it; the axis counts downwards.
        line = np.clip(stretch.values[:, row] / scale, -2 * _PITCH_MM, 2 * _PITCH_MM)
        axes.plot(times_s, at_mm + line, color=colours[side], linewidth=0.7)


def _spans(axes: Axes, spans: Sequence[Span], body_mm: float, ink: SheetInk) -> None:
    left_s, right_s = axes.get_xlim()
    for one in spans:
        begin_s, end_s = max(left_s, one.begin_s), min(right_s, one.end_s)
        if end_s <= begin_s:
            continue
        if one.what == "lost":
            axes.axvspan(begin_s, end_s, facecolor="#888888", alpha=0.22, hatch="//", linewidth=0)
            at_mm, colour = body_mm - 2.0, ink.text
        else:
            lane, colour = (0, ink.event) if one.what == "found" else (1, ink.annotated)
            at_mm = (lane + 0.5) * _LANE_MM
            bar = [(begin_s, end_s - begin_s)]
            axes.broken_barh(bar, (lane * _LANE_MM + 0.3, _LANE_MM - 0.6), facecolor=colour, alpha=0.3)
            for edge_s in (one.begin_s, one.end_s):
                if left_s < edge_s < right_s:
                    axes.axvline(edge_s, color=colour, linewidth=1.1, linestyle=(0, (4, 2)))
        axes.text(
            begin_s + 0.1, at_mm, one.text, color=colour, fontsize=8, va="center", clip_on=True,
            parse_math=False,
        )  # fmt: skip


def _heat(axes: Axes, heat: Heat, plan: Plan, places_mm: Sequence[float], ink: SheetInk) -> None:
    rows = {name: row for row, name in enumerate(heat.derivations)}
    colour = to_rgb(ink.heat)
    for name, at_mm in zip(plan.names, places_mm, strict=True):
        if name not in rows:
            continue
        weights = np.asarray(heat.cam, dtype=np.float64)[rows[name]]
        shown = np.flatnonzero(weights >= LEAST_SHOWN)
        axes.broken_barh(
            [(heat.start_s + second, 1.0) for second in shown.tolist()],
            (at_mm - _PITCH_MM / 2, _PITCH_MM),
            facecolor=[(*colour, 0.75 * weight) for weight in weights[shown].tolist()],
            linewidth=0,
        )
    for edge_s in (heat.at_s, heat.at_s + 1.0):
        axes.axvline(edge_s, color=ink.heat, linewidth=1.2, linestyle=":")


def _calibration(
    axes: Axes, scale: float, length_s: float, begin_s: float, body_mm: float, ink: SheetInk
) -> None:
    """A bar of so many millimetres at the right lower end."""
    at_s = begin_s + 0.992 * length_s
    axes.plot([at_s, at_s], [body_mm - 2 - _SCALE_MM, body_mm - 2], color=ink.text, linewidth=2.0)
    axes.text(
        at_s - 0.006 * length_s, body_mm - 2 - _SCALE_MM / 2, f"{scale * _SCALE_MM:g} µV", color=ink.text,
        fontsize=8, ha="right", va="center",
        bbox={"facecolor": ink.ground, "edgecolor": "none", "pad": 1.0, "alpha": 0.8},
    )  # fmt: skip


def _frame(axes: Axes, plan: Plan, places_mm: Sequence[float], length_s: float, ink: SheetInk) -> None:
    axes.set_yticks(list(places_mm), list(plan.names), fontsize=8)
    left_s, right_s = axes.get_xlim()
    every_s = 1 if length_s <= 30 else 5
    ticks = np.arange(np.ceil(left_s), right_s + 1e-6, every_s)
    axes.set_xticks(ticks, [_clock(at_s) if at_s % (2 * every_s) == 0 else "" for at_s in ticks.tolist()])
    axes.grid(axis="x", color=ink.grid, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=ink.text, labelsize=8, length=2)
    for spine in axes.spines.values():
        spine.set_color(ink.grid)


def _clock(at_s: float) -> str:
    whole = round(at_s)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
