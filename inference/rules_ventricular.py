"""Rules of ventricular beats: tachycardia, runs, couplets, bigeminy, how many a minute.

Ventricular tachycardia goes by first guesses of the beats' classes, for it cannot wait; what is less urgent
goes by beats that have a successor, whose class is the final one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from inference.beats import FUSION, NORMAL, VENTRICULAR, RecentBeats
from inference.evidence import Evidence, Finding, any_and_last, no_value
from inference.rules_rhythm import denied_elsewhere, recent_rate_bpm, rhythm_holds, rhythm_onset, rhythm_votes
from ingest.types import NS_PER_S, BoolArray, IntArray, WideFloatArray

DENIED: Final = 0.1
"""Another lead denies a tachycardia that the network sees in one when its own probability is below this."""

WIDE_NS: Final = 5 * NS_PER_S
WIDE_SHARE: Final = 0.3
"""A tachycardia that the network sees has so many ventricular beats: it may lack some, but not all."""


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs of ventricular beats. Shapes (n_beds, RECENT).

    Parameters
    ----------
    length : ndarray of int64
        Beats of the run up to and with each beat; 0 where it is not ventricular.
    ended : ndarray of bool
        Whether a run ends with this beat, and another beat follows.
    fast : ndarray of bool
        Whether the last so many beats of the run reach the rate of a tachycardia.
    rate : ndarray of float64
        Rate of the last so many beats up to each beat, beats/min; 0 where they are no run.
    """

    length: IntArray
    ended: BoolArray
    fast: BoolArray
    rate: WideFloatArray


def find_runs(beats: RecentBeats, n_beats: WideFloatArray, least_bpm: WideFloatArray) -> Runs:
    """Runs, and where they reach ``n_beats`` (n_beds,) at ``least_bpm`` (n_beds,)."""
    ventricular = beats.labels == VENTRICULAR
    known = np.pad(~np.isnan(beats.intervals_s), ((0, 0), (1, 0)))
    goes_on = ventricular & np.pad(ventricular[:, :-1], ((0, 0), (1, 0))) & known
    at = np.arange(beats.labels.shape[1])
    begin = np.maximum.accumulate(np.where(goes_on, -1, at), axis=1)
    length = np.where(ventricular, at - begin + 1, 0)
    followed = np.pad(known[:, 1:], ((0, 0), (0, 1)))
    ended = ventricular & followed & ~np.pad(ventricular[:, 1:], ((0, 0), (0, 1)))
    n_intervals = n_beats.astype(np.int64)[:, None] - 1
    row = np.arange(len(length))[:, None]
    span_ns = beats.times_ns - beats.times_ns[row, np.maximum(at - n_intervals, 0)]
    whole = (length > n_intervals) & (span_ns > 0)
    rate = np.where(whole, 60.0 * NS_PER_S * n_intervals / np.where(whole, span_ns, 1), 0.0)
    return Runs(length, ended, whole & (rate >= least_bpm[:, None]), rate)


def may_be_ventricular(evidence: Evidence) -> BoolArray:
    """Where any rule of this module that looks at runs can be true: only with ventricular beats or signs."""
    seen = (evidence.beats.labels == VENTRICULAR).any(axis=1) | evidence.is_active("vt")
    return np.asarray(seen | rhythm_votes(evidence, "vt").any(axis=1))


def vt_runs(evidence: Evidence) -> Runs:
    """Runs, held against what the beds call ventricular tachycardia."""
    return evidence.once(_vt_runs)


def _vt_runs(evidence: Evidence) -> Runs:
    return find_runs(evidence.beats, evidence.beats_of("vt"), evidence.above("vt"))


def ventricular_tachycardia(evidence: Evidence) -> Finding:
    """A fast run of ventricular beats, or the network sees the rhythm and the rate fits."""
    runs = vt_runs(evidence)
    by_beats, last = any_and_last(runs.fast & evidence.fresh())
    recent_rate = evidence.once(recent_rate_bpm)
    by_rhythm = rhythm_holds(evidence, "vt") & evidence.settled & (recent_rate >= evidence.above("vt"))
    goes_on = evidence.is_active("vt") & (recent_rate >= evidence.above("vt"))
    by_rhythm &= _wide(evidence) | goes_on
    by_rhythm &= ~denied_elsewhere(evidence, ("vt", "vf"), DENIED)
    by_rhythm |= goes_on & _no_normal(evidence)
    onsets = np.where(by_beats, _began_ns(evidence, runs, last), rhythm_onset(evidence, "vt"))
    rate = runs.rate[np.arange(len(last)), last]
    return Finding(by_beats | by_rhythm, onsets, np.where(by_beats, rate, recent_rate))


def _wide(evidence: Evidence) -> BoolArray:
    """Whether enough of the last seconds' beats are ventricular for a tachycardia that the network sees."""
    recent = evidence.frontier_ns[:, None] - evidence.beats.times_ns <= WIDE_NS
    labels = evidence.beats.labels
    wide = (labels == VENTRICULAR) | (labels == FUSION)
    return np.asarray((recent & wide).sum(axis=1) >= WIDE_SHARE * recent.sum(axis=1))


def _no_normal(evidence: Evidence) -> BoolArray:
    """Whether none of the last seconds' beats is normal.

    A tachycardia that goes on fills what the network of beats compares with: its beats become "early" ones
    then, but not normal ones. With the rate still up, it is not over.
    """
    recent = evidence.frontier_ns[:, None] - evidence.beats.times_ns <= WIDE_NS
    return np.asarray(recent.any(axis=1) & ~(recent & (evidence.beats.labels == NORMAL)).any(axis=1))


def _began_ns(evidence: Evidence, runs: Runs, last: IntArray) -> IntArray:
    """Time of the first beat of the runs whose beat ``last`` (n_beds,) is."""
    row = np.arange(len(last))
    return evidence.beats.times_ns[row, last - np.maximum(runs.length[row, last], 1) + 1]


def ventricular_run(evidence: Evidence) -> Finding:
    """A run that is over, or longer than a tachycardia's and too slow for one."""
    runs, least = vt_runs(evidence), evidence.beats_of("pvc_run")[:, None]
    # How many beats were fast up to each: a run in which there was one has been told as a tachycardia.
    fast = np.pad(runs.fast.cumsum(axis=1), ((0, 0), (1, 0)))
    at = np.arange(runs.length.shape[1])
    slow = fast[:, 1:] == np.take_along_axis(fast, at - runs.length + 1, axis=1)
    goes_on = runs.length >= np.maximum(least, evidence.beats_of("vt")[:, None])
    true, last = any_and_last((runs.length >= least) & (runs.ended | goes_on) & slow & _just_final(evidence))
    length = runs.length[np.arange(len(last)), last]
    return Finding(true, _began_ns(evidence, runs, last), length.astype(np.float64))


def couplet(evidence: Evidence) -> Finding:
    """Two ventricular beats in a row between others, none of them in or around a lethal rhythm."""
    runs = vt_runs(evidence)
    known = ~np.isnan(evidence.beats.intervals_s) & ~evidence.beats.apart[:, 1:]
    # The interval before the couplet must be known: else it may be the end of a longer run.
    led = np.pad(known[:, :-1], ((0, 0), (2, 0)))
    true, last = any_and_last((runs.length == 2) & runs.ended & led & _just_final(evidence))
    row = np.arange(len(last))
    return Finding(true, evidence.beats.times_ns[row, last - 1], no_value(evidence))


def bigeminy(evidence: Evidence) -> Finding:
    """Every other beat is ventricular, so many times in a row, after a lethal rhythm or without one."""
    ventricular = evidence.beats.labels == VENTRICULAR
    known = ~np.isnan(evidence.beats.intervals_s) & ~evidence.beats.apart[:, 1:]
    turns = np.pad((ventricular[:, 1:] != ventricular[:, :-1]) & known, ((0, 0), (1, 0)))
    at = np.arange(turns.shape[1])
    begin = np.maximum.accumulate(np.where(turns, -1, at), axis=1)
    n_beats = 2 * evidence.beats_of("bigeminy")[:, None]
    true, last = any_and_last((at - begin + 1 >= n_beats) & _just_final(evidence))
    row = np.arange(len(last))
    return Finding(true, evidence.beats.times_ns[row, begin[row, last]], no_value(evidence))


def _just_final(evidence: Evidence) -> BoolArray:
    """Beats that are news and have a successor."""
    fresh = evidence.fresh()
    # The newest beat was a guess before: what it ends is news as long as its successor is.
    return np.asarray(np.pad(fresh[:, 1:], ((0, 0), (0, 1))))


def many_ventricular(evidence: Evidence, kind: str) -> Finding:
    """More ventricular beats in the last minute than the limit."""
    count = evidence.ventricular_per_min.astype(np.float64)
    return Finding(count > evidence.above(kind), evidence.ends_ns, count)
