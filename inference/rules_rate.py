"""Rules of rate and pauses: asystole, extreme rates, heart rate limits, pause."""

from __future__ import annotations

from typing import Final

import numpy as np

from inference.beats import NEVER, heart_rate_bpm
from inference.evidence import Evidence, Finding, any_and_last
from inference.rules_rhythm import rhythm_holds
from ingest.types import BoolArray, IntArray, WideFloatArray

NO_RATE_S: Final = 4.0
"""Without a beat for so long there is no rate: an old number must not stand beside a flat line."""

STILL: Final = 0.8
"""Probability of asystole, in two windows in a row, by which the network says that nothing beats."""

NOT_FINAL_S: Final = 1.0
"""What the network has seen of each window behind the time up to which beats are final."""


def _fibrillates(evidence: Evidence) -> BoolArray:
    """Few beats are found in a fibrillating line: that is neither a slow heart nor a still one."""
    return rhythm_holds(evidence, "vf") & evidence.settled


def asystole(evidence: Evidence) -> Finding:
    """No beat for the limit, now or until just now: hops are 1 s apart and beats final 1 s late."""
    limit_s = evidence.above("asystole")
    # The newest second's beats are not final: the network's word says that there were none.
    still = evidence.rhythms[:, -2:, evidence.classes.index("asystole")]
    seen_s = np.where((np.nan_to_num(still) >= STILL).all(axis=1), NOT_FINAL_S, 0.0)
    goes_on = evidence.quiet_s + seen_s >= limit_s
    was, began_ns, lasted_s = _long_interval(evidence, limit_s)
    true = (goes_on | was) & ~_fibrillates(evidence)
    onsets = np.where(goes_on, evidence.quiet_since_ns, began_ns)
    return Finding(true, onsets, np.where(goes_on, evidence.quiet_s + seen_s, lasted_s))


def _long_interval(evidence: Evidence, limit_s: WideFloatArray) -> tuple[BoolArray, IntArray, WideFloatArray]:
    """Whether an interval over the limit has just ended, when it began and how long it was."""
    intervals_s = np.nan_to_num(evidence.beats.intervals_s)
    true, last = any_and_last((intervals_s > limit_s[:, None]) & evidence.fresh()[:, 1:])
    row = np.arange(len(last))
    return true, evidence.beats.times_ns[row, last], intervals_s[row, last]


def _last_beats_rate(evidence: Evidence, n_beats: WideFloatArray) -> tuple[WideFloatArray, IntArray]:
    """Mean rate over the last ``n_beats`` of each bed, NaN where one is lacking, and the first one's time."""
    backwards = evidence.beats.intervals_s[:, ::-1]
    n_intervals = np.clip(n_beats.astype(np.int64) - 1, 1, backwards.shape[1])
    inside = np.arange(backwards.shape[1]) < n_intervals[:, None]
    total_s = np.where(inside, backwards, 0.0).sum(axis=1)
    rate = 60.0 * n_intervals / np.where(total_s > 0, total_s, np.nan)
    first = evidence.beats.times_ns.shape[1] - 1 - n_intervals
    return rate, evidence.beats.times_ns[np.arange(len(first)), first]


def extreme_tachycardia(evidence: Evidence) -> Finding:
    """Mean rate over so many beats above the limit, the last of them just now."""
    rate, first_ns = _last_beats_rate(evidence, evidence.beats_of("extreme_tachycardia"))
    rate = np.nan_to_num(rate)
    true = (rate > evidence.above("extreme_tachycardia")) & evidence.fresh()[:, -1]
    return Finding(true, first_ns, rate)


def extreme_bradycardia(evidence: Evidence) -> Finding:
    """Mean rate over so many beats below the limit."""
    rate, first_ns = _last_beats_rate(evidence, evidence.beats_of("extreme_bradycardia"))
    slow = np.nan_to_num(rate, nan=np.inf) < evidence.below("extreme_bradycardia")
    return Finding(slow & ~_fibrillates(evidence), np.maximum(first_ns, NEVER), np.nan_to_num(rate))


def displayed_rate_bpm(evidence: Evidence, fibrillates: BoolArray) -> WideFloatArray:
    """Heart rate as it is shown: NaN where none can be told, 0 without a beat for :data:`NO_RATE_S`.

    Parameters
    ----------
    evidence : Evidence
        Of some beds.
    fibrillates : ndarray of bool, shape (n_beds,)
        A fibrillating heart has no rate, whatever is found in its line.
    """
    intervals_s = evidence.beats.intervals_s
    # After a standstill the rate is that of the beats since.
    still = np.nan_to_num(intervals_s) >= NO_RATE_S
    standstill = np.cumsum(still[:, ::-1], axis=1)[:, ::-1] > 0
    rate = heart_rate_bpm(np.where(standstill, np.nan, intervals_s))
    counted = ~evidence.unusable & ~fibrillates
    return np.where(counted, np.where(evidence.quiet_s < NO_RATE_S, rate, 0.0), np.nan)


def heart_rate_high(evidence: Evidence) -> Finding:
    """The rate that is shown is above its limit."""
    rate = displayed_rate_bpm(evidence, _fibrillates(evidence))
    true = np.nan_to_num(rate) > evidence.above("hr_high")
    return Finding(true, evidence.ends_ns, rate, ~np.isnan(rate))


def heart_rate_low(evidence: Evidence) -> Finding:
    """The rate that is shown is below its limit."""
    rate = displayed_rate_bpm(evidence, _fibrillates(evidence))
    true = np.nan_to_num(rate, nan=np.inf) < evidence.below("hr_low")
    return Finding(true, evidence.ends_ns, rate, ~np.isnan(rate))


def pause(evidence: Evidence) -> Finding:
    """An interval longer than the limit has just ended; one that goes on is for asystole to tell."""
    return Finding(*_long_interval(evidence, evidence.above("pause")))
