"""What a successor finds, and what it does while it cannot look: the broker away, a line cut."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from kafka import TopicPartition
from kafka.errors import GroupAuthorizationFailedError, KafkaConnectionError, KafkaError, KafkaTimeoutError
from kafka.structs import ConsumerGroupMetadata, MemberState

from inference import handover, partitions, snapshot
from inference.alarm_book import Life
from inference.beds import BedState, DeskState
from inference.bedside import Bedside
from inference.handover import Left
from inference.intake import Taken
from inference.partitions import Partitions
from inference.reading import Abreast, RawReader
from inference.types import Delay, Priority
from inference.worker import Worker, WorkerOptions
from ingest import kafka as clients
from ingest.errors import BrokerError
from ingest.kafka import partition_for
from ingest.publisher import Publisher
from ingest.settings import KafkaSettings, Settings
from ingest.types import NS_PER_S
from tests.topics import read_all

BED, OTHER = "bed-01", "bed-02"


def state(bed: str, next_offset: int, template: dict[str, snapshot.Snapshot]) -> tuple[str, bytes]:
    """The record of a signal's state up to a raw offset."""
    known = msgspec.structs.replace(template["state"], bed=bed, next_offset=next_offset)
    return f"{bed}/ecg", snapshot.encode(known)


def closing(up_to: int, left: dict[str, int] | None) -> tuple[str, bytes]:
    return "/", snapshot.encode(DeskState(left=left, left_up_to=up_to))


@pytest.fixture(scope="module")
def template(plain_predictor_class: type) -> dict[str, snapshot.Snapshot]:
    """State of a signal that has sent one chunk."""
    sent: list[tuple[str, bytes]] = []

    class Outputs:
        def send_state(self, key: str, value: bytes, number: int) -> None:
            sent.append((key, value))

    class NoIntake:
        def __init__(self, *_: object) -> None: ...

        def take_up(self, offsets: object) -> None: ...

    from tests.test_inference_takeover import BED as KNOWN
    from tests.test_inference_takeover import T0, second

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partitions, "CommandIntake", NoIntake)
        patch.setattr(handover, "find", lambda _, starts: {number: Left() for number in starts})
        bedside = Bedside(plain_predictor_class(), lambda: T0)
        one = Settings(kafka=KafkaSettings(partitions=1))
        parts = Partitions(one, bedside, Outputs())
        parts.take_up({0: 0})
        taken = Taken()
        parts.get(0).take(second(0, True), taken)
        bedside.push(taken.pieces)
        parts.leave(0)
    assert [key for key, _ in sent] == [f"{KNOWN}/ecg", f"{KNOWN}/", "/"]
    desk = snapshot.decode_as(sent[-1][1], DeskState)
    assert (desk.left, desk.left_up_to) == ({f"{KNOWN}/ecg": 1, f"{KNOWN}/": 0}, 1)
    # A test says itself how often state was left; by default as a version that did not count.
    return {"state": msgspec.structs.replace(snapshot.decode(sent[0][1]), leaving=0)}


def read(*records: tuple[str, bytes]) -> Left:
    left = Left()
    for key, value in records:
        left.keep_newest(key, value)
    return left


def bed(name: str, revision: int) -> tuple[str, bytes]:
    return f"{name}/", snapshot.encode(BedState(name, "ward", "adult", revision=revision))


def test_young_state_will_do_only_if_it_is_whole_and_reaches_what_was_committed(
    template: dict[str, snapshot.Snapshot],
) -> None:
    def signal(name: str, offset: int) -> tuple[str, bytes]:
        return state(name, offset, template)

    both = {f"{BED}/ecg": 90, f"{OTHER}/ecg": 80}
    whole = read(signal(BED, 90), signal(OTHER, 80), closing(90, both))
    assert whole.reaches(90, 60.0)
    # What was committed later was left later, too: this is a worker's that slept.
    assert not whole.reaches(91, 60.0)
    # The look back began within what was left.
    assert not read(signal(OTHER, 80), closing(90, both)).reaches(90, 60.0)
    # A sleeper's older state does not stand for what lies further back.
    assert not read(signal(BED, 40), signal(OTHER, 80), closing(90, both)).reaches(90, 60.0)
    assert not read(closing(90, {f"{BED}/": 3})).reaches(0, 60.0)
    assert not read(bed(BED, 2), closing(90, {f"{BED}/": 3})).reaches(0, 60.0)
    assert read(bed(BED, 3), closing(90, {f"{BED}/": 3})).reaches(0, 60.0)


def test_state_of_a_version_that_did_not_say_what_is_whole_is_looked_for_five_minutes_back(
    template: dict[str, snapshot.Snapshot],
) -> None:
    old = read(state(BED, 90, template), closing(0, None))
    assert not old.reaches(0, 60.0)
    assert old.reaches(0, 300.0)
    assert not Left().reaches(0, 300.0)


def left_by(
    template: dict[str, snapshot.Snapshot], name: str, leaving: int, offset: int = 90
) -> tuple[str, bytes]:
    """State of a signal that can be told from others by its alarm."""
    life = Life(
        name, BED, "ecg", "vt", Priority.HIGH, "VT", 1, 1, None, None, None, Delay(0, 0, 0), True, None, 1
    )
    known = msgspec.structs.replace(
        template["state"], bed=BED, next_offset=offset, lives=[life], leaving=leaving
    )
    return f"{BED}/ecg", snapshot.encode(known)


def bed_left_by(profile: str, leaving: int) -> tuple[str, bytes]:
    return f"{BED}/", snapshot.encode(BedState(BED, "ward", profile, revision=3, leaving=leaving))


def found_in(left: Left) -> str:
    (life,) = left.signals[f"{BED}/ecg"].lives
    return life.id


def test_a_copy_that_comes_late_does_not_undo_what_was_left_after_it(
    template: dict[str, snapshot.Snapshot],
) -> None:
    one, other = left_by(template, "one", 5), left_by(template, "other", 6)
    assert found_in(read(one, other, one)) == "other"
    assert found_in(read(other, one)) == "other"
    before, after = bed_left_by("adult", 5), bed_left_by("neonatal", 6)
    assert read(before, after, before).beds[BED].profile == "neonatal"
    # What reaches further is the newer, however often state was left.
    assert found_in(read(left_by(template, "one", 5, 91), other)) == "one"


def test_of_states_that_do_not_count_the_later_record_is_the_newer(
    template: dict[str, snapshot.Snapshot],
) -> None:
    """One worker after the other is replaced by another version, and back again."""
    former, new = left_by(template, "former", 0), left_by(template, "new", 6)
    assert found_in(read(former, new)) == "new"
    assert found_in(read(new, former)) == "former"
    assert found_in(read(left_by(template, "first", 0), former)) == "former"
    assert read(bed_left_by("adult", 6), bed_left_by("neonatal", 0)).beds[BED].profile == "neonatal"


def test_a_late_copy_does_not_stand_for_the_state_that_was_left_with_the_rest(
    template: dict[str, snapshot.Snapshot],
) -> None:
    desk = "/", snapshot.encode(DeskState(left={f"{BED}/ecg": 90}, left_up_to=90, leaving=6))
    # The look back began after what was left last, and before a copy of what was left first.
    assert not read(left_by(template, "one", 5), desk).reaches(90, 60.0)
    assert read(left_by(template, "other", 6), desk).reaches(90, 60.0)
    assert read(left_by(template, "later", 7), desk).reaches(90, 60.0)
    of_beds = "/", snapshot.encode(DeskState(left={f"{BED}/": 3}, left_up_to=90, leaving=6))
    assert not read(bed_left_by("adult", 5), of_beds).reaches(90, 60.0)
    assert read(bed_left_by("adult", 6), of_beds).reaches(90, 60.0)


@pytest.mark.kafka
def test_what_a_sleeper_left_last_does_not_hide_what_was_left_before(
    kafka: Settings, template: dict[str, snapshot.Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    number = partition_for(BED, kafka.kafka.partitions)
    producer = clients.producer(kafka)

    def send(topic: str, *records: tuple[str, bytes]) -> None:
        for key, value in records:
            producer.send(topic, value, key=key.encode(), partition=number)
        producer.flush()

    send(kafka.topics.raw, *[("x", b"x")] * 90)
    send(kafka.topics.state, state(BED, 90, template), closing(90, {f"{BED}/ecg": 90}))
    send(kafka.topics.state, state(BED, 40, template), closing(40, {f"{BED}/ecg": 40}))
    producer.close()

    looked: list[Mapping[object, int]] = []

    def last_two(_: object, times: Mapping[object, int]) -> dict[object, int]:
        looked.append(times)
        return dict.fromkeys(times, 2)

    monkeypatch.setattr(handover.kafka, "offsets_for_times", last_two)
    found = handover.find(kafka, {number: 40})
    assert found[number].signals[f"{BED}/ecg"].next_offset == 40
    assert len(looked) == 1
    found = handover.find(kafka, {number: 90})
    assert found[number].signals[f"{BED}/ecg"].next_offset == 90


class Cut:
    """A consumer whose line breaks once."""

    def __init__(self, error: KafkaError) -> None:
        self.errors = [error]

    def group_metadata(self) -> ConsumerGroupMetadata:
        return ConsumerGroupMetadata(state=MemberState.STABLE)

    def poll(self, **_: object) -> dict[object, list[object]]:
        if self.errors:
            raise self.errors.pop()
        return {"part": ["record"]}


def test_a_cut_line_costs_one_poll_and_a_refusal_is_raised() -> None:
    reader = RawReader(Cut(KafkaConnectionError("reset by peer")), lambda _, __: None)  # type: ignore[arg-type]
    assert reader.poll(1, 1) == {}
    assert reader.poll(1, 1) == {"part": ["record"]}
    refused = RawReader(Cut(GroupAuthorizationFailedError("no")), lambda _, __: None)  # type: ignore[arg-type]
    with pytest.raises(GroupAuthorizationFailedError):
        refused.poll(1, 1)


class Reads:
    """A consumer of one partition that stands where it is told."""

    def __init__(self) -> None:
        self.parts = {TopicPartition("raw", 0)}
        self.end, self.at = 7, 7
        self.error: KafkaError | None = None
        self.asked = 0
        self.known_end: int | None = None
        self.held: set[TopicPartition] = set()

    def paused(self) -> set[TopicPartition]:
        return self.held

    def highwater(self, part: TopicPartition) -> int | None:
        return self.known_end

    def assignment(self) -> set[TopicPartition]:
        return self.parts

    def end_offsets(self, parts: set[TopicPartition], timeout_ms: int) -> dict[TopicPartition, int]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return dict.fromkeys(parts, self.end)

    def position(self, part: TopicPartition, timeout_ms: int) -> int:
        return self.at


def test_a_signal_is_only_missed_while_there_is_nothing_to_read() -> None:
    consumer = Reads()
    abreast = Abreast(consumer)  # type: ignore[arg-type]
    abreast.note({TopicPartition("raw", 0): []}, 10.0)
    consumer.end = 9
    assert abreast.holds(11.0)
    # The group shares out its partitions anew: nothing is read, and more and more is there.
    assert not abreast.holds(12.0)
    consumer.at = 9
    assert abreast.holds(12.5)
    assert abreast.holds(13.5)
    assert consumer.asked == 2


def test_while_a_backlog_is_worked_off_no_signal_is_missed() -> None:
    consumer = Reads()
    consumer.parts.add(TopicPartition("raw", 1))
    abreast = Abreast(consumer)  # type: ignore[arg-type]
    abreast.note({TopicPartition("raw", 0): [], TopicPartition("raw", 1): []}, 10.0)
    consumer.known_end = 9
    abreast.note({TopicPartition("raw", 0): []}, 12.0)
    # Of the other partition nothing was read for two seconds, and there is more.
    assert not abreast.holds(12.1)
    consumer.at = 9
    assert abreast.holds(12.1)


def test_alarms_escalate_in_a_backlog_once_the_beds_are_known_to_be_this_workers() -> None:
    consumer, part = Reads(), TopicPartition("raw", 0)
    abreast = Abreast(consumer)  # type: ignore[arg-type]
    old = SimpleNamespace(timestamp=time.time() * 1e3 - 300_000)

    def read(since_s: float, until_s: float) -> list[bool]:
        """Read on twice a second; say whether alarms might escalate, second by second."""
        found = []
        for half in range(round(2 * (until_s - since_s))):
            abreast.note({part: [old]}, since_s + half / 2)  # type: ignore[list-item]
            found.append(abreast.reads(since_s + half / 2))
        return found[::2]

    assert read(10.0, 20.0) == [False] * 7 + [True] * 3
    # Nothing comes.
    assert not abreast.reads(22.0)
    # A sleeper first gets what its client holds, of beds that may be another's by now.
    assert read(60.0, 70.0) == [False] * 7 + [True] * 3
    # Staff may have acknowledged what was raised while no worker had the beds.
    abreast.unsettle(70.0)
    assert read(70.0, 79.0) == [False] * 7 + [True] * 2


def test_of_a_partition_that_is_paused_nobody_knows_whether_more_waits() -> None:
    consumer = Reads()
    consumer.parts.add(TopicPartition("raw", 1))
    abreast = Abreast(consumer)  # type: ignore[arg-type]
    abreast.note({TopicPartition("raw", 0): [], TopicPartition("raw", 1): []}, 10.0)
    abreast.note({TopicPartition("raw", 0): []}, 12.0)
    assert abreast.holds(12.1)
    consumer.held = {TopicPartition("raw", 1)}
    assert not abreast.holds(12.1)


def test_while_old_records_are_read_and_more_wait_no_signal_is_missed() -> None:
    consumer, part = Reads(), TopicPartition("raw", 0)
    abreast = Abreast(consumer)  # type: ignore[arg-type]
    now_ms = time.time() * 1e3
    consumer.known_end = 9
    # Read just now, but of half a minute ago: what came since is still to be read.
    abreast.note({part: [SimpleNamespace(timestamp=now_ms - 30_000)]}, 12.0)  # type: ignore[list-item]
    assert not abreast.holds(12.1)
    abreast.note({part: [SimpleNamespace(timestamp=now_ms)]}, 12.2)  # type: ignore[list-item]
    assert abreast.holds(12.3)
    # Clocks that differ do not silence it for ever: nothing more waits.
    abreast.note({part: [SimpleNamespace(timestamp=now_ms - 30_000)]}, 12.4)  # type: ignore[list-item]
    consumer.at = 9
    assert abreast.holds(12.5)


def test_who_does_not_reach_the_broker_does_not_say_that_devices_are_silent() -> None:
    consumer = Reads()
    abreast = Abreast(consumer)  # type: ignore[arg-type]
    consumer.error = KafkaTimeoutError("no answer")
    assert not abreast.holds(12.0)
    consumer.error = None
    assert abreast.holds(12.5)
    consumer.parts = set()
    assert not abreast.holds(20.0)


def fails_once(take_up: Callable[[Mapping[int, int]], None]) -> Callable[[Mapping[int, int]], None]:
    errors = [BrokerError("no end offsets of 4 partitions within 10 s")]

    def once(starts: Mapping[int, int]) -> None:
        if errors:
            raise errors.pop()
        take_up(starts)

    return once


@pytest.mark.kafka
def test_what_came_while_a_takeover_failed_is_read_again(kafka: Settings, plain_predictor: object) -> None:
    start_ns = time.time_ns() - 60 * NS_PER_S
    line = np.zeros((2500, 1), dtype=np.int16)
    with Publisher(kafka, device="m") as publisher:
        for at in range(10):
            publisher.publish(
                bed=BED, kind="ecg", channels=("II",), unit="mV", fs_hz=250.0, seq=at,
                start_ns=start_ns + at * NS_PER_S, samples=line[at * 250 : at * 250 + 250], gain=1000.0,
            )  # fmt: skip
    worker = Worker(kafka, plain_predictor, WorkerOptions())  # type: ignore[arg-type]
    worker._partitions.take_up = fails_once(worker._partitions.take_up)  # type: ignore[method-assign]
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop.is_set,))
    thread.start()
    try:
        read_all(kafka, kafka.topics.predictions, lambda got: b"".join(got).count(b":prediction:") >= 10)
    finally:
        stop.set()
        thread.join(60)
    assert worker.stats.counts["take_ups_failed"] == 1
    assert worker.stats.counts["chunks_in"] == 10
