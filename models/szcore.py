"""Seizure scoring by SzCORE's rules: events by any overlap, and samples; sensitivity, precision, F1, per day.

Dan, J., Pale, U., Amirshahi, A. et al. SzCORE: Seizure Community Open-Source Research Evaluation framework
for the validation of electroencephalography-based automated seizure detection algorithms. Epilepsia 66
(2025) Suppl 3, 14-24. The authors' package ``timescoring`` is what the tests hold these counts against.

Counts of recordings add up; figures are taken of their sums, so that a bootstrap is the same arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]
Event = tuple[float, float]
"""Start and end in seconds from the recording's start."""

EVENT_HZ: Final = 10
"""Events are compared on this grid of time, samples on one of 1 Hz."""
SAMPLE_HZ: Final = 1
DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Rules:
    """What counts as the same event, in seconds; SzCORE's values.

    Parameters
    ----------
    before_s, after_s : float
        Tolerance around a reference event in which a found one still hits it.
    merge_s : float
        Events with a shorter pause between them are one.
    longest_s : float
        Longer events are counted in pieces of this length.
    """

    before_s: float = 30.0
    after_s: float = 60.0
    merge_s: float = 90.0
    longest_s: float = 300.0


SZCORE: Final = Rules()


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of one recording, or of many.

    Attributes
    ----------
    reference : int
        Events (or seconds) of the reference.
    hits : int
        Of those, found.
    false : int
        Found where there is none.
    duration_s : float
        Length that was scored.
    """

    reference: int = 0
    hits: int = 0
    false: int = 0
    duration_s: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.reference + other.reference,
            self.hits + other.hits,
            self.false + other.false,
            self.duration_s + other.duration_s,
        )

    @property
    def sensitivity(self) -> float:
        """Share of the reference that was found; NaN without a reference."""
        return self.hits / self.reference if self.reference else float("nan")

    @property
    def precision(self) -> float:
        """Share of what was found that is true; NaN where nothing was found."""
        found = self.hits + self.false
        return self.hits / found if found else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of both; NaN where there is neither a reference nor a false one."""
        if self.reference + self.false == 0:
            return float("nan")
        return 2 * self.hits / (2 * self.hits + self.false + self.reference - self.hits)

    @property
    def false_per_day(self) -> float:
        """False ones in 24 h; NaN of no time."""
        return self.false / self.duration_s * DAY_S if self.duration_s else float("nan")


def add_up(tallies: Iterable[Tally]) -> Tally:
    """Sum of tallies; all 0 of none."""
    return reduce(Tally.__add__, tallies, Tally())


def merge_events(events: Iterable[Event], pause_s: float) -> list[Event]:
    """Events in order of time, those with a pause below ``pause_s`` joined."""
    merged: list[Event] = []
    for start, end in sorted(events):
        if merged and start - merged[-1][1] < pause_s:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def split_events(events: Iterable[Event], longest_s: float) -> list[Event]:
    """Events cut into pieces of at most ``longest_s``."""
    pieces: list[Event] = []
    for start, end in events:
        while end - start > longest_s:
            pieces.append((start, start + longest_s))
            start += longest_s
        pieces.append((start, end))
    return pieces


def mask_of(events: Iterable[Event], duration_s: float, rate_hz: int) -> BoolArray:
    """Samples at ``rate_hz`` that lie in an event; shape (round(duration_s * rate_hz),)."""
    mask = np.zeros(round(duration_s * rate_hz), dtype=np.bool_)
    for start, end in events:
        mask[round(start * rate_hz) : round(end * rate_hz)] = True
    return mask


def score_events(
    reference: Sequence[Event], found: Sequence[Event], duration_s: float, rules: Rules = SZCORE
) -> Tally:
    """Count events by any overlap.

    Parameters
    ----------
    reference, found : sequence of (float, float)
        Starts and ends in seconds, inside the recording.
    duration_s : float
        Length of the recording.
    rules : Rules
        Tolerances; SzCORE's where none are given.

    Raises
    ------
    ValueError
        An event ends before it begins, or begins before the recording.
    """
    _check(reference, "reference")
    _check(found, "found")
    told = split_events(merge_events(reference, rules.merge_s), rules.longest_s)
    made = split_events(merge_events(found, rules.merge_s), rules.longest_s)
    in_found = mask_of(made, duration_s, EVENT_HZ)
    hit = np.zeros_like(in_found)
    hits = 0
    for start, end in told:
        first = round(max(0.0, start - rules.before_s) * EVENT_HZ)
        last = round(min(len(hit) / EVENT_HZ, end + rules.after_s) * EVENT_HZ)
        if in_found[first:last].any():
            hits += 1
            hit[first:last] = True
    false = sum(not hit[round(start * EVENT_HZ) : round(end * EVENT_HZ)].any() for start, end in made)
    return Tally(len(told), hits, int(false), len(hit) / EVENT_HZ)


def score_samples(reference: Sequence[Event], found: Sequence[Event], duration_s: float) -> Tally:
    """Count seconds; parameters and errors as :func:`score_events` has them."""
    _check(reference, "reference")
    _check(found, "found")
    told = mask_of(reference, duration_s, SAMPLE_HZ)
    made = mask_of(found, duration_s, SAMPLE_HZ)
    return Tally(int(told.sum()), int((told & made).sum()), int((made & ~told).sum()), len(told) / SAMPLE_HZ)


def latencies(
    reference: Sequence[Event], raised_s: Sequence[float], rules: Rules = SZCORE
) -> list[float | None]:
    """Seconds from each reference event's start to the first alarm for it; None where none was raised.

    Parameters
    ----------
    reference : sequence of (float, float)
        Events; those that SzCORE joins are one here too.
    raised_s : sequence of float
        Moments at which alarms were raised (not the starts of what they tell of).
    rules : Rules
        An alarm is for an event from ``before_s`` before its start to ``after_s`` after its end.
    """
    raised = sorted(raised_s)
    return [
        next((at - start for at in raised if start - rules.before_s <= at <= end + rules.after_s), None)
        for start, end in merge_events(reference, rules.merge_s)
    ]


def _check(events: Sequence[Event], which: str) -> None:
    for start, end in events:
        if not (end >= start >= 0):
            raise ValueError(f"{which} event {start:g} to {end:g} s: starts at 0 or later, ends after it")
