from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.decimation import PeakDecimator
from dashboard.feed import Feed, RecordReader
from dashboard.payload import MAX_TILES, ViewSession, build_feed, quantise
from dashboard.summary import own_findings, summarise
from dashboard.ward import MAX_ALARMS, MAX_BEDS, Ward
from inference.types import (
    Alarm,
    AlarmState,
    Bed,
    Delay,
    Prediction,
    PredictionBatch,
    Priority,
    Vital,
    VitalBatch,
)
from ingest import wire
from ingest.settings import KafkaSettings, Settings
from ingest.types import Chunk, SignalKind

FS = 250.0
T0 = 1_800_000_000_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class FakeRecord:
    topic: str
    value: bytes | None
    key: bytes | None = b"bed-01"
    partition: int = 0
    offset: int = 0
    timestamp: int = T0 // 1_000_000
    headers: Iterable[tuple[str, bytes]] = field(default_factory=list)


def chunk(
    seq: int = 0,
    *,
    bed: str = "bed-01",
    start_s: float | None = None,
    values: np.ndarray | None = None,
    device: str = "monitor-1",
    fs: float = FS,
    kind: SignalKind = SignalKind.ECG,
    channels: tuple[str, ...] = ("II",),
) -> Chunk:
    if values is None:
        values = np.arange(seq * 250, seq * 250 + 250, dtype=np.float32) / 1000
    samples = np.repeat(values.astype(np.float32)[:, None], len(channels), axis=1)
    start = seq * 1.0 if start_s is None else start_s
    return Chunk(bed, device, kind, channels, fs, T0 + round(start * 1e9), seq, samples)


def alarm(
    identity: str = "a",
    offset: int = 1,
    revision: int = 0,
    state: AlarmState = AlarmState.ACTIVE,
    bed: str = "bed-01",
    priority: Priority = Priority.HIGH,
    message: str = "VENT FIB",
) -> Alarm:
    return Alarm(
        id=identity,
        bed=bed,
        signal="ecg",
        kind="vf",
        priority=priority,
        state=state,
        message=message,
        onset_ns=T0,
        raised_ns=T0,
        emitted_ns=T0,
        ended_ns=None,
        value=None,
        limit=None,
        unit=None,
        delay=Delay(1.0, 0.0, 0.1),
        raw_offset=offset,
        revision=revision,
    )


def vital(time_s: float = 0.0, offset: int = 0, rate: float | None = 72.0) -> Vital:
    return Vital("v", "bed-01", "ecg", T0 + round(time_s * 1e9), rate, 0.0, 0.9, rate is not None, offset, 0)


def held(ward: Ward, bed: str = "bed-01", kind: SignalKind = SignalKind.ECG) -> np.ndarray:
    window = ward.window(bed, kind, 0, 0, 1e9)
    assert window is not None
    return window.samples[:, 0]


def header_of(feed: bytes) -> dict:
    (length,) = struct.unpack_from("<I", feed)
    return json.loads(feed[4 : 4 + length])


def samples_of(feed: bytes) -> np.ndarray:
    (length,) = struct.unpack_from("<I", feed)
    return np.frombuffer(feed[4 + length :], dtype="<i2")


class TestDecimation:
    @settings(deadline=None)
    @given(
        st.lists(st.integers(1, 97), min_size=1, max_size=20),
        st.sampled_from([360.0, 500.0, 1000.0, 4000.0]),
        st.integers(0, 2**31),
    )
    def test_any_cut_gives_the_same_trace(self, cuts: list[int], fs: float, seed: int) -> None:
        signal = np.random.default_rng(seed).normal(size=(sum(cuts), 2)).astype(np.float32)
        whole = PeakDecimator(fs, 2).push(signal)
        pieces = PeakDecimator(fs, 2)
        joined = np.concatenate([pieces.push(part) for part in np.split(signal, np.cumsum(cuts)[:-1])])
        np.testing.assert_array_equal(joined, whole)

    def test_a_spike_of_one_sample_keeps_its_height(self) -> None:
        signal = np.zeros((4000, 1), dtype=np.float32)
        signal[1234] = 5.0
        signal[2345] = -3.0
        decimator = PeakDecimator(2000.0, 1)
        thinned = decimator.push(signal)
        assert decimator.fs_hz <= 250
        assert thinned.shape[0] == pytest.approx(4000 * decimator.fs_hz / 2000, abs=2)
        assert thinned.max() == 5.0
        assert thinned.min() == -3.0

    def test_missing_samples_hide_no_peak_and_invent_none(self) -> None:
        signal = np.full((16, 1), np.nan, dtype=np.float32)
        signal[5] = 2.0
        thinned = PeakDecimator(1000.0, 1).push(signal)
        assert np.nanmax(thinned) == 2.0
        assert np.isnan(thinned[2:]).all()


class TestTraces:
    def test_chunks_in_a_row_join(self) -> None:
        ward = Ward(history_s=5.0, clock=Clock())
        for seq in range(3):
            ward.add_chunk(chunk(seq))
        np.testing.assert_allclose(held(ward), np.arange(750) / 1000, atol=1e-6)

    def test_memory_is_bounded_and_the_newest_stays(self) -> None:
        ward = Ward(history_s=5.0, clock=Clock())
        for seq in range(20):
            ward.add_chunk(chunk(seq))
        np.testing.assert_allclose(held(ward), np.arange(15 * 250, 20 * 250) / 1000, atol=1e-5)

    def test_a_gap_is_seen_as_missing_not_joined(self) -> None:
        ward = Ward(history_s=10.0, clock=Clock())
        ward.add_chunk(chunk(0))
        ward.add_chunk(chunk(3))
        trace = held(ward)
        assert trace.shape == (1000,)
        assert np.isnan(trace[250:750]).all()
        assert not np.isnan(trace[:250]).any()
        assert not np.isnan(trace[750:]).any()

    def test_duplicate_and_late_chunks_add_nothing_and_refresh_nothing(self) -> None:
        clock = Clock()
        ward = Ward(history_s=10.0, clock=clock)
        for seq in range(3):
            ward.add_chunk(chunk(seq))
        clock.now += 7.0
        ward.add_chunk(chunk(2))
        ward.add_chunk(chunk(1))
        assert held(ward).shape == (750,)
        bed = ward.snapshot().bed("bed-01")
        assert bed is not None
        assert bed.age_s == pytest.approx(7.0)

    def test_a_clock_set_back_starts_anew_and_stays_live(self) -> None:
        clock = Clock()
        ward = Ward(history_s=10.0, clock=clock)
        ward.add_chunk(chunk(0, start_s=5000.0))
        clock.now += 1.0
        ward.add_chunk(chunk(1, start_s=100.0))
        snapshot = ward.snapshot().bed("bed-01")
        assert snapshot is not None
        assert snapshot.age_s == 0.0
        assert held(ward).shape == (250,)

    def test_a_second_device_is_not_mixed_in_until_the_first_is_silent(self) -> None:
        clock = Clock()
        ward = Ward(history_s=10.0, clock=clock)
        ward.add_chunk(chunk(0))
        ward.add_chunk(chunk(0, device="other", start_s=1.0))
        assert held(ward).shape == (250,)
        clock.now += 11.0
        ward.add_chunk(chunk(0, device="other", start_s=12.0))
        bed = ward.snapshot().bed("bed-01")
        assert bed is not None
        assert bed.streams[0].device == "other"

    @settings(deadline=None)
    @given(st.lists(st.integers(1, 400), min_size=1, max_size=12))
    def test_any_chunk_sizes_give_the_same_trace(self, sizes: list[int]) -> None:
        signal = np.sin(np.arange(sum(sizes)) / 9).astype(np.float32)
        ward = Ward(history_s=60.0, clock=Clock())
        at = 0
        for seq, size in enumerate(sizes):
            part = signal[at : at + size]
            ward.add_chunk(chunk(seq, start_s=at / 360.0, values=part, fs=360.0))
            at += size
        whole = PeakDecimator(360.0, 1).push(signal[:, None])[:, 0]
        if whole.size:
            np.testing.assert_array_equal(held(ward), whole)

    def test_beds_beyond_the_bound_are_refused_and_counted(self) -> None:
        ward = Ward(history_s=1.0, clock=Clock())
        for number in range(MAX_BEDS + 3):
            ward.add_chunk(chunk(bed=f"bed-{number}"))
        snapshot = ward.snapshot()
        assert len(snapshot.beds) == MAX_BEDS
        assert snapshot.unseen_beds == 3
        assert summarise(snapshot).counts.endswith(" · 3 BEDS NOT SHOWN")

    def test_beds_come_in_natural_order(self) -> None:
        ward = Ward(history_s=1.0, clock=Clock())
        for name in ("bed-10", "bed-2", "ICU", "bed-1"):
            ward.add_chunk(chunk(bed=name))
        assert [bed.bed for bed in ward.snapshot().beds] == ["bed-1", "bed-2", "bed-10", "ICU"]


class TestAlarms:
    def test_the_highest_offset_and_revision_wins_in_any_order(self) -> None:
        ward = Ward(clock=Clock())
        ward.add_alarm(alarm(offset=5, revision=1, state=AlarmState.ACKNOWLEDGED))
        ward.add_alarm(alarm(offset=5, revision=0))
        ward.add_alarm(alarm(offset=4, revision=9))
        bed = ward.snapshot().bed("bed-01")
        assert bed is not None
        assert [one.state for one in bed.alarms] == [AlarmState.ACKNOWLEDGED]

    def test_an_ended_alarm_leaves_the_bed_and_stays_in_the_list(self) -> None:
        ward = Ward(clock=Clock())
        ward.add_alarm(alarm(offset=1))
        ward.add_alarm(alarm(offset=2, state=AlarmState.ENDED))
        ward.add_alarm(alarm(offset=1))
        snapshot = ward.snapshot()
        bed = snapshot.bed("bed-01")
        assert bed is not None
        assert bed.alarms == ()
        assert [one.state for one in snapshot.alarms] == [AlarmState.ENDED]

    def test_the_list_is_bounded(self) -> None:
        ward = Ward(clock=Clock())
        for number in range(MAX_ALARMS + 50):
            ward.add_alarm(alarm(str(number), number, state=AlarmState.ENDED))
        listed = ward.snapshot().alarms
        assert len(listed) == MAX_ALARMS
        assert listed[0].id == str(MAX_ALARMS + 49)

    def test_the_most_urgent_comes_first(self) -> None:
        ward = Ward(clock=Clock())
        for identity, priority in (
            ("t", Priority.TECHNICAL),
            ("m", Priority.MEDIUM),
            ("h", Priority.HIGH),
        ):
            ward.add_alarm(alarm(identity, priority=priority))
        bed = ward.snapshot().bed("bed-01")
        assert bed is not None
        assert [one.id for one in bed.alarms] == ["h", "m", "t"]


class TestRecords:
    def reader(self) -> tuple[RecordReader, Ward, Settings]:
        ward, settings = Ward(clock=Clock()), Settings()
        return RecordReader(ward, settings), ward, settings

    def raw(self, settings: Settings, key: bytes = b"bed-01") -> FakeRecord:
        one = chunk()
        value = wire.encode(
            bed=one.bed,
            device=one.device,
            kind="ecg",
            channels=("II",),
            unit="mV",
            fs_hz=FS,
            start_ns=one.start_ns,
            seq=0,
            samples=(one.samples * 200).astype(np.int16),
            gain=200.0,
            baseline=0,
        )
        return FakeRecord(settings.topics.raw, value, key=key, headers=wire.headers(wire.AVRO))

    def test_each_topic_fills_its_part(self) -> None:
        reader, ward, settings = self.reader()
        reader.read(self.raw(settings), 0.0)
        reader.read(FakeRecord(settings.topics.vitals, msgspec.json.encode(VitalBatch([vital()]))), 0.0)
        prediction = Prediction(
            "p", "bed-01", "ecg", "m", "II", T0, T0 + 1, {"vf": 0.9, "other": 0.1}, [], 0.8, 0, 0
        )
        batch = msgspec.json.encode(PredictionBatch([prediction]))
        reader.read(FakeRecord(settings.topics.predictions, batch), 0.0)
        reader.read(FakeRecord(settings.topics.alarms, msgspec.json.encode(alarm())), 0.0)
        bed = ward.snapshot().bed("bed-01")
        assert bed is not None
        assert bed.streams[0].head_index == 250
        assert bed.vital is not None
        assert bed.vital.heart_rate_bpm == 72.0
        assert bed.findings[0].label == "vf"
        assert len(bed.alarms) == 1
        assert reader.n_unreadable == 0

    @settings(deadline=None)
    @given(st.binary(max_size=200), st.sampled_from(["raw", "vitals", "predictions", "alarms"]))
    def test_garbage_is_counted_and_stops_nothing(self, value: bytes, topic: str) -> None:
        reader, ward, settings = self.reader()
        reader.read(FakeRecord(getattr(settings.topics, topic), value), 0.0)
        assert reader.n_unreadable == 1
        assert ward.snapshot().beds == ()

    @pytest.mark.parametrize("value", [b'{"schema":"\xff"}', b"[" * 100_000, b'{"x":[' * 100_000])
    @pytest.mark.parametrize("topic", ["vitals", "predictions", "alarms", "beds"])
    def test_broken_names_and_endless_nesting_stop_nothing(self, value: bytes, topic: str) -> None:
        reader, _, settings = self.reader()
        reader.read(FakeRecord(getattr(settings.topics, topic), value), 0.0)
        assert reader.n_unreadable == 1

    def test_a_chunk_under_another_beds_key_is_not_shown(self) -> None:
        reader, ward, settings = self.reader()
        reader.read(self.raw(settings, key=b"bed-02"), 0.0)
        assert reader.n_unreadable == 1
        assert ward.snapshot().beds == ()

    def test_history_is_as_old_as_it_says(self) -> None:
        reader, ward, settings = self.reader()
        reader.read(self.raw(settings), 12.5)
        bed = ward.snapshot().bed("bed-01")
        assert bed is not None
        assert bed.age_s == pytest.approx(12.5)

    def test_a_vital_of_a_worker_that_woke_late_is_not_believed(self) -> None:
        ward = Ward(clock=Clock())
        ward.add_vital(vital(10.0, 10, 80.0))
        ward.add_vital(vital(5.0, 5, 60.0))
        bed = ward.snapshot().bed("bed-01")
        assert bed is not None
        assert bed.vital is not None
        assert bed.vital.heart_rate_bpm == 80.0


class TestPayload:
    def filled(self) -> tuple[Ward, Clock]:
        clock = Clock()
        ward = Ward(history_s=30.0, clock=clock)
        for seq in range(3):
            ward.add_chunk(chunk(seq, channels=("II", "V1", "V5")))
        ward.set_connected(True)
        return ward, clock

    def test_first_comes_history_then_what_a_busy_browser_may_have_skipped(self) -> None:
        ward, _ = self.filled()
        session = ViewSession("view", history_s=2.0)
        counts = []
        for seq in range(3, 10):
            header = header_of(build_feed(ward, session, ward.snapshot()))
            counts.append(header["beds"][0]["traces"][0]["count"])
            ward.add_chunk(chunk(seq, channels=("II", "V1", "V5")))
        # The history is repeated until four feeds have brought it, later ones repeat 4 s.
        assert counts == [500, 1000, 1000, 1250, 1000, 1000, 1000]

    def test_a_bed_that_comes_back_on_a_full_screen_brings_its_history_and_no_more(self) -> None:
        ward = Ward(history_s=60.0, clock=Clock())
        session = ViewSession("view", history_s=2.0)

        def counts(seq: int) -> dict[str, int]:
            for number in range(MAX_TILES + 1):
                ward.add_chunk(chunk(seq, bed=f"bed-{number}"))
            beds = header_of(build_feed(ward, session, ward.snapshot()))["beds"]
            return {bed["bed"]: bed["traces"][0]["count"] for bed in beds}

        last, pushed_out = f"bed-{MAX_TILES}", f"bed-{MAX_TILES - 1}"
        assert last not in counts(0)
        ward.add_alarm(alarm(bed=last))
        for seq in range(1, 30):
            assert pushed_out not in counts(seq)
        ward.add_alarm(alarm(bed=last, revision=1, state=AlarmState.ENDED))
        after = counts(30)
        assert last not in after
        assert after[pushed_out] == 500

    # Four waits of 7 s are less than the 30 s that are held: what is no longer held cannot be sent.
    @settings(deadline=None)
    @given(
        waits=st.lists(st.integers(0, 7), min_size=2, max_size=30),
        lost=st.lists(st.integers(0, 3), min_size=1, max_size=8),
    )
    def test_three_feeds_lost_in_a_row_lose_no_sample(self, waits: list[int], lost: list[int]) -> None:
        ward, _ = self.filled()
        session = ViewSession("view", history_s=2.0)
        taken: list[np.ndarray] = []
        head: int | None = None
        seq, to_lose = 3, [lost[0]]
        for turn, wait in enumerate(waits):
            feed = build_feed(ward, session, ward.snapshot())
            trace = header_of(feed)["beds"][0]["traces"][0]
            for _ in range(wait):  # chunks of a second between two feeds, none or many
                ward.add_chunk(chunk(seq, channels=("II", "V1", "V5")))
                seq += 1
            if to_lose[-1] > 0:
                to_lose[-1] -= 1
                continue
            to_lose.append(lost[(turn + 1) % len(lost)])
            assert head is None or trace["first"] <= head
            samples = samples_of(feed)[: trace["count"]] * trace["scale"]
            taken.append(samples[max(0, (head or trace["first"]) - trace["first"]) :])
            head = trace["first"] + trace["count"]
        if head is not None:
            joined = np.concatenate(taken)
            expected = np.arange(head - len(joined), head) / 1000
            np.testing.assert_allclose(joined, expected, atol=0.002)

    def test_a_browser_that_was_busy_for_four_seconds_lost_no_sample(self) -> None:
        ward, _ = self.filled()
        session = ViewSession("view", history_s=2.0)
        heads = []
        for seq in range(3, 20):
            for _ in range(2):
                trace = header_of(build_feed(ward, session, ward.snapshot()))["beds"][0]["traces"][0]
                heads.append(trace["first"] + trace["count"])
                assert trace["first"] <= heads[max(0, len(heads) - 8)]
            ward.add_chunk(chunk(seq, channels=("II", "V1", "V5")))

    def test_samples_come_back(self) -> None:
        ward, _ = self.filled()
        feed = build_feed(ward, ViewSession("view", history_s=3.0), ward.snapshot())
        trace = header_of(feed)["beds"][0]["traces"][0]
        assert trace["channels"] == ["II", "V1"]
        first = samples_of(feed)[: trace["count"]] * trace["scale"]
        np.testing.assert_allclose(first, np.arange(750) / 1000, atol=trace["scale"])

    def test_a_bed_page_gets_all_leads_of_its_bed_only(self) -> None:
        ward, _ = self.filled()
        ward.add_chunk(chunk(bed="bed-02"))
        header = header_of(build_feed(ward, ViewSession("view", bed="bed-01"), ward.snapshot()))
        assert [bed["bed"] for bed in header["beds"]] == ["bed-01"]
        assert header["beds"][0]["traces"][0]["channels"] == ["II", "V1", "V5"]

    def test_missing_samples_are_marked_and_change_no_scale(self) -> None:
        body, scale = quantise(np.array([[1.0], [np.nan], [-2.0]], dtype=np.float32))
        digital = np.frombuffer(body, dtype="<i2")
        assert digital[1] == -32768
        np.testing.assert_allclose(digital[[0, 2]] * scale, [1.0, -2.0], rtol=1e-3)

    def test_an_old_number_is_not_sent(self) -> None:
        ward, clock = self.filled()
        ward.add_vital(vital())
        session = ViewSession("view")
        assert header_of(build_feed(ward, session, ward.snapshot()))["beds"][0]["heartRate"] == 72
        clock.now += 6.0
        assert header_of(build_feed(ward, session, ward.snapshot()))["beds"][0]["heartRate"] is None

    def test_an_unusable_number_is_not_sent(self) -> None:
        ward, _ = self.filled()
        ward.add_vital(vital(rate=None))
        assert header_of(build_feed(ward, ViewSession("v"), ward.snapshot()))["beds"][0]["heartRate"] is None

    def test_a_message_gets_the_prefix_of_its_priority_once(self) -> None:
        ward, _ = self.filled()
        ward.add_alarm(alarm("a", message="VENT FIB"))
        ward.add_alarm(alarm("b", message="!!! NO DATA", priority=Priority.TECHNICAL))
        alarms = header_of(build_feed(ward, ViewSession("v"), ward.snapshot()))["beds"][0]["alarms"]
        assert [one["text"] for one in alarms] == ["*** VENT FIB", "!!! NO DATA"]

    def test_sixteen_beds_of_two_leads_stay_under_the_bound(self) -> None:
        ward = Ward(history_s=30.0, clock=Clock())
        session = ViewSession("view")
        sizes = []
        for seq in range(20):
            for bed in range(16):
                ward.add_chunk(chunk(seq, bed=f"bed-{bed}", channels=("II", "V1")))
            sizes += [len(build_feed(ward, session, ward.snapshot())) for _ in range(2)]
        steady = sizes[10:]
        per_second = sum(steady) / (len(steady) / 2)
        assert per_second < 200_000, f"{per_second:.0f} bytes a second"


class TestConnection:
    def test_a_missing_broker_is_said(self) -> None:
        settings = Settings(kafka=KafkaSettings(bootstrap_servers="127.0.0.1:9"))
        feed = Feed(settings)
        assert not feed.ward.snapshot().connected
        feed.start()
        try:
            deadline_problem = _wait_for_problem(feed)
        finally:
            feed.stop()
        assert "127.0.0.1:9" in deadline_problem
        assert not feed.ward.snapshot().connected
        assert not feed.alive


def _wait_for_problem(feed: Feed) -> str:
    import time

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        problem = feed.ward.snapshot().problem
        if problem and "not connected yet" not in problem:
            return problem
        time.sleep(0.05)
    raise AssertionError("the feed said nothing about the missing broker")


class TestAnalysis:
    """A bed whose ECG comes but that no worker analyses says so."""

    def run(self, clock: Clock, ward: Ward, first: int, last: int, *beds: str, analysed: bool) -> None:
        for second in range(first, last):
            clock.now = 100.0 + second
            for bed in beds:
                ward.add_chunk(chunk(second, bed=bed))
                if analysed:
                    ward.add_vital(msgspec.structs.replace(vital(float(second), second), bed=bed))

    def header(self, ward: Ward, bed: str | None = None) -> dict:
        return header_of(build_feed(ward, ViewSession("v", bed=bed), ward.snapshot()))

    def test_a_worker_that_died_is_told(self) -> None:
        clock = Clock()
        ward = Ward(clock=clock)
        self.run(clock, ward, 0, 20, "bed-01", "bed-02", analysed=True)
        assert self.header(ward)["noAnalysis"] is None
        self.run(clock, ward, 20, 43, "bed-01", "bed-02", analysed=False)
        header = self.header(ward)
        assert header["noAnalysis"] == 22.0
        assert [bed["unanalysed"] for bed in header["beds"]] == [22.0, 22.0]
        assert header["counts"] == "2 beds · 0 high · 0 medium · 0 low · 2 technical"
        assert header["urgent"]["text"] == "!!! NOT ANALYSED 22 s: alarms suspended"
        self.run(clock, ward, 43, 44, "bed-01", "bed-02", analysed=True)
        assert self.header(ward)["noAnalysis"] is None

    def test_a_bed_that_the_worker_refuses_is_told_but_the_ward_is_analysed(self) -> None:
        clock = Clock()
        ward = Ward(clock=clock)
        for second in range(12):
            self.run(clock, ward, second, second + 1, "bed-01", analysed=True)
            self.run(clock, ward, second, second + 1, "bed-02", analysed=False)
        header = self.header(ward)
        assert [bed["unanalysed"] for bed in header["beds"]] == [None, 11.0]
        assert header["noAnalysis"] is None

    def test_a_bed_that_has_just_begun_or_begun_again_is_given_time(self) -> None:
        clock = Clock()
        ward = Ward(clock=clock)
        self.run(clock, ward, 0, 10, "bed-01", analysed=False)
        assert self.header(ward)["beds"][0]["unanalysed"] is None
        self.run(clock, ward, 10, 12, "bed-01", analysed=True)
        self.run(clock, ward, 30, 38, "bed-01", analysed=False)
        assert self.header(ward)["beds"][0]["unanalysed"] is None
        self.run(clock, ward, 38, 42, "bed-01", analysed=False)
        assert self.header(ward)["beds"][0]["unanalysed"] == 11.0

    def test_a_silent_bed_and_one_without_numbers_are_not_judged(self) -> None:
        clock = Clock()
        ward = Ward(clock=clock)
        for second in range(20):
            clock.now = 100.0 + second
            ward.add_chunk(chunk(second, bed="breath", kind=SignalKind.RESP))
            if second < 12:
                ward.add_chunk(chunk(second, bed="silent"))
        header = self.header(ward)
        assert [bed["unanalysed"] for bed in header["beds"]] == [None, None]
        assert header["noAnalysis"] is None
        assert header["counts"] == "2 beds · 0 high · 0 medium · 0 low · 1 technical"
        assert header["urgent"] == {"bed": "silent", "priority": "technical", "text": "!!! NO DATA 8 s"}

    def test_the_page_of_a_bed_tells_the_alarms_of_all(self) -> None:
        clock = Clock()
        ward = Ward(clock=clock)
        self.run(clock, ward, 0, 5, "bed-01", "bed-02", analysed=True)
        ward.add_alarm(alarm(bed="bed-02"))
        header = self.header(ward, bed="bed-01")
        assert [bed["bed"] for bed in header["beds"]] == ["bed-01"]
        assert header["counts"] == "2 beds · 1 high · 0 medium · 0 low · 0 technical"
        assert header["urgent"] == {"bed": "bed-02", "priority": "high", "text": "*** VENT FIB"}


def bed_status(**changes: object) -> Bed:
    whole = Bed(
        bed="bed-1",
        ward="icu",
        stay=None,
        admitted=False,
        admitted_ns=None,
        profile="adult",
        standby=False,
        standby_by=None,
        audio_paused_until_ns=None,
        audio_paused_by=None,
        audio_paused_up_to=None,
        settings=[],
        revision=1,
        emitted_ns=1,
    )
    return msgspec.structs.replace(whole, **changes)


class TestBedStatus:
    def test_standby_is_said_instead_of_no_data(self) -> None:
        clock = Clock()
        ward = Ward(clock=clock)
        ward.add_chunk(chunk(bed="bed-1"))
        ward.add_bed(bed_status(standby=True, standby_by="nina"))
        clock.now += 60
        (bed,) = ward.snapshot().beds
        assert own_findings(bed) == []
        ward.add_bed(bed_status(revision=2))
        (bed,) = ward.snapshot().beds
        assert [one.text for one in own_findings(bed)] == ["!!! NO DATA 60 s"]

    def test_a_discharged_bed_leaves_the_ward_until_data_come(self) -> None:
        clock = Clock()
        ward = Ward(clock=clock)
        ward.add_chunk(chunk(bed="bed-1"))
        clock.now += 60
        ward.add_bed(bed_status(discharged_ns=5))
        assert ward.snapshot().beds == ()
        ward.add_chunk(chunk(bed="bed-1", seq=1))
        assert [bed.bed for bed in ward.snapshot().beds] == ["bed-1"]
