"""What workers send of an EEG each second: trends of two hours, and what is wrong with electrodes."""

from __future__ import annotations

import itertools
from collections import deque
from typing import Final

import msgspec
import numpy as np

from inference.types import EegTrends, Vital
from ingest.types import NS_PER_S, FloatArray, WideFloatArray

SECONDS: Final = 7_200
SET_BACK_S: Final = 30.0
"""A device whose clock is so far behind has begun anew."""
STOPS_S: Final = 2.5
"""A sign that is not told again within this time is over."""
MOST_SIGNS: Final = 512
MOST_CHARACTERS: Final = 24

_SIDED: Final = ("aeeg_low_uv", "aeeg_high_uv", "edge_hz", "alpha_delta", "suppression")
NAMES: Final = (*(f"{name}_{side}" for name in _SIDED for side in ("left", "right")), "asymmetry")
"""Columns of :class:`Seconds`, each a field of one side's trends."""

_epochs = itertools.count(1)


class Sign(msgspec.Struct, frozen=True, array_like=True):
    """What was wrong with a channel from one device time (s) to another."""

    channel: str
    sign: str
    start_s: float
    end_s: float


class Seconds(msgspec.Struct, frozen=True):
    """Trends ``[first, first + n)``: device times (s), shape (n,), and :data:`NAMES`, (n, names), NaN: none.

    ``signs`` are those that began or went on since the second before the first.
    """

    epoch: int
    first: int
    times_s: WideFloatArray
    values: FloatArray
    signs: list[Sign]


class EegSeconds:
    """Trends and signs of one bed's EEG in the order of time, in bounded memory."""

    __slots__ = ("_closed", "_count", "_epoch", "_open", "_times", "_values")

    def __init__(self) -> None:
        self._times = np.zeros(SECONDS)
        self._values: FloatArray = np.full((SECONDS, len(NAMES)), np.nan, dtype=np.float32)
        self._begin()

    def _begin(self) -> None:
        self._epoch = next(_epochs)
        self._count = 0
        self._open: dict[tuple[str, str], Sign] = {}
        self._closed: deque[Sign] = deque(maxlen=MOST_SIGNS)

    def add(self, vital: Vital) -> None:
        """Take in a second that is newer than those held; one without trends of an EEG is passed over."""
        if vital.eeg is None:
            return
        time_s = vital.time_ns / NS_PER_S
        newest_s = self._times[(self._count - 1) % SECONDS] if self._count else -np.inf
        if time_s < newest_s - SET_BACK_S:
            self._begin()
        elif time_s <= newest_s:
            return
        at = self._count % SECONDS
        self._times[at] = time_s
        self._values[at] = _values(vital.eeg)
        self._count += 1
        self._note(vital.eeg.electrodes, time_s)

    def _note(self, electrodes: dict[str, list[str]], time_s: float) -> None:
        """Let signs go on that are told again, begin new ones, and end the others."""
        told = {(channel, sign) for channel, signs in electrodes.items() for sign in signs}
        for key in [key for key in self._open if key not in told or time_s - self._open[key].end_s > STOPS_S]:
            self._closed.append(self._open.pop(key))
        for channel, sign in list(told)[:MOST_SIGNS]:
            held = self._open.get((channel, sign))
            start_s = time_s - 1.0 if held is None else held.start_s
            self._open[channel, sign] = Sign(
                channel[:MOST_CHARACTERS], sign[:MOST_CHARACTERS], start_s, time_s
            )

    def since(self, epoch: int, count: int) -> Seconds:
        """Copy the seconds from a count of an epoch on; all of them where that is another one."""
        first = max(self._count - SECONDS, count if epoch == self._epoch else 0)
        at = np.arange(first, self._count) % SECONDS
        since_s = self._times[(first - 1) % SECONDS] if first else -np.inf
        signs = [one for one in (*self._closed, *self._open.values()) if one.end_s >= since_s]
        return Seconds(self._epoch, first, self._times[at], self._values[at], signs)


def _values(trends: EegTrends) -> list[float]:
    sides = (trends.left, trends.right)
    numbers: list[float | None] = [getattr(side, name) for name in _SIDED for side in sides]
    return [np.nan if number is None else number for number in (*numbers, trends.asymmetry)]
