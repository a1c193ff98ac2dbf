"""A sound that is in memory through the worker's own monitor: alarms, rates, and what could not be used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from inference.analysis_ecg import BED, Progress, alarms_of
from inference.analysis_findings import AlarmFinding, SoundCycle, SoundLoss, SoundRates
from inference.analysis_noting import NotingMonitor
from inference.score_run import START_NS, VirtualClock, play_sources
from inference.sound_listener import SoundNetwork
from inference.sound_monitor import OFF, SIGNS, SPECS, SoundMonitor
from inference.types import Alarm, Prediction, Vital
from inference.windows import CLEAN
from ingest.recording import Signal
from ingest.replay import Source
from ingest.settings import IngestSettings
from ingest.types import NS_PER_S, SignalKind

REASONS: Final = {
    "lost": "sensor off, far too faint, or most samples missing",
    "clipped": "clipped",
    "hum": "mains hum",
    "noise": "far louder than before: speech or rubbing",
    OFF: "sensor off: nothing beats any more below 150 Hz",
}
MISSING: Final = "samples missing, all alike, or too faint"
NOT_JUDGED: Final = "not judged"


@dataclass(frozen=True, slots=True)
class Played:
    """What the ward's monitor said of a sound."""

    alarms: list[AlarmFinding]
    pieces: list[SoundCycle]
    rates: SoundRates
    lost: list[SoundLoss]


def one_channel(signal: Signal) -> Signal:
    """The first channel, which is the one that is listened to."""
    return Signal(signal.kind, signal.channels[:1], signal.unit, signal.fs_hz, signal.samples[:, :1])


def least_rate_hz(kind: SignalKind) -> float:
    """Sampling rate from which a sound of this kind is judged."""
    return SPECS[kind][0].min_fs_hz


def play_sound(
    signal: Signal, network: SoundNetwork | None, settings: IngestSettings, progress: Progress
) -> Played:
    """Play a sound as a bed of its own.

    Parameters
    ----------
    signal : Signal
        Lung or heart sound at :func:`least_rate_hz` or more; its first channel is listened to.
    network : SoundNetwork or None
        The ward's, for its alarms; sensor, silence and rate are watched without one.
    settings : IngestSettings
        Limits of continuity.
    progress : callable
        Told after each second.
    """
    clock = VirtualClock()
    windows = NotingMonitor(signal.kind, clock, (*SIGNS, OFF))
    monitor = SoundMonitor(signal.kind, windows, network)
    alarms: list[Alarm] = []
    vitals: list[Vital] = []
    predictions: list[Prediction] = []
    sources = [Source(BED, "", one_channel(signal))]
    for done, outcome in enumerate(play_sources(sources, monitor, clock, settings), 1):
        alarms += outcome.alarms
        vitals += outcome.vitals
        predictions += outcome.predictions
        progress(str(signal.kind), min(1.0, done / max(1.0, signal.duration_s)))
    return Played(
        alarms_of(alarms),
        [_piece(one) for one in predictions],
        _rates(vitals, signal.kind),
        _lost(vitals, windows.signs),
    )


def _piece(told: Prediction) -> SoundCycle:
    judged = told.quality >= CLEAN
    shares = {name: round(share, 3) for name, share in told.probabilities.items()}
    return SoundCycle(
        max(0.0, _seconds(told.start_ns)),
        _seconds(told.end_ns),
        shares if judged else {},
        "" if judged else NOT_JUDGED,
    )


def _rates(vitals: list[Vital], kind: SignalKind) -> SoundRates:
    of_lungs = kind is SignalKind.LUNG_SOUND
    return SoundRates(
        [_seconds(one.time_ns) for one in vitals],
        [one.respiratory_rate_bpm if of_lungs else one.heart_rate_bpm for one in vitals],
    )


def _lost(vitals: list[Vital], signs: list[str | None]) -> list[SoundLoss]:
    """Unbroken runs of seconds that cannot be used for one reason."""
    found: list[SoundLoss] = []
    for vital, sign in zip(vitals, signs, strict=True):
        if vital.usable:
            continue
        end_s = _seconds(vital.time_ns)
        begin_s = max(0.0, round(end_s - 1.0, 3))
        reason = MISSING if sign is None else REASONS.get(sign, sign)
        if found and found[-1].reason == reason and np.isclose(found[-1].end_s, begin_s, atol=0.01):
            begin_s = found.pop().begin_s
        found.append(SoundLoss(begin_s, end_s, reason))
    return found


def _seconds(time_ns: int) -> float:
    return round((time_ns - START_NS) / NS_PER_S, 3)
