"""The Analyse page: hand in, see findings, take a report home; what is refused is said, names are text."""

from __future__ import annotations

import hashlib
import json
import re

import msgspec
import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import wardwave
from dashboard import access_log, analysis_cli, analysis_pictures, paper
from dashboard.analysis_report import to_html
from dashboard.settings import limits_of, load_dashboard_settings
from inference.analysis import analyse
from inference.analysis_eeg_parts import EegSeizure
from inference.analysis_findings import AlarmFinding, EegFindings, to_json
from inference.analysis_job import AnalysisDesk, Result
from inference.analysis_limits import AnalysisLimits
from inference.analysis_read import FileNote, Opened, ReadOptions
from inference.analysis_sound import sound_picture
from inference.analysis_unpack import Upload
from inference.analysis_wire import Traces, picture_of, trace_of
from inference.errors import BadUpload
from inference.types import Priority
from ingest.recording import Recording, Signal
from ingest.simulate import Ward
from ingest.types import SignalKind

HOSTILE = "<img src=x onerror=alert(1)> **b** [x](http://e) $x$"
LENGTH_S = 40.0


@pytest.fixture(autouse=True)
def _no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    # AppTest has no browser.
    monkeypatch.setattr(access_log, "_address", lambda: None)


def an_ecg(length_s: float = LENGTH_S) -> Signal:
    chunks = Ward(1, 5, ["bed-01:vf@20s:20s"]).chunks(0, length_s)
    samples = np.concatenate([chunk.samples for chunk in chunks])[:, :1]
    return Signal(SignalKind.ECG, (HOSTILE[:60],), "mV", 250.0, samples)


@pytest.fixture(scope="module")
def result() -> Result:
    from inference.analysis_ecg import load_networks
    from inference.cli import DEFAULT_MODEL

    ecg = an_ecg()
    sound = Signal(SignalKind.LUNG_SOUND, ("mono",), "au", 4000.0, np.full((4000, 1), 0.1, "f4"))
    opened = Opened(Recording(HOSTILE, (ecg, sound)), "WFDB", [HOSTILE])
    notes = [FileNote(HOSTILE, 123, "ab" * 32)]
    found = analyse(opened, load_networks(DEFAULT_MODEL, None), lambda *_: None, files=notes)
    picture = picture_of("lung_sound", sound_picture(sound))
    return Result(found, Traces([trace_of(ecg)], [picture]))


def a_page(desk: AnalysisDesk, result: Result | None = None) -> AppTest:
    def script(desk):  # type: ignore[no-untyped-def]
        from dashboard import analysis_view

        analysis_view.analyse_page(desk)

    app = AppTest.from_function(script, args=(desk,), default_timeout=60)
    if result is not None:
        app.session_state["analysis_result"] = result
    return app


def a_table(samples: np.ndarray) -> bytes:
    rows = "\n".join(f"{i / 250:.3f},{value:.4f}" for i, value in enumerate(samples))
    return f"time_s,II\n{rows}\n".encode()


def run_until_done(app: AppTest) -> None:
    if "analysis" in app.session_state:
        app.session_state["analysis"].wait(60)
    app.run()


def test_a_recording_is_handed_in_and_its_findings_are_shown() -> None:
    desk = AnalysisDesk(AnalysisLimits())
    app = a_page(desk).run()
    assert app.button[0].disabled
    app.file_uploader[0].upload("sim.csv", a_table(an_ecg(25.0).samples[:, 0]), "text/csv").run()
    app.button[0].click().run()
    assert "Analysing" in app.subheader[0].value or "analysis_result" in app.session_state
    run_until_done(app)
    assert not app.exception
    labels = {metric.label: metric.value for metric in app.metric}
    assert labels["Format"] == "CSV"
    assert int(labels["N, normal"]) > 15
    assert any("taken as mV" in note.value for note in app.warning)
    assert [button.label for button in app.download_button] == ["Report (HTML)", "Findings (JSON)"]
    next(button for button in app.button if button.label == "Start over").click().run()
    assert app.file_uploader[0].value == []
    assert not app.metric
    assert [button.label for button in app.button] == ["Analyse"]


def test_after_a_refusal_the_unit_is_given_or_all_is_forgotten() -> None:
    app = a_page(AnalysisDesk(AnalysisLimits())).run()
    in_microvolt = a_table(1_000 * an_ecg(25.0).samples[:, 0])
    app.file_uploader[0].upload("sim.csv", in_microvolt, "text/csv").run()
    next(button for button in app.button if button.label == "Analyse").click().run()
    run_until_done(app)
    assert "no unit in line 1" in app.error[0].value
    next(box for box in app.selectbox if box.label.startswith("Unit")).select("uV").run()
    next(button for button in app.button if button.label == "Analyse").click().run()
    run_until_done(app)
    assert not app.error
    assert not app.warning
    assert {metric.label: metric.value for metric in app.metric}["Format"] == "CSV"


def test_after_a_refusal_one_may_start_over() -> None:
    app = a_page(AnalysisDesk(AnalysisLimits())).run()
    app.file_uploader[0].upload("s.wav", b"ID3" + bytes(500), "audio/wav").run()
    app.radio[0].set_value("Lung sounds").run()
    next(button for button in app.button if button.label == "Analyse").click().run()
    run_until_done(app)
    next(button for button in app.button if button.label == "Start over").click().run()
    assert not app.error
    assert not [one for one in app.caption if "Still here" in one.value]
    assert next(button for button in app.button if button.label == "Analyse").disabled


def test_a_refusal_names_the_file_as_text_and_the_form_stays() -> None:
    app = a_page(AnalysisDesk(AnalysisLimits())).run()
    app.file_uploader[0].upload("*b*.wav", b"ID3" + bytes(500), "audio/wav").run()
    app.radio[0].set_value("Lung sounds").run()
    app.button[0].click().run()
    run_until_done(app)
    assert "looks like MP3" in app.error[0].value
    assert r"\*b\*\.wav" in app.error[0].value
    assert any(r"Still here: \*b\*" in one.value for one in app.caption)
    assert not next(button for button in app.button if button.label == "Analyse").disabled


def test_the_strip_says_in_full_what_was_measured(result: Result) -> None:
    app = a_page(AnalysisDesk(AnalysisLimits()), result).run()
    assert not app.exception
    assert any(one.value.startswith("Measured when it was raised") for one in app.caption)


def test_names_from_a_file_are_never_markup(result: Result) -> None:
    app = a_page(AnalysisDesk(AnalysisLimits()), result).run()
    assert not app.exception
    shown = [*(one.value for one in app.markdown), *(one.value for one in app.subheader)]
    shown += [one.value for one in (*app.info, *app.warning, *app.caption)]
    assert any("img src" in text for text in shown)
    for text in shown:
        assert not re.search(r"(?<!\\)<img|(?<!\\)\*\*b|(?<!\\)\[x", text)
    page = to_html(result).decode()
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "<script" not in page
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_the_report_says_what_it_was_made_of(result: Result) -> None:
    page = to_html(result).decode()
    for words in (
        "ab" * 32,
        "ecg-cnn-lstm-1",
        "Research software, no medical device",
        "wfdb",
        "*** VENT FIB",
    ):
        assert words in page
    assert page.count("data:image/png;base64,") >= 3
    document = json.loads(to_json(result.findings))
    assert document["schema"] == "analysis/1"
    assert document["ecg"]["alarms"]
    assert document["sounds"][0]["verdict"] is None


def test_a_strip_shows_the_moment_and_stays_in_the_recording(result: Result) -> None:
    assert analysis_pictures.strip_begin_s(1.0, LENGTH_S) == 0.0
    assert analysis_pictures.strip_begin_s(20.0, LENGTH_S) == 17.0
    assert analysis_pictures.strip_begin_s(39.0, LENGTH_S) == 30.0
    ecg = result.findings.ecg
    assert ecg is not None
    image = analysis_pictures.strip(result.traces.traces[0], 17.0, ecg.beats, ecg.alarms, title="$x_1$")
    width_mm = 10 * paper.SPEED_MM_S + 18
    assert int.from_bytes(image[16:20], "big") == pytest.approx(width_mm * paper.PX_PER_MM, abs=2)


def test_the_network_explains_the_strip_on_request(result: Result) -> None:
    app = a_page(AnalysisDesk(AnalysisLimits()), result).run()
    app.checkbox[0].check().run()
    assert not app.exception
    assert any("spoke for" in one.value for one in app.caption)


def test_long_lines_are_thinned_without_losing_their_peaks() -> None:
    values = np.zeros(50_000)
    values[31_234] = 1.0
    times, line = analysis_pictures.thinned(np.arange(50_000).tolist(), values.tolist(), peak=True)
    assert len(times) <= analysis_pictures.POINTS
    assert line.max() == 1.0
    assert np.isnan(analysis_pictures.thinned([1.0, 2.0], [None, 3.0], peak=False)[1][0])


def test_a_paper_strip_takes_gaps_and_nothing_at_all() -> None:
    empty = np.full((500, 2), np.nan)
    for dark in (False, True):
        assert paper.paper_strip(empty, 250.0, ["a", "$b"], dark=dark).startswith(b"\x89PNG")


def test_more_alarms_than_strips_are_counted(result: Result) -> None:
    ecg = result.findings.ecg
    assert ecg is not None
    one = AlarmFinding("ecg", "hr_high", Priority.MEDIUM, "** HR", 5.0, 6.0, None, 1.0, 1.0, "bpm", [])
    many = msgspec.structs.replace(ecg, alarms=[one] * 23)
    page = to_html(Result(msgspec.structs.replace(result.findings, ecg=many), result.traces)).decode()
    assert "3 more alarms" in page
    assert page.count("data:image/png") == 22


def test_the_command_writes_a_report_and_refuses_with_status_2(
    tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "sim.csv"
    table.write_bytes(a_table(an_ecg(20.0).samples[:, 0]))
    report, findings = tmp_path / "r.html", tmp_path / "f.json"
    command = ["analyse", str(table), "--beats-model", "none", "--html", str(report), "--json", str(findings)]
    assert wardwave.main(command) == 0
    assert "Beats:" in capsys.readouterr().out
    assert b"<!doctype html>" in report.read_bytes()
    assert json.loads(findings.read_text())["files"][0]["name"] == "sim.csv"
    table.write_bytes(b"ID3")
    assert wardwave.main(["analyse", str(table)]) == 2
    assert "sim.csv" in capsys.readouterr().err
    assert wardwave.main(["analyse", str(tmp_path / "absent.csv")]) == 2
    assert "no such file" in capsys.readouterr().err


def test_the_command_takes_what_a_header_names_and_nothing_from_elsewhere(tmp_path) -> None:
    (tmp_path / "r.hea").write_text("r 2 250 10\nr.dat 16 200\n../secret.dat 16 200\n")
    (tmp_path / "r.dat").write_bytes(bytes(40))
    (tmp_path.parent / "secret.dat").write_bytes(bytes(40))
    uploads = analysis_cli._with_neighbours([tmp_path / "r"], AnalysisLimits())
    assert [upload.name for upload in uploads] == ["r.hea", "r.dat"]
    (tmp_path / "big.wav").write_bytes(bytes(1_100_000))
    with pytest.raises(BadUpload, match="at most 1 MB"):
        analysis_cli._with_neighbours([tmp_path / "big.wav"], AnalysisLimits(max_upload_mb=1))


def test_the_command_takes_the_pages_settings_and_its_refusal_names_them(
    tmp_path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    big = tmp_path / "big.edf"
    big.write_bytes(bytes(1_100_000))
    monkeypatch.setenv("WARDWAVE_DASHBOARD__MAX_UPLOAD_MB", "1")
    assert wardwave.main(["analyse", str(big), "--kind", "eeg"]) == 2
    assert "1 MB: cut a part out, or raise WARDWAVE_DASHBOARD__MAX_UPLOAD_MB" in capsys.readouterr().err
    monkeypatch.setenv("WARDWAVE_DASHBOARD__MAX_UPLOAD_MB", "200")
    assert wardwave.main(["analyse", str(big), "--kind", "eeg"]) == 2
    assert "MB" not in capsys.readouterr().err, "taken, and then no EDF"
    # Four hours of 23 channels at 256 Hz: an upload that is allowed is not refused for what it holds.
    assert limits_of(load_dashboard_settings()).max_samples > 4 * 3600 * 23 * 256


def test_a_seizure_to_the_end_reads_as_one() -> None:
    seizures = [EegSeizure(2.0, 9.0, 6.0, 4.0, 0.9, {}), EegSeizure(9.9, 30.0, 20.1, 14.0, 0.9, {}, True)]
    lines = analysis_cli._eeg_lines(EegFindings("", [], [], seizures))
    assert [line.split("  seizure")[0] for line in lines] == [
        "  0:00:02.0 to 0:00:09.0",
        "  0:00:09.9 to the end",
    ]


def test_the_access_log_keeps_who_handed_in_what_and_no_name(caplog: pytest.LogCaptureFixture) -> None:
    from dashboard.analysis_view import note_uploads

    with caplog.at_level("INFO", logger="dashboard.access_log"):
        note_uploads([Upload("Müller Hans.HEA", b"12"), Upload("x.Müller", b""), Upload("../../a.csv", b"3")])
    lines = [json.loads(record.message.removeprefix("access ")) for record in caplog.records]
    assert [(one["event"], one["suffix"], one["bytes"]) for one in lines] == [
        ("upload", "hea", 2),
        ("upload", "other", 0),
        ("upload", "csv", 1),
    ]
    assert lines[0]["sha256"] == hashlib.sha256(b"12").hexdigest()
    assert all(set(one) <= {"time", "event", "user", "address", "suffix", "bytes", "sha256"} for one in lines)


def test_the_queue_says_how_many_come_first() -> None:
    desk = AnalysisDesk(AnalysisLimits(), at_once=1)
    first = desk.submit([Upload("a.csv", a_table(an_ecg(20.0).samples[:, 0]))], ReadOptions())
    second = desk.submit([Upload("b.csv", b"ID3")], ReadOptions())
    app = a_page(desk)
    app.session_state["analysis"] = second
    app.run()
    assert not app.exception
    app.button[0].click().run()
    assert "Cancelled" in app.error[0].value
    first.cancel()
    first.wait(30)
    second.wait(30)
