"""Analyse: the page and the report of a sound, and what is asked before one is analysed."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import access_log
from dashboard.analysis_report import to_html
from dashboard.analysis_sound_pictures import sound_sheet
from dashboard.analysis_sound_report import sheet_begins_s
from inference.analysis import analyse
from inference.analysis_findings import Findings, head_lines, to_json
from inference.analysis_job import AnalysisDesk, Result
from inference.analysis_limits import AnalysisLimits
from inference.analysis_read import Opened
from inference.analysis_sound import sound_picture
from inference.analysis_sound_trace import SoundTrace
from inference.analysis_unpack import Upload
from inference.analysis_wire import Traces, picture_of
from ingest.recording import Recording, Signal
from ingest.types import SignalKind
from models.sounds import SoundModel
from tests.sound_networks import FS_HZ, RuleModel, breathing, random_model

HOSTILE = "<img src=x onerror=alert(1)> **b** $x$"
LUNG, HEART = SignalKind.LUNG_SOUND, SignalKind.HEART_SOUND
WHEEZES = ((13.0, 13.9), (25.2, 26.4))


@pytest.fixture(autouse=True)
def _no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    # AppTest has no browser.
    monkeypatch.setattr(access_log, "_address", lambda: None)


@pytest.fixture(autouse=True)
def _no_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.explanation_sound.load_listener", lambda name: random_model())


def a_result(model: SoundModel | None, kind: SignalKind = LUNG) -> Result:
    line = breathing(40.0, WHEEZES)
    line[32 * FS_HZ : 35 * FS_HZ] += 0.5 * np.random.default_rng(1).standard_normal(3 * FS_HZ)
    signal = Signal(kind, (HOSTILE,), "au", float(FS_HZ), line[:, None].astype(np.float32))
    traces: list[SoundTrace] = []
    found = analyse(
        Opened(Recording(HOSTILE, (signal,)), "WAV", []),
        None,
        lambda *_: None,
        listeners={} if model is None else {kind: model},
        sound_traces=traces,
    )
    return Result(found, Traces([], [picture_of(str(kind), sound_picture(signal))], traces))


@pytest.fixture(scope="module")
def wheezing() -> Result:
    return a_result(RuleModel())


def a_page(result: Result | None, held: list[Upload] | None = None) -> AppTest:
    def script(desk):  # type: ignore[no-untyped-def]
        from dashboard import analysis_view

        analysis_view.analyse_page(desk)

    app = AppTest.from_function(script, args=(AnalysisDesk(AnalysisLimits()),), default_timeout=60)
    if result is not None:
        app.session_state["analysis_result"] = result
    if held is not None:
        app.session_state["analysis_held"] = held
    return app.run()


def test_the_page_says_what_was_heard_and_in_which_breaths(wheezing: Result) -> None:
    app = a_page(wheezing)
    assert not app.exception
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics["Breaths/min"] == "15"
    assert metrics["Wheeze, highest"] == "90%, yes"
    assert metrics["Crackle, highest"] == "10%, no"
    assert metrics["Breaths: wheeze"].startswith("2 of ")
    assert metrics["Not judged (s)"] == "3"
    said = " ".join(one.value for one in app.markdown)
    assert "Whole recording: healthy 20%, chronic 70%, acute 10%" in said.replace("\\", "")
    captions = " ".join(one.value for one in app.caption).replace("\\", "")
    assert "Not judged 0:00:32.0 to 0:00:35.0: far louder than before: speech or rubbing" in captions
    assert "no network says where they begin" in captions
    table = next(one.value for one in app.dataframe if "Breath" in one.value)
    assert list(table["Class"]).count("wheeze") == 2
    assert set(table["Class"]) <= {"normal", "crackle", "wheeze", "both", "not judged"}


def test_what_the_network_looked_at_is_shown_on_request(wheezing: Result) -> None:
    app = a_page(wheezing)
    assert not any("HiResCAM" in one.value for one in app.caption)
    app.checkbox[0].check().run()
    assert not app.exception
    assert any("HiResCAM" in one.value and "wheeze" in one.value for one in app.caption)
    choose = next(one for one in app.selectbox if one.label == "For")
    assert choose.options == ["wheeze", "crackle", "healthy", "chronic", "acute"]
    choose.select("chronic").run()
    assert any("“chronic”" in one.value for one in app.caption)


def test_the_moments_to_look_at_are_those_that_were_marked(wheezing: Result) -> None:
    app = a_page(wheezing)
    around = next(one for one in app.selectbox if one.label == "Around")
    assert around.options[-1] == "any moment"
    assert [option.split()[1] for option in around.options[:-1]] == ["wheeze", "wheeze"]
    assert not app.slider
    around.select("any moment").run()
    assert app.slider[0].max == 25.0


def test_without_a_network_the_page_says_so_and_shows_the_sound() -> None:
    app = a_page(a_result(None))
    assert not app.exception
    assert "No network listened" in app.info[0].value
    assert not app.checkbox
    assert not any("Whole recording" in one.value for one in app.markdown)
    assert {metric.label: metric.value for metric in app.metric}["Breaths/min"] == "15"


def test_a_heart_sound_has_a_murmur_or_none_and_its_rate() -> None:
    app = a_page(a_result(random_model(heart=True), HEART))
    assert not app.exception
    metrics = {metric.label: metric.value for metric in app.metric}
    assert "Beats/min (S1, S2)" in metrics
    assert metrics["Murmur"].endswith(("yes", "no"))
    assert any("murmur present" in one.value for one in app.markdown)
    around = next(one for one in app.selectbox if one.label == "Around")
    assert around.options == ["any moment"]


def test_the_report_holds_all_of_it_escaped_and_alone(wheezing: Result) -> None:
    page = to_html(wheezing).decode()
    assert "<img src=x" not in page
    assert "http://" not in page
    assert "https://" not in page
    assert "Whole recording: healthy 20%, chronic 70%, acute 10%" in page
    assert page.count("data:image/png;base64,") == 3
    assert "Not judged 0:00:32.0 to 0:00:35.0" in page
    assert "<td>wheeze</td>" in page
    assert msgspec.json.decode(to_json(wheezing.findings), type=Findings) == wheezing.findings
    assert any("wheeze 90%" in line for line in head_lines(wheezing.findings))


def test_sheets_of_a_report_are_where_most_was_marked(wheezing: Result) -> None:
    (sound,) = wheezing.findings.sounds
    assert sheet_begins_s(sound, 40.0) == [0.0, 15.0]
    many = msgspec.structs.replace(sound, marks=sound.marks * 3)
    assert len(sheet_begins_s(many, 10_000.0)) <= 4
    assert sheet_begins_s(msgspec.structs.replace(sound, marks=[]), 40.0) == [0.0]


@pytest.mark.parametrize("length_s", [5.0, 60.0])
def test_a_sheet_is_drawn_at_the_end_of_a_sound_too(wheezing: Result, length_s: float) -> None:
    (sound,), (trace,) = wheezing.findings.sounds, wheezing.traces.sounds
    assert sound_sheet(trace, sound, 38.0, length_s).startswith(b"\x89PNG")


def test_a_sound_is_analysed_only_once_it_is_said_what_it_is_of() -> None:
    app = a_page(None, [Upload("heart.wav", b"RIFF")])
    button = next(one for one in app.button if one.label == "Analyse")
    assert button.disabled
    app.radio[0].set_value("Heart sounds").run()
    assert not next(one for one in app.button if one.label == "Analyse").disabled
    table = a_page(None, [Upload("x.csv", b"time_s,II\n")])
    assert not table.radio
    assert not next(one for one in table.button if one.label == "Analyse").disabled
