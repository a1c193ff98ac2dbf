"""What the head of every page says of the ward: the gravest alarm, counts, whether anyone analyses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from dashboard.snapshots import BedSnapshot, WardSnapshot
from dashboard.ward import PRIORITY_RANK
from inference.types import Alarm, AlarmState, Priority

STALE_S: Final = 3.0
"""Without data for so long a bed is shown as NO DATA."""
Level = Literal["high", "medium", "low"]
LEVELS: Final[tuple[Level, ...]] = ("high", "medium", "low")
_PREFIX: Final = {Priority.HIGH: "***", Priority.MEDIUM: "**", Priority.LOW: "*", Priority.TECHNICAL: "!!!"}


@dataclass(frozen=True, slots=True)
class Urgent:
    """The one alarm to read first."""

    bed: str
    priority: Priority
    text: str
    active: bool


@dataclass(frozen=True, slots=True)
class Sounding:
    """Something that is to be heard; ``id`` tells what is new from what sounded before."""

    id: str
    level: Level


@dataclass(frozen=True, slots=True)
class Summary:
    """The ward in one line; ``no_analysis_s`` is set while no ECG that comes is analysed."""

    beds: int
    high: int
    medium: int
    technical: int
    urgent: Urgent | None
    no_analysis_s: float | None

    @property
    def counts(self) -> str:
        """Counts as text."""
        beds = "1 bed" if self.beds == 1 else f"{self.beds} beds"
        return f"{beds} · {self.high} high · {self.medium} medium · {self.technical} technical"


def alarm_text(alarm: Alarm) -> str:
    """Return the message with the prefix of its priority (ALARMS.md), added where the worker left it out."""
    prefixed = alarm.message.startswith(("*", "!"))
    text = alarm.message if prefixed else f"{_PREFIX[alarm.priority]} {alarm.message}"
    if alarm.state is AlarmState.LATCHED:
        return f"{text} · OVER, LATCHED"
    if alarm.state is AlarmState.ACKNOWLEDGED:
        return f"{text} · seen by {alarm.acknowledged_by}"
    return f"{text} · ESCALATED" if alarm.escalated_ns is not None else text


def own_finding(bed: BedSnapshot) -> str | None:
    """What the dashboard itself sees wrong with a bed: no worker is needed to say it."""
    if bed.standby and (bed.age_s is None or bed.age_s > STALE_S):
        return None
    if bed.age_s is None:
        return "!!! NO DATA"
    if bed.age_s > STALE_S:
        return f"!!! NO DATA {bed.age_s:.0f} s"
    if bed.unanalysed_s is not None:
        return f"!!! NOT ANALYSED {bed.unanalysed_s:.0f} s: alarms suspended"
    return None


def summarise(snapshot: WardSnapshot) -> Summary:
    """Return the head line of the ward."""
    urgents: list[Urgent] = []
    for bed in snapshot.beds:
        urgents += [
            Urgent(bed.bed, alarm.priority, alarm_text(alarm), alarm.state is AlarmState.ACTIVE)
            for alarm in bed.alarms
        ]
        own = own_finding(bed)
        # What the worker says of the same silence is counted once.
        if own is not None and not any(alarm.kind == "no_data" for alarm in bed.alarms):
            urgents.append(Urgent(bed.bed, Priority.TECHNICAL, own, True))

    def count(priority: Priority) -> int:
        return sum(urgent.priority is priority for urgent in urgents)

    return Summary(
        beds=len(snapshot.beds),
        high=count(Priority.HIGH),
        medium=count(Priority.MEDIUM),
        technical=count(Priority.TECHNICAL),
        urgent=min(
            urgents, key=lambda urgent: (PRIORITY_RANK[urgent.priority], not urgent.active), default=None
        ),
        no_analysis_s=_no_analysis(snapshot),
    )


def _no_analysis(snapshot: WardSnapshot) -> float | None:
    waits = [bed.unanalysed_s for bed in snapshot.beds if bed.live_ecg]
    waited = [wait for wait in waits if wait is not None]
    return min(waited) if waited and len(waited) == len(waits) else None


def sound_level(priority: Priority, text: str) -> Level:
    """Burst of an alarm: a technical one has that of its level, which its prefix tells (ALARMS.md)."""
    if priority is Priority.HIGH or text.startswith("!!!"):
        return "high"
    return "medium" if priority is Priority.MEDIUM or text.startswith("!!") else "low"


def soundings(snapshot: WardSnapshot, now_ns: int) -> list[Sounding]:
    """Return what sounds now, the gravest first.

    These are active alarms whose sound is not paused, and what the dashboard finds wrong itself.
    Whether an alarm is covered by the pause of its bed is the worker's to say, for each alarm: a graver one,
    a new high one and one that escalated sound all the same.
    """
    found: list[Sounding] = []
    for bed in snapshot.beds:
        for alarm in bed.alarms:
            if alarm.state is AlarmState.ACTIVE and (alarm.audio_paused_until_ns or 0) <= now_ns:
                found.append(Sounding(alarm.id, sound_level(alarm.priority, alarm_text(alarm))))
        own = own_finding(bed)
        paused = bed.status is not None and (bed.status.audio_paused_until_ns or 0) > now_ns
        # The lowest of all priorities: every pause covers it. What a worker raised of it has its own life.
        if own is not None and not paused and not any(alarm.kind == "no_data" for alarm in bed.alarms):
            found.append(Sounding(f"{bed.bed}/{own.split(' ', 2)[1]}", sound_level(Priority.TECHNICAL, own)))
    return sorted(found, key=lambda one: LEVELS.index(one.level))


def of_ward(snapshot: WardSnapshot, ward: str | None) -> WardSnapshot:
    """Return the beds and alarms of one ward; a bed that no worker has told of yet belongs to every ward."""
    if ward is None:
        return snapshot
    beds = tuple(bed for bed in snapshot.beds if bed.status is None or bed.status.ward == ward)
    names = {bed.bed for bed in beds}
    return replace(snapshot, beds=beds, alarms=tuple(one for one in snapshot.alarms if one.bed in names))


def wards_of(snapshot: WardSnapshot) -> list[str]:
    """Return the wards that beds are in, in order."""
    return sorted({bed.status.ward for bed in snapshot.beds if bed.status is not None})


def gravest_bed(snapshot: WardSnapshot) -> str | None:
    """Return the bed with the gravest active alarm, or ``None``."""
    active = [
        (PRIORITY_RANK[alarm.priority], bed.bed)
        for bed in snapshot.beds
        for alarm in bed.alarms
        if alarm.state is AlarmState.ACTIVE
    ]
    return min(active, key=lambda ranked: ranked[0])[1] if active else None
