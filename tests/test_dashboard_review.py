"""The frozen view of a bed: what is measured is right, what is missing is shown, what is asked answered."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import review, shared
from dashboard.review import ReviewSession, answer, build_review, freeze
from dashboard.review_filters import filter_ecg
from dashboard.review_headers import Ask, ExplanationMark
from dashboard.snapshots import BedHistory
from dashboard.ward import Ward
from inference.types import Alarm, AlarmState, Beat, Delay, Prediction, Priority
from ingest.simulate import Ward as Simulated
from ingest.types import Chunk, SignalKind
from tests.browsing import CHROMIUM

ROOT = Path(__file__).resolve().parent.parent
T0 = 1_800_000_000_000_000_000
S = 1_000_000_000
BED = "bed-01"
LENGTH_S = 300
PEAK_S = 0.3
"""Where in its second each beat has its R peak."""


def lead(from_s: float, seconds: float = 1.0, fs: float = 250.0) -> np.ndarray:
    """One beat a second: an R of 1 mV at :data:`PEAK_S`, and a T wave."""
    phase = (from_s + np.arange(round(seconds * fs)) / fs) % 1.0
    r_wave = np.exp(-(((phase - PEAK_S) / 0.012) ** 2))
    return np.asarray(r_wave + 0.25 * np.exp(-(((phase - 0.6) / 0.05) ** 2)), dtype=np.float32)


def filled_ward() -> Ward:
    """Five minutes of a bed with 60 beats a minute, every tenth ventricular, a gap, and a lead off."""
    ward = Ward(history_s=600.0)
    for second in range(LENGTH_S):
        if not 100 <= second < 104:
            samples = np.stack([lead(second), -0.5 * lead(second)], axis=1)
            off = (False, 200 <= second < 206)
            chunk = Chunk(
                BED, "d", SignalKind.ECG, ("II", "V1"), 250.0, T0 + second * S, second, samples, lead_off=off
            )
            ward.add_chunk(chunk)
        breath = np.sin(2 * np.pi * (second + np.arange(25) / 25) / 4)[:, None].astype(np.float32)
        ward.add_chunk(Chunk(BED, "r", SignalKind.RESP, ("RESP",), 25.0, T0 + second * S, second, breath))
        time_ns = T0 + round((second + PEAK_S) * S)
        beats = [Beat(time_ns, "V" if second % 10 == 0 else "N", 0.9)]
        end_ns = T0 + (second + 1) * S
        ward.add_prediction(
            Prediction(
                "p", BED, "ecg", "m", "II", end_ns - 8 * S, end_ns, {"other": 0.9}, beats, 1.0, second, 0
            )
        )
    ward.add_alarm(alarm(LENGTH_S - 10.0))
    ward.set_connected(True)
    return ward


def alarm(onset_s: float) -> Alarm:
    onset_ns = T0 + round(onset_s * S)
    return Alarm(
        id="a",
        bed=BED,
        signal="ecg",
        kind="vt",
        priority=Priority.HIGH,
        state=AlarmState.ACTIVE,
        message="*** <b>V-TACH</b>",
        onset_ns=onset_ns,
        raised_ns=onset_ns,
        emitted_ns=onset_ns,
        ended_ns=None,
        value=None,
        limit=None,
        unit=None,
        delay=Delay(1.0, 0.0, 0.1),
        raw_offset=1,
        revision=0,
    )


def header_of(payload: bytes) -> dict[str, Any]:
    (length,) = struct.unpack_from("<I", payload)
    found: dict[str, Any] = json.loads(payload[4 : 4 + length])
    return found


def samples_of(payload: bytes) -> np.ndarray:
    (length,) = struct.unpack_from("<I", payload)
    return np.frombuffer(payload[4 + length :], dtype="<i2")


@pytest.fixture(scope="module")
def ward() -> Ward:
    return filled_ward()


@pytest.fixture(autouse=True)
def _nothing_else_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks are loaded within a test."""
    monkeypatch.setattr(review, "WAIT_S", 120.0)


@pytest.fixture
def session(ward: Ward) -> ReviewSession:
    history = ward.history(BED)
    assert history is not None
    return freeze(history)


class TestPayload:
    def test_all_signals_with_time_beats_and_alarms_come_as_bytes(self, session: ReviewSession) -> None:
        payload, said = build_review(session)
        header = header_of(payload)
        assert said == "ECG: as received"
        assert [(one["kind"], one["channels"], one["count"]) for one in header["traces"]] == [
            ("ecg", ["II", "V1"], LENGTH_S * 250),
            ("resp", ["RESP"], LENGTH_S * 25),
        ]
        ecg = header["traces"][0]
        assert ecg["knots"][0] == [0, T0 / S]
        assert ecg["knots"][-1] == [LENGTH_S * 250, T0 / S + LENGTH_S]
        assert ecg["leadOff"] == [[1, T0 / S + 200, T0 / S + 206]]
        first = samples_of(payload)[: ecg["count"]]
        assert (first == -32768).sum() == 4 * 250
        assert first[75] * ecg["scale"] == pytest.approx(1.0, abs=0.01)
        assert len(header["beats"]) == LENGTH_S
        assert [label for _, label in header["beats"][:2]] == ["V", "N"]
        assert header["alarms"][0]["onsetS"] == pytest.approx(T0 / S + LENGTH_S - 10)
        assert header["frozenS"] == pytest.approx(T0 / S + LENGTH_S)

    def test_a_filter_is_applied_to_the_ecg_alone_and_said(self, session: ReviewSession) -> None:
        asked = answer(session, Ask("filter", filter="monitor", notch=50))
        payload, said = build_review(asked)
        assert "0.5–40 Hz" in said
        assert "causal" in said
        assert "50 Hz notch, zero-phase" in said
        raw = samples_of(build_review(session)[0])
        filtered = samples_of(payload)
        count = LENGTH_S * 250
        assert not np.array_equal(filtered[:count], raw[:count])
        np.testing.assert_array_equal(filtered[2 * count :], raw[2 * count :])
        assert (filtered[:count] == -32768).sum() == 4 * 250

    def test_an_explanation_is_of_the_moment_and_sends_no_samples_again(self, session: ReviewSession) -> None:
        moment = T0 / S + 200.0
        asked = answer(session, Ask("explain", time_s=moment, lead="II"))
        payload, _ = build_review(asked)
        header = header_of(payload)
        assert (header["traces"], header["problem"]) == ([], None)
        mark = header["explanation"]
        assert mark["channel"] == "II"
        assert mark["endS"] == pytest.approx(moment, abs=0.15)
        assert mark["endS"] - mark["startS"] == pytest.approx(8.0, abs=0.01)
        assert max(mark["attention"]) == pytest.approx(1.0)
        assert len(mark["timesS"]) == len(mark["attention"]) == len(mark["cam"])
        assert mark["label"] in mark["text"]

    def test_while_the_network_is_asked_the_page_goes_on(
        self, session: ReviewSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        may_end = threading.Event()
        asked_for = review.explain_moment

        def slow(history: BedHistory, asked: Ask) -> ExplanationMark:
            assert may_end.wait(60)
            return asked_for(history, asked)

        monkeypatch.setattr(review, "explain_moment", slow)
        monkeypatch.setattr(review, "WAIT_S", 0.0)
        ask = Ask("explain", time_s=T0 / S + 150.0, lead="II")
        waiting = answer(session, ask)
        header = header_of(build_review(waiting)[0])
        assert (header["pending"], header["explanation"], header["traces"]) == (True, None, [])
        may_end.set()
        monkeypatch.setattr(review, "WAIT_S", 120.0)
        # The browser asks the same again.
        header = header_of(build_review(answer(waiting, ask))[0])
        assert (header["pending"], header["explanation"]["channel"]) == (False, "II")

    def test_what_cannot_be_explained_says_why_and_a_filter_clears_it(self, session: ReviewSession) -> None:
        asked = answer(session, Ask("explain", time_s=T0 / S + 1.0))
        assert asked.problem is None
        asked = answer(session, Ask("explain", time_s=T0 / S + 200.0, label="stroke"))
        header = header_of(build_review(asked)[0])
        assert "no such class; give one of" in header["problem"]
        assert answer(asked, Ask("filter")).problem is None

    def test_a_bed_without_ecg_says_so(self) -> None:
        ward = Ward()
        ward.add_chunk(
            Chunk(BED, "r", SignalKind.RESP, ("RESP",), 25.0, T0, 0, np.zeros((25, 1), np.float32))
        )
        history = ward.history(BED)
        assert history is not None
        assert "sends no ECG" in str(answer(freeze(history), Ask("explain")).problem)

    def test_a_simulated_tachycardia_is_explained_as_one(self) -> None:
        ward = Ward(history_s=600.0)
        for chunk in Simulated(1, seed=3, events=[f"{BED}:vt@15s:15s"]).chunks(T0, 30.0):
            ward.add_chunk(chunk)
        history = ward.history(BED)
        assert history is not None
        asked = answer(freeze(history), Ask("explain", time_s=T0 / S + 29.0))
        assert asked.explanation is not None
        assert asked.explanation.label == "vt"


class TestFilters:
    def power(self, hz: float, name: str, notch: int, fs: float = 250.0) -> float:
        """What is left of a sine, as a share of its height."""
        times = np.arange(round(20 * fs)) / fs
        wave = np.sin(2 * np.pi * hz * times)[:, None].astype(np.float32)
        filtered, _ = filter_ecg(wave, fs, name, notch)  # type: ignore[arg-type]
        middle = filtered[len(filtered) // 2 : -len(filtered) // 8]
        return float(np.abs(middle).max())

    def test_the_bands_are_as_said(self) -> None:
        assert self.power(10.0, "raw", 0) == pytest.approx(1.0, abs=0.01)
        assert self.power(10.0, "monitor", 0) == pytest.approx(1.0, abs=0.05)
        assert self.power(0.1, "monitor", 0) < 0.1
        assert self.power(50.0, "monitor", 0) < 0.05
        assert self.power(10.0, "diagnostic", 0) == pytest.approx(1.0, abs=0.02)
        assert self.power(50.0, "diagnostic", 0) == pytest.approx(1.0, abs=0.05)
        assert self.power(50.0, "diagnostic", 50) < 0.05
        assert self.power(60.0, "raw", 60) < 0.05
        assert self.power(225.0, "diagnostic", 0, fs=500.0) < 0.5

    def test_what_the_rate_does_not_carry_is_said(self) -> None:
        wave = np.zeros((500, 1), dtype=np.float32)
        assert "125 Hz, which the display rate" in filter_ecg(wave, 250.0, "diagnostic", 0)[1]
        assert "too slow" in filter_ecg(wave, 62.5, "monitor", 0)[1]

    def test_zero_phase_moves_no_peak_and_missing_samples_stay_missing(self) -> None:
        wave = np.tile(lead(0.0), 20)[:, None]
        wave[1000:1100] = np.nan
        filtered, _ = filter_ecg(wave, 250.0, "diagnostic", 50)
        assert np.isnan(filtered[1000:1100]).all()
        assert not np.isnan(np.delete(filtered, slice(1000, 1100))).any()
        for second in (2, 7, 17):
            peak = second * 250 + int(np.argmax(filtered[second * 250 : second * 250 + 250, 0]))
            assert peak == second * 250 + round(PEAK_S * 250)

    def test_a_lead_without_any_sample_is_left_as_it_is(self) -> None:
        empty = np.full((500, 1), np.nan, dtype=np.float32)
        for name in ("raw", "monitor", "diagnostic"):
            assert np.isnan(filter_ecg(empty, 250.0, name, 50)[0]).all()  # type: ignore[arg-type]


APP = f"""
import sys
from types import SimpleNamespace

import streamlit as st

sys.path.insert(0, {str(ROOT)!r})
sys.path.insert(0, {str(ROOT / "tests")!r})
st.set_page_config(layout="wide")

from test_dashboard_review import filled_ward

from dashboard import monitor, page_bed, shared, views


@st.cache_resource
def feed():
    return SimpleNamespace(ward=filled_ward())


shared.feed = feed
st.html(views.PAGE_STYLE)
monitor.mount_sound()
page_bed.show()
"""


def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    # The script puts a feed of its own there: the next test gets the real one back.
    monkeypatch.setattr(shared, "feed", shared.feed)
    script = tmp_path / "app.py"
    script.write_text(APP)
    return AppTest.from_file(str(script), default_timeout=30)


class TestPage:
    def test_live_and_frozen_are_chosen_and_each_says_what_it_is(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        page = app(tmp_path, monkeypatch).run()
        assert not page.exception
        view = page.segmented_control(key="bed-view")
        assert (view.options, view.value) == (["Live", "Freeze / review"], "Live")
        view.set_value("Freeze / review").run()
        assert not page.exception
        held = page.session_state["review-session"]
        assert held.bed == BED
        page.segmented_control(key="bed-view").set_value("Live").run()
        assert not page.exception
        assert "review-session" not in page.session_state

    @pytest.mark.parametrize("part", ["Numbers, alarms", "Controls", "Limits", "Sounds", "EEG", "Trends"])
    def test_every_part_of_the_page_opens(
        self, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        page = app(tmp_path, monkeypatch).run()
        page.segmented_control(key="part").set_value(part).run()
        assert not page.exception


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Address and process of the bed's page on a server of its own, without a broker."""
    script = tmp_path_factory.mktemp("review") / "app.py"
    script.write_text(APP)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.headless=true"]
    options = [f"--server.port={port}", "--server.address=127.0.0.1", "--browser.gatherUsageStats=false"]
    server = subprocess.Popen([*command, *options], cwd=script.parent, stdout=subprocess.DEVNULL)
    yield f"http://127.0.0.1:{port}", server
    server.terminate()
    server.wait(20)


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not there: apt-get install chromium")
@pytest.mark.slow
def test_a_frozen_bed_is_scrolled_zoomed_measured_and_explained(
    server: tuple[str, subprocess.Popen[bytes]],
) -> None:
    address, process = server
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        foreign: list[str] = []
        page.on("request", lambda request: foreign.append(request.url))
        deadline = time.monotonic() + 60
        while True:
            try:
                page.goto(address)
                break
            except api.Error:
                assert time.monotonic() < deadline
        page.get_by_text("Freeze / review").click(timeout=60_000)
        review = page.locator(".review")
        api.expect(review).to_have_attribute("data-end", f"{T0 / S + LENGTH_S:.3f}", timeout=30_000)
        assert "FROZEN – not live, 08:05:00 UTC" in review.inner_text()
        now = page.locator(".now")
        api.expect(now).to_contain_text("*** <b>V-TACH</b>")
        api.expect(now).to_contain_text("live")
        paper, readout = page.locator("canvas.paper"), page.get_by_test_id("readout")

        assert int(paper.get_attribute("data-beats")) >= 13
        page.get_by_role("button", name="two beats in a row").click()
        api.expect(readout).to_contain_text("Δt 1000 ms")
        api.expect(readout).to_contain_text("60.0 bpm")
        api.expect(readout).to_contain_text("Δ +0.00 mV")
        page.get_by_role("slider", name="Calliper B").press("ArrowRight")
        api.expect(readout).to_contain_text("Δt 1004 ms")
        for _ in range(2):
            page.get_by_role("slider", name="Calliper B").press("Shift+ArrowLeft")
        api.expect(readout).to_contain_text("Δt 924 ms   64.9 bpm   II: Δ −1.00 mV")
        handle = page.get_by_role("slider", name="Calliper B").bounding_box()
        page.mouse.move(handle["x"] + 12, handle["y"] + 12)
        page.mouse.down()
        # 25 mm/s at 96 dpi: 94.49 pixels a second.
        page.mouse.move(handle["x"] + 12 + 47.24, handle["y"] + 12, steps=4)
        page.mouse.up()
        api.expect(review).to_have_attribute("data-ms", "1424")

        paper.press("ArrowLeft")
        api.expect(review).to_have_attribute("data-end", f"{T0 / S + LENGTH_S - 1:.3f}")
        paper.press("Home")
        api.expect(review).to_have_attribute("data-from", f"{T0 / S:.3f}")
        paper.press("End")
        paper.press("+")
        api.expect(review).to_have_attribute("data-speed", "50")
        paper.press("-")
        api.expect(review).to_have_attribute("data-speed", "25")
        box = paper.bounding_box()
        page.mouse.move(box["x"] + 300, box["y"] + 60)
        page.mouse.wheel(0, -1000)
        api.expect(review).not_to_have_attribute("data-end", f"{T0 / S + LENGTH_S:.3f}")
        before = float(str(review.get_attribute("data-end")))
        page.mouse.down()
        page.mouse.move(box["x"] + 300 + 94.49, box["y"] + 60, steps=5)
        page.mouse.up()
        api.expect(review).to_have_attribute("data-end", f"{before - 1:.3f}")

        page.get_by_role("combobox", name="ECG filter").select_option("diagnostic")
        api.expect(page.locator(".review .said")).to_contain_text("zero-phase")
        page.get_by_role("button", name="What the network says").click()
        api.expect(review).not_to_have_attribute("data-explained", "", timeout=20_000)
        api.expect(page.locator(".review .said")).to_contain_text("zero-phase")
        page.get_by_role("button", name="Take the newest ten minutes").click()
        api.expect(page.locator(".review .said")).to_have_text("ECG: as received")
        page.get_by_text("Live", exact=True).click()
        page.wait_for_selector(".tile canvas")
        assert [url for url in foreign if url.startswith("http") and not url.startswith(address)] == []
        page.get_by_text("Freeze / review").click()
        api.expect(now).to_contain_text("live", timeout=20_000)
        process.terminate()
        api.expect(now).to_contain_text("CONNECTION LOST", timeout=20_000)
        for what in ("live", "V-TACH"):
            api.expect(now).not_to_contain_text(what)
        browser.close()
