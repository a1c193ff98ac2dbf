"""From what was said of each second of an EEG to stretches: seizures, what was not judged, suppression.

Shape legend: T seconds, D derivations of the whole longitudinal montage.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from inference.analysis_eeg_parts import SIDED_TRENDS, TREND_SIDES, EegLines, EegSeizure, EegSuppression
from inference.analysis_eeg_play import IMPLAUSIBLE, LOST, PlayedEeg
from inference.analysis_findings import Stretch
from inference.eeg_monitor import LEAST_TRUSTED
from inference.types import EegTrends, Vital
from ingest.montage import LONGITUDINAL
from ingest.types import BoolArray, FloatArray, IntArray, WideFloatArray
from models.eeg_events import EventRule

SUPPRESSED_SHARE: Final = 0.9
"""Of a second, mean over the derivations, from which it counts as suppressed."""

MOST_LOOKED: Final = 3
REASONS: Final = {
    IMPLAUSIBLE: "amplitude not plausible: check unit and gain",
    LOST: "fewer than half of the derivations could be trusted",
}
AWAITED: Final = "the recording ends before the network has seen what follows"
UNSAID: Final = "no derivation was there"


@dataclass(frozen=True, slots=True)
class Course:
    """What the network said, by the second that it is of; second k begins at ``k - late_s``.

    Attributes
    ----------
    late_s : float
        Delay of the resampler.
    probability : ndarray of float64, shape (T,)
        Of a seizure; NaN where it said nothing.
    judged : ndarray of bool, shape (T,)
        Whether what it said counts: enough derivations could be trusted.
    since_s : ndarray of int64, shape (T,)
        Seconds since the seizure began that is going on; 0 where none is.
    raised : ndarray of bool, shape (T,)
        A seizure was raised by this second.
    looked : ndarray of float32, shape (T, D)
        How much each derivation was looked at.
    asked : bool
        Whether there was a network.
    """

    late_s: float
    probability: WideFloatArray
    judged: BoolArray
    since_s: IntArray
    raised: BoolArray
    looked: FloatArray
    asked: bool

    def at_s(self, second: int) -> float:
        """When a second begins."""
        return max(0.0, round(second - self.late_s, 2))


def course_of(played: PlayedEeg, behind: int, late_s: float) -> Course:
    """Lay what the network said beside the seconds that it is of; ``behind`` is how much later it said so."""
    n = len(played.vitals)
    course = Course(
        late_s,
        np.full(n, np.nan),
        np.zeros(n, dtype=np.bool_),
        np.zeros(n, dtype=np.int64),
        np.zeros(n, dtype=np.bool_),
        np.zeros((n, len(LONGITUDINAL)), dtype=np.float32),
        bool(played.judged),
    )
    for second, said in enumerate(played.judged, -behind):
        if second < 0:
            continue
        if len(said.rows) == 0:
            # It knows nothing of this second: a seizure neither goes on nor ends by it.
            course.since_s[second] = course.since_s[second - 1] if second else 0
            continue
        course.probability[second] = said.probability[0]
        course.judged[second] = said.quality[0] >= LEAST_TRUSTED
        course.since_s[second], course.raised[second] = said.since_s[0], said.raised[0]
        course.looked[second] = said.looked[0]
    return course


def seizures_of(
    course: Course, rule: EventRule, behind: int, names: Mapping[int, str], duration_s: float
) -> tuple[list[EegSeizure], int]:
    """Seizures, and how many were left out since most of their seconds could not be judged.

    Parameters
    ----------
    course : Course
        Of the recording.
    rule : EventRule
        By which the network raised them.
    behind : int
        Seconds that it waits.
    names : mapping
        Derivation of each place.
    duration_s : float
        Of the recording.
    """
    found: list[EegSeizure] = []
    doubtful = 0
    n = len(course.since_s) - behind
    for raised in np.flatnonzero(course.raised).tolist():
        first = raised + 1 - int(course.since_s[raised])
        over = np.flatnonzero(course.since_s[raised:n] == 0)
        to_the_end = len(over) == 0
        # The quiet seconds that told its end are no part of it.
        last = n if to_the_end else max(raised + 1, raised + int(over[0]) - (rule.off_s - 1))
        judged = course.judged[first:last]
        if judged.mean() < LEAST_TRUSTED:
            doubtful += 1
            continue
        probability = np.where(judged, np.nan_to_num(course.probability[first:last]), 0.0)
        peak = first + int(probability.argmax())
        found.append(
            EegSeizure(
                course.at_s(first),
                round(duration_s, 2) if to_the_end else course.at_s(last),
                course.at_s(raised + 1 + behind),
                course.at_s(peak),
                round(float(course.probability[peak]), 4),
                _looked(course.looked[first:last][judged], names),
                to_the_end,
            )
        )
    return found, doubtful


def _looked(weights: FloatArray, names: Mapping[int, str]) -> dict[str, float]:
    mean = weights.mean(axis=0)
    first = np.argsort(-mean)[:MOST_LOOKED].tolist()
    return {names[place]: round(float(mean[place]), 3) for place in first if mean[place] > 0}


def lost_stretches(course: Course, signs: Sequence[str | None], duration_s: float) -> list[Stretch]:
    """Runs of seconds that were not judged for one reason; without a network: that cannot be used."""
    reasons: list[str] = []
    for second, sign in enumerate(signs):
        if sign is not None:
            reasons.append(REASONS[sign])
        elif course.asked and not course.judged[second]:
            reasons.append(UNSAID if np.isfinite(course.probability[second:]).any() else AWAITED)
        else:
            reasons.append("")
    found: list[Stretch] = []
    begin = 0
    for second in range(1, len(reasons) + 1):
        if second < len(reasons) and reasons[second] == reasons[begin]:
            continue
        if reasons[begin]:
            end_s = duration_s if second == len(reasons) else course.at_s(second)
            found.append(Stretch(course.at_s(begin), round(end_s, 2), reasons[begin]))
        begin = second
    return found


def lines_of(course: Course, vitals: Sequence[Vital]) -> EegLines:
    """Probability and trends of each second."""
    judged = np.where(course.judged, course.probability, np.nan).round(4).tolist()
    trends: dict[str, list[float | None]] = {
        f"{name}_{side}": [_sided(vital.eeg, side, name) for vital in vitals]
        for name in SIDED_TRENDS
        for side in TREND_SIDES
    }
    trends["asymmetry"] = [None if vital.eeg is None else vital.eeg.asymmetry for vital in vitals]
    return EegLines(
        [course.at_s(second + 1) for second in range(len(vitals))],
        [None if math.isnan(one) else one for one in judged],
        trends,
    )


def _sided(trends: EegTrends | None, side: str, name: str) -> float | None:
    value: float | None = None if trends is None else getattr(getattr(trends, side), name)
    return value


def suppression_of(played: PlayedEeg, late_s: float) -> EegSuppression:
    """The longest run of suppressed seconds, and the highest ratio of a minute."""
    quiet = np.nan_to_num(played.suppressed) >= SUPPRESSED_SHARE
    edges = np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]]).astype(np.int8)))
    begins, ends = edges[::2], edges[1::2]
    begin_s = end_s = None
    if len(begins):
        longest = int((ends - begins).argmax())
        # What is known of a second is of the one that ended half a second before it did.
        begin_s = max(0.0, round(float(begins[longest]) - late_s - 0.5, 2))
        end_s = round(float(ends[longest]) - late_s - 0.5, 2)
    ratios = [
        np.nan if vital.eeg is None or vital.eeg.whole.suppression is None else vital.eeg.whole.suppression
        for vital in played.vitals
    ]
    if not ratios or np.isnan(ratios).all():
        return EegSuppression(begin_s, end_s, None, None)
    at = int(np.nanargmax(ratios))
    return EegSuppression(begin_s, end_s, round(float(ratios[at]), 3), round(at + 1 - late_s, 2))
