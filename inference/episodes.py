"""What annotations say should have alarmed, and whether it did: onset, alarm, delay, episode by episode.

Reference episodes are rhythm marks of at least 4 s (docs/alarms.md). This is a look at single records;
scoring a whole set with intervals is another matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import wfdb

from inference.types import Alarm, AlarmState
from ingest.types import NS_PER_S

LEAST_S: Final = 4.0
TOLERANCE_S: Final = 10.0
"""An alarm may come this long after an episode's end and still be its own."""

KIND_OF_MARK: Final = {
    "(VF": "vf",
    "(VFIB": "vf",
    "(VFL": "vf",
    "(VT": "vt",
    "(ASYS": "asystole",
}
ANSWERS: Final = {
    "vf": ("vf", "vt"),
    "vt": ("vt", "vf", "extreme_tachycardia"),
    "asystole": ("asystole",),
}
"""Alarms that answer an episode: they bring staff to the bed with a shockable or stopped heart in mind."""


@dataclass(frozen=True, slots=True)
class Episode:
    """One reference episode, seconds from the record's start."""

    record: str
    kind: str
    onset_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Answer:
    """An episode and the first alarm that answered it, if one did."""

    episode: Episode
    alarm: str | None
    raised_s: float | None

    @property
    def delay_s(self) -> float | None:
        """From the episode's onset to the data that raised the alarm."""
        return None if self.raised_s is None else self.raised_s - self.episode.onset_s


def reference_episodes(record: Path, length_s: float | None = None) -> list[Episode]:
    """Episodes that a WFDB record's ``.atr`` marks; none without annotations.

    Parameters
    ----------
    record : Path
        The record without suffix, or its header.
    length_s : float or None
        Leave out what begins within 4 s of this, or after it.
    """
    base = record.with_suffix("") if record.suffix == ".hea" else record
    if not base.with_suffix(".atr").exists():
        return []
    marks = wfdb.rdann(str(base), "atr")
    header = wfdb.rdheader(str(base))
    whole_s = header.sig_len / header.fs
    named = [
        (sample / header.fs, note.rstrip("\x00"))
        for sample, note in zip(marks.sample.tolist(), marks.aux_note, strict=True)
        if note.startswith("(")
    ]
    ends_s = [begin for begin, _ in named[1:]] + [whole_s]
    episodes: list[Episode] = []
    for (onset_s, note), end_s in zip(named, ends_s, strict=True):
        kind = KIND_OF_MARK.get(note)
        if kind is None:
            continue
        last = episodes[-1] if episodes else None
        if last is not None and last.kind == kind and onset_s - last.end_s < 1.0:
            episodes[-1] = Episode(last.record, kind, last.onset_s, end_s)
        else:
            episodes.append(Episode(base.name, kind, onset_s, end_s))
    limit_s = whole_s if length_s is None else length_s
    return [
        item
        for item in episodes
        if item.end_s - item.onset_s >= LEAST_S and item.onset_s + LEAST_S <= limit_s
    ]


def match(episodes: Sequence[Episode], alarms: Iterable[Alarm], start_ns: int) -> list[Answer]:
    """First answering alarm of each episode.

    An alarm answers when it was active at some time between the onset and :data:`TOLERANCE_S` after the end;
    one that was active already at the onset answers at once.

    Parameters
    ----------
    episodes : sequence of Episode
        Of one record.
    alarms : iterable of Alarm
        Of one bed, every step of their lives.
    start_ns : int
        Device time of the record's start.
    """
    spans: dict[str, tuple[str, float, float]] = {}
    for alarm in alarms:
        raised_s = (alarm.raised_ns - start_ns) / NS_PER_S
        ended_s = float("inf") if alarm.ended_ns is None else (alarm.ended_ns - start_ns) / NS_PER_S
        if alarm.state is AlarmState.ENDED or alarm.id not in spans:
            spans[alarm.id] = (alarm.kind, raised_s, ended_s)
    answers = []
    for episode in episodes:
        found = [
            (max(raised_s, episode.onset_s), kind)
            for kind, raised_s, ended_s in spans.values()
            if kind in ANSWERS[episode.kind]
            and raised_s <= episode.end_s + TOLERANCE_S
            and ended_s >= episode.onset_s
        ]
        first = min(found, default=None)
        answers.append(Answer(episode, first[1] if first else None, first[0] if first else None))
    return answers


def table(answers: Iterable[Answer]) -> list[str]:
    """Markdown lines: record, event, onset, end, alarm, raised, delay."""
    lines = [
        "| record | event | onset (s) | end (s) | alarm | raised (s) | delay (s) |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for answer in answers:
        item = answer.episode
        begin = f"| {item.record} | {item.kind} | {item.onset_s:.1f} | {item.end_s:.1f} "
        if answer.raised_s is None or answer.delay_s is None:
            lines.append(f"{begin}| none | | |")
        else:
            lines.append(f"{begin}| {answer.alarm} | {answer.raised_s:.1f} | {answer.delay_s:.1f} |")
    return lines
