"""Whether what is said of a standing alarm still holds: what nobody tells of is not shown as so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from dashboard.snapshots import BedSnapshot, WardSnapshot
from dashboard.summary import UNANALYSED_HEARD_S
from dashboard.views import device_time
from inference.newest import place
from inference.store import StoredAlarm
from inference.types import Alarm, AlarmState
from ingest.types import NS_PER_S

SILENT_NS: Final = 90 * NS_PER_S
"""Workers say at least once a minute how each bed is set."""


def unknown_since(alarm: Alarm, snapshot: WardSnapshot, now_ns: int) -> int | None:
    """Return when an alarm that stands was last known to (UTC, ns); ``None`` where it is known, or has ended.

    It is unknown while the broker is lost, while the bed is not analysed, when workers have said nothing of
    the bed for long, and where the live feed knows nothing of it (the store kept what a worker that died
    never ended).
    """
    if alarm.state is AlarmState.ENDED:
        return None
    bed = snapshot.bed(alarm.bed)
    if bed is None or all(one.id != alarm.id for one in bed.alarms):
        return alarm.emitted_ns
    if not snapshot.connected:
        return now_ns - round(snapshot.silent_s * NS_PER_S)
    unanalysed_s = bed.unanalysed.get(alarm.signal, 0.0)
    if unanalysed_s > UNANALYSED_HEARD_S:
        return now_ns - round(unanalysed_s * NS_PER_S)
    word_ns = _last_word_ns(bed, now_ns)
    return word_ns if now_ns - word_ns > SILENT_NS else None


def _last_word_ns(bed: BedSnapshot, now_ns: int) -> int:
    """When workers last said anything of a bed."""
    said = [alarm.emitted_ns for alarm in bed.alarms]
    said += [now_ns - round(vital.age_s * NS_PER_S) for vital in bed.vitals]
    return max([*said, *([bed.status.emitted_ns] if bed.status is not None else [])])


def state_words(alarm: Alarm, since_ns: int | None) -> str:
    """Say the state of an alarm, or since when it is not known and what it was."""
    if since_ns is None:
        return str(alarm.state)
    return f"unknown since {device_time(since_ns)} UTC (was {alarm.state})"


def newest_steps(stored: Iterable[StoredAlarm], snapshot: WardSnapshot) -> list[StoredAlarm]:
    """Return stored alarms with the live feed's step where that is newer: the topic is ahead."""
    live = {alarm.id: alarm for alarm in snapshot.alarms}
    live |= {alarm.id: alarm for bed in snapshot.beds for alarm in bed.alarms}
    return [replace(one, alarm=newer(one.alarm, live.get(one.alarm.id))) for one in stored]


def newer(alarm: Alarm, other: Alarm | None) -> Alarm:
    """Return the later of two steps of one alarm."""
    if other is None:
        return alarm
    return max(alarm, other, key=place)
