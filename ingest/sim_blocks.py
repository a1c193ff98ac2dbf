"""Simulated signals are rendered in blocks at fixed places: any cut of a stream gives the same samples."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod

import numpy as np

from ingest.types import BoolArray, FloatArray, WideFloatArray


def seed_of(seed: int, bed: str, what: str) -> list[int]:
    """Return the seed of one thing at one bed: independent of the number of beds and of other things."""
    return [seed, zlib.crc32(bed.encode()), zlib.crc32(what.encode())]


class BlockStream(ABC):
    """A signal without end.

    Parameters
    ----------
    fs_hz : float
        Sampling rate.
    n_channels : int
        Columns of the samples.
    block_s : float
        Length of the blocks in which it is rendered.
    phase : float
        0 to 1: how far the first block is cut short, so that not all beds render at the same moment.
    """

    def __init__(self, fs_hz: float, n_channels: int, block_s: float, phase: float = 0.0) -> None:
        self.fs_hz = fs_hz
        self.n_channels = n_channels
        self._block = max(1, round(block_s * fs_hz))
        self._rendered = 0
        self._given = 0
        self._first = self._block - int(phase * self._block)
        self._buffer: FloatArray = np.empty((0, n_channels), np.float32)

    @abstractmethod
    def _render(self, start: int, n_samples: int) -> FloatArray:
        """Return the samples of the next block, shape (n_samples, n_channels)."""

    @property
    def position(self) -> int:
        """Samples given so far."""
        return self._given

    def next_samples(self, n_samples: int) -> FloatArray:
        """Return the next samples, shape (n_samples, n_channels)."""
        parts = [self._buffer]
        held = len(self._buffer)
        while held < n_samples:
            length = self._block if self._rendered else self._first
            parts.append(self._render(self._rendered, length))
            self._rendered += length
            held += length
        joined = np.concatenate(parts) if len(parts) > 1 else self._buffer
        self._buffer = joined[n_samples:]
        self._given += n_samples
        return joined[:n_samples]

    def lead_off(self, start: int, n_samples: int) -> tuple[bool, ...] | None:
        """Return the flag of each channel for some samples, None where the signal has no electrodes."""
        return None


def ramp(times_s: WideFloatArray, start_s: float, end_s: float, edge_s: float) -> WideFloatArray:
    """Return a weight that is 1 inside a span and falls to 0 over ``edge_s`` after its start and end."""
    up = np.clip((times_s - start_s) / edge_s, 0.0, 1.0)
    down = np.clip((times_s - end_s) / edge_s, 0.0, 1.0) if np.isfinite(end_s) else 0.0
    weight: WideFloatArray = up - down
    return weight


def inside(times_s: WideFloatArray, start_s: float, end_s: float) -> BoolArray:
    """Return which times lie in a span."""
    rows: BoolArray = (times_s >= start_s) & (times_s < end_s)
    return rows
