"""The beats of all beds in order, each with a first guess of its class, then with its class."""

from __future__ import annotations

import numpy as np

from inference.beat_classes import (
    UNKNOWN_LEAD,
    BeatClassifier,
    Decided,
    cut_segments,
    join,
)
from inference.beat_predictor import BeatPredictor
from inference.beats import BeatHistory
from inference.found_beats import FoundBeats
from ingest.bank import Due
from ingest.types import FloatArray, IntArray, WideFloatArray


class BeatLine:
    """Beats that are remembered, and the classes that come to them.

    Parameters
    ----------
    beats : BeatPredictor or None
        The network that says what each beat is; without it the first network's word stands.
    n_slots : int
        Beds to make room for.
    """

    def __init__(self, beats: BeatPredictor | None, n_slots: int) -> None:
        self.history = BeatHistory(n_slots)
        self.classifier = None if beats is None else BeatClassifier(beats, n_slots)

    def resize(self, n_slots: int) -> None:
        """Make room for more slots."""
        self.history.resize(n_slots)
        if self.classifier is not None:
            self.classifier.resize(n_slots)

    def reset(self, slot: int) -> None:
        """Forget a slot."""
        self.history.reset(slot)
        if self.classifier is not None:
            self.classifier.reset(slot)

    def look_anew(self, slot: int) -> None:
        """Begin with classes anew at the next window, which publishes the beat that waits for its own."""
        if self.classifier is not None:
            self.classifier.lead[slot] = UNKNOWN_LEAD

    def remember(
        self,
        due: Due,
        windows: FloatArray,
        beats: FoundBeats,
        since_s: WideFloatArray,
        leads: IntArray,
        frontier_ns: IntArray,
    ) -> Decided:
        """Remember new beats, by a first guess where the class comes later; return those that have theirs."""
        slots = due.slots[beats.row]
        if self.classifier is None:
            self.history.append(slots, beats.times_ns, beats.labels, beats.heights_mv)
            return Decided(slots, beats.times_ns, beats.labels, beats.probabilities)
        parts = [self.classifier.use_leads(due.slots, leads)]
        order = np.argsort(slots, kind="stable")
        guesses = np.empty_like(beats.labels)
        guesses[order], decided = self.classifier.add(
            slots[order],
            beats.times_ns[order],
            cut_segments(windows, beats.row, beats.at)[order],
            since_s[order],
            beats.probabilities[order],
            (due.slots, frontier_ns),
        )
        self.history.append(slots, beats.times_ns, guesses, beats.heights_mv)
        final = join([*parts, decided])
        self.history.revise(final.slots, final.times_ns, final.labels)
        return final
