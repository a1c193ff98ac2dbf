"""What the ECG says: beats, rhythm probabilities and lead status become conditions of the alarm rules."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inference.alarms import Conditions, Limits
from inference.beats import NEVER, RecentBeats, mean_rate_bpm, ventricular_run
from inference.catalog import load_catalogue
from ingest.types import NS_PER_S, BoolArray, IntArray, WideFloatArray

ECG_SPECS = load_catalogue().of_signal("ecg")
"""The alarms that look at the ECG, in the order of the columns."""

COLUMN = {spec.kind: place for place, spec in enumerate(ECG_SPECS)}

OF_WINDOWS = 3
"""The network's rhythm counts when two of the last three windows say so."""

RHYTHM_ONSET_S = 2.0
"""A rhythm fills most of its window's last 4 s, so that it began at least this long before the end."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the rules look at, for some beds at one step. Shapes (n_beds,) unless said.

    Parameters
    ----------
    slots, ends_ns, frontier_ns : ndarray of int64
        Beds, device time of the windows' ends, and the time up to which beats are final.
    beats : RecentBeats
        Their last beats.
    quiet_since_ns : ndarray of int64
        Last beat, or the stream's start.
    quiet_s : ndarray of float64
        Time since then in which a beat would have been seen: missing and useless stretches do not count.
    rhythms : ndarray, shape (n_beds, OF_WINDOWS, n_classes)
        Rhythm probabilities of the last windows, newest last; NaN where none.
    classes : tuple of str
        Their names.
    thresholds : dict
        Probability from which a rhythm counts.
    off, unusable, noisy, settled : ndarray of bool
        Leads off; no lead can carry a rhythm; noise on all of them; enough signal for the network's rhythm.
    active : ndarray of bool, shape (n_beds, n_rules)
        Alarms that are active now, in the order of :data:`ECG_SPECS`.
    limits : Limits
        What the beds are set to.
    """

    slots: IntArray
    ends_ns: IntArray
    frontier_ns: IntArray
    beats: RecentBeats
    quiet_since_ns: IntArray
    quiet_s: WideFloatArray
    rhythms: WideFloatArray
    classes: tuple[str, ...]
    thresholds: dict[str, float]
    off: BoolArray
    unusable: BoolArray
    noisy: BoolArray
    settled: BoolArray
    active: BoolArray
    limits: Limits

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


@dataclass(frozen=True, slots=True)
class _Finding:
    true: BoolArray
    onsets_ns: IntArray
    values: WideFloatArray


def conditions(evidence: Evidence) -> Conditions:
    """Judge every rule of :data:`ECG_SPECS` for some beds."""
    findings = {
        "asystole": _asystole(evidence),
        "vf": _fibrillation(evidence),
        "vt": _ventricular_tachycardia(evidence),
        "extreme_tachycardia": _extreme_tachycardia(evidence),
        "extreme_bradycardia": _extreme_bradycardia(evidence),
        "lead_off": _technical(evidence, evidence.off),
        "unusable": _technical(evidence, evidence.unusable),
        "noise": _technical(evidence, evidence.noisy),
    }
    never = _technical(evidence, np.zeros_like(evidence.off))
    ordered = [findings.get(spec.kind, never) for spec in ECG_SPECS]
    lead = ~evidence.unusable
    judged = {"nothing": np.ones_like(lead), "lead": lead, "clean": lead & ~evidence.noisy}
    each = [judged[spec.needs] & (evidence.settled | (spec.kind != "vf")) for spec in ECG_SPECS]
    return Conditions(
        evidence.slots,
        evidence.ends_ns,
        np.stack([finding.true for finding in ordered], axis=1),
        np.stack(each, axis=1),
        np.stack([finding.onsets_ns for finding in ordered], axis=1),
        np.stack([finding.values for finding in ordered], axis=1),
    )


def rhythm_holds(evidence: Evidence, name: str) -> BoolArray:
    """Whether two of the last three windows show a rhythm."""
    return np.asarray(_votes(evidence, name).sum(axis=1) >= 2, dtype=np.bool_)


def _votes(evidence: Evidence, name: str) -> BoolArray:
    """Which of the last windows show a rhythm; shape (n_beds, OF_WINDOWS)."""
    probabilities = evidence.rhythms[:, :, evidence.classes.index(name)]
    votes: BoolArray = np.nan_to_num(probabilities, nan=0.0) >= evidence.thresholds[name]
    return votes


def _rhythm_onset(evidence: Evidence, name: str) -> IntArray:
    """End of the first window that showed it, less the part of the window that the rhythm must fill."""
    first = _votes(evidence, name).argmax(axis=1)
    ago_s = OF_WINDOWS - 1 - first + RHYTHM_ONSET_S
    return np.asarray(evidence.ends_ns - (ago_s * NS_PER_S).astype(np.int64))


def _asystole(evidence: Evidence) -> _Finding:
    quiet_s = evidence.quiet_s
    true = (quiet_s >= evidence.above("asystole")) & ~(rhythm_holds(evidence, "vf") & evidence.settled)
    return _Finding(true, evidence.quiet_since_ns, quiet_s)


def _fibrillation(evidence: Evidence) -> _Finding:
    # A fibrillation that waxes or turns into a tachycardia for a moment is not over.
    lethal = (_votes(evidence, "vf") | _votes(evidence, "vt")).any(axis=1)
    goes_on = evidence.is_active("vf") & lethal
    none = np.full(len(evidence.slots), np.nan)
    return _Finding(rhythm_holds(evidence, "vf") | goes_on, _rhythm_onset(evidence, "vf"), none)


def _ventricular_tachycardia(evidence: Evidence) -> _Finding:
    length, rate = ventricular_run(evidence.beats)
    fresh = evidence.frontier_ns - evidence.beats.times_ns[:, -1] <= 2 * NS_PER_S
    by_beats = (length >= evidence.beats_of("vt")) & (rate >= evidence.above("vt")) & fresh
    recent_rate = np.nan_to_num(mean_rate_bpm(evidence.beats.intervals_s[:, -6:], 3))
    by_rhythm = rhythm_holds(evidence, "vt") & evidence.settled & (recent_rate >= evidence.above("vt"))
    n_beats = evidence.beats.times_ns.shape[1]
    first = np.clip(n_beats - length, 0, n_beats - 1)
    run_began = evidence.beats.times_ns[np.arange(len(first)), first]
    onsets = np.where(by_beats, run_began, _rhythm_onset(evidence, "vt"))
    return _Finding(by_beats | by_rhythm, onsets, np.where(by_beats, rate, recent_rate))


def _extreme_tachycardia(evidence: Evidence) -> _Finding:
    rate = np.nan_to_num(mean_rate_bpm(evidence.beats.intervals_s[:, -16:], 16))
    fresh = evidence.frontier_ns - evidence.beats.times_ns[:, -1] <= 2 * NS_PER_S
    true = (rate > evidence.above("extreme_tachycardia")) & fresh
    return _Finding(true, evidence.beats.times_ns[:, -17], rate)


def _extreme_bradycardia(evidence: Evidence) -> _Finding:
    rate = mean_rate_bpm(evidence.beats.intervals_s[:, -4:], 4)
    # Few beats are found in a fibrillating line: that is no slow heart.
    fibrillates = rhythm_holds(evidence, "vf") & evidence.settled
    true = (np.nan_to_num(rate, nan=np.inf) < evidence.below("extreme_bradycardia")) & ~fibrillates
    return _Finding(true, np.maximum(evidence.beats.times_ns[:, -5], NEVER), np.nan_to_num(rate))


def _technical(evidence: Evidence, true: BoolArray) -> _Finding:
    return _Finding(true, evidence.ends_ns, np.full(len(evidence.slots), np.nan))
