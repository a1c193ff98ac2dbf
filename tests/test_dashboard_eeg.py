"""The EEG of a bed: what is kept of it, what the page is sent, what it says without a browser."""

from __future__ import annotations

import re
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal as scipy_signal
from streamlit.testing.v1 import AppTest

from dashboard import eeg_looked
from dashboard.decimation import SmoothDecimator
from dashboard.eeg_feed import PAST_S, EegSession, build_eeg_feed
from dashboard.eeg_headers import Ask, EegFeed, Samples
from dashboard.eeg_layout import montages_of
from dashboard.eeg_marks import EegMarks
from dashboard.eeg_seconds import NAMES, EegSeconds
from dashboard.eeg_spectra import BINS, COLUMN_S, FLOOR_DB, STEP_DB, Spectra
from dashboard.ward import Ward
from inference.explanation_eeg import EegExplained
from inference.types import EegSide, EegTrends, Prediction, SoundEvent, Vital
from ingest.electrodes import SITES_10_20 as CHANNELS
from ingest.types import MISSING_INT16, NS_PER_S, Chunk, SignalKind

ROOT = Path(__file__).resolve().parent.parent
EEG = SignalKind.EEG
T0_NS = 1_700_000_000 * NS_PER_S


def chunk(
    second: float, samples: np.ndarray, channels: tuple[str, ...], off: tuple[bool, ...] | None = None
) -> Chunk:
    start_ns = T0_NS + round(second * NS_PER_S)
    return Chunk("bed", "e", EEG, channels, 256.0, start_ns, round(second), samples, off)


def side(**changed: float | None) -> EegSide:
    numbers = dict.fromkeys(EegSide.__struct_fields__, 1.0) | changed
    return EegSide(**numbers)


def vital(second: int, electrodes: dict[str, list[str]] | None = None, edge_hz: float | None = 12.0) -> Vital:
    trends = EegTrends(side(edge_hz=edge_hz), side(), side(), 0.25, 0.1, 18, 18, electrodes or {})
    time_ns = T0_NS + second * NS_PER_S
    return Vital(f"v{second}", "bed", "eeg", time_ns, None, None, 1.0, True, second, 0, eeg=trends)


def prediction(end_s: float, share: float, events: list[SoundEvent], quality: float = 1.0) -> Prediction:
    end_ns = T0_NS + round(end_s * NS_PER_S)
    return Prediction(
        f"p{end_s}", "bed", "eeg", "eeg-test", "all", end_ns - 4 * NS_PER_S, end_ns,
        {"background": 1 - share, "seizure": share}, [], quality, round(end_s), 0, events,
    )  # fmt: skip


def seizure(start_s: float, end_s: float, share: float = 0.9) -> SoundEvent:
    return SoundEvent("seizure", T0_NS + round(start_s * NS_PER_S), T0_NS + round(end_s * NS_PER_S), share)


class TestThinning:
    @settings(deadline=None)
    @given(
        st.lists(st.integers(1, 97), min_size=1, max_size=20),
        st.sampled_from([128.0, 256.0, 500.0, 1_024.0]),
        st.integers(0, 2**31),
    )
    def test_any_cut_gives_the_same_trace(self, cuts: list[int], fs: float, seed: int) -> None:
        signal = np.random.default_rng(seed).normal(size=(sum(cuts), 2)).astype(np.float32)
        whole = SmoothDecimator(fs, 2).push(signal)
        pieces = SmoothDecimator(fs, 2)
        joined = np.concatenate([pieces.push(part) for part in np.split(signal, np.cumsum(cuts)[:-1])])
        np.testing.assert_allclose(joined, whole, atol=1e-5)

    def test_fast_channels_are_taken_at_one_moment_without_mirror_tones(self) -> None:
        times_s = np.arange(8_000) / 1_000
        common = 3_000 * np.sin(2 * np.pi * 390 * times_s)  # would fold to 110 Hz of 250 Hz
        own = 20 * np.sin(2 * np.pi * 10 * times_s)
        decimator = SmoothDecimator(1_000.0, 2)
        thinned = decimator.push(np.stack([common + own, common], axis=1).astype(np.float32))
        kept = thinned[50:-50]
        difference = kept[:, 0] - kept[:, 1]
        at = np.arange(50, 50 + len(kept)) / decimator.fs_hz
        np.testing.assert_allclose(difference, 20 * np.sin(2 * np.pi * 10 * at), atol=0.3)
        assert np.abs(kept[:, 1]).max() < 10

    def test_a_long_gap_of_a_fast_eeg_is_missing_and_what_comes_after_stands_at_its_time(self) -> None:
        ward = Ward(history_s=120.0)
        wave = np.sin(np.arange(5_120) / 50)[:, None].astype(np.float32)
        ward.add_chunk(Chunk("bed", "e", EEG, ("C3",), 512.0, T0_NS, 0, wave))
        ward.add_chunk(Chunk("bed", "e", EEG, ("C3",), 512.0, T0_NS + 60 * NS_PER_S, 1, wave))
        window = ward.window("bed", EEG, 0, 0, 100.0)
        assert window is not None
        assert window.stream.fs_hz == 256.0
        missing = np.isnan(window.samples[:, 0])
        first, last = np.flatnonzero(missing[50:])[[0, -1]] + 50
        assert first == pytest.approx(2_560, abs=10)
        assert last == pytest.approx(60 * 256, abs=10)
        assert missing[first : last + 1].all()
        at = np.arange(last + 20, last + 1_000)
        np.testing.assert_allclose(window.samples[at, 0], np.sin((2 * at - 60 * 512) / 50), atol=0.01)
        behind_s = (T0_NS + 70 * NS_PER_S - window.stream.head_ns) / NS_PER_S
        assert behind_s == pytest.approx(16 / 512, abs=2 / 512)


class TestMontages:
    def test_rows_are_those_of_the_double_banana_by_side_and_weights_give_their_derivations(self) -> None:
        bipolar, average, recorded = montages_of(CHANNELS)
        assert [montage.id for montage in (bipolar, average, recorded)] == [
            "longitudinal", "average", "as_recorded",
        ]  # fmt: skip
        assert len(bipolar.rows) == 18
        assert [bipolar.rows[0].name, bipolar.rows[0].side, bipolar.rows[-1].side] == [
            "Fp1-F7", "left", "right",
        ]  # fmt: skip
        weights = dict(bipolar.rows[0].weights)
        assert weights == {CHANNELS.index("Fp1"): 1.0, CHANNELS.index("F7"): -1.0}
        assert len(average.rows) == len(recorded.rows) == 19
        assert sum(weight for _, weight in average.rows[3].weights) == pytest.approx(0, abs=1e-4)

    def test_an_electrode_that_is_off_is_no_part_of_the_mean_and_named(self) -> None:
        average = montages_of(CHANNELS, frozenset({"T7"}))[1]
        off = CHANNELS.index("T7")
        assert all(off not in dict(row.weights) for row in average.rows)
        assert average.said == "not in the mean, for they are off: T7"

    def test_channels_that_are_no_electrode_are_shown_as_they_come_and_missing_pairs_are_said(self) -> None:
        bipolar, _, recorded = montages_of(("Fp1", "F7", "ECG", "<b>x</b>", "C3", "C3"))
        assert {row.name for row in recorded.rows} == {"Fp1", "F7", "ECG", "<b>x</b>", "C3"}
        assert [row.group for row in recorded.rows if row.name == "ECG"] == ["no EEG by its name"]
        assert "not to be had of these electrodes" in bipolar.said
        assert "names no electrode has: <b>x</b>" in bipolar.said
        only = montages_of(("ch1", "ch2"))
        assert [montage.id for montage in only] == ["as_recorded"]


class TestSpectra:
    def test_a_column_is_welch_s_estimate_of_its_side_in_decibels(self) -> None:
        rng = np.random.default_rng(3)
        samples = rng.normal(0, 30, (12 * 256, 19)).astype(np.float32)
        spectra = Spectra()
        for second in range(12):
            spectra.push(
                chunk(second + 0.003 * (second % 2), samples[256 * second : 256 * second + 256], CHANNELS)
            )
        columns = spectra.since(0, 0)
        assert columns.levels.shape == (2, 2, BINS)
        assert columns.first == T0_NS // NS_PER_S // COLUMN_S
        bipolar = montages_of(CHANNELS)[0].rows
        rows = [dict(row.weights) for row in bipolar if row.side == "right"]
        piece = samples[: 4 * 256].astype(np.float64)
        derived = [sum(weight * piece[:, at] for at, weight in row.items()) for row in rows]
        _, density = scipy_signal.welch(np.array(derived), 256, nperseg=512, detrend="constant")
        expected = 10 * np.log10(density.mean(axis=0)[1 : BINS + 1])
        shown = FLOOR_DB + (columns.levels[0, 1].astype(float) - 1) * STEP_DB
        np.testing.assert_allclose(shown, expected, atol=STEP_DB)

    def test_what_never_came_or_is_off_is_missing_and_other_electrodes_count(self) -> None:
        samples = np.random.default_rng(3).normal(0, 30, (1_024, 19)).astype(np.float32)
        spectra = Spectra()
        spectra.push(chunk(0, samples, CHANNELS))
        spectra.push(chunk(12, samples, CHANNELS, tuple(name in ("Fp1", "F7", "F3") for name in CHANNELS)))
        everything = tuple(name[-1] in "13579" for name in CHANNELS)
        spectra.push(chunk(16, samples, CHANNELS, everything))
        spectra.push(chunk(20, samples, CHANNELS))
        there = spectra.since(0, 0).levels.max(axis=2) > 0
        assert there.tolist() == [[True, True], [False, False], [False, False], [True, True], [False, True]]

    def test_a_clock_that_is_set_back_or_another_layout_does_not_mix(self) -> None:
        samples = np.random.default_rng(3).normal(0, 30, (1_024, 19)).astype(np.float32)
        spectra = Spectra()
        for second in (0, 4, 8):
            spectra.push(chunk(second, samples, CHANNELS))
        before = spectra.since(0, 0)
        spectra.push(chunk(12, samples[:, :4], CHANNELS[:4]))
        assert spectra.since(before.epoch, before.first + 2).epoch == before.epoch
        spectra.push(chunk(-3_600, samples, CHANNELS))
        spectra.push(chunk(-3_596, samples, CHANNELS))
        after = spectra.since(before.epoch, before.first + 2)
        assert after.epoch != before.epoch
        assert len(after.levels) == 1


class TestMarks:
    def test_a_seizure_that_goes_on_is_one_span_with_its_highest_probability(self) -> None:
        marks = EegMarks()
        marks.add(prediction(10, 0.1, []))
        marks.add(prediction(12, 0.8, [seizure(9, 12, 0.8)]))
        marks.add(prediction(14, 0.95, [seizure(12, 14, 0.95)]))
        marks.add(prediction(40, 0.9, [seizure(37, 40)]))
        said = marks.since(0, 0)
        spans = [
            (span.start_s - T0_NS / NS_PER_S, span.end_s - T0_NS / NS_PER_S, span.probability)
            for span in said.spans
        ]
        assert spans == [(9, 14, 0.95), (37, 40, 0.9)]
        assert [step.probability for step in said.steps] == [0.1, 0.8, 0.95, 0.9]
        assert [step.probability for step in marks.since(said.epoch, 3).steps] == [0.9]

    def test_what_could_not_be_judged_has_no_probability_and_an_older_record_changes_nothing(self) -> None:
        marks = EegMarks()
        marks.add(prediction(10, 0.9, [seizure(8, 10)], quality=0.1))
        assert marks.since(0, 0).steps[0].probability is None
        assert marks.since(0, 0).spans == []
        marks.add(prediction(12, 0.9, []))
        marks.add(msgspec.structs.replace(prediction(12, 0.2, []), raw_offset=1))
        assert marks.since(0, 0).steps[-1].probability == 0.9


class TestSeconds:
    def test_trends_stand_by_name_and_none_is_not_a_number(self) -> None:
        seconds = EegSeconds()
        seconds.add(vital(1, edge_hz=9.5))
        seconds.add(vital(2, edge_hz=None))
        seconds.add(vital(2, edge_hz=3.0))
        found = seconds.since(0, 0)
        column = NAMES.index("edge_hz_left")
        np.testing.assert_equal(found.values[:, column], np.array([9.5, np.nan], np.float32))
        assert found.values[0, NAMES.index("asymmetry")] == 0.25
        assert len(seconds.since(found.epoch, 1).times_s) == 1

    def test_a_sign_is_one_span_as_long_as_it_is_told(self) -> None:
        seconds = EegSeconds()
        for second in range(1, 8):
            seconds.add(vital(second, {"F8": ["muscle"]} if 2 <= second <= 4 else {}))
        (sign,) = seconds.since(0, 0).signs
        assert (sign.channel, sign.sign) == ("F8", "muscle")
        assert (sign.start_s - T0_NS / NS_PER_S, sign.end_s - T0_NS / NS_PER_S) == (1, 4)
        assert seconds.since(seconds.since(0, 0).epoch, 7).signs == []

    def test_numbers_of_an_eeg_never_stand_large_as_a_heart_rate(self) -> None:
        ward = Ward()
        ward.add_vital(vital(3))
        ward.add_chunk(chunk(0, np.zeros((256, 1), np.float32), ("C3",)))
        bed = ward.snapshot().bed("bed")
        assert bed is not None
        assert bed.vital is None
        assert ward.vital_history("bed") == ()


def read(feed: bytes) -> tuple[EegFeed, bytes]:
    (length,) = struct.unpack_from("<I", feed)
    assert (4 + length) % 2 == 0
    return msgspec.json.decode(feed[4 : 4 + length], type=EegFeed), feed[4 + length :]


@dataclass
class Browser:
    """Holds what component/eeg_signal.js does, the plain way."""

    session: EegSession
    held: dict[int, np.ndarray] = field(default_factory=dict)
    epoch: int = 0
    seq: int = 0
    steps: list[float] = field(default_factory=list)

    def take(self, feed: bytes) -> None:
        header, body = read(feed)
        assert header.seq > self.seq
        self.seq = header.seq
        if header.stream is None:
            return
        if header.stream.epoch != self.epoch:
            self.epoch, self.held = header.stream.epoch, {}
        for block in (header.stream.newest, header.stream.past):
            if block is not None:
                body = self._hold(block, body)

    def _hold(self, block: Samples, body: bytes) -> bytes:
        size = 2 * len(block.scale) * block.count
        digital = np.frombuffer(body[:size], "<i2").reshape(len(block.scale), block.count).T
        physical = np.where(
            digital == MISSING_INT16, np.nan, digital * np.array(block.scale) + np.array(block.offset)
        )
        self.held |= dict(enumerate(physical, block.first))
        return body[size:]

    def ask_for_past(self) -> None:
        """Ask for the newest samples that are missing."""
        newest = max(self.held)
        hole = next(index for index in range(newest, -2, -1) if index not in self.held)
        self.session.answer(Ask("past", self.epoch, hole + 1))


class TestFeed:
    @settings(deadline=None, max_examples=30)
    @given(st.lists(st.tuples(st.sampled_from([0, 50, 128, 600]), st.booleans()), min_size=3, max_size=25))
    def test_what_is_skipped_is_sent_again_or_when_it_is_asked_for(
        self, steps: list[tuple[int, bool]]
    ) -> None:
        ward, session = Ward(history_s=600.0), EegSession("v", "bed")
        browser = Browser(session)
        whole = np.random.default_rng(5).normal(0, 40, (30_000, 3)).astype(np.float32)
        whole[:, 1] += 180_000  # an electrode's offset, 180 mV
        whole[100:120, 2] = np.nan
        at = 0
        for count, skipped in [(2_000, False), *steps, (50, False), (50, False)]:
            if count:
                ward.add_chunk(chunk(at / 256, whole[at : at + count], ("C3", "C4", "Cz")))
                at += count
            feed = build_eeg_feed(ward, session)
            if not skipped:
                browser.take(feed)
        for _ in range(200):
            if set(browser.held) == set(range(at)):
                break
            browser.ask_for_past()
            browser.take(build_eeg_feed(ward, session))
        got = np.array([browser.held[index] for index in range(at)])
        np.testing.assert_allclose(got, whole[:at], atol=0.05)

    def test_a_page_gets_little_each_time_and_a_minute_of_the_past_on_request(self) -> None:
        ward, session = Ward(history_s=600.0), EegSession("v", "bed")
        for second in range(100):
            ward.add_chunk(chunk(second, np.ones((256, 21), np.float32), tuple(f"c{n}" for n in range(21))))
        sizes = []
        for second in range(100, 106):
            ward.add_chunk(chunk(second, np.ones((256, 21), np.float32), tuple(f"c{n}" for n in range(21))))
            sizes.append(len(build_eeg_feed(ward, session)))
        assert max(sizes[3:]) < 40_000
        header, _ = read(build_eeg_feed(ward, session))
        assert header.stream is not None
        session.answer(Ask("past", header.stream.epoch, 25_000))
        past = read(build_eeg_feed(ward, session))[0].stream
        assert past is not None
        assert past.past is not None
        assert (past.past.first, past.past.count) == (25_000 - PAST_S * 256, PAST_S * 256)
        again = read(build_eeg_feed(ward, session))[0].stream
        assert again is not None
        assert again.past is None

    def test_a_page_that_was_closed_for_minutes_begins_with_seconds_and_asks_for_the_rest(self) -> None:
        ward, session = Ward(history_s=600.0), EegSession("v", "bed")
        browser = Browser(session)
        ward.add_chunk(chunk(0, np.ones((512, 2), np.float32), ("C3", "C4")))
        browser.take(build_eeg_feed(ward, session))
        ward.add_chunk(chunk(2, np.ones((200 * 256, 2), np.float32), ("C3", "C4")))
        browser.take(build_eeg_feed(ward, session))
        assert len(browser.held) == 512 + 4 * 256
        while len(browser.held) < 202 * 256:
            browser.ask_for_past()
            browser.take(build_eeg_feed(ward, session))

    def test_montages_come_at_first_and_when_an_electrode_goes_off(self) -> None:
        ward, session = Ward(), EegSession("v", "bed")
        layouts = []
        for second in range(6):
            off = tuple(second >= 4 and name == "T7" for name in CHANNELS)
            ward.add_chunk(chunk(second, np.ones((256, 19), np.float32), CHANNELS, off))
            header, _ = read(build_eeg_feed(ward, session))
            layouts.append(header.layout)
            assert header.whole == (second < 2)
        assert [layout is not None for layout in layouts] == [True, True, False, False, True, True]
        assert layouts[0] is not None
        assert layouts[4] is not None
        assert [len(layout[1].rows) for layout in (layouts[0], layouts[4])] == [19, 18]
        assert header.stream is not None
        assert header.stream.off == [(7, T0_NS / NS_PER_S + 4, T0_NS / NS_PER_S + 6)]

    def test_trends_spectra_and_marks_travel_twice_and_all_of_them_to_a_page_that_asks(self) -> None:
        ward, session = Ward(), EegSession("v", "bed")
        found = []
        for second in range(12):
            ward.add_chunk(chunk(second, np.ones((256, 19), np.float32), CHANNELS))
            ward.add_vital(vital(second + 1))
            ward.add_prediction(prediction(second + 1, 0.1, []))
            found.append(read(build_eeg_feed(ward, session)))
        header, body = found[-1]
        assert header.trends is not None
        assert header.marks is not None
        assert (header.trends.first, header.trends.count, len(header.marks.steps)) == (10, 2, 2)
        times = np.frombuffer(body[-2 * (8 + 4 * len(NAMES)) :][:16], "<f8")
        assert times.tolist() == [T0_NS / NS_PER_S + 11, T0_NS / NS_PER_S + 12]
        session.answer(Ask("whole"))
        again, _ = read(build_eeg_feed(ward, session))
        assert again.trends is not None
        assert again.spectrum is not None
        assert again.marks is not None
        assert again.whole
        assert again.layout
        assert (again.trends.count, again.spectrum.count, len(again.marks.steps)) == (12, 2, 12)


def asked_why(ward: Ward, session: EegSession, at_s: float) -> EegFeed:
    """Ask what spoke for a seizure and return the feed that answers."""
    session.answer(Ask("explain", time_s=T0_NS / NS_PER_S + at_s, number=session.seq))
    for _ in range(400):
        header, _ = read(build_eeg_feed(ward, session))
        if header.looked or header.explanation != "The network is asked …":
            return header
        time.sleep(0.01)
    raise AssertionError("no answer within 4 s")


class TestWhy:
    def bed(self) -> Ward:
        ward = Ward(history_s=600.0)
        for second in range(0, 150, 10):
            ward.add_chunk(chunk(second, np.full((2_560, 19), second, np.float32), CHANNELS))
        return ward

    def test_only_a_network_that_is_shipped_is_asked(self) -> None:
        ward = self.bed()
        header = asked_why(ward, EegSession("a", "bed"), 5)
        assert header.explanation == "No network has judged this EEG: there is nothing to explain"
        ward.add_prediction(prediction(10, 0.9, []))
        header = asked_why(ward, EegSession("b", "bed"), 5)
        assert header.explanation == "The network that judged this EEG is not among those of this dashboard"

    def test_what_spoke_for_a_seizure_is_at_its_time_and_shown_until_it_is_forgotten(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given: list[tuple[np.ndarray, float]] = []

        def explain(
            samples: np.ndarray, fs_hz: float, channels: tuple[str, ...], at_s: float, model: str
        ) -> EegExplained:
            given.append((samples, at_s))
            cam = np.array([[0.25, 1.0]], np.float32)
            return EegExplained(model, 0.87, at_s, at_s - 1, ("Fp1-F7",), cam, cam, cam[0])

        monkeypatch.setattr(eeg_looked, "explain_eeg", explain)
        monkeypatch.setattr(eeg_looked.cards, "shipped", lambda: ["eeg-test"])
        ward, session = self.bed(), EegSession("c", "bed")
        ward.add_prediction(prediction(135, 0.9, []))
        looked = asked_why(ward, session, 134.0).looked
        assert looked is not None
        assert (looked.at_s - T0_NS / NS_PER_S, looked.start_s - T0_NS / NS_PER_S) == (134.0, 133.0)
        assert (looked.cam, looked.derivations, looked.probability) == ([[0.25, 1.0]], ["Fp1-F7"], 0.87)
        ((samples, at_s),) = given
        assert (at_s, len(samples), samples[round(at_s * 256), 0]) == (120.0, 130 * 256, 130.0)
        asked_why(ward, session, 3.5)
        assert given[-1][1] == 3.0
        far = asked_why(ward, session, 900.0)
        assert far.explanation == "No explanation: this moment is not held here any more"
        session.answer(Ask("forget"))
        header, _ = read(build_eeg_feed(ward, session))
        assert (header.looked, header.explanation) == (None, "")


def page(ward: Ward) -> AppTest:
    def script(ward):  # type: ignore[no-untyped-def]
        from dashboard import eeg_pane

        eeg_pane.show_eeg(ward, "bed")

    return AppTest.from_function(script, args=(ward,), default_timeout=30).run()


def test_a_bed_without_eeg_says_so_until_it_sends_one() -> None:
    ward = Ward()
    app = page(ward)
    assert [item.value for item in app.caption] == ["This bed sends no EEG."]
    ward.add_chunk(chunk(0, np.zeros((256, 1), np.float32), ("C3",)))
    app.run()
    assert not app.caption
    assert not app.exception


def test_labels_are_set_as_text_only_in_the_scripts() -> None:
    scripts = list((ROOT / "dashboard" / "component").glob("eeg_*.js"))
    assert len(scripts) >= 8
    for script in scripts:
        text = script.read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|https?:", text), script
