"""What the pulse says of ECG alarms: it confirms, contradicts, or says nothing.

A pulse that goes on as before speaks against an alarm whatever the ECG looks like; a pulse that stops speaks
for it. A miss costs more than a false alarm, so only an unbroken train of pulses of usual height and shape,
at regular intervals, up to where the channel is judged, contradicts; a weak, strange or irregular one says
nothing. Ventricular tachycardia may have a pulse: only one slower than the run speaks against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from inference.beats import NEVER
from inference.pulses import KINDS, NO_SOURCE, PulseEvidence
from ingest.types import NS_PER_S, BoolArray, IntArray, WideFloatArray

ASYSTOLE, VF, VT = "asystole", "vf", "vt"
TACHYCARDIA, BRADYCARDIA = "extreme_tachycardia", "extreme_bradycardia"

LAG_NS: Final = 7 * NS_PER_S // 10
"""From a beat to the end of its upstroke at the finger, at most, with the filters' delay: pulses sooner
after an onset are those of beats before it."""

LEAST_HEIGHT, MOST_HEIGHT = 0.5, 2.0
USUAL_HEIGHT: Final = 0.7
LEAST_LIKENESS: Final = 0.7
STRAY: Final = 0.25
"""How far an interval of a regular train may be from their median, as a share of it."""

OVERDUE: Final = 1.5
"""Intervals without a pulse after which a train is over."""

LEAST_PULSES: Final = 3
"""Pulses after the onset that contradict it."""

TRAIN_S: Final = 4.0
"""Least length of a train that tells a rate."""

SLOWER_BPM, FASTER_BPM = 115.0, 55.0
VT_SLOWER_BPM: Final = 90.0
ABSENT_S: Final = 3.0
"""Without a pulse for so long a stopped or fibrillating heart is confirmed."""


@dataclass(frozen=True, slots=True)
class Train:
    """Unbroken run of good, regular pulses that ends with each bed's last one. Shapes (n_beds,).

    ``inside`` (n_beds, RECENT) says which pulses belong; ``goes_on`` that its next is not overdue;
    ``rate_bpm`` and ``height`` are medians, NaN where it has fewer than three pulses.
    """

    inside: BoolArray
    goes_on: BoolArray
    length_s: WideFloatArray
    rate_bpm: WideFloatArray
    height: WideFloatArray


@dataclass(frozen=True, slots=True)
class Judged:
    """Which conditions the pulse speaks against or for; shapes (n_beds, n_kinds), never both."""

    contradicted: BoolArray
    confirmed: BoolArray


def train(evidence: PulseEvidence) -> Train:
    """Find the train of each bed."""
    times, heights = evidence.times_ns, evidence.heights
    good = (heights >= LEAST_HEIGHT) & (heights <= MOST_HEIGHT) & (evidence.likeness >= LEAST_LIKENESS)
    pair = (times[:, :-1] > NEVER) & (times[:, 1:] > NEVER)
    intervals_s = np.where(pair, np.diff(times, axis=1) / NS_PER_S, np.nan)
    usual_s = _median(intervals_s[:, -7:])
    regular = np.abs(intervals_s - usual_s[:, None]) <= STRAY * usual_s[:, None]
    joined = regular & good[:, 1:] & good[:, :-1]
    unbroken = np.cumprod(joined[:, ::-1], axis=1)[:, ::-1].astype(np.bool_)
    inside = np.concatenate([unbroken, good[:, -1:]], axis=1)
    inside[:, 1:] |= unbroken
    since_s = (evidence.frontier_ns - evidence.last_pulse_ns) / NS_PER_S
    length_s = np.where(unbroken, intervals_s, 0.0).sum(axis=1)
    count = unbroken.sum(axis=1)
    enough = count >= 2
    return Train(
        inside & evidence.known[:, None],
        evidence.known & enough & (since_s <= OVERDUE * usual_s),
        length_s,
        np.where(enough, 60.0 * count / np.where(enough, length_s, 1.0), np.nan),
        np.where(enough, _median(np.where(inside, heights, np.nan)), np.nan),
    )


def judge(kinds: tuple[str, ...], evidence: PulseEvidence, onsets_ns: IntArray) -> Judged:
    """Judge conditions of the ECG.

    Parameters
    ----------
    kinds : tuple of str
        Alarm kinds, the columns; those that a pulse says nothing about are left alone.
    evidence : PulseEvidence
        Of the same beds at the same time.
    onsets_ns : ndarray of int64, shape (n_beds, n_kinds)
        When each condition began, if it is true: last beat before an asystole, start of a rhythm, first beat
        of a run, a tachycardia or a bradycardia.
    """
    found = train(evidence)
    contradicted = np.zeros(onsets_ns.shape, dtype=np.bool_)
    confirmed = np.zeros(onsets_ns.shape, dtype=np.bool_)
    for column, kind in enumerate(kinds):
        after = _after(found, evidence, onsets_ns[:, column])
        contradicted[:, column] = _contradicted(kind, found, after)
        confirmed[:, column] = _confirmed(kind, evidence, found) & ~contradicted[:, column]
    return Judged(contradicted, confirmed)


def _after(found: Train, evidence: PulseEvidence, onsets_ns: IntArray) -> IntArray:
    """Pulses of the train that cannot be those of beats before the onset."""
    since_ns = np.maximum(onsets_ns, NEVER // 2) + LAG_NS
    return np.asarray((found.inside & (evidence.times_ns > since_ns[:, None])).sum(axis=1))


def _contradicted(kind: str, found: Train, after: IntArray) -> BoolArray:
    goes_on, rate = found.goes_on, np.nan_to_num(found.rate_bpm)
    long, usual = found.length_s >= TRAIN_S, np.nan_to_num(found.height) >= USUAL_HEIGHT
    if kind == ASYSTOLE:
        return np.asarray(goes_on & (after >= LEAST_PULSES))
    if kind == VF:
        return np.asarray(goes_on & (after >= LEAST_PULSES) & usual)
    if kind == BRADYCARDIA:
        return np.asarray(goes_on & long & (rate > FASTER_BPM))
    if kind == TACHYCARDIA:
        return np.asarray(goes_on & long & usual & (rate < SLOWER_BPM))
    if kind == VT:
        return np.asarray(goes_on & long & usual & (after >= LEAST_PULSES) & (rate < VT_SLOWER_BPM))
    return np.zeros(len(rate), dtype=np.bool_)


def _confirmed(kind: str, evidence: PulseEvidence, found: Train) -> BoolArray:
    absent = evidence.known & (_silent_s(evidence) >= ABSENT_S)
    rate = np.nan_to_num(np.where(found.goes_on & (found.length_s >= TRAIN_S), found.rate_bpm, np.nan))
    if kind in (ASYSTOLE, VF):
        return np.asarray(absent)
    if kind == VT:
        return np.asarray(absent | (rate >= 100.0))
    if kind == TACHYCARDIA:
        return np.asarray(rate > 130.0)
    if kind == BRADYCARDIA:
        return np.asarray((rate > 0) & (rate < 45.0))
    return np.zeros(len(rate), dtype=np.bool_)


def _silent_s(evidence: PulseEvidence) -> WideFloatArray:
    """Time without a pulse up to where it was judged, s; 0 where there was never one."""
    some = evidence.last_pulse_ns > NEVER
    return np.where(some, (evidence.frontier_ns - evidence.last_pulse_ns) / NS_PER_S, 0.0)


def reasons(kind: str, evidence: PulseEvidence, row: int) -> list[str]:
    """What the pulse says of one bed's alarm, in words; empty where it says nothing.

    Parameters
    ----------
    kind : str
        Alarm kind.
    evidence : PulseEvidence
        As :func:`judge` got it.
    row : int
        The bed's row there.
    """
    if evidence.source[row] == NO_SOURCE or kind not in (ASYSTOLE, VF, VT, TACHYCARDIA, BRADYCARDIA):
        return []
    name = KINDS[int(evidence.source[row])].value.upper()
    silent_s = float(_silent_s(evidence)[row])
    if silent_s >= ABSENT_S:
        return [f"no pulse in {name} for {silent_s:.0f} s"]
    found = train(evidence)
    if not found.goes_on[row]:
        return [f"pulses in {name} irregular or weak"]
    return [
        f"{name} pulses at {found.rate_bpm[row]:.0f}/min, {100 * found.height[row]:.0f} % of usual height"
    ]


def _median(values: WideFloatArray) -> WideFloatArray:
    """Median of each row without its NaN; NaN where there is nothing else."""
    ordered = np.sort(values, axis=1)
    count = (~np.isnan(values)).sum(axis=1)
    row = np.arange(len(values))
    low, high = ordered[row, np.maximum(count - 1, 0) // 2], ordered[row, count // 2]
    return np.asarray(np.where(count % 2 == 1, low, 0.5 * (low + high)))
