"""What the rules of the ECG look at, and the words in which they answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar, cast

import numpy as np

from inference.alarms import Limits
from inference.beats import RecentBeats
from inference.catalog import load_catalogue
from ingest.types import NS_PER_S, BoolArray, IntArray, WideFloatArray

ECG_SPECS: Final = load_catalogue().of_signal("ecg")
"""The alarms that look at the ECG, in the order of the columns."""

COLUMN: Final = {spec.kind: place for place, spec in enumerate(ECG_SPECS)}

OF_WINDOWS: Final = 3
"""The network's rhythm counts when two of the last three windows say so."""

FRESH_NS: Final = 2 * NS_PER_S
"""What the last beats show is news for so long: hops are 1 s apart, and a class may be revised once."""


Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the rules look at, for some beds at one step. Shapes (n_beds,) unless said.

    Parameters
    ----------
    slots, ends_ns, frontier_ns : ndarray of int64
        Beds, device time of the windows' ends, and the time up to which beats are final.
    beats : RecentBeats
        Their last beats.
    ventricular_per_min : ndarray of int64
        Ventricular beats of the last minute, but for those in and around a lethal rhythm.
    quiet_since_ns : ndarray of int64
        Last beat on any lead, or the stream's start.
    quiet_s : ndarray of float64
        Time since then in which a beat would have been seen: missing and useless stretches do not count.
    rhythms : ndarray, shape (n_beds, OF_WINDOWS, n_classes)
        Rhythm probabilities of the last windows, newest last; NaN where none.
    elsewhere : ndarray, shape (n_beds, OF_WINDOWS, n_classes)
        The same of another lead, NaN where none was looked at.
    waves_bpm : ndarray of float64
        Rate of the line's waves where the network sees a tachycardia (:mod:`inference.waves`), NaN where it
        has no waves of one fast rate.
    classes : tuple of str
        Their names.
    thresholds : dict
        Probability from which a rhythm counts.
    af_began, af_ended : ndarray of bool
        Atrial fibrillation has begun, or ended, and this has not been said yet.
    off, saturated, unusable, noisy, settled : ndarray of bool
        Leads off; every lead at a rail; no lead can carry a rhythm; noise on all of them; enough signal for
        the network's rhythm.
    active : ndarray of bool, shape (n_beds, n_rules)
        Alarms that are active now, in the order of :data:`ECG_SPECS`.
    limits : Limits
        What the beds are set to.
    """

    slots: IntArray
    ends_ns: IntArray
    frontier_ns: IntArray
    beats: RecentBeats
    ventricular_per_min: IntArray
    quiet_since_ns: IntArray
    quiet_s: WideFloatArray
    rhythms: WideFloatArray
    elsewhere: WideFloatArray
    waves_bpm: WideFloatArray
    classes: tuple[str, ...]
    thresholds: dict[str, float]
    af_began: BoolArray
    af_ended: BoolArray
    off: BoolArray
    saturated: BoolArray
    unusable: BoolArray
    noisy: BoolArray
    settled: BoolArray
    active: BoolArray
    limits: Limits
    _memo: dict[str, object] = field(init=False, default_factory=dict, compare=False, repr=False)

    def of(self, rows: IntArray) -> Evidence:
        """Of some of the beds, by their rows."""
        return Evidence(
            self.slots[rows],
            self.ends_ns[rows],
            self.frontier_ns[rows],
            self.beats.of(rows),
            self.ventricular_per_min[rows],
            self.quiet_since_ns[rows],
            self.quiet_s[rows],
            self.rhythms[rows],
            self.elsewhere[rows],
            self.waves_bpm[rows],
            self.classes,
            self.thresholds,
            self.af_began[rows],
            self.af_ended[rows],
            self.off[rows],
            self.saturated[rows],
            self.unusable[rows],
            self.noisy[rows],
            self.settled[rows],
            self.active[rows],
            self.limits.of(rows),
        )

    def is_active(self, kind: str) -> BoolArray:
        """Where an alarm is active now."""
        return np.asarray(self.active[:, COLUMN[kind]], dtype=np.bool_)

    def above(self, kind: str) -> WideFloatArray:
        """Limit of a rule that alarms over it, eased where it is active."""
        return np.asarray(self.limits.above[:, COLUMN[kind]])

    def below(self, kind: str) -> WideFloatArray:
        """Limit of a rule that alarms under it, eased where it is active."""
        return np.asarray(self.limits.below[:, COLUMN[kind]])

    def beats_of(self, kind: str) -> WideFloatArray:
        """How many beats make it."""
        return np.asarray(self.limits.beats[:, COLUMN[kind]])

    def once(self, of: Callable[[Evidence], Answer]) -> Answer:
        """What a function says of this evidence, computed once however often it is asked for."""
        name = of.__qualname__
        if name not in self._memo:
            self._memo[name] = of(self)
        return cast(Answer, self._memo[name])

    def fresh(self) -> BoolArray:
        """Which beats are news; shape (n_beds, RECENT)."""
        return self.once(_fresh)

    def interval_extremes_s(self) -> tuple[WideFloatArray, WideFloatArray]:
        """Shortest and longest of each bed's last intervals, NaN where it has none."""
        return self.once(_interval_extremes_s)


def _fresh(evidence: Evidence) -> BoolArray:
    return np.asarray(evidence.frontier_ns[:, None] - evidence.beats.times_ns <= FRESH_NS)


def _interval_extremes_s(evidence: Evidence) -> tuple[WideFloatArray, WideFloatArray]:
    intervals_s = evidence.beats.intervals_s
    return np.fmin.reduce(intervals_s, axis=1), np.fmax.reduce(intervals_s, axis=1)


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule's answer for some beds. Shapes (n_beds,).

    ``known`` is False where the rule has nothing to go by: its alarm stays as it is.
    """

    true: BoolArray
    onsets_ns: IntArray
    values: WideFloatArray
    known: BoolArray | bool = True


Rule = Callable[[Evidence], Finding]
"""Says what is true of each bed by itself, always known."""


def where_possible(evidence: Evidence, possible: BoolArray, rules: Mapping[str, Rule]) -> dict[str, Finding]:
    """Judge rules only where they may be true: elsewhere they are false, without onset and value.

    Parameters
    ----------
    evidence : Evidence
        Of some beds.
    possible : ndarray of bool, shape (n_beds,)
        True at least wherever one of the rules is.
    rules : mapping
        By the kind of their alarm.
    """
    rows = np.flatnonzero(possible)
    if len(rows) == 0:
        return {kind: _false(len(possible)) for kind in rules}
    part = evidence if len(rows) == len(possible) else evidence.of(rows)
    return {kind: _spread(rule(part), rows, len(possible)) for kind, rule in rules.items()}


def _spread(part: Finding, rows: IntArray, n_beds: int) -> Finding:
    """A finding of some rows as one of all."""
    if len(rows) == n_beds:
        return part
    whole = _false(n_beds)
    whole.true[rows], whole.onsets_ns[rows], whole.values[rows] = part.true, part.onsets_ns, part.values
    return whole


def _false(n_beds: int) -> Finding:
    return Finding(np.zeros(n_beds, np.bool_), np.zeros(n_beds, np.int64), np.full(n_beds, np.nan))


def no_value(evidence: Evidence) -> WideFloatArray:
    """For alarms whose message has no number."""
    return np.full(len(evidence.slots), np.nan)


def any_and_last(true: BoolArray) -> tuple[BoolArray, IntArray]:
    """Whether any column of each row is true, and the last that is; shapes (n_rows, n), (n_rows,)."""
    last = true.shape[1] - 1 - true[:, ::-1].argmax(axis=1)
    return np.asarray(true.any(axis=1), dtype=np.bool_), last.astype(np.int64)
