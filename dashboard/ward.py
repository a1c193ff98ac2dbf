"""The state of the ward: filled by the consumer thread, read by every session."""

from __future__ import annotations

import math
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from dashboard.history import HeardBeats, Int16Array, VitalRing
from dashboard.snapshots import (
    LIVE_S,
    BedHistory,
    BedSnapshot,
    FindingSnapshot,
    TraceWindow,
    VitalHistory,
    VitalSnapshot,
    WardSnapshot,
)
from dashboard.traces import Trace
from inference.types import Alarm, AlarmState, Bed, Prediction, Priority, Vital
from ingest.types import Chunk, SignalKind

MAX_BEDS: Final = 128
MAX_CURRENT_ALARMS: Final = 1_000
MAX_ALARMS: Final = 200
MAX_SIGNALS: Final = 16
"""Of whose numbers, and of whose predictions, a bed keeps: names come over the wire."""
VITAL_LATE_S: Final = 6.0
"""An ECG whose newest vital signs are older is not analysed: the worker sends them every second."""
VITAL_FIRST_S: Final = 10.0
"""So long the worker may take for the first vital signs of an ECG that has just begun."""
PRIORITY_RANK: Final = {Priority.HIGH: 0, Priority.MEDIUM: 1, Priority.LOW: 2, Priority.TECHNICAL: 3}


@dataclass(slots=True)
class _Bed:
    beats: HeardBeats
    traces: dict[SignalKind, Trace] = field(default_factory=dict)
    vitals: dict[str, tuple[Vital, float]] = field(default_factory=dict)
    past_vitals: dict[str, VitalRing] = field(default_factory=dict)
    predictions: dict[str, tuple[Prediction, float]] = field(default_factory=dict)
    status: Bed | None = None
    status_at: float = 0.0
    ecg_since: float | None = None
    ecg_at: float = 0.0

    def forget(self, history_s: float) -> None:
        """Forget what was of another patient."""
        self.beats = HeardBeats(history_s)
        self.past_vitals.clear()
        self.predictions.clear()
        for trace in self.traces.values():
            trace.forget()

    def note_ecg(self, fresh_at: float) -> None:
        """Note that ECG came; after a silence the worker is given time for its first numbers again."""
        if self.ecg_since is None or fresh_at - self.ecg_at > LIVE_S:
            self.ecg_since = fresh_at
        self.ecg_at = max(self.ecg_at, fresh_at)

    def unanalysed_s(self, now: float) -> float | None:
        """For how long ECG has come without vital signs; ``None`` where it is analysed or none comes."""
        if self.ecg_since is None or now - self.ecg_at >= LIVE_S:
            return None
        vital = self.vitals.get(SignalKind.ECG.value)
        first = vital is None or vital[1] < self.ecg_since
        wait_s = now - (self.ecg_since if vital is None or first else vital[1])
        return wait_s if wait_s > (VITAL_FIRST_S if first else VITAL_LATE_S) else None


def natural_order(label: str) -> list[tuple[int, int, str]]:
    """Sort key by which bed-2 comes before bed-10."""
    parts = re.findall(r"\d+|\D+", label.casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def by_urgency(alarm: Alarm) -> tuple[int, int, int]:
    """Sort key: the most urgent first, within a priority what nobody acknowledged, then the newest."""
    seen = alarm.state is AlarmState.ACKNOWLEDGED
    return PRIORITY_RANK[alarm.priority], int(seen), -alarm.onset_ns


class Ward:
    """Newest traces, numbers and alarms of all beds; every method is safe to call from any thread.

    Parameters
    ----------
    history_s : float
        Seconds of trace kept a signal.
    clock : callable
        Monotonic seconds.
    """

    def __init__(self, history_s: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._history_s = history_s
        self._lock = threading.Lock()
        self._beds: dict[str, _Bed] = {}
        self._current: dict[str, Alarm] = {}
        self._past: OrderedDict[str, Alarm] = OrderedDict()
        self._connected = False
        self._answered_at = clock()
        self._problem: str | None = "not connected yet"
        self._refused = 0

    def _bed(self, name: str) -> _Bed | None:
        bed = self._beds.get(name)
        if bed is None:
            if len(self._beds) >= MAX_BEDS:
                self._refused += 1
                return None
            bed = self._beds[name] = _Bed(HeardBeats(self._history_s))
        return bed

    def add_chunk(self, chunk: Chunk, age_s: float = 0.0) -> None:
        """Take in a chunk that is already ``age_s`` old (0 for live data)."""
        fresh_at = self.clock() - age_s
        with self._lock:
            bed = self._bed(chunk.bed)
            if bed is None:
                return
            trace = bed.traces.get(chunk.kind)
            if trace is None:
                trace = bed.traces[chunk.kind] = Trace(chunk, self._history_s)
            if trace.push(chunk, fresh_at) and chunk.kind is SignalKind.ECG:
                bed.note_ecg(fresh_at)

    def add_vital(self, vital: Vital, age_s: float = 0.0) -> None:
        """Take in a vital, unless a newer one of the same bed and signal is held."""
        fresh_at = self.clock() - age_s
        with self._lock:
            bed = self._bed(vital.bed)
            if bed is None:
                return
            held = bed.vitals.get(vital.signal)
            if held is None or not _supersedes(held[0].time_ns, held[0], vital.time_ns, vital):
                bed.vitals[vital.signal] = (vital, fresh_at)
                if vital.signal in bed.past_vitals or len(bed.past_vitals) < MAX_SIGNALS:
                    bed.past_vitals.setdefault(vital.signal, VitalRing(vital.signal)).add(vital)

    def add_prediction(self, prediction: Prediction, age_s: float = 0.0) -> None:
        """Take in a prediction, unless a newer one of the same bed, signal and model is held."""
        fresh_at = self.clock() - age_s
        key = f"{prediction.signal}/{prediction.model}"
        with self._lock:
            bed = self._bed(prediction.bed)
            if bed is None:
                return
            if prediction.signal == SignalKind.ECG:
                bed.beats.add(prediction)
            if key not in bed.predictions and len(bed.predictions) >= MAX_SIGNALS:
                return
            held = bed.predictions.get(key)
            if held is None or not _supersedes(held[0].end_ns, held[0], prediction.end_ns, prediction):
                bed.predictions[key] = (prediction, fresh_at)

    def add_alarm(self, alarm: Alarm) -> None:
        """Take in one step of an alarm's life; of one id the highest (raw_offset, revision) stays."""
        with self._lock:
            held = self._current.get(alarm.id) or self._past.get(alarm.id)
            if held is not None and (alarm.raw_offset, alarm.revision) <= (held.raw_offset, held.revision):
                return
            if self._bed(alarm.bed) is None:
                return
            if alarm.state is AlarmState.ENDED:
                self._current.pop(alarm.id, None)
                self._past[alarm.id] = alarm
                self._past.move_to_end(alarm.id)
                while len(self._past) > MAX_ALARMS:
                    self._past.popitem(last=False)
                return
            self._past.pop(alarm.id, None)
            if alarm.id not in self._current and len(self._current) >= MAX_CURRENT_ALARMS:
                self._refused += 1
                return
            self._current[alarm.id] = alarm

    def add_bed(self, status: Bed, age_s: float = 0.0) -> None:
        """Take in how a bed is set, unless something newer is held."""
        with self._lock:
            bed = self._bed(status.bed)
            if bed is None:
                return
            held = bed.status
            if held is None or (status.revision, status.emitted_ns) > (held.revision, held.emitted_ns):
                # A new patient inherits nothing.
                if held is not None and held.stay != status.stay:
                    bed.forget(self._history_s)
                bed.status, bed.status_at = status, self.clock() - age_s

    def set_connected(self, connected: bool, problem: str | None = None) -> None:
        """Note that the broker answered just now, or that it does not and why."""
        with self._lock:
            self._connected = connected
            self._problem = problem
            if connected:
                self._answered_at = self.clock()

    def snapshot(self) -> WardSnapshot:
        """Return the ward as it is now."""
        with self._lock:
            now = self.clock()
            current = sorted(self._current.values(), key=by_urgency)
            listed = [*current, *reversed(self._past.values())]
            alarmed = {alarm.bed for alarm in current}
            beds = [
                self._snapshot_bed(name, bed, current, now)
                for name, bed in self._beds.items()
                if name in alarmed or not self._is_empty(bed, now)
            ]
            return WardSnapshot(
                connected=self._connected,
                silent_s=max(0.0, now - self._answered_at),
                problem=self._problem,
                beds=tuple(sorted(beds, key=lambda bed: natural_order(bed.bed))),
                alarms=tuple(listed[:MAX_ALARMS]),
                refused=self._refused,
            )

    def window(
        self, bed: str, kind: SignalKind, epoch: int, first_index: int, newest_s: float
    ) -> TraceWindow | None:
        """Copy the samples of a trace from ``first_index`` on (see :meth:`Trace.window`)."""
        with self._lock:
            held = self._beds.get(bed)
            trace = held.traces.get(kind) if held else None
            return trace.window(self.clock(), epoch, first_index, newest_s) if trace else None

    def history(self, bed: str) -> BedHistory | None:
        """Copy a bed's traces, with beats and alarms; ``None`` where nothing ever came."""
        with self._lock:
            held = self._beds.get(bed)
            if held is None or not held.traces:
                return None
            now = self.clock()
            traces = tuple(held.traces[kind].history(now) for kind in SignalKind if kind in held.traces)
            newest = [one for one, _ in held.predictions.values() if one.signal == SignalKind.ECG]
            alarms = [*self._current.values(), *self._past.values()]
            return BedHistory(
                bed=bed,
                traces=traces,
                beats=held.beats.since(min(trace.knots[0][1] for trace in traces)),
                alarms=tuple(alarm for alarm in alarms if alarm.bed == bed),
                newest=max(newest, key=lambda one: one.end_ns, default=None),
            )

    def vital_history(self, bed: str) -> tuple[VitalHistory, ...]:
        """Copy the numbers of a bed's last hour, a signal each."""
        with self._lock:
            held = self._beds.get(bed)
            return tuple(ring.read() for ring in held.past_vitals.values()) if held else ()

    def audio(self, bed: str, kind: SignalKind, newest_s: float) -> tuple[float, Int16Array, int] | None:
        """Copy the newest sound at the device's rate, at most a minute.

        Returns
        -------
        (fs_hz, samples, end_ns) or None
            Samples ``(n_samples,)`` of the first channel, int16 of full scale, -32768 where missing;
            device time after the last. ``None`` where the bed sends no such sound.
        """
        with self._lock:
            held = self._beds.get(bed)
            trace = held.traces.get(kind) if held else None
            return trace.sound(newest_s) if trace else None

    @staticmethod
    def _is_empty(bed: _Bed, now: float) -> bool:
        """Whether a bed's patient was discharged and nothing has come from it since, or nothing ever did."""
        status = bed.status
        newest_s = min((trace.describe(now).age_s for trace in bed.traces.values()), default=math.inf)
        if status is None or status.discharged_ns is None:
            # A bed that is only set (a discharged one whose topic was read half) is not shown either.
            return math.isinf(newest_s) and status is not None and not status.admitted
        return newest_s > LIVE_S

    @staticmethod
    def _snapshot_bed(name: str, bed: _Bed, current: list[Alarm], now: float) -> BedSnapshot:
        streams = tuple(bed.traces[kind].describe(now) for kind in SignalKind if kind in bed.traces)
        vitals = tuple(
            VitalSnapshot(
                signal=vital.signal,
                heart_rate_bpm=vital.heart_rate_bpm,
                ventricular_per_min=vital.ventricular_per_min,
                quality=vital.quality,
                usable=vital.usable,
                age_s=max(0.0, now - fresh_at),
            )
            for vital, fresh_at in bed.vitals.values()
        )
        findings = tuple(
            _finding(prediction, max(0.0, now - fresh_at))
            for prediction, fresh_at in bed.predictions.values()
        )
        return BedSnapshot(
            bed=name,
            age_s=min((stream.age_s for stream in streams), default=None),
            streams=streams,
            vitals=vitals,
            findings=findings,
            alarms=tuple(alarm for alarm in current if alarm.bed == name),
            unanalysed_s=bed.unanalysed_s(now),
            status=bed.status,
        )


def _supersedes(held_ns: int, held: Vital | Prediction, other_ns: int, other: Vital | Prediction) -> bool:
    """Whether what is held is newer by device time and by offset: a worker that woke late is not believed."""
    return held_ns > other_ns and (held.raw_offset, held.revision) >= (other.raw_offset, other.revision)


def _finding(prediction: Prediction, age_s: float) -> FindingSnapshot:
    label, probability = max(prediction.probabilities.items(), key=lambda item: item[1], default=("", 0.0))
    return FindingSnapshot(
        signal=prediction.signal,
        model=prediction.model,
        label=label,
        probability=probability,
        quality=prediction.quality,
        age_s=age_s,
    )
