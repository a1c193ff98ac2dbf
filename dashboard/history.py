"""What a bed's page scrolls back through besides its traces: beats, numbers, sound; all in bounded memory."""

from __future__ import annotations

import bisect
from collections import deque
from typing import Final

import numpy as np
import numpy.typing as npt

from dashboard.heard_sounds import ABNORMAL
from dashboard.snapshots import LeadOff, VitalHistory
from inference.newest import Place, place
from inference.types import Beat, Prediction, Vital
from ingest.types import MISSING_INT16, NS_PER_S, FloatArray, WideFloatArray

Int16Array = npt.NDArray[np.int16]

FULL_SCALE: Final = 32_767
SOUND_S: Final = 60.0
VITALS_S: Final = 3_600
"""The worker sends vital signs once a second."""
MOST_BEATS_PER_S: Final = 6.0
SAME_BEAT_NS: Final = NS_PER_S // 10
"""Two beats this near are one, told again: by a successor, or in a repeated record."""
KNOT_S: Final = 10.0
LOOSE_S: Final = 0.004
TORN_S: Final = 0.04


class Knots:
    """Which sample was taken when, where a device's samples and its clock do not agree for ever.

    Between knots time is linear in the index. Chunks' times jitter, so a knot is made where the clock has
    drifted, not with each chunk: intervals inside a few seconds are those of the sampling rate.
    """

    __slots__ = ("_fs_hz", "_held")

    def __init__(self, fs_hz: float, start_ns: int) -> None:
        self._fs_hz = fs_hz
        self._held: deque[tuple[float, int]] = deque([(0.0, start_ns)], maxlen=256)

    def note(self, index: float, time_ns: int) -> None:
        """Note that a sample of this (fractional) index was taken at a device time."""
        last, last_ns = self._held[-1]
        ahead_s = (index - last) / self._fs_hz
        off_s = abs((time_ns - last_ns) / NS_PER_S - ahead_s)
        if (off_s > LOOSE_S and ahead_s >= KNOT_S) or (off_s > TORN_S and ahead_s > 0.0):
            self._held.append((index, time_ns))

    def since(self, index: int) -> tuple[tuple[float, int], ...]:
        """Return the knots that matter from an index on, and forget the older ones."""
        while len(self._held) > 1 and self._held[1][0] <= index:
            self._held.popleft()
        return tuple(self._held)


class LeadOffs:
    """When which lead was off, as the device said; bounded."""

    __slots__ = ("_closed", "_open")

    def __init__(self) -> None:
        self._open: dict[int, int] = {}
        self._closed: deque[LeadOff] = deque(maxlen=128)

    def note(self, flags: tuple[bool, ...] | None, start_ns: int) -> None:
        """Note the flags of a chunk that begins at a device time."""
        for channel, off in enumerate(flags or ()):
            if off:
                self._open.setdefault(channel, start_ns)
        for channel in [channel for channel in self._open if not (flags and flags[channel])]:
            self._closed.append(LeadOff(channel, self._open.pop(channel), start_ns))

    def spans(self, end_ns: int) -> tuple[LeadOff, ...]:
        """Return all spans, those that go on up to a device time."""
        going_on = (LeadOff(channel, start_ns, end_ns) for channel, start_ns in self._open.items())
        return (*self._closed, *going_on)


class SoundRing:
    """The newest minute of one channel at the device's rate, as int16 of full scale.

    Parameters
    ----------
    fs_hz : float
        Sampling rate.
    """

    __slots__ = ("_head", "_ring", "fs_hz")

    def __init__(self, fs_hz: float) -> None:
        self.fs_hz = fs_hz
        self._ring: Int16Array = np.full(round(SOUND_S * fs_hz), MISSING_INT16, dtype=np.int16)
        self._head = 0

    def push(self, samples: FloatArray) -> None:
        """Take in samples ``(n_samples,)`` of full scale, NaN where missing; louder ones are clipped."""
        digital = np.clip(np.rint(np.nan_to_num(samples) * FULL_SCALE), -FULL_SCALE, FULL_SCALE)
        self._write(np.where(np.isnan(samples), MISSING_INT16, digital).astype(np.int16))

    def skip(self, n_samples: int) -> None:
        """Let samples be missing."""
        self._head += max(0, n_samples - len(self._ring))
        self._write(np.full(min(n_samples, len(self._ring)), MISSING_INT16, dtype=np.int16))

    def _write(self, digital: Int16Array) -> None:
        head = self._head + len(digital)
        kept = digital[-len(self._ring) :]
        self._ring[np.arange(head - len(kept), head) % len(self._ring)] = kept
        self._head = head

    def newest(self, seconds: float) -> Int16Array:
        """Copy the newest seconds, or what there is of them."""
        count = min(max(0, round(seconds * self.fs_hz)), len(self._ring), self._head)
        return self._ring[np.arange(self._head - count, self._head) % len(self._ring)]


class HeardBeats:
    """Beats of one bed in the order of time, each once, of the newest seconds.

    A beat that is told again (a successor of a dead worker, a record sent twice) replaces the one it is,
    unless what is held comes from a later record of the input.

    Parameters
    ----------
    history_s : float
        Seconds kept.
    """

    __slots__ = ("_beats", "_history_ns", "_most", "_orders", "_times")

    def __init__(self, history_s: float) -> None:
        self._history_ns = round(history_s * NS_PER_S)
        self._most = round(history_s * MOST_BEATS_PER_S)
        self._times: list[int] = []
        self._beats: list[Beat] = []
        self._orders: list[Place] = []

    def add(self, prediction: Prediction) -> None:
        """Take in the beats of a prediction."""
        order = place(prediction)
        for beat in prediction.beats:
            self._add(beat, order)
        if not self._times:
            return
        old = bisect.bisect_left(self._times, self._times[-1] - self._history_ns)
        old = max(old, len(self._times) - self._most)
        for held in (self._times, self._beats, self._orders):
            del held[:old]

    def _add(self, beat: Beat, order: tuple[int, int]) -> None:
        first = bisect.bisect_right(self._times, beat.time_ns - SAME_BEAT_NS)
        last = bisect.bisect_left(self._times, beat.time_ns + SAME_BEAT_NS)
        if any(held > order for held in self._orders[first:last]):
            return
        self._times[first:last] = [beat.time_ns]
        self._beats[first:last] = [beat]
        self._orders[first:last] = [order]

    def since(self, time_ns: int) -> tuple[Beat, ...]:
        """Return the beats from a device time on."""
        return tuple(self._beats[bisect.bisect_left(self._times, time_ns) :])


class VitalRing:
    """The numbers of one signal of one bed over the last hour."""

    __slots__ = ("_count", "_numbers", "_signal", "_times")

    def __init__(self, signal: str) -> None:
        self._signal = signal
        self._times = np.zeros(VITALS_S, dtype=np.int64)
        self._numbers: FloatArray = np.full((VITALS_S, 4 + len(ABNORMAL)), np.nan, dtype=np.float32)
        self._count = 0

    def add(self, vital: Vital) -> None:
        """Take in the newest vital, or another telling of it; an unusable one holds no number."""
        rates = (vital.heart_rate_bpm, vital.ventricular_per_min, vital.respiratory_rate_bpm)
        shown = [np.nan if number is None or not vital.usable else number for number in rates]
        judged = vital.heard or {}
        again = self._count > 0 and self._times[(self._count - 1) % VITALS_S] == vital.time_ns
        self._count += not again
        at = (self._count - 1) % VITALS_S
        self._times[at] = vital.time_ns
        self._numbers[at] = (vital.quality, *shown, *(judged.get(name, np.nan) for name in ABNORMAL))

    def read(self) -> VitalHistory:
        """Copy what is held of the hour before the newest number, oldest first."""
        at = np.arange(max(0, self._count - VITALS_S), self._count) % VITALS_S
        times = self._times[at]
        at = at[times > times[-1] - VITALS_S * NS_PER_S] if len(at) else at
        numbers: WideFloatArray = self._numbers[at].astype(np.float64)
        quality, rate, ventricular, breaths, *heard = numbers.T
        return VitalHistory(
            self._signal,
            self._times[at],
            rate,
            ventricular,
            quality,
            breaths,
            dict(zip(ABNORMAL, heard, strict=True)),
        )
