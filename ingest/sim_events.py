"""What happens in a simulated ward, and when: the script, and the truth that tests check alarms against."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ingest.errors import SettingsError
from ingest.sim_text import parse_number, parse_seconds
from ingest.types import SignalKind

EVENTS: Final[dict[str, tuple[SignalKind, str]]] = {
    "sinus": (SignalKind.ECG, "sinus rhythm; sinus=120 sets the rate"),
    "brady": (SignalKind.ECG, "sinus bradycardia, 35/min"),
    "tachy": (SignalKind.ECG, "sinus tachycardia, 150/min"),
    "af": (SignalKind.ECG, "atrial fibrillation: irregular, f-waves, no P"),
    "pvc": (SignalKind.ECG, "sinus rhythm with premature ventricular beats"),
    "bigeminy": (SignalKind.ECG, "every second beat ventricular"),
    "vt": (SignalKind.ECG, "monomorphic ventricular tachycardia, 180/min; vt=200 sets the rate"),
    "vf": (SignalKind.ECG, "ventricular fibrillation"),
    "asystole": (SignalKind.ECG, "no beats, the baseline still wanders"),
    "lead-off": (SignalKind.ECG, "electrodes off: flag and flat line, over any rhythm"),
    "crackles": (SignalKind.LUNG_SOUND, "crackles in inspiration"),
    "wheeze": (SignalKind.LUNG_SOUND, "wheezes in expiration"),
    "apnoea": (SignalKind.LUNG_SOUND, "no breaths"),
    "murmur": (SignalKind.HEART_SOUND, "systolic murmur"),
    "spike-wave": (SignalKind.EEG, "3 Hz spike-and-wave discharge"),
    "seizure": (SignalKind.EEG, "focal seizure: waves that grow, slow down (4.5-8 to 2-3 Hz) and spread"),
    "burst-suppression": (SignalKind.EEG, "bursts of a second or two between flat stretches"),
    "suppression": (SignalKind.EEG, "hardly any EEG"),
    "blinks": (SignalKind.EEG, "eye blinks"),
    "chewing": (SignalKind.EEG, "slow waves and muscle over the temples, 1.5 times a second"),
    "muscle": (SignalKind.EEG, "tense muscles of jaw and forehead"),
    "percussion": (SignalKind.EEG, "4 to 5 Hz waves of patting the chest, without evolution"),
    "electrode-pop": (SignalKind.EEG, "one electrode jumps again and again"),
    "electrode-off": (SignalKind.EEG, "one electrode off: flag and flat line"),
    "eeg-mains": (SignalKind.EEG, "50 Hz hum on all electrodes"),
}
"""Name → signal it shows in, and what it is."""

RATED: Final = ("sinus", "brady", "tachy", "af", "vt", "pvc", "bigeminy")
OVERLAY: Final = "lead-off"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens at a bed from ``at_s`` on for ``for_s`` seconds of device time.

    ``rate_bpm`` overrides the heart rate of a rhythm.
    """

    bed: str
    name: str
    at_s: float
    for_s: float
    rate_bpm: float | None = None

    @property
    def end_s(self) -> float:
        """When it is over."""
        return self.at_s + self.for_s

    @property
    def kind(self) -> SignalKind:
        """The signal it shows in."""
        return EVENTS[self.name][0]


@dataclass(frozen=True, slots=True)
class TruthBeat:
    """A visible beat: time of its R peak in seconds from the start, AAMI class (N or V)."""

    time_s: float
    label: str


@dataclass(frozen=True, slots=True)
class TruthSpan:
    """A span of a rhythm or of one sound (a crackle, a wheeze) in seconds from the start."""

    start_s: float
    end_s: float
    name: str
    kind: SignalKind


@dataclass(frozen=True, slots=True)
class Truth:
    """What was simulated at one bed."""

    bed: str
    beats: tuple[TruthBeat, ...]
    spans: tuple[TruthSpan, ...]


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of one rhythm; the base rhythm fills what the script leaves."""

    start_s: float
    end_s: float
    name: str
    rate_bpm: float | None = None


def parse_event(text: str) -> Event:
    """Read ``BED:NAME[=RATE]@START:DURATION``, e.g. ``bed-03:vf@20s:15s``.

    Raises
    ------
    SettingsError
        Names what is wrong.
    """
    head, at, rest = text.strip().partition("@")
    bed, colon, label = head.rpartition(":")
    name, equals, rate = label.strip().lower().partition("=")
    if not (at and colon and bed.strip()):
        raise SettingsError(f"event {text!r}: write BED:NAME@START:DURATION, e.g. bed-03:vf@20s:15s")
    if name not in EVENTS:
        raise SettingsError(f"event {text!r}: {name!r} is none of {', '.join(EVENTS)}")
    start, colon, length = rest.partition(":")
    if not colon:
        raise SettingsError(f"event {text!r}: the duration is absent, e.g. {head}@{start}:15s")
    at_s, for_s = parse_seconds(start, "start", text), parse_seconds(length, "duration", text)
    if for_s <= 0:
        raise SettingsError(f"event {text!r}: the duration must be over 0")
    rate_bpm = None
    if equals:
        rate_bpm = parse_number(rate, "rate", text, "bpm")
        if name not in RATED or not 10 <= rate_bpm <= 350:
            raise SettingsError(f"event {text!r}: a rate of 10 to 350 fits {', '.join(RATED)} only")
    return Event(bed.strip(), name, at_s, for_s, rate_bpm)


def parse_script(scripts: Iterable[str]) -> list[Event]:
    """Read events: each a text form, several joined by commas, or a file with one a line (# comments).

    Raises
    ------
    SettingsError
        Names the event and, for a file, the line.
    """
    events: list[Event] = []
    for script in scripts:
        if "@" not in script:
            events += _read_script(Path(script))
        else:
            events += [parse_event(part) for part in script.split(",") if part.strip()]
    return events


def _read_script(path: Path) -> list[Event]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"script {str(path)!r}: neither an event (bed-03:vf@20s:15s) nor a readable file: {error}"
        ) from error
    events = []
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        try:
            events += [parse_event(text)] if text else []
        except SettingsError as error:
            raise SettingsError(f"{path}, line {number}: {error}") from error
    return events


def check_events(events: Sequence[Event], beds: Sequence[str], kinds: Sequence[SignalKind]) -> None:
    """Refuse events that cannot be played.

    Raises
    ------
    SettingsError
        An unknown bed, a signal that is not simulated, two rhythms at once.
    """
    known = set(beds)
    for event in events:
        if event.bed not in known:
            raise SettingsError(
                f"event {event.name}@{event.at_s:g}s: no bed {event.bed!r}; there are {beds[0]} to {beds[-1]}"
            )
        carriers = {SignalKind.ECG, SignalKind.HEART_SOUND} if event.kind is SignalKind.ECG else {event.kind}
        if carriers.isdisjoint(kinds):
            raise SettingsError(
                f"event {event.bed}:{event.name}: shows in {event.kind}, which is not simulated; "
                "add it (--kinds)"
            )
    exclusive = sorted((e for e in events if e.name != OVERLAY), key=lambda e: (e.bed, e.kind, e.at_s))
    for first, second in itertools.pairwise(exclusive):
        if (first.bed, first.kind) == (second.bed, second.kind) and second.at_s < first.end_s:
            raise SettingsError(
                f"{first.bed}: {second.name}@{second.at_s:g}s begins before {first.name} ends "
                f"at {first.end_s:g}s"
            )


def segments_of(events: Iterable[Event], base: str) -> tuple[Segment, ...]:
    """Return the rhythms of one bed from 0 to infinity, ``base`` where nothing is scripted."""
    out: list[Segment] = []
    at_s = 0.0
    for event in sorted((e for e in events if e.name != OVERLAY), key=lambda e: e.at_s):
        if event.at_s > at_s:
            out.append(Segment(at_s, event.at_s, base))
        out.append(Segment(event.at_s, event.end_s, event.name, event.rate_bpm))
        at_s = event.end_s
    return (*out, Segment(at_s, float("inf"), base))
