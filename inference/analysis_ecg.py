"""An ECG that is in memory through the worker's pipeline, and what that gave as findings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from inference.analysis_findings import AlarmFinding, Beats, EcgFindings, Rates, Stretch, Windows
from inference.beat_predictor import BeatPredictor
from inference.bedside import Bedside
from inference.monitor import Outcome
from inference.newest import keep_newest
from inference.predictor import SINGLE_BED_SIZES, Predictor, describe
from inference.score_run import START_NS, VirtualClock, play_sources
from inference.types import Alarm, Prediction, Vital
from ingest.recording import Signal
from ingest.replay import Source
from ingest.settings import IngestSettings
from ingest.types import NS_PER_S, SignalKind

BED: Final = "recording"
IN_PIPELINE: Final = (SignalKind.ECG, SignalKind.PLETH, SignalKind.ABP)

Progress = Callable[[str, float], None]
"""Takes the stage and the share that is done, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Networks:
    """The networks of the ward: beats and rhythms, and the classes of beats."""

    predictor: Predictor
    beats: BeatPredictor | None

    def names(self) -> list[str]:
        """One line each."""
        return [describe(one.spec) for one in (self.predictor, self.beats) if one is not None]


def load_networks(model: str, beats: str | None, device: str | None = None) -> Networks:
    """Load the networks for one recording at a time."""
    sizes = SINGLE_BED_SIZES if device in (None, "cpu") else None
    return Networks(
        Predictor(model, device, sizes), None if beats is None else BeatPredictor(beats, device, sizes)
    )


@dataclass(slots=True)
class Collected:
    """All that the pipeline gave."""

    alarms: list[Alarm] = field(default_factory=list)
    predictions: list[Prediction] = field(default_factory=list)
    vitals: list[Vital] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Take in a second's."""
        self.alarms += outcome.alarms
        self.predictions += outcome.predictions
        self.vitals += outcome.vitals


def analyse_ecg(
    signals: Sequence[Signal], networks: Networks, settings: IngestSettings, progress: Progress
) -> EcgFindings:
    """Play a recording as a bed of its own.

    Parameters
    ----------
    signals : sequence of Signal
        The ECG, and PLETH and ABP where there are any: they contradict false asystoles.
    networks : Networks
        Loaded.
    settings : IngestSettings
        Limits of continuity.
    progress : callable
        Told after each second.
    """
    sources = [Source(BED, "", signal) for signal in signals if signal.kind in IN_PIPELINE]
    seconds = max(source.signal.duration_s for source in sources)
    clock = VirtualClock()
    bedside = Bedside(networks.predictor, clock, networks.beats)
    collected = Collected()
    for done, outcome in enumerate(play_sources(sources, bedside, clock, settings), 1):
        collected.add(outcome)
        progress("ECG", min(1.0, done / seconds))
    length_s = networks.predictor.spec.window_s
    ecg_s = next(source.signal.duration_s for source in sources if source.signal.kind is SignalKind.ECG)
    return findings_of(collected, length_s, ecg_s)


def findings_of(collected: Collected, window_s: float, duration_s: float) -> EcgFindings:
    """Records of the pipeline as findings, in seconds from the recording's begin."""
    predictions, vitals = collected.predictions, collected.vitals
    beats = sorted(
        (beat for prediction in predictions for beat in prediction.beats), key=lambda beat: beat.time_ns
    )
    classes = list(predictions[0].probabilities) if predictions else []
    return EcgFindings(
        alarms_of(collected.alarms),
        Beats(
            [_seconds(beat.time_ns) for beat in beats],
            [beat.label for beat in beats],
            [beat.probability for beat in beats],
        ),
        Rates(
            [_seconds(vital.time_ns) for vital in vitals],
            [vital.heart_rate_bpm for vital in vitals],
            [vital.ventricular_per_min for vital in vitals],
            [vital.usable for vital in vitals],
        ),
        Windows(
            window_s,
            [_seconds(one.end_ns) for one in predictions],
            [one.channel for one in predictions],
            [one.quality for one in predictions],
            {name: [round(one.probabilities[name], 4) for one in predictions] for name in classes},
        ),
        unusable_stretches(vitals, duration_s),
    )


def alarms_of(alarms: Sequence[Alarm]) -> list[AlarmFinding]:
    """Each alarm once, by its newest step but with the words that it was raised with."""
    first: dict[str, Alarm] = {}
    newest: dict[str, Alarm] = {}
    for alarm in alarms:
        first.setdefault(alarm.id, alarm)
        keep_newest(newest, alarm)
    found = [
        AlarmFinding(
            alarm.signal,
            alarm.kind,
            alarm.priority,
            first[alarm.id].message,
            _seconds(alarm.onset_ns),
            _seconds(alarm.raised_ns),
            None if alarm.ended_ns is None else _seconds(alarm.ended_ns),
            alarm.value,
            alarm.limit,
            alarm.unit,
            alarm.reasons,
        )
        for alarm in newest.values()
    ]
    return sorted(found, key=lambda one: (one.onset_s, one.kind))


def unusable_stretches(vitals: Sequence[Vital], duration_s: float) -> list[Stretch]:
    """Unbroken runs of seconds in which no lead could carry a rhythm."""
    found: list[Stretch] = []
    before_s = 0.0
    for vital in vitals:
        end_s = min(_seconds(vital.time_ns), duration_s)
        if not vital.usable:
            if found and found[-1].end_s == before_s:
                found[-1] = Stretch(found[-1].begin_s, end_s)
            else:
                found.append(Stretch(before_s, end_s))
        before_s = end_s
    return found


def _seconds(time_ns: int) -> float:
    return round((time_ns - START_NS) / NS_PER_S, 3)
