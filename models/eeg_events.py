"""From the probability of each second to seizures: hysteresis, least length, ends; many beds at once.

Shape legend: B beds, W seconds looked back at, T seconds of a recording.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.spec import ModelSpec

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class EventRule:
    """When a seizure is raised and when it has ended.

    Parameters
    ----------
    threshold : float
        A second at or above it speaks for a seizure.
    within_s, least_s : int
        A seizure is raised once ``least_s`` of the last ``within_s`` seconds do.
    release : float
        A second below this share of the threshold speaks for its end …
    off_s : int
        … which has come once so many in a row do.
    """

    threshold: float
    within_s: int
    least_s: int
    release: float
    off_s: int

    @classmethod
    def of(cls, spec: ModelSpec) -> EventRule:
        """The rule of a model's card."""
        held = spec.thresholds
        return cls(
            held["seizure"],
            round(held["within_s"]),
            round(held["least_s"]),
            held["release"],
            round(held["off_s"]),
        )


@dataclass(frozen=True, slots=True)
class Step:
    """What one second brought; shape (B,) each.

    Attributes
    ----------
    active : ndarray of bool
        A seizure is going on.
    raised, ended : ndarray of bool
        It was raised, or has ended, by this second.
    since_s : ndarray of int64
        Seconds since it began, as far as the rule tells: 0 where none is going on.
    """

    active: BoolArray
    raised: BoolArray
    ended: BoolArray
    since_s: IntArray


class EventWatch:
    """Seizures of many beds, second by second.

    Parameters
    ----------
    rule : EventRule
        Of the model.
    n_beds : int
        Beds that there is room for.
    """

    def __init__(self, rule: EventRule, n_beds: int = 1) -> None:
        self.rule = rule
        self._recent = np.zeros((n_beds, rule.within_s), dtype=np.bool_)
        self._quiet = np.zeros(n_beds, dtype=np.int64)
        self._since = np.zeros(n_beds, dtype=np.int64)

    def reset(self, bed: int) -> None:
        """Forget a bed: its next second begins a new stream."""
        self._recent[bed], self._quiet[bed], self._since[bed] = False, 0, 0

    def state(self, bed: int) -> npt.NDArray[np.int64]:
        """One bed's state, shape (W + 2,), for snapshots."""
        return np.concatenate([self._recent[bed], [self._quiet[bed], self._since[bed]]]).astype(np.int64)

    def restore(self, bed: int, state: npt.NDArray[np.int64]) -> None:
        """Put a state back, as :meth:`state` gave it."""
        self._recent[bed] = state[:-2] > 0
        self._quiet[bed], self._since[bed] = state[-2:]

    @property
    def active(self) -> BoolArray:
        """Beds with a seizure that is going on, shape (B,)."""
        return np.asarray(self._since > 0)

    def push(self, beds: IntArray, probability: FloatArray) -> Step:
        """Take the next second of several beds.

        Parameters
        ----------
        beds : ndarray of int64, shape (B,)
            Distinct.
        probability : ndarray, shape (B,)
            NaN where the second has no signal: it speaks neither for a seizure nor for its end.
        """
        rule = self.rule
        known = np.isfinite(probability)
        high = known & (np.nan_to_num(probability) >= rule.threshold)
        low = known & (np.nan_to_num(probability) < rule.release * rule.threshold)
        recent = np.concatenate([self._recent[beds, 1:], high[:, None]], axis=1)
        before = self._since[beds]
        was = before > 0
        quiet = np.where(low, self._quiet[beds] + 1, np.where(known, 0, self._quiet[beds]))
        raised = ~was & (recent.sum(1) >= rule.least_s)
        ended = was & (quiet >= rule.off_s)
        # It began with the first of the seconds that raised it.
        began = rule.within_s - recent.argmax(1)
        since = np.where(raised, began, np.where(was & ~ended, before + 1, 0))
        # What ended is not raised again by the same seconds.
        recent[ended] = False
        self._recent[beds], self._since[beds] = recent, since
        self._quiet[beds] = np.where(raised | ended, 0, quiet)
        return Step(since > 0, raised, ended, since.astype(np.int64))


@dataclass(frozen=True, slots=True)
class Found:
    """A seizure that was found in a recording, in seconds from its start.

    Attributes
    ----------
    start_s, end_s : float
        What it covers.
    raised_s : float
        When it could be told.
    """

    start_s: float
    end_s: float
    raised_s: float


def find_events(probability_T: FloatArray, rule: EventRule, delay_s: float = 0.0) -> list[Found]:
    """Seizures of a recording, as its stream would have raised them.

    Parameters
    ----------
    probability_T : ndarray, shape (T,)
        Of each second; NaN where there is no signal.
    rule : EventRule
        Of the model.
    delay_s : float
        After the end of a second its probability is known (the model's right context).
    """
    watch = EventWatch(rule)
    bed = np.zeros(1, dtype=np.int64)
    found: list[Found] = []
    start, raised = 0.0, -1.0
    for second in range(len(probability_T)):
        step = watch.push(bed, probability_T[second : second + 1])
        if step.raised[0]:
            start, raised = float(second + 1 - step.since_s[0]), second + 1 + delay_s
        elif step.ended[0]:
            # The quiet seconds that told its end are no part of it.
            found.append(Found(start, max(start + 1.0, float(second + 1 - rule.off_s)), raised))
    if watch.active[0]:
        found.append(Found(start, float(len(probability_T)), raised))
    return found
