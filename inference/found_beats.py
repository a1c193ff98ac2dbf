"""Beats of the newest hop of many windows: found by the network, placed, checked, each once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from inference.beat_checks import stands_out
from inference.beats import NEVER, REFRACTORY_NS, BeatHistory
from inference.doubt import believed, heights_mv
from inference.predictor import Probabilities
from ingest.types import NS_PER_S, BoolArray, FloatArray, IntArray, WideFloatArray
from models.decode import OVERLAP_S, BeatCandidates, decode_beats, refine_peaks
from models.spec import ModelSpec

MARGIN_S: Final = 0.64
"""Before the first beat that is looked for: what decides between it and its neighbours lies within."""


@dataclass(frozen=True, slots=True)
class FoundBeats:
    """Beats that were found, sorted by row, then time; ``row`` and ``at`` point into the due windows."""

    row: IntArray
    at: IntArray
    times_ns: IntArray
    labels: IntArray
    probabilities: WideFloatArray
    heights_mv: WideFloatArray


def looked_at_s(card: ModelSpec) -> float:
    """How much of a window's end :func:`find_beats` looks at."""
    return card.right_context_s + card.hop_s + OVERLAP_S + MARGIN_S


def find_beats(
    card: ModelSpec,
    history: BeatHistory,
    slots: IntArray,
    windows: FloatArray,
    present: BoolArray,
    said: Probabilities,
    starts_ns: IntArray,
) -> FoundBeats:
    """Beats that have their right context, are believed and are not the last one seen again.

    Parameters
    ----------
    card : ModelSpec
        Of the network.
    history : BeatHistory
        Beats that were found before.
    slots : ndarray of int64, shape (n_windows,)
        Beds of the windows, each once.
    windows, present : ndarray, shape (n_windows, n_times)
        What the network saw, mV, and which samples were there.
    said : Probabilities
        What it said.
    starts_ns : ndarray of int64, shape (n_windows,)
        Time of the windows' first samples.
    """
    until_s = card.window_s - card.right_context_s
    found: BeatCandidates = decode_beats(
        said.steps,
        card.step_s,
        threshold=card.thresholds["beat"],
        class_gains=card.beat_gains,
        final_from_s=until_s - card.hop_s - OVERLAP_S,
        final_to_s=until_s,
    )
    places_s = refine_peaks(windows, card.fs_hz, found.window, found.position_s)
    times_ns = starts_ns[found.window] + np.round(places_s * NS_PER_S).astype(np.int64)
    at = np.clip(np.rint(places_s * card.fs_hz).astype(np.int64), 0, windows.shape[1] - 1)
    last_ns = history.last_ns[slots[found.window]]
    new = present[found.window, at] & (times_ns - last_ns > REFRACTORY_NS)
    new &= stands_out(windows, card.fs_hz, found.window, at)
    heights = heights_mv(windows, card.fs_hz, found.window, at)
    typical_mv = history.typical_heights_mv(slots)[found.window]
    still = said.rhythms[found.window, card.window_classes.index("asystole")]
    new &= believed(found.probability, heights, typical_mv, still)
    # Refining may bring two beats of a window together: the first of them stays.
    order = np.lexsort((times_ns, found.window))
    order = order[new[order]]
    row, times = found.window[order], times_ns[order]
    close = np.zeros(len(order), dtype=np.bool_)
    close[1:] = (row[1:] == row[:-1]) & (np.diff(times) <= REFRACTORY_NS)
    order = order[~close]
    return FoundBeats(
        found.window[order],
        at[order],
        times_ns[order],
        found.label[order] - 1,
        found.probability[order],
        heights[order],
    )


def intervals_s(history: BeatHistory, slots: IntArray, beats: FoundBeats) -> WideFloatArray:
    """Time from each new beat's predecessor, s; NaN where there is none or data were missing between."""
    of = slots[beats.row]
    first = np.ones(len(of), dtype=np.bool_)
    first[1:] = beats.row[1:] != beats.row[:-1]
    before_ns = np.where(first, history.last_ns[of], np.roll(beats.times_ns, 1))
    known = before_ns > history.clear_since_ns[of]
    since_s = (beats.times_ns - before_ns) / NS_PER_S
    return np.where(known & (before_ns > NEVER), since_s, np.nan)
