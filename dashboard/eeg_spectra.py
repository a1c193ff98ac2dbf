"""Spectra of both sides of the head over the last two hours, a column every four seconds.

A column is the mean over the bipolar derivations of a side of Welch's estimate (IEEE Trans Audio
Electroacoust 15 (1967) 70-73): 2 s windows (Hann), half overlapping. What touches a missing sample or an
electrode that is off does not count.
"""

from __future__ import annotations

import itertools
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from ingest.electrodes import Side
from ingest.montage import Montage, Plan, plan_of
from ingest.types import NS_PER_S, BoolArray, Chunk, FloatArray, WideFloatArray

COLUMN_S: Final = 4
COLUMNS: Final = 1_800
"""Two hours."""
WINDOW_S: Final = 2.0
BINS: Final = 60
"""Of half a hertz: 0.5 to 30 Hz."""
SIDES: Final = (Side.LEFT, Side.RIGHT)
FLOOR_DB: Final = -20.0
STEP_DB: Final = 0.25
SET_BACK_COLUMNS: Final = 8
"""A device whose clock is so far behind has begun anew."""
TOLERANCE_S: Final = 0.05
"""A chunk that starts this near to the end of the one before joins it, as in :mod:`dashboard.traces`."""

Levels = npt.NDArray[np.uint8]

_epochs = itertools.count(1)


class Columns(msgspec.Struct, frozen=True):
    """Columns ``[first, first + len(levels))``, counted in :data:`COLUMN_S` since 1970 by the device's clock.

    ``levels`` has shape (n_columns, sides, bins), the lowest frequency first: 0 is missing, else
    :data:`FLOOR_DB` and :data:`STEP_DB` a step, in dB re 1 µV²/Hz.
    """

    epoch: int
    first: int
    levels: Levels


class Spectra:
    """Columns of one bed's EEG, worked out as chunks come."""

    __slots__ = ("_at", "_column", "_epoch", "_filling", "_first", "_head", "_layout", "_plan", "_ring")

    def __init__(self) -> None:
        self._ring: Levels = np.zeros((COLUMNS, len(SIDES), BINS), dtype=np.uint8)
        self._layout: tuple[tuple[str, ...], float] = ((), 0.0)
        self._begin(0)

    def _begin(self, column: int) -> None:
        self._epoch = next(_epochs)
        self._first = self._head = self._column = column
        self._ring[:] = 0

    def push(self, chunk: Chunk) -> None:
        """Take in a chunk that follows those before it; µV."""
        layout = (chunk.channels, chunk.fs_hz)
        start = chunk.start_ns // (COLUMN_S * NS_PER_S)
        if layout != self._layout:
            self._layout = layout
            self._plan = _sided(chunk.channels)
            self._fill(self._column)
        if self._head == 0 or start < self._column - SET_BACK_COLUMNS:
            self._begin(start)
            self._fill(start)
        samples = chunk.samples
        if chunk.lead_off is not None and any(chunk.lead_off):
            samples = np.where(np.array(chunk.lead_off), np.float32(np.nan), samples)
        at = round((chunk.start_ns - self._column * COLUMN_S * NS_PER_S) / NS_PER_S * chunk.fs_hz)
        if abs(at - self._at) <= TOLERANCE_S * chunk.fs_hz:
            at = self._at
        self._write(samples[max(0, -at) :], max(0, at))

    def _write(self, samples: FloatArray, at: int) -> None:
        size = len(self._filling)
        while len(samples):
            if at >= size:
                ahead = at // size
                self._close(ahead)
                at -= ahead * size
            taken = samples[: size - at]
            self._filling[at : at + len(taken)] = taken
            samples, at = samples[len(taken) :], at + len(taken)
        self._at = at

    def _fill(self, column: int) -> None:
        channels, fs_hz = self._layout
        self._column, self._at = column, 0
        self._filling: FloatArray = np.full((round(COLUMN_S * fs_hz), len(channels)), np.nan, np.float32)

    def _close(self, ahead: int) -> None:
        """Work out the column that is full, and begin one that lies ``ahead``; between nothing came."""
        column, following = self._column, self._column + ahead
        self._ring[column % COLUMNS] = _levels(self._plan(self._filling), self._plan.sides, self._layout[1])
        missing = np.arange(max(column + 1, following - COLUMNS), following)
        self._ring[missing % COLUMNS] = 0
        self._fill(following)
        self._head = following
        self._first = max(self._first, following - COLUMNS)

    def since(self, epoch: int, column: int) -> Columns:
        """Copy the columns from a count of an epoch on; all of them where that is another one."""
        first = max(self._first, column if epoch == self._epoch else 0)
        first = min(first, self._head)
        return Columns(self._epoch, first, self._ring[np.arange(first, self._head) % COLUMNS])


def _sided(channels: tuple[str, ...]) -> Plan:
    """Bipolar derivations where they can be had, else the channels as they come."""
    plan = plan_of(channels, Montage.LONGITUDINAL)
    return plan if any(side in plan.sides for side in SIDES) else plan_of(channels, Montage.AS_RECORDED)


def _levels(derived: FloatArray, sides: tuple[Side, ...], fs_hz: float) -> Levels:
    """Return levels (sides, bins) of derivations (n_samples, n_rows) in µV."""
    size = round(WINDOW_S * fs_hz)
    window = np.hanning(size + 1)[:size]
    pieces = np.lib.stride_tricks.sliding_window_view(derived, size, axis=0)[:: size // 2]
    whole: BoolArray = np.asarray(np.isfinite(pieces).all(axis=2))
    centred = np.where(whole[:, :, None], pieces - pieces.mean(axis=2, keepdims=True), 0.0)
    power: WideFloatArray = np.abs(np.fft.rfft(centred * window, axis=2)) ** 2
    density = 2 * power[:, :, 1 : BINS + 1] / (fs_hz * (window**2).sum())
    levels: Levels = np.zeros((len(SIDES), BINS), dtype=np.uint8)
    for row, side in enumerate(SIDES):
        of_side = whole & np.array([one is side for one in sides], dtype=np.bool_)
        if of_side.any():
            decibels = 10 * np.log10(density[of_side].mean(axis=0) + 1e-12)
            steps = 1 + np.rint((decibels - FLOOR_DB) / STEP_DB)
            levels[row, : len(steps)] = np.clip(steps, 1, 255).astype(np.uint8)
    return levels
