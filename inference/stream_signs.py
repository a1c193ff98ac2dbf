"""What the chunks of each stream say of its device: clock, rate, loudness, as arrays over slots."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from inference.arrivals import Arrivals
from inference.no_data import NO_TIME
from ingest.types import NS_PER_S, BoolArray, Chunk, FloatArray, IntArray, WideFloatArray

OWN_NOISE: Final = 1e-4
"""Deviation of a chunk of sound, full scale 1, up to which a sensor gives no more than its own noise: three
steps of a 16-bit converter. Of the seconds of icbhi2017 (train side) and circor2022 only digital silence is
below it; the quietest others with a sensor on a chest have 0.0018."""

BUCKET_MS: Final = 10_000
BUCKETS: Final = 6
"""A minute in parts of ten seconds."""

SET_BACK_MS: Final = 60_000
"""A time stamp so far behind the newest is of a clock that was set back, not of a slow producer."""

_ARRAYS: Final = (
    "fresh",
    "received_ms",
    "heard_s",
    "offset",
    "bucket",
    "refused",
    "refused_hz",
    "refused_ns",
    "silent_ns",
    "silent_since_ns",
    "no_model_ns",
    "ahead_s",
    "silent_before_s",
)


class SignsState(msgspec.Struct, frozen=True):
    """One stream of :class:`StreamSigns`, for snapshots."""

    fresh: bool
    received_ms: int
    bucket: int
    ahead_s: list[float | None]
    refused: bool
    refused_hz: float
    refused_ns: int
    silent_ns: int
    silent_since_ns: int
    no_model_ns: int


class StreamSigns:
    """What is known of each stream.

    Attributes
    ----------
    fresh : ndarray of bool, shape (n_slots,)
        A chunk came since this was last set to False.
    received_ms, heard_s, offset : ndarray, shape (n_slots,)
        Broker's time of the newest record, the worker's own monotonic time of it, and its offset.
    silent_before_s : ndarray, shape (n_slots,)
        Of a stream that was taken over and sent nothing since: for how long its former worker saw it silent.
        NaN where the newest chunk was heard here.
    ahead_s : ndarray, shape (n_slots, BUCKETS)
        How far the device's clock seemed ahead of the broker's at most in each ten seconds; on its way a
        chunk only gets older, so that the largest is the nearest to the truth. NaN where nothing came.
    refused, refused_hz, refused_ns : ndarray, shape (n_slots,)
        The rate is too low, which one, and since when.
    silent_ns, silent_since_ns : ndarray of int64, shape (n_slots,)
        How long a sound has been no more than the sensor's own noise, and from which device time.
    no_model_ns : ndarray of int64, shape (n_slots,)
        Device time from which it comes without a model.
    """

    def __init__(self) -> None:
        self.fresh: BoolArray = np.zeros(0, dtype=np.bool_)
        self.received_ms: IntArray = np.zeros(0, dtype=np.int64)
        self.heard_s: WideFloatArray = np.zeros(0)
        self.offset: IntArray = np.zeros(0, dtype=np.int64)
        self.bucket: IntArray = np.zeros(0, dtype=np.int64)
        self.refused: BoolArray = np.zeros(0, dtype=np.bool_)
        self.refused_hz: WideFloatArray = np.zeros(0)
        self.refused_ns: IntArray = np.zeros(0, dtype=np.int64)
        self.silent_ns: IntArray = np.zeros(0, dtype=np.int64)
        self.silent_since_ns: IntArray = np.zeros(0, dtype=np.int64)
        self.no_model_ns: IntArray = np.zeros(0, dtype=np.int64)
        self.ahead_s: WideFloatArray = np.zeros((0, BUCKETS))
        self.silent_before_s: WideFloatArray = np.zeros(0)

    def __len__(self) -> int:
        return len(self.fresh)

    def resize(self, n_slots: int) -> None:
        """Make room for more streams."""
        extra = n_slots - len(self)
        for name in _ARRAYS:
            array = getattr(self, name)
            setattr(self, name, np.pad(array, ((0, extra), *((0, 0) for _ in array.shape[1:]))))

    def reset(self, slot: int) -> None:
        """Forget a stream."""
        for name in _ARRAYS:
            getattr(self, name)[slot] = 0
        self.no_model_ns[slot] = NO_TIME
        self.ahead_s[slot] = self.silent_before_s[slot] = np.nan

    def begin_anew(self, slot: int) -> None:
        """Forget what was said of a stream; when it was heard stays known."""
        kept = {name: getattr(self, name)[slot] for name in ("heard_s", "offset", "silent_before_s")}
        self.reset(slot)
        for name, value in kept.items():
            getattr(self, name)[slot] = value

    def note(self, slots: IntArray, came: Arrivals, now_s: float) -> BoolArray:
        """Note that chunks came, and what they say of the clocks.

        Returns whether the time stamps of their records were set back: what was timed by them begins anew.
        """
        set_back = came.received_ms < self.received_ms[slots] - SET_BACK_MS
        self.received_ms[slots[set_back]] = self.bucket[slots[set_back]] = 0
        self.fresh[slots], self.heard_s[slots], self.offset[slots] = True, now_s, came.offsets
        self.silent_before_s[slots] = np.nan
        self.received_ms[slots] = np.maximum(self.received_ms[slots], came.received_ms)
        bucket = np.maximum(came.received_ms // BUCKET_MS, self.bucket[slots])
        passed = bucket - self.bucket[slots]
        if passed.any():
            columns = (bucket[:, None] - np.arange(BUCKETS)) % BUCKETS
            row, nth = np.nonzero(np.arange(BUCKETS) < passed[:, None])
            self.ahead_s[slots[row], columns[row, nth]] = np.nan
            self.bucket[slots] = bucket
        ahead_s = (came.end_ns - came.received_ms * 1_000_000) / NS_PER_S
        self.ahead_s[slots, bucket % BUCKETS] = np.fmax(self.ahead_s[slots, bucket % BUCKETS], ahead_s)
        return set_back

    def note_rate(self, slots: IntArray, came: Arrivals) -> None:
        """Note whether the rates of chunks were too low."""
        refused = came.refused
        if refused.any():
            begins = refused & ~self.refused[slots]
            self.refused_ns[slots[begins]] = came.received_ms[begins] * 1_000_000
            self.refused_hz[slots[refused]] = came.fs_hz[refused]
        self.refused[slots] = refused

    def note_model(self, slots: IntArray, there: BoolArray, start_ns: IntArray) -> None:
        """Note whether there is a model for each chunk."""
        self.no_model_ns[slots[there]] = NO_TIME
        begins = ~there & (self.no_model_ns[slots] == NO_TIME)
        self.no_model_ns[slots[begins]] = start_ns[begins]

    def note_loudness(self, slot: int, chunk: Chunk) -> None:
        """Note whether a chunk of sound is more than the sensor's own noise; missing samples say nothing."""
        # Of n samples that reach so far apart the deviation is at least that through the root of 2 n.
        loudest = np.ptp(chunk.samples, axis=0).max(initial=0.0) / np.sqrt(2 * max(1, chunk.n_samples))
        if not loudest > OWN_NOISE:
            loudest = _deviation(chunk.samples)
        if np.isnan(loudest):
            return
        if loudest > OWN_NOISE:
            self.silent_ns[slot] = 0
            return
        if self.silent_ns[slot] == 0:
            self.silent_since_ns[slot] = chunk.start_ns
        self.silent_ns[slot] += chunk.end_ns - chunk.start_ns

    def clock_ahead_s(self, slots: IntArray) -> WideFloatArray:
        """How far devices are ahead of the broker: median of the last minute's parts, NaN without any."""
        ordered = np.sort(self.ahead_s[slots], axis=1)
        count = np.maximum((~np.isnan(ordered)).sum(axis=1), 1)
        rows = np.arange(len(slots))
        return np.asarray((ordered[rows, (count - 1) // 2] + ordered[rows, count // 2]) / 2)

    def clock_off_s(self, slots: IntArray) -> WideFloatArray:
        """How far device and broker are apart, whichever is ahead."""
        return np.asarray(np.abs(self.clock_ahead_s(slots)))

    def times_ns(self, slots: IntArray, now_s: float) -> IntArray:
        """Broker's time: that of the newest record, and where none came since, as the worker's clock goes."""
        since_s = np.where(self.fresh[slots], 0.0, np.maximum(now_s - self.heard_s[slots], 0.0))
        return self.received_ms[slots] * 1_000_000 + np.round(since_s * NS_PER_S).astype(np.int64)

    def state(self, slot: int) -> SignsState:
        """State of one stream, for a snapshot."""
        return SignsState(
            bool(self.fresh[slot]),
            int(self.received_ms[slot]),
            int(self.bucket[slot]),
            [None if np.isnan(ahead_s) else float(ahead_s) for ahead_s in self.ahead_s[slot]],
            bool(self.refused[slot]),
            float(self.refused_hz[slot]),
            int(self.refused_ns[slot]),
            int(self.silent_ns[slot]),
            int(self.silent_since_ns[slot]),
            int(self.no_model_ns[slot]),
        )

    def silent_s(self, slot: int, now_s: float) -> tuple[float, bool]:
        """For how long a stream has sent nothing (s), and whether that is only the least it can be."""
        before_s = float(self.silent_before_s[slot])
        here_s = max(0.0, now_s - float(self.heard_s[slot]))
        return (here_s, False) if np.isnan(before_s) else (here_s + before_s, True)

    def restore(self, slot: int, state: SignsState, offset: int, now_s: float, silent_s: float) -> None:
        """Go on from a snapshot; ``silent_s`` is for how long its worker had heard nothing."""
        self.silent_before_s[slot] = silent_s
        self.fresh[slot], self.received_ms[slot] = state.fresh, state.received_ms
        self.heard_s[slot], self.offset[slot], self.bucket[slot] = now_s, offset, state.bucket
        self.ahead_s[slot] = [np.nan if ahead_s is None else ahead_s for ahead_s in state.ahead_s]
        self.refused[slot], self.refused_hz[slot] = state.refused, state.refused_hz
        self.refused_ns[slot], self.no_model_ns[slot] = state.refused_ns, state.no_model_ns
        self.silent_ns[slot], self.silent_since_ns[slot] = state.silent_ns, state.silent_since_ns


def _deviation(samples: FloatArray) -> float:
    """Standard deviation of the loudest channel, NaN where nothing is there; (n_samples, n_channels)."""
    there = ~np.isnan(samples)
    counts = there.sum(axis=0)
    if not counts.any():
        return np.nan
    filled = np.where(there, samples, 0.0).astype(np.float64)
    n = np.maximum(counts, 1)
    spread = (filled**2).sum(axis=0) / n - (filled.sum(axis=0) / n) ** 2
    return float(np.sqrt(max(0.0, spread[counts > 0].max())))
