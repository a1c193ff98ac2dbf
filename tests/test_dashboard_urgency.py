"""Which alarm stands first: in the head line, on a tile, in the lists."""

from __future__ import annotations

import random

import pytest

from dashboard.summary import gravest_bed, summarise
from dashboard.urgency import bed_by_bed, by_urgency
from dashboard.ward import Ward
from inference.types import Alarm, AlarmState, Delay, Priority
from ingest.types import NS_PER_S

HIGH = ("asystole", "vf", "vt", "extreme_tachycardia", "extreme_bradycardia")


def going_on(
    kind: str,
    began_min: int,
    bed: str = "bed-01",
    *,
    priority: Priority = Priority.HIGH,
    state: AlarmState = AlarmState.ACTIVE,
) -> Alarm:
    """An alarm that stands; those of later minutes are newer."""
    onset_ns = (1_790_000_000 + 60 * began_min) * NS_PER_S
    return Alarm(
        id=f"{bed}:{kind}:{began_min}",
        bed=bed,
        signal="ecg",
        kind=kind,
        priority=priority,
        state=state,
        message=f"*** {kind}",
        onset_ns=onset_ns,
        raised_ns=onset_ns,
        emitted_ns=onset_ns,
        ended_ns=None,
        value=None,
        limit=None,
        unit=None,
        delay=Delay(0.0, 0.0, 0.0),
        raw_offset=1,
        revision=0,
    )


def kinds(alarms: list[Alarm]) -> list[str]:
    return [alarm.kind for alarm in sorted(alarms, key=by_urgency)]


def test_of_one_priority_the_graver_kind_stands_first_however_old() -> None:
    alarms = [going_on(kind, minute) for minute, kind in enumerate(HIGH)]
    random.Random(3).shuffle(alarms)
    assert kinds(alarms) == list(HIGH)


def test_priority_and_state_go_before_the_kind_and_age_comes_last() -> None:
    lowered = going_on("vf", 9, priority=Priority.MEDIUM)
    over = going_on("asystole", 9, state=AlarmState.LATCHED)
    assert kinds([lowered, over, going_on("extreme_bradycardia", 1)]) == [
        "extreme_bradycardia",
        "asystole",
        "vf",
    ]
    older, newer = going_on("vf", 1), going_on("vf", 2)
    assert sorted([older, newer], key=by_urgency) == [newer, older]


@pytest.mark.parametrize("kind", ["from_tomorrow", "no_data"])
def test_a_kind_that_the_catalogue_lacks_for_the_signal_is_ranked_all_the_same(kind: str) -> None:
    assert kinds([going_on(kind, 9), going_on("extreme_bradycardia", 1)])[0] == "extreme_bradycardia"


def test_a_technical_alarm_of_three_marks_stands_before_one_of_one() -> None:
    noise = going_on("noise", 9, priority=Priority.TECHNICAL)
    silent = going_on("no_data", 1, priority=Priority.TECHNICAL)
    assert kinds([noise, silent]) == ["no_data", "noise"]


def test_a_newer_fast_rate_hides_no_fibrillation_in_head_line_tile_and_list() -> None:
    ward = Ward()
    ward.add_alarm(going_on("vf", 1, "bed-02"))
    for bed in ("bed-01", "bed-02"):
        ward.add_alarm(going_on("extreme_tachycardia", 5, bed))
    snapshot = ward.snapshot()
    urgent = summarise(snapshot).urgent
    assert urgent is not None
    assert (urgent.bed, urgent.text) == ("bed-02", "*** vf")
    shown = snapshot.bed("bed-02")
    assert shown is not None
    assert [alarm.kind for alarm in shown.alarms] == ["vf", "extreme_tachycardia"]
    assert snapshot.alarms[0].kind == "vf"
    assert gravest_bed(snapshot) == "bed-02"


def test_the_gravest_alarm_of_each_bed_stands_before_any_beds_second() -> None:
    flapping = [going_on("vf", minute) for minute in range(20)]
    others = [going_on("extreme_tachycardia", 1, "bed-02"), going_on("vt", 1, "bed-03")]
    ordered = bed_by_bed([*flapping, *others])
    assert [(alarm.bed, alarm.kind) for alarm in ordered[:4]] == [
        ("bed-01", "vf"),
        ("bed-03", "vt"),
        ("bed-02", "extreme_tachycardia"),
        ("bed-01", "vf"),
    ]
    # Within each part, as ever: the newest of the same kind first.
    assert [alarm for alarm in ordered if alarm.bed == "bed-01"] == flapping[::-1]
