"""Which reference episodes alarmed, when, and which alarms no episode explains.

An episode is answered by an alarm that was active between its onset and :data:`TOLERANCE_S` after its end.
An alarm is explained by an episode during which, or within the tolerances of which, it was raised; one that
came before the annotated onset must have lasted until there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inference.newest import keep_newest
from inference.reference import Episode as Episode
from inference.reference import read_reference
from inference.reference_marks import ASYSTOLE, EXTREME_BRADYCARDIA, EXTREME_TACHYCARDIA, VF, VT
from inference.types import Alarm, Priority
from ingest.types import NS_PER_S

TOLERANCE_S: Final = 10.0
"""An alarm may come this long after an episode's end and still be its own."""

EARLY_S: Final = 2.0
"""An alarm may end this long before an annotated onset: marks are set by hand."""

ANSWERS: Final = {
    VF: (VF, VT),
    VT: (VT, VF, EXTREME_TACHYCARDIA),
    ASYSTOLE: (ASYSTOLE,),
    EXTREME_BRADYCARDIA: (EXTREME_BRADYCARDIA, ASYSTOLE),
    EXTREME_TACHYCARDIA: (EXTREME_TACHYCARDIA, VT, VF),
}
"""Alarms that answer an episode: its own, and those that bring staff with something graver in mind."""

EXPLAINED: Final = {
    **ANSWERS,
    VF: (VF, VT, EXTREME_TACHYCARDIA),
    ASYSTOLE: (ASYSTOLE, EXTREME_BRADYCARDIA),
}
"""Alarms that are not false at an episode: those that answer it, and those that say less of the same."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One alarm that was raised, seconds from the record's start; ``ended_s`` is None while it goes on."""

    id: str
    kind: str
    priority: Priority
    message: str
    raised_s: float
    ended_s: float | None

    def active(self, begin_s: float, end_s: float) -> bool:
        """Whether it was active at some time of a span."""
        return self.raised_s <= end_s and (self.ended_s is None or self.ended_s >= begin_s)


@dataclass(frozen=True, slots=True)
class Answer:
    """An episode and the first alarm that answered it, if one did.

    ``raised_s`` may lie before the onset: an alarm that was active already answers at once.
    """

    episode: Episode
    alarm: str | None
    raised_s: float | None

    @property
    def delay_s(self) -> float | None:
        """From the episode's onset to the data that raised the alarm."""
        return None if self.raised_s is None else max(0.0, self.raised_s - self.episode.onset_s)

    @property
    def sounded_before(self) -> bool:
        """Whether the alarm was raised so long before the onset that it was for something else, or false."""
        return self.raised_s is not None and self.raised_s < self.episode.onset_s - TOLERANCE_S

    @property
    def after_met_s(self) -> float | None:
        """From when the definition was met to the data that raised the alarm; 0 where it came sooner."""
        return None if self.raised_s is None else max(0.0, self.raised_s - self.episode.met_s)


def reference_episodes(record: Path) -> list[Episode]:
    """Episodes that a WFDB record's ``.atr`` meets (:mod:`inference.reference`); none without annotations.

    Parameters
    ----------
    record : Path
        The record without suffix, or its header.
    """
    if not record.with_suffix(".atr").exists():
        return []
    return list(read_reference(record).episodes)


def heard(alarms: Iterable[Alarm], start_ns: int) -> list[Heard]:
    """Every alarm once, in the order in which they were raised.

    Parameters
    ----------
    alarms : iterable of Alarm
        Of one bed, every step of their lives.
    start_ns : int
        Device time of the record's start.
    """
    newest: dict[str, Alarm] = {}
    for alarm in alarms:
        keep_newest(newest, alarm)
    found = [
        Heard(
            alarm.id,
            alarm.kind,
            alarm.priority,
            alarm.message,
            (alarm.raised_ns - start_ns) / NS_PER_S,
            None if alarm.ended_ns is None else (alarm.ended_ns - start_ns) / NS_PER_S,
        )
        for alarm in newest.values()
    ]
    return sorted(found, key=lambda item: (item.raised_s, item.kind))


def answer(episodes: Iterable[Episode], alarms: Sequence[Heard]) -> list[Answer]:
    """First answering alarm of each episode; of two at once, the one of the episode's own kind."""
    answers = []
    for episode in episodes:
        found = [
            (max(alarm.raised_s, episode.onset_s), alarm.kind != episode.kind, alarm.raised_s, alarm.kind)
            for alarm in alarms
            if alarm.kind in ANSWERS[episode.kind]
            and alarm.active(episode.onset_s, episode.end_s + TOLERANCE_S)
        ]
        first = min(found, default=None)
        answers.append(Answer(episode, first[3] if first else None, first[2] if first else None))
    return answers


def explained(alarm: Heard, episodes: Iterable[Episode]) -> bool:
    """Whether an alarm was raised at an episode of a kind that it may tell of."""
    return any(
        alarm.kind in EXPLAINED[episode.kind]
        and alarm.raised_s >= episode.onset_s - TOLERANCE_S
        and alarm.active(episode.onset_s - EARLY_S, episode.end_s + TOLERANCE_S)
        for episode in episodes
    )


def match(episodes: Sequence[Episode], alarms: Iterable[Alarm], start_ns: int) -> list[Answer]:
    """First answering alarm of each episode.

    Parameters
    ----------
    episodes : sequence of Episode
        Of one record.
    alarms : iterable of Alarm
        Of one bed, every step of their lives.
    start_ns : int
        Device time of the record's start.
    """
    return answer(episodes, heard(alarms, start_ns))


def table(answers: Iterable[Answer]) -> list[str]:
    """Markdown lines: record, event, onset, end, alarm, raised, delay."""
    lines = [
        "| record | event | onset (s) | end (s) | alarm | raised (s) | delay (s) |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in answers:
        item = one.episode
        begin = f"| {item.record} | {item.kind} | {item.onset_s:.1f} | {item.end_s:.1f} "
        if one.raised_s is None or one.delay_s is None:
            lines.append(f"{begin}| none | | |")
        else:
            lines.append(f"{begin}| {one.alarm} | {one.raised_s:.1f} | {one.delay_s:.1f} |")
    return lines
