"""Technical alarms of streams: what staff read when data, clocks, rates, models or sensors fail."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka import TopicPartition

from inference.alarm_book import AlarmBook, Life
from inference.alarm_spec import AlarmSetting, Values
from inference.catalog import load_catalogue
from inference.stream_watch import StreamChange, StreamState, StreamWatch
from inference.types import Alarm
from inference.worker import Worker, WorkerOptions
from ingest import kafka as clients
from ingest.publisher import Publisher
from ingest.settings import Settings
from ingest.types import NS_PER_S, Chunk, SignalKind

T0 = 1_700_000_000 * NS_PER_S
ECG = ("bed", "ecg")
LUNG = ("bed", "lung_sound")
DEFAULTS = load_catalogue().settings([])


def chunk(
    kind: str = "ecg", second: float = 0, length_s: float = 1.0, fs_hz: float = 250.0, loud: float = 0.1
) -> Chunk:
    samples = np.random.default_rng(1).normal(0, loud, (round(length_s * fs_hz), 1))
    start_ns = T0 + round(second * NS_PER_S)
    samples32 = samples.astype(np.float32)
    return Chunk("bed", "m", SignalKind(kind), ("one",), fs_hz, start_ns, round(second), samples32)


class Ward:
    """A watch with a clock: second by second a chunk of each signal may come, then it ticks twice."""

    def __init__(
        self,
        analysed: tuple[SignalKind, ...] = tuple(SignalKind),
        settings_of: Callable[[str], Mapping[str, AlarmSetting]] | None = None,
    ) -> None:
        self.watch = StreamWatch(analysed, settings_of)
        self.book = AlarmBook()
        self.alarms: list[Alarm] = []
        self.changes: list[StreamChange] = []
        self.offset = 0
        self.now_s = 0.0

    def _say(self, changes: list[StreamChange]) -> None:
        self.changes += changes
        for one in changes:
            bed, signal = one.stream
            now_ns = T0 + round(self.now_s * NS_PER_S)
            self.alarms += self.book.apply(bed, signal, one.change, one.raw_offset, now_ns)

    def _next(self, part: Chunk) -> tuple[tuple[str, str], Chunk, int, int, float]:
        self.offset += 1
        received_ms = T0 // 1_000_000 + round(self.now_s * 1e3)
        return (part.bed, part.kind.value), part, received_ms, self.offset, self.now_s

    def hear(self, part: Chunk) -> None:
        self._say(self.watch.heard(*self._next(part)))

    def refuse(self, part: Chunk) -> None:
        self._say(self.watch.refused(*self._next(part)))

    def tick(self) -> None:
        self._say(self.watch.tick(self.now_s, T0 + round(self.now_s * NS_PER_S)))

    def run(self, length_s: int, part: Callable[[float], Chunk | None], refuse: bool = False) -> None:
        for _ in range(length_s):
            made = part(self.now_s)
            self.now_s += 1.0
            if made is not None:
                (self.refuse if refuse else self.hear)(made)
            self.tick()
            self.now_s += 0.25
            self.tick()
            self.now_s -= 0.25

    def mute(self, on: bool) -> None:
        self._say(self.watch.mute("bed", on, T0 + round(self.now_s * NS_PER_S)))

    @property
    def steps(self) -> list[tuple[str, str]]:
        return [(alarm.kind, alarm.state.value) for alarm in self.alarms]


def ecg(second: float) -> Chunk:
    return chunk(second=second)


def nothing(second: float) -> None:
    return None


def test_a_signal_that_stops_and_comes_again_is_one_alarm_within_3_s() -> None:
    ward = Ward()
    ward.run(10, ecg)
    ward.run(20, nothing)
    assert ward.steps == [("no_data", "active")]
    begun = ward.alarms[0]
    assert begun.message == "!!! ECG NO DATA: its alarms suspended"
    assert begun.onset_ns == T0 + 10 * NS_PER_S
    assert begun.raised_ns <= T0 + 14 * NS_PER_S
    ward.run(3, ecg)
    assert ward.steps == [("no_data", "active"), ("no_data", "ended")]
    assert ward.alarms[1].id == begun.id


def test_standby_silences_missing_data_and_says_so() -> None:
    ward = Ward()
    ward.run(5, ecg)
    ward.run(10, nothing)
    ward.mute(True)
    assert ward.steps == [("no_data", "active"), ("no_data", "ended")]
    assert ward.changes[-1].change.reasons == ("standby",)
    ward.run(60, nothing)
    ward.run(5, ecg)
    ward.run(60, nothing)
    assert len(ward.alarms) == 2


def test_what_is_still_silent_after_standby_is_an_alarm_of_its_own() -> None:
    ward = Ward()
    ward.run(5, ecg)
    ward.run(10, nothing)
    ward.mute(True)
    ward.run(10, nothing)
    ward.mute(False)
    back_s = ward.now_s
    ward.run(10, nothing)
    assert ward.steps[2:] == [("no_data", "active")]
    assert ward.alarms[2].id != ward.alarms[0].id
    assert (
        T0 + round((back_s + 2) * NS_PER_S) < ward.alarms[2].raised_ns <= T0 + round((back_s + 4) * NS_PER_S)
    )
    ward.run(3, ecg)
    assert ward.alarms[3].id == ward.alarms[2].id
    ward.run(10, nothing)
    assert len({alarm.id for alarm in ward.alarms}) == 3


def test_standby_holds_for_a_signal_that_comes_later() -> None:
    ward = Ward()
    ward.mute(True)
    ward.run(5, ecg)
    ward.run(30, nothing)
    assert ward.alarms == []


def test_missing_data_may_be_switched_off_and_on_and_delayed() -> None:
    layers = {"ecg/no_data": Values(on_delay_s=10.0)}
    set_so = {"bed": load_catalogue().settings([("bed", layers)])}
    ward = Ward(settings_of=set_so.__getitem__)
    ward.run(5, ecg)
    ward.run(10, nothing)
    assert ward.alarms == []
    ward.run(5, nothing)
    assert ward.steps == [("no_data", "active")]
    set_so["bed"] = load_catalogue().settings([("bed", {"ecg/no_data": Values(enabled=False)})])
    ward.watch.configure("bed", T0 + 20 * NS_PER_S)
    ward.tick()
    assert ward.steps == [("no_data", "active"), ("no_data", "ended")]
    ward.run(30, nothing)
    set_so["bed"] = DEFAULTS
    ward.watch.configure("bed", T0 + 50 * NS_PER_S)
    ward.run(5, nothing)
    assert ward.steps[2:] == [("no_data", "active")]
    assert ward.alarms[2].id != ward.alarms[0].id


def test_a_clock_set_back_keeps_the_ids_of_silences_apart() -> None:
    ward = Ward()
    ward.run(5, ecg)
    for _ in range(2):
        ward.run(5, lambda second: chunk(second=second - 3600))
        ward.run(5, nothing)
    begun = [alarm for alarm in ward.alarms if (alarm.kind, alarm.state.value) == ("no_data", "active")]
    assert len({alarm.id for alarm in begun}) == 2
    assert [round((alarm.onset_ns - T0) / NS_PER_S) for alarm in begun] == [-3590, -3580]


@pytest.mark.parametrize("off_s", [-5.0, 5.0])
def test_a_clock_that_is_off_for_a_minute_is_told_with_its_value(off_s: float) -> None:
    ward = Ward()
    ward.run(30, ecg)
    ward.run(55, lambda second: chunk(second=second + off_s))
    assert "clock_drift" not in [kind for kind, _ in ward.steps]
    ward.run(60, lambda second: chunk(second=second + off_s))
    (found,) = [alarm for alarm in ward.alarms if alarm.kind == "clock_drift"]
    assert found.message == "! ECG CLOCK OFF BY 5.0 s > 2 s"
    ward.run(120, ecg)
    assert ward.steps[-1] == ("clock_drift", "ended")


def test_chunks_that_are_late_now_and_then_are_no_clock_drift() -> None:
    ward = Ward()
    late = np.random.default_rng(1).exponential(4.0, 400)
    ward.run(
        300, lambda second: replace(ecg(second), start_ns=T0 + round((second - late[int(second)]) * 1e9))
    )
    assert "clock_drift" not in [kind for kind, _ in ward.steps]


def test_a_backlog_that_is_worked_off_is_no_clock_drift() -> None:
    ward = Ward()
    ward.run(60, ecg)
    for second in range(60, 360):
        part = chunk(second=second)
        ward.watch.heard(ECG, part, T0 // 1_000_000 + 400_000 + second, second, 400.0)
    ward.now_s = 400.5
    ward.tick()
    ward.run(120, lambda second: chunk(second=second))
    assert "clock_drift" not in [kind for kind, _ in ward.steps]


def test_a_time_stamp_from_the_future_does_not_stop_the_clock() -> None:
    ward = Ward()
    ward.run(5, ecg)
    future = chunk(second=86_400)
    ward.watch.heard(ECG, future, future.end_ns // 1_000_000, 6, ward.now_s)
    ward.tick()
    ward.run(10, lambda second: chunk(second=second, fs_hz=62.5), refuse=True)
    ward.run(15, ecg)
    assert ward.steps == [("unknown_rate", "active"), ("unknown_rate", "ended")]
    ward.run(180, lambda second: chunk(second=second - 5))
    assert ward.steps[2:] == [("clock_drift", "active")]


def test_a_rate_that_is_too_low_is_told_until_good_chunks_come() -> None:
    ward = Ward()
    ward.run(5, ecg)
    ward.run(20, lambda second: chunk(second=second, fs_hz=62.5), refuse=True)
    assert ward.steps == [("unknown_rate", "active")]
    assert ward.alarms[0].message == "!! ECG RATE 62 Hz TOO LOW: not analysed"
    assert (ward.alarms[0].value, ward.alarms[0].limit) == (62.5, None)
    ward.run(8, ecg)
    assert ward.steps == [("unknown_rate", "active")]
    ward.run(8, ecg)
    assert ward.steps == [("unknown_rate", "active"), ("unknown_rate", "ended")]


def test_a_refused_stream_that_stops_is_missing_data_too() -> None:
    ward = Ward()
    ward.run(5, lambda second: chunk(second=second, fs_hz=62.5), refuse=True)
    ward.run(10, nothing)
    assert ward.steps == [("unknown_rate", "active"), ("no_data", "active")]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("eeg", "EEG MODEL UNAVAILABLE: seizures are not looked for; trends and electrode alarms go on"),
        ("lung_sound", "are not looked for; rate, silence and sensor alarms go on"),
        ("heart_sound", "murmurs are not looked for; rate and sensor alarms go on"),
        *((kind, "") for kind in ("ecg", "resp", "pleth", "abp")),
    ],
)
def test_a_signal_with_alarms_but_without_a_model_says_once_what_goes_on(kind: str, told: str) -> None:
    ward = Ward(analysed=(SignalKind.ECG, SignalKind.PLETH))
    ward.run(10, lambda second: chunk(kind, second))
    assert ward.steps == ([("model_unavailable", "active")] if told else [])
    if told:
        assert ward.alarms[0].onset_ns == T0
        assert ward.alarms[0].message.startswith("! ")
        assert ward.alarms[0].message.endswith(told)


def test_a_successor_with_the_model_ends_what_its_predecessor_lacked() -> None:
    old, new = Ward(analysed=(SignalKind.ECG,)), Ward()
    old.run(5, lambda second: chunk("eeg", second))
    state = old.watch.state(("bed", "eeg"))
    new.watch.restore(("bed", "eeg"), state, old.offset, 5.0)
    new.book.restore("bed", old.book.state("bed", "eeg"))
    new.now_s = 5.0
    new.run(2, lambda second: chunk("eeg", second))
    assert new.steps == [("model_unavailable", "ended")]
    assert new.alarms[0].id == old.alarms[0].id


def test_a_sound_sensor_that_gives_only_its_own_noise_suspends_its_alarms() -> None:
    ward = Ward()
    ward.run(10, lambda second: chunk("lung_sound", second, fs_hz=4000.0, loud=0.002))
    ward.run(29, lambda second: chunk("lung_sound", second, fs_hz=4000.0, loud=2e-5))
    assert ward.alarms == []
    ward.run(5, lambda second: chunk("lung_sound", second, fs_hz=4000.0, loud=2e-5))
    assert ward.steps == [("sensor_silent", "active")]
    assert ward.alarms[0].message == "!! LUNG SOUND SENSOR SILENT: its alarms suspended"
    assert ward.alarms[0].onset_ns == T0 + 10 * NS_PER_S
    assert ward.changes[-1].suspends is True
    ward.run(5, lambda second: chunk("lung_sound", second, fs_hz=4000.0, loud=0.002))
    assert ward.steps == [("sensor_silent", "active"), ("sensor_silent", "ended")]
    assert ward.changes[-1].suspends is False


def test_an_offset_is_no_sound_and_missing_samples_are_no_silence() -> None:
    ward = Ward()
    flat = chunk("heart_sound", fs_hz=4000.0, loud=0.0)
    ward.run(
        40, lambda second: replace(flat, samples=flat.samples + 0.3, start_ns=T0 + int(second) * NS_PER_S)
    )
    assert ward.steps == [("sensor_silent", "active")]
    other = Ward()
    other.run(
        60, lambda second: replace(flat, samples=flat.samples * np.nan, start_ns=T0 + int(second) * NS_PER_S)
    )
    assert other.alarms == []


def test_a_flat_ecg_is_not_a_silent_sensor() -> None:
    ward = Ward()
    ward.run(60, lambda second: chunk(second=second, loud=0.0))
    assert ward.alarms == []


def test_a_new_patient_is_told_anew_what_still_holds() -> None:
    ward = Ward(analysed=(SignalKind.ECG,))
    ward.run(5, lambda second: chunk("eeg", second))
    ward.run(5, nothing)
    assert ward.steps == [("model_unavailable", "active"), ("no_data", "active")]
    ward.alarms += ward.book.close("bed", "discharged", T0)
    ward.watch.begin_anew("bed", T0 + 10 * NS_PER_S)
    ward.run(10, nothing)
    assert ward.steps[4:] == [("no_data", "active")]
    ward.run(2, lambda second: chunk("eeg", second))
    assert ward.steps[5:] == [("no_data", "ended"), ("model_unavailable", "active")]
    begun = [alarm.id for alarm in ward.alarms if alarm.state.value == "active"]
    assert len(set(begun)) == 4


def test_the_state_of_a_former_patient_is_said_anew_for_that_signal_alone() -> None:
    ward = Ward(analysed=())
    ward.run(5, lambda second: chunk("eeg", second))
    ward.run(5, ecg)
    ward.watch.begin_anew("bed", T0 + 10 * NS_PER_S, "ecg")
    said = len(ward.alarms)
    ward.run(2, ecg)
    assert [alarm.signal for alarm in ward.alarms[said:]] == ["ecg"]
    assert ward.steps[said:] == [("model_unavailable", "active")]


def test_a_stream_that_is_forgotten_leaves_nothing_to_the_next() -> None:
    ward = Ward(analysed=(SignalKind.ECG,))
    ward.run(5, lambda second: chunk("eeg", second))
    ward.watch.forget({("bed", "eeg"), ("other", "ecg")})
    assert ("bed", "eeg") not in ward.watch
    ward.run(20, nothing)
    ward.run(5, ecg)
    assert ward.steps == [("model_unavailable", "active")]


def test_switching_off_an_alarm_ends_it_even_when_nothing_comes() -> None:
    set_so = {"bed": DEFAULTS}
    ward = Ward(settings_of=set_so.__getitem__)
    ward.run(5, lambda second: chunk(second=second, fs_hz=62.5), refuse=True)
    off = {"ecg/unknown_rate": Values(enabled=False), "ecg/no_data": Values(enabled=False)}
    set_so["bed"] = load_catalogue().settings([("bed", off)])
    ward.watch.configure("bed", T0)
    ward.run(30, nothing)
    assert ward.steps == [("unknown_rate", "active"), ("unknown_rate", "ended")]


def take_over(old: Ward, settings_of: Callable[[str], Mapping[str, AlarmSetting]], late_s: float) -> Ward:
    """A successor that restores what was left and ticks for the first time some seconds later."""
    new = Ward(settings_of=settings_of)
    new.offset, new.now_s = old.offset, old.now_s + 100.0
    state = msgspec.msgpack.decode(msgspec.msgpack.encode(old.watch.state(ECG)), type=StreamState)
    new.watch.restore(ECG, state, old.offset, new.now_s)
    new.now_s += late_s
    new.tick()
    return new


@pytest.mark.parametrize("handovers", [1, 2, 5])
def test_a_long_delay_of_missing_data_does_not_begin_anew_with_each_successor(handovers: int) -> None:
    made = load_catalogue().settings([("bed", {"ecg/no_data": Values(on_delay_s=60.0)})])
    ward = Ward(settings_of=lambda bed: made)
    ward.run(5, ecg)
    for _ in range(handovers):
        ward.run(10, nothing)
        ward = take_over(ward, lambda bed: made, late_s=0.5)
    assert ward.alarms == []
    # Due after 63 s; the last tick of a run is a quarter of a second after it.
    ward.run(int(62 - 10.75 * handovers), nothing)
    assert ward.alarms == []
    ward.run(4, nothing)
    assert ward.steps == [("no_data", "active")]


@pytest.mark.parametrize("late_s", [0.0, 1.0, 30.0])
@pytest.mark.parametrize("silent_s", [0, 2, 3])
def test_a_device_is_not_blamed_for_the_time_in_which_no_worker_read(late_s: float, silent_s: int) -> None:
    ward = Ward()
    ward.run(5, ecg)
    ward.run(silent_s, nothing)
    new = take_over(ward, lambda bed: DEFAULTS, late_s)
    assert new.alarms == []
    new.hear(chunk(second=5.0))
    new.run(2, nothing)
    assert [alarm for alarm in new.alarms if alarm.state.value == "active"] == []
    new.run(2, nothing)
    assert new.steps[-1] == ("no_data", "active")


def test_how_long_a_signal_is_silent_does_not_begin_anew_with_a_takeover() -> None:
    ward = Ward()
    ward.run(5, ecg)
    ward.run(20, nothing)
    (before,) = ward.watch.ages(ward.now_s)
    assert (before.age_s, before.at_least) == (pytest.approx(20, abs=1.5), False)
    new = take_over(ward, lambda bed: DEFAULTS, 0.0)
    new.run(10, nothing)
    (after,) = new.watch.ages(new.now_s)
    assert (after.age_s, after.at_least) == (pytest.approx(30, abs=2), True)
    new.hear(chunk(second=36.0))
    (heard,) = new.watch.ages(new.now_s)
    assert (heard.age_s, heard.at_least) == (0.0, False)


def test_silence_in_standby_is_not_counted_by_a_successor() -> None:
    ward = Ward()
    ward.run(5, ecg)
    ward.mute(True)
    ward.run(60, nothing)
    assert ward.watch.state(ECG).no_data.silent_s == 0.0


events = st.lists(
    st.tuples(st.sampled_from(["good", "refused", "silent", "nothing", "late"]), st.integers(1, 40)),
    min_size=1,
    max_size=8,
)


def play(ward: Ward, script: list[tuple[str, int]]) -> None:
    for what, length_s in script:
        loud = 1e-5 if what == "silent" else 0.1
        late_s = 4.0 if what == "late" else 0.0
        ward.run(
            length_s,
            lambda second, what=what, loud=loud, late_s=late_s: (
                None if what == "nothing" else chunk("lung_sound", second - late_s, fs_hz=50.0, loud=loud)
            ),
            refuse=what == "refused",
        )


@settings(max_examples=25, deadline=None)
@given(before=events, after=events)
def test_a_successor_goes_on_as_if_nothing_had_happened(
    before: list[tuple[str, int]], after: list[tuple[str, int]]
) -> None:
    first = Ward(analysed=())
    play(first, before)
    state = first.watch.state(LUNG) if LUNG in first.watch else None
    successor = Ward(analysed=())
    successor.offset, successor.now_s = first.offset, first.now_s
    if state is not None:
        state = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=StreamState)
        successor.watch.restore(LUNG, state, first.offset, first.now_s)
        successor.book.restore(
            "bed", msgspec.json.decode(msgspec.json.encode(first.book.of_bed("bed")), type=list[Life])
        )
    said = len(first.alarms)
    # What was silent gets its full time again, what nobody raised may be ended: missing data are told apart.
    play(first, [("good", 1), *after])
    play(successor, [("good", 1), *after])
    own = [alarm for alarm in successor.alarms if alarm.kind != "no_data"]
    assert own == [alarm for alarm in first.alarms[said:] if alarm.kind != "no_data"]


@settings(max_examples=25, deadline=None)
@given(script=events)
def test_each_alarm_begins_before_it_ends_and_has_an_id_of_its_own(script: list[tuple[str, int]]) -> None:
    ward = Ward(analysed=())
    play(ward, script)
    open_ids: set[str] = set()
    used: set[str] = set()
    for alarm in ward.alarms:
        if alarm.state.value == "active":
            assert alarm.id not in used
            used.add(alarm.id)
            open_ids.add(alarm.id)
        else:
            open_ids.remove(alarm.id)
    assert {life.id for life in ward.book.of_bed("bed")} == open_ids


def read_alarms(kafka: Settings, enough: Callable[[list[Alarm]], bool]) -> list[Alarm]:
    """Alarms of the topic from its start, but those of missing data."""
    reader = clients.consumer(kafka, group_id=None)
    try:
        topic = kafka.topics.alarms
        reader.assign([TopicPartition(topic, number) for number in range(kafka.kafka.partitions)])
        reader.seek_to_beginning()
        found: list[Alarm] = []
        deadline = time.monotonic() + 60
        while not enough(found):
            assert time.monotonic() < deadline, f"{len(found)} alarms after 60 s"
            for records in reader.poll(timeout_ms=200).values():
                decoded = [msgspec.json.decode(record.value, type=Alarm) for record in records]
                found += [alarm for alarm in decoded if alarm.kind != "no_data"]
        return found
    finally:
        reader.close(autocommit=False)


@contextmanager
def working(kafka: Settings, predictor: object) -> Iterator[None]:
    worker, stop = Worker(kafka, predictor, WorkerOptions()), threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop.is_set,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.kafka
def test_a_worker_tells_and_its_successor_tells_nothing_twice(
    kafka: Settings, plain_predictor: object
) -> None:
    start_ns = time.time_ns() - 20 * NS_PER_S

    units = {"ecg": "mV", "eeg": "uV", "lung_sound": "au"}

    def send(publisher: Publisher, kind: str, fs_hz: float, seq: int) -> None:
        publisher.publish(
            bed="bed", kind=kind, channels=("one",), unit=units[kind], fs_hz=fs_hz,
            start_ns=start_ns + seq * NS_PER_S, seq=seq, samples=np.zeros((round(fs_hz), 1), np.int16),
            gain=1000.0, baseline=0,
        )  # fmt: skip

    with Publisher(kafka, device="m") as publisher:
        with working(kafka, plain_predictor):
            for seq in range(2):
                send(publisher, "ecg", 60.0, seq)
                send(publisher, "eeg", 256.0, seq)
            publisher.flush(30.0)
            first = read_alarms(kafka, lambda got: len(got) >= 2)
        with working(kafka, plain_predictor):
            send(publisher, "eeg", 256.0, 2)
            send(publisher, "ecg", 60.0, 2)
            send(publisher, "lung_sound", 4000.0, 0)
            publisher.flush(30.0)
            both = read_alarms(kafka, lambda got: any(one.signal == "lung_sound" for one in got))
    assert {(one.signal, one.kind) for one in first} == {
        ("ecg", "unknown_rate"),
        ("eeg", "model_unavailable"),
    }
    assert len({one.id for one in first}) == len(first) == 2
    assert [one.id for one in both if one.signal != "lung_sound"] == [one.id for one in first]
