"""What the head of every page says of the ward: the gravest alarm, counts, whether anyone analyses."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Final, Literal

from dashboard.snapshots import LIVE_S, BedSnapshot, WardSnapshot
from dashboard.urgency import LEAST_GRAVE, PRIORITY_RANK, Urgency, by_urgency
from dashboard.words import count
from inference.alarm_spec import SIGNAL_NAMES
from inference.commands import PAUSE_S
from inference.types import Alarm, AlarmState, Priority
from ingest.types import NS_PER_S, SignalKind

STALE_S: Final = 3.0
"""Without data for so long a bed is shown as NO DATA."""
UNANALYSED_HEARD_S: Final = 6.0
"""Vital signs that are late for so long are heard, too; a worker that takes over is given the time."""
HEARD: Final = (AlarmState.ACTIVE, AlarmState.LATCHED)
LONGEST_PAUSE_NS: Final = round(PAUSE_S[1] * NS_PER_S)
OWN_URGENCY: Final[Urgency] = (False, PRIORITY_RANK[Priority.TECHNICAL], 0, LEAST_GRAVE, 0)
"""Of what the dashboard itself finds wrong."""
Level = Literal["high", "medium", "low"]
LEVELS: Final[tuple[Level, ...]] = ("high", "medium", "low")
_PREFIX: Final = {Priority.HIGH: "***", Priority.MEDIUM: "**", Priority.LOW: "*", Priority.TECHNICAL: "!!!"}


@dataclass(frozen=True, slots=True)
class Urgent:
    """The one alarm to read first."""

    bed: str
    priority: Priority
    text: str
    rank: Urgency


@dataclass(frozen=True, slots=True)
class Sounding:
    """Something that is to be heard; ``id`` tells what is new from what sounded before."""

    id: str
    level: Level


@dataclass(frozen=True, slots=True)
class Summary:
    """The ward in one line.

    ``no_worker_s`` is set while no worker speaks and no numbers come, ``no_analysis_s`` while no ECG that
    comes is analysed.
    """

    beds: int
    hidden: int
    high: int
    medium: int
    low: int
    technical: int
    urgent: Urgent | None
    no_worker_s: float | None
    no_analysis_s: float | None
    unseen: str = ""
    """What there was no room for."""

    @property
    def counts(self) -> str:
        """Counts as text."""
        alarms = f"{self.high} high · {self.medium} medium · {self.low} low · {self.technical} technical"
        hidden = f" ({self.hidden} NOT SHOWN HERE)" if self.hidden else ""
        return f"{count(self.beds, 'bed')}{hidden} · {alarms}{self.unseen}"


def alarm_text(alarm: Alarm) -> str:
    """Return the message and, if more than active, the state of an alarm in one line."""
    state = state_text(alarm)
    return f"{message_text(alarm)} · {state}" if state else message_text(alarm)


def message_text(alarm: Alarm) -> str:
    """Return the message with the prefix of its priority (ALARMS.md), added where the worker left it out."""
    prefixed = alarm.message.startswith(("*", "!"))
    return alarm.message if prefixed else f"{_PREFIX[alarm.priority]} {alarm.message}"


def state_text(alarm: Alarm) -> str:
    """Return the words for an alarm that is more than just active, else ``""``."""
    if alarm.state is AlarmState.LATCHED:
        return "OVER, LATCHED"
    if alarm.state is AlarmState.ACKNOWLEDGED:
        return f"seen by {alarm.acknowledged_by}"
    return "ESCALATED" if alarm.escalated_ns is not None else ""


@dataclass(frozen=True, slots=True)
class OwnFinding:
    """What the dashboard itself sees wrong with a bed: no worker is needed to say it.

    ``signal`` is the one that is missing, ``None`` where all are; ``sounds`` is whether it has lasted for
    long enough to be heard.
    """

    text: str
    signal: str | None = None
    missing: bool = True
    sounds: bool = True

    @property
    def what(self) -> str:
        """What is wrong, the same for as long as it is."""
        return f"no data {self.signal or ''}".rstrip() if self.missing else "not analysed"

    def told_by(self, alarm: Alarm) -> bool:
        """Whether an alarm of the worker says the same: of the same silence, it is counted once."""
        return self.missing and alarm.kind == "no_data" and self.signal in (None, alarm.signal)


def own_findings(bed: BedSnapshot) -> list[OwnFinding]:
    """Return what is wrong with a bed that no worker's alarm says already."""
    return [one for one in _own_findings(bed) if not any(map(one.told_by, bed.alarms))]


def _own_findings(bed: BedSnapshot) -> list[OwnFinding]:
    if bed.age_s is None or bed.age_s > STALE_S:
        since = "" if bed.age_s is None else f" {bed.age_s:.0f} s"
        return [] if bed.standby else [OwnFinding(f"!!! NO DATA{since}")]
    # Other signals that still come must not hide that the one that most alarms rest on is silent.
    found = [
        OwnFinding(f"!!! ECG NO DATA {stream.age_s:.0f} s", stream.kind.value)
        for stream in bed.streams
        if stream.kind is SignalKind.ECG and stream.age_s > STALE_S and not bed.standby
    ]
    if bed.unanalysed_s is not None:
        text = f"!!! {unanalysed_words(bed)}NOT ANALYSED {bed.unanalysed_s:.0f} s: alarms suspended"
        found.append(OwnFinding(text, missing=False, sounds=bed.unanalysed_s >= UNANALYSED_HEARD_S))
    return found


def unanalysed_words(bed: BedSnapshot) -> str:
    """Which signals are not analysed, before the words that say so; nothing where that is all that comes."""
    names = ", ".join(SIGNAL_NAMES.get(signal, signal) for signal in bed.unanalysed_signals)
    return f"{names} " if names else ""


def summarise(snapshot: WardSnapshot, hidden: int = 0) -> Summary:
    """Return the head line of the ward, of whose beds the page leaves out ``hidden``."""
    urgents: list[Urgent] = []
    for bed in snapshot.beds:
        urgents += [
            Urgent(bed.bed, alarm.priority, alarm_text(alarm), by_urgency(alarm)) for alarm in bed.alarms
        ]
        urgents += [Urgent(bed.bed, Priority.TECHNICAL, own.text, OWN_URGENCY) for own in own_findings(bed)]

    counts = Counter(urgent.priority for urgent in urgents)
    return Summary(
        beds=len(snapshot.beds),
        hidden=hidden,
        high=counts[Priority.HIGH],
        medium=counts[Priority.MEDIUM],
        low=counts[Priority.LOW],
        technical=counts[Priority.TECHNICAL],
        urgent=min(urgents, key=lambda urgent: urgent.rank, default=None),
        no_worker_s=_no_worker(snapshot),
        no_analysis_s=_no_analysis(snapshot),
        unseen="".join(
            f" · {count(n, what).upper()} NOT SHOWN"
            for what, n in (("bed", snapshot.unseen_beds), ("alarm", snapshot.unseen_alarms))
            if n
        ),
    )


def _no_worker(snapshot: WardSnapshot) -> float | None:
    # Numbers tell of a worker, too: one whose word of itself cannot be read is not called absent.
    heard = any(vital.age_s < LIVE_S for bed in snapshot.beds for vital in bed.vitals)
    return None if heard else snapshot.no_worker_s


def _no_analysis(snapshot: WardSnapshot) -> float | None:
    waits = [
        None if bed.unanalysed_signals else bed.unanalysed_s for bed in snapshot.beds if bed.live_watched
    ]
    waited = [wait for wait in waits if wait is not None]
    return min(waited) if waited and len(waited) == len(waits) else None


def sound_level(priority: Priority, text: str) -> Level:
    """Burst of an alarm: a technical one has that of its level, which its prefix tells (ALARMS.md)."""
    if priority is Priority.HIGH or text.startswith("!!!"):
        return "high"
    return "medium" if priority is Priority.MEDIUM or text.startswith("!!") else "low"


def soundings(snapshot: WardSnapshot, now_ns: int) -> list[Sounding]:
    """Return what sounds now, the gravest first.

    These are alarms that nobody has acknowledged and whose sound is not paused, latched ones among them
    (what lasted for seconds is heard until somebody has seen it), and what the dashboard finds wrong itself.
    Whether an alarm is covered by the pause of its bed is the worker's to say, for each alarm: a graver one,
    a new high one and one that escalated sound all the same.
    """
    found: list[Sounding] = []
    for bed in snapshot.beds:
        for alarm in bed.alarms:
            if alarm.state in HEARD and not _is_paused(alarm.audio_paused_until_ns, now_ns):
                found.append(Sounding(alarm.id, sound_level(alarm.priority, alarm_text(alarm))))
        # The lowest of all priorities: every pause covers it. What a worker raised of it has its own life.
        if not _is_paused(bed.status.audio_paused_until_ns if bed.status else None, now_ns):
            found += [
                Sounding(f"{bed.bed}/{own.what}", sound_level(Priority.TECHNICAL, own.text))
                for own in own_findings(bed)
                if own.sounds
            ]
    if snapshot.unseen_beds or snapshot.unseen_alarms:
        found.append(Sounding("not shown", "medium"))
    return sorted(found, key=lambda one: LEVELS.index(one.level))


def _is_paused(until_ns: int | None, now_ns: int) -> bool:
    """Whether a pause is on; one that ends further ahead than any can is a clock's fault and none."""
    return until_ns is not None and now_ns < until_ns <= now_ns + LONGEST_PAUSE_NS


def of_ward(snapshot: WardSnapshot, ward: str | None) -> WardSnapshot:
    """Return the beds and alarms of one ward; a bed that no worker has told of yet belongs to every ward."""
    if ward is None or ward not in wards_of(snapshot):
        # A ward that does not exist (mistyped, or not told of yet) must not hide the others' alarms.
        return snapshot
    beds = tuple(bed for bed in snapshot.beds if bed.status is None or bed.status.ward == ward)
    names = {bed.bed for bed in beds}
    return replace(snapshot, beds=beds, alarms=tuple(one for one in snapshot.alarms if one.bed in names))


def wards_of(snapshot: WardSnapshot) -> list[str]:
    """Return the wards that beds are in, in order."""
    return sorted({bed.status.ward for bed in snapshot.beds if bed.status is not None})


def urgency(bed: BedSnapshot) -> Urgency:
    """Rank of a bed's gravest alarm, or of what the dashboard itself finds wrong; last where nothing is."""
    ranks = [by_urgency(alarm) for alarm in bed.alarms]
    if own_findings(bed):
        ranks.append(OWN_URGENCY)
    return min(ranks, default=(True, len(PRIORITY_RANK), 0, 0, 0))


def gravest_bed(snapshot: WardSnapshot) -> str | None:
    """Return the bed with the gravest active alarm, or ``None``."""
    active = [
        (by_urgency(alarm), bed.bed)
        for bed in snapshot.beds
        for alarm in bed.alarms
        if alarm.state is AlarmState.ACTIVE
    ]
    return min(active, key=lambda ranked: ranked[0])[1] if active else None
