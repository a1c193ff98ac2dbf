"""The state of the ward: filled by the consumer thread, read by every session."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from dashboard.eeg_marks import Said
from dashboard.eeg_seconds import Seconds
from dashboard.eeg_spectra import Columns
from dashboard.heard_sounds import SOUNDS, Heard
from dashboard.held_bed import HeldBed
from dashboard.history import HeardBeats, Int16Array, VitalRing
from dashboard.newest import Newest, Recent
from dashboard.snapshots import (
    BedHistory,
    LeadOff,
    TraceWindow,
    VitalHistory,
    WardSnapshot,
)
from dashboard.traces import Trace
from dashboard.urgency import by_urgency, natural_order
from inference.newest import Place, place
from inference.types import Alarm, AlarmState, Bed, Prediction, Vital
from ingest.types import Chunk, SignalKind

MAX_BEDS: Final = 128
MAX_CURRENT_ALARMS: Final = 1_000
MAX_ALARMS: Final = 200
MAX_OVER: Final = 50_000
"""Of so many alarms it is known that they are over, days of a large ward: a late copy brings none back."""
MAX_SIGNALS: Final = 16
"""Of whose numbers, and of whose predictions, a bed keeps: names come over the wire."""
FORGOTTEN_S: Final = 60.0
"""A bed that was silent for longer, without an alarm, makes room for a new one where there is none."""


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
        self._beds: dict[str, HeldBed] = {}
        self._current: dict[str, Alarm] = {}
        self._past: OrderedDict[str, Alarm] = OrderedDict()
        self._over: Recent[str, Place] = Recent(MAX_OVER)
        """Last step of alarms that are not current any more."""
        self._told: Recent[tuple[str, str], Newest] = Recent()
        self._connected = False
        self._answered_at = clock()
        self._problem: str | None = "not connected yet"
        self._refused: set[str] = set()
        """Beds for which there is no room."""
        self._cut: set[str] = set()
        """Alarms for which there was none."""
        self._without_worker_s: Callable[[], float | None] = lambda: None

    def _bed(self, name: str) -> HeldBed | None:
        bed = self._beds.get(name)
        if bed is None:
            if len(self._beds) >= MAX_BEDS and not self._make_room():
                if len(self._refused) < MAX_BEDS:
                    self._refused.add(name)
                return None
            self._refused.discard(name)
            bed = self._beds[name] = HeldBed(HeardBeats(self._history_s))
        return bed

    def _make_room(self) -> bool:
        """Forget the bed that has been silent for longest, if there is one that nobody misses."""
        now = self.clock()
        alarmed = {alarm.bed for alarm in self._current.values()}
        silent = {name: bed.silent_s(now) for name, bed in self._beds.items() if name not in alarmed}
        longest = max(silent, key=silent.__getitem__, default=None)
        if longest is None or silent[longest] <= FORGOTTEN_S:
            return False
        del self._beds[longest]
        return True

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
            if not trace.push(chunk, fresh_at):
                return
            if chunk.kind in bed.watches:
                bed.watches[chunk.kind].note_chunk(chunk.end_ns, fresh_at)
            if chunk.kind is SignalKind.EEG:
                bed.eeg_spectra.push(chunk)

    def _is_news(self, said: Vital | Prediction, time_ns: int, bed: str, name: str) -> bool:
        """Whether this was not said before; beds and patients that went are not forgotten here."""
        told = self._told.get((bed, name)) or Newest()
        self._told.put((bed, name), told)
        return told.takes(place(said), time_ns)

    def add_vital(self, vital: Vital, age_s: float = 0.0) -> None:
        """Take in a vital, unless it or a newer one of the same bed and signal came before."""
        fresh_at = self.clock() - age_s
        with self._lock:
            if not self._is_news(vital, vital.time_ns, vital.bed, vital.signal):
                return
            bed = self._bed(vital.bed)
            if bed is None:
                return
            # A worker that works off what lay for minutes says nothing of now.
            fresh_at = min(fresh_at, self.clock() - bed.behind_s(vital))
            if vital.signal in bed.watches:
                bed.watches[vital.signal].note_vital(vital.time_ns)
            bed.vitals[vital.signal] = (vital, fresh_at)
            bed.eeg_seconds.add(vital)
            room = vital.signal in bed.past_vitals or len(bed.past_vitals) < MAX_SIGNALS
            if room and vital.signal != SignalKind.EEG:
                bed.past_vitals.setdefault(vital.signal, VitalRing(vital.signal)).add(vital)

    def add_prediction(self, prediction: Prediction, age_s: float = 0.0) -> None:
        """Take in a prediction, unless it or a newer one of the same bed, signal and model came before."""
        fresh_at = self.clock() - age_s
        key = f"{prediction.signal}/{prediction.model}"
        with self._lock:
            if not self._is_news(prediction, prediction.end_ns, prediction.bed, key):
                return
            bed = self._bed(prediction.bed)
            if bed is None:
                return
            if prediction.signal == SignalKind.ECG:
                bed.beats.add(prediction)
            elif prediction.signal in SOUNDS:
                bed.heard[prediction.signal].add(prediction)
            elif prediction.signal == SignalKind.EEG:
                bed.eeg_marks.add(prediction)
            if key in bed.predictions or len(bed.predictions) < MAX_SIGNALS:
                bed.predictions[key] = (prediction, fresh_at)

    def add_alarm(self, alarm: Alarm) -> None:
        """Take in one step of an alarm's life; of one id the highest (raw_offset, revision) stays."""
        with self._lock:
            current = self._current.get(alarm.id)
            known = place(current) if current is not None else self._over.get(alarm.id)
            if known is not None and place(alarm) <= known:
                return
            if self._bed(alarm.bed) is None:
                return
            self._cut.discard(alarm.id)
            if alarm.state is AlarmState.ENDED:
                self._current.pop(alarm.id, None)
                self._over.put(alarm.id, place(alarm))
                self._past[alarm.id] = alarm
                self._past.move_to_end(alarm.id)
                while len(self._past) > MAX_ALARMS:
                    self._past.popitem(last=False)
                return
            self._past.pop(alarm.id, None)
            self._current[alarm.id] = alarm
            if len(self._current) > MAX_CURRENT_ALARMS:
                least = self._current.pop(max(self._current.values(), key=by_urgency).id)
                # Its worker says it again within the hour: it is shown then, if there is room.
                if len(self._cut) < MAX_OVER:
                    self._cut.add(least.id)
                self._over.put(least.id, (least.raw_offset, least.revision - 1))

    def add_bed(self, status: Bed) -> None:
        """Take in how a bed is set, unless something newer is held."""
        with self._lock:
            bed = self._bed(status.bed)
            if bed is None:
                return
            held = bed.status
            if held is None or (status.revision, status.emitted_ns) > (held.revision, held.emitted_ns):
                bed.set_status(status, self._history_s)

    def ask_workers(self, without_worker_s: Callable[[], float | None]) -> None:
        """Name what says for how long no worker has spoken (s, ``None`` while one does)."""
        self._without_worker_s = without_worker_s

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
                bed.snapshot(name, tuple(alarm for alarm in current if alarm.bed == name), now)
                for name, bed in self._beds.items()
                if name in alarmed or not bed.is_empty(now)
            ]
            return WardSnapshot(
                connected=self._connected,
                silent_s=max(0.0, now - self._answered_at),
                problem=self._problem,
                beds=tuple(sorted(beds, key=lambda bed: natural_order(bed.bed))),
                alarms=tuple(listed[:MAX_ALARMS]),
                unseen_beds=len(self._refused),
                unseen_alarms=len(self._cut),
                no_worker_s=self._without_worker_s(),
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
            since_ns = (held.status.admitted_ns if held.status else None) or 0
            return BedHistory(
                bed=bed,
                traces=traces,
                beats=held.beats.since(min(trace.knots[0][1] for trace in traces)),
                alarms=tuple(one for one in alarms if one.bed == bed and one.emitted_ns >= since_ns),
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

    def heard(self, bed: str, kind: SignalKind, epoch: int, count: int) -> Heard:
        """Return what networks said of a sound in the last minute (see :meth:`HeardSounds.since`)."""
        with self._lock:
            held = self._beds.get(bed)
            return held.heard[kind.value].since(epoch, count) if held else Heard(0, 0, "", [])

    def lead_offs(self, bed: str, kind: SignalKind) -> tuple[LeadOff, ...]:
        """Return when which lead of a signal was off, as its device said."""
        with self._lock:
            held = self._beds.get(bed)
            trace = held.traces.get(kind) if held else None
            return trace.lead_offs() if trace else ()

    def eeg_spectra(self, bed: str, epoch: int, column: int) -> Columns | None:
        """Copy columns of an EEG's spectra (see :meth:`Spectra.since`)."""
        with self._lock:
            held = self._beds.get(bed)
            return held.eeg_spectra.since(epoch, column) if held else None

    def eeg_seconds(self, bed: str, epoch: int, count: int) -> Seconds | None:
        """Copy trends of an EEG that workers sent (see :meth:`EegSeconds.since`)."""
        with self._lock:
            held = self._beds.get(bed)
            return held.eeg_seconds.since(epoch, count) if held else None

    def eeg_marks(self, bed: str, epoch: int, count: int) -> Said | None:
        """Return what a network said of an EEG (see :meth:`EegMarks.since`)."""
        with self._lock:
            held = self._beds.get(bed)
            return held.eeg_marks.since(epoch, count) if held else None
