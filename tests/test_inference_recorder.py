"""The recorder: strips to the sample, and nothing lost or doubled whatever dies."""

import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
import sqlalchemy
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.coordinator.assignors.range import RangePartitionAssignor

from inference import recorder as recorder_module
from inference.errors import StoreError
from inference.raw_history import RawHistory
from inference.recorder import Recorder
from inference.recorder_intake import LONGEST_KEY, RecordIntake
from inference.recorder_settings import RecorderSettings
from inference.store import Store
from inference.store_write import Batch
from inference.strip_cutter import GIVE_UP_S, LOOK_BACK_S, StripCutter, Wanted
from inference.strips import Assembly, Received, Strip, span
from inference.types import (
    Alarm,
    AlarmState,
    Audit,
    CommandOutcome,
    Delay,
    Priority,
    Verdict,
    Vital,
    VitalBatch,
)
from ingest import kafka as clients
from ingest import wire
from ingest.broker import EmbeddedBroker
from ingest.settings import IngestSettings, KafkaSettings, Settings, Topics
from ingest.types import NS_PER_S

ROOT = Path(__file__).resolve().parent.parent
T0 = 1_790_000_000 * NS_PER_S
FS = 50.0
LIMITS = IngestSettings()
encode = msgspec.json.Encoder().encode


def line(seconds: int, seed: int = 1, n_channels: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).integers(-900, 900, (seconds * 50, n_channels)).astype(np.int16)


def chunk(
    samples: np.ndarray, start_ns: int, seq: int, kind: str = "ecg", bed: str = "bed-01", **fields: object
) -> bytes:
    units = {"ecg": "mV", "pleth": "au"}
    said = {
        "bed": bed, "device": "monitor-7", "kind": kind, "unit": units[kind], "fs_hz": FS,
        "channels": ["II", "V1"][: samples.shape[1]], "start_ns": start_ns, "seq": seq, "samples": samples,
        "gain": 200.0, "baseline": 7.0,
    }  # fmt: skip
    return wire.encode(**(said | fields))


def records(
    samples: np.ndarray, start_ns: int = T0, kind: str = "ecg", cuts: Sequence[int] = ()
) -> list[Received]:
    """One record a second, or as it is cut; received when its last sample was."""
    edges = [0, *(cuts or range(50, len(samples), 50)), len(samples)]
    made = []
    for seq, (first, last) in enumerate(zip(edges, edges[1:], strict=False)):
        begin_ns = start_ns + round(first / FS * NS_PER_S)
        value = chunk(samples[first:last], begin_ns, seq, kind)
        made.append(Received(seq, (start_ns + round(last / FS * NS_PER_S)) // 1_000_000, value, wire.AVRO))
    return made


class Nothing:
    """A history that has nothing, and remembers that it was asked."""

    def __init__(self, found: Sequence[Received] = ()) -> None:
        self.asked: list[tuple[int, str, int]] = []
        self.found = found

    def read(
        self, number: int, bed: str, raw_offset: int, before_ms: int, after_ms: int
    ) -> Sequence[Received]:
        self.asked.append((number, bed, raw_offset))
        return self.found


def want(raised_s: float, raw_offset: int, onset_s: float | None = None) -> Wanted:
    raised_ns = T0 + round(raised_s * NS_PER_S)
    onset_ns = T0 + round((raised_s if onset_s is None else onset_s) * NS_PER_S)
    return Wanted("a1", "bed-01", onset_ns, raised_ns, raw_offset)


def cut_all(cutter: StripCutter, now_s: float = 0.0, *, at_end: bool = False) -> list[Strip]:
    return cutter.cut(0, now_s, at_end, math.inf)


def feed(cutter: StripCutter, received: Sequence[Received], now_s: float = 0.0) -> None:
    for item in received:
        cutter.take(0, "bed-01", item, now_s)


def test_a_strip_is_ten_seconds_before_onset_to_ten_after_and_at_most_a_minute() -> None:
    s = NS_PER_S
    assert span(100 * s, 104 * s) == (90 * s, 114 * s)
    assert span(104 * s, 100 * s) == (90 * s, 110 * s)
    assert span(0, 100 * s) == (50 * s, 110 * s)


def test_a_strip_has_the_very_samples_of_every_signal() -> None:
    ecg, pleth = line(60), line(60, 2, 1)
    cutter = StripCutter(LIMITS, Nothing())
    both = sorted(
        [*records(ecg), *records(pleth, kind="pleth")], key=lambda item: (item.timestamp_ms, len(item.value))
    )
    numbered = [Received(n, item.timestamp_ms, item.value, item.content_type) for n, item in enumerate(both)]
    feed(cutter, numbered[:60])
    cutter.want(0, want(28.0, 58, onset_s=25.0), 0.0)
    assert cut_all(cutter) == []
    feed(cutter, numbered[60:])
    (strip,) = cut_all(cutter)
    assert strip.complete
    assert (strip.start_ns, strip.end_ns) == (T0 + 15 * NS_PER_S, T0 + 38 * NS_PER_S)
    assert {signal.signal for signal in strip.signals} == {"ecg", "pleth"}
    for item in strip.signals:
        whole = ecg if item.signal == "ecg" else pleth
        np.testing.assert_array_equal(item.samples, whole[15 * 50 : 38 * 50])
        assert item.start_ns == strip.start_ns
        assert (item.scale.gain[0], item.scale.baseline[0], item.fs_hz) == (200.0, 7.0, FS)
    assert cutter.n_wanted == 0
    assert cut_all(cutter) == []


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 30 * 50 - 1), unique=True, min_size=3, max_size=25).map(sorted))
def test_however_the_chunks_are_cut_the_strip_is_the_same(cuts: list[int]) -> None:
    samples = line(30)
    assembly = Assembly("bed-01", T0 + 5 * NS_PER_S, T0 + 25 * NS_PER_S, LIMITS)
    assembly.add(records(samples, cuts=cuts))
    strip = assembly.finish("a1")
    (item,) = strip.signals
    assert strip.complete
    np.testing.assert_array_equal(item.samples, samples[250:1250])


def test_a_lost_chunk_stays_missing_and_a_late_one_finds_its_place() -> None:
    samples = line(30)
    made = records(samples)
    came = [*made[:8], made[9], made[8], *made[10:12], *made[13:]]
    assembly = Assembly("bed-01", T0 + 5 * NS_PER_S, T0 + 25 * NS_PER_S, LIMITS)
    assembly.add(came)
    (item,) = assembly.finish("a1").signals
    expected = samples[250:1250].copy()
    expected[7 * 50 : 8 * 50] = -32768
    np.testing.assert_array_equal(item.samples, expected)
    assert item.missing.sum() == 2 * 50
    assert np.isnan(item.physical()[7 * 50]).all()


def test_a_long_gap_another_scale_or_a_clock_jump_begin_a_new_piece() -> None:
    samples = line(30)
    made = records(samples)[:10]
    scaled = chunk(samples[500:550], T0 + 10 * NS_PER_S, 10, gain=100.0)
    jumped = chunk(samples[550:600], T0 + 21 * NS_PER_S, 11, gain=100.0)
    made += [Received(10, made[-1].timestamp_ms, scaled, wire.AVRO)]
    made += [Received(11, made[-1].timestamp_ms, jumped, wire.AVRO)]
    assembly = Assembly("bed-01", T0, T0 + 30 * NS_PER_S, LIMITS)
    assembly.add(made)
    pieces = assembly.finish("a1").signals
    assert [(item.segment, len(item.samples), item.scale.gain[0]) for item in pieces] == [
        (0, 500, 200.0),
        (1, 50, 100.0),
        (2, 50, 100.0),
    ]
    assert pieces[2].start_ns == T0 + 21 * NS_PER_S


def test_missing_samples_json_and_physical_values_are_kept_as_they_came() -> None:
    digital = line(1)
    digital[3] = -32768
    physical = np.array([[0.5, np.nan], [-0.25, 1.0]], dtype=np.float32)
    made = [
        chunk(digital, T0, 0, content_type=wire.JSON, unit="uV", gain=[20.0, 10.0], baseline=[0.5, 0.0]),
        chunk(physical, T0 + NS_PER_S, 1, content_type=wire.JSON, gain=None, baseline=None),
    ]
    assembly = Assembly("bed-01", T0, T0 + 2 * NS_PER_S, LIMITS)
    assembly.add(Received(n, T0 // 1_000_000 + 2000, value, wire.JSON) for n, value in enumerate(made))
    first, second = assembly.finish("a1").signals
    np.testing.assert_array_equal(first.samples, digital)
    assert (first.scale.unit, first.scale.gain, first.scale.baseline) == ("uV", (20.0, 10.0), (0.5, 0.0))
    np.testing.assert_array_equal(second.samples, physical)
    assert not second.digital
    assert np.isnan(second.physical()[0, 1])


def test_records_that_the_worker_refuses_are_in_no_strip() -> None:
    samples = line(20)
    made = records(samples)
    of_another = chunk(samples[:50], T0 + 5 * NS_PER_S, 0, bed="bed-02")
    made[5:5] = [
        Received(5, made[5].timestamp_ms, b"\x02no chunk", wire.AVRO),
        Received(5, made[5].timestamp_ms, of_another, wire.AVRO),
        Received(5, made[5].timestamp_ms + 200_000_000, made[0].value, wire.AVRO),
    ]
    assembly = Assembly("bed-01", T0, T0 + 20 * NS_PER_S, LIMITS)
    assembly.add(made)
    assert assembly.n_refused == 3
    (item,) = assembly.finish("a1").signals
    np.testing.assert_array_equal(item.samples, samples)


def test_a_silent_device_is_given_up_fifteen_seconds_after_the_strips_end() -> None:
    samples = line(30)
    cutter = StripCutter(LIMITS, Nothing())
    feed(cutter, records(samples), now_s=100.0)
    cutter.want(0, want(30.0, 29), 100.0)
    assert cut_all(cutter, 100.0 + 10 + GIVE_UP_S - 1, at_end=True) == []
    assert cut_all(cutter, 100.0 + 500, at_end=False) == []
    (strip,) = cut_all(cutter, 100.0 + 10 + GIVE_UP_S, at_end=True)
    assert not strip.complete
    np.testing.assert_array_equal(strip.signals[0].samples, samples[20 * 50 :])


def test_an_alarm_about_silence_by_another_clock_shows_the_last_data() -> None:
    samples = line(30)
    cutter = StripCutter(LIMITS, Nothing())
    feed(cutter, records(samples), now_s=100.0)
    cutter.want(0, Wanted("a1", "bed-01", T0 + 30 * NS_PER_S, T0 + 9_000 * NS_PER_S, 29), 100.0)
    (strip,) = cut_all(cutter, 130.0, at_end=True)
    np.testing.assert_array_equal(strip.signals[0].samples, samples[20 * 50 :])


def test_an_alarm_waits_for_the_data_that_raised_it() -> None:
    samples = line(60)
    cutter = StripCutter(LIMITS, Nothing())
    cutter.want(0, want(30.0, 29), 100.0)
    assert cut_all(cutter, 100.0, at_end=True) == []
    for item in records(samples):
        feed(cutter, [item], 100.0)
        if item.offset < 39:
            assert cut_all(cutter, 100.0) == []
    (strip,) = cut_all(cutter, 100.0)
    assert strip.complete
    np.testing.assert_array_equal(strip.signals[0].samples, samples[20 * 50 : 40 * 50])


def test_a_topic_made_anew_stops_no_strip_for_ever() -> None:
    history = Nothing()
    cutter = StripCutter(LIMITS, history)
    feed(cutter, records(line(3)), now_s=100.0)
    cutter.want(0, want(30.0, 5_000), 100.0)
    assert cut_all(cutter, 100.0 + GIVE_UP_S, at_end=True) == []
    (strip,) = cut_all(cutter, 101.0 + GIVE_UP_S + 25, at_end=True)
    assert not strip.complete
    assert cutter.n_wanted == 0


def test_what_is_no_longer_kept_is_read_from_kafka_again() -> None:
    samples = line(300)
    made = records(samples)
    history = Nothing(made[:60])
    cutter = StripCutter(LIMITS, history)
    for item in made:
        feed(cutter, [item])
        cut_all(cutter)
    assert cutter.safe_offset(0) == 299 - LOOK_BACK_S
    cutter.want(0, want(30.0, 29), 0.0)
    (strip,) = cut_all(cutter)
    assert history.asked == [(0, "bed-01", 29)]
    np.testing.assert_array_equal(strip.signals[0].samples, samples[20 * 50 : 40 * 50])


def test_beds_that_are_gone_hold_nothing_back() -> None:
    cutter = StripCutter(LIMITS, Nothing())
    for item in records(line(200)):
        cutter.take(0, "gone" if item.offset < 5 else "bed-01", item, 0.0)
        cut_all(cutter)
    assert cutter.safe_offset(0) == 199 - LOOK_BACK_S
    assert cutter.safe_offset(1) is None
    cut_all(cutter, LOOK_BACK_S + 10, at_end=True)
    assert cutter.safe_offset(0) == 200


def test_a_recorder_that_just_began_waits_then_reads_what_came_before() -> None:
    samples = line(60)
    made = records(samples)
    history = Nothing(made)
    cutter = StripCutter(LIMITS, history)
    feed(cutter, made[25:35])
    cutter.want(0, want(30.0, 29), 0.0)
    assert cut_all(cutter) == []
    assert history.asked == []
    feed(cutter, made[35:])
    (strip,) = cut_all(cutter)
    assert history.asked == [(0, "bed-01", 29)]
    assert strip.complete
    np.testing.assert_array_equal(strip.signals[0].samples, samples[20 * 50 : 40 * 50])


def test_what_a_flood_pushed_out_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = line(60)
    made = records(samples)
    cutter = StripCutter(LIMITS, Nothing(made))
    feed(cutter, made[:31])
    cutter.want(0, want(30.0, 29), 0.0)
    assert cut_all(cutter) == []
    monkeypatch.setattr("inference.strip_buffer.MOST_BYTES", 10 * len(made[0].value))
    feed(cutter, made[31:])
    (strip,) = cut_all(cutter, at_end=True, now_s=100.0)
    np.testing.assert_array_equal(strip.signals[0].samples, samples[20 * 50 : 40 * 50])


def after_outage(made: Sequence[Received], begin: int, lasts: int) -> list[Received]:
    """What a device with a memory sends: all that it kept, at once when it is back."""
    back_ms = made[begin].timestamp_ms + lasts * 1_000
    return [
        item if item.offset < begin else replace(item, timestamp_ms=max(item.timestamp_ms, back_ms))
        for item in made
    ]


class Kept(Nothing):
    """A topic that has these records of the bed."""

    def read(
        self, number: int, bed: str, raw_offset: int, before_ms: int, after_ms: int
    ) -> Sequence[Received]:
        super().read(number, bed, raw_offset, before_ms, after_ms)
        at_ms = next(item.timestamp_ms for item in self.found if item.offset == raw_offset)
        return [item for item in self.found if -before_ms <= item.timestamp_ms - at_ms <= after_ms]


def strip_after_outage(lasts_s: int, oldest: int = 0) -> tuple[Strip, Kept]:
    """Strip of an alarm at 30 s of a device that was cut off at 24 s; the topic begins with ``oldest``."""
    made = after_outage(records(line(24 + lasts_s + 30)), 24, lasts_s)
    history = Kept(made[oldest:])
    cutter = StripCutter(LIMITS, history)
    strips: list[Strip] = []
    for item in made:
        feed(cutter, [item])
        strips += cut_all(cutter)
        if item.offset == 24 + lasts_s:
            cutter.want(0, want(30.0, 29), 0.0)
    (strip,) = strips
    return strip, history


@pytest.mark.parametrize(("lasts_s", "asked"), [(10, 0), (20, 0), (75, 0), (200, 1)])
def test_what_was_sent_before_a_long_outage_is_in_the_strip(lasts_s: int, asked: int) -> None:
    strip, history = strip_after_outage(lasts_s)
    assert strip.complete
    np.testing.assert_array_equal(strip.signals[0].samples, line(24 + lasts_s + 30)[20 * 50 : 40 * 50])
    assert len(history.asked) == asked


@pytest.mark.parametrize("lasts_s", [200, 700])
def test_a_strip_whose_begin_is_nowhere_is_not_complete(lasts_s: int) -> None:
    strip, _ = strip_after_outage(lasts_s, oldest=24 if lasts_s == 200 else 0)
    assert not strip.complete
    np.testing.assert_array_equal(strip.signals[0].samples, line(24 + lasts_s + 30)[24 * 50 : 40 * 50])


def test_the_first_chunk_of_a_device_is_the_begin_of_its_signal() -> None:
    history = Nothing()
    cutter = StripCutter(LIMITS, history)
    feed(cutter, records(line(30)))
    cutter.want(0, want(5.0, 4), 0.0)
    (strip,) = cut_all(cutter)
    assert strip.complete
    assert history.asked == []


def test_records_missed_while_another_had_the_partition_are_read_again() -> None:
    samples = line(60)
    made = records(samples)
    history = Nothing(made)
    cutter = StripCutter(LIMITS, history)
    feed(cutter, made[:31])
    cutter.want(0, want(30.0, 29), 0.0)
    assert cut_all(cutter) == []
    feed(cutter, made[36:])
    (strip,) = cut_all(cutter)
    assert history.asked
    np.testing.assert_array_equal(strip.signals[0].samples, samples[20 * 50 : 40 * 50])


BEDS = ("bed-01", "bed-02")
SECONDS = 200
WHOLE = {bed: line(SECONDS, seed) for seed, bed in enumerate(BEDS)}
TOPIC = [
    Received(
        len(BEDS) * second + place,
        T0 // 1_000_000 + 1000 * (second + 1) + place,
        chunk(WHOLE[bed][second * 50 : second * 50 + 50], T0 + second * NS_PER_S, second, bed=bed),
        wire.AVRO,
    )
    for second in range(SECONDS)
    for place, bed in enumerate(BEDS)
]


class Log:
    """The topic as far as it was published."""

    def __init__(self) -> None:
        self.n_published = 0

    def read(self, number: int, bed: str, raw_offset: int, before_ms: int, after_ms: int) -> list[Received]:
        at_ms = TOPIC[raw_offset].timestamp_ms
        return [
            item
            for item in TOPIC[: self.n_published]
            if BEDS[item.offset % len(BEDS)] == bed
            and at_ms - before_ms <= item.timestamp_ms <= at_ms + after_ms
        ]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), lives=st.booleans())
def test_whenever_it_polls_dies_or_lags_every_strip_is_whole(data: st.DataObject, lives: bool) -> None:
    alarms = [
        (Wanted(f"a{n}", bed, T0 + begin * NS_PER_S, T0 + raised * NS_PER_S, 2 * raised - 2 + place), known)
        for n, (place, begin, lasts, late) in enumerate(
            data.draw(st.lists(st.tuples(*(st.integers(0, top) for top in (1, 150, 45, 100))), max_size=4))
        )
        for bed, raised in [(BEDS[place], begin + lasts + 1)]
        for known in [2 * (raised + late)]
        if raised < SECONDS
    ]
    log, strips = Log(), {}
    cutter, position, committed = StripCutter(LIMITS, log), 0, 0
    while position < len(TOPIC) or len(strips) < len(alarms):
        if position < len(TOPIC) and data.draw(st.sampled_from([False] * 9 + [True])):
            cutter, position = StripCutter(LIMITS, log), committed
        n_records = data.draw(st.sampled_from([len(TOPIC), 120, 41, 20, 7]))
        for item in TOPIC[position : position + n_records]:
            cutter.take(0, BEDS[item.offset % len(BEDS)], item, 0.0)
        position = min(len(TOPIC), position + n_records)
        log.n_published = max(position, log.n_published) if lives else len(TOPIC)
        at_end = position == len(TOPIC)
        # At the end the clock goes on: what is still waited for is given up.
        for strip in cutter.cut(0, 1_000.0 if at_end else 0.0, at_end, math.inf):
            assert strip.alarm_id not in strips
            strips[strip.alarm_id] = strip
        for wanted, known in alarms:
            if wanted.alarm_id not in strips and (log.n_published >= known or at_end):
                cutter.want(0, wanted, 0.0)
        committed = cutter.safe_offset(0) or committed
    for wanted, _ in alarms:
        first, last = ((at - T0) // NS_PER_S * 50 for at in span(wanted.onset_ns, wanted.raised_ns))
        (item,) = strips[wanted.alarm_id].signals
        np.testing.assert_array_equal(item.samples, WHOLE[wanted.bed][max(0, first) : last])


def test_partitions_of_a_bed_are_one_recorders() -> None:
    names = Topics()
    topics = [names.raw, names.vitals, names.alarms, names.audit, names.verdicts]

    class Cluster:
        def partitions_for_topic(self, topic: str) -> set[int]:
            return set(range(7))

    class Member(NamedTuple):
        member_id: str
        group_instance_id: None
        metadata: object

    members = [Member(name, None, RangePartitionAssignor.metadata(topics)) for name in "cab"]
    assigned = RangePartitionAssignor.assign(Cluster(), members)
    taken: Counter[int] = Counter()
    for member in assigned.values():
        by_topic: dict[str, set[int]] = {}
        for part in member.partitions():
            by_topic.setdefault(part.topic, set()).add(part.partition)
        assert set(by_topic) == set(topics)
        assert len({frozenset(numbers) for numbers in by_topic.values()}) == 1
        taken.update(by_topic[names.raw])
    assert taken == Counter(range(7))


# What follows goes through a real broker.


@dataclass
class Outside:
    """Devices and a worker of one bed: a second of two signals is two raw records, so offsets are known."""

    settings: Settings
    bed: str = "bed-0"
    n_bad: int = 0
    start_ns: int = field(default_factory=lambda: time.time_ns() - 100 * NS_PER_S)
    ecg: np.ndarray = field(default_factory=lambda: line(90))
    pleth: np.ndarray = field(default_factory=lambda: line(90, 2, 1))

    def __post_init__(self) -> None:
        self.number = clients.partition_for(self.bed, self.settings.kafka.partitions)
        self.producer = clients.producer(self.settings)

    def at(self, second: float) -> int:
        return self.start_ns + round(second * NS_PER_S)

    def put(self, topic: str, value: bytes, **fields: object) -> None:
        self.producer.send(topic, value, key=self.bed.encode(), partition=self.number, **fields)

    def live(self, first: int, last: int) -> None:
        """Signals and numbers of some seconds."""
        for second in range(first, last):
            for kind, whole in (("ecg", self.ecg), ("pleth", self.pleth)):
                samples = whole[second * 50 : second * 50 + 50]
                value = chunk(samples, self.at(second), second, kind, self.bed)
                self.put(self.settings.topics.raw, value, headers=wire.headers(wire.AVRO))
            vital = Vital(
                f"v{second}", self.bed, "ecg", self.at(second), 60.0 + second, 0.0, 0.9, True, 2 * second, 0
            )
            self.put(self.settings.topics.vitals, encode(VitalBatch([vital])))
        self.producer.flush(30)

    def alarm(self, second: float, revision: int = 0, **changes: object) -> Alarm:
        """Publish a step of the alarm that was raised by a second's data."""
        alarm = Alarm(
            f"{self.bed}:ecg:vt:{self.at(second)}", self.bed, "ecg", "vt", Priority.HIGH, AlarmState.ACTIVE,
            "*** VT", self.at(second), self.at(second), time.time_ns(), None, 180.0, 100.0, "/min",
            Delay(1.0, 0.0, 0.1), self.n_bad + 2 * int(second) - 1, revision,
        )  # fmt: skip
        alarm = msgspec.structs.replace(alarm, **changes)
        self.put(self.settings.topics.alarms, encode(alarm))
        self.producer.flush(30)
        return alarm

    def acknowledge(self, name: str) -> Audit:
        """Publish a line of the audit trail."""
        made = Audit(
            name, self.number, self.bed, None, "nurse-7", "acknowledge", self.at(0), self.at(1),
            CommandOutcome.APPLIED, "", [],
        )  # fmt: skip
        self.put(self.settings.topics.audit, encode(made))
        self.producer.flush(30)
        return made

    def check_strip(self, store: Store, alarm: Alarm) -> None:
        """A strip has the samples that were sent."""
        strip = store.strip_of(alarm.id)
        assert strip is not None
        assert strip.complete
        assert {item.signal for item in strip.signals} == {"ecg", "pleth"}
        raised = round((alarm.raised_ns - self.start_ns) / NS_PER_S)
        for item in strip.signals:
            whole = self.ecg if item.signal == "ecg" else self.pleth
            np.testing.assert_array_equal(item.samples, whole[max(0, raised - 10) * 50 : (raised + 10) * 50])


@pytest.fixture
def quick(kafka: Settings) -> Settings:
    """A group that notices a killed member soon."""
    changes = {"session_timeout_ms": 2_000, "heartbeat_interval_ms": 300}
    return kafka.model_copy(update={"kafka": kafka.kafka.model_copy(update=changes)})


@pytest.fixture
def outside(quick: Settings) -> Iterator[Outside]:
    made = Outside(quick)
    yield made
    made.producer.close()


def environment(settings: Settings, url: str) -> dict[str, str]:
    names = {
        f"WARDWAVE_TOPICS__{name.upper()}": value for name, value in settings.topics.model_dump().items()
    }
    fields = ("bootstrap_servers", "group_id", "partitions", "session_timeout_ms", "heartbeat_interval_ms")
    kafka = {f"WARDWAVE_KAFKA__{name.upper()}": str(getattr(settings.kafka, name)) for name in fields}
    return {**os.environ, **names, **kafka, "WARDWAVE_RECORDER__URL": url}


def start(settings: Settings, url: str, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "wardwave", "--log-level", "WARNING", "record", *words]
    return subprocess.Popen(command, env=environment(settings, url), cwd=ROOT)


def wait_for(holds: Callable[[], bool], what: str, timeout_s: float = 40.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@contextmanager
def reading(url: str) -> Iterator[Store]:
    """The store, as soon as the recorder made it."""
    stores: list[Store] = []

    def made() -> bool:
        with suppress(StoreError):
            stores.append(Store(url))
        return bool(stores)

    wait_for(made, "no store")
    with stores[0] as store:
        yield store


@pytest.mark.kafka
def test_a_killed_recorder_loses_nothing_and_doubles_nothing(
    outside: Outside, database_url: str, tmp_path: Path
) -> None:
    stats = tmp_path / "stats.json"
    for topic in ("alarms", "audit", "vitals", "verdicts", "raw"):
        outside.put(getattr(outside.settings.topics, topic), b"\xff neither JSON nor a chunk")
    outside.n_bad = 1
    outside.live(0, 40)
    first, line_1 = outside.alarm(15), outside.acknowledge("c1")
    pending = outside.alarm(35)
    process = start(outside.settings, database_url)
    try:
        with reading(database_url) as store:
            wait_for(lambda: store.with_strip() == [first.id], "no first strip")
            wait_for(lambda: len(store.trend(outside.bed, "ecg")) == 40, "no trend")
            process.send_signal(signal.SIGKILL)
            process.wait(30)
            ended = outside.alarm(15, 1, state=AlarmState.ENDED, ended_ns=outside.at(20), raw_offset=60)
            outside.live(40, 60)
            line_2 = outside.acknowledge("c2")
            process = start(outside.settings, database_url, "--stats", str(stats))
            wait_for(lambda: store.with_strip() == [first.id, pending.id], "no second strip")
            wait_for(lambda: len(store.trend(outside.bed, "ecg")) == 60, "trend lost")
            wait_for(lambda: len(store.audit()) == 2, "audit lost")
            wait_for(lambda: json.loads(stats.read_text()).get("bad_records") == 4, "not counted")
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
            for alarm in (first, pending):
                outside.check_strip(store, alarm)
            assert store.life(first.id) == [first, ended]
            assert [found.alarm for found in store.alarms()] == [pending, ended]
            assert {line.id: line for line in store.audit()} == {"c1": line_1, "c2": line_2}
            trend = store.trend(outside.bed, "ecg")
            assert [point.heart_rate_bpm for point in trend] == [60.0 + second for second in range(60)]
            minutes = store.trend(outside.bed, "ecg", step_s=60)
            assert sum(point.n for point in minutes) == 60
    finally:
        process.kill()
        process.wait(30)


@contextmanager
def recording(settings: Settings, url: str) -> Iterator[Recorder]:
    recorder = Recorder(settings, RecorderSettings(url=url))
    stop = threading.Event()
    thread = threading.Thread(target=recorder.run, args=(stop.is_set,))
    thread.start()
    try:
        yield recorder
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.kafka
def test_recorders_share_the_beds_and_take_over_in_the_middle_of_a_strip(
    quick: Settings, postgres_url: str
) -> None:
    n_partitions = quick.kafka.partitions
    beds = {clients.partition_for(f"bed-{n}", n_partitions): f"bed-{n}" for n in range(100)}
    outsides = [Outside(quick, bed) for bed in beds.values()]
    assert len(outsides) == n_partitions

    def seconds(store: Store) -> int:
        return sum(len(store.trend(outside.bed, "ecg")) for outside in outsides)

    with recording(quick, postgres_url) as second, reading(postgres_url) as store:
        with recording(quick, postgres_url) as first:
            for outside in outsides:
                outside.live(0, 40)
            wait_for(lambda: seconds(store) == 40 * n_partitions, "trends lost")
            wait_for(lambda: 0 < first._stats.counts["partitions"] < n_partitions, "not shared")
            alarms = [outside.alarm(38) for outside in outsides]
            wait_for(lambda: len(store.alarms()) == n_partitions, "alarms lost")
        for outside in outsides:
            outside.live(40, 50)
        wait_for(lambda: len(store.with_strip()) == n_partitions, "strips lost")
        assert second._stats.counts["partitions"] == n_partitions
        for outside, alarm in zip(outsides, alarms, strict=True):
            outside.check_strip(store, alarm)
            assert len(store.trend(outside.bed, "ecg")) == 50
            outside.producer.close()


@pytest.mark.kafka
def test_while_the_database_is_away_nothing_is_lost(
    outside: Outside,
    postgres_url: str,
    postgres_address: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(recorder_module, "RETRY_S", 0.2)
    url = sqlalchemy.make_url(postgres_url)
    server = sqlalchemy.create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")

    def run(statement: str) -> None:
        with server.connect() as connection:
            connection.execute(sqlalchemy.text(statement))

    with recording(outside.settings, postgres_url) as recorder:
        before = outside.alarm(5)
        outside.live(0, 20)
        with reading(postgres_url) as store:
            wait_for(lambda: store.with_strip() == [before.id], "no strip before")
        run(f"ALTER DATABASE {url.database} ALLOW_CONNECTIONS false")
        run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{url.database}'")
        during = outside.alarm(25)
        outside.live(20, 40)
        wait_for(lambda: recorder._stats.counts["database_losses"] > 1, "the loss was not seen")
        run(f"ALTER DATABASE {url.database} ALLOW_CONNECTIONS true")
        with reading(postgres_url) as store:
            wait_for(lambda: store.with_strip() == [before.id, during.id], "no strip after")
            wait_for(lambda: len(store.trend(outside.bed, "ecg")) == 40, "trend lost")
            outside.check_strip(store, during)
    server.dispose()
    assert "the database does not answer, nothing is lost" in caplog.text
    assert "not currently accepting connections" in caplog.text


@pytest.mark.kafka
def test_while_the_disk_is_full_nothing_is_lost(
    outside: Outside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recorder_module, "RETRY_S", 0.2)
    url = f"sqlite:///{tmp_path / 'recorder.sqlite'}"
    is_full = threading.Event()

    def fill_up(connection: sqlite3.Connection, _: object) -> None:
        if is_full.is_set():
            # It may grow to the size that it has, no further.
            connection.execute("PRAGMA max_page_count = 1")

    with recording(outside.settings, url) as recorder:
        sqlalchemy.event.listen(recorder._engine, "connect", fill_up)
        before = outside.alarm(5)
        outside.live(0, 20)
        with reading(url) as store:
            wait_for(lambda: store.with_strip() == [before.id], "no strip before")
            is_full.set()
            recorder._engine.dispose()
            during = outside.alarm(25)
            outside.live(20, 40)
            wait_for(lambda: recorder._stats.counts["database_losses"] > 1, "the loss was not seen")
            is_full.clear()
            wait_for(lambda: store.with_strip() == [before.id, during.id], "no strip after")
            wait_for(lambda: len(store.trend(outside.bed, "ecg")) == 40, "trend lost")
            outside.check_strip(store, during)
    assert "the database does not answer, nothing is lost" in caplog.text
    assert "database or disk is full" in caplog.text


@pytest.mark.kafka
def test_the_broker_may_go_and_come_back_even_empty(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    with EmbeddedBroker() as broker:
        settings = Settings(kafka=KafkaSettings(bootstrap_servers=broker.bootstrap_servers, partitions=4))
        clients.ensure_topics(settings)
        process = start(settings, url)
        try:
            with reading(url) as store:
                outside = Outside(settings)
                outside.live(0, 20)
                before = outside.alarm(5)
                wait_for(lambda: store.with_strip() == [before.id], "no strip before")
                outside.producer.close()
                broker.stop()
                with EmbeddedBroker(int(broker.bootstrap_servers.rpartition(":")[2])):
                    clients.ensure_topics(settings)
                    outside = Outside(settings)
                    outside.live(0, 20)
                    after = outside.alarm(6)
                    wait_for(lambda: store.with_strip() == [before.id, after.id], "no strip after")
                    outside.check_strip(store, after)
                    outside.producer.close()
        finally:
            process.kill()
            process.wait(30)


@pytest.mark.kafka
def test_many_partitions_are_taken_up_before_the_recorder_counts_as_gone(
    quick: Settings, tmp_path: Path
) -> None:
    names = {name: f"many.{topic}" for name, topic in quick.topics.model_dump().items()}
    changes = {"partitions": 64, "max_poll_interval_ms": 4_000}
    many = quick.model_copy(
        update={"kafka": quick.kafka.model_copy(update=changes), "topics": Topics(**names)}
    )
    clients.ensure_topics(many)
    outside, url = Outside(many), f"sqlite:///{tmp_path / 'store.sqlite'}"
    with recording(many, url) as recorder, reading(url) as store:
        wait_for(lambda: recorder._stats.counts["partitions"] == 64, "not taken up")
        outside.live(0, 20)
        alarm = outside.alarm(18)
        outside.live(20, 30)
        wait_for(lambda: store.with_strip() == [alarm.id], "no strip")
        outside.check_strip(store, alarm)
    outside.producer.close()


@pytest.mark.kafka
def test_older_signals_are_read_from_the_topic_again(outside: Outside) -> None:
    neighbour = next(
        name
        for name in (f"bed-{n}" for n in range(1, 1000))
        if clients.partition_for(name, outside.settings.kafka.partitions) == outside.number
    )
    outside.live(0, 3)
    outside.bed, home = neighbour, outside.bed
    outside.live(3, 5)
    outside.bed = home
    outside.live(5, 8)
    history = RawHistory(outside.settings)
    found = history.read(outside.number, home, 4, 60_000, 60_000)
    assert [item.offset for item in found] == [0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15]
    assert found[0].chunk(home, LIMITS).start_ns == outside.start_ns
    assert history.read(outside.number, home, 16, 60_000, 60_000) == []
    history.close()


class Raw(NamedTuple):
    topic: str
    value: bytes | None
    partition: int = 0
    offset: int = 0
    timestamp: int = 0
    key: bytes | None = b"bed-01"
    headers: Sequence[tuple[str, bytes]] = ()


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "x" * (LONGEST_KEY + 1)},
        {"bed": "b\0d"},
        {"raw_offset": 2**63},
        {"onset_ns": -(2**63) - 1},
    ],
)
def test_what_no_database_would_take_is_left_out(changes: dict[str, object]) -> None:
    counts: Counter[str] = Counter()
    intake = RecordIntake(Topics(), StripCutter(LIMITS, Nothing()), counts)
    alarm = Alarm(
        "a", "b", "ecg", "vt", Priority.HIGH, AlarmState.ACTIVE, "", 1, 1, 1, None, None, None, None,
        Delay(0, 0, 0), 1, 0,
    )  # fmt: skip
    batch = Batch()
    intake.take(Raw(Topics().alarms, encode(msgspec.structs.replace(alarm, **changes))), batch)
    intake.take(Raw(Topics().alarms, None), batch)
    assert not batch
    assert counts["bad_records"] == 2
    verdict = Verdict("v", "b", "d", "vt", 1, None, None, None, [], "", "m", 1)
    intake.take(Raw(Topics().alarms, encode(alarm)), batch)
    intake.take(Raw(Topics().verdicts, encode(verdict)), batch)
    assert (len(batch.alarms), len(batch.verdicts), counts["bad_records"]) == (1, 1, 2)


def test_a_device_that_began_to_count_anew_is_looked_for_further_back() -> None:
    samples = line(254)
    anew = records(samples[24 * 50 :], T0 + 24 * NS_PER_S)
    made = after_outage(records(samples), 24, 200)
    made = made[:24] + [replace(item, value=one.value) for item, one in zip(made[24:], anew, strict=True)]
    history = Kept(made)
    cutter = StripCutter(LIMITS, history)
    strips: list[Strip] = []
    for item in made:
        feed(cutter, [item])
        strips += cut_all(cutter)
        if item.offset == 224:
            cutter.want(0, want(30.0, 29), 0.0)
    (strip,) = strips
    assert len(history.asked) == 1
    assert strip.complete
    assert min(signal.start_ns for signal in strip.signals) == T0 + 20 * NS_PER_S


def test_where_nothing_is_found_near_nothing_is_looked_for_far_away() -> None:
    history = Nothing()
    cutter = StripCutter(LIMITS, history)
    for item in records(line(200)):
        feed(cutter, [item])
        cut_all(cutter)
    cutter.want(0, want(30.0, 29), 0.0)
    (strip,) = cut_all(cutter)
    assert not strip.complete
    assert len(history.asked) == 1


def test_one_strip_does_not_read_for_so_long_that_its_recorder_is_put_out_of_the_group(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deadlines: list[float] = []

    class Partition:
        """Reads nothing, and has all offsets."""

        def assign(self, parts: Sequence[TopicPartition]) -> None: ...

        def seek(self, part: TopicPartition, offset: int) -> None: ...

        def beginning_offsets(self, parts: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
            return dict.fromkeys(parts, 0)

    def scan(self: RawHistory, reader: object, part: object, until_ms: int, deadline: float) -> list[Item]:
        deadlines.append(deadline - time.monotonic())
        return [Item(1, b"bed-01", b"")]

    monkeypatch.setattr(RawHistory, "_scan", scan)
    monkeypatch.setattr("inference.raw_history.kafka.end_offsets", lambda _, parts: dict.fromkeys(parts, 99))
    monkeypatch.setattr("inference.raw_history.kafka.offsets_for_times", lambda _, times: times)
    monkeypatch.setattr("inference.raw_history.kafka.consumer", lambda *_, **__: Partition())
    history = RawHistory(Settings())
    history.read(0, "bed-01", 7, 65_000, 25_000)
    history.read(0, "bed-01", 7, 600_000, 25_000)
    near, again, far, farther = deadlines
    assert again <= near <= 10.0
    assert farther <= far <= 5.0


class Item(NamedTuple):
    """What is used of a raw record."""

    timestamp: int
    key: bytes
    value: bytes
    offset: int = 7
    headers: tuple[tuple[str, bytes], ...] = ()
