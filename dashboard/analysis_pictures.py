"""What pages and reports show of an analysis: strips, trends and sounds as images; no Streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from dashboard.paper import PaperMark, paper_strip, png
from inference.analysis_findings import AlarmFinding, Beats, EcgFindings
from inference.analysis_wire import Picture, Trace

STRIP_S: Final = 10.0
BEFORE_S: Final = 3.0
MAX_LEADS: Final = 3
POINTS: Final = 1_500
RHYTHMS: Final = {
    "vf": "#d62728",
    "vt": "#e07b00",
    "asystole": "#7a3ff2",
    "af": "#0091c2",
    "noise": "#808890",
}
"""Classes that are drawn; ``other`` is what is left."""

GROUND: Final = {False: ("#fffdfb", "#3a424a", "#dde2e7"), True: ("#0e1216", "#c3ccd4", "#2a343d")}
"""Colours of ground, words and lines, on paper (False) and on a dark page (True)."""

Line = npt.NDArray[np.float64]


def strip_begin_s(at_s: float, length_s: float) -> float:
    """Begin of a strip that shows a moment and stays in the recording: a whole second, as its axis says."""
    return float(np.floor(np.clip(at_s - BEFORE_S, 0.0, max(0.0, length_s - STRIP_S))))


def strip(
    trace: Trace,
    begin_s: float,
    beats: Beats,
    alarms: Sequence[AlarmFinding] = (),
    *,
    dark: bool = False,
    title: str = "",
    leads: Sequence[str] = (),
    weight: Line | None = None,
) -> bytes:
    """Ten seconds of the ECG on paper, with its beats and what began there."""
    names = [name for name in trace.channels if name in leads] or trace.channels[:MAX_LEADS]
    columns = [trace.channels.index(name) for name in names]
    end_s = begin_s + STRIP_S
    samples = trace.physical(begin_s, end_s)[:, columns]
    marks = [
        PaperMark(time_s - begin_s, label)
        for time_s, label in zip(beats.times_s, beats.labels, strict=True)
        if begin_s <= time_s < end_s
    ]
    marks += [
        PaperMark(alarm.onset_s - begin_s, alarm.message, True)
        for alarm in alarms
        if begin_s <= alarm.onset_s < end_s
    ]
    return paper_strip(
        samples, trace.fs_hz, names, marks, dark=dark, title=title, begin_s=begin_s, weight=weight
    )


def thinned(times_s: Sequence[float], values: Sequence[float | None], *, peak: bool) -> tuple[Line, Line]:
    """At most :data:`POINTS` points: the peak of each stretch, or its mean; NaN where there is none."""
    times, line = np.array(times_s, dtype=np.float64), np.array(values, dtype=np.float64)
    if len(times) <= POINTS:
        return times, line
    edges = np.unique(np.linspace(0, len(times), POINTS + 1).astype(int)[:-1])
    there = np.isfinite(line)
    if peak:
        joined = np.fmax.reduceat(line, edges)
    else:
        count = np.add.reduceat(there.astype(float), edges)
        total = np.add.reduceat(np.where(there, line, 0.0), edges)
        joined = np.divide(total, count, out=np.full(len(edges), np.nan), where=count > 0)
    return times[edges], joined


def probabilities(ecg: EcgFindings) -> dict[str, tuple[Line, Line]]:
    """Each rhythm's probability over time, thinned."""
    windows = ecg.windows
    return {
        name: thinned(windows.ends_s, windows.probabilities[name], peak=True)
        for name in RHYTHMS
        if name in windows.probabilities
    }


def trend_chart(ecg: EcgFindings, duration_s: float, *, dark: bool = False) -> bytes:
    """Heart rate above, probabilities of rhythms below, as PNG."""
    ground, ink, grid = GROUND[dark]
    figure = Figure(figsize=(10.5, 4.6), dpi=100, facecolor=ground, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    times, rate = thinned(ecg.rates.times_s, ecg.rates.heart_rate_bpm, peak=False)
    above.plot(times / 60, rate, color="#18a058" if not dark else "#5dff8f", linewidth=1.2)
    above.set_ylabel("heart rate (bpm)")
    for name, (at_s, shown) in probabilities(ecg).items():
        below.plot(at_s / 60, shown, color=RHYTHMS[name], linewidth=1.1, label=name)
    below.set_ylabel("probability")
    below.set_xlabel("minutes from the begin")
    below.set_ylim(0, 1)
    below.set_xlim(0, max(duration_s / 60, 1 / 60))
    for axes in (above, below):
        axes.set_facecolor(ground)
        axes.grid(color=grid, linewidth=0.6)
        axes.tick_params(colors=ink)
        axes.xaxis.label.set_color(ink)
        axes.yaxis.label.set_color(ink)
        for spine in axes.spines.values():
            spine.set_color(grid)
        for stretch in ecg.unusable:
            axes.axvspan(stretch.begin_s / 60, stretch.end_s / 60, color="#888888", alpha=0.35, linewidth=0)
    below.legend(loc="upper right", ncols=5, fontsize=8, facecolor=ground, edgecolor=grid, labelcolor=ink)
    return png(figure)


def sound_chart(picture: Picture, *, dark: bool = False) -> bytes:
    """Waveform above, log spectrogram below, as PNG."""
    ground, ink, grid = GROUND[dark]
    figure = Figure(figsize=(10.5, 4.6), dpi=100, facecolor=ground, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
    at_s = np.linspace(0, picture.duration_s, len(picture.low))
    above.fill_between(at_s, picture.low, picture.high, color="#0091c2", linewidth=0.4)
    above.set_ylabel("level")
    spectrum = np.frombuffer(picture.spectrum, dtype=np.uint8).reshape(picture.rows, -1)
    extent = (0.0, picture.duration_s, 0.0, picture.top_hz)
    below.imshow(spectrum, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=0, vmax=255)
    below.set_ylabel("frequency (Hz)")
    below.set_xlabel("seconds from the begin")
    for axes in (above, below):
        axes.set_facecolor(ground)
        axes.tick_params(colors=ink)
        axes.xaxis.label.set_color(ink)
        axes.yaxis.label.set_color(ink)
        for spine in axes.spines.values():
            spine.set_color(grid)
    return png(figure)
