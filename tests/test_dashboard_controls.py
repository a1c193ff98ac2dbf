"""Commands from the dashboard: what a press sends, once and by whom; what is refused; what is asked first."""

from __future__ import annotations

import html
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace

import msgspec
import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import access, asking, shared, views
from dashboard.asking import ASK_S, Asked, Order, Outcome, Reply, ask
from dashboard.limit_changes import EDITED, RESET, changes, problems, profile_lines, quieter, table
from dashboard.snapshots import BedSnapshot, WardSnapshot
from dashboard.users import Role, User
from inference import standing
from inference.catalog import load_catalogue
from inference.commands import (
    Acknowledge,
    Admit,
    Command,
    Discharge,
    PauseAudio,
    ResumeAudio,
    SetAlarm,
    SetProfile,
    Standby,
    Transfer,
)
from inference.errors import NotDelivered
from inference.types import (
    Alarm,
    AlarmState,
    Audit,
    AuditChange,
    Bed,
    CommandOutcome,
    Delay,
    Priority,
    Setting,
)
from inference.worker import Worker, WorkerOptions
from ingest.errors import BrokerError
from ingest.publisher import Publisher
from ingest.settings import CommandSettings, Settings
from ingest.types import NS_PER_S

BED = "bed-03"
NINA = User("nina", Role.CLINICIAN, "local")
VERA = User("vera", Role.VIEWER, "local")
HOSTILE = "<img src=x onerror=alert(1)> **b**"


@dataclass
class FakeSender:
    """Notes commands and answers as a worker would."""

    commands: list[Command] = field(default_factory=list)
    outcome: CommandOutcome = CommandOutcome.APPLIED
    detail: str = "done"
    changes: tuple[AuditChange, ...] = ()
    n_partitions: int = 4
    problem: Exception | None = None
    silent: bool = False
    may_answer: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.may_answer.set()

    def partitions_of(self, command: Command) -> list[int]:
        return list(range(self.n_partitions if command.ward is not None else 1))

    def ask(self, command: Command, timeout_s: float = 5.0) -> list[Audit]:
        self.commands.append(command)
        assert self.may_answer.wait(20)
        if self.problem is not None:
            raise self.problem
        if self.silent:
            return []
        return [
            Audit(
                command.id,
                number,
                command.bed,
                command.ward,
                command.user,
                command.name,
                command.issued_ns,
                command.issued_ns,
                self.outcome,
                self.detail,
                list(self.changes),
            )
            for number in self.partitions_of(command)
        ]

    @property
    def actions(self) -> list[object]:
        return [command.action for command in self.commands]


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """Lines of the access log."""
    lines: list[dict[str, object]] = []
    monkeypatch.setattr(
        asking, "note", lambda event, user, **more: lines.append({"event": event, "user": user, **more})
    )
    return lines


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch, noted: list[dict[str, object]]) -> FakeSender:
    """Nina has signed in and commands can be sent."""
    made = FakeSender()
    monkeypatch.setattr(shared, "sender", lambda: made)
    monkeypatch.setattr(access, "current_user", lambda: NINA)
    return made


def an_alarm(
    id_: str,
    bed: str = BED,
    state: AlarmState = AlarmState.ACTIVE,
    kind: str = "vf",
    message: str = "VENT FIB",
) -> Alarm:
    return Alarm(
        id=id_,
        bed=bed,
        signal="ecg",
        kind=kind,
        priority=Priority.HIGH,
        state=state,
        message=message,
        onset_ns=1_800_000_000_000_000_000,
        raised_ns=1_800_000_003_000_000_000,
        emitted_ns=1_800_000_003_500_000_000,
        ended_ns=None,
        value=None,
        limit=None,
        unit=None,
        delay=Delay(3.0, 0.0, 0.5),
        raw_offset=1,
        revision=0,
        acknowledged_by="otto" if state is AlarmState.ACKNOWLEDGED else None,
    )


def a_setting(kind: str, limit: float, source: str = "default", **more: object) -> Setting:
    spec = load_catalogue().spec(f"ecg/{kind}")
    assert spec.limit is not None
    made = Setting(
        "ecg",
        kind,
        True,
        spec.priority,
        limit,
        spec.limit.unit,
        spec.limit.least,
        spec.limit.most,
        spec.on_delay_s,
        spec.off_delay_s,
        source,
    )
    return msgspec.structs.replace(made, **more)


def a_status(bed: str = BED, **more: object) -> Bed:
    made = Bed(
        bed=bed,
        ward="icu",
        stay="s-4711",
        admitted=True,
        admitted_ns=1_790_000_000_000_000_000,
        profile="adult",
        standby=False,
        standby_by=None,
        audio_paused_until_ns=None,
        audio_paused_by=None,
        audio_paused_up_to=None,
        settings=[
            a_setting("hr_high", 120.0),
            a_setting("hr_low", 50.0, "bed"),
            a_setting("extreme_tachycardia", 140.0),
            a_setting("extreme_bradycardia", 40.0),
        ],
        revision=1,
        emitted_ns=1,
    )
    return msgspec.structs.replace(made, **more)


class Place:
    """A ward that the test changes under the page."""

    def __init__(self, *statuses: Bed, alarms: tuple[Alarm, ...] = (), connected: bool = True) -> None:
        self.statuses, self.alarms, self.connected = statuses or (a_status(),), alarms, connected

    def snapshot(self) -> WardSnapshot:
        beds = tuple(
            BedSnapshot(
                status.bed,
                0.4,
                (),
                (),
                (),
                tuple(alarm for alarm in self.alarms if alarm.bed == status.bed),
                status=status,
            )
            for status in self.statuses
        )
        return WardSnapshot(self.connected, 0.0 if self.connected else 12.0, None, beds, self.alarms, 0)


def show(place: Place, what: str) -> AppTest:
    def script(place, what, bed):  # type: ignore[no-untyped-def]
        from dashboard import bed_controls, limits, sound_controls

        if what == "bed":
            bed_controls.alarm_controls(place.snapshot, bed)
            bed_controls.patient_controls(place.snapshot, bed)
        elif what == "ward":
            sound_controls.ward_controls(place.snapshot)
        else:
            limits.limits_editor(place.snapshot, bed)

    app = AppTest.from_function(script, args=(place, what, BED), default_timeout=20)
    return run(app)


def run(app: AppTest) -> AppTest:
    app.run()
    assert not app.exception
    return app


def press(app: AppTest, label: str) -> AppTest:
    found = [one for one in app.button if one.label.replace("\\", "") == label]
    assert found, [one.label for one in app.button]
    found[0].click()
    return run(app)


def labels(app: AppTest) -> list[str]:
    return [one.label.replace("\\", "") for one in app.button]


def said(app: AppTest) -> str:
    kinds = (app.markdown, app.caption, app.error, app.warning, app.info, app.success)
    return "\n".join(one.value for kind in kinds for one in kind).replace("\\", "")


# What came of it, in words.


def test_an_answer_is_told_with_what_changed(noted: list[dict[str, object]]) -> None:
    # A worker says nothing of a setting besides what changed.
    fake = FakeSender(detail="", changes=(AuditChange("ecg/hr_high limit", "120", "130"),))
    reply = ask(fake, NINA, SetAlarm("ecg/hr_high", {"limit": 130.0}), bed=BED)
    assert reply == Reply(Outcome.APPLIED, "set Heart rate high at bed-03", ("limit: 120 → 130",))
    (line,) = noted
    assert "120 → 130" in str(line.pop("answer"))
    assert line == {
        "event": "command",
        "user": "nina",
        "action": "set_alarm",
        "bed": BED,
        "outcome": "applied",
        "address": None,
    }


def test_a_refusal_says_why(noted: list[dict[str, object]]) -> None:
    fake = FakeSender(outcome=CommandOutcome.REFUSED, detail="no such alarm stands at this bed")
    reply = ask(fake, NINA, Acknowledge(["x"]), bed=BED)
    assert reply.outcome is Outcome.REFUSED
    assert "no such alarm stands" in reply.text


def test_a_viewer_sends_nothing_and_it_is_noted(noted: list[dict[str, object]]) -> None:
    fake = FakeSender()
    reply = ask(fake, VERA, Acknowledge(["x"]), bed=BED)
    assert reply.outcome is Outcome.REFUSED
    assert "may only look" in reply.text
    assert fake.commands == []
    assert [(one["event"], one["user"], one["outcome"]) for one in noted] == [("refused", "vera", "refused")]


@pytest.mark.parametrize(
    ("problem", "outcome", "words"),
    [
        (NotDelivered("acknowledge for bed-03 was not delivered"), Outcome.REFUSED, "not delivered"),
        (BrokerError("the answers cannot be read"), Outcome.UNANSWERED, "look before you press again"),
    ],
)
def test_a_fault_on_the_way_is_a_reply(
    noted: list[dict[str, object]], problem: Exception, outcome: Outcome, words: str
) -> None:
    reply = ask(FakeSender(problem=problem), NINA, Acknowledge(["x"]), bed=BED)
    assert reply.outcome is outcome
    assert words in reply.text


def test_what_no_worker_could_apply_is_not_sent(noted: list[dict[str, object]]) -> None:
    fake = FakeSender()
    reply = ask(fake, NINA, PauseAudio(5.0), bed=BED)
    assert (reply.outcome, fake.commands) == (Outcome.REFUSED, [])
    assert "between 10 and 600" in reply.text


def test_without_a_worker_it_says_that_it_may_still_be_done(noted: list[dict[str, object]]) -> None:
    reply = ask(FakeSender(silent=True), NINA, ResumeAudio(), ward="icu")
    assert reply.outcome is Outcome.UNANSWERED
    assert "4 of 4 partitions did not answer" in reply.text
    assert "It may still be done" in reply.text
    assert [(one["ward"], one["outcome"]) for one in noted] == [("icu", "unanswered")]


def test_a_ward_is_told_how_many_beds_it_was(noted: list[dict[str, object]]) -> None:
    reply = ask(FakeSender(detail="2 beds of this partition"), NINA, PauseAudio(), ward="icu")
    assert reply.text == "pause audio in ward icu: 8 beds"


def test_a_sender_that_hangs_is_left_behind(
    noted: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "ASK_S", ASK_S / 50)
    fake = FakeSender()
    fake.may_answer.clear()
    reply = ask(fake, NINA, Acknowledge(["x"]), bed=BED)
    fake.may_answer.set()
    assert reply.outcome is Outcome.UNANSWERED


def test_after_an_order_without_an_answer_the_rest_is_not_sent(noted: list[dict[str, object]]) -> None:
    fake = FakeSender(silent=True)
    asked = Asked(fake, NINA, [Order(ResumeAudio(), BED), Order(ResumeAudio(), "bed-04")], "Resume")
    assert asked.wait(10)
    assert [one.outcome for one in asked.replies] == [Outcome.UNANSWERED, Outcome.REFUSED]
    assert "not sent" in asked.replies[1].text
    assert len(fake.commands) == 1


def test_a_fault_of_ours_is_not_hidden(noted: list[dict[str, object]]) -> None:
    asked = Asked(FakeSender(problem=KeyError("ours")), NINA, [Order(ResumeAudio(), BED)], "Resume")
    assert asked.wait(10)
    with pytest.raises(KeyError, match="ours"):
        _ = asked.replies


# Pages.


def test_acknowledge_all_names_exactly_what_stood_on_the_screen(sender: FakeSender) -> None:
    place = Place(alarms=(an_alarm("a"), an_alarm("b"), an_alarm("c", state=AlarmState.ACKNOWLEDGED)))
    app = show(place, "bed")
    # Came after the page was drawn: nobody has seen it.
    place.alarms = (*place.alarms, an_alarm("new"))
    press(app, "Acknowledge 2 alarms")
    assert sender.actions == [Acknowledge(["a", "b"])]
    assert [(one.user, one.bed) for one in sender.commands] == [("nina", BED)]
    assert "Done" in said(app)


def test_alarms_are_acknowledged_whatever_part_of_the_bed_is_open(
    sender: FakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(alarms=(an_alarm("a"),))
    monkeypatch.setattr(shared, "feed", lambda: SimpleNamespace(ward=place))
    monkeypatch.setattr(views, "live_traces", lambda *_, **__: None)

    def script():  # type: ignore[no-untyped-def]
        from dashboard import page_bed

        page_bed.show()

    app = run(AppTest.from_function(script, default_timeout=20))
    for part in ("Controls", "Limits"):
        app.segmented_control(key="part").set_value(part)
        assert labels(run(app)).count("Acknowledge 1 alarm") == 1
    press(app, "Acknowledge 1 alarm")
    assert sender.actions == [Acknowledge(["a"])]
    assert "Done" in said(app)


def test_a_page_that_runs_again_sends_nothing(sender: FakeSender) -> None:
    app = press(show(Place(alarms=(an_alarm("a"),)), "bed"), "Acknowledge 1 alarm")
    for _ in range(3):
        run(app)
    assert len(sender.commands) == 1
    assert said(app).count("Done: ") == 1
    press(app, "Pause sound 60 s")
    press(app, "Pause sound 60 s")
    assert len({one.id for one in sender.commands}) == 3


def test_what_still_waits_cannot_be_pressed_again(sender: FakeSender) -> None:
    sender.may_answer.clear()
    app = press(show(Place(alarms=(an_alarm("a"),)), "bed"), "Acknowledge 1 alarm")
    assert "Sent: Acknowledge 1 alarm · waiting for the worker's answer" in said(app)
    spent = [one for one in app.button if one.label == "Sent: Acknowledge 1 alarm"]
    assert [one.disabled for one in spent] == [True]
    sender.may_answer.set()
    assert len(sender.commands) == 1


def test_what_was_acknowledged_offers_no_button_while_the_topic_lags(sender: FakeSender) -> None:
    place = Place(alarms=(an_alarm("a"), an_alarm("b")))
    app = show(place, "bed")
    [one for one in app.button if one.label == "Acknowledge"][0].click()
    run(app)
    assert labels(app).count("Acknowledge") == 1
    assert "acknowledged" in said(app)
    assert "Acknowledge 1 alarm" in labels(app)
    press(app, "Acknowledge 1 alarm")
    assert sender.actions == [Acknowledge(["a"]), Acknowledge(["b"])]


def test_one_alarm_is_acknowledged(sender: FakeSender) -> None:
    place = Place(alarms=(an_alarm("a"), an_alarm("b"), an_alarm("c", state=AlarmState.ACKNOWLEDGED)))
    app = show(place, "bed")
    assert labels(app).count("Acknowledge") == 2
    assert any("seen by otto" in one.proto.body for one in app.get("html"))
    [one for one in app.button if one.label == "Acknowledge"][1].click()
    run(app)
    assert sender.actions == [Acknowledge(["b"])]


def test_the_sound_is_paused_and_runs_down_with_the_users_name(sender: FakeSender) -> None:
    place = Place()
    app = press(show(place, "bed"), "Pause sound 120 s")
    assert sender.actions == [PauseAudio(120.0)]
    until_ns = time.time_ns() + 90 * NS_PER_S
    place.statuses = (a_status(audio_paused_until_ns=until_ns, audio_paused_by="nina"),)
    run(app)
    assert "SOUND PAUSED 1:" in said(app)
    assert "by nina" in said(app)
    press(app, "Resume sound")
    assert sender.actions[-1] == ResumeAudio()


def test_a_ward_is_paused_and_acknowledged_bed_by_bed(sender: FakeSender) -> None:
    until_ns = time.time_ns() + 90 * NS_PER_S
    paused = a_status("bed-04", audio_paused_until_ns=until_ns, audio_paused_by="otto")
    app = show(Place(a_status(), paused, alarms=(an_alarm("a"), an_alarm("b", "bed-04"))), "ward")
    assert "SOUND PAUSED at 1 of 2 beds 1:" in said(app)
    press(app, "Pause sound 300 s")
    press(app, "Acknowledge 2 alarms")
    found = [(one.action, one.bed, one.ward) for one in sender.commands]
    assert found == [
        (PauseAudio(300.0), None, "icu"),
        (Acknowledge(["a"]), BED, None),
        (Acknowledge(["b"]), "bed-04", None),
    ]


def test_a_ward_acknowledges_only_what_it_lists(sender: FakeSender) -> None:
    alarms = tuple(an_alarm(f"a{number:02d}") for number in range(15))
    app = press(show(Place(alarms=alarms), "ward"), "Acknowledge 12 alarms")
    assert sender.actions == [Acknowledge([f"a{number:02d}" for number in range(12)])]
    assert "3 more wait" in said(app)


@pytest.mark.parametrize("what", ["bed", "ward", "limits"])
def test_a_viewer_sees_who_may_and_no_controls(
    sender: FakeSender, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(access, "current_user", lambda: VERA)
    app = show(Place(alarms=(an_alarm("a"),)), what)
    assert labels(app) == []
    assert "vera (viewer) looks only" in said(app)


def test_whose_session_ends_while_the_page_stands_sends_nothing(
    sender: FakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = show(Place(alarms=(an_alarm("a"),)), "bed")
    monkeypatch.setattr(access, "current_user", lambda: VERA)
    press(app, "Acknowledge 1 alarm")
    assert sender.commands == []
    assert "may only look" in said(app)


@pytest.mark.parametrize("what", ["bed", "ward", "limits"])
def test_without_a_key_the_way_out_is_said(
    sender: FakeSender, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    missing = shared.Missing("no commands: WARDWAVE_COMMANDS__KEY is not set (docs/commands.md)")
    monkeypatch.setattr(shared, "sender", lambda: missing)
    app = show(Place(alarms=(an_alarm("a"),)), what)
    assert labels(app) == []
    assert "No commands: WARDWAVE_COMMANDS__KEY is not set (docs/commands.md)" in said(app)


def test_a_lost_broker_is_said_and_not_asked(sender: FakeSender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "sender", lambda: pytest.fail("it would hold the page"))
    app = show(Place(alarms=(an_alarm("a"),), connected=False), "bed")
    assert labels(app) == []
    assert "the broker has not answered for 12 s" in said(app)


def test_a_refused_press_is_shown_as_text(sender: FakeSender) -> None:
    sender.outcome, sender.detail = CommandOutcome.REFUSED, HOSTILE
    app = press(show(Place(alarms=(an_alarm("a", message=HOSTILE),)), "bed"), "Acknowledge 1 alarm")
    assert "Not done" in app.error[0].value
    assert "\\<img" in app.error[0].value
    (row,) = [one.proto.body for one in app.get("html")]
    assert f">*** {html.escape(HOSTILE)}</span>" in row


# Patients.


def test_standby_is_put_on_and_ended(sender: FakeSender) -> None:
    place = Place()
    app = press(show(place, "bed"), "Standby")
    place.statuses = (a_status(standby=True, standby_by="nina"),)
    press(run(app), "End standby")
    assert sender.actions == [Standby(True), Standby(False)]
    assert "STANDBY by nina" in said(app)


def test_a_patient_is_admitted_to_an_empty_bed(sender: FakeSender) -> None:
    app = show(Place(a_status(admitted=False, stay=None)), "bed")
    app.text_input(key=f"{BED}-stay").input("s-17")
    app.selectbox(key=f"{BED}-admit-profile").select("neonatal")
    press(app, "Admit")
    assert sender.actions == [Admit("neonatal", None, "s-17")]


def test_admitting_over_a_patient_is_asked_first(sender: FakeSender) -> None:
    app = show(Place(), "bed")
    app.text_input(key=f"{BED}-stay").input("s-17")
    press(app, "Admit")
    assert sender.commands == []
    assert "stay s-4711 is at bed-03. Admit another?" in said(app)
    press(app, "Yes: Admit s-17 at bed-03")
    assert sender.actions == [Admit(None, None, "s-17")]
    assert "Admit another?" not in said(app)


@pytest.mark.parametrize("name", ["Nina Meyer", "Meyer"])
def test_a_name_is_no_pseudonym(sender: FakeSender, name: str) -> None:
    app = show(Place(a_status(admitted=False)), "bed")
    app.text_input(key=f"{BED}-stay").input(name)
    press(app, "Admit")
    assert sender.commands == []
    assert "never enter a name" in said(app)


def test_a_discharge_is_confirmed_and_is_that_patients(sender: FakeSender) -> None:
    app = press(show(Place(), "bed"), "Discharge …")
    assert sender.commands == []
    press(app, "No")
    assert "Discharge stay" not in said(app)
    press(app, "Discharge …")
    press(app, "Yes: Discharge from bed-03")
    assert sender.actions == [Discharge(1_790_000_000_000_000_000)]


def test_a_transfer_is_confirmed(sender: FakeSender) -> None:
    app = press(show(Place(a_status(), a_status("bed-04")), "bed"), "Transfer …")
    assert "choose a bed" in said(app)
    app.selectbox(key=f"{BED}-to").select("bed-04")
    press(app, "Transfer …")
    assert sender.commands == []
    press(app, "Yes: Transfer from bed-03 to bed-04")
    assert sender.actions == [Transfer("bed-04")]


def test_another_profile_shows_the_limits_that_it_changes_first(sender: FakeSender) -> None:
    app = show(Place(), "bed")
    app.selectbox(key=f"{BED}-profile").select("neonatal")
    press(app, "Take profile …")
    assert "Heart rate high 120 → 200 /min" in said(app)
    assert "Heart rate low" not in said(app)  # Set for the bed: it stays.
    press(app, "Yes: Profile neonatal at bed-03")
    assert sender.actions == [SetProfile("neonatal")]


# Limits.


CATALOGUE = load_catalogue()
ROWS = table(CATALOGUE, a_status(), ["ecg"])


def edited(**by_kind: dict[str, object]) -> list[dict[str, object]]:
    """The table with cells changed, by kind of ECG alarm."""
    cells = [{**{name: getattr(row, name) for name in EDITED}, RESET: False} for row in ROWS]
    keys = [row.key for row in ROWS]
    for kind, new in by_kind.items():
        cells[keys.index(f"ecg/{kind}")].update(new)
    return cells


def wrong(**by_kind: dict[str, object]) -> list[str]:
    return problems(CATALOGUE, ROWS, changes(ROWS, edited(**by_kind)))


def test_the_table_tells_value_bounds_and_layer_of_every_alarm() -> None:
    keys = [row.key for row in ROWS]
    assert len(keys) == len(set(keys)) == len(CATALOGUE.of_signal("ecg")) + len(CATALOGUE.of_signal("any"))
    low = ROWS[keys.index("ecg/hr_low")]
    assert (low.limit, low.bounds, low.source) == (50.0, "15 to 200 /min", "bed")
    assert {row.limit for row in ROWS if row.key == "ecg/vf"} == {None}
    run = ROWS[keys.index("ecg/pvc_run")]
    assert (run.name, run.beats, run.bounds) == ("ECG: Run of PVCs", 3.0, "3 to 15 beats")
    # As the bed is set.
    told = Setting("ecg", "pvc_run", True, Priority.LOW, None, None, None, None, 0.0, 30.0, "bed", 5.0)
    (set_run,) = (row for row in table(CATALOGUE, a_status(settings=[told]), ["ecg"]) if row.key == run.key)
    assert (set_run.beats, set_run.source) == (5.0, "bed")


def test_only_changed_cells_are_sent() -> None:
    (change,) = changes(ROWS, edited(hr_high={"limit": 130}))
    assert change.action == SetAlarm("ecg/hr_high", {"limit": 130.0})
    assert change.lines == ("ECG: Heart rate high, limit: 120 → 130 /min",)
    assert changes(ROWS, edited()) == []
    assert changes(ROWS, edited(vf={"limit": float("nan")})) == []


def test_a_reset_unsets_every_field() -> None:
    (change,) = changes(ROWS, edited(hr_low={RESET: True, "limit": 60.0}))
    assert set(change.action.values.values()) == {None}
    assert {"limit", "enabled", "beats"} <= set(change.action.values)
    assert wrong(hr_low={RESET: True}) == []
    assert "nothing is set for this bed" in wrong(hr_high={RESET: True})[0]


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"hr_high": {"limit": 500.0}}, ["ecg/hr_high: limit=500 /min: must be between 40 and 300"]),
        ({"vf": {"limit": 3.0}}, ["ecg/vf: limit=3: this alarm has none"]),
        ({"vf": {"enabled": False}}, ["cannot be switched off"]),
        ({"vf": {"priority": "low"}}, ["this alarm stays high"]),
        ({"hr_high": {"priority": "technical"}}, ["technical and physiological alarms stay apart"]),
        ({"hr_high": {"on_delay_s": 61.0}}, ["ecg/hr_high: on_delay_s=61"]),
        ({"hr_high": {"priority": "high", "on_delay_s": 10.0}}, ["on_delay_s=10: at most 5"]),
        ({"hr_high": {"limit": None}}, ["ECG: Heart rate high: limit is empty"]),
        ({"pvc_run": {"beats": 99.0}}, ["ecg/pvc_run: beats=99 beats: must be between 3 and 15"]),
        ({"pvc_run": {"beats": 3.5}}, ["ecg/pvc_run: beats=3.5: a whole number of beats"]),
        ({"hr_high": {"beats": 3.0}}, ["ecg/hr_high: beats=3: this alarm has none"]),
        ({"hr_high": {"limit": 500.0, "off_delay_s": -1.0}}, ["limit=500", "off_delay_s=-1"]),
        (
            {"hr_low": {"limit": 130.0}},
            ["ECG: Heart rate low at 130 /min is not under ECG: Heart rate high at 120 /min"],
        ),
        (
            {"hr_low": {"limit": 120.0}},
            ["at 120 /min is not under ECG: Heart rate high at 120 /min: one of the two"],
        ),
    ],
)
def test_what_the_catalogue_forbids_is_refused_field_by_field(
    cells: dict[str, dict[str, object]], words: list[str]
) -> None:
    found = wrong(**cells)
    assert len(found) == len(words)
    for line, word in zip(found, words, strict=True):
        assert word in line


def test_limits_may_be_moved_together() -> None:
    assert wrong(hr_low={"limit": 130.0}, hr_high={"limit": 180.0}) == []


def test_alarms_of_high_priority_that_grow_quieter_are_named() -> None:
    asked = changes(ROWS, edited(extreme_tachycardia={"enabled": False}, hr_high={"enabled": False}))
    assert quieter(asked) == ["ECG: Extreme tachycardia will not be raised"]
    asked = changes(ROWS, edited(extreme_bradycardia={"priority": "low"}))
    assert "does not latch" in quieter(asked)[0]


def test_a_profile_leaves_what_the_bed_has_set() -> None:
    lines = profile_lines(CATALOGUE, a_status(), "paediatric")
    assert "Heart rate high 120 → 160 /min" in lines
    assert not any("hr_low" in line for line in lines)


class Cells:
    """Edits of the table: AppTest cannot type into one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.new: dict[str, dict[str, object]] = {}
        self.tables: list[str] = []
        monkeypatch.setattr("dashboard.limits.st.data_editor", self._edit)

    def _edit(self, frame: pd.DataFrame, *, key: str, **_: object) -> pd.DataFrame:
        self.tables.append(key)
        frame = frame.copy()
        for kind, cells in self.new.items():
            for name, value in cells.items():
                frame.loc[frame["key"] == f"ecg/{kind}", name] = value
        return frame


@pytest.fixture
def cells(monkeypatch: pytest.MonkeyPatch) -> Cells:
    """The table as the test edits it."""
    return Cells(monkeypatch)


def test_changes_are_listed_before_they_are_applied(sender: FakeSender, cells: Cells) -> None:
    app = show(Place(), "limits")
    assert labels(app) == []
    cells.new = {"hr_high": {"limit": 130.0}, "hr_low": {"limit": 45.0}}
    run(app)
    assert "Heart rate high, limit: 120 → 130 /min" in said(app)
    assert sender.commands == []
    press(app, "Apply")
    assert sender.actions == [
        SetAlarm("ecg/hr_high", {"limit": 130.0}),
        SetAlarm("ecg/hr_low", {"limit": 45.0}),
    ]


def test_a_wrong_limit_cannot_be_applied(sender: FakeSender, cells: Cells) -> None:
    cells.new = {"hr_low": {"limit": 130.0}}
    app = show(Place(), "limits")
    assert "is not under ECG: Heart rate high at 120 /min" in said(app)
    assert app.button[0].label == "Apply"
    assert app.button[0].disabled


def test_switching_off_a_high_alarm_is_confirmed(sender: FakeSender, cells: Cells) -> None:
    cells.new = {"extreme_tachycardia": {"enabled": False}}
    app = show(Place(), "limits")
    assert app.button[0].disabled
    app.checkbox[0].check()
    press(run(app), "Apply")
    assert sender.actions == [SetAlarm("ecg/extreme_tachycardia", {"enabled": False})]


def test_what_was_refused_of_several_is_named(sender: FakeSender, cells: Cells) -> None:
    sender.outcome, sender.detail = CommandOutcome.REFUSED, "not here"
    cells.new = {"hr_high": {"limit": 130.0}, "pause": {"off_delay_s": 20.0}}
    app = press(show(Place(), "limits"), "Apply")
    assert [one.value.replace("\\", "") for one in app.error] == [
        "Not done: set Heart rate high at bed-03: not here",
        "Not done: set Pause at bed-03: not here",
    ]


def test_what_somebody_else_changed_meanwhile_is_not_overwritten(sender: FakeSender, cells: Cells) -> None:
    place = Place()
    cells.new = {"hr_high": {"limit": 130.0}}
    app = show(place, "limits")
    settings = [a_setting("hr_high", 110.0, "bed"), *a_status().settings[1:]]
    place.statuses = (a_status(settings=settings),)
    press(app, "Apply")
    assert sender.commands == []
    assert "were changed meanwhile" in said(app)


def test_an_untouched_table_follows_the_bed(sender: FakeSender, cells: Cells) -> None:
    place = Place()
    app = show(place, "limits")
    before = cells.tables[-1]
    run(app)
    assert cells.tables[-1] == before
    place.statuses = (a_status(settings=[a_setting("hr_high", 110.0, "bed")]),)
    run(app)
    assert cells.tables[-1] != before


def test_a_table_that_may_no_longer_be_edited_follows_the_bed(
    sender: FakeSender, cells: Cells, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place()
    app = show(place, "limits")
    monkeypatch.setattr(access, "current_user", lambda: VERA)
    place.statuses = (a_status(settings=[a_setting("hr_high", 110.0, "bed")]),)
    run(app)
    frame = app.dataframe[0].value
    assert list(frame.loc[frame["key"] == "ecg/hr_high", "limit"]) == [110.0]


# Through a broker.


@pytest.fixture
def worked(kafka: Settings, plain_predictor: object) -> Iterator[Settings]:
    """A broker with a worker that has the key, and a bed that sent for 5 s and fell silent."""
    settings = kafka.model_copy(update={"commands": CommandSettings(key="k" * 32)})
    stop = threading.Event()
    worker = Worker(settings, plain_predictor, WorkerOptions())
    running = threading.Thread(target=worker.run, args=(stop.is_set,))
    running.start()
    try:
        with Publisher(device="m", settings=settings) as device:
            for second in range(5):
                device.publish(
                    bed=BED,
                    kind="ecg",
                    channels=("II",),
                    unit="mV",
                    fs_hz=250.0,
                    start_ns=time.time_ns() - (60 - second) * NS_PER_S,
                    seq=second,
                    samples=np.zeros((250, 1), dtype=np.int16),
                    gain=1000.0,
                    baseline=0,
                )
            device.flush(30.0)
        yield settings
    finally:
        stop.set()
        running.join(60)


@pytest.mark.kafka
def test_a_press_reaches_the_worker_and_is_answered(
    worked: Settings, monkeypatch: pytest.MonkeyPatch, noted: list[dict[str, object]]
) -> None:
    def standing_now() -> list[Alarm]:
        return [one for one in standing.read(worked, BED) if one.kind == "no_data"]

    deadline_s = time.monotonic() + 30
    while not (alarms := standing_now()):
        assert time.monotonic() < deadline_s
    monkeypatch.setattr(shared, "settings", lambda: worked)
    with shared._sender.__wrapped__() as real:
        # Nobody's first press waits until the answers can be read.
        assert "answers" in {thread.name for thread in threading.enumerate()}
        monkeypatch.setattr(shared, "sender", lambda: real)
        monkeypatch.setattr(access, "current_user", lambda: NINA)
        app = press(show(Place(alarms=tuple(alarms)), "bed"), "Acknowledge 1 alarm")
        while "waiting for the worker's answer" in said(app):
            run(app)
        assert "1 acknowledged" in said(app)
        # Whoever presses it on an older screen learns who was first.
        late = ask(real, User("otto", Role.ADMIN, "local"), Acknowledge([alarms[0].id]), bed=BED)
    assert "acknowledged already by nina" in late.text
    assert [one.acknowledged_by for one in standing_now()] == ["nina"]
