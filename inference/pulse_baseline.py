"""What is usual for each pulse channel: how far its wave rises, and its shape.

Learned from ten seconds of pulses of one shape and size; afterwards only pulses that look like them teach, so
that neither an arrest nor an artefact becomes usual. A channel that gives nothing alike for minutes (another
gain, another finger) is learned anew and not trusted until then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from inference.upstrokes import SHAPE, Upstrokes
from ingest.types import BoolArray, IntArray, WideFloatArray

LEARNING_S: Final = 10.0
LEAST_PULSES: Final = 8
REMEMBERED: Final = 24
"""Pulses whose rises make the usual one."""

LEVEL_S: Final = 16.0
"""How far back the detector's threshold looks."""

STEADY: Final = 0.4
"""Lower over upper quartile of the rises of a channel that can be trusted."""

COHERENT: Final = 0.75
"""Length of the mean of unit shapes: 1 where all pulses are alike."""

LEAST_HEIGHT, MOST_HEIGHT, LEAST_LIKENESS = 0.4, 2.5, 0.7
"""Pulses within these teach what is usual."""

THRESHOLD: Final = 0.35
"""Share of the usual rise that makes a pulse."""

FLOOR: Final = 0.5
"""The threshold falls to this share of its usual level at most when the wave fades."""

LAPSE_S: Final = 30.0
"""Without a usual pulse for so long a channel says nothing: its line may be drawn from, zeroed or damped."""

FORGET_S: Final = 180.0
ARTEFACT: Final = 2.5
"""A rise so much over the usual one is a flush or a movement, and what follows is not trusted for a while."""

ARTEFACT_S: Final = 4.0


@dataclass(frozen=True, slots=True)
class Taught:
    """Judgement of pulses against what was usual before them; shapes (n_pulses,). NaN while learning."""

    heights: WideFloatArray
    likeness: WideFloatArray


@dataclass(frozen=True, slots=True)
class Usual:
    """Usual rise of some streams, NaN where there is none, and whether it can be relied on; (n_streams,)."""

    rises: WideFloatArray
    learned: BoolArray


class Baseline:
    """Of ``n_slots`` streams, stepped hop by hop.

    Parameters
    ----------
    n_slots : int
        Streams to make room for.
    hop_s : float
        Time between steps.
    """

    ARRAYS: Final = ("tall", "rises", "shape", "n_hops", "n_taught", "untaught")

    def __init__(self, n_slots: int, hop_s: float) -> None:
        self._hop_s = hop_s
        self._level = round(LEVEL_S / hop_s)
        self.tall = np.full((n_slots, self._level), np.nan)
        """Largest rise of each of the last hops."""
        self.rises = np.full((n_slots, REMEMBERED), np.nan)
        self.shape = np.zeros((n_slots, SHAPE))
        """Running mean of unit shapes."""
        self.n_hops = np.zeros(n_slots, dtype=np.int64)
        self.n_taught = np.zeros(n_slots, dtype=np.int64)
        self.untaught = np.zeros(n_slots, dtype=np.int64)
        """Hops since a pulse taught something."""

    def resize(self, n_slots: int) -> None:
        """Make room for more slots."""
        extra = max(0, n_slots - len(self.n_hops))
        self.tall = np.pad(self.tall, ((0, extra), (0, 0)), constant_values=np.nan)
        self.rises = np.pad(self.rises, ((0, extra), (0, 0)), constant_values=np.nan)
        self.shape = np.pad(self.shape, ((0, extra), (0, 0)))
        for name in ("n_hops", "n_taught", "untaught"):
            setattr(self, name, np.pad(getattr(self, name), (0, extra)))

    def reset(self, slots: IntArray) -> None:
        """Forget what was usual."""
        self.tall[slots] = self.rises[slots] = np.nan
        self.shape[slots] = 0.0
        self.n_hops[slots] = self.n_taught[slots] = self.untaught[slots] = 0

    def usual(self, slots: IntArray) -> Usual:
        """What is usual now."""
        ordered = np.sort(self.rises[slots], axis=1)
        known = np.minimum(self.n_taught[slots], REMEMBERED)
        row = np.arange(len(slots))
        quarter, middle, three = (ordered[row, np.maximum(known - 1, 0) * part // 4] for part in (1, 2, 3))
        coherence = np.sqrt((self.shape[slots] ** 2).sum(axis=1))
        learned = (
            (self.n_hops[slots] * self._hop_s >= LEARNING_S)
            & (known >= LEAST_PULSES)
            & (quarter >= STEADY * three)
            & (coherence >= COHERENT)
        )
        return Usual(middle, learned)

    def threshold(self, slots: IntArray, tall: WideFloatArray, usual: Usual) -> WideFloatArray:
        """Take the largest rise of the last seconds; give the rise that makes a pulse now."""
        self.tall[slots] = np.concatenate([self.tall[slots, 1:], tall[:, None]], axis=1)
        self.n_hops[slots] += 1
        ordered = np.sort(self.tall[slots], axis=1)
        known = np.minimum(self.n_hops[slots], self._level)
        level = ordered[np.arange(len(slots)), (known - 1) // 2]
        floor = np.where(usual.learned, FLOOR * usual.rises, 0.0)
        return np.asarray(THRESHOLD * np.maximum(level, floor))

    def teach(self, slots: IntArray, found: Upstrokes, usual: Usual) -> Taught:
        """Judge new pulses, then learn from those that are alike; ``found.row`` points into ``slots``."""
        row = found.row
        own = self.shape[slots][row]
        length = np.sqrt((own * own).sum(axis=1))
        likeness = (found.shapes * own).sum(axis=1) / np.where(length > 0, length, np.nan)
        learned = usual.learned[row]
        heights = np.where(learned, found.rises / usual.rises[row], np.nan)
        alike = (heights >= LEAST_HEIGHT) & (heights <= MOST_HEIGHT) & (likeness >= LEAST_LIKENESS)
        self._learn(slots, found, alike | ~learned)
        return Taught(heights, np.where(learned, likeness, np.nan))

    def _learn(self, slots: IntArray, found: Upstrokes, chosen: BoolArray) -> None:
        row = found.row[chosen]
        taught = np.bincount(row, minlength=len(slots))
        self.untaught[slots] = np.where(taught > 0, 0, self.untaught[slots] + 1)
        forgotten = slots[self.untaught[slots] * self._hop_s >= FORGET_S]
        self.reset(forgotten)
        if len(row) == 0:
            return
        first = np.searchsorted(row, row)
        rank = np.arange(len(row)) - first
        at = (self.n_taught[slots[row]] + rank) % REMEMBERED
        self.rises[slots[row], at] = found.rises[chosen]
        self.n_taught[slots] += taught
        total = np.zeros((len(slots), SHAPE))
        np.add.at(total, row, found.shapes[chosen])
        share = (taught / np.clip(self.n_taught[slots], 1, REMEMBERED))[:, None]
        mean = total / np.maximum(taught, 1)[:, None]
        self.shape[slots] = (1.0 - share) * self.shape[slots] + share * mean

    def trusted(self, slots: IntArray, usual: Usual) -> BoolArray:
        """Whether usual pulses were there lately and nothing rose far over them a moment ago."""
        lapsed = self.untaught[slots] * self._hop_s >= LAPSE_S
        last = np.nan_to_num(self.tall[slots, -round(ARTEFACT_S / self._hop_s) :])
        artefact = last.max(axis=1) > ARTEFACT * np.nan_to_num(usual.rises, nan=np.inf)
        return np.asarray(usual.learned & ~lapsed & ~artefact)

    def state(self, slot: int) -> dict[str, npt.NDArray[np.generic]]:
        """Copies of a slot's arrays, for snapshots."""
        return {name: np.array(getattr(self, name)[slot]) for name in self.ARRAYS}

    def restore(self, slot: int, state: dict[str, npt.NDArray[np.generic]]) -> None:
        """Put a slot back as :meth:`state` gave it.

        Raises
        ------
        KeyError, ValueError
            An array is missing or of another shape.
        """
        for name in self.ARRAYS:
            getattr(self, name)[slot] = state[name]
