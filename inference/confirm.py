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
HR_LOW, PAUSE = "hr_low", "pause"
PULSELESS: Final = (ASYSTOLE, VF, HR_LOW)
"""Kinds that even an irregular train of pulses speaks against; ``hr_low`` only at a rate of 0."""

OF_NO_BEATS: Final = (HR_LOW, BRADYCARDIA, PAUSE)
"""What an asystole that is contradicted would be called otherwise."""

LAG_NS: Final = 7 * NS_PER_S // 10
"""From a beat to the end of its upstroke at the finger, at most, with the filters' delay: pulses sooner
after an onset are those of beats before it."""

LEAST_HEIGHT, MOST_HEIGHT = 0.5, 2.0
USUAL_HEIGHT: Final = 0.7
STEADY_HEIGHT: Final = 0.75
LEAST_LIKENESS, VERY_LIKE = 0.7, 0.85
STRAY: Final = 0.25
"""How far an interval of a regular train may be from their median, as a share of it. A train of pulses that
look very much as usual may be irregular (ectopic beats, atrial fibrillation), but tells no rate then."""

LONGEST_S: Final = 2.0
"""Longest interval of a train."""

OVERDUE: Final = 1.5
"""Intervals without a pulse after which a train is over."""

LEAST_PULSES: Final = 3
"""Pulses after the onset that contradict it."""

TRAIN_S: Final = 4.0
"""Least length of a train that says anything."""

SLOWER_BPM, FASTER_BPM = 115.0, 55.0
VT_SLOWER_BPM: Final = 90.0
SLOWEST_BPM: Final = 45.0
"""A slower pulse speaks against nothing."""

FLUTTER_BPM: Final = 110.0
"""From here on pulses may be those of a ventricular flutter."""

FOLDS, FOLD_STRAY = (2.0, 3.0), 0.12
"""A racing heart may give a pulse that can be seen only every second or third beat."""

ABSENT_S: Final = 3.0
"""Without a pulse for so long a stopped or fibrillating heart is confirmed."""


@dataclass(frozen=True, slots=True)
class Train:
    """Unbroken run of usual pulses that ends with each bed's last one. Shapes (n_beds,).

    ``inside`` (n_beds, RECENT) says which pulses belong; ``goes_on`` that its next is not overdue;
    ``rate_bpm`` is its mean rate, ``height`` the median of its heights and ``least_height`` the smallest of
    its last :data:`TRAIN_S`, NaN where it has fewer than three pulses.
    """

    inside: BoolArray
    goes_on: BoolArray
    length_s: WideFloatArray
    rate_bpm: WideFloatArray
    height: WideFloatArray
    least_height: WideFloatArray


@dataclass(frozen=True, slots=True)
class Judged:
    """Which conditions the pulse speaks against or for; shapes (n_beds, n_kinds), never both."""

    contradicted: BoolArray
    confirmed: BoolArray


def train(evidence: PulseEvidence, *, irregular: bool) -> Train:
    """Find the train of each bed.

    Parameters
    ----------
    evidence : PulseEvidence
        What its channel said.
    irregular : bool
        Whether pulses that look very much as usual may come irregularly.
    """
    times_ns, heights, likeness = evidence.times_ns, evidence.heights, evidence.likeness
    good = (heights >= LEAST_HEIGHT) & (heights <= MOST_HEIGHT) & (likeness >= LEAST_LIKENESS)
    clean = good & (likeness >= VERY_LIKE)
    pair = (times_ns[:, :-1] > NEVER) & (times_ns[:, 1:] > NEVER)
    intervals_s = np.where(pair, np.diff(times_ns, axis=1) / NS_PER_S, np.nan)
    usual_s = _median(intervals_s[:, -7:])
    regular = np.abs(intervals_s - usual_s[:, None]) <= STRAY * usual_s[:, None]
    joined = regular & good[:, 1:] & good[:, :-1]
    if irregular:
        joined |= clean[:, 1:] & clean[:, :-1]
    joined &= intervals_s <= LONGEST_S
    unbroken = np.cumprod(joined[:, ::-1], axis=1)[:, ::-1].astype(np.bool_)
    inside = np.concatenate([unbroken, good[:, -1:]], axis=1) & evidence.known[:, None]
    since_s = (evidence.frontier_ns - evidence.last_pulse_ns) / NS_PER_S
    length_s = np.where(unbroken, intervals_s, 0.0).sum(axis=1)
    count = unbroken.sum(axis=1)
    enough = evidence.known & (count >= 2)
    late = inside & (times_ns > (evidence.frontier_ns - round(TRAIN_S * NS_PER_S))[:, None])
    return Train(
        inside,
        enough & (since_s <= np.minimum(OVERDUE * usual_s, LONGEST_S)),
        length_s,
        np.where(enough, 60.0 * count / np.where(enough, length_s, 1.0), np.nan),
        np.where(enough, _median(np.where(inside, heights, np.nan)), np.nan),
        np.where(enough & late.any(axis=1), np.where(late, heights, np.inf).min(axis=1), np.nan),
    )


def judge(
    kinds: tuple[str, ...], evidence: PulseEvidence, onsets_ns: IntArray, values: WideFloatArray
) -> Judged:
    """Judge conditions of the ECG.

    Parameters
    ----------
    kinds : tuple of str
        Alarm kinds, the columns; those that a pulse says nothing about are left alone.
    evidence : PulseEvidence
        Of the same beds at the same time.
    onsets_ns : ndarray of int64, shape (n_beds, n_kinds)
        When each condition began, if it is true: last beat before an asystole or a rate of 0, start of a
        rhythm, first beat of a run, a tachycardia or a bradycardia.
    values : ndarray of float64, shape (n_beds, n_kinds)
        What the ECG measured: the rate, per min, where the alarm is about one.
    """
    regular, any_train = train(evidence, irregular=False), train(evidence, irregular=True)
    contradicted = np.zeros(onsets_ns.shape, dtype=np.bool_)
    confirmed = np.zeros(onsets_ns.shape, dtype=np.bool_)
    for column, kind in enumerate(kinds):
        found = any_train if kind in PULSELESS else regular
        after = _after(found, evidence, onsets_ns[:, column])
        contradicted[:, column] = _contradicted(kind, found, after, values[:, column])
        confirmed[:, column] = _confirmed(kind, evidence, found) & ~contradicted[:, column]
    return Judged(contradicted, confirmed)


def without(kinds: tuple[str, ...], true: BoolArray, judged: Judged) -> BoolArray:
    """Conditions less what is contradicted, with what else the beats that an ECG misses would be called.

    Parameters
    ----------
    kinds : tuple of str
        Alarm kinds, the columns.
    true : ndarray of bool, shape (n_beds, n_kinds)
        What the ECG says.
    judged : Judged
        What the pulse says of it.
    """
    unseen = true[:, kinds.index(ASYSTOLE)] & judged.contradicted[:, kinds.index(ASYSTOLE)]
    of_no_beats = np.isin(kinds, OF_NO_BEATS)
    return np.asarray(true & ~judged.contradicted & ~(unseen[:, None] & of_no_beats))


def _after(found: Train, evidence: PulseEvidence, onsets_ns: IntArray) -> IntArray:
    """Pulses of the train that cannot be those of beats before the onset."""
    since_ns = np.maximum(onsets_ns, NEVER // 2) + LAG_NS
    return np.asarray((found.inside & (evidence.times_ns > since_ns[:, None])).sum(axis=1))


def _contradicted(kind: str, found: Train, after: IntArray, value: WideFloatArray) -> BoolArray:
    rate = np.nan_to_num(found.rate_bpm)
    beats = found.goes_on & (found.length_s >= TRAIN_S) & (rate >= SLOWEST_BPM)
    later = beats & (after >= LEAST_PULSES)
    usual = np.nan_to_num(found.height) >= USUAL_HEIGHT
    # A racing heart fills badly: its pulses weaken or alternate.
    steady = np.nan_to_num(found.least_height) >= STEADY_HEIGHT
    single = ~_folds(rate, value)
    judged = {
        ASYSTOLE: later,
        HR_LOW: later & (value == 0.0),
        VF: later & usual & (rate < FLUTTER_BPM),
        VT: later & steady & single & (rate < VT_SLOWER_BPM),
        TACHYCARDIA: beats & steady & single & (rate < SLOWER_BPM),
        BRADYCARDIA: beats & (rate > FASTER_BPM),
    }
    return np.asarray(judged.get(kind, np.zeros(len(rate), dtype=np.bool_)))


def _folds(rate: WideFloatArray, value: WideFloatArray) -> BoolArray:
    """Whether the ECG's rate is about twice or three times the pulse's."""
    ratio = np.nan_to_num(value) / np.maximum(rate, 1.0)
    return np.asarray((np.abs(ratio[:, None] / np.array(FOLDS) - 1.0) <= FOLD_STRAY).any(axis=1))


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
    found = train(evidence, irregular=kind in PULSELESS)
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
