"""A stretch of a recorded sound with what a network marked in it, and where it looked, as one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dashboard.analysis_pictures import GROUND, Line
from dashboard.paper import png
from dashboard.words import clock
from inference.analysis_findings import SoundCycle, SoundFindings, SoundMark
from inference.analysis_sound_trace import SoundTrace
from inference.explanation_sound import SoundExplained
from ingest.types import BoolArray

SHEET_S: Final = 15.0
RANGE_NEPERS: Final = 9.0
"""Of the spectrogram below its loudest place: some 40 dB of power."""

ROWS: Final = 160
WAVE: Final = "#0091c2"


@dataclass(frozen=True, slots=True)
class Look:
    """How a label is drawn: colour (Okabe and Ito 2008, told apart by the colour-blind), line, hatch."""

    colour: str
    line: str
    hatch: str


LOOKS: Final = {
    "crackle": Look("#e69f00", "--", "..."),
    "wheeze": Look("#56b4e9", "-", "//"),
    "both": Look("#d55e00", "-", "xx"),
    "murmur": Look("#cc79a7", "-", "\\\\"),
    "S1": Look("#009e73", "-", ""),
    "S2": Look("#f0e442", "--", ""),
}
HEARTBEAT: Final = ("S1", "S2")
PLAIN: Final = Look("#9aa4ad", ":", "")
LANES: Final = {
    "lung_sound": (("crackle",), ("wheeze",)),
    "heart_sound": (HEARTBEAT, ("murmur",)),
}


def sound_sheet(
    trace: SoundTrace,
    sound: SoundFindings,
    begin_s: float,
    length_s: float = SHEET_S,
    *,
    dark: bool = False,
    title: str = "",
    explained: SoundExplained | None = None,
) -> bytes:
    """Waveform, what was heard, spectrogram of a stretch, as PNG.

    Parameters
    ----------
    trace : SoundTrace
        What is drawn.
    sound : SoundFindings
        What is marked.
    begin_s, length_s : float
        The stretch.
    dark : bool
        On a dark ground.
    title : str
        Above it.
    explained : SoundExplained or None
        Darkens what the network did not look at within its window.
    """
    ground, ink, grid = GROUND[dark]
    figure = Figure(figsize=(10.5, 5.2), dpi=100, facecolor=ground, layout="constrained")
    lanes = LANES[trace.signal] if sound.model else ()
    marks = [one for one in sound.marks if one.end_s > begin_s and one.begin_s < begin_s + length_s]
    rows = len(lanes) + (trace.signal == "lung_sound" and bool(sound.cycles))
    if rows:
        wave, told, spectrum = figure.subplots(3, 1, sharex=True, height_ratios=(2, 0.75 * rows, 5))
        told.set_xlim(begin_s, begin_s + length_s)
        _lanes(told, lanes, sound, marks)
    else:
        wave, spectrum = figure.subplots(2, 1, sharex=True, height_ratios=(2, 5))
    _wave(wave, trace, sound, begin_s, length_s)
    _spectrum(spectrum, trace, sound, begin_s, length_s)
    for axes in (wave, spectrum):
        _edges(axes, marks)
        _lost(axes, sound)
    if explained is not None:
        _looked(spectrum, explained)
    spectrum.set_xlim(begin_s, begin_s + length_s)
    spectrum.xaxis.set_major_formatter(lambda at_s, _: clock(max(0.0, at_s))[2:])
    spectrum.set_xlabel("minutes and seconds from the begin")
    if title:
        figure.suptitle(title, color=ink, fontsize=11)
    for axes in figure.axes:
        axes.set_facecolor(ground)
        axes.tick_params(colors=ink)
        axes.xaxis.label.set_color(ink)
        axes.yaxis.label.set_color(ink)
        for spine in axes.spines.values():
            spine.set_color(grid)
    return png(figure)


def _wave(axes: Axes, trace: SoundTrace, sound: SoundFindings, begin_s: float, length_s: float) -> None:
    low, high = trace.envelope()
    at_s = np.arange(len(low), dtype=np.float64) * (trace.duration_s / max(1, len(low)))
    inside = (at_s >= begin_s - 0.1) & (at_s <= begin_s + length_s + 0.1)
    counts = inside & _judged(at_s, sound)
    counts = counts if counts.any() else inside
    # Half a pixel at least: a quiet stretch is a line, not nothing.
    most = max(1e-3, float(np.abs([low[counts], high[counts]]).max(initial=0.0)))
    axes.fill_between(
        at_s[inside],
        low[inside] - most / 200,
        high[inside] + most / 200,
        color=WAVE,
        linewidth=0,
        step="post",
    )
    axes.set_ylim(-1.1 * most, 1.1 * most)
    axes.set_ylabel("level")


def _judged(at_s: Line, sound: SoundFindings) -> BoolArray:
    """Which moments set the scale: what was not judged is often far louder than all the rest."""
    kept = np.ones(len(at_s), dtype=np.bool_)
    for one in sound.lost:
        kept &= (at_s < one.begin_s) | (at_s >= one.end_s)
    return kept


def _spectrum(axes: Axes, trace: SoundTrace, sound: SoundFindings, begin_s: float, length_s: float) -> None:
    """Frames on an axis in Hz: each row of the image shows the band that it lies in."""
    first = max(0, int((begin_s - trace.centre_s) / trace.frame_s))
    last = int((begin_s + length_s - trace.centre_s) / trace.frame_s) + 2
    frames = trace.mel()[:, first:last]
    edges_hz = trace.edges_hz
    row_hz = np.linspace(edges_hz[0], edges_hz[-1], ROWS, endpoint=False) + (edges_hz[-1] - edges_hz[0]) / (
        2 * ROWS
    )
    shown = frames[np.clip(np.searchsorted(edges_hz, row_hz) - 1, 0, len(frames) - 1)]
    columns = np.arange(first, first + shown.shape[1], dtype=np.float64)
    counts = _judged(trace.centre_s + columns * trace.frame_s, sound)
    top = float((shown[:, counts] if counts.any() else shown).max(initial=-20.0))
    left = trace.centre_s + (first - 0.5) * trace.frame_s
    extent = (left, left + shown.shape[1] * trace.frame_s, edges_hz[0], edges_hz[-1])
    axes.imshow(
        shown,
        origin="lower",
        aspect="auto",
        extent=extent,
        cmap="viridis",
        vmin=top - RANGE_NEPERS,
        vmax=top,
        interpolation="nearest",
    )
    axes.set_ylim(0, edges_hz[-1])
    axes.set_ylabel("frequency (Hz)")


def _lanes(
    axes: Axes, lanes: Sequence[tuple[str, ...]], sound: SoundFindings, marks: Sequence[SoundMark]
) -> None:
    """A lane for each sound: how probable it was in each piece, and where it was marked."""
    for row, labels in enumerate(lanes):
        _pieces(axes, row, labels[0], sound.pieces)
        for label in labels:
            _bars(axes, row, label, [one for one in marks if one.label == label])
    names = [" ".join(labels) for labels in lanes]
    if sound.signal == "lung_sound" and sound.cycles:
        _cycles(axes, len(lanes), sound.cycles)
        names.append("breath")
    axes.set_yticks([row + 0.5 for row in range(len(names))], names)
    axes.set_ylim(len(names), 0)
    axes.grid(False)


def _pieces(axes: Axes, row: int, label: str, pieces: Sequence[SoundCycle]) -> None:
    look = LOOKS[label]
    # Windows of a heart sound overlap: each is drawn as far as the next one begins.
    begins_s = [one.begin_s for one in pieces[1:]] + [np.inf]
    for one, next_s in zip(pieces, begins_s, strict=True):
        share = one.probabilities.get(label)
        if share is not None:
            axes.bar(
                one.begin_s,
                -0.9 * share,
                min(one.end_s, next_s) - one.begin_s,
                bottom=row + 0.95,
                align="edge",
                color=look.colour,
                alpha=0.35,
                linewidth=0,
            )


def _bars(axes: Axes, row: int, label: str, marks: Sequence[SoundMark]) -> None:
    look = LOOKS.get(label, PLAIN)
    axes.broken_barh(
        [(one.begin_s, one.end_s - one.begin_s) for one in marks],
        (row + 0.05, 0.9),
        facecolor=look.colour,
        edgecolor="black",
        linewidth=0.6,
        hatch=look.hatch,
    )
    free_s = -1.0
    for one in marks:
        if one.begin_s < free_s:
            continue
        text = label if label in HEARTBEAT else f"{label} {one.probability:.0%}"
        _text(axes, one.begin_s, row + 0.5, text, "left")
        free_s = one.begin_s + 0.011 * len(text) * _shown_s(axes)


def _shown_s(axes: Axes) -> float:
    """Seconds that are shown."""
    left, right = axes.get_xlim()
    return right - left


def _text(axes: Axes, at_s: float, y: float, text: str, align: Literal["left", "center"]) -> None:
    """Black on a white rim: readable on any colour."""
    label = axes.text(at_s, y, text, ha=align, va="center", fontsize=8, color="black", clip_on=True)
    label.set_path_effects([patheffects.withStroke(linewidth=2.5, foreground="white")])


def _cycles(axes: Axes, row: int, cycles: Sequence[SoundCycle]) -> None:
    for one in cycles:
        look = LOOKS.get(one.label, PLAIN)
        axes.broken_barh(
            [(one.begin_s, one.end_s - one.begin_s)],
            (row + 0.1, 0.8),
            facecolor=look.colour,
            alpha=0.55,
            edgecolor="black",
            linewidth=1,
        )
        _text(axes, (one.begin_s + one.end_s) / 2, row + 0.5, one.label, "center")


def _edges(axes: Axes, marks: Sequence[SoundMark]) -> None:
    """Begin and end of what was marked: a coloured line on a black one, seen on any ground."""
    across = axes.get_xaxis_transform()
    for label in dict.fromkeys(one.label for one in marks):
        look = LOOKS.get(label, PLAIN)
        own = [one for one in marks if one.label == label]
        # Of heart sounds the onset alone: two lines a sound would cover what they mark.
        at_s = [one.begin_s for one in own] + [one.end_s for one in own if label not in HEARTBEAT]
        axes.vlines(at_s, 0, 1, transform=across, color="black", linewidth=2.2, alpha=0.6)
        axes.vlines(at_s, 0, 1, transform=across, color=look.colour, linewidth=1.2, linestyle=look.line)


def _lost(axes: Axes, sound: SoundFindings) -> None:
    for one in sound.lost:
        axes.axvspan(one.begin_s, one.end_s, facecolor="#888888", alpha=0.5, hatch="//", edgecolor="#444444")
        text = axes.text(
            (one.begin_s + one.end_s) / 2,
            0.97,
            "not judged",
            transform=axes.get_xaxis_transform(),
            ha="center",
            va="top",
            fontsize=8,
            color="black",
            clip_on=True,
        )
        text.set_path_effects([patheffects.withStroke(linewidth=2.5, foreground="white")])


def _looked(axes: Axes, explained: SoundExplained) -> None:
    """What did not speak for the class lies in the dark; below, how much the window head looked when."""
    n_steps = explained.cam.shape[1]
    end_s = explained.start_s + n_steps * explained.step_s
    edges_s = np.linspace(explained.start_s, end_s, n_steps + 1)
    dark = np.zeros((*explained.cam.shape, 4))
    dark[..., 3] = 0.7 * (1.0 - np.sqrt(explained.cam))
    axes.pcolormesh(edges_s, np.array(explained.edges_hz), dark, linewidth=0)
    for at_s in (explained.start_s, end_s):
        axes.axvline(at_s, color="white", linewidth=1.5, linestyle=":")
    top_hz = axes.get_ylim()[1]
    line = 0.12 * top_hz * explained.attention / max(1e-9, float(explained.attention.max()))
    axes.step(edges_s, np.append(line, line[-1]), where="post", color="white", linewidth=1.4)
