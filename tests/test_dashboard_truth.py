"""What a ward must never do: show old as new, hide what is active, go quiet, mix up patients."""

from __future__ import annotations

import dataclasses
import time

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition

from dashboard.alarm_known import unknown_since
from dashboard.feed import Feed
from dashboard.snapshots import WardSnapshot
from dashboard.summary import of_ward, own_findings, soundings, summarise
from dashboard.trends import read_trend
from dashboard.ward import MAX_BEDS, Ward
from inference.types import Alarm, AlarmState, Bed, Delay, Priority, Vital
from ingest.settings import Settings
from ingest.types import NS_PER_S, Chunk, SignalKind

START_NS = 1_700_000_000 * NS_PER_S


class Clock:
    """A monotonic clock that tests move."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def chunk(second: float, bed: str = "b1", kind: SignalKind = SignalKind.ECG) -> Chunk:
    """One second of a signal."""
    return Chunk(
        bed=bed,
        device="d",
        kind=kind,
        channels=("II",),
        fs_hz=100.0,
        seq=int(second),
        start_ns=START_NS + round(second * NS_PER_S),
        samples=np.zeros((100, 1), dtype=np.float32),
    )


def vital(second: float, bed: str = "b1", rate: float = 70.0, offset: int | None = None) -> Vital:
    """Numbers up to a second of the device."""
    at_ns = START_NS + round(second * NS_PER_S)
    offset = int(second) if offset is None else offset
    return Vital(f"{bed}/{second}", bed, "ecg", at_ns, rate, 0.0, 1.0, True, offset, 0)


def alarm(
    identity: str,
    state: AlarmState = AlarmState.ACTIVE,
    priority: Priority = Priority.HIGH,
    onset_s: float = 0.0,
    **changes: object,
) -> Alarm:
    """One alarm of bed b1."""
    at_ns = START_NS + round(onset_s * NS_PER_S)
    delay = Delay(0.0, 0.0, 0.0)
    times = (at_ns, at_ns, at_ns, None)
    one = Alarm(
        identity, "b1", "ecg", identity, priority, state, identity, *times, None, None, None, delay, 1, 0
    )
    return msgspec.structs.replace(one, **changes)


def status(**changes: object) -> Bed:
    """How bed b1 is set."""
    one = Bed("b1", "icu", None, True, 1, "adult", False, None, None, None, None, [], 1, 1)
    return msgspec.structs.replace(one, **changes)


def live(clock: Clock, seconds: int = 12) -> Ward:
    """A ward with one analysed bed, its newest second just come."""
    ward = Ward(clock=clock)
    ward.set_connected(True)
    for second in range(seconds):
        clock.now += 1
        ward.add_chunk(chunk(second))
        ward.add_vital(vital(second + 1.0))
    return ward


def sounds(snapshot: WardSnapshot) -> list[str]:
    """Levels that are heard now."""
    return [one.level for one in soundings(snapshot, time.time_ns())]


def texts(ward: Ward) -> list[str]:
    """What the dashboard itself finds wrong with the bed."""
    return [one.text for one in own_findings(ward.snapshot().beds[0])]


STANDING = st.sampled_from([AlarmState.ACTIVE, AlarmState.LATCHED, AlarmState.ACKNOWLEDGED])


@given(st.lists(st.tuples(STANDING, st.sampled_from(Priority), st.floats(0, 1e4)), min_size=1, max_size=8))
def test_what_nobody_has_seen_is_shown_before_what_somebody_has(
    drawn: list[tuple[AlarmState, Priority, float]],
) -> None:
    ward = live(Clock())
    for number, (state, priority, onset_s) in enumerate(drawn):
        ward.add_alarm(alarm(f"a{number}", state, priority, onset_s))
    shown = ward.snapshot().beds[0].alarms
    seen = [one.state is AlarmState.ACKNOWLEDGED for one in shown]
    assert seen == sorted(seen)
    unseen = [one for one in shown if one.state is not AlarmState.ACKNOWLEDGED]
    ranks = [list(Priority).index(one.priority) for one in unseen]
    assert ranks == sorted(ranks)
    urgent = summarise(ward.snapshot()).urgent
    assert urgent is not None
    assert urgent.priority is shown[0].priority


def test_an_asystole_that_goes_on_comes_before_a_later_one_that_is_over() -> None:
    ward = live(Clock())
    ward.add_alarm(alarm("asystole", onset_s=100))
    ward.add_alarm(alarm("vt", AlarmState.LATCHED, onset_s=200))
    assert [one.id for one in ward.snapshot().beds[0].alarms] == ["asystole", "vt"]


def test_a_medium_alarm_is_not_hidden_by_a_high_one_that_was_seen() -> None:
    ward = live(Clock())
    ward.add_alarm(alarm("vt", AlarmState.ACKNOWLEDGED))
    ward.add_alarm(alarm("hr_high", priority=Priority.MEDIUM))
    urgent = summarise(ward.snapshot()).urgent
    assert urgent is not None
    assert urgent.text == "** hr_high"


def test_a_fibrillation_that_ended_by_itself_is_heard_until_somebody_has_seen_it() -> None:
    ward = live(Clock())
    ward.add_alarm(alarm("vf", AlarmState.LATCHED))
    assert sounds(ward.snapshot()) == ["high"]
    ward.add_alarm(alarm("vf", AlarmState.ACKNOWLEDGED, revision=1))
    assert sounds(ward.snapshot()) == []


def test_an_ecg_that_stopped_is_told_though_breath_still_comes() -> None:
    clock = Clock()
    ward = live(clock)
    for second in range(12, 30):
        clock.now += 1
        ward.add_chunk(chunk(second, kind=SignalKind.RESP))
    assert texts(ward) == ["!!! ECG NO DATA 18 s"]
    assert sounds(ward.snapshot()) == ["high"]
    ward.add_alarm(alarm("no_data", priority=Priority.TECHNICAL, kind="no_data", signal="resp"))
    assert texts(ward) == ["!!! ECG NO DATA 18 s"]
    ward.add_alarm(alarm("no_data_ecg", priority=Priority.TECHNICAL, kind="no_data"))
    assert texts(ward) == []


def test_an_acknowledged_missing_pleth_does_not_hide_that_nobody_analyses() -> None:
    clock = Clock()
    ward = live(clock)
    seen = AlarmState.ACKNOWLEDGED
    ward.add_alarm(alarm("x", seen, Priority.TECHNICAL, kind="no_data", signal="pleth"))
    for second in range(12, 24):
        clock.now += 1
        ward.add_chunk(chunk(second))
    assert texts(ward) == ["!!! NOT ANALYSED 11 s: alarms suspended"]
    assert sounds(ward.snapshot()) == ["high"]


def test_a_worker_that_died_is_told_within_three_seconds() -> None:
    clock = Clock()
    ward = live(clock)
    for tick in range(1, 5):
        clock.now += 1
        ward.add_chunk(chunk(11 + tick))
        told = ward.snapshot().beds[0].unanalysed_s
        assert (told is not None) == (tick > 3), tick
    assert sounds(ward.snapshot()) == []  # a takeover is seen, and heard only where it lasts
    for second in range(16, 20):
        clock.now += 1
        ward.add_chunk(chunk(second))
    assert sounds(ward.snapshot()) == ["high"]


def test_numbers_of_minutes_ago_are_not_those_of_now() -> None:
    clock = Clock()
    ward = live(clock)
    for second in range(12, 612):
        clock.now += 1
        ward.add_chunk(chunk(second))
    # A worker that comes back works off what lay.
    ward.add_vital(vital(14.0, rate=150.0))
    bed = ward.snapshot().beds[0]
    assert bed.vital is not None
    assert bed.vital.age_s > 590
    assert bed.unanalysed_s is not None


def test_a_device_clock_set_back_is_no_reason_to_say_not_analysed() -> None:
    clock = Clock()
    ward = live(clock)
    for second in range(30):
        clock.now += 1
        ward.add_chunk(shifted(chunk(100 + second), -3_600))
        ward.add_vital(vital(101 + second - 3_600.0, offset=101 + second))
    assert ward.snapshot().beds[0].unanalysed_s is None


def shifted(one: Chunk, shift_s: float) -> Chunk:
    """The same chunk at another device time."""
    return dataclasses.replace(one, start_ns=one.start_ns + round(shift_s * NS_PER_S))


@pytest.mark.parametrize("stay", [None, "p-7"])
def test_the_next_patient_inherits_nothing(stay: str | None) -> None:
    ward = live(Clock())
    ward.add_bed(status(stay=stay))
    ward.add_alarm(alarm("vf", AlarmState.ENDED, emitted_ns=2))
    ward.add_bed(status(stay=stay, admitted_ns=5 * 10**18, revision=2))
    history = ward.history("b1")
    assert history is None or (history.alarms, history.beats) == ((), ())
    assert ward.vital_history("b1") == ()
    assert ward.snapshot().beds[0].vitals == ()


def test_a_full_ward_forgets_silent_beds_never_one_in_alarm() -> None:
    clock = Clock()
    ward = Ward(clock=clock)
    ward.add_alarm(alarm("vf"))
    for number in range(MAX_BEDS):
        ward.add_chunk(chunk(0, bed=f"x{number}"))
    assert ward.snapshot().unseen_beds == 1
    assert "1 BED NOT SHOWN" in summarise(ward.snapshot()).counts
    assert "medium" in sounds(ward.snapshot())
    clock.now += 120
    ward.add_chunk(chunk(1, bed=f"x{MAX_BEDS - 1}"))
    snapshot = ward.snapshot()
    assert snapshot.bed("b1") is not None
    assert snapshot.bed(f"x{MAX_BEDS - 1}") is not None
    assert snapshot.unseen_beds == 0


def test_the_gravest_alarms_stay_where_there_are_too_many() -> None:
    ward = Ward(clock=Clock())
    for number in range(1_001):
        ward.add_alarm(alarm(f"low{number}", priority=Priority.LOW))
    ward.add_alarm(alarm("vf"))
    snapshot = ward.snapshot()
    assert snapshot.alarms[0].id == "vf"
    assert snapshot.unseen_alarms == 2


def test_a_ward_that_does_not_exist_hides_nobody() -> None:
    ward = live(Clock())
    ward.add_bed(status())
    ward.add_alarm(alarm("vf"))
    assert len(of_ward(ward.snapshot(), "ICU-typo").beds) == 1
    assert sounds(of_ward(ward.snapshot(), "ICU-typo")) == ["high"]
    assert len(of_ward(ward.snapshot(), "icu").beds) == 1


def test_a_pause_by_a_clock_that_runs_an_hour_ahead_is_none() -> None:
    ward = live(Clock())
    ward.add_alarm(alarm("vf", audio_paused_until_ns=time.time_ns() + 3_600 * NS_PER_S))
    assert sounds(ward.snapshot()) == ["high"]
    ward.add_alarm(alarm("vf", revision=1, audio_paused_until_ns=time.time_ns() + 100 * NS_PER_S))
    assert sounds(ward.snapshot()) == []


def test_the_trend_begins_with_the_patient() -> None:
    ward = live(Clock())
    ward.add_bed(status(admitted_ns=START_NS + 6 * NS_PER_S))
    asked: list[int] = []

    class Kept:
        """A store that says what it was asked."""

        def trend(self, bed: str, signal: str, *, since_ns: int, step_s: int) -> list[object]:
            asked.append(since_ns)
            return []

        def alarms(self, *, bed: str, since_ns: int, limit: int) -> list[object]:
            asked.append(since_ns)
            return []

    for onset_s in (5.0, 7.0):
        ward.add_alarm(alarm(f"at {onset_s:g}", onset_s=onset_s))
    trend = read_trend(ward, Kept(), "b1", "ecg", "1 h", START_NS + 60 * NS_PER_S)  # type: ignore[arg-type]
    assert asked == [START_NS + 6 * NS_PER_S] * 2
    assert [one.id for one in trend.alarms] == ["at 7"]


class FakeRecord:
    """A record of the alarms topic, read at once."""

    def __init__(self, timestamp: float, offset: int) -> None:
        self.topic, self.partition, self.offset = "t", 0, offset
        self.timestamp = round(timestamp)
        self.key, self.headers, self.value = b"k", (), b"v"


@pytest.mark.parametrize("skew_s", [0.0, 3_600.0, -3_600.0])
def test_a_dashboard_that_lags_counts_the_age_of_what_it_reads(skew_s: float) -> None:
    feed = Feed(Settings())
    ages: list[float] = []
    feed.reader.read = lambda record, age_s: ages.append(age_s)  # type: ignore[method-assign]
    part = TopicPartition("t", 0)
    broker_ms = (time.time() - skew_s) * 1e3
    feed._read(part, [FakeRecord(broker_ms, 0)], caught_up=True)
    feed._read(part, [FakeRecord(broker_ms - 9e3, 1)], caught_up=False)
    assert ages[0] == 0.0
    assert ages[1] == pytest.approx(9.0, abs=0.5)


def test_a_sound_that_nobody_analyses_is_told_beside_an_ecg_that_is() -> None:
    clock = Clock()
    ward = live(clock)
    for second in range(12, 30):
        clock.now += 1
        ward.add_chunk(chunk(second))
        ward.add_vital(vital(second + 1.0))
        ward.add_chunk(chunk(second, kind=SignalKind.LUNG_SOUND))
    assert texts(ward) == ["!!! LUNG SOUND NOT ANALYSED 17 s: alarms suspended"]
    assert summarise(ward.snapshot()).no_analysis_s is None
    standing = alarm("wheeze", priority=Priority.MEDIUM, kind="new_wheeze", signal="lung_sound")
    ward.add_alarm(standing)
    assert unknown_since(standing, ward.snapshot(), 100 * NS_PER_S) == 83 * NS_PER_S
    ward.add_alarm(beating := alarm("hr", priority=Priority.MEDIUM, kind="hr_high"))
    assert unknown_since(beating, ward.snapshot(), NS_PER_S) is None


def test_a_bed_that_sends_nothing_but_sounds_says_when_nobody_analyses_it() -> None:
    clock = Clock()
    ward = Ward(clock=clock)
    for second in range(20):
        clock.now += 1
        ward.add_chunk(chunk(second, kind=SignalKind.HEART_SOUND))
    assert texts(ward) == ["!!! NOT ANALYSED 19 s: alarms suspended"]
    assert summarise(ward.snapshot()).no_analysis_s == 19.0
