"""What an analysis found, as plain data: written as JSON, shown by the dashboard, printed in a report.

Times are seconds from the recording's first sample. Lists that belong together have the same length.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from inference.analysis_eeg_parts import (
    EegComparison,
    EegElectrode,
    EegLines,
    EegMark,
    EegSeizure,
    EegSuppression,
    compared_words,
    span_words,
)
from inference.analysis_read import FileNote
from inference.types import Priority

NOTICE: Final = "Research software, no medical device"
SOUND_STATEMENT = (
    "No network listened: crackles, wheezes and murmurs were not looked for, so that none is named does not "
    "mean that there is none. What is shown is the sound itself and whether it can be used."
)
EEG_STATEMENT = (
    "No network looked: seizures were not looked for, so that none is named does not mean that there was "
    "none. What is shown is whether each electrode can be used, and trends."
)


MOSTLY_USABLE: Final = 0.9
"""Share of the time from which an electrode is not named among the poor ones."""


class AlarmFinding(msgspec.Struct, frozen=True):
    """An alarm that the ward's monitor would have raised; ``end_s`` is None where it goes on to the end."""

    signal: str
    kind: str
    priority: Priority
    message: str
    onset_s: float
    raised_s: float
    end_s: float | None
    value: float | None
    limit: float | None
    unit: str | None
    reasons: list[str]


class Beats(msgspec.Struct, frozen=True):
    """Beats with their AAMI class (N, S, V, F) and probability."""

    times_s: list[float]
    labels: list[str]
    probabilities: list[float]


class Rates(msgspec.Struct, frozen=True):
    """The numbers beside the trace, one a second; None where there is no valid number."""

    times_s: list[float]
    heart_rate_bpm: list[float | None]
    ventricular_per_min: list[float | None]
    usable: list[bool]


class Windows(msgspec.Struct, frozen=True):
    """What the network said of each window: ``probabilities`` by class, ``channels`` the lead it saw."""

    length_s: float
    ends_s: list[float]
    channels: list[str]
    quality: list[float]
    probabilities: dict[str, list[float]]


class Stretch(msgspec.Struct, frozen=True):
    """A part of the recording in which nothing could be judged, and why where that is known."""

    begin_s: float
    end_s: float
    reason: str = ""


class ChannelFact(msgspec.Struct, frozen=True):
    """How one channel is: shares are 0 to 1, ``rms`` is about its mean, in the signal's unit."""

    name: str
    missing_share: float
    flat_share: float
    low: float
    high: float
    rms: float


class SignalFacts(msgspec.Struct, frozen=True):
    """A signal of the recording and what it was used for."""

    signal: str
    channels: list[ChannelFact]
    unit: str
    fs_hz: float
    duration_s: float
    statement: str


class EcgFindings(msgspec.Struct, frozen=True):
    """What the ECG's pipeline gave."""

    alarms: list[AlarmFinding]
    beats: Beats
    rates: Rates
    windows: Windows
    unusable: list[Stretch]

    def beat_counts(self) -> dict[str, int]:
        """Beats of each class."""
        return {label: self.beats.labels.count(label) for label in ("N", "S", "V", "F")}


class SoundMark(msgspec.Struct, frozen=True):
    """Something heard, from when to when: crackle, wheeze, S1, S2, with its mean probability."""

    label: str
    begin_s: float
    end_s: float
    probability: float


class SoundLoss(msgspec.Struct, frozen=True):
    """Seconds in which nothing was judged, and why."""

    begin_s: float
    end_s: float
    reason: str


class SoundRates(msgspec.Struct, frozen=True):
    """Breaths or beats a minute at each second; None where nothing recurs surely enough."""

    times_s: list[float]
    per_min: list[float | None]

    @property
    def median(self) -> float | None:
        """Of the seconds that have one."""
        known = sorted(rate for rate in self.per_min if rate is not None)
        return known[len(known) // 2] if known else None


class SoundCycle(msgspec.Struct, frozen=True):
    """What a network heard in one breath or one heart cycle: probability by class, and what that is called.

    ``label`` of a breath is one of ICBHI's four classes (normal, crackle, wheeze, both), of a heart cycle
    empty; "not judged" where the sound could not be used.
    """

    begin_s: float
    end_s: float
    probabilities: dict[str, float]
    label: str = ""


class SoundVerdict(msgspec.Struct, frozen=True):
    """What a network says of a whole sound: its likeliest answer, all of them, and what they are worth."""

    label: str
    probability: float
    model: str
    probabilities: dict[str, float] = {}
    note: str = ""


class SoundFindings(msgspec.Struct, frozen=True):
    """A sound: what can be measured, and what networks heard where there are any.

    ``clipped_share`` is of its samples, ``silent_share`` of its pieces of 50 ms under −60 dB of full scale.
    ``heard`` holds the probability of each class, of breaths that of the breath where it is highest, else of
    the whole; from ``thresholds`` on it is called;
    ``pieces`` are what the ward's monitor says of each few seconds as they come, in the form of cycles;
    ``cycles_from`` says what the cycles were found by.
    """

    signal: str
    peak_db: float
    rms_db: float
    clipped_share: float
    silent_share: float
    statement: str
    cycles: list[SoundCycle] | None = None
    verdict: SoundVerdict | None = None
    model: str | None = None
    marks: list[SoundMark] = []
    pieces: list[SoundCycle] = []
    heard: dict[str, float] = {}
    thresholds: dict[str, float] = {}
    cycles_from: str = ""
    rates: SoundRates | None = None
    lost: list[SoundLoss] = []
    alarms: list[AlarmFinding] = []

    @property
    def lost_s(self) -> float:
        """Seconds that were not judged."""
        return sum(one.end_s - one.begin_s for one in self.lost)


class EegFindings(msgspec.Struct, frozen=True):
    """An EEG: seizures where a network looked for them, how its electrodes are, trends.

    ``judged_s`` are the seconds that the network judged; ``doubtful`` counts what it held for seizures in
    seconds most of which were not. ``caveats`` are those of its card.
    """

    statement: str
    electrodes: list[EegElectrode]
    derivations: list[str]
    seizures: list[EegSeizure] = []
    doubtful: int = 0
    judged_s: float = 0.0
    lost: list[Stretch] = []
    lines: EegLines | None = None
    suppression: EegSuppression | None = None
    alarms: list[AlarmFinding] = []
    annotated: list[EegMark] = []
    comparison: EegComparison | None = None
    model: str | None = None
    threshold: float | None = None
    caveats: list[str] = []


class Findings(msgspec.Struct, frozen=True, tag_field="schema", tag="analysis/1"):
    """All of one analysis."""

    name: str
    format: str
    files: list[FileNote]
    duration_s: float
    signals: list[SignalFacts]
    ecg: EcgFindings | None
    sounds: list[SoundFindings]
    models: list[str]
    settings: dict[str, str]
    versions: dict[str, str]
    notes: list[str]
    made: str
    took_s: float
    notice: str
    eeg: EegFindings | None = None


def head_lines(findings: Findings) -> list[str]:
    """What was found, in a few plain lines, gravest first."""
    lines: list[str] = []
    if findings.ecg is not None:
        counts = {p: sum(a.priority is p for a in findings.ecg.alarms) for p in Priority}
        said = ", ".join(f"{count} {priority}" for priority, count in counts.items() if count)
        lines.append(f"Alarms: {said or 'none'}")
        beats = findings.ecg.beat_counts()
        lines.append("Beats: " + ", ".join(f"{count:,} {label}" for label, count in beats.items()))
        rates = [rate for rate in findings.ecg.rates.heart_rate_bpm if rate is not None]
        if rates:
            middle = sorted(rates)[len(rates) // 2]
            lines.append(f"Heart rate: {min(rates):.0f} to {max(rates):.0f} bpm, median {middle:.0f}")
        unusable_s = sum(stretch.end_s - stretch.begin_s for stretch in findings.ecg.unusable)
        lines.append(f"Not judged: {unusable_s:.0f} s of {findings.duration_s:.0f} s")
    for sound in findings.sounds:
        lines += _sound_lines(sound)
    if findings.eeg is not None:
        lines += _eeg_lines(findings.eeg)
    return lines


def _eeg_lines(eeg: EegFindings) -> list[str]:
    lines = [f"eeg: {eeg.statement.split('. ')[0].rstrip('.')}"]
    if eeg.comparison is not None:
        lines.append(f"eeg: {compared_words(eeg.comparison)}")
    poor = [
        f"{one.name} {1 - one.usable_share:.0%}"
        for one in eeg.electrodes
        if one.usable_share is not None and one.usable_share < MOSTLY_USABLE
    ]
    if poor:
        lines.append(f"eeg: electrodes that could not be read, share of the time: {', '.join(poor)}")
    quiet = eeg.suppression
    if quiet is not None and quiet.begin_s is not None and quiet.end_s is not None:
        lines.append(f"eeg: longest suppression {span_words(quiet.end_s - quiet.begin_s)}")
    return lines


def _sound_lines(sound: SoundFindings) -> list[str]:
    rate = None if sound.rates is None else sound.rates.median
    unit = "breaths" if sound.signal == "lung_sound" else "beats"
    lines = [] if rate is None else [f"{sound.signal}: {rate:.0f} {unit} a minute"]
    if sound.heard:
        heard = ", ".join(f"{name} {share:.0%}" for name, share in sound.heard.items())
        most = " at most in a breath" if sound.signal == "lung_sound" and sound.cycles else ""
        lines.append(f"{sound.signal}: {heard}{most} ({sound.model})")
    if sound.verdict is not None:
        said = ", ".join(f"{name} {share:.0%}" for name, share in sound.verdict.probabilities.items())
        lines.append(f"{sound.signal}: {said}")
    lines.append(
        f"{sound.signal}: peak {sound.peak_db:.1f} dB, {sound.clipped_share:.1%} clipped, "
        f"{sound.silent_share:.0%} silent, {sound.lost_s:.0f} s not judged"
    )
    return lines


def gravest_first(alarms: Iterable[AlarmFinding]) -> list[AlarmFinding]:
    """Alarms by priority, then time."""
    order = [Priority.HIGH, Priority.MEDIUM, Priority.LOW, Priority.TECHNICAL]
    return sorted(alarms, key=lambda alarm: (order.index(alarm.priority), alarm.onset_s))


def to_json(findings: Findings) -> bytes:
    """The findings as JSON."""
    return msgspec.json.format(msgspec.json.encode(findings), indent=1) + b"\n"
