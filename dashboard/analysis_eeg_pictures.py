"""An EEG of an analysis as images: trends over the file, and sheets around what was found."""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dashboard.analysis_pictures import thinned
from dashboard.paper import png
from dashboard.words import clock
from inference.analysis_eeg_parts import EegLines, EegSeizure
from inference.analysis_eeg_trace import SPECTRUM_BINS, EegLooked, EegTrace
from inference.analysis_findings import EegFindings
from inference.analysis_wire import Trace
from inference.explanation_eeg_sheet import (
    LEAD_IN_S,
    SHEET_DARK,
    SHEET_LIGHT,
    SHEET_S,
    Heat,
    SheetInk,
    Span,
    sheet_figure,
    stretch_of,
)
from ingest.conditioning import EEG
from ingest.montage import Montage, plan_of

HOURS_FROM_S: Final = 3 * 3_600.0
CDSA_DB: Final = (-5.0, 30.0)
"""dB re 1 µV²/Hz from the darkest to the brightest."""


def drawable(trace: Trace, montage: Montage = Montage.LONGITUDINAL) -> bool:
    """Whether sheets can be drawn of an EEG in a montage."""
    return trace.fs_hz >= EEG.min_fs_hz and bool(plan_of(tuple(trace.channels), montage).names)


def sheet_begin_s(at_s: float, length_s: float, sheet_s: float = SHEET_S) -> float:
    """Begin of a sheet that shows what led to a moment, and stays in the recording: a whole second."""
    return float(np.floor(np.clip(at_s - 0.4 * sheet_s, 0.0, max(0.0, length_s - sheet_s))))


def eeg_sheet(
    trace: Trace,
    eeg: EegFindings,
    begin_s: float,
    length_s: float = SHEET_S,
    *,
    dark: bool = False,
    title: str = "",
    montage: Montage = Montage.LONGITUDINAL,
    uv_mm: float | None = None,
    looked: EegLooked | None = None,
) -> bytes:
    """Some seconds of EEG with what was found and annotated there, as PNG.

    Parameters
    ----------
    trace, eeg
        What is drawn, and what is marked.
    begin_s, length_s : float
        The stretch.
    dark : bool
        On a dark ground.
    title : str
        Above it.
    montage : Montage
        One that :func:`drawable` has said yes to.
    uv_mm : float or None
        Sensitivity; a fitting one where None.
    looked : EegLooked or None
        Shades where the network looked; only in the montage that it sees.
    """
    return png(eeg_figure(trace, eeg, begin_s, length_s, _ink(dark), title, montage, uv_mm, looked))


def eeg_figure(
    trace: Trace,
    eeg: EegFindings,
    begin_s: float,
    length_s: float,
    ink: SheetInk,
    title: str,
    montage: Montage = Montage.LONGITUDINAL,
    uv_mm: float | None = None,
    looked: EegLooked | None = None,
) -> Figure:
    """As :func:`eeg_sheet`, before it is an image."""
    first_s = max(0.0, begin_s - LEAD_IN_S)
    # A little more than is shown: the resampler looks ahead.
    samples = trace.physical(first_s, begin_s + length_s + 0.5)
    channels = tuple(trace.channels)
    piece = stretch_of(samples, trace.fs_hz, channels, first_s, begin_s, begin_s + length_s, montage)
    heat = None
    if looked is not None and montage is Montage.LONGITUDINAL:
        heat = Heat(looked.derivations, looked.start_s, looked.at_s, np.array(looked.cam))
    return sheet_figure(piece, length_s, ink=ink, uv_mm=uv_mm, spans=spans_of(eeg), heat=heat, title=title)


def spans_of(eeg: EegFindings) -> list[Span]:
    """What a sheet marks."""
    spans = [Span("lost", one.begin_s, one.end_s, "not judged") for one in eeg.lost]
    spans += [
        Span("found", one.begin_s, one.end_s, f"seizure found, {one.probability:.0%}") for one in eeg.seizures
    ]
    # The words of an annotation stand in the table: they come from the file.
    spans += [
        Span("annotated", one.begin_s, one.end_s, "seizure annotated in the file")
        for one in eeg.annotated
        if one.seizure
    ]
    return spans


def trends_chart(eeg: EegFindings, trace: EegTrace, duration_s: float, *, dark: bool = False) -> bytes:
    """Probability, aEEG, compressed spectra with their edge, and suppression over the file, as PNG."""
    return png(trends_figure(eeg, trace, duration_s, _ink(dark)))


def trends_figure(eeg: EegFindings, trace: EegTrace, duration_s: float, ink: SheetInk) -> Figure:
    """As :func:`trends_chart`, before it is an image."""
    figure = Figure(figsize=(10.5, 8.2), dpi=100, facecolor=ink.ground, layout="constrained")
    FigureCanvasAgg(figure)
    panes = figure.subplots(5, 1, sharex=True, height_ratios=(1.1, 1.5, 1.3, 1.3, 0.9))
    unit_s, unit = (3_600.0, "hours") if duration_s >= HOURS_FROM_S else (60.0, "minutes")
    lines = eeg.lines or EegLines([], [], {})
    _probability(panes[0], eeg, lines, unit_s, ink)
    _margins(panes[1], lines, unit_s, ink)
    for axes, side, name in ((panes[2], 0, "left"), (panes[3], 1, "right")):
        _spectra(axes, trace, side, unit_s)
        times, edge = thinned(lines.times_s, lines.trends.get(f"edge_hz_{name}", []), peak=False)
        axes.plot(times / unit_s, edge, color="white", linewidth=0.9)
        axes.set(ylabel=f"{name}\nHz", ylim=(0, SPECTRUM_BINS / 2))
    for name, colour in (("left", ink.left), ("right", ink.right)):
        times, share = thinned(lines.times_s, lines.trends.get(f"suppression_{name}", []), peak=True)
        panes[4].plot(times / unit_s, 100 * share, color=colour, linewidth=1.0)
    panes[4].set(ylabel="suppression\n%", ylim=(0, 100))
    panes[4].set_xlabel(f"{unit} from the begin")
    panes[4].set_xlim(0, max(duration_s, 1.0) / unit_s)
    for axes in panes:
        _dress(axes, ink)
        for one in eeg.lost:
            axes.axvspan(one.begin_s / unit_s, one.end_s / unit_s, color="#888888", alpha=0.35, linewidth=0)
    return figure


def _probability(axes: Axes, eeg: EegFindings, lines: EegLines, unit_s: float, ink: SheetInk) -> None:
    times, shown = thinned(lines.times_s, lines.probability, peak=True)
    axes.plot(times / unit_s, shown, color=ink.midline, linewidth=0.9)
    for one in eeg.seizures:
        axes.axvspan(one.begin_s / unit_s, one.end_s / unit_s, color=ink.event, alpha=0.3, linewidth=0)
    told = [
        (one.begin_s / unit_s, (one.end_s - one.begin_s) / unit_s) for one in eeg.annotated if one.seizure
    ]
    if told:
        axes.broken_barh(told, (1.02, 0.12), facecolor=ink.annotated)
    if eeg.threshold is not None:
        axes.axhline(eeg.threshold, color=ink.text, linewidth=0.8, linestyle=":")
    axes.set(ylabel="seizure\nprobability", ylim=(0, 1.16), yticks=(0, 0.5, 1))


def _margins(axes: Axes, lines: EegLines, unit_s: float, ink: SheetInk) -> None:
    for name, colour in (("left", ink.left), ("right", ink.right)):
        times, low = thinned(lines.times_s, lines.trends.get(f"aeeg_low_uv_{name}", []), peak=False)
        _, high = thinned(lines.times_s, lines.trends.get(f"aeeg_high_uv_{name}", []), peak=False)
        axes.fill_between(times / unit_s, low, high, color=colour, alpha=0.45, linewidth=0, label=name)
    # As monitors show it: linear up to 10 µV, logarithmic above.
    axes.set_yscale("symlog", linthresh=10.0, linscale=1.0)
    axes.set(ylabel="aEEG\nµV", ylim=(0, 100))
    axes.set_yticks((0, 5, 10, 25, 50, 100), ("0", "5", "10", "25", "50", "100"))
    axes.minorticks_off()
    legend = axes.legend(loc="upper right", ncols=2, fontsize=8, facecolor=ink.ground, edgecolor=ink.grid)
    for text in legend.get_texts():
        text.set_color(ink.text)


def _spectra(axes: Axes, trace: EegTrace, side: int, unit_s: float) -> None:
    levels = trace.spectra()[:, side].T
    axes.set_facecolor("#777777")
    if levels.shape[1] == 0:
        return
    extent = (
        trace.begin_s / unit_s,
        (trace.begin_s + levels.shape[1] * trace.column_s) / unit_s,
        0.25,
        SPECTRUM_BINS / 2 + 0.25,
    )
    low, high = CDSA_DB
    axes.imshow(
        np.ma.masked_invalid(levels), origin="lower", aspect="auto", extent=extent, cmap="turbo", vmin=low,
        vmax=high, interpolation="nearest",
    )  # fmt: skip


def _dress(axes: Axes, ink: SheetInk) -> None:
    if not axes.images:
        axes.set_facecolor(ink.ground)
        axes.grid(color=ink.grid, linewidth=0.6)
    axes.tick_params(colors=ink.text, labelsize=8)
    axes.xaxis.label.set_color(ink.text)
    axes.yaxis.label.set_color(ink.text)
    for spine in axes.spines.values():
        spine.set_color(ink.grid)


def sheets_of(eeg: EegFindings, trace: EegTrace, duration_s: float) -> list[tuple[float, EegLooked | None]]:
    """Begins of the sheets of a report, with where the network looked; the first of all where nothing was."""
    found = [(sheet_begin_s(one.begin_s, duration_s), looked_in(trace, one)) for one in eeg.seizures]
    return found or [(0.0, None)]


def looked_in(trace: EegTrace, seizure: EegSeizure) -> EegLooked | None:
    """The explanation of the second that raised a seizure, where there is one."""
    inside = (one for one in trace.looked if seizure.begin_s - 1.0 <= one.at_s < seizure.raised_s)
    return next(inside, None)


def sheet_title(begin_s: float, length_s: float) -> str:
    """What a sheet shows."""
    return f"{clock(begin_s)} to {clock(begin_s + length_s)}"


def _ink(dark: bool) -> SheetInk:
    return SHEET_DARK if dark else SHEET_LIGHT
