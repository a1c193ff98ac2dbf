"""The technical alarm that looks at the clock: a signal's next chunk was due and did not come."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from inference.arrivals import Arrival, Arrivals, StreamKey, arrivals
from ingest.types import NS_PER_S, BoolArray, Chunk

GRACE_S = 2.0
"""How long a chunk may be overdue. With a tick of half a second the alarm is out within 3 s."""

STALL_S = 1.0
"""Ticks further apart than this tell that the worker stood still."""

READ_S = 1.5
"""A successor reads at least so long before it says that a signal it took over is missing: what came while
nobody read waits for it."""

SET_BACK_NS = 30 * NS_PER_S
"""A chunk so far behind the last one was not reordered: the device's clock was set back."""

NO_TIME = -1
"""Where a time in ns is none."""

_ARRAYS = (
    "_heard_s",
    "_chunk_s",
    "_delay_s",
    "_last_sample_ns",
    "_since_ns",
    "_raised_ns",
    "_offset",
    "_active",
    "_taken_over",
    "_muted",
    "_disabled",
)


class NoDataState(msgspec.Struct, frozen=True):
    """One stream, for snapshots. The worker's own clock starts anew with the successor.

    Whether it is watched is not in it: that is a matter of the bed's standby and settings. ``since_ns`` is
    the wall-clock time from which silence counts again after a standby; -1 where it counts from the last
    sample. ``silent_s`` is for how long nothing had come while the worker read and watched.
    """

    chunk_s: float
    last_sample_ns: int
    raised_ns: int
    active: bool
    since_ns: int = NO_TIME
    silent_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Silence:
    """A silence that began (``ended_ns`` None) or ended; ``value`` is its length so far in seconds.

    ``reasons`` says why it ended other than by data.
    """

    stream: StreamKey
    onset_ns: int
    raised_ns: int
    ended_ns: int | None
    value: float
    raw_offset: int
    reasons: tuple[str, ...] = ()


class NoData:
    """Watches when each (bed, signal) was last heard."""

    def __init__(self) -> None:
        self._index: dict[StreamKey, int] = {}
        self._keys: list[StreamKey] = []
        self._ticked_s = np.inf
        self._heard_s = np.zeros(0)
        self._chunk_s = np.zeros(0)
        self._delay_s = np.zeros(0)
        self._last_sample_ns = np.zeros(0, dtype=np.int64)
        self._since_ns = np.zeros(0, dtype=np.int64)
        self._raised_ns = np.zeros(0, dtype=np.int64)
        self._offset = np.zeros(0, dtype=np.int64)
        self._active = np.zeros(0, dtype=np.bool_)
        self._taken_over = np.zeros(0, dtype=np.bool_)
        self._muted = np.zeros(0, dtype=np.bool_)
        self._disabled = np.zeros(0, dtype=np.bool_)

    def _place(self, stream: StreamKey) -> int:
        at = self._index.get(stream)
        if at is None:
            at = self._index[stream] = len(self._keys)
            self._keys.append(stream)
            for name in _ARRAYS:
                array = getattr(self, name)
                if at >= len(array):
                    setattr(self, name, np.pad(array, (0, max(64, len(array)))))
            for name in _ARRAYS:
                getattr(self, name)[at] = NO_TIME if name == "_since_ns" else 0
        return at

    def __contains__(self, stream: StreamKey) -> bool:
        return stream in self._index

    def heard(self, stream: StreamKey, chunk: Chunk, offset: int, now_s: float) -> Silence | None:
        """Note a chunk; give the end of a no-data alarm if there was one.

        ``now_s`` is the worker's own monotonic clock: a lagging reader must not blame the device.
        """
        (batch,) = arrivals([Arrival(stream, chunk, 0, offset)])
        return next(iter(self.came(batch, now_s)), None)

    def came(self, came: Arrivals, now_s: float) -> list[Silence]:
        """Note chunks of different streams; give the ends of the no-data alarms that there were."""
        at = np.array([self._place(stream) for stream in came.streams], dtype=np.int64)
        self._heard_s[at] = now_s
        self._chunk_s[at] = came.duration_s
        last_ns = self._last_sample_ns[at]
        # A predecessor may have raised it after its last snapshot; ending what nobody raised harms nobody.
        watched = ~(self._muted[at] | self._disabled[at])
        perhaps_raised = watched & self._taken_over[at] & (came.start_ns - last_ns > GRACE_S * NS_PER_S)
        self._taken_over[at] = False
        ends = np.flatnonzero(self._active[at] | perhaps_raised)
        self._active[at[ends]] = False
        ended = [self._silence(int(at[n]), int(came.start_ns[n]), int(came.offsets[n])) for n in ends]
        set_back = came.end_ns < last_ns - SET_BACK_NS
        self._last_sample_ns[at] = np.where(set_back, came.end_ns, np.maximum(last_ns, came.end_ns))
        self._since_ns[at] = NO_TIME
        self._offset[at] = came.offsets
        return ended

    def tick(self, now_s: float, now_ns: int) -> list[Silence]:
        """Give the alarms that begin now.

        Time in which the worker itself stood still does not count: what came meanwhile waits to be read.
        """
        known = len(self._keys)
        stood_still_s = max(0.0, now_s - self._ticked_s - STALL_S)
        self._ticked_s = now_s
        self._heard_s[:known] = np.minimum(self._heard_s[:known] + stood_still_s, now_s)
        due_s = self._heard_s[:known] + self._chunk_s[:known] + GRACE_S + self._delay_s[:known]
        left_out = self._active[:known] | self._muted[:known] | self._disabled[:known]
        begins = np.flatnonzero((now_s > due_s) & ~left_out)
        self._active[begins] = True
        self._raised_ns[begins] = now_ns
        return [self._silence(int(at), None, int(self._offset[at])) for at in begins]

    def _silence(self, at: int, ended_ns: int | None, offset: int, reasons: tuple[str, ...] = ()) -> Silence:
        last_ns, since_ns = int(self._last_sample_ns[at]), int(self._since_ns[at])
        raised_ns = int(self._raised_ns[at])
        silent_s = max(0, raised_ns - last_ns) / NS_PER_S
        onset_ns = last_ns if since_ns == NO_TIME else since_ns
        return Silence(self._keys[at], onset_ns, raised_ns, ended_ns, silent_s, offset, reasons)

    def mute(self, stream: StreamKey, on: bool, now_ns: int) -> Silence | None:
        """Let no silence begin (standby), or watch again; give the end of one that stands.

        What is still silent when it is watched again gets its full time, and begins as another alarm.
        """
        return self._leave_out(self._muted, stream, on, now_ns, "standby")

    def configure(self, stream: StreamKey, enabled: bool, on_delay_s: float, now_ns: int) -> Silence | None:
        """Take up a stream's setting; give the end of a silence that stands if it is switched off."""
        if stream in self._index:
            self._delay_s[self._index[stream]] = on_delay_s
        return self._leave_out(self._disabled, stream, not enabled, now_ns, "switched off")

    def begin_anew(self, stream: StreamKey, now_ns: int) -> None:
        """Forget a silence that stands; what is still silent after its full time begins as another alarm."""
        at = self._index.get(stream)
        if at is not None:
            self._active[at] = False
            self._count_from_now(at, now_ns)

    def _count_from_now(self, at: int, now_ns: int) -> None:
        if np.isfinite(self._ticked_s):
            self._heard_s[at] = max(self._heard_s[at], self._ticked_s)
        self._since_ns[at] = now_ns

    def _leave_out(
        self, why: BoolArray, stream: StreamKey, on: bool, now_ns: int, reason: str
    ) -> Silence | None:
        at = self._index.get(stream)
        if at is None or bool(why[at]) == on:
            return None
        why[at] = on
        if on and self._active[at]:
            self._active[at] = False
            return self._silence(at, now_ns, int(self._offset[at]), (reason,))
        if not on and not (self._muted[at] or self._disabled[at]):
            self._count_from_now(at, now_ns)
        return None

    def forget(self, streams: set[StreamKey]) -> None:
        """Watch these streams no longer."""
        keep = [key for key in self._keys if key not in streams]
        at = np.array([self._index[key] for key in keep], dtype=np.int64)
        for name in _ARRAYS:
            setattr(self, name, getattr(self, name)[at])
        self._keys = keep
        self._index = {key: place for place, key in enumerate(keep)}

    def state(self, stream: StreamKey) -> NoDataState:
        """State of one stream, for a snapshot."""
        at = self._index[stream]
        counts = np.isfinite(self._ticked_s) and not (self._muted[at] or self._disabled[at])
        silent_s = self._ticked_s - self._heard_s[at] if counts else 0.0
        return NoDataState(
            float(self._chunk_s[at]),
            int(self._last_sample_ns[at]),
            int(self._raised_ns[at]),
            bool(self._active[at]),
            int(self._since_ns[at]),
            max(0.0, float(silent_s)),
        )

    def restore(
        self, stream: StreamKey, state: NoDataState, offset: int, now_s: float, on_delay_s: float
    ) -> None:
        """Go on from a snapshot: the silence that the predecessor saw counts, what came after it does not."""
        at = self._place(stream)
        if not np.isfinite(self._ticked_s):
            # Taking over takes time, too, in which nothing is read.
            self._ticked_s = now_s
        most_s = max(0.0, state.chunk_s + GRACE_S + on_delay_s - READ_S)
        self._heard_s[at], self._chunk_s[at] = now_s - min(state.silent_s, most_s), state.chunk_s
        self._delay_s[at] = on_delay_s
        self._last_sample_ns[at], self._raised_ns[at] = state.last_sample_ns, state.raised_ns
        self._offset[at], self._active[at] = offset, state.active
        self._since_ns[at] = state.since_ns
        self._taken_over[at] = True
