"""What each command does to a bed, what it leaves alone, and how it is answered."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.alarm_book import AlarmBook, Pause, alarm_id
from inference.alarm_spec import Values
from inference.alarms import Change
from inference.beds import Beds, BedState, DeskState
from inference.catalog import load_catalogue
from inference.commands import (
    Acknowledge,
    Action,
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
from inference.desk import Desk
from inference.desk_work import Answer
from inference.site import Site, Ward
from inference.types import Alarm, AlarmState, CommandOutcome, Priority
from ingest.types import NS_PER_S

T0_NS = 1_790_000_000 * NS_PER_S
A, B = "bed-01", "bed-02"
NICU = "nicu-1"
SITE = Site(wards={"nicu": Ward(beds=("nicu-*",), profile="neonatal"), "icu": Ward(beds=("bed-*",))})


@dataclass
class FakeBedside:
    """Notes what the desk asks of the worker."""

    configured: list[str] = field(default_factory=list)
    forgotten: list[tuple[str, bool]] = field(default_factory=list)
    muted: list[tuple[str, bool]] = field(default_factory=list)
    offset: int = 100

    def configure(self, bed: str) -> list[Alarm]:
        self.configured.append(bed)
        return []

    def reset(self, bed: str, watch: bool) -> int:
        self.forgotten.append((bed, watch))
        return self.offset

    def mute(self, bed: str, on: bool) -> list[Alarm]:
        self.muted.append((bed, on))
        return []


class Ward2:
    """A desk with one partition that has two beds, and a clock that the test turns."""

    def __init__(self) -> None:
        self.now_ns = T0_NS
        self.bedside = FakeBedside()
        self.book = AlarmBook()
        self.beds = Beds(load_catalogue(), SITE)
        self.desk = Desk(self.beds, self.book, self.bedside, lambda: self.now_ns)
        self.desk.partitions[0] = DeskState()
        for bed in (A, B):
            self.beds.state(bed)
        self._ids = itertools.count()

    def tell(
        self, action: Action, bed: str | None = A, ward: str | None = None, user: str = "nurse"
    ) -> Answer:
        self.now_ns += NS_PER_S
        command = Command(f"id-{next(self._ids)}", user, self.now_ns, bed, ward, action)
        return self.apply(command)

    def apply(self, command: Command) -> Answer:
        return self.desk.apply(0, command, self.now_ns, [A, B, NICU])

    def follow(self, answer: Answer) -> list[Answer]:
        """Apply what follows from a command, and what follows from that."""
        answers = [answer]
        for one in answers:
            # As it comes back from the topic.
            answers += [
                self.apply(msgspec.json.decode(msgspec.json.encode(command), type=Command))
                for command in one.follow
            ]
        return answers

    def alarm(self, kind: str, bed: str = A, second: int = 0, over: bool = False) -> str:
        """Begin an alarm, or end it; return its id."""
        setting = self.beds.settings(bed)[f"ecg/{kind}"]
        onset_ns = T0_NS + second * NS_PER_S
        ended_ns = onset_ns + 5 * NS_PER_S if over else None
        change = Change(0, setting, onset_ns, onset_ns + NS_PER_S, ended_ns, 1.0)
        self.book.apply(bed, "ecg", change, 7, self.now_ns)
        return alarm_id(bed, "ecg", kind, onset_ns)

    def image(self) -> bytes:
        """All that commands can change."""
        states = [self.beds.state(bed) for bed in (A, B)]
        return msgspec.json.encode(
            (states, [self.book.of_bed(bed) for bed in (A, B)], self.beds.ward_settings("icu"))
        )


@pytest.fixture
def ward() -> Ward2:
    return Ward2()


def words(answer: Answer) -> str:
    return answer.audit.detail


def changes(answer: Answer) -> list[tuple[str, str | None, str | None]]:
    return [(one.name, one.before, one.after) for one in answer.audit.changes]


def is_applied(answer: Answer) -> bool:
    return answer.audit.outcome is CommandOutcome.APPLIED


def limit(ward: Ward2, bed: str = A, key: str = "ecg/hr_high") -> float | None:
    return ward.beds.settings(bed)[key].limit


def test_the_answer_names_who_when_what_and_where(ward: Ward2) -> None:
    audit = ward.tell(SetProfile("neonatal")).audit
    assert (audit.id, audit.partition, audit.bed, audit.ward) == ("id-0", 0, A, None)
    assert (audit.user, audit.action) == ("nurse", "set_profile")
    assert (audit.issued_ns, audit.applied_ns) == (ward.now_ns, ward.now_ns)


def test_exactly_the_named_alarms_are_acknowledged(ward: Ward2) -> None:
    seen, other = ward.alarm("vf"), ward.alarm("hr_high")
    elsewhere = ward.alarm("vf", bed=B)
    answer = ward.tell(Acknowledge([seen]))
    (record,) = answer.alarms
    assert (record.id, record.state, record.acknowledged_by) == (seen, AlarmState.ACKNOWLEDGED, "nurse")
    assert record.acknowledged_ns == answer.audit.applied_ns
    assert changes(answer) == [(seen, "active", "acknowledged")]
    states = {life.id: life.state for bed in (A, B) for life in ward.book.of_bed(bed)}
    assert states[other] == states[elsewhere] == AlarmState.ACTIVE


def test_acknowledging_a_latched_alarm_ends_it(ward: Ward2) -> None:
    seen = ward.alarm("vf")
    ward.alarm("vf", over=True)
    answer = ward.tell(Acknowledge([seen, seen]))
    assert [record.state for record in answer.alarms] == [AlarmState.ENDED]
    assert (words(answer), changes(answer)) == ("1 acknowledged", [(seen, "latched", "ended")])
    assert ward.book.of_bed(A) == []


def test_a_new_episode_is_not_acknowledged_with_the_one_before(ward: Ward2) -> None:
    first = ward.alarm("vf")
    ward.alarm("vf", over=True)
    second = ward.alarm("vf", second=60)
    ward.tell(Acknowledge([first]))
    assert [(life.id, life.state) for life in ward.book.of_bed(A)] == [(second, AlarmState.ACTIVE)]


@pytest.mark.parametrize("name", ["nothing", "another bed's"])
def test_an_alarm_that_does_not_stand_at_the_bed_is_refused(ward: Ward2, name: str) -> None:
    ward.alarm("vf")
    given = "x" if name == "nothing" else ward.alarm("vf", bed=B)
    before = ward.image()
    answer = ward.tell(Acknowledge([given]))
    assert not is_applied(answer)
    assert words(answer).startswith(f"alarms: {given}: no such alarm stands at this bed")
    assert ward.image() == before


def test_what_was_acknowledged_before_stays_with_who_did_it(ward: Ward2) -> None:
    seen, late = ward.alarm("vf"), ward.alarm("hr_high")
    ward.tell(Acknowledge([seen]))
    assert words(ward.tell(Acknowledge([seen]), user="doctor")) == (
        f"alarms: {seen}: acknowledged already by nurse"
    )
    both = ward.tell(Acknowledge([seen, late, "gone"]), user="doctor")
    assert words(both) == "1 acknowledged, 1 were already, 1 do not stand (any more): gone"
    by = {life.id: life.acknowledged_by for life in ward.book.of_bed(A)}
    assert by == {seen: "nurse", late: "doctor"}


def test_a_successor_that_applies_the_same_command_again_says_the_same(ward: Ward2) -> None:
    command = Command("id-x", "nurse", ward.now_ns, A, None, Acknowledge([ward.alarm("vf")]))
    first, again = ward.apply(command), ward.apply(command)
    assert is_applied(again)
    assert (words(first), words(again)) == ("1 acknowledged", "1 acknowledged")
    assert len(first.alarms) == 1
    assert again.alarms == []


def test_a_command_is_applied_once_for_as_long_as_it_could_be_sent_again(ward: Ward2) -> None:
    command = Command("id-x", "nurse", ward.now_ns, A, None, SetProfile("neonatal"))
    assert not ward.desk.is_done(0, command)
    ward.apply(command)
    assert ward.desk.is_done(0, command)
    ward.now_ns += 3_000 * NS_PER_S
    ward.tell(ResumeAudio())
    assert ward.desk.is_done(0, command)
    ward.now_ns += 1_000 * NS_PER_S
    ward.tell(ResumeAudio())
    assert len(ward.desk.partitions[0].seen) == 2


def test_a_refused_command_is_not_tried_again_either(ward: Ward2) -> None:
    command = Command("id-x", "nurse", ward.now_ns, A, None, SetProfile("elderly"))
    assert words(ward.apply(command)) == "profile='elderly': there are adult, paediatric, neonatal"
    assert ward.desk.is_done(0, command)


def test_a_pause_silences_what_sounds_and_what_is_no_graver(ward: Ward2) -> None:
    ward.alarm("hr_high")
    answer = ward.tell(PauseAudio(120.0))
    until_ns = answer.audit.applied_ns + 120 * NS_PER_S
    assert [record.audio_paused_until_ns for record in answer.alarms] == [until_ns]
    (bed,) = answer.beds
    assert (bed.audio_paused_until_ns, bed.audio_paused_by) == (until_ns, "nurse")
    assert bed.audio_paused_up_to is Priority.MEDIUM
    assert words(answer) == "sound paused for 120 s; new alarms graver than medium sound"
    ward.alarm("pause", second=3)
    ward.alarm("vf", second=3)
    paused = {life.kind: life.audio_paused_until_ns for life in ward.book.of_bed(A)}
    assert paused == {"hr_high": until_ns, "pause": until_ns, "vf": None}


def test_a_pause_of_a_quiet_bed_silences_no_alarm_of_a_patient(ward: Ward2) -> None:
    (bed,) = ward.tell(PauseAudio()).beds
    assert bed.audio_paused_up_to is Priority.TECHNICAL
    ward.alarm("hr_high")
    assert ward.book.of_bed(A)[0].audio_paused_until_ns is None


def test_a_pause_ends_by_itself_or_by_command(ward: Ward2) -> None:
    ward.alarm("vf")
    assert words(ward.tell(PauseAudio(60.0))) == "sound paused for 60 s; new high alarms sound"
    answer = ward.tell(ResumeAudio())
    assert [record.audio_paused_until_ns for record in answer.alarms] == [None]
    assert answer.beds[0].audio_paused_until_ns is None
    ward.tell(PauseAudio(60.0))
    assert ward.beds.record(A, ward.now_ns + 61 * NS_PER_S).audio_paused_until_ns is None


def test_a_ward_s_pause_reaches_all_its_beds_and_no_other(ward: Ward2) -> None:
    ward.beds.state(NICU)
    answer = ward.tell(PauseAudio(60.0), bed=None, ward="icu")
    assert words(answer) == "2 beds of this partition"
    assert [record.bed for record in answer.beds] == [A, B]
    assert ward.bedside.configured == [A, B]
    assert ward.beds.state(NICU).pause is None
    assert words(ward.tell(PauseAudio(60.0), bed=None, ward="theatre")) == "0 beds of this partition"


def test_a_limit_is_set_and_unset_with_what_was_before(ward: Ward2) -> None:
    answer = ward.tell(SetAlarm("ecg/hr_high", {"limit": 130.0, "enabled": False}))
    assert changes(answer) == [
        ("ecg/hr_high limit", "120", "130"),
        ("ecg/hr_high enabled", "True", "False"),
    ]
    assert ward.bedside.configured == [A]
    (shown,) = [one for one in answer.beds[0].settings if (one.signal, one.kind) == ("ecg", "hr_high")]
    assert (shown.limit, shown.enabled, shown.source) == (130.0, False, "bed")
    assert (shown.unit, shown.least, shown.most) == ("/min", 40.0, 300.0)
    assert limit(ward, B) == 120.0
    answer = ward.tell(SetAlarm("ecg/hr_high", {"limit": None}))
    assert changes(answer) == [("ecg/hr_high limit", "130", None)]
    assert limit(ward) == 120.0
    assert not ward.beds.settings(A)["ecg/hr_high"].enabled
    ward.tell(SetAlarm("ecg/hr_high", {"enabled": None}))
    assert ward.beds.state(A).settings == {}


def test_a_number_written_as_text_is_a_number(ward: Ward2) -> None:
    assert changes(ward.tell(SetAlarm("ecg/hr_high", {"limit": "120"}))) == []
    assert ward.beds.state(A).settings == {"ecg/hr_high": {"limit": 120.0}}


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (SetAlarm("ecg/hr_high", {"limit": 500.0}), "values: ecg/hr_high: limit=500 /min: must be between"),
        (SetAlarm("ecg/hr_high", {"limit": "high"}), "ecg/hr_high: limit='high': Input should be a valid"),
        (SetAlarm("ecg/hr_high", {"colour": "red"}), "values: colour: there are enabled, priority, limit"),
        (SetAlarm("ecg/hr_high", {}), "values: none given: there are enabled"),
        (SetAlarm("ecg/hr_high", {"on_delay_s": 61.0}), "ecg/hr_high: on_delay_s=61.0: Input should be less"),
        (SetAlarm("ecg/hr_hihg", {"limit": 130.0}), "alarm 'ecg/hr_hihg' is not known"),
        (SetAlarm("ecg/hr_high", {"limit": 45.0}), "ecg/hr_high: ecg/hr_low limit=45 would not be under"),
        (SetAlarm("ecg/hr_low", {"limit": 120.0}), "ecg/hr_low: ecg/hr_low limit=120 would not be under"),
        (Admit(settings={"ecg/hr_low": {"limit": 125.0}}), "would not be under ecg/hr_high limit=120"),
        (SetAlarm("ecg/vf", {"enabled": False}), "ecg/vf: enabled=false: this alarm cannot be switched off"),
        (SetAlarm("eeg/*", {"limit": 1.0}), "eeg/*: limits and beats are set alarm by alarm"),
        (SetAlarm("egg/*", {"enabled": False}), "egg/*: there are ecg/*, eeg/*"),
        (SetProfile("elderly"), "profile='elderly': there are adult, paediatric, neonatal"),
        (Admit("elderly"), "profile='elderly': there are adult"),
        (Admit(settings={"ecg/hr_high": {"limit": 500.0}}), "limit=500 /min: must be between"),
        (Admit(transfer_from=B), "bed='bed-01' has a patient: discharge them first; the one of 'bed-02'"),
        (Transfer(A), "to_bed='bed-01': the patient is there already"),
        (Acknowledge(["x"]), "no such alarm stands"),
    ],
)  # fmt: skip
def test_a_refused_command_changes_nothing(ward: Ward2, action: Action, said: str) -> None:
    ward.tell(Admit(settings={"ecg/hr_low": {"limit": 45.0}}))
    ward.alarm("vf")
    ward.tell(PauseAudio())
    asked = (list(ward.bedside.configured), list(ward.bedside.forgotten), list(ward.bedside.muted))
    before = ward.image()
    answer = ward.tell(action)
    assert not is_applied(answer)
    assert said in words(answer)
    assert ward.image() == before
    assert asked == (ward.bedside.configured, ward.bedside.forgotten, ward.bedside.muted)
    assert (answer.alarms, answer.beds, answer.follow, answer.audit.changes) == ([], [], [], [])


def test_a_refused_setting_of_a_ward_changes_nothing(ward: Ward2) -> None:
    before = ward.image()
    for limit_, said in ((500.0, "must be between"), (50.0, "ecg/hr_low limit=50 would not be under")):
        answer = ward.tell(SetAlarm("ecg/hr_high", {"limit": limit_}), bed=None, ward="icu")
        assert not is_applied(answer)
        assert said in words(answer)
        assert ward.image() == before
    assert ward.desk.partitions[0].wards == {}


def test_what_a_ward_is_set_to_holds_for_beds_that_come_later(ward: Ward2) -> None:
    answer = ward.tell(SetAlarm("ecg/hr_high", {"limit": 130.0}), bed=None, ward="icu")
    assert changes(answer) == [("ecg/hr_high limit", None, "130")]
    assert [limit(ward, bed) for bed in (A, B, "bed-99")] == [130.0] * 3
    assert limit(ward, "nicu-9") == 200.0
    assert ward.beds.settings("bed-99")["ecg/hr_high"].source == "ward"
    # A bed's own setting lies over its ward's, and comes to light again when it is unset.
    ward.tell(SetAlarm("ecg/hr_high", {"limit": 150.0}))
    ward.tell(SetAlarm("ecg/hr_high", {"limit": 140.0}), bed=None, ward="icu")
    assert [limit(ward, bed) for bed in (A, B)] == [150.0, 140.0]
    ward.tell(SetAlarm("ecg/hr_high", {"limit": None}))
    assert limit(ward) == 140.0


def test_each_partition_of_a_worker_answers_a_ward_with_what_it_knew(ward: Ward2) -> None:
    ward.desk.partitions[1] = DeskState()
    command = Command("id-w", "n", ward.now_ns, None, "icu", SetAlarm("ecg/hr_high", {"limit": 130.0}))
    answers = [ward.desk.apply(number, command, ward.now_ns, [bed]) for number, bed in ((0, A), (1, B))]
    assert [changes(answer) for answer in answers] == [[("ecg/hr_high limit", None, "130")]] * 2
    assert all(state.wards["icu"] for state in ward.desk.partitions.values())


def test_all_of_a_signal_is_switched_off_and_on(ward: Ward2) -> None:
    ward.tell(SetAlarm("eeg/*", {"enabled": False}))
    settings = ward.beds.settings(A)
    assert not settings["eeg/seizure"].enabled
    assert settings["ecg/vf"].enabled
    ward.tell(SetAlarm("eeg/*", {"enabled": None}))
    assert ward.beds.settings(A)["eeg/seizure"].enabled


def test_a_new_patient_inherits_nothing(ward: Ward2) -> None:
    ward.tell(Admit("paediatric", stay="stay-1"))
    ward.tell(SetAlarm("ecg/hr_high", {"limit": 170.0}))
    ward.tell(Standby(True))
    old = ward.alarm("vf")
    ward.alarm("vf", over=True)
    ward.tell(PauseAudio())
    answer = ward.tell(Admit("adult", stay="stay-2"))
    assert changes(answer) == [("profile", "paediatric", "adult"), ("stay", "stay-1", "stay-2")]
    (closed,) = answer.alarms
    assert (closed.id, closed.state) == (old, AlarmState.ENDED)
    assert closed.reasons == ["another patient was admitted"]
    (bed,) = answer.beds
    assert (bed.admitted, bed.admitted_ns, bed.stay) == (True, answer.audit.applied_ns, "stay-2")
    assert (bed.profile, bed.standby, bed.audio_paused_until_ns) == ("adult", False, None)
    assert {one.source for one in bed.settings} == {"default"}
    assert ward.bedside.forgotten[-1] == (A, True)
    assert ward.beds.state(A).patient == 2
    ward.alarm("vf", second=60)
    assert ward.book.of_bed(A)[0].audio_paused_until_ns is None


def test_a_bed_is_admitted_to_a_ward_and_falls_back_to_the_site_s(ward: Ward2) -> None:
    (bed,) = ward.tell(Admit("neonatal", ward="nicu")).beds
    assert (bed.ward, limit(ward)) == ("nicu", 200.0)
    (bed,) = ward.tell(Discharge()).beds
    assert (bed.ward, bed.profile, bed.admitted, bed.stay) == ("icu", "adult", False, None)
    # Nobody said a profile: a newborn's limits where newborns lie.
    answer = ward.tell(Admit(ward="nicu"))
    assert (answer.beds[0].profile, words(answer)) == ("neonatal", "admitted as neonatal")
    assert changes(answer) == [("profile", "adult", "neonatal"), ("ward", "icu", "nicu")]
    assert ward.tell(Admit(), bed=NICU).beds[0].profile == "neonatal"
    assert ward.tell(Admit()).beds[0].profile == "adult"
    # The ward's own profile is that of its empty beds.
    (bed,) = ward.tell(Discharge(), bed=NICU).beds
    assert (bed.ward, bed.profile) == ("nicu", "neonatal")


def test_a_discharge_forgets_all_and_watches_no_longer(ward: Ward2) -> None:
    ward.tell(Admit("paediatric"))
    ward.alarm("asystole")
    answer = ward.tell(Discharge())
    assert [record.reasons for record in answer.alarms] == [["the patient was discharged"]]
    assert ward.bedside.forgotten[-1] == (A, False)
    assert ward.beds.state(A).profile == "adult"


def test_a_transfer_takes_profile_and_limits_and_leaves_alarms_behind(ward: Ward2) -> None:
    ward.tell(
        Admit("paediatric", stay="stay-1", settings={"ecg/hr_high": {"limit": 170.0, "priority": "low"}})
    )
    here = ward.alarm("vf")
    answers = ward.follow(ward.tell(Transfer(B)))
    assert [(one.audit.action, one.audit.bed) for one in answers] == [
        ("transfer", A),
        ("admit", B),
        ("discharge", A),
    ]
    assert [one.audit.id for one in answers] == ["id-1", "id-1/admit", "id-1/discharge"]
    assert all(is_applied(one) for one in answers)
    assert {one.audit.user for one in answers} == {"nurse"}
    there, gone = ward.beds.state(B), ward.beds.state(A)
    assert (there.profile, there.stay, there.settings) == (
        "paediatric",
        "stay-1",
        {"ecg/hr_high": {"limit": 170.0, "priority": "low"}},
    )
    assert ward.beds.settings(B)["ecg/hr_high"].priority is Priority.LOW
    assert (gone.stay, gone.admitted_ns, gone.profile, gone.settings) == (None, None, "adult", {})
    assert [(record.id, record.state) for record in answers[2].alarms] == [(here, AlarmState.ENDED)]
    assert ward.book.of_bed(B) == []
    # And back again.
    assert all(is_applied(one) for one in ward.follow(ward.tell(Transfer(A), bed=B)))
    assert (ward.beds.state(A).stay, limit(ward), ward.beds.state(B).stay) == ("stay-1", 170.0, None)


def test_a_transfer_to_an_occupied_bed_leaves_both_as_they_were(ward: Ward2) -> None:
    ward.tell(Admit("paediatric", stay="stay-1"))
    ward.tell(Admit("neonatal", stay="stay-2"), bed=B)
    alarms = [ward.alarm("vf"), ward.alarm("vf", bed=B)]
    asked, refused = ward.follow(ward.tell(Transfer(B)))
    assert is_applied(asked)
    assert not is_applied(refused)
    assert (
        words(refused)
        == "bed='bed-02' has a patient: discharge them first; the one of 'bed-01' stays where they are"
    )
    assert [ward.beds.state(bed).stay for bed in (A, B)] == ["stay-1", "stay-2"]
    assert [life.id for bed in (A, B) for life in ward.book.of_bed(bed)] == alarms


def test_who_was_admitted_meanwhile_is_not_discharged_by_a_transfer(ward: Ward2) -> None:
    ward.tell(Admit(stay="stay-1"))
    (admit,) = ward.tell(Transfer(B)).follow
    ward.tell(Admit(stay="stay-2"))
    (discharge,) = ward.apply(admit).follow
    assert not is_applied(ward.apply(discharge))
    assert [ward.beds.state(bed).stay for bed in (A, B)] == ["stay-2", "stay-1"]


def test_nobody_is_transferred_from_an_empty_bed(ward: Ward2) -> None:
    assert words(ward.tell(Transfer(B))).startswith("bed='bed-01': nobody is admitted here")


def test_standby_silences_missing_data_and_says_by_whom(ward: Ward2) -> None:
    answer = ward.tell(Standby(True))
    assert changes(answer) == [("standby", "False", "True")]
    assert (answer.beds[0].standby, answer.beds[0].standby_by) == (True, "nurse")
    assert ward.bedside.muted == [(A, True)]
    answer = ward.tell(Standby(False))
    assert (answer.beds[0].standby, answer.beds[0].standby_by) == (False, None)
    assert ward.bedside.muted == [(A, True), (A, False)]


def test_a_profile_changes_defaults_and_keeps_what_was_set(ward: Ward2) -> None:
    ward.tell(SetAlarm("ecg/hr_high", {"limit": 150.0}))
    answer = ward.tell(SetProfile("neonatal"))
    assert changes(answer) == [("profile", "adult", "neonatal")]
    assert (limit(ward), limit(ward, key="ecg/hr_low")) == (150.0, 100.0)


def test_each_change_of_a_bed_has_a_higher_revision(ward: Ward2) -> None:
    actions: list[Action] = [
        SetProfile("neonatal"),
        PauseAudio(),
        ResumeAudio(),
        Standby(True),
        Admit(),
        Discharge(),
    ]
    revisions = [ward.tell(action).beds[0].revision for action in actions]
    assert revisions == sorted(set(revisions))


def test_commands_wait_for_alarms_and_for_the_end_of_a_patients_signals(ward: Ward2) -> None:
    known = ward.alarm("vf")
    ask: Callable[[Action], bool] = lambda action: ward.desk.knows(Command("i", "n", 1, A, None, action))  # noqa: E731
    assert ask(Acknowledge([known]))
    assert not ask(Acknowledge([known, "later"]))
    assert not ask(Discharge())


def test_a_bed_goes_on_as_it_was_after_a_restart(ward: Ward2) -> None:
    ward.tell(Admit("paediatric", stay="s", settings={"ecg/hr_high": {"limit": 170.0, "priority": "low"}}))
    ward.tell(Standby(True))
    ward.tell(PauseAudio())
    ward.tell(SetAlarm("ecg/hr_low", {"limit": 60.0}), bed=None, ward="icu")
    held = msgspec.msgpack.encode((ward.beds.state(A), ward.desk.partitions[0]))
    state, desk = msgspec.msgpack.decode(held, type=tuple[BedState, DeskState])
    other = Ward2()
    other.beds.put(state)
    other.beds.put_wards(desk.wards)
    assert other.beds.record(A, ward.now_ns) == ward.beds.record(A, ward.now_ns)
    assert isinstance(state.pause, Pause)


FIELDS = st.dictionaries(
    st.sampled_from(["enabled", "priority", "limit", "beats", "on_delay_s", "off_delay_s"]),
    st.none() | st.booleans() | st.floats(0, 400) | st.sampled_from(["high", "low", "technical", "x"]),
    max_size=3,
)
KEYS = st.sampled_from(["ecg/hr_high", "ecg/vf", "ecg/vt", "ecg/*", "any/no_data", "eeg/no_data", "ecg/x"])


@given(st.lists(st.tuples(KEYS, FIELDS, st.booleans()), max_size=8))
def test_whatever_is_set_no_alarm_leaves_its_bounds(given: list[tuple[str, dict, bool]]) -> None:
    ward = Ward2()
    for key, values, of_ward in given:
        place = (None, "icu") if of_ward else (A, None)
        ward.tell(SetAlarm(key, values), *place)
    for setting in ward.beds.settings(A).values():
        spec = setting.spec
        assert setting.enabled or not spec.fixed
        assert setting.priority is spec.priority or not spec.fixed
        for value, bounds in ((setting.limit, spec.limit), (setting.beats, spec.beats)):
            assert (value is None) == (bounds is None)
            assert value is None or bounds.least <= value <= bounds.most
        assert setting.on_delay_s <= (5.0 if spec.priority is Priority.HIGH else 60.0)
    Values.model_validate(ward.beds.state(A).settings.get("ecg/hr_high", {}))
