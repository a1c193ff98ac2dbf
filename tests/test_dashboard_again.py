"""What comes again, or late: no age is renewed, nothing counts twice, no ended alarm stands again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition

from dashboard import ward as ward_module
from dashboard.alarm_watch import AlarmWatch
from dashboard.eeg_marks import EegMarks
from dashboard.heard_sounds import HeardSounds
from dashboard.history import VitalRing
from dashboard.system_state import FORGET_S, FORGET_STOPPED_S, Refused, SystemState
from dashboard.ward import MAX_ALARMS, MAX_CURRENT_ALARMS, Ward
from inference import eeg_score
from inference.types import Alarm, AlarmState, Beat, Bed, Prediction, SoundEvent, Vital, WorkerStatus
from ingest.settings import Settings
from ingest.types import NS_PER_S, SignalKind
from tests.test_dashboard_system import status as member
from tests.test_dashboard_truth import START_NS, Clock, alarm, chunk, status, vital


def step(identity: str, state: AlarmState, offset: int, revision: int) -> Alarm:
    """One step of an alarm's life."""
    return alarm(identity, state, raw_offset=offset, revision=revision)


def said(
    second: int, offset: int, signal: str = "lung_sound", model: str = "m", bed: str = "b1"
) -> Prediction:
    """What a network says of the three seconds up to one, with something in it."""
    end_ns = START_NS + second * NS_PER_S
    event = SoundEvent("seizure" if signal == "eeg" else "wheeze", end_ns - NS_PER_S, end_ns, 0.9)
    return Prediction(
        f"{bed}:{signal}:{second}", bed, signal, model, "c", end_ns - 3 * NS_PER_S, end_ns, {"seizure": 0.9},
        [Beat(end_ns - NS_PER_S, "N", 1.0)] if signal == "ecg" else [], 1.0, offset, 0, [event],
    )  # fmt: skip


class TestNumbers:
    def test_a_number_that_comes_again_is_as_old_as_it_was_and_counts_once(self) -> None:
        clock = Clock()
        ward = Ward(clock=clock)
        ward.add_vital(vital(100))
        clock.now += 20
        ward.add_vital(vital(100))
        assert ward.snapshot().beds[0].vitals[0].age_s == 20
        assert len(ward.vital_history("b1")[0].times_ns) == 1

    def test_a_prediction_that_comes_again_is_as_old_as_it_was(self) -> None:
        clock = Clock()
        ward = Ward(clock=clock)
        ward.add_prediction(said(100, 100))
        clock.now += 20
        ward.add_prediction(said(100, 100))
        assert ward.snapshot().beds[0].findings[0].age_s == 20

    def test_numbers_of_before_the_clock_was_set_back_do_not_answer_what_came_since(self) -> None:
        clock = Clock()
        ward = Ward(clock=clock)
        ward.add_vital(vital(5_000, offset=1))
        ward.add_vital(vital(100, offset=2))
        for second in range(101, 121):
            clock.now += 1
            ward.add_chunk(chunk(second))
            ward.add_vital(vital(5_000, offset=1))
        (bed,) = ward.snapshot().beds
        assert (bed.unanalysed_s, bed.vitals[0].age_s) == (19.0, 20.0)

    def test_a_former_patients_number_is_not_the_next_ones(self) -> None:
        ward = Ward(clock=Clock())
        ward.add_bed(status())
        ward.add_vital(vital(100))
        ward.add_bed(status(stay="p-7", admitted_ns=2, revision=2))
        ward.add_vital(vital(100))
        assert ward.snapshot().beds[0].vitals == ()

    def test_a_topic_that_was_made_anew_and_a_second_of_the_same_record_are_news(self) -> None:
        clock = Clock()
        ward = Ward(clock=clock)
        for second, offset in ((100, 900), (101, 3), (102, 3)):
            clock.now += 1
            ward.add_vital(vital(second, offset=offset))
            assert ward.snapshot().beds[0].vitals[0].age_s == 0
        assert len(ward.vital_history("b1")[0].times_ns) == 3

    def test_another_telling_of_the_newest_second_replaces_it(self) -> None:
        ring = VitalRing("ecg")
        ring.add(vital(100, rate=70.0))
        ring.add(vital(100, rate=71.0))
        assert ring.read().heart_rate_bpm.tolist() == [71.0]


class TestAlarms:
    def test_an_alarm_that_ended_long_ago_does_not_stand_again(self) -> None:
        ward = Ward(clock=Clock())
        for number in range(MAX_ALARMS + 2):
            ward.add_alarm(step(f"a{number}", AlarmState.ACTIVE, number, 1))
            ward.add_alarm(step(f"a{number}", AlarmState.ENDED, number, 2))
        ward.add_alarm(step("a0", AlarmState.ACTIVE, 0, 1))
        assert {one.state for one in ward.snapshot().alarms} == {AlarmState.ENDED}

    def test_one_for_which_there_was_no_room_is_counted_once(self) -> None:
        ward = Ward(clock=Clock())
        for number in range(MAX_CURRENT_ALARMS + 1):
            ward.add_alarm(step(f"a{number}", AlarmState.ACTIVE, number, 1))
        for number in range(MAX_CURRENT_ALARMS + 1):
            ward.add_alarm(step(f"a{number}", AlarmState.ACTIVE, number, 1))
        assert ward.snapshot().unseen_alarms == 1

    def test_one_for_which_there_was_no_room_is_shown_once_there_is_and_it_is_said_again(self) -> None:
        with patch.object(ward_module, "MAX_CURRENT_ALARMS", 2):
            ward = Ward(clock=Clock())
            for number in range(3):
                ward.add_alarm(step(f"a{number}", AlarmState.ACTIVE, number, 1))
            shown = {one.id for one in ward.snapshot().alarms}
            cut = {"a0", "a1", "a2"} - shown
            for name in sorted(shown):
                ward.add_alarm(step(name, AlarmState.ENDED, int(name[1:]), 2))
            for name in cut:
                ward.add_alarm(step(name, AlarmState.ACTIVE, int(name[1:]), 1))
        active = {one.id for one in ward.snapshot().alarms if one.state is AlarmState.ACTIVE}
        assert len(cut) == 1
        assert active == cut

    def test_the_terminal_says_no_ended_alarm_to_be_active(self) -> None:
        watch = AlarmWatch(Settings())
        steps = [
            step("a", AlarmState.ACTIVE, 1, 1),
            step("a", AlarmState.ACTIVE, 2, 1),
            step("a", AlarmState.ENDED, 2, 2),
            step("a", AlarmState.ACTIVE, 1, 1),
            step("a", AlarmState.ENDED, 2, 2),
        ]
        found = {0: [SimpleNamespace(value=msgspec.json.encode(one)) for one in steps]}
        watch._client = SimpleNamespace(poll=lambda timeout_ms: found)
        first, second = watch.poll(0.1)
        assert ("active" in first, "ended" in second, watch.n_alarms) == (True, True, 1)

    def test_a_score_counts_an_alarm_as_it_stood_last(self, monkeypatch: pytest.MonkeyPatch) -> None:
        part = TopicPartition(Settings().topics.alarms, 0)
        steps = [step("a", AlarmState.ENDED, 9, 1), step("a", AlarmState.ACTIVE, 3, 2)]
        batches = [{part: [SimpleNamespace(value=msgspec.json.encode(one)) for one in steps]}]
        reader = SimpleNamespace(
            assign=lambda parts: None,
            seek_to_beginning=lambda: None,
            position=lambda part: 0 if batches else 2,
            poll=lambda timeout_ms: batches.pop(),
            close=lambda autocommit: None,
        )
        monkeypatch.setattr(eeg_score.kafka, "end_offsets", lambda settings, parts: {part: 2})
        monkeypatch.setattr(eeg_score.kafka, "consumer", lambda settings, group_id: reader)
        (found,) = eeg_score._newest(Settings())
        assert found.state is AlarmState.ENDED


class TestMarks:
    def test_one_old_piece_of_sound_does_not_forget_a_minute(self) -> None:
        heard = HeardSounds()
        for number in range(20):
            heard.add(said(1_000 + 5 * number, number))
        before = heard.since(0, 0)
        heard.add(said(1_000, 0))
        heard.add(said(1_050, 10))
        heard.add(said(1_005, 1, model="former"))
        assert heard.since(0, 0) == before

    def test_one_old_second_of_an_eeg_does_not_forget_hours(self) -> None:
        marks = EegMarks()
        for number in range(80):
            marks.add(said(60 * number, number, "eeg"))
        before = marks.since(0, 0)
        marks.add(said(0, 0, "eeg"))
        marks.add(said(3_000, 50, "eeg"))
        marks.add(said(60, 1, "eeg", "former"))
        assert marks.since(0, 0) == before
        marks.add(said(0, 80, "eeg"))
        assert marks.since(0, 0).epoch != before.epoch


class TestSystem:
    def test_a_refused_record_counts_once(self) -> None:
        state = SystemState(Clock())
        letter = Refused("bad_signature", "why", "biosignals.raw", 3, 77, None, 1_000)
        for timestamp_ms in (1, 2):
            state.add_dead_letter(letter, timestamp_ms)
        assert (state.snapshot().refused, len(state.snapshot().letters)) == ({"bad_signature": 1}, 1)
        # The topic was made anew: its offsets begin again.
        state.add_dead_letter(msgspec.structs.replace(letter, timestamp_ms=2_000), 3)
        assert state.snapshot().refused == {"bad_signature": 2}

    def test_a_word_of_a_dead_worker_that_comes_again_does_not_let_it_live(self) -> None:
        clock = Clock()
        state = SystemState(clock)
        state.add_status(member(), 0.0)
        clock.now += 20
        state.add_status(member(), 0.0)
        assert state.without_worker_s() == 20
        clock.now += FORGET_S
        assert state.snapshot().members == ()
        state.add_status(member(), 0.0)
        assert (state.snapshot().members, state.without_worker_s()) == ((), 20 + FORGET_S)

    def test_a_worker_that_said_goodbye_does_not_come_back(self) -> None:
        clock = Clock()
        state = SystemState(clock)
        state.add_status(member(), 0.0)
        state.add_status(member(state="stopped", emitted_ns=61 * 10**9), 0.0)
        clock.now += FORGET_STOPPED_S + 1
        assert state.snapshot().members == ()
        state.add_status(member(), 0.0)
        assert state.snapshot().members == ()

    def test_a_worker_whose_machine_was_set_back_an_hour_is_heard(self) -> None:
        clock = Clock()
        state = SystemState(clock)
        state.add_status(member(emitted_ns=4_000 * 10**9), 0.0)
        for second in range(20):
            clock.now += 1
            state.add_status(member(emitted_ns=(400 + second) * 10**9, counts={"chunks_in": 800}), 0.0)
        assert state.without_worker_s() is None


@dataclass(frozen=True)
class Event:
    """One record that comes after some seconds; chunks come in order, their copies are the traces' matter."""

    after_s: float
    item: Vital | Prediction | Alarm | Bed | WorkerStatus | Refused | None


PLACES = st.integers(0, 9)
SECONDS = st.sampled_from([0, 1, 2, 3, 40, 90, 100, 4_000, 9_000])
SIGNALS = st.sampled_from(["ecg", "eeg", "lung_sound"])
STATES = st.sampled_from(["running", "stopped"])
REASONS = st.sampled_from(["malformed", "late"])


def number(second: int, offset: int, signal: str) -> Vital:
    """Numbers of any signal."""
    return msgspec.structs.replace(vital(second, offset=offset), signal=signal)


def setting(revision: int, emitted_ns: int) -> Bed:
    """How the bed is set, with each revision for another patient."""
    return status(revision=revision, emitted_ns=emitted_ns, admitted_ns=revision)


def word(name: str, state: str, emitted_ns: int, chunks_in: int) -> WorkerStatus:
    """What a worker says of itself."""
    return member(name, state=state, emitted_ns=emitted_ns, counts={"chunks_in": chunks_in})


KINDS = [
    st.none(),
    st.builds(number, SECONDS, PLACES, SIGNALS),
    st.builds(said, SECONDS, PLACES, SIGNALS, st.sampled_from(["m", "n"])),
    st.builds(step, st.sampled_from("abcdef"), st.sampled_from(AlarmState), PLACES, PLACES),
    st.builds(setting, PLACES, PLACES),
    st.builds(word, st.sampled_from("pq"), STATES, PLACES, PLACES),
    st.builds(Refused, REASONS, st.just("why"), st.just("raw"), PLACES, PLACES, st.none()),
]
WAITS = st.sampled_from([0.0, 0.5, 3.0, 130.0, 1_000.0])
EVENTS = st.one_of(
    *(st.lists(st.builds(Event, WAITS, kind), min_size=4, max_size=16) for kind in KINDS[1:]),
    st.lists(st.builds(Event, WAITS, st.one_of(KINDS)), max_size=30),
)


def with_copies(events: Sequence[Event], copies: Sequence[tuple[int, int]]) -> list[Event]:
    """The events, with some of them again, right away or late: (which one, how many later)."""
    whole: list[list[Event]] = [[one] for one in events]
    for which, later in copies if events else ():
        at = which % len(events)
        if events[at].item is not None:
            whole[min(at + later, len(events) - 1)].append(replace(events[at], after_s=0.0))
    return [one for group in whole for one in group]


def picture(events: Sequence[Event]) -> object:
    """All that pages show at the end, but for the names of epochs."""
    clock, n_chunks = Clock(), 0
    ward, system = Ward(clock=clock), SystemState(clock)
    for event in events:
        clock.now += event.after_s
        match event.item:
            case None:
                ward.add_chunk(chunk(n_chunks))
                n_chunks += 1
            case Vital():
                ward.add_vital(event.item)
            case Prediction():
                ward.add_prediction(event.item)
            case Alarm():
                ward.add_alarm(event.item)
            case Bed():
                ward.add_bed(event.item)
            case WorkerStatus():
                system.add_status(event.item, 0.0)
            case Refused():
                system.add_dead_letter(event.item, 0)
    return shown(ward), system.snapshot(), system.without_worker_s()


def shown(ward: Ward) -> object:
    """All that a ward shows."""
    snapshot = ward.snapshot()
    beds = [
        replace(bed, streams=tuple(replace(one, epoch=0) for one in bed.streams)) for bed in snapshot.beds
    ]
    held = ward.history("b1")
    seconds, marks = ward.eeg_seconds("b1", 0, 0), ward.eeg_marks("b1", 0, 0)
    heard = ward.heard("b1", SignalKind.LUNG_SOUND, 0, 0)
    return (
        replace(snapshot, beds=tuple(beds)),
        None if held is None else (held.beats, held.alarms, held.newest),
        [
            (one.signal, one.times_ns.tolist(), one.heart_rate_bpm.tolist())
            for one in ward.vital_history("b1")
        ],
        None if seconds is None else seconds.times_s.tolist(),
        None if marks is None else msgspec.structs.replace(marks, epoch=0),
        msgspec.structs.replace(heard, epoch=0),
    )


@given(EVENTS, st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), min_size=1, max_size=10))
def test_records_that_come_again_or_late_change_nothing(
    events: list[Event], copies: list[tuple[int, int]]
) -> None:
    with patch.object(ward_module, "MAX_ALARMS", 2), patch.object(ward_module, "MAX_CURRENT_ALARMS", 30):
        assert picture(with_copies(events, copies)) == picture(events)
