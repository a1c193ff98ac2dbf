"""Analyse: the page, the report and the commands of an EEG."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import wardwave
from dashboard import access_log
from dashboard.analysis_eeg_pictures import eeg_sheet, sheet_begin_s, trends_chart
from dashboard.analysis_report import to_html
from inference.analysis import analyse
from inference.analysis_eeg_parts import EegMark
from inference.analysis_eeg_trace import EegLooked, EegTrace
from inference.analysis_job import AnalysisDesk, Result
from inference.analysis_limits import AnalysisLimits
from inference.analysis_read import Opened
from inference.analysis_wire import Traces, trace_of
from inference.explanation_eeg_sheet import fitting_uv_mm, stretch_of
from ingest.montage import LONGITUDINAL, Montage
from ingest.recording import Recording, Signal
from ingest.sim_eeg_waves import CHANNELS
from ingest.types import SignalKind
from tests.eeg_files import by_name, edf
from tests.eeg_networks import Loud, loud
from tests.eeg_playing import FS, simulated

HOSTILE = "<img src=x onerror=alert(1)> **b** $x$ seizure"


@pytest.fixture(autouse=True)
def _no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    # AppTest has no browser.
    monkeypatch.setattr(access_log, "_address", lambda: None)


def a_result(eeg: np.ndarray, network: Loud | None) -> Result:
    signal = Signal(SignalKind.EEG, (*CHANNELS, HOSTILE), "uV", FS, np.column_stack([eeg, eeg[:, 0]]))
    marks = [EegMark(21.0, 33.0, HOSTILE, True), EegMark(3.0, 3.0, "eyes open", False)]
    traces: list[EegTrace] = []
    read = Opened(Recording(HOSTILE, (signal,)), "EDF", [], marks)
    found = analyse(read, None, lambda *_: None, seizures=network, eeg_traces=traces)
    return Result(found, Traces([trace_of(signal)], [], [], traces))


@pytest.fixture(scope="module")
def seizing() -> Result:
    found = a_result(loud(50, (20, 32)), Loud())
    looked = EegLooked(23.9, 9.9, 0.9, list(LONGITUDINAL), np.eye(18, 16).tolist(), "eeg-test")
    (seizure,), (trace,) = found.findings.eeg.seizures, found.traces.eegs  # type: ignore[union-attr]
    assert seizure.begin_s <= looked.at_s < seizure.raised_s
    shown = EegTrace(trace.signal, trace.column_s, trace.begin_s, trace.levels, [looked])
    return Result(found.findings, Traces(found.traces.traces, [], [], [shown]))


def a_page(result: Result) -> AppTest:
    def script(desk):  # type: ignore[no-untyped-def]
        from dashboard import analysis_view

        analysis_view.analyse_page(desk)

    app = AppTest.from_function(script, args=(AnalysisDesk(AnalysisLimits()),), default_timeout=120)
    app.session_state["analysis_result"] = result
    return app.run()


def test_the_page_says_what_was_found_in_how_much_and_shows_the_sheet_around_it(seizing: Result) -> None:
    app = a_page(seizing)
    assert not app.exception
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics["Seizures found"] == "1"
    assert metrics["Judged"] == "96%"
    assert "1 seizure found in 48 s judged of 50 s" in app.info[0].value.replace("\\", "")
    tables = [one.value for one in app.dataframe]
    found = next(one for one in tables if "Looked at most" in one)
    assert found["Looked at most"][0] == "F8-T8, Fp1-F7"
    electrodes = next(one for one in tables if "Read as" in one)
    assert list(electrodes["Use"]) == ["read"] * 19 + ["left out: no electrode has this name"]
    told = next(one for one in tables if "Annotated in the file" in one)
    assert list(told["Names a seizure"]) == ["yes", ""]
    said = " ".join(one.value for one in (*app.markdown, *app.caption))
    assert "of which 1 found and 0 not" in said.replace("\\", "")
    assert "<img" not in said.replace("\\<", "")
    around = next(one for one in app.selectbox if one.label == "Around")
    assert "seizure found, 90%" in around.options[0]
    assert around.options[-1] == "any moment"
    app.checkbox[0].check().run()
    assert not app.exception
    shaded = [one.value for one in app.caption if "HiResCAM" in one.value]
    assert len(shaded) == 1


@pytest.mark.slow
def test_another_montage_is_shown_without_what_the_network_does_not_see(seizing: Result) -> None:
    app = a_page(seizing)
    app.checkbox[0].check()
    app.selectbox(key="analysis-eeg-montage").select(Montage.AVERAGE).run()
    assert not app.exception
    assert any("longitudinal montage, which is what it sees" in one.value for one in app.caption)


@pytest.mark.slow
def test_without_a_network_the_page_counts_no_seizures() -> None:
    app = a_page(a_result(simulated(20), None))
    assert not app.exception
    metrics = {metric.label: metric.value for metric in app.metric}
    assert (metrics["Seizures found"], metrics["Judged"]) == ("–", "–")
    assert "were not looked for" in app.info[0].value
    assert not app.checkbox


def test_the_report_holds_all_of_it_escaped_and_alone(seizing: Result) -> None:
    page = to_html(seizing).decode()
    assert "<img src=x" not in page
    assert "http://" not in page
    assert "https://" not in page
    assert page.count("data:image/png;base64,") == 2
    for words in (
        "1 seizure found in 48 s judged of 50 s",
        "Not judged is not negative",
        "Not judged 0:00:47.9 to 0:00:50.0",
        "of which 1 found and 0 not",
        "F8-T8, Fp1-F7",
        "HiResCAM of eeg-test",
        "left out: no electrode has this name",
    ):
        assert words in page


def test_pictures_are_drawn_at_the_end_of_a_recording_and_of_nothing_too(seizing: Result) -> None:
    eeg, (trace,) = seizing.findings.eeg, seizing.traces.traces
    assert eeg is not None
    assert eeg_sheet(trace, eeg, 45.0, 10.0, dark=True).startswith(b"\x89PNG")
    nothing = EegTrace("eeg", 4.0, 0.0, b"", [])
    assert trends_chart(eeg, nothing, 50.0, dark=True).startswith(b"\x89PNG")
    assert [sheet_begin_s(at_s, 50.0) for at_s in (2.0, 20.4, 49.0)] == [0.0, 12.0, 30.0]


def test_a_sheet_shows_the_derivations_where_they_are_in_time_and_leaves_gaps_open() -> None:
    eeg = np.zeros((30 * 256, 19), dtype=np.float32)
    at = np.arange(len(eeg)) / 256
    eeg[:, CHANNELS.index("F7")] = 100 * np.sin(2 * np.pi * 5 * at) * ((at >= 18) & (at < 22))
    eeg[25 * 256 : 27 * 256, CHANNELS.index("F7")] = np.nan
    piece = stretch_of(eeg, FS, CHANNELS, 100.0, 110.0, 129.0)
    assert piece.begin_s == pytest.approx(110.0, abs=0.01)
    assert piece.values.shape == (19 * 128, 18)
    times_s = piece.begin_s + np.arange(len(piece.values)) / 128
    wave = piece.values[:, piece.plan.names.index("Fp1-F7")]
    loud_s = times_s[np.abs(wave) > 50]
    assert (loud_s[0], loud_s[-1]) == pytest.approx((118.0, 122.0), abs=0.15)
    # The derivation is Fp1 minus F7.
    assert np.corrcoef(wave[1_024:1_536], -100 * np.sin(2 * np.pi * 5 * times_s[1_024:1_536]))[0, 1] > 0.95
    lost_s = times_s[np.isnan(wave)]
    assert (lost_s[0], lost_s[-1]) == pytest.approx((125.0, 127.0), abs=0.05)
    assert fitting_uv_mm(piece) == 7.0


def test_the_command_explains_a_second_of_an_eeg(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = edf(tmp_path, by_name(loud(40, (20, 32)), CHANNELS))
    record, out = str(tmp_path / file.name), tmp_path / "why.html"
    assert wardwave.main(["explain", "eeg-seizure-1", record, "--at", "27", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "seizure explained; seizure " in said
    assert "what spoke for it: " in said
    assert "HiResCAM by derivation" in out.read_text()
    for more, words in (
        (["--at", "900"], "no samples in the part asked for"),
        (["--at", "45"], "ends at 40 s"),
        (["--at", "nan"], "give a moment of the recording"),
        (["--at", "27", "--class", "vf"], "of an EEG a seizure is explained"),
        (["--at", "27", "--lead", "Fp1"], "explained over all derivations"),
    ):
        assert wardwave.main(["explain", "eeg-seizure-1", record, *more, "--out", str(out)]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_names_the_network_and_refuses_one_that_reads_no_eeg(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = edf(tmp_path, by_name(loud(30), CHANNELS))
    record, report = str(tmp_path / file.name), tmp_path / "report.html"
    assert wardwave.main(["analyse", record, "--html", str(report), "--json", str(tmp_path / "f.json")]) == 0
    said = capsys.readouterr().out
    assert " found in 28 s judged of 30 s" in said
    assert "Looked at by eeg-seizure-1 (sha256 " in said
    assert "not judged 0:00:27.9 to 0:00:30.0: the recording ends" in said
    assert "Research software" in said
    assert "data:image/png;base64," in report.read_text()
    assert wardwave.main(["analyse", record, "--kind", "eeg", "--eeg-model", "none"]) == 0
    assert "seizures were not looked for" in capsys.readouterr().out
    assert wardwave.main(["analyse", record, "--eeg-model", "lung-sounds-1"]) == 2
    assert "a model of task lung; name one of task eeg" in capsys.readouterr().err
