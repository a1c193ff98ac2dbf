"""Counts with exact intervals: sensitivity (Clopper-Pearson) and false alarms a bed-day (Garwood)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

from inference.reference import Labels
from inference.reference_marks import KINDS
from inference.score import RecordScore

PROMPT_S: Final = 10.0
"""docs/alarms.md: an alarm comes within 10 s."""

DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Share:
    """``count`` of ``whole`` with the exact 95 % interval of the proportion."""

    count: int
    whole: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Rate:
    """``count`` events in ``days`` bed-days; ``low`` and ``high`` bound the count (95 %)."""

    count: int
    days: float
    low: float
    high: float

    @property
    def per_day(self) -> float | None:
        """Events a bed-day; None without any time."""
        return self.count / self.days if self.days else None


@dataclass(frozen=True, slots=True)
class KindScore:
    """All episodes of one kind on some records.

    ``prompt`` counts alarms within 10 s of the onset, ``prompt_met`` within 10 s of when the definition was
    met; ``before`` of the answered ones had their alarm since over 10 s before the onset. Delays are from the
    onset, over answered episodes whose onset is annotated.
    """

    kind: str
    answered: Share
    prompt: Share
    prompt_met: Share
    median_s: float | None
    p95_s: float | None
    worst_s: float | None
    before: int
    by: dict[str, int]


def share(count: int, whole: int) -> Share:
    """Make a share with its interval; 0 to 1 where there is nothing to count."""
    if whole == 0:
        return Share(0, 0, 0.0, 1.0)
    bounds = stats.binomtest(count, whole).proportion_ci(0.95, method="exact")
    return Share(count, whole, float(bounds.low), float(bounds.high))


def poisson_interval(count: int) -> tuple[float, float]:
    """Exact 95 % interval of a count."""
    low = float(stats.chi2.ppf(0.025, 2 * count) / 2) if count else 0.0
    return low, float(stats.chi2.ppf(0.975, 2 * count + 2) / 2)


def rate(count: int, seconds: float) -> Rate:
    """Make a rate with its interval."""
    return Rate(count, seconds / DAY_S, *poisson_interval(count))


def delays_of(scores: Iterable[RecordScore], kind: str) -> tuple[list[float], int]:
    """Delays from the onset of one kind's answered episodes, and how many episodes there are.

    Records of CinC 2015 are left out: the onsets of their episodes are not annotated.
    """
    answers = [
        answer
        for score in scores
        if score.reference.labels is not Labels.ALARM
        for answer in score.answers
        if answer.episode.kind == kind
    ]
    return [answer.delay_s for answer in answers if answer.delay_s is not None], len(answers)


def kinds(scores: Iterable[RecordScore]) -> list[KindScore]:
    """Episodes by kind, graver kinds first; kinds without an episode are left out."""
    pairs = [
        (answer, score.reference.labels is not Labels.ALARM) for score in scores for answer in score.answers
    ]
    found = []
    for kind in KINDS:
        of_kind = [(answer, timed) for answer, timed in pairs if answer.episode.kind == kind]
        if not of_kind:
            continue
        n = len(of_kind)
        delays = [answer.delay_s for answer, timed in of_kind if timed and answer.delay_s is not None]
        met = [answer.after_met_s for answer, _ in of_kind if answer.after_met_s is not None]
        late = sum(delay > PROMPT_S for delay in delays)
        answered = sum(answer.alarm is not None for answer, _ in of_kind)
        found.append(
            KindScore(
                kind,
                share(answered, n),
                share(answered - late, n),
                share(sum(delay <= PROMPT_S for delay in met), n),
                float(np.median(delays)) if delays else None,
                float(np.percentile(delays, 95)) if delays else None,
                max(delays, default=None),
                sum(answer.sounded_before for answer, _ in of_kind),
                dict(Counter(answer.alarm for answer, _ in of_kind if answer.alarm is not None)),
            )
        )
    return found


def false_rate(scores: Sequence[RecordScore]) -> Rate:
    """False high-priority alarms of records whose whole length is labelled."""
    whole = [score for score in scores if score.reference.scored]
    return rate(sum(len(score.false) for score in whole), sum(score.length_s for score in whole))
