"""Whether a pulse channel keeps step with the ECG: one that never did says nothing about it.

A dead sensor's ripple, breathing, or a pump can look like a steady pulse. While both lines are good the heart
gives as many pulses as beats; only a channel that has shown so counts when the ECG turns strange.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from inference.pulses import KINDS, PulseEvidence
from ingest.types import NS_PER_S, BoolArray, IntArray

SPAN_NS: Final = 10 * NS_PER_S
"""Beats and pulses of so long are counted."""

ECG_BEHIND_NS: Final = NS_PER_S
"""Beats are final up to so long before the moment in question."""

BEHIND_NS: Final = 4 * NS_PER_S // 10
"""A pulse comes about so long after its beat."""

LEAST_BEATS: Final = 5
"""With fewer beats the ECG cannot tell."""

APART: Final = 2
APART_SHARE: Final = 0.2
"""Counts may differ by two, or by this share of the beats: early beats give small pulses."""

IN_STEP: Final = 10
"""Steps (s) of agreement that make a channel count."""

MOST: Final = 180
"""Agreement is lost step by step; a channel that is so long without a usual pulse is learned anew as well."""


class InStep:
    """Agreement of each slot's pulse channels with its ECG, stepped once a second by the ECG.

    ``score`` (n_slots, number of pulse kinds) is all its state.
    """

    def __init__(self, n_slots: int) -> None:
        self.score = np.zeros((n_slots, len(KINDS)), dtype=np.int64)

    def resize(self, n_slots: int) -> None:
        """Make room for more slots."""
        self.score = np.pad(self.score, ((0, max(0, n_slots - len(self.score))), (0, 0)))

    def reset(self, slot: int) -> None:
        """Forget a slot."""
        self.score[slot] = 0

    def checked(self, slots: IntArray, evidence: PulseEvidence, beats_ns: IntArray) -> PulseEvidence:
        """Step, and leave known only what keeps step.

        Parameters
        ----------
        slots : ndarray of int64, shape (n_beds,)
            ECG slots; each once.
        evidence : PulseEvidence
            Of these beds.
        beats_ns : ndarray of int64, shape (n_beds, n_beats)
            Their last beats; far in the past where there are fewer.
        """
        known = evidence.known
        source = np.maximum(evidence.source, 0)
        agrees, tells = _agrees(evidence, beats_ns)
        change = np.where(agrees, 1, -1) * (tells & known)
        score = np.clip(self.score[slots, source] + change, 0, MOST)
        self.score[slots, source] = np.where(known, score, self.score[slots, source])
        return replace(evidence, known=known & (score >= IN_STEP))


def _agrees(evidence: PulseEvidence, beats_ns: IntArray) -> tuple[BoolArray, BoolArray]:
    """Whether there are as many pulses as beats, and whether there are beats enough to tell."""
    until_ns = np.minimum(evidence.at_ns - ECG_BEHIND_NS, evidence.frontier_ns - BEHIND_NS)[:, None]
    beats = ((beats_ns > until_ns - SPAN_NS) & (beats_ns <= until_ns)).sum(axis=1)
    of_beats_ns = evidence.times_ns - BEHIND_NS
    pulses = ((of_beats_ns > until_ns - SPAN_NS) & (of_beats_ns <= until_ns)).sum(axis=1)
    near = np.abs(pulses - beats) <= np.maximum(APART, APART_SHARE * beats)
    return np.asarray(near, dtype=np.bool_), np.asarray(beats >= LEAST_BEATS, dtype=np.bool_)
