"""The newest seconds of one signal of one bed, at display rate, in bounded memory."""

from __future__ import annotations

import itertools
from typing import Final

import numpy as np

from dashboard.decimation import PeakDecimator, SmoothDecimator
from dashboard.history import Int16Array, Knots, LeadOffs, SoundRing
from dashboard.snapshots import LeadOff, StreamSnapshot, TraceHistory, TraceWindow
from ingest.known_chunks import KnownChunks, Place, StrayLine, is_over, stray
from ingest.types import NS_PER_S, SOUNDS, UNIT_SCALES, Chunk, FloatArray, SignalKind

TOLERANCE_S: Final = 0.05
"""A chunk that starts this near to the end of the one before joins it: clocks of devices jitter and drift."""

DEVICE_SILENCE_S: Final = 10.0
"""Another device may take over a signal after this silence, as in the worker."""

OVER_NS: Final = NS_PER_S // 4
"""A chunk out of sequence that ends no later than this after the newest one is old, as in the worker."""

FIRST_S: Final = 30.0
"""The ring begins with so much and doubles as it fills: beds that come and go cost little."""

MOST_BYTES: Final = 16 * 2**20
"""Of one trace: 27 channels of 10 min at 256 Hz; of more channels less is kept."""


_epochs = itertools.count(1)


class Trace:
    """Ring of the newest display samples of one (bed, signal kind).

    A gap becomes missing samples; a chunk that comes again or late is dropped and does not make the trace
    look fresh; a new layout, a gap longer than the ring or a clock set back starts a new epoch. What is old
    and was never taken is a device that began anew once several chunks of it went on, as in the worker
    (:mod:`ingest.continuity`): what is dropped there is not shown as new here.

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
        "_floor",
        "_fresh_at",
        "_head",
        "_history_s",
        "_knots",
        "_known",
        "_layout",
        "_lead_off",
        "_lead_offs",
        "_most",
        "_origin",
        "_ring",
        "_seq",
        "_sound",
        "_stray",
    )

    def __init__(self, chunk: Chunk, history_s: float) -> None:
        self._history_s = history_s
        self._known = KnownChunks()
        self._start(chunk)
        self._fresh_at = -np.inf

    def _start(self, chunk: Chunk) -> None:
        n_channels = len(chunk.channels)
        self._layout = (chunk.device, chunk.channels, chunk.fs_hz)
        self._origin = chunk
        thinning = SmoothDecimator if chunk.kind is SignalKind.EEG else PeakDecimator
        self._decimator: PeakDecimator | SmoothDecimator = thinning(chunk.fs_hz, n_channels)
        display_hz = self._decimator.fs_hz
        self._most = max(2, min(round(self._history_s * display_hz), MOST_BYTES // (4 * n_channels)))
        size = max(2, min(self._most, round(FIRST_S * display_hz)))
        self._ring: FloatArray = np.full((size, n_channels), np.nan, dtype=np.float32)
        # Kept at the device's rate, too, to be played back.
        self._sound = SoundRing(chunk.fs_hz) if chunk.kind in SOUNDS else None
        self._knots = Knots(display_hz, chunk.start_ns)
        self._lead_offs = LeadOffs()
        self._epoch = next(_epochs)
        self._head = self._floor = 0
        self._end_ns = chunk.start_ns
        self._seq = chunk.seq - 1
        self._stray: StrayLine | None = None
        self._lead_off = chunk.lead_off

    def push(self, chunk: Chunk, fresh_at: float) -> bool:
        """Take in a chunk; ``fresh_at`` is the monotonic time at which it counts as received.

        Returns
        -------
        bool
            Whether it brought anything new.
        """
        place = Place(self._seq + 1, self._end_ns)
        if self._is_old(chunk, fresh_at):
            return False
        sure = self._stray is not None and self._stray.is_sure
        self._stray = None
        if sure or (chunk.device, chunk.channels, chunk.fs_hz) != self._layout:
            self._start(chunk)
        ahead_s = (chunk.start_ns - self._end_ns) / NS_PER_S
        n_known = round(-ahead_s * chunk.fs_hz) if ahead_s < -TOLERANCE_S else 0
        if ahead_s > self._history_s or n_known >= chunk.n_samples:
            self._start(chunk)
            n_known = 0
        elif ahead_s > TOLERANCE_S:
            self._skip(round(ahead_s * chunk.fs_hz))
        self._known.note(chunk, place)
        self._note(chunk, n_known)
        self._write(chunk.samples[n_known:])
        self._end_ns = chunk.end_ns
        self._seq = chunk.seq
        self._lead_off = chunk.lead_off
        self._fresh_at = max(self._fresh_at, fresh_at)
        return True

    def _is_old(self, chunk: Chunk, fresh_at: float) -> bool:
        """Whether a chunk came before, is another device's while this one is alive, or may be astray."""
        next_seq = self._seq + 1
        off_ns = abs(chunk.start_ns - self._end_ns)
        same_layout = (chunk.device, chunk.channels, chunk.fs_hz) == self._layout
        if chunk.seq == next_seq and off_ns <= OVER_NS and same_layout and self._stray is None:
            # What nearly every chunk is.
            return False
        if self._known.came(chunk, Place(next_seq, self._end_ns)):
            self._stray = None if same_layout else self._stray
            return True
        other_device = chunk.device != self._origin.device
        if other_device and fresh_at - self._fresh_at < DEVICE_SILENCE_S:
            return True
        in_sequence = chunk.seq == next_seq and not other_device
        if in_sequence or not is_over(chunk, self._end_ns, OVER_NS):
            return False
        self._stray = stray(self._stray, chunk)
        return not self._stray.is_sure

    def _note(self, chunk: Chunk, n_known: int) -> None:
        """Note when a chunk's samples after ``n_known`` ones were taken, and what leads were off."""
        start_ns = chunk.start_ns + round(n_known / chunk.fs_hz * NS_PER_S)
        self._knots.note(self._head + self._decimator.n_held / self._decimator.factor, start_ns)
        self._lead_offs.note(chunk.lead_off, start_ns)

    def _write(self, samples: FloatArray) -> None:
        if self._sound is not None:
            self._sound.push(samples[:, 0])
        self._keep(self._decimator.push(samples))

    def _skip(self, n_samples: int) -> None:
        """Let samples be missing; a long gap of a fast signal is never written out at its own rate."""
        if self._sound is not None:
            self._sound.skip(n_samples)
        n_channels = self._ring.shape[1]
        group = 2 * self._decimator.factor
        settle = self._decimator.settle
        begun = min(n_samples, settle + -(self._decimator.n_held + settle) % group)
        n_groups, left = divmod(n_samples - begun, group)
        for n_pushed, n_kept in ((begun, 2 * n_groups), (left, 0)):
            self._keep(self._decimator.push(np.full((n_pushed, n_channels), np.nan, dtype=np.float32)))
            self._keep(np.full((n_kept, n_channels), np.nan, dtype=np.float32))

    def _keep(self, thinned: FloatArray) -> None:
        head = self._head + thinned.shape[0]
        self._make_room(head)
        capacity = self._ring.shape[0]
        kept = thinned[-capacity:]
        self._ring[np.arange(head - kept.shape[0], head) % capacity] = kept
        self._head = head

    def _make_room(self, head: int) -> None:
        """Let the ring grow until it holds the history."""
        size = self._ring.shape[0]
        if head - self._floor <= size or size == self._most:
            return
        shape = (min(self._most, max(2 * size, head - self._floor)), self._ring.shape[1])
        wider: FloatArray = np.full(shape, np.nan, dtype=np.float32)
        held = np.arange(max(self._floor, self._head - size), self._head)
        wider[held % len(wider)] = self._ring[held % size]
        self._ring = wider

    @property
    def n_bytes(self) -> int:
        """Memory of the samples."""
        return self._ring.nbytes

    def forget(self) -> None:
        """Forget the past (another patient's); what comes joins on."""
        self._floor = self._head
        self._lead_offs = LeadOffs()
        if self._sound is not None:
            self._sound = SoundRing(self._sound.fs_hz)

    def sound(self, newest_s: float) -> tuple[float, Int16Array, int] | None:
        """Rate, newest samples and the device time after them; ``None`` where this is no sound."""
        if self._sound is None:
            return None
        return self._sound.fs_hz, self._sound.newest(newest_s), self._end_ns

    def lead_offs(self) -> tuple[LeadOff, ...]:
        """Return when which lead was off, as far as it is held."""
        return self._lead_offs.spans(self._end_ns)

    def history(self, now: float) -> TraceHistory:
        """Copy all that is held."""
        window = self.window(now, self._epoch, 0, 0.0)
        return TraceHistory(window, self._knots.since(window.first_index), self.lead_offs())

    @property
    def end_ns(self) -> int:
        """Device time after the newest sample."""
        return self._end_ns

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
            first_index=max(self._floor, self._head - self._ring.shape[0]),
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
