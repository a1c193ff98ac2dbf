"""How long each bed's ECG has been without a beat, counting only time in which one would have been seen."""

from __future__ import annotations

from typing import Final

import numpy as np

from inference.beats import NEVER
from ingest.types import NS_PER_S, IntArray, WideFloatArray

STARTED, FRONTIER, UNSEEN, ELSEWHERE = 0, 1, 2, 3
N_CLOCKS: Final = 4
"""Columns of ``EcgClocks.table`` (ns): the stream's start, the time up to which beats are final, the time
since the last beat in which none could have been seen, and the last beat that another lead alone showed."""


class EcgClocks:
    """Clocks of all beds.

    Attributes
    ----------
    table : ndarray of int64, shape (n_slots, N_CLOCKS)
        All of its state.
    """

    def __init__(self, n_slots: int) -> None:
        self.table = np.full((n_slots, N_CLOCKS), NEVER, dtype=np.int64)

    def resize(self, n_slots: int) -> None:
        """Make room for more slots."""
        extra = max(0, n_slots - len(self.table))
        self.table = np.pad(self.table, ((0, extra), (0, 0)), constant_values=NEVER)

    def reset(self, slot: int) -> None:
        """Forget a slot."""
        self.table[slot] = NEVER

    def restart(self, slot: int, start_ns: int) -> bool:
        """Begin a new stream; returns whether time goes on, less what was not seen between."""
        clocks = self.table[slot]
        unseen_ns = start_ns - int(clocks[FRONTIER])
        goes_on = bool(clocks[FRONTIER] != NEVER and unseen_ns >= 0)
        if goes_on:
            clocks[UNSEEN] += unseen_ns
        else:
            clocks[STARTED], clocks[UNSEEN], clocks[ELSEWHERE] = start_ns, 0, NEVER
        clocks[FRONTIER] = start_ns
        return goes_on

    def advance(
        self, slots: IntArray, frontier_ns: IntArray, hop_ns: int, missing_share: WideFloatArray
    ) -> None:
        """Step to a new frontier, with the share of the hop in which no beat could have been seen."""
        passed_ns = np.clip(frontier_ns - self.table[slots, FRONTIER], 0, hop_ns)
        self.table[slots, UNSEEN] += np.round(missing_share * passed_ns).astype(np.int64)
        self.table[slots, FRONTIER] = frontier_ns

    def beat(self, slots: IntArray) -> None:
        """Beats were found."""
        self.table[slots, UNSEEN] = 0

    def beat_elsewhere(self, slots: IntArray, beat_ns: IntArray) -> None:
        """Another lead alone showed beats."""
        self.table[slots, ELSEWHERE], self.table[slots, UNSEEN] = beat_ns, 0

    def quiet(
        self, slots: IntArray, last_ns: IntArray, frontier_ns: IntArray
    ) -> tuple[IntArray, WideFloatArray]:
        """Last beat on any lead, or the stream's start, and the time since then that was seen (s)."""
        since_ns = np.maximum(last_ns, self.table[slots][:, [STARTED, ELSEWHERE]].max(axis=1))
        return since_ns, (frontier_ns - since_ns - self.table[slots, UNSEEN]) / NS_PER_S
