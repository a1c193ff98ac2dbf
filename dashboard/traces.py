"""The newest seconds of one signal of one bed, at display rate, in bounded memory."""

from __future__ import annotations

import itertools
from typing import Final

import numpy as np

from dashboard.decimation import PeakDecimator
from dashboard.snapshots import StreamSnapshot, TraceWindow
from ingest.types import NS_PER_S, UNIT_SCALES, Chunk, FloatArray

TOLERANCE_S: Final = 0.05
"""A chunk that starts this near to the end of the one before joins it: clocks of devices jitter and drift."""

DEVICE_SILENCE_S: Final = 10.0
"""Another device may take over a signal after this silence, as in the worker."""

_epochs = itertools.count(1)


class Trace:
    """Ring of the newest display samples of one (bed, signal kind).

    A gap becomes missing samples, a duplicate or late chunk is dropped (and does not make the trace look
    fresh), a new layout, a gap longer than the ring or a clock set back starts a new epoch.

    Parameters
    ----------
    chunk : Chunk
        The first chunk; it is not yet taken in.
    history_s : float
        Seconds kept.
    """

    __slots__ = (
        "_decimator",
        "_end_ns",
        "_epoch",
        "_fresh_at",
        "_head",
        "_history_s",
        "_layout",
        "_lead_off",
        "_origin",
        "_ring",
        "_seq",
    )

    def __init__(self, chunk: Chunk, history_s: float) -> None:
        self._history_s = history_s
        self._start(chunk)
        self._fresh_at = -np.inf

    def _start(self, chunk: Chunk) -> None:
        n_channels = len(chunk.channels)
        self._layout = (chunk.device, chunk.channels, chunk.fs_hz)
        self._origin = chunk
        self._decimator = PeakDecimator(chunk.fs_hz, n_channels)
        capacity = max(2, round(self._history_s * self._decimator.fs_hz))
        self._ring: FloatArray = np.full((capacity, n_channels), np.nan, dtype=np.float32)
        self._epoch = next(_epochs)
        self._head = 0
        self._end_ns = chunk.start_ns
        self._seq = chunk.seq - 1
        self._lead_off = chunk.lead_off

    def push(self, chunk: Chunk, fresh_at: float) -> bool:
        """Take in a chunk; ``fresh_at`` is the monotonic time at which it counts as received.

        Returns
        -------
        bool
            Whether it brought anything new.
        """
        layout = (chunk.device, chunk.channels, chunk.fs_hz)
        if layout != self._layout:
            other_device = chunk.device != self._origin.device
            if other_device and fresh_at - self._fresh_at < DEVICE_SILENCE_S:
                return False
            self._start(chunk)
        ahead_s = (chunk.start_ns - self._end_ns) / NS_PER_S
        samples = chunk.samples
        if ahead_s > self._history_s or (ahead_s < -TOLERANCE_S and self._was_set_back(chunk, ahead_s)):
            self._start(chunk)
        elif ahead_s > TOLERANCE_S:
            n_missing = round(ahead_s * chunk.fs_hz)
            self._write(np.full((n_missing, samples.shape[1]), np.nan, dtype=np.float32))
        elif ahead_s < -TOLERANCE_S:
            samples = samples[round(-ahead_s * chunk.fs_hz) :]
            if samples.shape[0] == 0:
                return False
        self._write(samples)
        self._end_ns = chunk.end_ns
        self._seq = chunk.seq
        self._lead_off = chunk.lead_off
        self._fresh_at = max(self._fresh_at, fresh_at)
        return True

    def _was_set_back(self, chunk: Chunk, ahead_s: float) -> bool:
        """Whether the device's clock or counter began anew, unlike a chunk that is late or sent twice."""
        restarted = chunk.seq < self._seq and ahead_s < -self._history_s
        return restarted or (chunk.seq > self._seq and ahead_s < -chunk.duration_s)

    def _write(self, samples: FloatArray) -> None:
        thinned = self._decimator.push(samples)
        capacity = self._ring.shape[0]
        kept = thinned[-capacity:]
        head = self._head + thinned.shape[0]
        self._ring[np.arange(head - kept.shape[0], head) % capacity] = kept
        self._head = head

    def describe(self, now: float) -> StreamSnapshot:
        """Return what the trace is at monotonic time ``now``."""
        held_s = self._decimator.n_held / self._origin.fs_hz
        chunk = self._origin
        return StreamSnapshot(
            bed=chunk.bed,
            kind=chunk.kind,
            device=chunk.device,
            channels=chunk.channels,
            unit=next(iter(UNIT_SCALES[chunk.kind])),
            source_hz=chunk.fs_hz,
            fs_hz=self._decimator.fs_hz,
            epoch=self._epoch,
            first_index=max(0, self._head - self._ring.shape[0]),
            head_index=self._head,
            head_ns=self._end_ns - round(held_s * NS_PER_S),
            age_s=max(0.0, now - self._fresh_at),
            lead_off=self._lead_off,
        )

    def window(self, now: float, epoch: int, first_index: int, newest_s: float) -> TraceWindow:
        """Copy the samples from ``first_index`` on; of another epoch, the newest ``newest_s`` seconds."""
        stream = self.describe(now)
        if epoch != stream.epoch:
            first_index = stream.head_index - round(newest_s * stream.fs_hz)
        first = min(max(first_index, stream.first_index), stream.head_index)
        samples = self._ring[np.arange(first, stream.head_index) % self._ring.shape[0]]
        return TraceWindow(stream, first, samples)
