"""The class of each beat, from the beats around it: a network whose time steps are a bed's last beats.

The monitor's network finds beats; this one, of the same family, says what they are (N, S, V, F). A beat gets
a first guess when it is found, which drives the alarms, and its class when the next beat is there, or when
none has come for :data:`WAIT_S`: that is what is published. :mod:`models.beat_rows` says what the network
sees of a beat.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from inference.beat_predictor import BeatPredictor
from inference.beats import LABELS, NEVER
from ingest.types import NS_PER_S, BoolArray, FloatArray, IntArray, WideFloatArray
from models.beat_rows import AFTER, BEFORE, ROW, BeatRows, StreamState, set_next

WAIT_S: Final = 1.5
"""A beat that no other follows for so long gets its class without one."""

UNKNOWN_LEAD: Final = -1
WAIT_NS: Final = round(WAIT_S * NS_PER_S)


@dataclass(frozen=True, slots=True)
class Decided:
    """Beats whose class is final now. All arrays have shape (n,)."""

    slots: IntArray
    times_ns: IntArray
    labels: IntArray
    probabilities: WideFloatArray


def join(parts: list[Decided]) -> Decided:
    """Put decisions together, ordered by slot, then time. At least one part."""
    slots = np.concatenate([part.slots for part in parts])
    times_ns = np.concatenate([part.times_ns for part in parts])
    order = np.lexsort((times_ns, slots))
    return Decided(
        slots[order],
        times_ns[order],
        np.concatenate([part.labels for part in parts])[order],
        np.concatenate([part.probabilities for part in parts])[order],
    )


@dataclass(frozen=True, slots=True)
class ClassifierState:
    """One bed's state, for snapshots."""

    rows: StreamState
    lead: int
    undecided: bool
    time_ns: int
    label: int
    probability: float


class BeatClassifier:
    """Classes of the beats of many beds.

    Parameters
    ----------
    predictor : BeatPredictor
        The network.
    n_slots : int
        Beds to make room for; grows by :meth:`resize`.
    """

    def __init__(self, predictor: BeatPredictor, n_slots: int) -> None:
        self.predictor = predictor
        self.sha256 = predictor.spec.sha256
        self.rows = BeatRows(n_slots, predictor.beats)
        self._features = np.zeros((n_slots, predictor.beats, predictor.width), dtype=np.float32)
        self.lead = np.full(n_slots, UNKNOWN_LEAD, dtype=np.int64)
        """Lead that the rows are of."""
        self.undecided = np.zeros(n_slots, dtype=np.bool_)
        self._time_ns = np.full(n_slots, NEVER, dtype=np.int64)
        self._label = np.zeros(n_slots, dtype=np.int64)
        self._probability = np.zeros(n_slots)

    def resize(self, n_slots: int) -> None:
        """Make room for more beds."""
        extra = n_slots - len(self.undecided)
        if extra <= 0:
            return
        self.rows.resize(n_slots)
        self._features = np.pad(self._features, ((0, extra), (0, 0), (0, 0)))
        self.lead = np.pad(self.lead, (0, extra), constant_values=UNKNOWN_LEAD)
        self.undecided = np.pad(self.undecided, (0, extra))
        self._time_ns = np.pad(self._time_ns, (0, extra), constant_values=NEVER)
        self._label, self._probability = (
            np.pad(self._label, (0, extra)),
            np.pad(self._probability, (0, extra)),
        )

    def reset(self, slot: int) -> None:
        """Forget a bed, and its undecided beat with it."""
        self.rows.reset(slot)
        self._features[slot] = 0
        self.lead[slot] = UNKNOWN_LEAD
        self.undecided[slot] = False

    def use_leads(self, slots: IntArray, leads: IntArray) -> Decided:
        """Begin anew for beds whose lead is another one now: shapes of two leads do not compare.

        Returns
        -------
        Decided
            Their undecided beats, by their first guess.
        """
        decided = self._settle(slots[self.lead[slots] != leads])
        self.lead[slots] = leads
        return decided

    def _settle(self, slots: IntArray) -> Decided:
        left = slots[self.undecided[slots]]
        decided = self._decide(left, self._label[left])
        for slot in slots.tolist():
            self.reset(slot)
        return decided

    def add(
        self,
        slots: IntArray,
        times_ns: IntArray,
        segments: FloatArray,
        intervals_s: WideFloatArray,
        probabilities: WideFloatArray,
    ) -> tuple[IntArray, Decided]:
        """Add new beats, sorted by slot, then time.

        Parameters
        ----------
        slots, times_ns : ndarray of int64, shape (n,)
            Beds and times of the peaks.
        segments : ndarray of float32, shape (n, SEGMENT)
            The lead around them, as :func:`cut_segments` gives it.
        intervals_s : ndarray, shape (n,)
            Since the bed's beat before; NaN where that is not known.
        probabilities : ndarray, shape (n,)
            That there is a beat; kept for the decision.

        Returns
        -------
        guesses : ndarray of int64, shape (n,)
            First guess of each new beat's class.
        decided : Decided
            Beats whose successor these are.
        """
        guesses = np.zeros(len(slots), dtype=np.int64)
        parts = [self._decide(slots[:0], guesses[:0])]
        for nth in _ranks(slots):
            of = slots[nth]
            parts.append(self.wait(of, times_ns[nth]))
            self.rows.push(of, segments[nth], intervals_s[nth])
            rows = self.rows.sequences(of)
            last_two = self.predictor.features(rows[:, -2:].reshape(-1, ROW)).reshape(len(of), 2, -1)
            self._features[of] = np.concatenate([self._features[of, 1:-1], last_two], axis=1)
            labels = self.predictor.both_labels(self._features[of])
            before = self.undecided[of]
            parts.append(self._decide(of[before], labels[before, 0]))
            guesses[nth] = labels[:, 1]
            self.undecided[of] = True
            self._time_ns[of], self._label[of] = times_ns[nth], labels[:, 1]
            self._probability[of] = probabilities[nth]
        return guesses, join(parts)

    def wait(self, slots: IntArray, frontier_ns: IntArray) -> Decided:
        """Decide the beats of some beds that no other has followed for :data:`WAIT_S`."""
        alone: BoolArray = self.undecided[slots] & (frontier_ns - self._time_ns[slots] >= WAIT_NS)
        of = slots[alone]
        if len(of) == 0:
            return self._decide(of, self._label[of])
        last = self.rows.sequences(of)[:, -1]
        set_next(last, np.full(len(of), WAIT_S))
        features = self._features[of]
        features[:, -1] = self.predictor.features(last)
        return self._decide(of, self.predictor.labels(features, -1))

    def _decide(self, slots: IntArray, labels: IntArray) -> Decided:
        self.undecided[slots] = False
        return Decided(slots, self._time_ns[slots], labels, self._probability[slots])

    def state(self, slot: int) -> ClassifierState:
        """Copy of a bed's state."""
        return ClassifierState(
            self.rows.state(slot),
            int(self.lead[slot]),
            bool(self.undecided[slot]),
            int(self._time_ns[slot]),
            int(self._label[slot]),
            float(self._probability[slot]),
        )

    def restore(self, slot: int, state: ClassifierState) -> None:
        """Put a state back; features are computed anew from the rows."""
        self.rows.restore(slot, state.rows)
        self._features[slot] = self.predictor.features(state.rows.rows)
        self.lead[slot] = state.lead
        self.undecided[slot] = False
        if state.undecided:
            self._wait_with(slot, state.time_ns, state.label, state.probability)

    def restore_waiting(self, slot: int, time_ns: int, label: int, probability: float) -> None:
        """Take over the undecided beat alone, from another model: its first guess becomes its class."""
        self.reset(slot)
        self._wait_with(slot, time_ns, label, probability)

    def _wait_with(self, slot: int, time_ns: int, label: int, probability: float) -> None:
        self.undecided[slot], self._time_ns[slot] = True, time_ns
        self._label[slot] = label if 0 <= label < len(LABELS) else 0
        self._probability[slot] = probability


def _ranks(slots: IntArray) -> list[IntArray]:
    """Indices of each bed's first beat, then of each second one, and so on; ``slots`` is sorted."""
    if len(slots) == 0:
        return []
    begins = np.flatnonzero(np.concatenate([[True], slots[1:] != slots[:-1]]))
    lengths = np.diff(np.append(begins, len(slots)))
    rank = np.arange(len(slots)) - np.repeat(begins, lengths)
    return [np.flatnonzero(rank == nth) for nth in range(int(rank.max()) + 1)]


def cut_segments(windows: FloatArray, row: IntArray, at: IntArray) -> FloatArray:
    """Signal around peaks; beyond a window's ends its outermost sample is held.

    Parameters
    ----------
    windows : ndarray of float32, shape (n_windows, n_times)
        The leads in which the beats were found.
    row, at : ndarray of int64, shape (n,)
        Window and sample of each peak.

    Returns
    -------
    ndarray of float32, shape (n, SEGMENT)
    """
    around = np.clip(at[:, None] + np.arange(-BEFORE, AFTER), 0, windows.shape[1] - 1)
    return np.asarray(windows[row[:, None], around], dtype=np.float32)
