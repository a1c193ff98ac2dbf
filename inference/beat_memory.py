"""What the network of beats' classes keeps of the last beats of each bed: written once, read as sequences."""

from __future__ import annotations

import numpy as np

from inference.rings import pieces
from ingest.types import FloatArray, IntArray


class BeatMemory:
    """Ring of what is kept of each slot's last beats.

    Each beat is written twice, ``beats`` places apart, so that a sequence is one piece of memory wherever the
    ring begins.

    Parameters
    ----------
    n_slots : int
        Beds to make room for.
    beats : int
        Of a sequence.
    nothing : ndarray of float32, shape (width,)
        What is kept where there was no beat.
    """

    def __init__(self, n_slots: int, beats: int, nothing: FloatArray) -> None:
        self._beats, self._nothing = beats, nothing
        self._rings = np.empty((0, 2 * beats, len(nothing)), dtype=np.float32)
        self._newest = np.zeros(0, dtype=np.int64)
        self.resize(n_slots)

    def resize(self, n_slots: int) -> None:
        """Make room for more slots."""
        extra = n_slots - len(self._newest)
        if extra <= 0:
            return
        more = np.tile(self._nothing, (extra, 2 * self._beats, 1))
        self._rings = np.concatenate([self._rings, more])
        self._newest = np.pad(self._newest, (0, extra))

    def reset(self, slot: int) -> None:
        """Forget a slot's beats."""
        self._rings[slot] = self._nothing

    def put(self, slot: int, kept: FloatArray) -> None:
        """Give a slot a whole sequence, (beats, width), oldest first."""
        self._rings[slot] = np.tile(kept, (2, 1))
        self._newest[slot] = self._beats - 1

    def append(self, slots: IntArray, kept: FloatArray) -> None:
        """Add a beat to each of some slots, each once, (n, width)."""
        self._newest[slots] = (self._newest[slots] + 1) % self._beats
        self.replace(slots, kept)

    def replace(self, slots: IntArray, kept: FloatArray) -> None:
        """Write the newest beat of some slots anew, (n, width)."""
        at = self._newest[slots]
        self._rings[slots, at] = kept
        self._rings[slots, at + self._beats] = kept

    def sequences(self, slots: IntArray) -> FloatArray:
        """Last beats of some slots, oldest first, (n, beats, width)."""
        found: FloatArray = pieces(self._rings, self._beats)[slots, self._newest[slots] + 1]
        return found.reshape(len(slots), self._beats, -1)
