"""The strip of an alarm on the screen: rows of ten seconds on the calibrated grid, as an image."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from dashboard.paper import DARK, LIGHT, PX_PER_MM, sheet
from dashboard.strip_sheet import WIDTH_MM, Drawing, draw_row, rows_of
from inference.explanation import Explained, explain_ecg
from inference.strips import Strip, StripSignal
from inference.types import Alarm
from ingest.types import NS_PER_S, UNIT_SCALES, SignalKind
from models.errors import CannotExplain

LABEL_OF: Final = {
    "vf": "vf",
    "vt": "vt",
    "pvc_run": "vt",
    "asystole": "asystole",
    "af": "af",
    "noise": "noise",
}
"""Rhythm that is explained for an alarm's kind; of others the likeliest one."""

GRID_WORDS: Final = (
    "25 mm/s, ECG 10 mm/mV: a large square is 0.2 s by 0.5 mV. Samples as the device sent them, unfiltered; "
    "each lead about its own median. Times are UTC by the device's clock. Letters: beats by class "
    "(N normal, S supraventricular, V ventricular, F fusion), found anew in the strip; in fibrillation they "
    "mean nothing."
)


def strip_png(drawing: Drawing, *, dark: bool) -> bytes:
    """Draw all rows of a strip, one below the other.

    Returns
    -------
    bytes
        A PNG image of 4 pixels a millimetre.
    """
    ink = DARK if dark else LIGHT
    rows = rows_of(drawing.strip)
    height_mm = sum(row.height_mm for row in rows)
    figure, axes = sheet(WIDTH_MM, max(height_mm, 1.0), PX_PER_MM, ink)
    top_mm = height_mm
    for row in rows:
        draw_row(axes, drawing, row, top_mm, ink)
        top_mm -= row.height_mm
    out = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(out, format="png", dpi="figure", facecolor=figure.get_facecolor())
    return out.getvalue()


def explain_strip(strip: Strip, alarm: Alarm) -> Explained:
    """Explain what the monitor's network says of the strip's ECG at the moment the alarm was raised.

    Raises
    ------
    CannotExplain
        No ECG of enough length around that moment.
    """
    signal = _ecg_at(strip, alarm.raised_ns)
    if signal is None:
        raise CannotExplain("no ECG in the strip at the moment the alarm was raised: nothing to explain")
    samples = signal.physical() * UNIT_SCALES[SignalKind.ECG][signal.scale.unit]
    at_s = min(max((alarm.raised_ns - signal.start_ns) / NS_PER_S, 0.0), len(samples) / signal.fs_hz)
    label = LABEL_OF.get(alarm.kind)
    # The stretch before is short, as far as the filters go: what is there is padded by its first sample.
    ahead = np.repeat(samples[:1], round(2 * signal.fs_hz), axis=0)
    start_ns = signal.start_ns - round(len(ahead) / signal.fs_hz * NS_PER_S)
    at_s += len(ahead) / signal.fs_hz
    return explain_ecg(
        np.concatenate([ahead, samples]),
        signal.fs_hz,
        signal.channels,
        start_ns=start_ns,
        label=label,
        at_s=at_s,
    )


def explained_words(explained: Explained) -> str:
    """What the shading means, in a sentence."""
    return (
        f"{explained.model} on lead {explained.channel}: {explained.label} {explained.probability:.0%} "
        f"in the {explained.end_s - explained.start_s:.0f} s up to the alarm. Shaded: what spoke for it "
        "(HiResCAM). It says where the network looked, not whether it is right; from which probability on "
        "it counts stands on the Models page."
    )


def _ecg_at(strip: Strip, time_ns: int) -> StripSignal | None:
    """Piece of ECG that holds a time, else the last one before it."""
    pieces = [signal for signal in strip.signals if signal.signal == SignalKind.ECG]
    before = [signal for signal in pieces if signal.start_ns <= time_ns]
    return max(before, key=lambda signal: signal.start_ns, default=None)
