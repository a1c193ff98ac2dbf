"""What each pulse channel said, and from which raw record on that was known.

Rings over slots. A question names the raw offset before which knowledge counts, so that the answer is the
same however many records were read at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from inference.beats import NEVER
from ingest.types import BoolArray, IntArray, WideFloatArray

KEPT_HOPS: Final = 32
"""Hops that are kept, at least: ECG that was kept back for order may ask a few seconds back."""

KEPT_PULSES: Final = 64
"""Pulses that are kept, at least: those of an answer and of these seconds."""

ROOM: Final = 16
"""Entries that a ring holds beyond those, as long as that is enough."""

RECENT: Final = 32
"""Pulses that an answer holds: 12 s at 160/min."""

Column = npt.NDArray[np.generic]


class Ring:
    """The last entries of each slot; ``offset``, a column of each ring, never falls from entry to entry.

    Parameters
    ----------
    n_slots, least : int
        Slots, and entries that each keeps at least.
    columns : mapping of str to dtype
        What an entry holds beside ``offset``.
    """

    def __init__(self, n_slots: int, least: int, columns: Mapping[str, npt.DTypeLike]) -> None:
        self.count = np.zeros(n_slots, dtype=np.int64)
        self._begin = np.zeros(n_slots, dtype=np.int64)
        self._least = least
        self.width = width = least + ROOM
        self._columns: dict[str, Column] = {
            name: np.zeros((n_slots, width), dtype=kind) for name, kind in columns.items()
        }
        self._columns["offset"] = np.zeros((n_slots, width), dtype=np.int64)

    def resize(self, n_slots: int) -> None:
        """Make room for more slots."""
        extra = max(0, n_slots - len(self.count))
        self.count, self._begin = np.pad(self.count, (0, extra)), np.pad(self._begin, (0, extra))
        self._columns = {name: np.pad(old, ((0, extra), (0, 0))) for name, old in self._columns.items()}

    def reset(self, slot: int) -> None:
        """Forget a slot's entries."""
        self.count[slot] = self._begin[slot] = 0

    def make_room(self, extra: int) -> None:
        """Let so many come in at once while the least that is kept stays; afterwards shrink again."""
        width = self._least + ROOM
        while width < self._least + extra:
            width += width - self._least
        if self.width // 2 < width <= self.width:
            return
        kept = min(width, self.width)
        index = self.count[:, None] + np.arange(-kept, 0)
        rows = np.arange(len(self.count))[:, None]
        for name, old in self._columns.items():
            moved = np.zeros((len(old), width), dtype=old.dtype)
            moved[rows, index % width] = old[rows, index % self.width]
            self._columns[name] = moved
        self.width = width

    def append(self, slots: IntArray, values: Mapping[str, Column]) -> None:
        """Add entries, sorted by slot, in their order. Shapes (n_entries,)."""
        if len(slots) == 0:
            return
        begins = np.flatnonzero(np.concatenate([[True], slots[1:] != slots[:-1]]))
        lengths = np.diff(np.append(begins, len(slots)))
        rank = np.arange(len(slots)) - np.repeat(begins, lengths)
        at = (self.count[slots] + rank) % self.width
        for name, column in self._columns.items():
            column[slots, at] = values[name]
        self.count[slots[begins]] += lengths

    def index(self, slots: IntArray) -> IntArray:
        """Numbers of the entries that each slot has, counted from its first one ever; (n_slots, width).

        Below :meth:`oldest` where there are fewer.
        """
        return np.asarray(self.count[slots][:, None] + np.arange(-self.width, 0))

    def oldest(self, slots: IntArray) -> IntArray:
        """Number of the oldest entry that each slot has; (n_slots, 1)."""
        return np.asarray(np.maximum(self._begin[slots], self.count[slots] - self.width))[:, None]

    def take(self, slots: IntArray, index: IntArray, name: str) -> Column:
        """Entries by their count from the slot's first one; shape of ``index``: (n_slots, n_entries)."""
        return self._columns[name][slots[:, None], index % self.width]

    def take_ints(self, slots: IntArray, index: IntArray, name: str) -> IntArray:
        """Entries of a column of int64, as :meth:`take`."""
        return self.take(slots, index, name).astype(np.int64, copy=False)

    def state(self, slot: int) -> dict[str, Column]:
        """Newest entries of a slot, oldest first, as many as are kept at least."""
        oldest = max(int(self.oldest(np.array([slot]))[0, 0]), int(self.count[slot]) - self._least)
        index = np.arange(oldest, int(self.count[slot]))
        return {name: column[slot, index % self.width] for name, column in self._columns.items()}

    def restore(self, slot: int, count: int, state: Mapping[str, Column]) -> None:
        """Put a slot's entries back; ``count`` is how many it ever had."""
        self.count[slot], self._begin[slot] = count, count - len(state["offset"])
        index = np.arange(int(self._begin[slot]), count)
        for name, column in self._columns.items():
            column[slot, index % self.width] = state[name]


@dataclass(frozen=True, slots=True)
class Known:
    """What was known of some streams at one offset. Shapes (n_streams,), pulses (n_streams, RECENT).

    ``frontier_ns`` is :data:`~inference.beats.NEVER` where nothing was known. Pulses are oldest first, with
    :data:`~inference.beats.NEVER` and NaN where there were fewer.
    """

    trusted: BoolArray
    frontier_ns: IntArray
    times_ns: IntArray
    heights: WideFloatArray
    likeness: WideFloatArray


class PulseHistory:
    """Pulses and hops of ``n_slots`` streams.

    A hop says up to when the stream is judged (``frontier_ns``), whether it is to be trusted there, and which
    pulse is its first: those before a restart belong to another stream.
    """

    def __init__(self, n_slots: int) -> None:
        self.hops = Ring(
            n_slots, KEPT_HOPS, {"frontier_ns": np.int64, "trusted": np.bool_, "first": np.int64}
        )
        self.pulses = Ring(
            n_slots, KEPT_PULSES, {"time_ns": np.int64, "height": np.float64, "likeness": np.float64}
        )
        self._first = np.zeros(n_slots, dtype=np.int64)

    def resize(self, n_slots: int) -> None:
        """Make room for more slots."""
        self.hops.resize(n_slots)
        self.pulses.resize(n_slots)
        self._first = np.pad(self._first, (0, max(0, n_slots - len(self._first))))

    def make_room(self, hops: int, pulses: int) -> None:
        """Let so many more come in at once without pushing out what may be asked for."""
        self.hops.make_room(hops)
        self.pulses.make_room(pulses)

    def reset(self, slot: int) -> None:
        """Forget a slot."""
        self.hops.reset(slot)
        self.pulses.reset(slot)
        self._first[slot] = 0

    def restart(self, slot: int, start_ns: int, offset: int) -> None:
        """A stream begins anew: its earlier pulses are not its own."""
        self._first[slot] = self.pulses.count[slot]
        self.judged(np.array([slot]), np.array([start_ns]), np.array([offset]), np.array([False]))

    def judged(self, slots: IntArray, frontier_ns: IntArray, offsets: IntArray, trusted: BoolArray) -> None:
        """Note how far each stream is judged; each slot once a call."""
        columns = {"frontier_ns": frontier_ns, "offset": offsets, "trusted": trusted}
        self.hops.append(slots, {**columns, "first": self._first[slots]})

    def add(
        self,
        slots: IntArray,
        times_ns: IntArray,
        heights: WideFloatArray,
        likeness: WideFloatArray,
        offsets: IntArray,
    ) -> None:
        """Add pulses, sorted by slot and time; shapes (n_pulses,)."""
        columns = {"time_ns": times_ns, "height": heights, "likeness": likeness, "offset": offsets}
        self.pulses.append(slots, columns)

    def known(self, slots: IntArray, before_offset: IntArray, until_ns: IntArray) -> Known:
        """What records before ``before_offset`` told of pulses up to ``until_ns``; shapes (n_streams,)."""
        index = self.hops.index(slots)
        heard = (index >= self.hops.oldest(slots)) & (
            self.hops.take_ints(slots, index, "offset") < before_offset[:, None]
        )
        some: BoolArray = np.asarray(heard.any(axis=1), dtype=np.bool_)
        last = np.where(heard, index, 0).max(axis=1)[:, None]
        first = np.maximum(self.hops.take_ints(slots, last, "first"), self.pulses.oldest(slots))
        index = self.pulses.index(slots)
        told = (index >= first) & some[:, None]
        told &= self.pulses.take_ints(slots, index, "offset") < before_offset[:, None]
        told &= self.pulses.take_ints(slots, index, "time_ns") <= until_ns[:, None]
        end = np.where(told, index + 1, 0).max(axis=1)[:, None]
        recent = end + np.arange(-RECENT, 0)
        there = (recent >= first) & (end > 0)
        return Known(
            self.hops.take(slots, last, "trusted").astype(np.bool_)[:, 0] & some,
            np.where(some, self.hops.take_ints(slots, last, "frontier_ns")[:, 0], NEVER),
            np.where(there, self.pulses.take_ints(slots, recent, "time_ns"), NEVER),
            np.where(there, self.pulses.take(slots, recent, "height"), np.nan).astype(np.float64),
            np.where(there, self.pulses.take(slots, recent, "likeness"), np.nan).astype(np.float64),
        )

    def state(self, slot: int) -> tuple[dict[str, Column], list[int]]:
        """Columns of both rings and the counts of a slot, for snapshots."""
        columns = {f"hop/{name}": column for name, column in self.hops.state(slot).items()}
        columns |= {f"pulse/{name}": column for name, column in self.pulses.state(slot).items()}
        return columns, [int(c[slot]) for c in (self.hops.count, self.pulses.count, self._first)]

    def restore(self, slot: int, columns: Mapping[str, Column], counts: list[int]) -> None:
        """Put a slot back as :meth:`state` gave it.

        Raises
        ------
        KeyError, ValueError
            A column is missing or of another length.
        """
        n_hops, n_pulses, self._first[slot] = counts
        for ring, prefix, count in ((self.hops, "hop/", n_hops), (self.pulses, "pulse/", n_pulses)):
            own = {k.removeprefix(prefix): v for k, v in columns.items() if k.startswith(prefix)}
            ring.restore(slot, count, own)
