"""What the dashboard holds of one bed, and whether a worker answers what the bed sends."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from dashboard.eeg_marks import EegMarks
from dashboard.eeg_seconds import EegSeconds
from dashboard.eeg_spectra import Spectra
from dashboard.heard_sounds import SOUNDS, HeardSounds
from dashboard.history import HeardBeats, VitalRing
from dashboard.snapshots import LIVE_S, WATCHED, BedSnapshot, FindingSnapshot, VitalSnapshot
from dashboard.traces import Trace
from inference.types import Alarm, Bed, Prediction, Vital
from ingest.types import NS_PER_S, SignalKind

ANSWERED_NS: Final = 2 * NS_PER_S
"""Vital signs so little behind a signal answer it: the worker waits for whole seconds and for chunks."""
MOST_PENDING: Final = 1_000
HEARD_AGAIN_S: Final = 10.0
"""A network judges a sound every few seconds; what it said longer ago is not said of now."""
UNANSWERED_S: Final = 2.0
"""A signal that waits for its vital signs for longer is not analysed."""
UNANSWERED_FIRST_S: Final = 10.0
"""So long the worker may take for the first vital signs of a signal that has just begun."""


@dataclass(slots=True)
class AnalysisWatch:
    """Whether the vital signs of a signal keep up with it.

    By the device's clock, so that a worker that works off what lay for minutes is not taken for one that
    watches; how long it waits is counted by this machine's.
    """

    since: float | None = None
    at: float = 0.0
    pending: deque[tuple[int, float]] = field(default_factory=deque)
    """Ends of chunks that no vital signs answer yet (device ns), and when each came; the oldest first."""
    answered: bool = False

    def note_chunk(self, end_ns: int, fresh_at: float) -> None:
        """Note that the signal came; after a silence the worker is given time for its first numbers again."""
        if self.since is None or fresh_at - self.at > LIVE_S:
            self.since, self.answered = fresh_at, False
            self.pending.clear()
        self.at = max(self.at, fresh_at)
        if self.pending and end_ns < self.pending[0][0]:
            # The device's clock was set back.
            fresh_at = self.pending[0][1]
            self.pending.clear()
        if len(self.pending) < MOST_PENDING:
            self.pending.append((end_ns, fresh_at))

    def note_vital(self, time_ns: int) -> None:
        """Note vital signs up to a device time."""
        while self.pending and time_ns >= self.pending[0][0] - ANSWERED_NS:
            self.pending.popleft()
            self.answered = True

    def unanalysed_s(self, now: float) -> float | None:
        """For how long it has waited for vital signs; ``None`` where it is analysed or nothing comes."""
        if not self.pending or now - self.at >= LIVE_S:
            return None
        wait_s = now - self.pending[0][1]
        return wait_s if wait_s > (UNANSWERED_S if self.answered else UNANSWERED_FIRST_S) else None


def _watches() -> dict[str, AnalysisWatch]:
    return {kind.value: AnalysisWatch() for kind in WATCHED}


def _nothing_heard() -> dict[str, HeardSounds]:
    return {signal: HeardSounds() for signal in SOUNDS}


@dataclass(slots=True)
class HeldBed:
    """Traces, numbers and settings of one bed; the ward's lock guards it."""

    beats: HeardBeats
    traces: dict[SignalKind, Trace] = field(default_factory=dict)
    vitals: dict[str, tuple[Vital, float]] = field(default_factory=dict)
    past_vitals: dict[str, VitalRing] = field(default_factory=dict)
    predictions: dict[str, tuple[Prediction, float]] = field(default_factory=dict)
    heard: dict[str, HeardSounds] = field(default_factory=_nothing_heard)
    eeg_marks: EegMarks = field(default_factory=EegMarks)
    eeg_spectra: Spectra = field(default_factory=Spectra)
    eeg_seconds: EegSeconds = field(default_factory=EegSeconds)
    status: Bed | None = None
    watches: dict[str, AnalysisWatch] = field(default_factory=_watches)

    def set_status(self, status: Bed, history_s: float) -> None:
        """Take in how the bed is set; a new patient inherits nothing."""
        held = self.status
        if held is not None and _patient(held) != _patient(status):
            self.beats = HeardBeats(history_s)
            self.heard = _nothing_heard()
            self.eeg_marks, self.eeg_spectra, self.eeg_seconds = EegMarks(), Spectra(), EegSeconds()
            self.vitals.clear()
            self.past_vitals.clear()
            self.predictions.clear()
            for trace in self.traces.values():
                trace.forget()
        self.status = status

    def behind_s(self, vital: Vital) -> float:
        """How far a vital lies behind the newest sample of its signal, by the device's clock."""
        trace = next((one for kind, one in self.traces.items() if kind.value == vital.signal), None)
        return 0.0 if trace is None else max(0.0, (trace.end_ns - vital.time_ns) / NS_PER_S)

    def silent_s(self, now: float) -> float:
        """Seconds since anything came of it; infinite where nothing ever did."""
        return min((trace.describe(now).age_s for trace in self.traces.values()), default=math.inf)

    def is_empty(self, now: float) -> bool:
        """Whether its patient was discharged and nothing has come from it since, or nothing ever did."""
        status = self.status
        if status is None or status.discharged_ns is None:
            # A bed that is only set (a discharged one whose topic was read half) is not shown either.
            return math.isinf(self.silent_s(now)) and status is not None and not status.admitted
        return self.silent_s(now) > LIVE_S

    def snapshot(self, name: str, alarms: tuple[Alarm, ...], now: float) -> BedSnapshot:
        """Return the bed as it is now, with its current alarms, the most urgent first."""
        streams = tuple(self.traces[kind].describe(now) for kind in SignalKind if kind in self.traces)
        vitals = tuple(
            VitalSnapshot(
                signal=vital.signal,
                heart_rate_bpm=vital.heart_rate_bpm,
                ventricular_per_min=vital.ventricular_per_min,
                quality=vital.quality,
                usable=vital.usable,
                age_s=max(0.0, now - fresh_at),
                respiratory_rate_bpm=vital.respiratory_rate_bpm,
            )
            for vital, fresh_at in self.vitals.values()
        )
        findings = tuple(
            _finding(prediction, max(0.0, now - fresh_at))
            for prediction, fresh_at in self.predictions.values()
        )
        return BedSnapshot(
            bed=name,
            age_s=min((stream.age_s for stream in streams), default=None),
            streams=streams,
            vitals=vitals,
            findings=findings,
            alarms=alarms,
            unanalysed={
                signal: wait_s
                for signal, watch in self.watches.items()
                if (wait_s := watch.unanalysed_s(now)) is not None
            },
            status=self.status,
            heard=tuple(
                label
                for signal, sounds in self.heard.items()
                if self._judged_s(signal, sounds, now) <= HEARD_AGAIN_S
                for label in sounds.lately()
            ),
        )

    def _judged_s(self, signal: str, sounds: HeardSounds, now: float) -> float:
        """Seconds since a network last judged a sound; infinite where none did."""
        told = self.predictions.get(f"{signal}/{sounds.model}")
        return math.inf if told is None else now - told[1]


def _patient(status: Bed) -> tuple[str | None, int | None, bool]:
    """What tells one patient from the next: pseudonyms may be left out."""
    return status.stay, status.admitted_ns, status.discharged_ns is None


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
