"""The Alarms page: lists, filters, pages, the review, labels and files."""

from __future__ import annotations

import csv
import io
import re
import time
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pyedflib
import pytest
import wfdb
from sqlalchemy import text as sql
from streamlit.testing.v1 import AppTest

from dashboard import access_log, alarm_choice, alarm_lists, alarm_review, shared, strip_pdf, users
from dashboard.alarm_life import steps_of
from dashboard.alarm_lists import past_rows
from dashboard.snapshots import BedSnapshot, VitalSnapshot, WardSnapshot
from dashboard.strip_files import strip_files
from dashboard.strip_lanes import gap_words, lanes_of
from dashboard.strip_sheet import Drawing
from dashboard.strip_view import strip_png
from inference.errors import StoreError
from inference.store import Store, StoredAlarm
from inference.store_engine import connect, upgrade
from inference.store_labels import Label, LabelWriter
from inference.store_rows import Kept
from inference.store_write import Batch, StoreWriter
from inference.strips import Scale, Strip, StripSignal
from inference.types import Alarm, AlarmState, Audit, Bed, CommandOutcome, Delay, Priority, Verdict
from ingest.simulate import Ward
from ingest.types import MISSING_INT16, NS_PER_S, SignalKind

T0 = 1_790_000_000 * NS_PER_S
HOSTILE = "<script>alert(1)</script> **b** $x$ :red[r]"
NURSE = users.User("nurse-7", users.Role.CLINICIAN, "local")
VIEWER = users.User("visitor", users.Role.VIEWER, "local")


def make_alarm(number: int = 1, **changes: object) -> Alarm:
    onset_ns = T0 + number * 60 * NS_PER_S
    alarm = Alarm(
        id=f"bed-01:ecg:vf:{number}",
        bed="bed-01",
        signal="ecg",
        kind="vf",
        priority=Priority.HIGH,
        state=AlarmState.ENDED,
        message=f"*** VENT FIB {number}",
        onset_ns=onset_ns,
        raised_ns=onset_ns + 4 * NS_PER_S,
        emitted_ns=onset_ns + 5 * NS_PER_S,
        ended_ns=onset_ns + 8 * NS_PER_S,
        value=None,
        limit=None,
        unit=None,
        delay=Delay(4.0, 0.0, 1.0),
        raw_offset=number,
        revision=0,
        reasons=["a pulse was not seen"],
    )
    return msgspec.structs.replace(alarm, **changes)


def make_strip(alarm: Alarm) -> Strip:
    """24 s of two leads and a pressure, with a gap."""
    start_ns, end_ns = alarm.onset_ns - 10 * NS_PER_S, alarm.raised_ns + 10 * NS_PER_S
    ward = Ward(1, kinds=["ecg", "abp"])
    signals = []
    for kind, gain, unit in (("ecg", 200.0, "mV"), ("abp", 20.0, "mmHg")):
        chunk = ward.signal("bed-01", SignalKind(kind), start_ns).next_chunk(24.0)
        assert chunk is not None
        samples = np.rint(chunk.samples * gain).astype(np.int16)
        if kind == "ecg":
            samples[500:800] = MISSING_INT16
        n = len(chunk.channels)
        scale = Scale(unit, (gain,) * n, (0.0,) * n)
        signals.append(StripSignal(kind, 0, "dev-1", chunk.channels, chunk.fs_hz, start_ns, scale, samples))
    return Strip(alarm.id, start_ns, end_ns, True, tuple(signals))


def kept(item: msgspec.Struct) -> Kept:  # type: ignore[type-arg]
    return Kept(item, msgspec.json.encode(item).decode(), 0)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A store with 30 alarms, one of them with a strip."""
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    engine = connect(url, writes=True)
    upgrade(engine)
    alarms = [
        make_alarm(
            number,
            bed=f"bed-{number % 3 + 1:02d}",
            kind="vf" if number % 2 else "hr_high",
            priority=Priority.HIGH if number % 2 else Priority.MEDIUM,
        )
        for number in range(1, 31)
    ]
    life = msgspec.structs.replace(alarms[0], state=AlarmState.ACTIVE, ended_ns=None)
    seen = msgspec.structs.replace(life, state=AlarmState.ACKNOWLEDGED, acknowledged_by="nurse-7", revision=1)
    ended = msgspec.structs.replace(
        seen, state=AlarmState.ENDED, ended_ns=alarms[0].ended_ns, revision=2, reasons=[HOSTILE]
    )
    verdict = Verdict(
        "d1", alarms[0].bed, "mon-1", "vf", alarms[0].raised_ns, False, 0.1, 0.5, [], HOSTILE, "m", T0
    )
    action = Audit(
        "c1",
        0,
        alarms[0].bed,
        None,
        "dr-9",
        "pause_audio",
        T0,
        alarms[0].raised_ns,
        CommandOutcome.APPLIED,
        "120 s",
        [],
    )
    batch = Batch(
        alarms=[*map(kept, alarms[1:]), *map(kept, (life, seen, ended))],
        verdicts=[kept(verdict)],
        audit=[kept(action)],
        strips=[make_strip(alarms[0])],
    )
    StoreWriter(engine).write(batch)
    engine.dispose()
    return url


@pytest.fixture
def place(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The store as the page's, labels written to it, a nurse before the screen, all alarms shown."""
    store, writer = Store(url), LabelWriter(url)
    monkeypatch.setattr(shared, "label_writer", lambda: writer)
    monkeypatch.setattr("dashboard.access.current_user", lambda: NURSE)
    monkeypatch.setattr("dashboard.controls.may_command", lambda snapshot: False)
    # Nothing else is to be done meanwhile.
    monkeypatch.setattr("dashboard.alarm_strip.WAIT_S", 30.0)
    yield store
    writer.close()
    store.close()


def a_ward(*alarms: Alarm, connected: bool = True, word_s: float = 0.3) -> WardSnapshot:
    """Beds of which workers spoke last ``word_s`` ago."""
    vital = VitalSnapshot("ecg", 80.0, 0.0, 1.0, True, word_s)
    names = sorted({alarm.bed for alarm in alarms})
    beds = [
        BedSnapshot(name, 0.3, (), (vital,), (), tuple(one for one in alarms if one.bed == name))
        for name in names
    ]
    return WardSnapshot(connected, 0.0 if connected else 12.0, None, tuple(beds), alarms, 0)


def open_page(
    store: object, *alarms: Alarm, chosen: str | None = None, span: str = "All", run: bool = True
) -> AppTest:
    # AppTest runs the source of this function alone.
    def script(snapshot, store):  # type: ignore[no-untyped-def]
        from dashboard import page_alarms

        page_alarms.alarms_page(lambda: snapshot, lambda: store)

    app = AppTest.from_function(script, args=(a_ward(*alarms), store), default_timeout=30)
    app.session_state["alarms-span"] = span
    app.session_state["review-beats"] = False
    if chosen is not None:
        app.session_state["alarm"] = chosen
    if run:
        app.run()
        assert not app.exception, app.exception
    return app


def page_text(app: AppTest) -> str:
    parts = [*app.markdown, *app.caption, *app.subheader, *app.warning, *app.info, *app.error, *app.success]
    return "\n".join(str(part.value) for part in parts)


def table(app: AppTest) -> list[str]:
    """Messages of the past alarms that are shown."""
    return [str(text).rsplit(" ", 1)[-1] for text in app.dataframe[0].value["Alarm"]]


def test_past_alarms_are_shown_page_by_page_the_newest_first(place: Store) -> None:
    app = open_page(place)
    assert table(app) == [str(number) for number in range(30, 5, -1)]
    assert "30 alarms · page 1 of 2" in page_text(app)
    app.button(key="alarms-older").click().run()
    assert table(app) == ["5", "4", "3", "2", "1"]
    assert app.button(key="alarms-older").disabled
    # A filter that leaves fewer pages shows its last one.
    app.multiselect(key="alarms-priorities").set_value([Priority.HIGH]).run()
    assert len(table(app)) == 15


def test_filters_leave_what_was_asked_for(place: Store) -> None:
    app = open_page(place)
    app.multiselect(key="alarms-beds").set_value(["bed-01"]).run()
    app.multiselect(key="alarms-kinds").set_value(["vf"]).run()
    assert table(app) == ["27", "21", "15", "9", "3"]
    app.multiselect(key="alarms-states").set_value([AlarmState.LATCHED]).run()
    assert "No alarm fits this filter" in app.info[0].value


def test_alarms_are_filtered_by_time_and_label(place: Store, url: str) -> None:
    writer = shared.label_writer()
    assert isinstance(writer, LabelWriter)
    writer.add("bed-01:ecg:vf:4", Label.FALSE, reviewer="dr-9", comment=HOSTILE)
    app = open_page(place, span=alarm_choice.FROM_TO)
    first, last = (datetime.fromtimestamp(T0 / 1e9 + 60 * n, UTC).replace(tzinfo=None) for n in (3, 6))
    app.datetime_input(key="alarms-from").set_value(first).run()
    app.datetime_input(key="alarms-to").set_value(last).run()
    assert not app.exception
    assert table(app) == ["5", "4", "3"]
    app.multiselect(key="alarms-labels").set_value(["false"]).run()
    assert table(app) == ["4"]
    frame = app.dataframe[0].value
    assert (frame["Label"][0], frame["By"][0]) == ("false", "dr-9")
    app.multiselect(key="alarms-labels").set_value(["none"]).run()
    assert table(app) == ["5", "3"]


def test_without_a_store_the_topics_alarms_are_shown_and_the_way_to_more() -> None:
    missing = shared.Missing("no stored alarms: no such file (start `wardwave record`)")
    app = open_page(missing, make_alarm(1), make_alarm(2, bed="bed-02"), chosen="bed-01:ecg:vf:1")
    assert table(app) == ["2", "1"]
    text = page_text(app).replace("\\", "")
    assert "last 12 h of the alarm topic" in text
    assert "start `wardwave record`" in text
    assert "No strip: no stored alarms" in text
    assert "Labels are kept in the recorder's store" in text
    assert "Only its newest step is known here" in text
    app.multiselect(key="alarms-beds").set_value(["bed-02"]).run()
    assert table(app) == ["2"]


def test_an_old_store_says_how_to_bring_it_up_to_date(url: str) -> None:
    engine = connect(url, writes=True)
    with engine.begin() as connection:
        connection.execute(sql("UPDATE alembic_version SET version_num = '0001'"))
    engine.dispose()
    with pytest.raises(StoreError, match="run 'wardwave record' once to bring it up to date"):
        LabelWriter(url)


def test_live_alarms_stand_above_and_no_filter_hides_them(place: Store) -> None:
    live = make_alarm(40, state=AlarmState.ACTIVE, ended_ns=None, bed="bed-09", message=HOSTILE)
    app = open_page(place, live)
    app.multiselect(key="alarms-beds").set_value(["bed-01"]).run()
    rows = [str(block.proto.body) for block in app.get("html")]
    assert any("bed-09" in row and "&lt;script&gt;alert(1)" in row for row in rows)
    assert not any("<script" in row for row in rows)
    app.button(key=f"review-{live.id}").click().run()
    assert not app.exception, app.exception
    assert app.session_state["alarm"] == live.id
    # It is acknowledged in its review, too.
    assert app.button(key=f"reviewed-{live.id}").label == "Acknowledge"
    assert "bed\\-09" in app.subheader[0].value


def live_rows(app: AppTest) -> list[str]:
    bodies = [str(block.proto.body) for block in app.get("html")]
    return [body for body in bodies if "VENT FIB" in body]


def test_many_live_alarms_come_in_pages_and_the_gravest_stand_on_each(place: Store) -> None:
    live = [
        make_alarm(40 + n, state=AlarmState.ACTIVE, ended_ns=None, priority=Priority.MEDIUM) for n in range(8)
    ]
    app = open_page(place, *live)
    assert len(live_rows(app)) == alarm_lists.LIVE_ROWS
    app.button(key="live-more").click().run()
    assert len(live_rows(app)) == 2
    # Raised while somebody reads the second page.
    high = make_alarm(60, state=AlarmState.ACTIVE, ended_ns=None)
    app.args = (a_ward(high, *live), place)
    app.run()
    rows = live_rows(app)
    assert "VENT FIB 60" in rows[0]
    assert len(rows) == 1 + 3


def test_a_bed_that_flaps_hides_no_other_bed_on_any_page(place: Store) -> None:
    flapping = [make_alarm(100 + n, state=AlarmState.LATCHED) for n in range(42)]
    calm = [
        make_alarm(n, id=f"bed-{n:02d}:ecg:vt:1", bed=f"bed-{n:02d}", kind="vt", state=AlarmState.LATCHED)
        for n in (2, 3)
    ]
    app = open_page(place, *flapping, *calm)
    for _ in range(2):
        rows = "".join(live_rows(app))
        assert all(bed in rows for bed in ("bed-01", "bed-02", "bed-03"))
        app.button(key="live-more").click().run()


def test_an_alarm_that_nobody_tells_of_is_unknown_not_active(place: Store) -> None:
    live = make_alarm(40, state=AlarmState.ACTIVE, ended_ns=None)
    for ward in (a_ward(live, connected=False), a_ward(live, word_s=300.0)):
        app = open_page(place, live)
        (row,) = live_rows(app)
        assert ">active · onset" in row
        assert "unknown" not in row
        app.args = (ward, place)
        app.run()
        (row,) = live_rows(app)
        assert re.search(r">unknown since 20\d\d-.* UTC \(was active\) · onset", row)
        assert "#8f1212" not in row


def test_what_the_store_left_active_and_the_feed_does_not_know_is_unknown(url: str, place: Store) -> None:
    left = make_alarm(31, state=AlarmState.ACTIVE, ended_ns=None)
    engine = connect(url, writes=True)
    StoreWriter(engine).write(Batch(alarms=[kept(left)]))
    engine.dispose()
    app = open_page(place, chosen=left.id)
    frame = app.dataframe[0].value
    assert frame["State"][0] == "unknown since 2026-09-21 14:44:25 UTC (was active)"
    assert "high priority · unknown since" in page_text(app).replace("\\", "")
    # The feed is ahead of the store.
    over = make_alarm(31, revision=1)
    known = past_rows([StoredAlarm(left, "", None)], a_ward(over))
    assert known[0]["State"] == "ended"
    assert past_rows([StoredAlarm(left, "", None)], a_ward(left))[0]["State"] == "active"


def test_the_pause_of_the_ward_runs_down_above_all_alarms(place: Store) -> None:
    ward = a_ward(make_alarm(40, state=AlarmState.ACTIVE, ended_ns=None))
    status = Bed(
        "bed-01", "icu", None, True, T0, "adult", False, None,
        time.time_ns() + 90 * NS_PER_S, "nurse-7", Priority.HIGH, [], 1, time.time_ns(),
    )  # fmt: skip
    paused = replace(ward, beds=tuple(replace(bed, status=status) for bed in ward.beds))
    app = open_page(place)
    app.args = (paused, place)
    app.run()
    assert re.search(r"SOUND PAUSED 1:\d\d by nurse-7", page_text(app).replace("\\", ""))


def test_a_row_that_is_chosen_opens_the_review_of_that_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    state: dict[str, object] = {}
    address: dict[str, object] = {}
    monkeypatch.setattr("streamlit.session_state", state)
    monkeypatch.setattr("streamlit.query_params", address)
    for rows, opened in (([1], "b"), ([0], "a"), ([], None)):
        state["past-1"] = SimpleNamespace(selection=SimpleNamespace(rows=rows))
        alarm_lists.take_row("past-1", ["a", "b"])
        assert alarm_lists.chosen() == opened
        assert address == ({} if opened is None else {"alarm": opened})


def test_the_review_shows_message_life_delays_reasons_and_verdict(place: Store) -> None:
    app = open_page(place, chosen="bed-01:ecg:vf:1")
    assert "VENT FIB 1" in app.subheader[0].value
    life = next(frame.value for frame in app.dataframe if "What" in frame.value.columns)
    steps = [f"{what} / {who}" for what, who in zip(life["What"], life["Who"], strict=True)]
    assert "acknowledged / nurse-7" in steps
    assert any("pause_audio" in step and step.endswith("dr-9") for step in steps)
    assert any(step.startswith("ended; <script>") for step in steps)
    delays = next(frame.value for frame in app.dataframe if "Part" in frame.value.columns)
    assert dict(zip(delays["Part"], delays["s"], strict=True)) == {
        "measurement (window)": "4.00",
        "configured": "0.00",
        "system": "1.00",
        "total": "5.00",
    }
    text = page_text(app)
    assert "\\<script\\>" in text
    assert "<script>" not in text
    assert "is probably false" in text.replace("\\", "")
    assert "Strip of" not in text
    assert len(app.get("imgs") or app.get("image") or []) == 1
    assert "1.2 of 24 s missing (2.0 to 3.2 s)" in text.replace("\\", "")


def test_a_label_is_stored_with_the_users_name_and_shown(
    place: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[tuple[str, str, object]] = []
    monkeypatch.setattr(
        access_log, "note", lambda event, user, **more: noted.append((event, user, more.get("label")))
    )
    app = open_page(place, chosen="bed-01:ecg:vf:1")
    assert "Nobody has labelled it yet" in page_text(app)
    save = next(button for button in app.button if "Save as" in button.label)
    save.click().run()
    assert "choose true, false or unclear" in page_text(app)
    assert place.labels("bed-01:ecg:vf:1") == []
    app.radio(key="label-word-bed-01:ecg:vf:1").set_value(Label.FALSE)
    app.text_area(key="label-why-bed-01:ecg:vf:1").set_value(HOSTILE)
    next(button for button in app.button if "Save as" in button.label).click().run()
    assert not app.exception
    (label,) = place.labels("bed-01:ecg:vf:1")
    assert (label.label, label.reviewer, label.comment) == (Label.FALSE, "nurse-7", HOSTILE)
    text = page_text(app)
    assert "false by nurse\\-7" in text
    assert "<script>" not in text
    app.button(key="alarms-older").click().run()
    row = app.dataframe[0].value.iloc[-1]
    assert (row["Label"], row["By"]) == ("false", "nurse-7")
    assert noted == [("label", "nurse-7", "false")]


def test_a_viewer_cannot_label(place: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_page(place, chosen="bed-01:ecg:vf:1")
    app.radio(key="label-word-bed-01:ecg:vf:1").set_value(Label.TRUE)
    # The role was changed while the form stood open.
    noted: list[str] = []
    monkeypatch.setattr("dashboard.access.current_user", lambda: VIEWER)
    monkeypatch.setattr(access_log, "note", lambda event, user, **more: noted.append(event))
    next(button for button in app.button if "Save as" in button.label).click().run()
    assert place.labels("bed-01:ecg:vf:1") == []
    text = page_text(app)
    assert "looks only: clinicians and admins label" in text.replace("\\", "")
    assert not [button for button in app.button if "Save as" in button.label]
    assert noted == ["refused"]


def test_the_review_stays_while_live_alarms_come_and_go(place: Store) -> None:
    first = make_alarm(40, state=AlarmState.ACTIVE, ended_ns=None)
    app = open_page(place, first, chosen="bed-01:ecg:vf:1")
    app.args = (a_ward(), place)
    app.run()
    assert "VENT FIB 1" in app.subheader[0].value
    app.args = (a_ward(first, make_alarm(41, state=AlarmState.LATCHED)), place)
    app.run()
    assert not app.exception
    assert "VENT FIB 1" in app.subheader[0].value
    assert app.session_state["alarm"] == "bed-01:ecg:vf:1"


def test_an_alarm_that_is_gone_is_said(place: Store) -> None:
    app = open_page(place, chosen="nope")
    assert "neither on the topic nor in the store" in page_text(app)
    app.button(key="review-close").click().run()
    assert "alarm" not in app.session_state


def test_a_live_alarm_tells_what_is_known_of_its_life() -> None:
    alarm = make_alarm(
        state=AlarmState.LATCHED,
        escalated_ns=T0 + 70 * NS_PER_S,
        acknowledged_ns=T0 + 71 * NS_PER_S,
        acknowledged_by="nurse-7",
    )
    steps = [(step.what, step.who) for step in steps_of(alarm, [], [])]
    assert ("escalated: nobody had acknowledged it", "worker") in steps
    assert ("acknowledged", "nurse-7") in steps


def test_missing_samples_are_named_and_lanes_have_their_scale() -> None:
    strip = make_strip(make_alarm())
    lanes = lanes_of(strip)
    assert [lane.name for lane in lanes] == ["ECG II", "ECG V1", *[lane.name for lane in lanes[2:]]]
    assert [lane.mm_per_unit for lane in lanes[:2]] == [10.0, 10.0]
    assert "mmHg" in lanes[2].scale
    assert gap_words(strip)[0] == "ECG II: 1.2 of 24 s missing (2.0 to 3.2 s)."
    late = msgspec.structs.replace(make_alarm(), raised_ns=make_alarm().raised_ns)
    empty = Strip(late.id, strip.start_ns, strip.end_ns, False, ())
    assert "not complete" in gap_words(empty)[0]
    assert "No waveform" in gap_words(empty)[1]


def files_of(alarm: Alarm, tmp_path: Path) -> dict[str, bytes]:
    files = strip_files(Drawing(make_strip(alarm), alarm), None)
    for file in files:
        assert re.fullmatch(r"[A-Za-z0-9_.-]+", file.name), file.name
    found = {file.words: file.make() for file in files}
    for words in ("WFDB", "EDF+", "CSV"):
        with zipfile.ZipFile(io.BytesIO(found[words])) as archive:
            archive.extractall(tmp_path / words)
    return found


def test_a_strip_taken_away_is_what_the_device_sent(tmp_path: Path) -> None:
    alarm = make_alarm(id="../../etc/passwd\n<b>", message=HOSTILE)
    files_of(alarm, tmp_path)
    ecg = make_strip(alarm).signals[0]
    (header,) = (tmp_path / "WFDB").rglob("ecg_0.hea")
    record = wfdb.rdrecord(str(header.with_suffix("")), physical=False)
    np.testing.assert_array_equal(record.d_signal, ecg.samples)
    (edf,) = (tmp_path / "EDF+").rglob("ecg_0.edf")
    with pyedflib.EdfReader(str(edf)) as reader:
        read = reader.readSignal(0, digital=True)[: len(ecg.samples)]
    np.testing.assert_array_equal(read, ecg.samples[:, 0])
    (path,) = (tmp_path / "CSV").rglob("ecg_0.csv")
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["time_utc", "seconds", "II (mV)", "V1 (mV)"]
    assert rows[1][0] == "2026-09-21T14:14:10.000000Z"
    values = np.array([[float(cell) if cell else np.nan for cell in row[2:]] for row in rows[1:]])
    np.testing.assert_allclose(values, ecg.physical(), atol=1e-5)
    assert rows[1 + 500][2:] == ["", ""]


def streams(pdf: bytes) -> list[str]:
    """What a PDF's pages draw."""
    found = re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL)
    texts = []
    for one in found:
        try:
            texts.append(zlib.decompress(one).decode("latin-1"))
        except zlib.error:
            continue
    return [text for text in texts if " l\n" in text]


def test_the_pdf_is_a4_and_its_squares_are_true_millimetres(tmp_path: Path) -> None:
    pdf = files_of(make_alarm(message=HOSTILE), tmp_path)["PDF"]
    point_mm = 25.4 / 72
    boxes = re.findall(rb"/MediaBox \[ ?([\d. ]+) ?\]", pdf)
    assert boxes
    for box in boxes:
        size_mm = [float(number) * point_mm for number in box.split()[2:]]
        assert size_mm == pytest.approx([297.0, 210.0], abs=0.1)
    page = max(streams(pdf), key=len)
    # Lines straight up: the columns of the grid, 1 mm apart, 5 mm for the bold ones.
    lines = re.findall(r"([\d.]+) ([\d.]+) m\n([\d.]+) ([\d.]+) l\n", page)
    columns = sorted({round(float(x1), 3) for x1, y1, x2, y2 in lines if x1 == x2 and y1 != y2})
    gaps_mm = np.diff(columns) * point_mm
    assert np.median(gaps_mm) == pytest.approx(1.0, abs=0.01)
    assert (columns[-1] - columns[0]) * point_mm == pytest.approx(250.0, abs=1.0)


def test_the_pdfs_head_names_what_it_shows() -> None:
    alarm = make_alarm(bed="bed-01", message=HOSTILE + "x" * 500)
    head = strip_pdf._header(Drawing(make_strip(alarm), alarm), None)
    assert head[0].startswith("Bed bed-01   *** <script>")
    assert all(len(line) <= 170 for line in head)
    assert "Onset 2026-09-21 14:14:20, raised 2026-09-21 14:14:24" in head[1]
    assert "ecg II, ecg V1" in head[2]
    assert head[3] == "Label: not labelled"


def test_hostile_names_are_drawn_as_they_are() -> None:
    strip = make_strip(make_alarm())
    hostile = tuple(map(_renamed, strip.signals))
    image = strip_png(
        Drawing(Strip("a", strip.start_ns, strip.end_ns, True, hostile), make_alarm()), dark=True
    )
    assert image.startswith(b"\x89PNG")


def _renamed(signal: StripSignal) -> StripSignal:
    names = tuple(f"$\\frac{{{n}}}$ 中\n" for n in range(len(signal.channels)))
    return replace(signal, channels=names)


def test_downloads_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[tuple[object, ...]] = []
    monkeypatch.setattr(
        access_log, "note", lambda event, user, **more: noted.append((event, user, more["file"]))
    )
    alarm_review._note_export("nurse-7", "a", "strip.pdf")
    assert noted == [("export", "nurse-7", "strip.pdf")]
