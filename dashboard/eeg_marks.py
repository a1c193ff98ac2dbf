"""What a network says of an EEG over the last hours: how likely a seizure is, step by step, and spans."""

from __future__ import annotations

import bisect
import itertools
from typing import Final

import msgspec

from inference.newest import Place, place
from inference.types import Prediction
from inference.windows import CLEAN
from ingest.types import NS_PER_S

HELD_S: Final = 7_200.0
MOST_STEPS: Final = 7_200
MOST_SPANS: Final = 256
MOST_CHARACTERS: Final = 40
SEIZURE: Final = "seizure"
JOINS_S: Final = 0.5
"""A span that begins so soon after the end of one of its kind is its continuation."""

_epochs = itertools.count(1)


class Step(msgspec.Struct, frozen=True, array_like=True):
    """One judged piece: device time of its end (s), probability of a seizure; ``None``: not to be judged."""

    end_s: float
    probability: float | None


class Span(msgspec.Struct, frozen=True, array_like=True):
    """Something marked (a seizure), device time in s since 1970, and its highest probability."""

    start_s: float
    end_s: float
    label: str
    probability: float


class Said(msgspec.Struct, frozen=True):
    """Steps that came after some count, and all spans; ``epoch`` changes where they begin anew."""

    epoch: int
    count: int
    model: str
    steps: list[Step]
    spans: list[Span]


class EegMarks:
    """Steps and spans of one bed's EEG in the order of time, in bounded memory."""

    __slots__ = ("_count", "_ends", "_epoch", "_highest", "_model", "_orders", "_spans", "_steps")

    def __init__(self) -> None:
        self._highest: Place = (-1, -1)
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._epoch = next(_epochs)
        self._count = 0
        """Of steps that were ever taken in."""
        self._model = ""
        self._ends: list[int] = []
        self._orders: list[Place] = []
        self._steps: list[tuple[int, Step]] = []
        """With the count at which each came."""
        self._spans: list[Span] = []

    def add(self, told: Prediction) -> None:
        """Take in a prediction of an EEG; what is told again counts once."""
        order = place(told)
        if self._ends and (told.model != self._model or told.end_ns < self._ends[-1] - HELD_S * NS_PER_S / 2):
            if order <= self._highest:
                return
            # Not a late copy: another network reads on, or the device's clock was set back.
            self._begin_anew()
        at = bisect.bisect_left(self._ends, told.end_ns)
        again = at < len(self._ends) and self._ends[at] == told.end_ns
        if again and self._orders[at] >= order:
            return
        self._highest = max(self._highest, order)
        self._model = told.model
        self._count += 1
        judged = told.quality >= CLEAN
        probability = told.probabilities.get(SEIZURE)
        step = Step(
            told.end_ns / NS_PER_S, round(probability, 3) if judged and probability is not None else None
        )
        until = at + again
        self._ends[at:until] = [told.end_ns]
        self._orders[at:until] = [order]
        self._steps[at:until] = [(self._count, step)]
        old = max(len(self._ends) - MOST_STEPS, bisect.bisect_left(self._ends, self._oldest_ns()))
        for held in (self._ends, self._orders, self._steps):
            del held[:old]
        for event in told.events if judged else ():
            self._mark(
                Span(
                    event.start_ns / NS_PER_S,
                    event.end_ns / NS_PER_S,
                    event.label[:MOST_CHARACTERS],
                    round(event.probability, 3),
                )
            )

    def _oldest_ns(self) -> int:
        return self._ends[-1] - round(HELD_S * NS_PER_S)

    def _mark(self, span: Span) -> None:
        """Join a span to those of its kind that it continues."""
        touching = [
            one
            for one in self._spans
            if one.label == span.label
            and one.start_s - JOINS_S <= span.end_s
            and span.start_s <= one.end_s + JOINS_S
        ]
        kept = [
            one for one in self._spans if one not in touching and one.end_s * NS_PER_S > self._oldest_ns()
        ]
        whole = Span(
            min(one.start_s for one in (*touching, span)),
            max(one.end_s for one in (*touching, span)),
            span.label,
            max(one.probability for one in (*touching, span)),
        )
        self._spans = sorted((*kept, whole), key=lambda one: one.start_s)[-MOST_SPANS:]

    def since(self, epoch: int, count: int) -> Said:
        """Return the steps that came after a count of an epoch; all of them where that is another one."""
        after = count if epoch == self._epoch else 0
        steps = [step for number, step in self._steps if number > after]
        return Said(self._epoch, self._count, self._model, steps, self._spans)
