"""Technical alarms of streams: missing data, a clock that is off, a rate too low, no model, a dead sensor.

Missing data are looked for by the worker's clock (:mod:`inference.no_data`); the rest by what chunks say, in
the broker's time: a stream that stopped says nothing new, so that its alarms stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from inference.alarm_spec import ANY, AlarmSetting
from inference.alarms import AlarmEngine, Change, Conditions, EngineState
from inference.arrivals import Arrival, Arrivals, StreamKey, arrivals
from inference.catalog import load_catalogue
from inference.no_data import NO_TIME, NoData, NoDataState, Silence
from inference.stream_signs import BUCKET_MS, SignsState, StreamSigns
from inference.types import ClockAhead, DataAge
from ingest.types import NS_PER_S, SOUNDS, Chunk, IntArray, SignalKind

NO_DATA: Final = "no_data"
SENSOR_SILENT: Final = "sensor_silent"
SPECS: Final = tuple(spec for spec in load_catalogue().of_signal(ANY) if spec.kind != NO_DATA)
"""What the engine here watches, in the order of its columns."""

COLUMN: Final = {spec.kind: column for column, spec in enumerate(SPECS)}
CLOCK_S: Final = 60.0
WITH_ALARMS: Final = frozenset(kind for kind in SignalKind if load_catalogue().of_signal(kind.value))
"""Kinds of signal that have alarms of their own, so that a missing model matters."""


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
        be silent because nobody breathes: its alarms go on until the sensor's silence is an alarm itself.
        """
        return self.change.ended_ns is None if self.change.setting.spec.kind == SENSOR_SILENT else None


class StreamState(msgspec.Struct, frozen=True):
    """One stream, for snapshots."""

    no_data: NoDataState
    alarms: EngineState
    signs: SignsState


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
        defaults = load_catalogue().settings([])
        self._settings_of = settings_of or (lambda bed: defaults)
        self._no_model = frozenset(kind.value for kind in WITH_ALARMS.difference(analysed))
        self._no_data = NoData()
        self._engine = AlarmEngine(SPECS, 0)
        self._signs = StreamSigns()
        self._slots: dict[StreamKey, int] = {}
        self._keys: dict[int, StreamKey] = {}
        self._free: list[int] = []
        self._muted: set[str] = set()
        self._late: list[StreamChange] = []
        """What restoring or settings ended, to be said with the next tick."""

    def __contains__(self, stream: StreamKey) -> bool:
        return stream in self._slots

    def _slot(self, stream: StreamKey) -> int:
        slot = self._slots.get(stream)
        if slot is None:
            slot = self._free.pop() if self._free else len(self._slots)
            if slot >= len(self._signs):
                self._signs.resize(max(64, 2 * len(self._signs)))
                self._engine.resize(len(self._signs))
            self._slots[stream], self._keys[slot] = slot, stream
            self._signs.reset(slot)
            self._engine.configure(slot, stream[1], self._settings_of(stream[0]))
        return slot

    def heard(
        self, stream: StreamKey, chunk: Chunk, received_ms: int, offset: int, now_s: float
    ) -> list[StreamChange]:
        """Note a chunk that can be used; give the end of a silence if there was one.

        Parameters
        ----------
        stream : (str, str)
            Bed and kind of signal.
        chunk : Chunk
            What came. One that came before is no news and must not be given.
        received_ms, offset : int
            Time stamp and offset of its Kafka record.
        now_s : float
            The worker's own monotonic clock.
        """
        return self.came([Arrival(stream, chunk, received_ms, offset)], now_s)

    def refused(
        self, stream: StreamKey, chunk: Chunk, received_ms: int, offset: int, now_s: float
    ) -> list[StreamChange]:
        """Note a chunk whose rate is too low to carry its signal: data come, but nobody analyses them."""
        return self.came([Arrival(stream, chunk, received_ms, offset, refused=True)], now_s)

    def came(self, found: Iterable[Arrival], now_s: float) -> list[StreamChange]:
        """Note chunks as :meth:`heard` and :meth:`refused` do, those of one stream in order."""
        return [change for batch in arrivals(found) for change in self._came(batch, now_s)]

    def _came(self, came: Arrivals, now_s: float) -> list[StreamChange]:
        streams, used = came.streams, ~came.refused
        slots = np.array([self._slot(stream) for stream in streams], dtype=np.int64)
        for slot in slots[self._signs.note(slots, came, now_s)].tolist():
            self._engine.clock_set_back(slot)
        self._signs.note_rate(slots, came)
        there = np.array([kind not in self._no_model for _, kind in streams])
        self._signs.note_model(slots[used], there[used], came.start_ns[used])
        for slot, one in zip(slots.tolist(), came.chunks, strict=True):
            if one.chunk.kind in SOUNDS and not one.refused:
                self._signs.note_loudness(slot, one.chunk)
        new = [stream for stream in streams if stream not in self._no_data]
        silences = self._no_data.came(came, now_s)
        for stream in new:
            self._set_no_data(stream, 0)
        return self._of_silences(silences)

    def _of_silences(self, silences: Iterable[Silence | None]) -> list[StreamChange]:
        return [
            StreamChange(
                one.stream,
                Change(
                    self._slots[one.stream],
                    self._no_data_setting(one.stream),
                    one.onset_ns,
                    one.raised_ns,
                    one.ended_ns,
                    one.value,
                    one.reasons,
                ),
                one.raw_offset,
            )
            for one in silences
            if one is not None
        ]

    def _no_data_setting(self, stream: StreamKey) -> AlarmSetting:
        return self._settings_of(stream[0])[f"{stream[1]}/{NO_DATA}"]

    def tick(self, now_s: float, now_ns: int) -> list[StreamChange]:
        """Look at the clock and at what came since the last call, about twice a second."""
        begun = self._late + self._of_silences(self._no_data.tick(now_s, now_ns))
        self._late = []
        slots = np.fromiter(self._keys, dtype=np.int64, count=len(self._keys))
        changes = self._engine.update(self._conditions(slots, now_s)) if len(slots) else []
        self._signs.fresh[slots] = False
        return begun + [
            StreamChange(self._keys[change.slot], change, int(self._signs.offset[change.slot]))
            for change in changes
        ]

    def _conditions(self, slots: IntArray, now_s: float) -> Conditions:
        signs = self._signs
        above = self._engine.limits(slots).above
        silent_s = signs.silent_ns[slots] / NS_PER_S
        off_s = signs.clock_off_s(slots)
        no_model_ns = signs.no_model_ns[slots]
        found = {
            SENSOR_SILENT: (
                silent_s >= above[:, COLUMN[SENSOR_SILENT]],
                signs.silent_since_ns[slots],
                silent_s,
            ),
            "clock_drift": (
                off_s > above[:, COLUMN["clock_drift"]],
                signs.bucket[slots] * BUCKET_MS * 1_000_000,
                off_s,
            ),
            "unknown_rate": (signs.refused[slots], signs.refused_ns[slots], signs.refused_hz[slots]),
            "model_unavailable": (no_model_ns != NO_TIME, no_model_ns, np.full(len(slots), np.nan)),
        }
        true, onsets, values = zip(*(found[spec.kind] for spec in SPECS), strict=True)
        judged = np.repeat(signs.fresh[slots][:, None], len(SPECS), axis=1)
        return Conditions(
            slots,
            signs.times_ns(slots, now_s),
            np.stack(true, axis=1),
            judged,
            np.stack(onsets, axis=1),
            np.stack(values, axis=1),
        )

    def clocks(self, most: int, now_s: float) -> list[ClockAhead]:
        """Device clocks that are furthest off, the worst first; of signals that came in the last minute."""
        slots = np.fromiter(self._keys, dtype=np.int64, count=len(self._keys))
        slots = slots[self._signs.heard_s[slots] > now_s - CLOCK_S]
        ahead_s = self._signs.clock_ahead_s(slots)
        worst = np.argsort(-np.abs(ahead_s), kind="stable")[:most]
        return [
            ClockAhead(*self._keys[int(slots[i])], round(float(ahead_s[i]), 3))
            for i in worst
            if not np.isnan(ahead_s[i])
        ]

    def ages(self, now_s: float) -> list[DataAge]:
        """How long each signal has sent nothing, by the worker's clock; those in standby are left out."""
        watched = {stream: slot for stream, slot in self._slots.items() if stream[0] not in self._muted}
        silent = {stream: self._signs.silent_s(slot, now_s) for stream, slot in watched.items()}
        return [DataAge(*stream, round(age_s, 1), least) for stream, (age_s, least) in silent.items()]

    def mute(self, bed: str, on: bool, now_ns: int) -> list[StreamChange]:
        """Let no silence of a bed begin (standby), or watch again; give the ends of those that stand.

        Holds for signals that come later, too. What is still silent when it is watched again gets its full
        time and begins as another alarm.
        """
        (self._muted.add if on else self._muted.discard)(bed)
        return self._of_silences([self._no_data.mute(one, on, now_ns) for one in self._of_bed(bed)])

    def configure(self, bed: str, now_ns: int) -> None:
        """Take up the settings of a bed; what is switched off with them ends with the next tick."""
        for stream in self._of_bed(bed):
            self._engine.configure(self._slots[stream], stream[1], self._settings_of(bed))
            self._late += self._of_silences([self._set_no_data(stream, now_ns)])

    def _set_no_data(self, stream: StreamKey, now_ns: int) -> Silence | None:
        setting = self._no_data_setting(stream)
        if stream[0] in self._muted:
            self._no_data.mute(stream, True, now_ns)
        return self._no_data.configure(stream, setting.enabled, setting.on_delay_s, now_ns)

    def _of_bed(self, bed: str) -> list[StreamKey]:
        return [(bed, kind.value) for kind in SignalKind if (bed, kind.value) in self._slots]

    def begin_anew(self, bed: str, now_ns: int, signal: str | None = None) -> None:
        """Another patient: the book has closed what was said; what still holds is said anew.

        ``signal`` names the one whose state is of the former patient, by default all.
        """
        for stream in self._of_bed(bed):
            if signal not in (None, stream[1]):
                continue
            self._signs.begin_anew(self._slots[stream])
            self._engine.clear(self._slots[stream])
            self._no_data.begin_anew(stream, now_ns)

    def forget(self, streams: Iterable[StreamKey]) -> None:
        """Watch these streams no longer."""
        known = {stream for stream in streams if stream in self._slots}
        self._no_data.forget(known)
        self._late = [one for one in self._late if one.stream not in known]
        for stream in known:
            slot = self._slots.pop(stream)
            del self._keys[slot]
            self._engine.reset(slot)
            self._free.append(slot)
        self._muted -= {bed for bed, _ in known if not self._of_bed(bed)}

    def state(self, stream: StreamKey) -> StreamState:
        """State of one stream, for a snapshot."""
        slot = self._slots[stream]
        return StreamState(self._no_data.state(stream), self._engine.state(slot), self._signs.state(slot))

    def restore(self, stream: StreamKey, state: StreamState, offset: int, now_s: float) -> None:
        """Go on from a snapshot; a silence that its worker saw goes on, what came meanwhile is read first.

        A bed's standby is not in it: :meth:`mute` it again.
        """
        slot = self._slot(stream)
        self._engine.restore(slot, state.alarms)
        self._signs.restore(slot, state.signs, offset, now_s, state.no_data.silent_s)
        delay_s = self._no_data_setting(stream).on_delay_s
        self._no_data.restore(stream, state.no_data, offset, now_s, delay_s)
        switched_off = self._set_no_data(stream, state.no_data.last_sample_ns)
        self._late += self._of_silences([switched_off])
