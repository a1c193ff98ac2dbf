"""Breaths of a recording from its loudness alone: where one ends and the next begins.

No network says where a breath begins. The loudness of breath has a rate (:mod:`inference.sound_rhythm`), and
between two breaths it is lowest: a minimum about every period is taken for the cut.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy import signal as dsp

from inference.sound_rhythm import BREATHS, loudness, rhythm_of
from ingest.types import FloatArray, IntArray, WideFloatArray

LEAST_OF_PERIOD: Final = 0.65
"""Cuts lie at least so much of a period apart."""

LONGEST_OF_PERIOD: Final = 1.6
"""What lies so far apart holds a breath that was not found: it is no cycle."""

SMOOTH_S: Final = 0.7


def breath_cuts_s(frames: FloatArray) -> WideFloatArray:
    """Times at which breaths begin and end, from the begin of the first frame of levels.

    Parameters
    ----------
    frames : ndarray of float32, shape (n_rows, n_frames)
        Log-mel frames of a lung sound (:data:`models.melspec.LUNG_MEL`), whatever pictures lie above them.

    Returns
    -------
    ndarray of float64, shape (n_cuts,)
        Empty where nothing recurs surely enough to be breath.
    """
    per_point = round(BREATHS.mel.frame_hz) // BREATHS.points
    n_points = frames.shape[1] // per_point
    if n_points == 0:
        return np.empty(0)
    line = loudness(frames[None, :, : n_points * per_point], BREATHS)[0]
    width = round(SMOOTH_S * BREATHS.points) | 1
    window = np.hanning(width + 2)[1:-1]
    smooth = np.convolve(np.pad(line, width // 2, mode="edge"), window / window.sum(), "valid")
    cuts: list[int] = []
    span = BREATHS.span_s * BREATHS.points
    # The rate of half a minute at a time: breathing changes.
    for begin in range(0, max(1, n_points - span // 2), span // 2):
        part = slice(max(0, min(begin, n_points - span)), min(n_points, begin + span))
        period = _period(line[part])
        if period is not None:
            found = part.start + _lowest(smooth[part], period)
            after = cuts[-1] + LEAST_OF_PERIOD * period if cuts else -1.0
            cuts += [cut for cut in found.tolist() if cut > after]
    return (np.array(cuts, dtype=np.float64) + 0.5) / BREATHS.points


def _period(line: WideFloatArray) -> float | None:
    """Points of one breath."""
    padded = np.full((1, BREATHS.span_s * BREATHS.points), np.nan)
    padded[0, -len(line) :] = line
    per_min = float(rhythm_of(padded, BREATHS).per_min[0])
    return None if np.isnan(per_min) else 60.0 * BREATHS.points / per_min


def _lowest(smooth: WideFloatArray, period: float) -> IntArray:
    found, _ = dsp.find_peaks(-smooth, distance=max(1, round(LEAST_OF_PERIOD * period)))
    return np.asarray(found, dtype=np.int64)


def cycles_between(cuts_s: WideFloatArray) -> list[tuple[float, float]]:
    """Pairs of cuts that hold one breath; a gap where one was not found is left out."""
    if len(cuts_s) < 2:
        return []
    lengths = np.diff(cuts_s)
    kept = lengths <= LONGEST_OF_PERIOD * np.median(lengths)
    pairs = zip(cuts_s[:-1][kept].tolist(), cuts_s[1:][kept].tolist(), strict=True)
    return [(round(begin, 3), round(end, 3)) for begin, end in pairs]
