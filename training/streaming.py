"""Beats of a whole lead as they become final, from what :mod:`models.streaming` gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.decode import OVERLAP_S, BeatCandidates, accept, decode_beats, refine_peaks
from models.streaming import FS_HZ, HOP_S, RIGHT_CONTEXT_S, WINDOW_S, Stream
from training.sources import IntArray, WideFloatArray

FIRST_FINAL_S = WINDOW_S - RIGHT_CONTEXT_S - HOP_S
"""No window makes a beat before this final, so that it could be found: such beats are not scored."""


@dataclass(frozen=True, slots=True)
class FinalBeats:
    """Beats of one lead in order of time: seconds from the lead's start, step class, probability."""

    time_s: WideFloatArray
    label: IntArray
    probability: WideFloatArray


def _candidates(
    stream: Stream, step_s: float, threshold: float, gains: tuple[float, ...] | None
) -> BeatCandidates:
    until = WINDOW_S - RIGHT_CONTEXT_S
    return decode_beats(
        stream.steps,
        step_s,
        threshold=threshold,
        class_gains=gains,
        final_from_s=until - HOP_S - OVERLAP_S,
        final_to_s=until,
    )


def final_beats(
    stream: Stream, step_s: float, threshold: float, gains: tuple[float, ...] | None = None
) -> FinalBeats:
    """Beats as they become final, window after window."""
    found = _candidates(stream, step_s, threshold, gains)
    placed = refine_peaks(stream.windows, FS_HZ, found.window, found.position_s)
    placed += stream.starts_s[found.window]
    order = np.argsort(placed, kind="stable")
    keep = order[accept(placed[order], found.probability[order])]
    return FinalBeats(placed[keep], found.label[keep], found.probability[keep])
