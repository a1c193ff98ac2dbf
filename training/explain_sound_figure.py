"""An explanation over the sound it is of: waveform with marks, spectrogram with the map, attention below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.explain_figure import ATTENTION, CAM, INK

if TYPE_CHECKING:
    from training.explain_sound import ExplainedSound

SHOWN: Final = (0.05, 0.995)
"""Quantiles of the frames between which the spectrogram goes from white to black."""

LEVELS: Final = (0.25, 0.5, 0.75)
"""Of the map's peak, at which it is outlined."""

MARKED: Final = {
    "crackle": "#e69f00", "wheeze": "#56b4e9", "murmur": "#cc79a7", "S1": "#009e73", "S2": "#b3a400",
}  # fmt: skip
"""Colours of Okabe and Ito (2008), told apart by the colour-blind."""

PLAIN: Final = "#8a929a"
MOST_POINTS: Final = 4_000
LETTER: Final = 0.007
"""Width of a letter in a mark, as a share of the window."""


def draw_sound(one: ExplainedSound, title: str) -> Figure:
    """The overlay as a figure of matplotlib."""
    figure = Figure(figsize=(11, 7), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    lanes, wave, picture, below = figure.subplots(4, 1, sharex=True, height_ratios=(1, 1.6, 4, 1.4))
    found = one.found
    lanes.set_title(title, fontsize="medium", wrap=True)
    _lanes(lanes, one)
    _wave(wave, one)
    _picture(picture, one)
    per_step = found.cam.sum(axis=0)
    times_s = found.start_s + (np.arange(len(per_step)) + 0.5) * found.step_s
    below.plot(times_s, per_step / max(float(per_step.max()), 1e-12), color=CAM, label="class activation")
    below.plot(
        times_s, found.attention / found.attention.max(), color=ATTENTION, drawstyle="steps-mid",
        label="attention (largest = 1)",
    )  # fmt: skip
    below.set(xlabel="seconds of the recording", ylim=(0, 1.35))
    below.legend(loc="upper left", fontsize="small", frameon=False, ncols=2)
    for axes in (lanes, wave, picture, below):
        axes.axvline(one.at_s, color=INK, linewidth=0.8, linestyle=":")
        axes.spines[["top", "right"]].set_visible(False)
    below.set_xlim(found.start_s, found.end_s)
    return figure


def _lanes(axes: Axes, one: ExplainedSound) -> None:
    """What people annotated, and what the network marks."""
    people = "systoles annotated" if one.spec.task == "heart" else "breaths annotated"
    rows = [(people, [(span.label, span.begin_s, span.end_s, "") for span in one.annotated])]
    marks = [(mark.label, mark.begin_s, mark.end_s, f" {mark.probability:.0%}") for mark in one.marks]
    rows.append(("network marks", marks))
    window_s = one.found.end_s - one.found.start_s
    for row, (_, spans) in enumerate(rows):
        for label, begin_s, end_s, share in spans:
            low, high = max(begin_s, one.found.start_s), min(end_s, one.found.end_s)
            colour = next((MARKED[name] for name in MARKED if name in label), PLAIN)
            axes.barh(-row, high - low, left=low, height=0.7, color=colour, alpha=0.45, edgecolor=INK)
            text = label if row == 0 else f"{label}{share}"
            for shown in (text, label):
                if len(shown) * LETTER < (high - low) / window_s:
                    axes.text((low + high) / 2, -row, shown, ha="center", va="center", fontsize=8)
                    break
    names = [name if spans else f"{name}: none" for name, spans in rows]
    axes.set_yticks([-row for row in range(len(rows))], names)
    axes.set_ylim(0.5 - len(rows), 0.5)
    axes.tick_params(left=False, labelbottom=False)


def _wave(axes: Axes, one: ExplainedSound) -> None:
    fs_hz = one.signal.fs_hz
    first, last = (max(0, round(at_s * fs_hz)) for at_s in (one.found.start_s, one.found.end_s))
    line = one.signal.samples[first:last, 0]
    step = max(1, len(line) // MOST_POINTS)
    axes.plot((first + np.arange(0, len(line), step)) / fs_hz, line[::step], color=INK, linewidth=0.5)
    axes.set_ylabel("waveform")
    axes.set_yticks([])


def _picture(axes: Axes, one: ExplainedSound) -> None:
    """Log-mel frames in grey, the map over them as outlines and as a shade."""
    found = one.found
    times_s = np.linspace(found.start_s, found.end_s, one.frames.shape[1] + 1)
    low, high = np.quantile(one.frames, SHOWN).tolist()
    axes.pcolormesh(times_s, one.borders_hz, one.frames, cmap="Greys", vmin=low, vmax=max(high, low + 1e-6))
    steps = np.linspace(found.start_s, found.end_s, found.cam.shape[1] + 1)
    shade = np.ma.masked_less(found.cam, LEVELS[0] / 2)
    axes.pcolormesh(steps, found.edges_hz, shade, cmap="Oranges", vmin=0, vmax=1.2, alpha=0.5)
    middles_s = (steps[:-1] + steps[1:]) / 2
    middles_hz = (np.array(found.edges_hz)[:-1] + np.array(found.edges_hz)[1:]) / 2
    if found.cam.any():
        axes.contour(middles_s, middles_hz, found.cam, levels=LEVELS, colors=CAM, linewidths=(0.6, 0.9, 1.3))
    axes.set(ylabel="Hz", ylim=(one.borders_hz[0], one.borders_hz[-1]))
