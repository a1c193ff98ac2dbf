"""An explanation over the signal it is of: class activation as shading, attention and activation below."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from models.explain import Explanation
from training.explain_input import Example

WideFloatArray = npt.NDArray[np.float64]
INK: Final = "#1b2127"
CAM: Final = "#c65a11"
ATTENTION: Final = "#1f6fb4"


def along_signal(example: Example, explanation: Explanation) -> WideFloatArray:
    """Class activation at each sample of the drawn signal, 0 to 1, shape (n,).

    Between steps it is interpolated; of beats each sample takes the largest of the pieces that hold it.
    """
    time_s = example.start_s + np.arange(len(example.signal)) / example.fs_hz
    if explanation.within is None or example.beat_span_s is None:
        return np.asarray(np.interp(time_s, example.step_s, explanation.cam[0]), dtype=np.float64)
    before, after = example.beat_span_s
    found = np.zeros(len(time_s))
    for at_s, piece in zip(example.step_s.tolist(), explanation.within[0], strict=True):
        if not np.isfinite(at_s):
            continue
        inside = np.flatnonzero((time_s >= at_s - before) & (time_s < at_s + after))
        places = np.linspace(at_s - before, at_s + after, len(piece))
        found[inside] = np.maximum(found[inside], np.interp(time_s[inside], places, piece))
    return found


def draw(example: Example, explanation: Explanation, title: str, at_s: float) -> Figure:
    """The overlay as a figure of matplotlib.

    Parameters
    ----------
    at_s : float
        The moment asked for, in seconds of the recording; it is marked.
    """
    figure = Figure(figsize=(11, 4.6), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    time_s = example.start_s + np.arange(len(example.signal)) / example.fs_hz
    cam = along_signal(example, explanation)
    low, high = float(example.signal.min()), float(example.signal.max())
    room = 0.08 * (high - low) or 0.1
    top.imshow(
        cam[None],
        aspect="auto",
        cmap="Oranges",
        vmin=0,
        vmax=1.4,
        interpolation="bilinear",
        extent=(time_s[0], time_s[-1], low - room, high + room),
    )
    top.plot(time_s, example.signal, color=INK, linewidth=1)
    top.set(ylabel="mV", title=title)
    below.plot(time_s, cam, color=CAM, linewidth=1.2, label="class activation")
    known = np.isfinite(example.step_s)
    attention = explanation.attention[0][known]
    if np.ptp(attention) > 0:
        below.plot(
            example.step_s[known], attention / attention.max(), color=ATTENTION, linewidth=1.2,
            drawstyle="steps-mid", label="attention (largest = 1)",
        )  # fmt: skip
    for axes in (top, below):
        axes.axvline(at_s, color=INK, linewidth=0.8, linestyle=":")
        axes.spines[["top", "right"]].set_visible(False)
    below.set(xlabel="seconds of the recording", ylim=(0, 1.05))
    below.legend(loc="upper left", fontsize="small", frameon=False, ncols=2)
    top.set_xlim(time_s[0], time_s[-1])
    return figure
