"""The class of each beat, from the beats around it: a network whose time steps are a bed's last beats.

The monitor's network finds beats; this one, of the same family, says what they are (N, S, V, F). A beat gets
a first guess when it is found, which drives the alarms, and its class when the next beat is there, or when
none has come for :data:`WAIT_S`: that is what is published. :mod:`models.beat_rows` says what the network
sees of a beat. However many beats come at once, the network is asked once: what is kept of them is written
beat by beat, and what it is asked about is collected on the way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from inference.beat_memory import BeatMemory
from inference.beat_predictor import BeatPredictor
from inference.beats import LABELS, NEVER
from ingest.types import NS_PER_S, FloatArray, IntArray, WideFloatArray
from models.beat_rows import AFTER, BEFORE, CONTEXT, ROW, BeatRows, Pushed, StreamState, set_next

WAIT_S: Final = 1.5
"""A beat that no other follows for so long gets its class without one."""

UNKNOWN_LEAD: Final = -1
WAIT_NS: Final = round(WAIT_S * NS_PER_S)

BEFORE_LAST, LAST = 0, 1
"""Columns of what the network says of a sequence."""


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


@dataclass(frozen=True, slots=True)
class _Question:
    """Beats whose class hangs on sequences that the network is asked about; arrays of shape (n,).

    ``asked`` counts the sequences from the first of a call on, and ``column`` says which beat of each it is.
    """

    slots: IntArray
    times_ns: IntArray
    probabilities: WideFloatArray
    asked: IntArray
    column: int

    def decided(self, labels: IntArray) -> Decided:
        """With what the network said of all sequences, (n_sequences, 2)."""
        return Decided(self.slots, self.times_ns, labels[self.asked, self.column], self.probabilities)


class _Asked:
    """Sequences of one call of the network."""

    def __init__(self) -> None:
        self.parts: list[FloatArray] = []
        self.n = 0

    def add(self, sequences: FloatArray) -> IntArray:
        """Add sequences; returns their numbers."""
        self.parts.append(sequences)
        self.n += len(sequences)
        return np.arange(self.n - len(sequences), self.n)


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
        self._memory = BeatMemory(n_slots, predictor.beats, predictor.nothing)
        self._shape = np.zeros((n_slots, predictor.n_features), dtype=np.float32)
        """What the signal of each slot's newest beat gave."""
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
        self._memory.resize(n_slots)
        self._shape = np.pad(self._shape, ((0, extra), (0, 0)))
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
        self._memory.reset(slot)
        self._shape[slot] = 0
        self.lead[slot] = UNKNOWN_LEAD
        self.undecided[slot] = False

    def use_leads(self, slots: IntArray, leads: IntArray) -> Decided:
        """Begin anew for beds whose lead is another one now: shapes of two leads do not compare.

        Returns
        -------
        Decided
            Their undecided beats, by their first guess.
        """
        changed = slots[self.lead[slots] != leads]
        left = changed[self.undecided[changed]]
        decided = Decided(left, self._time_ns[left], self._label[left], self._probability[left])
        for slot in changed.tolist():
            self.reset(slot)
        self.lead[slots] = leads
        return decided

    def add(
        self,
        slots: IntArray,
        times_ns: IntArray,
        segments: FloatArray,
        intervals_s: WideFloatArray,
        probabilities: WideFloatArray,
        frontier: tuple[IntArray, IntArray] | None = None,
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
        frontier : tuple of two ndarray of int64, shape (n_beds,), or None
            Beds, each once, and the times up to which their beats are known now: what no other beat has
            followed by then for :data:`WAIT_S` is decided, too.

        Returns
        -------
        guesses : ndarray of int64, shape (n,)
            First guess of each new beat's class.
        decided : Decided
            Beats whose successor these are, and those that wait no longer.
        """
        ranks = _ranks(slots)
        pushed = []
        rows = np.empty((len(slots), ROW), dtype=np.float32)
        for nth in ranks:
            waiting = self.rows.last_context(slots[nth])
            pushed.append((waiting, self.rows.push(slots[nth], segments[nth], intervals_s[nth])))
            rows[nth] = pushed[-1][1].rows
        shapes = self.predictor.shapes(rows) if len(rows) else rows[:, : self._shape.shape[1]]
        asked, questions = _Asked(), []
        own = np.empty(len(slots), dtype=np.int64)
        for nth, (waiting, new) in zip(ranks, pushed, strict=True):
            of = slots[nth]
            questions.append(self._alone(of, times_ns[nth], waiting, asked))
            self._remember(of, shapes[nth], new)
            own[nth] = asked.add(self._memory.sequences(of))
            before = self.undecided[of]
            questions.append(self._question(of[before], own[nth][before], BEFORE_LAST))
            self.undecided[of] = True
            self._time_ns[of], self._probability[of] = times_ns[nth], probabilities[nth]
        if frontier is not None:
            there, until_ns = frontier
            questions.append(self._alone(there, until_ns, self.rows.last_context(there), asked))
        if asked.n == 0:
            return own, join([self._question(slots[:0], own, LAST).decided(np.zeros((0, 2), dtype=np.int64))])
        labels = self.predictor.both_labels(np.concatenate(asked.parts))
        guesses = labels[own, LAST]
        for nth in ranks:
            self._label[slots[nth]] = guesses[nth]
        return guesses, join([question.decided(labels) for question in questions])

    def wait(self, slots: IntArray, frontier_ns: IntArray) -> Decided:
        """Decide the beats of some beds that no other has followed for :data:`WAIT_S`."""
        none, width = np.zeros(0, dtype=np.int64), AFTER + BEFORE
        _, decided = self.add(
            none, none, np.zeros((0, width), dtype=np.float32), np.zeros(0), np.zeros(0), (slots, frontier_ns)
        )
        return decided

    def _alone(self, slots: IntArray, until_ns: IntArray, contexts: FloatArray, asked: _Asked) -> _Question:
        """Ask about beats that none has followed for too long, up to ``until_ns``; all shapes (n, …)."""
        alone = self.undecided[slots] & (until_ns - self._time_ns[slots] >= WAIT_NS)
        of = slots[alone]
        if len(of) == 0:
            return self._question(of, of, LAST)
        told = contexts[alone]
        set_next(told, np.full(len(of), WAIT_S))
        sequences = self._memory.sequences(of)
        sequences[:, -1] = self.predictor.keep(self._shape[of], told)
        return self._question(of, asked.add(sequences), LAST)

    def _question(self, slots: IntArray, numbers: IntArray, column: int) -> _Question:
        self.undecided[slots] = False
        return _Question(slots, self._time_ns[slots], self._probability[slots], numbers, column)

    def _remember(self, slots: IntArray, shapes: FloatArray, new: Pushed) -> None:
        """Keep a new beat of each slot, and what became of the one before it."""
        n = len(slots)
        kept = self.predictor.keep(
            np.concatenate([self._shape[slots], shapes]),
            np.concatenate([new.before, new.rows[:, -len(CONTEXT) :]]),
        )
        self._memory.replace(slots[new.had], kept[:n][new.had])
        self._memory.append(slots, kept[n:])
        self._shape[slots] = shapes

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
        """Put a state back; what is kept of its beats is computed anew from the rows."""
        self.rows.restore(slot, state.rows)
        self._memory.put(slot, self.predictor.features(state.rows.rows))
        self._shape[slot] = self.predictor.shapes(state.rows.rows[-1:])[0] if state.rows.seen else 0
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
