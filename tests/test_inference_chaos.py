"""The chaos runner's own judgement: what it calls lost, doubled or different, and what it does not."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from inference.chaos_compare import Verdict, compare, compare_stored
from inference.chaos_crew import DEVICE, WORKER, Crew
from inference.chaos_device import Journal, play
from inference.chaos_faults import LINK, WORKERS, FaultOptions, Faults
from inference.chaos_raw import RawRecord, false_missing, given_again, gone, late_strips
from inference.chaos_report import Report
from inference.chaos_said import Said, Stored
from inference.chaos_same import Plain, differs
from inference.chaos_ward import Plan, WardOptions, make_plan, read_plan
from inference.types import Alarm, AlarmState, Beat, Delay, Prediction, Priority
from ingest import wire
from ingest.kafka import partition_for
from ingest.settings import Settings
from ingest.types import NS_PER_S
from tests.browsing import until
from tests.topics import read_all

T0 = 1_790_000_000 * NS_PER_S
LAST = "bed-01:ecg:no_data:9"


def prediction(second: int, *, probability: float = 0.5, offset: int = 0) -> Prediction:
    end_ns = T0 + second * NS_PER_S
    beat = Beat(end_ns - NS_PER_S, "N", 0.9)
    id_ = f"bed-01:ecg:prediction:{end_ns}"
    start_ns = end_ns - 8 * NS_PER_S
    return Prediction(
        id_, "bed-01", "ecg", "m", "II", start_ns, end_ns, {"vf": probability}, [beat], 1.0, offset, 0
    )


def alarm(kind: str, state: AlarmState = AlarmState.ACTIVE, *, offset: int = 0, id_: str = "") -> Alarm:
    ended_ns = None if state is AlarmState.ACTIVE else T0 + 5
    return Alarm(
        id=id_ or f"bed-01:ecg:{kind}:{T0}",
        bed="bed-01",
        signal="ecg",
        kind=kind,
        priority=Priority.HIGH,
        state=state,
        message=kind,
        onset_ns=T0,
        raised_ns=T0 + 3,
        emitted_ns=T0 + offset,
        ended_ns=ended_ns,
        value=None,
        limit=None,
        unit=None,
        delay=Delay(0.0, 0.0, float(offset)),
        raw_offset=offset,
        revision=0,
    )


def said(*items: Prediction | Alarm) -> Said:
    found = Said()
    for item in items:
        (found.note_alarm if isinstance(item, Alarm) else found.note_prediction)(item)
    return found


WHOLE = (prediction(1), prediction(2), alarm("vf"), alarm("vf", AlarmState.LATCHED, offset=3))
END = alarm("no_data", id_=LAST)


def verdict(*items: Prediction | Alarm) -> Verdict:
    return compare(said(*items), said(*WHOLE, END), {LAST})


def test_a_run_that_said_the_same_twice_and_from_other_offsets_passes() -> None:
    again = [msgspec.structs.replace(one, raw_offset=one.raw_offset + 7) for one in WHOLE]
    found = verdict(*WHOLE, *again, END)
    assert found.passed
    assert found.counts["items_said_again"] == 5


@pytest.mark.parametrize(
    ("items", "wrong"),
    [
        ((WHOLE[0], *WHOLE[2:], END), "lost"),
        ((*WHOLE[:2], END), "lost"),
        ((*WHOLE,), "lost"),
        ((*WHOLE, prediction(3), END), "doubled"),
        ((*WHOLE, alarm("vf", id_=f"bed-01:ecg:vf:{T0 + 1}"), END), "doubled"),
        ((prediction(1, probability=0.50002), *WHOLE[1:], END), "different"),
        ((*WHOLE[:3], END), "different"),
        ((*WHOLE[:2], WHOLE[3], END), "different"),
        ((*WHOLE, prediction(2, probability=0.6), END), "different"),
        ((WHOLE[1], WHOLE[0], *WHOLE[2:], END), "disorder"),
        ((*WHOLE, alarm("no_data"), END), "standing"),
    ],
    ids=[
        "a prediction is not there",
        "an alarm is not there",
        "nobody says that no more data come",
        "a prediction too many",
        "the same alarm under another id",
        "a probability is off by 2e-5",
        "an alarm did not become latched",
        "an alarm was never said to be active",
        "two workers contradict each other",
        "a prediction comes after a later one",
        "an alarm of missing data goes on though data come",
    ],
)
def test_what_is_wrong_is_called_by_its_name(items: tuple[Prediction | Alarm, ...], wrong: str) -> None:
    found = verdict(*items)
    assert not found.passed
    assert [
        name for name in ("lost", "doubled", "different", "disorder", "standing") if getattr(found, name)
    ] == [wrong]


def test_alarms_of_missing_data_that_faults_raised_are_no_fault_once_they_ended() -> None:
    found = verdict(*WHOLE, alarm("no_data"), alarm("no_data", AlarmState.ENDED, offset=1), END)
    assert found.passed
    assert found.counts["alarms_of_missing_data_by_faults"] == 1


def test_two_workers_may_say_at_different_times_that_data_are_missing() -> None:
    later = msgspec.structs.replace(END, raised_ns=END.raised_ns + 14 * NS_PER_S, value=19.5)
    assert verdict(*WHOLE, END, later).passed
    assert verdict(*WHOLE, END, msgspec.structs.replace(later, state=AlarmState.ENDED)).different


def test_a_run_without_anything_to_compare_does_not_pass() -> None:
    assert not compare(said(END), said(END), {LAST}).passed


def test_a_difference_names_field_and_values() -> None:
    assert differs(prediction(1), prediction(1, probability=0.25)) == (
        "probabilities: {'vf': 0.5} / {'vf': 0.25}"
    )


def numbers(seconds: int = 9, rate: float = 80.0) -> dict[str, list[Plain]]:
    return {"bed-01/ecg": [{"time_ns": T0 + second, "heart_rate_bpm": rate} for second in range(seconds)]}


def stored(
    state: AlarmState = AlarmState.LATCHED,
    seconds: int = 9,
    strip: str | None = "a",
    rate: float = 80.0,
    message: str = "vf",
) -> Stored:
    one = msgspec.structs.replace(alarm("vf", state), message=message)
    return Stored({one.id: one}, numbers(seconds, rate), {} if strip is None else {one.id: strip})


@pytest.mark.parametrize(
    ("kept", "wrong"),
    [
        (stored(), []),
        (Stored({}, numbers(), {}), ["lost", "not_tried"]),
        (stored(AlarmState.ACTIVE), ["different"]),
        (stored(message="other"), ["different"]),
        (stored(seconds=8), ["lost"]),
        (stored(rate=81.0), ["different"]),
        (stored(strip=None), ["lost", "not_tried"]),
        (stored(strip=""), ["lost", "not_tried"]),
        (stored(strip="b"), ["different"]),
    ],
)
def test_what_the_recorder_lost_is_seen(kept: Stored, wrong: list[str]) -> None:
    found = Verdict()
    compare_stored(found, kept, stored(), said(*WHOLE), strips=True)
    assert [name for name in ("lost", "different", "not_tried") if getattr(found, name)] == wrong


def test_a_strip_in_part_is_no_fault_where_its_waveforms_came_late() -> None:
    found = Verdict()
    compare_stored(found, stored(strip=""), stored(), said(*WHOLE), strips=False, late={WHOLE[2].id})
    assert found.passed


def test_a_strip_may_lack_what_came_late_or_long_before_or_before_its_device() -> None:
    home = partition_for("bed-01", 4)
    raised = msgspec.structs.replace(
        alarm("vf", offset=19), onset_ns=T0 + 20 * NS_PER_S, raised_ns=T0 + 20 * NS_PER_S
    )

    def late(*came_s: float, first: int = 0) -> set[str]:
        raw = {(home, offset): one for (_, offset), one in received(*came_s).items() if offset >= first}
        return late_strips(said(raised), raw, 4)

    in_time = [float(second) for second in range(1, 41)]
    assert late(*in_time) == set()
    assert late(*in_time[:25], *(max(40.0, came_s) for came_s in in_time[25:]))
    assert late(*(came_s - 30 for came_s in in_time[:12]), *in_time[12:])
    assert late(*in_time, first=15)


def test_a_signal_that_neither_run_judged_does_not_pass() -> None:
    one = said(*WHOLE, END)
    found = compare(one, one, {LAST}, ["bed-01/ecg", "bed-02/ecg"])
    assert not found.passed
    assert found.not_tried == [
        "no numbers of bed-01/ecg",
        "no numbers of bed-02/ecg",
        "no predictions of bed-02/ecg",
    ]


def test_the_report_counts_and_names() -> None:
    report = Report(
        3,
        "abc",
        "embedded broker",
        60,
        1.0,
        2,
        ["bed-01"],
        60,
        5,
        0,
        {"bed-01": 9.5},
        [],
        [],
        verdict(WHOLE[1], END),
    )
    text = "\n".join(report.lines())
    assert text.startswith("FAILED: seed 3")
    assert f"lost: {WHOLE[0].id}" in text
    assert msgspec.json.decode(report.to_json())["lost"] == 2


def test_an_output_of_an_offset_at_which_something_else_lies_is_found() -> None:
    home = partition_for("bed-01", 4)

    def there(bed: str = "bed-01", kind: str = "ecg", second: int = 1) -> list[str]:
        raw = {(home, 7): RawRecord(bed, kind, T0 + second * NS_PER_S, b"")}
        return given_again(said(prediction(1, offset=7)), raw, 4)

    assert there() == there(second=2) == []
    assert all(map(len, (there("bed-02"), there(kind="eeg"), there(second=0))))
    assert given_again(said(prediction(1, offset=8)), {}, 4)


def received(*at_s: float, by_broker: bool = True, bed: str = "bed-01") -> dict[tuple[int, int], RawRecord]:
    """Records of a second each, received or sent at these times."""
    return {
        (0, second): RawRecord(
            bed,
            "ecg",
            T0 + (second + 1) * NS_PER_S,
            b"",
            T0 + second * NS_PER_S,
            round(came_s * 1000),
            by_broker,
        )
        for second, came_s in enumerate(at_s)
    }


def missing(raw: dict[tuple[int, int], RawRecord], second: float = 2.0) -> list[str]:
    onset_ns = T0 + round(second * NS_PER_S)
    one = msgspec.structs.replace(
        alarm("no_data", AlarmState.ENDED), onset_ns=onset_ns, id=f"bed-01:ecg:no_data:{onset_ns}"
    )
    return false_missing(said(one, END), raw, {LAST})


def test_data_that_came_in_time_are_not_rightly_called_missing() -> None:
    assert missing(received(1, 2, 3, 4))
    assert missing(received(1, 2, 3, 4), second=2.5)
    assert missing(received(1, 2, 9, 10, bed="bed-99"))
    assert missing(received(1, 2, 3.3, 4.2, by_broker=False))


def test_data_that_came_late_were_rightly_called_missing() -> None:
    assert missing(received(1, 2, 5.1, 5.2)) == []
    # Sent once more after a silence: its end is that of the one before.
    again = received(1, 2)
    again[0, 2] = again[0, 1]
    again[0, 3] = RawRecord("bed-01", "ecg", T0 + 3 * NS_PER_S, b"", T0 + 2 * NS_PER_S, 9_000)
    assert missing(again) == []


def test_what_the_device_had_in_hand_may_have_come_late() -> None:
    assert missing(received(1, 2, 3, 9, by_broker=False)) == []
    assert missing(received(1, 2, 3, by_broker=False)) == []


def test_a_step_said_twice_at_one_place_says_the_same_whatever_came_after() -> None:
    loud = msgspec.structs.replace(WHOLE[2], priority=Priority.MEDIUM, message="other", value=9.0)
    assert verdict(*WHOLE, loud, END).different
    assert verdict(*WHOLE[:2], loud, WHOLE[3], END).different
    near = msgspec.structs.replace(WHOLE[2], value=1.0)
    nearer = msgspec.structs.replace(WHOLE[2], value=1.0 + 1e-7)
    assert compare(
        said(*WHOLE[:2], near, WHOLE[3], END), said(*WHOLE[:2], nearer, WHOLE[3], END), {LAST}
    ).passed


def test_who_hears_of_an_acknowledgement_later_contradicts_nobody() -> None:
    taken = msgspec.structs.replace(
        alarm("vf", offset=1), state=AlarmState.ACKNOWLEDGED, acknowledged_by="chaos", acknowledged_ns=T0
    )
    assert verdict(*WHOLE, taken, alarm("vf", offset=1), END).passed


def test_data_that_are_over_for_good_do_not_end_being_missing() -> None:
    ended = msgspec.structs.replace(END, state=AlarmState.ENDED, raw_offset=1)
    assert verdict(*WHOLE, END, ended).different


def test_what_was_acknowledged_and_is_not_on_the_topic_is_gone(plan: Plan) -> None:
    sent = [one for second in plan.seconds for one in second]
    raw = [RawRecord(one.bed, "ecg", T0, one.value) for one in sent]
    assert gone(plan, [*raw, raw[0]]) == []
    assert gone(plan, raw[1:]) == [f"{sent[0].bed}, second 0"]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(WardOptions(4, n_beds=2), T0)


def test_a_plan_is_the_same_each_time_and_survives_the_disk(plan: Plan, tmp_path: Path) -> None:
    plan.write(tmp_path / "plan")
    assert read_plan(tmp_path / "plan") == plan == make_plan(WardOptions(4, n_beds=2), T0)
    assert plan.beds == ["bed-01", "bed-02"]
    assert plan.ends_ns == dict.fromkeys(["bed-01/ecg", "bed-02/ecg", "bed-02/eeg"], T0 + 4 * NS_PER_S)
    for second, sent in enumerate(plan.seconds):
        chunks = [wire.decode(one.value, wire.AVRO, 1_000_000) for one in sent]
        assert [chunk.seq for chunk in chunks] == [second] * 3


@pytest.mark.data
def test_real_records_play_for_as_long_as_the_simulated(data_dir: Path) -> None:
    real = make_plan(WardOptions(3, n_beds=1, data=data_dir), T0)
    assert real.beds == ["bed-01", "bed-04", "bed-05"]
    assert all(abs(end_ns - T0 - 3 * NS_PER_S) < NS_PER_S / 100 for end_ns in real.ends_ns.values())


class Cut(Exception):
    """The device's process dies here."""


@pytest.mark.kafka
def test_a_device_that_died_goes_on_with_the_second_that_was_not_acknowledged(
    kafka: Settings, plan: Plan, tmp_path: Path
) -> None:
    def die_in(second: int) -> Callable[[int], None]:
        def wait(time_ns: int) -> None:
            if time_ns == T0 + (second + 1) * NS_PER_S:
                raise Cut

        return wait

    journal = Journal(tmp_path / "journal")
    with pytest.raises(Cut):
        play(plan.start_ns, plan.seconds, journal, kafka, die_in(2))
    assert journal.read() == 2
    # The last acknowledgement did not reach the disk.
    journal.write(1)
    play(plan.start_ns, plan.seconds, journal, kafka, lambda _: None)
    raw = read_all(kafka, kafka.topics.raw, lambda values: len(values) >= plan.n_records + 3)
    chunks = [wire.decode(value, wire.AVRO, 1_000_000) for value in raw]
    seqs = {
        key: [chunk.seq for chunk in chunks if (chunk.bed, chunk.kind) == key]
        for key in {(chunk.bed, chunk.kind) for chunk in chunks}
    }
    assert list(seqs.values()) == [[0, 1, 1, 2, 3]] * 3


def test_what_ends_by_itself_is_started_anew_and_what_was_killed_is_not(tmp_path: Path) -> None:
    crew = Crew(
        Settings(), {WORKER: ["http.server", "--bind", "nowhere.invalid"], DEVICE: ["this"]}, tmp_path
    )
    try:
        first = crew.start(WORKER)
        until("it has ended", lambda: not first.runs, 60)
        crew.replace_ended()
        (second,) = crew.of(WORKER)
        assert second.pid != first.pid
        assert crew.ended_alone[0].startswith("worker-1 (status 1): ")
        second.kill()
        crew.replace_ended()
        assert crew.of(WORKER) == []
        crew.start(DEVICE)
        until("the devices are done", lambda: crew.device_done, 60)
        crew.replace_ended()
        assert len(crew.ended_alone) == 1
    finally:
        crew.stop()


def test_a_process_that_stands_still_can_be_told_to_end(tmp_path: Path) -> None:
    crew = Crew(Settings(), {WORKER: ["http.server", "0", "--bind", "127.0.0.1"]}, tmp_path)
    try:
        one = crew.start(WORKER)
        until("it listens", lambda: "Serving" in one.log.read_text() or not one.runs, 60)
        one.pause(True)
        assert one.end() == -signal.SIGTERM
    finally:
        crew.stop()


def test_every_kind_of_fault_comes_in_an_order_that_the_seed_gives() -> None:
    def order(seed: int) -> list[str]:
        options = FaultOptions(seed, 2, 6.0, restart_broker=lambda: None)
        deck = Faults(None, None, object(), ["bed-01"], 4, options)._deal()  # type: ignore[arg-type]
        return list(itertools.islice(deck, 2 * 35))

    expected = {f"worker.{name}" for name in WORKERS} | {f"link.{name}" for name in LINK}
    expected |= {"broker.restart", "storm."}
    assert set(order(1)) == expected
    assert order(1) == order(1) != order(2)
    # However short a run is, a worker is killed in it; later hands begin with whatever comes.
    assert {order(seed)[0] for seed in range(5)} == {"worker.kill"}
    assert len({order(seed)[35] for seed in range(5)}) > 1
    assert all(sorted(order(seed)[:35]) == sorted(order(seed)[35:]) for seed in range(5))


def slow(*times_s: float | None) -> float | None:
    """Takeover that is told where beds came back after these times."""
    options = FaultOptions(1, 2, 6.0)
    faults = Faults(None, None, None, ["bed-01"], 4, options)  # type: ignore[arg-type]
    came = iter(times_s)
    faults._wait_for = lambda bed, since_s: next(came)  # type: ignore[method-assign]
    return faults._takeover_s(["bed"] * len(times_s), 100.0)


def test_of_a_takeover_that_was_not_seen_to_its_end_no_time_is_told() -> None:
    assert slow(101.2, 107.0) == 7.0
    assert slow(101.2, None) is None
    assert slow() is None
