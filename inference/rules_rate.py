"""Rules of rate and pauses: asystole, extreme rates, heart rate limits, pause."""

from __future__ import annotations

from typing import Final

import numpy as np

from inference.beats import OF_RATE, heart_rate_bpm
from inference.evidence import Evidence, Finding, any_and_last
from inference.rules_rhythm import fibrillates
from ingest.types import NS_PER_S, BoolArray, IntArray, WideFloatArray

NO_RATE_S: Final = 4.0
"""Without a beat for so long there is no rate: an old number must not stand beside a flat line."""

STILL: Final = 0.8
"""Probability of asystole, in two windows in a row, by which the network says that nothing beats."""

NOT_FINAL_S: Final = 1.0
"""What the network has seen of each window behind the time up to which beats are final."""

SLACK: Final = 1.0 + 1e-6
"""For rounding, where a rule is only looked at if it can be true."""


def _fibrillates(evidence: Evidence) -> BoolArray:
    """Few beats are found in a fibrillating line: that is neither a slow heart nor a still one."""
    return fibrillates(evidence) & evidence.settled


def may_be_still(evidence: Evidence) -> BoolArray:
    """Where :func:`asystole` can be true: an interval over its limit has ended or goes on."""
    limit_s, (_, longest_s) = evidence.above("asystole"), evidence.interval_extremes_s()
    return np.asarray((evidence.quiet_s + NOT_FINAL_S >= limit_s) | (longest_s > limit_s))


def may_have_paused(evidence: Evidence) -> BoolArray:
    """Where :func:`pause` can be true."""
    return np.asarray(evidence.interval_extremes_s()[1] > evidence.above("pause"))


def may_be_fast(evidence: Evidence) -> BoolArray:
    """Where :func:`extreme_tachycardia` can be true: no mean rate is above that of the shortest interval."""
    shortest_s, _ = evidence.interval_extremes_s()
    return np.asarray(evidence.above("extreme_tachycardia") * shortest_s <= SLACK * 60.0)


def may_be_slow(evidence: Evidence) -> BoolArray:
    """Where :func:`extreme_bradycardia` can be true: no mean rate is below that of the longest interval."""
    _, longest_s = evidence.interval_extremes_s()
    return np.asarray(SLACK * evidence.below("extreme_bradycardia") * longest_s >= 60.0)


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


def _rates(evidence: Evidence, n_beats: WideFloatArray) -> tuple[WideFloatArray, IntArray]:
    """Mean rate of the last ``n_beats`` up to each beat, and the first one's time; shapes (n_beds, RECENT).

    NaN where one of them is lacking and where the beat is no news; the last beat always is.
    """
    times_ns, intervals_s = evidence.beats.times_ns, evidence.beats.intervals_s
    at = np.arange(times_ns.shape[1])
    n_intervals = np.clip(n_beats.astype(np.int64) - 1, 1, len(at) - 1)[:, None]
    first = np.maximum(at - n_intervals, 0)
    lacking = np.pad(np.isnan(intervals_s).cumsum(axis=1), ((0, 0), (1, 0)))
    whole = (at >= n_intervals) & (lacking == np.take_along_axis(lacking, first, axis=1))
    news = evidence.fresh() | (at == len(at) - 1)
    first_ns = np.take_along_axis(times_ns, first, axis=1)
    span_s = np.where(whole, times_ns - first_ns, NS_PER_S) / NS_PER_S
    return np.where(whole & news, 60.0 * n_intervals / span_s, np.nan), first_ns


def extreme_tachycardia(evidence: Evidence) -> Finding:
    """Mean rate over so many beats above the limit, the last of them just now."""
    rates, first_ns = _rates(evidence, evidence.beats_of("extreme_tachycardia"))
    rates = np.nan_to_num(np.where(evidence.fresh(), rates, np.nan))
    row, best = np.arange(len(rates)), rates.argmax(axis=1)
    rate = rates[row, best]
    return Finding(rate > evidence.above("extreme_tachycardia"), first_ns[row, best], rate)


def extreme_bradycardia(evidence: Evidence) -> Finding:
    """Mean rate over so many beats below the limit."""
    rates, first_ns = _rates(evidence, evidence.beats_of("extreme_bradycardia"))
    rates = np.nan_to_num(rates, nan=np.inf)
    row, least = np.arange(len(rates)), rates.argmin(axis=1)
    rate = rates[row, least]
    slow = rate < evidence.below("extreme_bradycardia")
    shown = np.where(np.isinf(rate), 0.0, rate)
    return Finding(slow & ~_fibrillates(evidence), first_ns[row, least], shown)


def displayed_rate_bpm(evidence: Evidence, fibrillates: BoolArray) -> WideFloatArray:
    """Heart rate as it is shown: NaN where none can be told, 0 without a beat for :data:`NO_RATE_S`.

    Parameters
    ----------
    evidence : Evidence
        Of some beds.
    fibrillates : ndarray of bool, shape (n_beds,)
        A fibrillating heart has no rate, whatever is found in its line.
    """
    rate = evidence.once(_rate_since_standstill_bpm)
    counted = ~evidence.unusable & ~fibrillates
    return np.where(counted, np.where(evidence.quiet_s < NO_RATE_S, rate, 0.0), np.nan)


def _rate_since_standstill_bpm(evidence: Evidence) -> WideFloatArray:
    """Heart rate of the beats that there are; after a standstill that of the beats since."""
    intervals_s = evidence.beats.intervals_s[:, -OF_RATE:]
    still = np.nan_to_num(intervals_s) >= NO_RATE_S
    standstill = np.maximum.accumulate(still[:, ::-1], axis=1)[:, ::-1]
    return heart_rate_bpm(np.where(standstill, np.nan, intervals_s))


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
