from __future__ import annotations

import dataclasses
import importlib.metadata
import sys
from pathlib import Path

import msgspec
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import serve, views
from dashboard.settings import DashboardSettings
from dashboard.snapshots import BedSnapshot, FindingSnapshot, StreamSnapshot, VitalSnapshot, WardSnapshot
from dashboard.summary import gravest_bed
from dashboard.theme import THEME
from inference.types import Alarm, AlarmState, Delay, Priority
from ingest.types import SignalKind

HOSTILE = "<img src=x onerror=alert(1)> **b** [x](http://e) $x$ :red[r]"


def an_alarm(bed: str = "bed-01", state: AlarmState = AlarmState.ACTIVE, message: str = "VENT FIB") -> Alarm:
    return Alarm(
        id=f"{bed}-{state}",
        bed=bed,
        signal="ecg",
        kind="vf",
        priority=Priority.HIGH,
        state=state,
        message=message,
        onset_ns=1_800_000_000_000_000_000,
        raised_ns=1_800_000_003_000_000_000,
        emitted_ns=1_800_000_003_500_000_000,
        ended_ns=1_800_000_020_000_000_000 if state is AlarmState.ENDED else None,
        value=None,
        limit=None,
        unit=None,
        delay=Delay(3.0, 0.0, 0.5),
        raw_offset=1,
        revision=0,
    )


def a_bed(name: str = "bed-01", *, usable: bool = True, lead_off: bool = False) -> BedSnapshot:
    stream = StreamSnapshot(
        bed=name,
        kind=SignalKind.ECG,
        device="monitor-7",
        channels=("II", "V1"),
        unit="mV",
        source_hz=360.0,
        fs_hz=180.0,
        epoch=1,
        first_index=0,
        head_index=10,
        head_ns=1,
        age_s=0.4,
        lead_off=(lead_off, False),
    )
    vital = VitalSnapshot("ecg", 72.4, 0.0, 0.91, usable, 0.6)
    finding = FindingSnapshot("ecg", "ecg-cnn-lstm-1", "vf", 0.93, 0.9, 0.7)
    return BedSnapshot(name, 0.4, (stream,), (vital,), (finding,), ())


def a_ward(*beds: BedSnapshot, alarms: tuple[Alarm, ...] = (), connected: bool = True) -> WardSnapshot:
    return WardSnapshot(connected, 0.0 if connected else 12.0, None, beds, alarms, 0)


def show(snapshot: WardSnapshot, view: str, bed: str | None = None) -> AppTest:
    # AppTest runs the source of this function alone: no annotation may name what it does not import.
    def script(snapshot, view, bed):  # type: ignore[no-untyped-def]
        from dashboard import views

        if view == "alarms":
            views.alarm_list(snapshot, bed)
        elif view == "choose":
            views.choose_bed(snapshot, bed)
        else:
            views.bed_details(lambda: snapshot, bed or "bed-01")

    app = AppTest.from_function(script, args=(snapshot, view, bed), default_timeout=20)
    app.run()
    assert not app.exception
    return app


def test_the_alarm_list_shows_current_and_ended_alarms() -> None:
    alarms = (an_alarm(), an_alarm("bed-02", AlarmState.ENDED))
    frame = show(a_ward(a_bed(), alarms=alarms), "alarms").dataframe[0].value
    assert list(frame["Bed"]) == ["bed-01", "bed-02"]
    assert list(frame["Alarm"]) == ["*** VENT FIB", "*** VENT FIB"]
    assert list(frame["State"]) == ["active", "ended"]
    assert list(frame["Onset (UTC)"]) == ["2027-01-15 08:00:00"] * 2
    assert list(frame["End (UTC)"]) == ["–", "2027-01-15 08:00:20"]
    assert list(frame["Delay (s)"]) == [3.5, 3.5]


def test_the_alarm_list_of_a_bed_holds_that_bed_only() -> None:
    snapshot = a_ward(a_bed(), alarms=(an_alarm(), an_alarm("bed-02")))
    assert list(show(snapshot, "alarms", "bed-02").dataframe[0].value["Bed"]) == ["bed-02"]


def test_no_alarm_is_said() -> None:
    app = show(a_ward(a_bed()), "alarms")
    assert "No alarm" in app.caption[0].value
    assert len(app.dataframe) == 0


def test_a_lost_broker_is_said() -> None:
    app = show(a_ward(a_bed(), connected=False), "alarms")
    assert "Broker lost for 12 s" in app.error[0].value


def test_a_bed_shows_numbers_findings_and_signals_with_age() -> None:
    frame = show(a_ward(a_bed(lead_off=True)), "bed", "bed-01").dataframe[0].value
    assert list(frame["Value"]) == ["72 /min", "vf 93%", "360 Hz from monitor-7"]
    assert list(frame["Quality"]) == ["91%", "90%", "lead off"]
    assert list(frame["Age"]) == ["1 s", "1 s", "0 s"]


def test_an_unusable_number_is_not_shown() -> None:
    frame = show(a_ward(a_bed(usable=False)), "bed", "bed-01").dataframe[0].value
    assert frame["Value"].iloc[0] == "–"


def test_a_bed_that_went_is_said() -> None:
    app = show(a_ward(a_bed("bed-02")), "bed", "bed-01")
    assert any("sends no data" in caption.value for caption in app.caption)


def test_the_wanted_bed_is_chosen() -> None:
    app = show(a_ward(a_bed("bed-01"), a_bed("bed-02")), "choose", "bed-02")
    assert app.selectbox[0].value == "bed-02"
    assert app.selectbox[0].options == ["bed-01", "bed-02"]


def test_without_beds_the_way_out_is_said() -> None:
    app = show(a_ward(), "choose")
    assert "wardwave demo" in app.info[0].value


def test_a_bed_that_is_not_there_yet_can_be_waited_for() -> None:
    assert show(a_ward(a_bed("bed-02")), "choose", "bed-09").selectbox[0].value == "bed-09"


def test_labels_from_the_wire_are_text() -> None:
    app = show(a_ward(a_bed(HOSTILE), alarms=(an_alarm(HOSTILE, message=HOSTILE),)), "alarms", HOSTILE)
    heading = app.subheader[0].value
    for piece in ("\\<img", "\\*\\*b", "\\[x\\]", "\\$x\\$", "\\:red"):
        assert piece in heading
    assert app.dataframe[0].value["Bed"].iloc[0] == HOSTILE


def test_no_view_lets_html_of_others_through() -> None:
    for path in Path(views.__file__).parent.glob("*.py"):
        text = path.read_text()
        assert "unsafe_allow_html" not in text, path
        assert "unsafe_allow_javascript" not in text, path
    for path in (Path(views.__file__).parent / "component").glob("*.js"):
        text = path.read_text()
        assert "innerHTML" not in text, path
        assert "insertAdjacentHTML" not in text, path


def test_no_module_of_the_dashboard_hides_a_package() -> None:
    taken = set(sys.stdlib_module_names) | set(importlib.metadata.packages_distributions())
    own = {path.stem for path in Path(views.__file__).parent.iterdir() if path.stem != "__init__"}
    ours = {"ingest", "inference", "models", "training", "dashboard"}
    assert own & (taken | ours) <= {"__pycache__"}


@pytest.mark.parametrize("page", ["ward", "bed", "alarms"])
def test_the_pages_run(page: str) -> None:
    def script(page: str) -> None:
        from dashboard import views
        from dashboard.ward import Ward

        ward = Ward()
        if page == "ward":
            views.live_traces(ward, views.new_view(bed=None, history_s=5.0))
        elif page == "bed":
            views.live_traces(ward, views.new_view(bed="bed-01", history_s=5.0))
            views.bed_details(ward.snapshot, "bed-01")
        else:
            views.alarm_list(ward.snapshot())

    app = AppTest.from_function(script, args=(page,), default_timeout=20)
    app.run()
    assert not app.exception


def alarmed(name: str, *alarms: Alarm) -> BedSnapshot:
    return dataclasses.replace(a_bed(name), alarms=alarms)


def test_the_rows_of_active_alarms_are_coloured() -> None:
    assert "#8f1212" in views.row_style("high", "active")
    assert views.row_style("high", "latched") == views.row_style("high", "active")
    assert views.row_style("high", "ended") == ""


def test_the_gravest_active_alarm_presets_the_bed() -> None:
    technical = msgspec.structs.replace(an_alarm("bed-02"), priority=Priority.TECHNICAL)
    ended = an_alarm("bed-01", AlarmState.ENDED)
    beds = (alarmed("bed-01", ended), alarmed("bed-02", technical), alarmed("bed-03", an_alarm("bed-03")))
    assert gravest_bed(a_ward(*beds)) == "bed-03"
    assert gravest_bed(a_ward(*beds[:2])) == "bed-02"
    assert gravest_bed(a_ward(beds[0])) is None


def chosen_ward_with(address: str, kept: str) -> str:
    def script(address: str, kept: str) -> None:
        import streamlit as st

        from dashboard import views

        if address:
            st.query_params["ward"] = address
        if kept:
            st.session_state["ward"] = kept
        st.text(str(views.chosen_ward()))

    app = AppTest.from_function(script, args=(address, kept), default_timeout=20)
    app.run()
    assert not app.exception
    return str(app.text[0].value)


@pytest.mark.parametrize(
    ("address", "kept", "shown"), [("", "", "None"), ("east", "west", "east"), ("", "west", "west")]
)
def test_the_address_says_which_ward_is_shown_else_the_choice(address: str, kept: str, shown: str) -> None:
    assert chosen_ward_with(address, kept) == shown


@pytest.mark.parametrize("page", ["wall", "head"])
def test_the_wall_and_pages_without_traces_are_fed(page: str) -> None:
    def script(page: str) -> None:
        from dashboard import monitor, views
        from dashboard.ward import Ward

        monitor.mount_sound(wall=page == "wall")
        if page == "wall":
            views.live_traces(Ward(), views.new_view(bed=None, history_s=5.0), wall=True)
        else:
            views.live_head(Ward())

    app = AppTest.from_function(script, args=(page,), default_timeout=20)
    app.run()
    assert not app.exception


def test_both_themes_are_whole() -> None:
    names = {key.split(".", 2)[2] for key in THEME}
    assert {key.rsplit(".", 1)[0] for key in THEME} == {"theme.dark", "theme.light"}
    assert len(THEME) == 2 * len(names)


def test_a_page_that_fails_says_so_in_one_plain_line() -> None:
    def script():  # type: ignore[no-untyped-def]
        from dashboard import failed

        assert failed.say(ValueError("postgresql://user:secret@store"))

    app = AppTest.from_function(script, default_timeout=20)
    app.run()
    assert not app.exception
    (line,) = app.error
    assert "This part of the page has failed" in line.value
    assert "secret" not in line.value
    options = serve.options("127.0.0.1", 8501, DashboardSettings())
    assert options["client.showErrorLinks"] is False
    assert options["client.showErrorDetails"] == "none"
