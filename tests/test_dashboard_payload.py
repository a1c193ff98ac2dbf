"""What a feed tells the browser: who is heard, which ward, who paused."""

from __future__ import annotations

import dataclasses
import json
import struct
import time

import msgspec
import pytest

from dashboard.payload import MAX_TILES, SENT_ALARMS, ViewSession, build_feed, undrawn_words
from dashboard.snapshots import BedSnapshot, StreamSnapshot, VitalSnapshot, WardSnapshot
from dashboard.summary import of_ward, sound_level, soundings, wards_of
from dashboard.system_state import SILENT_S, SystemState
from dashboard.ward import Ward
from dashboard.words import ward_words
from inference.types import Alarm, AlarmState, Bed, Delay, Priority
from ingest.types import SignalKind
from tests.test_dashboard_system import status as a_worker_status

NOW_NS = 1_800_000_000_000_000_000
S = 1_000_000_000


def an_alarm(
    kind: str = "vf",
    *,
    bed: str = "bed-01",
    priority: Priority = Priority.HIGH,
    state: AlarmState = AlarmState.ACTIVE,
    message: str = "",
    paused_until_ns: int | None = None,
) -> Alarm:
    return Alarm(
        id=f"{bed}-{kind}",
        bed=bed,
        signal="ecg",
        kind=kind,
        priority=priority,
        state=state,
        message=message or kind.upper(),
        onset_ns=1,
        raised_ns=1,
        emitted_ns=1,
        ended_ns=None,
        value=None,
        limit=None,
        unit=None,
        delay=Delay(1.0, 0.0, 0.1),
        raw_offset=1,
        revision=1,
        audio_paused_until_ns=paused_until_ns,
    )


def a_status(bed: str, ward: str = "icu", paused_until_ns: int | None = None, **changes: object) -> Bed:
    whole = Bed(
        bed=bed,
        ward=ward,
        stay=None,
        admitted=True,
        admitted_ns=1,
        profile="adult",
        standby=False,
        standby_by=None,
        audio_paused_until_ns=paused_until_ns,
        audio_paused_by="nina" if paused_until_ns else None,
        audio_paused_up_to=Priority.MEDIUM if paused_until_ns else None,
        settings=[],
        revision=1,
        emitted_ns=1,
    )
    return msgspec.structs.replace(whole, **changes)


def a_bed(*alarms: Alarm, bed: str = "bed-01", age_s: float = 0.5, status: Bed | None = None) -> BedSnapshot:
    return BedSnapshot(bed, age_s, (), (), (), alarms, status=status)


def a_ward(*beds: BedSnapshot) -> WardSnapshot:
    alarms = tuple(alarm for bed in beds for alarm in bed.alarms)
    return WardSnapshot(True, 0.0, None, beds, alarms, 0)


def heard(*beds: BedSnapshot) -> list[tuple[str, str]]:
    return [(one.id, one.level) for one in soundings(a_ward(*beds), NOW_NS)]


def header_of(feed: bytes) -> dict:
    (length,) = struct.unpack_from("<I", feed)
    return json.loads(feed[4 : 4 + length])


@pytest.mark.parametrize(
    ("priority", "text", "level"),
    [
        (Priority.HIGH, "*** ASYSTOLE", "high"),
        (Priority.MEDIUM, "** HR 134 > 120", "medium"),
        (Priority.LOW, "* ATRIAL FIBRILLATION", "low"),
        (Priority.TECHNICAL, "!!! NO DATA", "high"),
        (Priority.TECHNICAL, "!! NOISE", "medium"),
        (Priority.TECHNICAL, "! CLOCK", "low"),
    ],
)
def test_a_technical_alarm_sounds_as_its_level(priority: Priority, text: str, level: str) -> None:
    assert sound_level(priority, text) == level


def test_what_is_active_is_heard_the_gravest_first() -> None:
    low = an_alarm("af", priority=Priority.LOW)
    assert heard(a_bed(low, an_alarm())) == [("bed-01-vf", "high"), ("bed-01-af", "low")]


def test_what_was_acknowledged_is_silent_and_what_latched_is_not() -> None:
    assert heard(a_bed(an_alarm(state=AlarmState.ACKNOWLEDGED))) == []
    assert heard(a_bed(an_alarm(state=AlarmState.LATCHED))) == [("bed-01-vf", "high")]


def test_a_pause_silences_until_it_is_over() -> None:
    assert heard(a_bed(an_alarm(paused_until_ns=NOW_NS + S))) == []
    assert heard(a_bed(an_alarm(paused_until_ns=NOW_NS - S))) == [("bed-01-vf", "high")]


def test_a_graver_alarm_sounds_in_a_pause_of_its_bed() -> None:
    status = a_status("bed-01", paused_until_ns=NOW_NS + S)
    rate = an_alarm("rate", priority=Priority.MEDIUM, paused_until_ns=NOW_NS + S)
    assert heard(a_bed(rate, an_alarm(), status=status)) == [("bed-01-vf", "high")]


def test_silence_of_a_bed_is_heard_once_and_can_be_paused() -> None:
    assert heard(a_bed(age_s=9.0)) == [("bed-01/no data", "high")]
    raised = an_alarm("no_data", priority=Priority.TECHNICAL, message="!!! NO DATA")
    assert heard(a_bed(raised, age_s=9.0)) == [("bed-01-no_data", "high")]
    assert heard(a_bed(age_s=9.0, status=a_status("bed-01", paused_until_ns=NOW_NS + S))) == []
    assert heard(a_bed(age_s=9.0, status=a_status("bed-01", standby=True))) == []


def test_a_ward_shows_its_own_beds_and_those_that_no_one_told_of() -> None:
    beds = (
        a_bed(an_alarm(), status=a_status("bed-01", "east")),
        a_bed(an_alarm(bed="bed-02"), bed="bed-02", status=a_status("bed-02", "west")),
        a_bed(bed="bed-03"),
    )
    ward = a_ward(*beds)
    east = of_ward(ward, "east")
    assert [bed.bed for bed in east.beds] == ["bed-01", "bed-03"]
    assert [alarm.bed for alarm in east.alarms] == ["bed-01"]
    assert of_ward(ward, None) is ward
    assert wards_of(ward) == ["east", "west"]


def test_a_feed_of_one_ward_counts_and_sounds_for_that_ward() -> None:
    ward = a_ward(
        a_bed(an_alarm(), status=a_status("bed-01", "east")),
        a_bed(bed="bed-02", status=a_status("bed-02", "west")),
    )
    west = header_of(build_feed(Ward(), ViewSession("v", ward="west"), ward))
    assert [bed["bed"] for bed in west["beds"]] == ["bed-02"]
    assert west["sounds"] == []
    assert west["counts"].startswith("1 bed · 0 high")
    assert west["wards"] == ["east", "west"]
    east = header_of(build_feed(Ward(), ViewSession("v", ward="east"), ward))
    assert east["sounds"] == [{"id": "bed-01-vf", "level": "high"}]
    # The page of a bed shows it whatever the ward, and keeps listening to the ward.
    page = header_of(build_feed(Ward(), ViewSession("v", bed="bed-02", ward="east"), ward))
    assert [bed["bed"] for bed in page["beds"]] == ["bed-02"]
    assert page["sounds"] == east["sounds"]


def test_a_page_without_traces_gets_head_and_sounds_only() -> None:
    header = header_of(build_feed(Ward(), ViewSession("v", head_only=True), a_ward(a_bed(an_alarm()))))
    assert header["beds"] == []
    assert header["sounds"] == [{"id": "bed-01-vf", "level": "high"}]
    assert header["urgent"]["text"] == "*** VF"
    assert header["sent"] == pytest.approx(time.time(), abs=60)


def test_who_paused_and_who_put_in_standby_is_told() -> None:
    until_ns = time.time_ns() + 90 * S
    status = a_status("bed-01", paused_until_ns=until_ns, standby=True, standby_by="omar")
    (bed,) = header_of(build_feed(Ward(), ViewSession("v"), a_ward(a_bed(status=status))))["beds"]
    assert (bed["pausedBy"], bed["standby"], bed["standbyBy"]) == ("nina", True, "omar")
    assert 80 < bed["paused"] <= 90


@pytest.mark.parametrize(
    ("state", "escalated_ns", "note"),
    [
        (AlarmState.ACTIVE, None, ""),
        (AlarmState.ACTIVE, 1, "ESCALATED"),
        (AlarmState.LATCHED, 1, "OVER, LATCHED"),
        (AlarmState.ACKNOWLEDGED, None, "seen by nina"),
    ],
)
def test_a_tile_is_told_message_and_state_apart(
    state: AlarmState, escalated_ns: int | None, note: str
) -> None:
    by = "nina" if state is AlarmState.ACKNOWLEDGED else None
    alarm = msgspec.structs.replace(an_alarm(state=state), escalated_ns=escalated_ns, acknowledged_by=by)
    header = header_of(build_feed(Ward(), ViewSession("v"), a_ward(a_bed(alarm))))
    (told,) = header["beds"][0]["alarms"]
    assert (told["text"], told["note"]) == ("*** VF", note)
    assert header["urgent"]["text"] == (f"*** VF · {note}" if note else "*** VF")


def test_a_tile_tells_how_many_alarms_there_are_however_few_are_sent() -> None:
    bed = a_bed(*(an_alarm(f"kind-{number}") for number in range(9)))
    (told,) = header_of(build_feed(Ward(), ViewSession("v"), a_ward(bed)))["beds"]
    assert (len(told["alarms"]), told["alarmCount"]) == (SENT_ALARMS, 9)


def test_a_bed_with_more_channels_than_there_is_room_for_says_where_they_are() -> None:
    def a_stream(kind: SignalKind, n: int) -> StreamSnapshot:
        names = tuple(str(number) for number in range(n))
        return StreamSnapshot("bed-01", kind, "d", names, "uV", 256.0, 128.0, 0, 0, 0, 0, 0.1, None)

    def said(*streams: StreamSnapshot) -> str:
        return undrawn_words(dataclasses.replace(a_bed(), streams=streams))

    ecg, eeg = a_stream(SignalKind.ECG, 2), a_stream(SignalKind.EEG, 19)
    assert said(eeg) == "7 more channels: see EEG"
    assert said(ecg, a_stream(SignalKind.EEG, 11)) == "1 more channel: see EEG"
    assert said(a_stream(SignalKind.ECG, 12), eeg, a_stream(SignalKind.RESP, 1)) == (
        "19 more channels: see EEG  ·  1 more channel not drawn"
    )
    assert said(ecg) == ""


def test_the_head_counts_each_priority() -> None:
    bed = a_bed(*(an_alarm(str(priority), priority=priority) for priority in Priority))
    counts = header_of(build_feed(Ward(), ViewSession("v"), a_ward(bed)))["counts"]
    assert counts == "1 bed · 1 high · 1 medium · 1 low · 1 technical"


def test_of_more_beds_than_can_be_read_those_with_alarms_are_shown_and_the_rest_is_told() -> None:
    beds = [a_bed(bed=f"bed-{number:02d}") for number in range(MAX_TILES + 8)]
    beds[-1] = a_bed(an_alarm(bed=beds[-1].bed, priority=Priority.LOW), bed=beds[-1].bed)
    beds[-2] = a_bed(bed=beds[-2].bed, age_s=60.0)  # silent: the dashboard's own finding
    header = header_of(build_feed(Ward(), ViewSession("v"), a_ward(*beds)))
    shown = [bed["bed"] for bed in header["beds"]]
    assert shown == [bed.bed for bed in (*beds[: MAX_TILES - 2], *beds[-2:])]
    assert header["counts"] == "40 beds (8 NOT SHOWN HERE) · 0 high · 0 medium · 1 low · 1 technical"
    few = header_of(build_feed(Ward(), ViewSession("v"), a_ward(*beds[:MAX_TILES])))
    assert "NOT SHOWN" not in few["counts"]


def test_the_head_says_where_no_worker_speaks() -> None:
    now = [100.0]
    system = SystemState(clock=lambda: now[0])
    ward = Ward()
    ward.ask_workers(system.without_worker_s)

    def told(*vitals: VitalSnapshot) -> float | None:
        bed = dataclasses.replace(a_bed(), vitals=vitals)
        snapshot = dataclasses.replace(ward.snapshot(), connected=True, beds=(bed,))
        found = header_of(build_feed(ward, ViewSession("v"), snapshot))["noWorker"]
        return None if found is None else float(found)

    assert told() is None, "it has only begun to listen"
    now[0] += SILENT_S + 1
    assert told() == SILENT_S + 1
    assert told(VitalSnapshot("ecg", 60.0, 0.0, 1.0, True, 1.0)) is None, "numbers come all the same"
    system.add_status(a_worker_status(emitted_ns=1), 0.0)
    assert told() is None
    now[0] += 7.0
    assert told() == 7.0
    system.add_status(a_worker_status(emitted_ns=2), 0.0)
    system.add_status(a_worker_status(state="stopped", emitted_ns=3), 0.0)
    now[0] += 8.0
    assert told() == 8.0


@pytest.mark.parametrize(("ward", "words"), [("icu", "ward icu"), ("ward", "ward"), ("Ward 3B", "Ward 3B")])
def test_a_ward_is_named_once(ward: str, words: str) -> None:
    assert ward_words(ward) == words
