"""Technical alarms of streams: missing data, a clock that is off, a rate too low, no model, a dead sensor.

Missing data are looked for by the worker's clock (:mod:`inference.no_data`); the rest by what chunks say, in
the broker's time, so that a stream that stopped stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from inference.alarms import AlarmEngine, Change, Conditions, EngineState
from inference.catalog import ANY, AlarmSetting, load_catalogue
from inference.no_data import NO_TIME, NoData, NoDataState, Silence, StreamKey
from ingest.types import NS_PER_S, Chunk, FloatArray, IntArray, SignalKind, WideFloatArray

NO_DATA: Final = "no_data"
SPECS: Final = tuple(spec for spec in load_catalogue().of_signal(ANY) if spec.kind != NO_DATA)
"""What the engine here watches, in the order of its columns."""

COLUMN: Final = {spec.kind: column for column, spec in enumerate(SPECS)}

SOUNDS: Final = frozenset({SignalKind.LUNG_SOUND, SignalKind.HEART_SOUND})
WITH_ALARMS: Final = frozenset(kind for kind in SignalKind if load_catalogue().of_signal(kind.value))
"""Kinds of signal that have alarms, so that a missing model matters."""

OWN_NOISE: Final = 1e-4
"""Deviation of a second of sound, full scale 1, up to which a sensor gives no more than its own noise: three
steps of a 16-bit converter. Of the seconds of icbhi2017 (train side) and circor2022 only digital silence is
below it; the quietest with a sensor on a chest have 0.0018."""

BUCKET_MS: Final = 10_000
BUCKETS: Final = 6
"""A minute in parts of ten seconds."""

_ARRAYS: Final = {
    "_used": np.bool_,
    "_fresh": np.bool_,
    "_received_ms": np.int64,
    "_heard_s": np.float64,
    "_offset": np.int64,
    "_bucket": np.int64,
    "_refused": np.bool_,
    "_refused_hz": np.float64,
    "_refused_ns": np.int64,
    "_silent_ns": np.int64,
    "_silent_since_ns": np.int64,
    "_no_model_ns": np.int64,
}


@dataclass(frozen=True, slots=True)
class StreamChange:
    """A technical alarm of a stream that begins or ends; ``raw_offset`` is that of its newest record."""

    stream: StreamKey
    change: Change
    raw_offset: int

    @property
    def suspends(self) -> bool | None:
        """True where the signal's other alarms stay as they are from now on, False where no longer.

        ``None`` for alarms that say nothing of the signal, or while which no window comes anyway. A sound may
        be silent because nobody breathes: its alarms go on until the sensor's silence itself is an alarm.
        """
        return self.change.ended_ns is None if self.change.setting.spec.kind == "sensor_silent" else None


class StreamState(msgspec.Struct, frozen=True):
    """One stream, for snapshots."""

    no_data: NoDataState
    alarms: EngineState
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


class StreamWatch:
    """Watches every (bed, signal) that comes.

    Parameters
    ----------
    analysed : collection of SignalKind
        Kinds that the worker has a model for.
    settings_of : callable or None
        Gives the alarm settings of a bed by "signal/kind"; by default as the catalogue says.
    """

    def __init__(
        self,
        analysed: Collection[SignalKind],
        settings_of: Callable[[str], Mapping[str, AlarmSetting]] | None = None,
    ) -> None:
        self._no_model = frozenset(kind.value for kind in WITH_ALARMS - frozenset(analysed))
        self._settings_of = settings_of
        self._defaults = load_catalogue().settings([])
        self._no_data = NoData()
        self._engine = AlarmEngine(SPECS, 0)
        self._slots: dict[StreamKey, int] = {}
        self._keys: dict[int, StreamKey] = {}
        self._free: list[int] = []
        self._muted: set[str] = set()
        self._used = np.zeros(0, dtype=np.bool_)
        self._fresh = np.zeros(0, dtype=np.bool_)
        self._received_ms = np.zeros(0, dtype=np.int64)
        self._heard_s = np.zeros(0)
        self._offset = np.zeros(0, dtype=np.int64)
        self._bucket = np.zeros(0, dtype=np.int64)
        self._refused = np.zeros(0, dtype=np.bool_)
        self._refused_hz = np.zeros(0)
        self._refused_ns = np.zeros(0, dtype=np.int64)
        self._silent_ns = np.zeros(0, dtype=np.int64)
        self._silent_since_ns = np.zeros(0, dtype=np.int64)
        self._no_model_ns = np.zeros(0, dtype=np.int64)
        self._ahead_s = np.zeros((0, BUCKETS))

    def _slot(self, stream: StreamKey) -> int:
        slot = self._slots.get(stream)
        if slot is None:
            slot = self._free.pop() if self._free else len(self._slots)
            if slot >= len(self._used):
                extra = max(64, len(self._used))
                for name in _ARRAYS:
                    setattr(self, name, np.pad(getattr(self, name), (0, extra)))
                self._ahead_s = np.pad(self._ahead_s, ((0, extra), (0, 0)))
                self._engine.resize(len(self._used))
            self._slots[stream], self._keys[slot] = slot, stream
            self._clear(slot)
            self._used[slot] = True
            if self._settings_of is not None:
                self._engine.configure(slot, stream[1], self._settings_of(stream[0]))
        return slot

    def _clear(self, slot: int) -> None:
        for name in _ARRAYS:
            getattr(self, name)[slot] = 0
        self._no_model_ns[slot] = NO_TIME
        self._ahead_s[slot] = np.nan
        self._engine.reset(slot)

    def _setting(self, stream: StreamKey, kind: str) -> AlarmSetting:
        bed, signal = stream
        settings = self._defaults if self._settings_of is None else self._settings_of(bed)
        return settings[f"{signal}/{kind}"]

    def heard(
        self, stream: StreamKey, chunk: Chunk, received_ms: int, offset: int, now_s: float
    ) -> list[StreamChange]:
        """Note a chunk that can be used; give the end of a silence if there was one.

        Parameters
        ----------
        stream : (str, str)
            Bed and kind of signal.
        chunk : Chunk
            What came; a repeated one is no news and must not be given.
        received_ms, offset : int
            Time stamp and offset of its Kafka record.
        now_s : float
            The worker's own monotonic clock.
        """
        slot = self._slot(stream)
        ended = self._note(slot, stream, chunk, received_ms, offset, now_s)
        self._refused[slot] = False
        if stream[1] in self._no_model:
            if self._no_model_ns[slot] == NO_TIME:
                self._no_model_ns[slot] = chunk.start_ns
        else:
            self._no_model_ns[slot] = NO_TIME
        if chunk.kind in SOUNDS:
            self._note_loudness(slot, chunk)
        return ended

    def refused(
        self, stream: StreamKey, chunk: Chunk, received_ms: int, offset: int, now_s: float
    ) -> list[StreamChange]:
        """Note a chunk whose rate is too low to carry its signal: data come, but are not analysed."""
        slot = self._slot(stream)
        ended = self._note(slot, stream, chunk, received_ms, offset, now_s)
        if not self._refused[slot]:
            self._refused[slot], self._refused_ns[slot] = True, received_ms * 1_000_000
        self._refused_hz[slot] = chunk.fs_hz
        return ended

    def _note(
        self, slot: int, stream: StreamKey, chunk: Chunk, received_ms: int, offset: int, now_s: float
    ) -> list[StreamChange]:
        new = stream not in self._no_data
        silence = self._no_data.heard(stream, chunk, offset, now_s)
        if new:
            self._configure_no_data(stream, 0)
        self._fresh[slot], self._heard_s[slot], self._offset[slot] = True, now_s, offset
        self._received_ms[slot] = max(int(self._received_ms[slot]), received_ms)
        bucket = max(received_ms // BUCKET_MS, int(self._bucket[slot]))
        passed = bucket - int(self._bucket[slot])
        if passed:
            self._ahead_s[slot, (bucket - np.arange(min(passed, BUCKETS))) % BUCKETS] = np.nan
            self._bucket[slot] = bucket
        # On its way a chunk only gets older: the least delay of each ten seconds tells of the clocks.
        ahead_s = (chunk.end_ns - received_ms * 1_000_000) / NS_PER_S
        cell = bucket % BUCKETS
        self._ahead_s[slot, cell] = np.fmax(self._ahead_s[slot, cell], ahead_s)
        return [] if silence is None else [self._of_silence(silence)]

    def _note_loudness(self, slot: int, chunk: Chunk) -> None:
        loudest = _deviation(chunk.samples)
        if np.isnan(loudest):
            return
        if loudest > OWN_NOISE:
            self._silent_ns[slot] = 0
            return
        if self._silent_ns[slot] == 0:
            self._silent_since_ns[slot] = chunk.start_ns
        self._silent_ns[slot] += chunk.end_ns - chunk.start_ns

    def _of_silence(self, silence: Silence) -> StreamChange:
        change = Change(
            self._slots[silence.stream],
            self._setting(silence.stream, NO_DATA),
            silence.onset_ns,
            silence.raised_ns,
            silence.ended_ns,
            silence.value,
            silence.reasons,
        )
        return StreamChange(silence.stream, change, silence.raw_offset)

    def tick(self, now_s: float, now_ns: int) -> list[StreamChange]:
        """Look at the clock and at what came since the last call, twice a second."""
        begun = [self._of_silence(silence) for silence in self._no_data.tick(now_s, now_ns)]
        slots = np.flatnonzero(self._used)
        if not len(slots):
            return begun
        changes = self._engine.update(self._conditions(slots, now_s))
        self._fresh[slots] = False
        return begun + [
            StreamChange(self._keys[change.slot], change, int(self._offset[change.slot]))
            for change in changes
        ]

    def _conditions(self, slots: IntArray, now_s: float) -> Conditions:
        fresh, received_ns = self._fresh[slots], self._received_ms[slots] * 1_000_000
        since_s = np.where(fresh, 0.0, np.maximum(now_s - self._heard_s[slots], 0.0))
        above = self._engine.limits(slots).above
        silent_s = self._silent_ns[slots] / NS_PER_S
        off_s = np.abs(_median(self._ahead_s[slots]))
        began_ns = self._bucket[slots] * BUCKET_MS * 1_000_000
        no_model_ns = self._no_model_ns[slots]
        none = np.full(len(slots), np.nan)
        found = {
            "sensor_silent": (
                silent_s >= above[:, COLUMN["sensor_silent"]],
                self._silent_since_ns[slots],
                silent_s,
            ),
            "clock_drift": (off_s > above[:, COLUMN["clock_drift"]], began_ns, off_s),
            "unknown_rate": (self._refused[slots], self._refused_ns[slots], self._refused_hz[slots]),
            "model_unavailable": (no_model_ns != NO_TIME, no_model_ns, none),
        }
        ordered = [found[spec.kind] for spec in SPECS]
        true, onsets, values = (np.stack(part, axis=1) for part in zip(*ordered, strict=True))
        # A stream that stopped says nothing new: its alarms stay as they are.
        judged = np.repeat(fresh[:, None], len(SPECS), axis=1)
        times_ns = received_ns + np.round(since_s * NS_PER_S).astype(np.int64)
        return Conditions(slots, times_ns, true, judged, onsets, values)

    def mute(self, bed: str, on: bool, now_ns: int) -> list[StreamChange]:
        """Let no silence of a bed begin (standby), or watch again; give the ends of those that stand.

        Holds for signals that come later, too. What is still silent when it is watched again gets its full
        time and begins as another alarm.
        """
        (self._muted.add if on else self._muted.discard)(bed)
        ended = [self._no_data.mute(stream, on, now_ns) for stream in self._streams(bed)]
        return [self._of_silence(silence) for silence in ended if silence is not None]

    def configure(self, bed: str, now_ns: int) -> list[StreamChange]:
        """Take up the settings of a bed; give the ends of silences that are switched off with them."""
        changes = []
        for stream in self._streams(bed):
            if self._settings_of is not None:
                self._engine.configure(self._slots[stream], stream[1], self._settings_of(bed))
            changes += self._configure_no_data(stream, now_ns)
        return changes

    def _configure_no_data(self, stream: StreamKey, now_ns: int) -> list[StreamChange]:
        setting = self._setting(stream, NO_DATA)
        self._no_data.mute(stream, stream[0] in self._muted, now_ns)
        silence = self._no_data.configure(stream, setting.enabled, setting.on_delay_s, now_ns)
        return [] if silence is None else [self._of_silence(silence)]

    def _streams(self, bed: str) -> list[StreamKey]:
        return [(bed, kind.value) for kind in SignalKind if (bed, kind.value) in self._slots]

    def begin_anew(self, bed: str, now_ns: int) -> None:
        """Another patient: what was said is closed, and what still holds is said anew."""
        for stream in self._streams(bed):
            slot = self._slots[stream]
            offset, heard_s = self._offset[slot], self._heard_s[slot]
            self._clear(slot)
            self._used[slot], self._offset[slot], self._heard_s[slot] = True, offset, heard_s
            self._no_data.begin_anew(stream, now_ns)
        self.configure(bed, now_ns)

    def forget(self, streams: Iterable[StreamKey]) -> None:
        """Watch these streams no longer."""
        known = {stream for stream in streams if stream in self._slots}
        self._no_data.forget(known)
        for stream in known:
            slot = self._slots.pop(stream)
            del self._keys[slot]
            self._clear(slot)
            self._free.append(slot)
        self._muted -= {bed for bed, _ in known if not self._streams(bed)}

    def state(self, stream: StreamKey) -> StreamState:
        """State of one stream, for a snapshot."""
        slot = self._slots[stream]
        return StreamState(
            self._no_data.state(stream),
            self._engine.state(slot),
            bool(self._fresh[slot]),
            int(self._received_ms[slot]),
            int(self._bucket[slot]),
            [None if np.isnan(ahead_s) else float(ahead_s) for ahead_s in self._ahead_s[slot]],
            bool(self._refused[slot]),
            float(self._refused_hz[slot]),
            int(self._refused_ns[slot]),
            int(self._silent_ns[slot]),
            int(self._silent_since_ns[slot]),
            int(self._no_model_ns[slot]),
        )

    def restore(self, stream: StreamKey, state: StreamState, offset: int, now_s: float) -> None:
        """Go on from a snapshot; a stream that was heard gets its full time from now."""
        slot = self._slot(stream)
        self._no_data.restore(stream, state.no_data, offset, now_s)
        self._engine.restore(slot, state.alarms)
        self._fresh[slot], self._received_ms[slot] = state.fresh, state.received_ms
        self._heard_s[slot], self._offset[slot], self._bucket[slot] = now_s, offset, state.bucket
        self._ahead_s[slot] = [np.nan if ahead_s is None else ahead_s for ahead_s in state.ahead_s]
        self._refused[slot], self._refused_hz[slot] = state.refused, state.refused_hz
        self._refused_ns[slot], self._no_model_ns[slot] = state.refused_ns, state.no_model_ns
        self._silent_ns[slot], self._silent_since_ns[slot] = state.silent_ns, state.silent_since_ns
        if state.no_data.muted:
            self._muted.add(stream[0])


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


def _median(values: WideFloatArray) -> WideFloatArray:
    """Median of each row without its NaN; NaN where there is nothing else."""
    ordered = np.sort(values, axis=1)
    count = np.maximum((~np.isnan(values)).sum(axis=1), 1)
    rows = np.arange(len(values))
    return np.asarray((ordered[rows, (count - 1) // 2] + ordered[rows, count // 2]) / 2)
