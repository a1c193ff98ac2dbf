"""What a worker does that has more to judge than it can: nothing lost, beds at risk first, bounds kept."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from kafka import TopicPartition

from inference.alarm_book import AlarmBook, Life
from inference.monitor import Outcome
from inference.reading import RawReader
from inference.schedule import (
    BATCH_BEDS,
    FIRST_RECORDS,
    LEAST_RECORDS,
    MOST_RECORDS,
    SHOWN_S,
    Overload,
    Pace,
    at_risk,
    batches,
    thinned,
)
from inference.schedule_load import ROUND_RECORDS, Load
from inference.schedule_reading import BREATHE_S, PAUSED, TURN_S, Valve
from inference.types import (
    Alarm,
    AlarmState,
    Beat,
    Delay,
    Prediction,
    PredictionBatch,
    Priority,
    SoundEvent,
    VitalBatch,
)
from inference.worker import Worker, WorkerOptions
from ingest.kafka import consumer as make_consumer
from ingest.kafka import producer as make_producer
from ingest.publisher import Publisher
from ingest.settings import Settings
from ingest.types import NS_PER_S
from tests.test_inference_worker import NotUtf8
from tests.topics import read_all


def prediction(bed: str, second: int, beats: int = 1, events: int = 0) -> Prediction:
    end_ns = second * NS_PER_S
    heard = [SoundEvent("wheeze", end_ns, end_ns, 0.9)] * events
    return Prediction(
        f"{bed}:ecg:prediction:{end_ns}", bed, "ecg", "m", "II", end_ns - 8 * NS_PER_S, end_ns, {},
        [Beat(end_ns - n, "N", 0.9) for n in range(beats)], 1.0, second, 0, heard,
    )  # fmt: skip


def nobody(_: str) -> bool:
    return False


def test_of_a_backlog_the_newest_is_shown_and_every_beat_goes_out() -> None:
    items = [prediction(bed, second) for second in range(10, 20) for bed in ("a", "b")]
    shown, n_left = thinned(Outcome(items), nobody)
    assert [(item.bed, item.raw_offset) for item in shown.predictions] == [
        ("a", 14), ("b", 14), ("a", 18), ("b", 18), ("a", 19), ("b", 19),
    ]  # fmt: skip
    assert n_left == 14
    for bed in "ab":
        assert [b for item in shown.predictions if item.bed == bed for b in item.beats] == [
            b for item in items if item.bed == bed for b in item.beats
        ]
    for item in shown.predictions:
        assert all(beat.time_ns >= item.end_ns - SHOWN_S * NS_PER_S - 1 for beat in item.beats)


def test_what_comes_in_time_is_shown_whole() -> None:
    outcome = Outcome([prediction("a", 10), prediction("b", 10)])
    assert thinned(outcome, nobody) == (outcome, 0)


def test_windows_of_a_bed_at_risk_and_windows_with_events_stay() -> None:
    items = [prediction("risk", second) for second in range(3)]
    items += [prediction("heard", second, events=1) for second in range(3)]
    assert thinned(Outcome(items), lambda bed: bed == "risk") == (Outcome(items), 0)


def test_beds_at_risk_are_judged_first_and_a_beds_signals_together() -> None:
    beds = [f"bed-{n}" for n in range(BATCH_BEDS + 20)]
    pieces = [(bed, f"{bed} {nth}") for nth in range(2) for bed in beds]
    risky = {"bed-7", beds[-1]}
    cut = batches(pieces, risky.__contains__)  # type: ignore[arg-type]
    assert [bed for bed, _ in cut[0][:4]] == ["bed-7", "bed-7", beds[-1], beds[-1]]
    assert [len({bed for bed, _ in one}) for one in cut] == [BATCH_BEDS, 20]
    assert sorted(item for one in cut for item in one) == sorted(pieces)
    for one in cut:
        assert all(one.index((bed, f"{bed} 0")) < one.index((bed, f"{bed} 1")) for bed, _ in one)
    assert batches([], nobody) == []


@pytest.mark.parametrize(
    ("priority", "state", "risk"),
    [
        (Priority.HIGH, AlarmState.ACTIVE, True),
        (Priority.MEDIUM, AlarmState.ACKNOWLEDGED, True),
        (Priority.LOW, AlarmState.ACTIVE, False),
        (Priority.TECHNICAL, AlarmState.ACTIVE, False),
        (Priority.HIGH, AlarmState.LATCHED, False),
    ],
)
def test_at_risk_is_whose_grave_alarm_goes_on(priority: Priority, state: AlarmState, risk: bool) -> None:
    book = AlarmBook()
    life = Life(
        "id", "a", "ecg", "vf", priority, "", 1, 2, None, None, None, Delay(0, 0, 0), True, None, 3, 0, state
    )
    book.restore("a", [life])
    assert (at_risk(book, "a"), at_risk(book, "b")) == (risk, False)


def test_a_slow_network_is_given_less_at_once_and_never_nothing() -> None:
    pace = Pace()
    assert pace.records == FIRST_RECORDS
    pace.note_work(MOST_RECORDS, 5.0)
    assert pace.records == 200
    for _ in range(20):
        pace.note_work(LEAST_RECORDS, 60.0)
    assert pace.records == LEAST_RECORDS
    pace.note_work(3, 1e-6)
    assert pace.records == LEAST_RECORDS
    for _ in range(20):
        pace.note_work(LEAST_RECORDS, 1e-3)
    assert pace.records == MOST_RECORDS


def test_old_records_are_no_backlog_where_none_waits() -> None:
    pace = Pace()
    pace.note_age(30.0, lambda: False)
    assert not pace.behind
    pace.note_age(3.0, lambda: True)
    assert pace.behind
    pace.note_age(1.5, lambda: True)
    assert pace.behind
    pace.note_age(0.5, lambda: True)
    assert not pace.behind
    pace.note_age(1.5, lambda: True)
    assert not pace.behind


class Member:
    """A consumer and its reader: what is paused, and what comes of a poll."""

    def __init__(self, n_parts: int) -> None:
        self.parts = {TopicPartition("raw", n) for n in range(n_parts)}
        self.held: set[TopicPartition] = set()
        self.came: dict[TopicPartition, list[object]] = {}
        self.sought: dict[TopicPartition, int] = {}
        self.polled_paused: list[set[TopicPartition]] = []

    def assignment(self) -> set[TopicPartition]:
        return self.parts

    def paused(self) -> set[TopicPartition]:
        return self.held

    def pause(self, *parts: TopicPartition) -> None:
        self.held = self.held | set(parts)

    def resume(self, *parts: TopicPartition) -> None:
        self.held = self.held - set(parts)

    def seek(self, part: TopicPartition, offset: int) -> None:
        self.sought[part] = offset

    def poll(self, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[object]]:
        self.polled_paused.append(self.held)
        self.parts = self.parts | set(self.came)
        return self.came


def parts(*numbers: int) -> set[TopicPartition]:
    return {TopicPartition("raw", number) for number in numbers}


def test_partitions_at_risk_are_read_alone_every_second_turn() -> None:
    member, counts = Member(3), Counter[str]()
    valve = Valve(member, member, counts)  # type: ignore[arg-type]
    held = []
    for turn in range(4):
        valve.prefer(parts(1), (), 100.0 + turn * TURN_S)
        held.append(member.held)
    assert held == [parts(0, 2), parts(1), parts(0, 2), parts(1)]
    assert counts[PAUSED] == 6
    valve.prefer(parts(1), (), 100.0 + 4 * TURN_S)
    valve.prefer(parts(), (), 100.0 + 4 * TURN_S)
    assert member.held == set()
    valve.prefer(parts(0), (), 100.0 + 5 * TURN_S)
    valve.open()
    assert member.held == set()


def test_partitions_with_more_waiting_are_read_in_rounds() -> None:
    member = Member(4)
    valve = Valve(member, member, Counter())  # type: ignore[arg-type]
    waiting = parts(0, 1, 2)
    held = []
    # The fourth has nothing waiting: what comes of it is of now, and is read.
    for read in (parts(0, 3), parts(1), parts(2), parts(0), parts(1)):
        valve.polled(read, 100.0)
        valve.prefer((), waiting, 100.0)
        held.append(member.held)
    assert held == [parts(0), parts(0, 1), set(), parts(0), parts(0, 1)]
    valve.prefer((), parts(0, 1), 100.0)
    assert member.held == set()


def test_rounds_go_on_within_the_turns_of_beds_at_risk() -> None:
    member = Member(4)
    valve = Valve(member, member, Counter())  # type: ignore[arg-type]
    waiting = parts(0, 1, 2, 3)
    valve.polled(parts(0), 100.0)
    valve.prefer(parts(0, 1), waiting, 100.0)
    assert member.held == parts(0, 2, 3)
    valve.polled(parts(1), 100.0)
    valve.prefer(parts(0, 1), waiting, 100.1)
    assert member.held == parts(2, 3)
    valve.polled(parts(2), 100.0)
    valve.prefer(parts(0, 1), waiting, 100.1 + TURN_S)
    assert member.held == parts(0, 1, 2)
    valve.open()
    assert member.held == set()


class Standing:
    """What :class:`Load` asks of a consumer and of partitions."""

    def __init__(self, ends: dict[int, int], places: dict[int, int]) -> None:
        self.ends, self.positions, self.read_ms = ends, places, dict[int, int]()
        self.held = [SimpleNamespace(number=number, next_offset=0, streams={}) for number in ends]

    def highwater(self, part: TopicPartition) -> int:
        return self.ends[part.partition]

    def position(self, part: TopicPartition, timeout_ms: int) -> int:
        return self.positions[part.partition]

    def values(self) -> list[SimpleNamespace]:
        return self.held


def test_who_is_behind_reads_in_rounds_and_waits_for_no_silent_device() -> None:
    class Consumer(Member, Standing):
        """Both."""

    consumer = Consumer(3)
    Standing.__init__(consumer, {0: 50, 1: 50, 2: 50}, {0: 50, 1: 10, 2: 10})
    consumer.held, standing = set(), Standing(consumer.ends, consumer.positions)  # type: ignore[assignment]
    load = Load(consumer, consumer, AlarmBook(), Overload.QUEUE, Counter())  # type: ignore[arg-type]
    record = SimpleNamespace(timestamp=round(1e3 * (time.time() - 60)))

    def poll(number: int) -> set[TopicPartition]:
        load.polled({TopicPartition("raw", number): [record]}, standing, "raw", 100.0)  # type: ignore[arg-type]
        return consumer.paused()

    first = load.records
    # Of the first nothing was read since it was taken up, and nothing waits: it holds up no round.
    assert [poll(1), poll(2), poll(1)] == [parts(1), set(), parts(1)]
    assert load.records <= ROUND_RECORDS <= first
    standing.positions[0] = 10
    assert [poll(2), poll(0)] == [parts(1, 2), set()]


@pytest.mark.kafka
@pytest.mark.parametrize("way", ["paused since", "another resumed"])
def test_a_damaged_record_behind_a_full_poll_is_stepped_over(kafka: Settings, way: str) -> None:
    """The client keeps the error for the next poll; until then partitions may be paused or resumed."""
    before, damaged, after = (TopicPartition(kafka.topics.raw, number) for number in (0, 1, 2))
    producer = make_producer(kafka, compression_type=None)
    for part in (before, after) * 50:
        producer.send(part.topic, value=b"x", partition=part.partition)
    producer.flush()
    producer.send(damaged.topic, value=b"?", partition=1, headers=[(NotUtf8("x"), b"1")])
    producer.flush()
    producer.send(damaged.topic, value=b"good", partition=1)
    producer.close()
    consumer = make_consumer(kafka, group_id=None)
    consumer.assign([before, damaged, after])
    consumer.seek_to_beginning()
    stepped: list[tuple[int, int]] = []
    reader = RawReader(consumer, lambda part, offset: stepped.append((part.partition, offset)))
    read: Counter[int] = Counter()

    def poll(most: int = 1_000) -> None:
        read.update({part.partition: len(records) for part, records in reader.poll(500, most).items()})

    def work() -> None:
        poll(10)
        first = next(iter(read), 0)
        consumer.pause(TopicPartition(damaged.topic, first))
        for _ in range(4):
            poll()
        if way == "paused since":
            consumer.pause(damaged)
            poll()
        consumer.resume(*consumer.paused())
        for _ in range(8):
            poll()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(45)
    assert not thread.is_alive(), "the client iterates over the dead batch for ever"
    consumer.close()
    assert stepped == [(1, 0)]
    assert read == {0: 50, 1: 1, 2: 50}


@pytest.mark.kafka
def test_a_backlog_is_worked_off_abreast(kafka: Settings) -> None:
    every = [TopicPartition(kafka.topics.raw, number) for number in range(kafka.kafka.partitions)]
    producer, consumer = make_producer(kafka), make_consumer(kafka, group_id=None)
    for part in every * 300:
        producer.send(part.topic, value=b"x" * 500, partition=part.partition)
    producer.flush()
    consumer.assign(every)
    consumer.seek_to_beginning()
    reader = RawReader(consumer, lambda *_: None)
    valve = Valve(consumer, reader, Counter())
    reached = dict.fromkeys(every, 0)
    widest, deadline = 0, time.monotonic() + 60
    try:
        while sum(reached.values()) < 300 * len(every) and time.monotonic() < deadline:
            polled = reader.poll(1_000, 20)
            reached |= {part: records[-1].offset + 1 for part, records in polled.items()}
            widest = max(widest, max(reached.values()) - min(reached.values()))
            valve.polled(polled, time.monotonic())
            if polled:
                waiting = {part for part, n in reached.items() if n < 300}
                valve.prefer((), waiting, time.monotonic())
            else:
                valve.open()
    finally:
        producer.close()
        consumer.close()
    assert sum(reached.values()) == 300 * len(every)
    # Else all 300 of one would come before the first of another.
    assert widest <= 60


def test_a_long_batch_loses_neither_the_membership_nor_a_record() -> None:
    member = Member(2)
    valve = Valve(member, member, Counter())  # type: ignore[arg-type]
    valve.polled((), 10.0)
    valve.breathe(10.0 + 0.9 * BREATHE_S)
    assert member.polled_paused == []
    member.pause(*parts(1))
    fresh = TopicPartition("raw", 5)
    member.came = {fresh: [msgspec.defstruct("Record", [("offset", int)])(41)]}
    valve.breathe(10.0 + BREATHE_S)
    assert member.polled_paused == [parts(0, 1)]
    # What was paused is; the rest, and what is new here, is read, from its first record on.
    assert member.held == parts(1)
    assert member.sought == {fresh: 41}


@pytest.mark.kafka
def test_a_backlog_of_beds_at_risk_leaves_no_other_partition_unread(kafka: Settings) -> None:
    every = [TopicPartition(kafka.topics.raw, number) for number in range(kafka.kafka.partitions)]
    producer, consumer = make_producer(kafka), make_consumer(kafka, group_id=None)
    for part in every * 600:
        producer.send(part.topic, value=b"x" * 1_000, partition=part.partition)
    producer.flush()
    consumer.assign(every)
    consumer.seek_to_beginning()
    reader = RawReader(consumer, lambda *_: None)
    valve = Valve(consumer, reader, Counter())
    read: list[int] = []
    now_s, n_left = 100.0, 600
    try:
        while n_left > 0:
            # Each fills a poll, as while a worker is behind; each poll takes a turn to be judged.
            polled = reader.poll(1_000, 50)
            read += [part.partition for part in polled]
            n_left -= len(polled.get(every[1], ()))
            now_s += TURN_S
            valve.prefer(every[1:2], (), now_s)
    finally:
        producer.close()
        consumer.close()
    first = read.index(1)
    turns = read[first : first + 2 * 12]
    assert turns[::2] == [1] * len(turns[::2])
    assert 1 not in turns[1::2]
    assert len(turns) >= 23


class Slow:
    """A network that takes its time for each window."""

    def __init__(self, predictor: Callable[[np.ndarray], object], each_s: float) -> None:
        self.spec = predictor.spec  # type: ignore[attr-defined]
        self._predictor, self._each_s = predictor, each_s
        self.asked: list[int] = []

    def __call__(self, windows: np.ndarray) -> object:
        self.asked.append(len(windows))
        time.sleep(self._each_s * len(windows))
        return self._predictor(windows)


BEDS, SECONDS = 12, 24


def flood(settings: Settings) -> None:
    """Half a minute of many beds at once; of every third the heart stops."""
    start_ns = time.time_ns() - 60 * NS_PER_S
    seconds = np.arange(SECONDS * 250) / 250
    with Publisher(settings, device="m") as publisher:
        for nth in range(BEDS):
            line = np.random.default_rng(nth).normal(0, 0.02, len(seconds))
            for at_s in np.arange(0.4, 12 if nth % 3 == 0 else SECONDS, 0.8):
                line += 1.2 * np.exp(-(((seconds - at_s) / 0.018) ** 2))
            samples = np.round(line * 1000).astype(np.int16)[:, None]
            for second in range(SECONDS):
                publisher.publish(
                    bed=f"bed-{nth:02d}", kind="ecg", channels=("II",), unit="mV", fs_hz=250.0,
                    start_ns=start_ns + second * NS_PER_S, seq=second, gain=1000.0, baseline=0,
                    samples=samples[second * 250 : second * 250 + 250],
                )  # fmt: skip


def shown(values: list[bytes]) -> list[Prediction]:
    return [item for value in values for item in msgspec.json.decode(value, type=PredictionBatch).items]


def stopped_hearts(values: list[bytes]) -> set[str]:
    alarms = [msgspec.json.decode(value, type=Alarm) for value in values]
    return {alarm.bed for alarm in alarms if alarm.kind == "asystole"}


def vitals(values: list[bytes]) -> set[str]:
    return {item.id for value in values for item in msgspec.json.decode(value, type=VitalBatch).items}


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.parametrize("overload", list(Overload))
def test_a_flood_loses_no_beat_no_number_and_no_alarm(
    kafka: Settings, plain_predictor: object, monkeypatch: pytest.MonkeyPatch, overload: Overload
) -> None:
    monkeypatch.setattr("inference.schedule.LATE_S", 0.0)
    monkeypatch.setattr("inference.schedule.IN_TIME_S", 0.0)
    monkeypatch.setattr("inference.schedule.MOST_RECORDS", 100)
    monkeypatch.setattr("inference.schedule_reading.TURN_S", 0.05)
    flood(kafka)
    network = Slow(plain_predictor, 0.003)  # type: ignore[arg-type]
    worker = Worker(kafka, network, WorkerOptions(overload=overload))  # type: ignore[arg-type]
    most: list[int] = []
    poll = worker._reader.poll

    def polled(timeout_ms: int, max_records: int) -> object:
        got = poll(timeout_ms, max_records)
        most.append(sum(map(len, got.values())))
        return got

    monkeypatch.setattr(worker._reader, "poll", polled)
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop.is_set,))
    thread.start()
    expected, sick = BEDS * SECONDS, {f"bed-{nth:02d}" for nth in range(0, BEDS, 3)}
    try:
        numbers = read_all(kafka, kafka.topics.vitals, lambda got: len(vitals(got)) >= expected)
    finally:
        stop.set()
        thread.join(60)
    counts = worker.stats.counts
    n_shown = expected - counts["predictions_thinned"]
    items = shown(read_all(kafka, kafka.topics.predictions, lambda got: len(shown(got)) >= n_shown))
    assert (
        stopped_hearts(read_all(kafka, kafka.topics.alarms, lambda got: stopped_hearts(got) >= sick)) == sick
    )
    assert len(items) == n_shown
    assert len(vitals(numbers)) == sum(network.asked) == counts["windows"] == expected
    assert max(most) <= 100
    beats = Counter(item.bed for item in items for _ in item.beats)
    assert all(beats[f"bed-{nth:02d}"] >= (13 if nth % 3 == 0 else 26) for nth in range(BEDS))
    if overload is Overload.QUEUE:
        assert counts["predictions_thinned"] == 0
    else:
        assert 0 < counts["predictions_thinned"] < expected
    assert counts[PAUSED] > 0
    assert worker._consumer._closed


@pytest.mark.kafka
@pytest.mark.slow
def test_who_stays_keeps_its_partitions(kafka: Settings, plain_predictor: object) -> None:
    """One to two to three to two workers."""
    workers: dict[int, tuple[Worker, threading.Event, threading.Thread]] = {}

    def settled() -> bool:
        shares = {nth: one[0]._partitions.numbers for nth, one in workers.items()}
        whole = sorted(number for share in shares.values() for number in share)
        return whole == list(range(kafka.kafka.partitions)) and all(shares.values())

    def change(nth: int, to: Callable[[int], None]) -> int:
        """Add or end a worker; return how many partitions went from one that stays to another."""
        before = {n: set(one[0]._partitions.numbers) for n, one in workers.items()}
        to(nth)
        deadline = time.monotonic() + 60
        while not settled():
            assert time.monotonic() < deadline, "the partitions were not shared out"
            time.sleep(0.05)
        after = {n: set(one[0]._partitions.numbers) for n, one in workers.items()}
        return sum(len(before[n] - after[n]) for n in before.keys() & after.keys())

    def add(nth: int) -> None:
        worker, stop = Worker(kafka, plain_predictor, WorkerOptions()), threading.Event()  # type: ignore[arg-type]
        thread = threading.Thread(target=worker.run, args=(stop.is_set,))
        workers[nth] = worker, stop, thread
        thread.start()

    def end(nth: int) -> None:
        _, stop, thread = workers.pop(nth)
        stop.set()
        thread.join(60)

    try:
        assert change(1, add) == 0
        assert change(2, add) == 2
        assert change(3, add) == 1
        # The one that left had these alone: nobody else's move.
        assert change(3, end) == 0
    finally:
        for nth in list(workers):
            end(nth)
