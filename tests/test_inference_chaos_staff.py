"""What the chaos runner calls wrong with staff's commands, and a soak that is interrupted."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from inference import commands
from inference.alarm_spec import ADULT
from inference.chaos_compare import Verdict
from inference.chaos_desk import Answered, compare_commands, compare_trail
from inference.chaos_faults import Fault
from inference.chaos_report import Report, summary
from inference.chaos_said import Said, Stored
from inference.chaos_soak import _strike_through
from inference.chaos_soak_report import Sample, SoakReport
from inference.chaos_staff import USER, duties, places
from inference.chaos_tapes import TapeSpec
from inference.commands import Acknowledge, Action, Command, PauseAudio, Transfer, new_command
from inference.types import Alarm, AlarmState, Audit, AuditChange, Bed, CommandOutcome, Delay, Priority
from ingest.kafka import partition_for
from ingest.types import NS_PER_S

T0 = 1_790_000_000 * NS_PER_S
N = 4
ALARM = f"bed-01:ecg:vf:{T0}"
APPLIED, REFUSED = CommandOutcome.APPLIED, CommandOutcome.REFUSED


def alarm(state: AlarmState, by: str | None) -> Alarm:
    return Alarm(
        id=ALARM,
        bed="bed-01",
        signal="ecg",
        kind="vf",
        priority=Priority.HIGH,
        state=state,
        message="vf",
        onset_ns=T0,
        raised_ns=T0,
        emitted_ns=T0,
        ended_ns=None,
        value=None,
        limit=None,
        unit=None,
        delay=Delay(0.0, 0.0, 0.0),
        raw_offset=1,
        revision=1,
        acknowledged_by=by,
    )


def bed(revision: int = 1, emitted_ns: int = T0, **changes: object) -> Bed:
    plain = Bed(
        "bed-91", "ward", None, True, T0, ADULT, False, None, None, None, None, [], revision, emitted_ns
    )
    return msgspec.structs.replace(plain, **changes)


def command(action: Action, at: str | None = "bed-01") -> Command:
    return new_command(USER, action, bed=at, ward=None if at else "ward")


PAUSE, WARD, ACK = command(PauseAudio()), command(PauseAudio(), None), command(Acknowledge([ALARM]))
MOVE = command(Transfer("bed-92"), "bed-91")
SENT = [PAUSE, WARD, ACK, MOVE]


def answered(
    *more: Audit,
    without: str = "",
    outcomes: dict[str, CommandOutcome] | None = None,
    beds: tuple[Bed, ...] = (),
) -> Answered:
    """Answers to all commands, but to one, and some more."""
    found = Answered()
    ids = [
        one
        for sent in SENT
        for one in places(
            sent, {(MOVE.id, home("bed-91")): APPLIED, (f"{MOVE.id}/admit", home("bed-92")): APPLIED}, N
        )
    ]
    for id_, partition in sorted(ids):
        if id_ != without:
            found.audits[id_, partition].append(audit(id_, partition, (outcomes or {}).get(id_, APPLIED)))
    for one in more:
        found.audits[one.id, one.partition].append(one)
    for one in beds or (bed(),):
        found.note_bed(one)
    return found


def home(label: str) -> int:
    return partition_for(label, N)


def audit(id_: str, partition: int, outcome: CommandOutcome = APPLIED, applied_ns: int = T0) -> Audit:
    return Audit(id_, partition, "bed-01", None, USER, "x", T0, applied_ns, outcome, "why", [])


def judged(
    broken: Answered,
    whole: Answered | None = None,
    state: AlarmState = AlarmState.ENDED,
    by: str | None = USER,
) -> Verdict:
    said, verdict = Said(), Verdict()
    said.note_alarm(alarm(state, by))
    compare_commands(verdict, SENT, broken, answered() if whole is None else whole, said, N)
    return verdict


def wrong(verdict: Verdict) -> list[str]:
    return [name for name in ("lost", "doubled", "different") if getattr(verdict, name)]


def test_commands_that_were_all_answered_alike_pass() -> None:
    found = judged(answered())
    assert found.passed
    assert found.counts["commands"] == 4
    assert found.counts["answers"] == 1 + N + 1 + 3


def test_the_same_answer_again_is_no_fault_and_is_counted() -> None:
    found = judged(answered(audit(PAUSE.id, home("bed-01"))))
    assert found.passed
    assert found.counts["answers_again"] == 1


def again(action: str, **changes: object) -> list[str]:
    """What is wrong where an answer comes again and says something else."""
    place = home("bed-01")
    said = AuditChange("ecg/hr_high limit", "120", "130")
    first = msgspec.structs.replace(audit(PAUSE.id, place), action=action, changes=[said])
    found = answered(msgspec.structs.replace(first, **changes))
    found.audits[PAUSE.id, place][0] = first
    return wrong(judged(found))


def test_an_answer_that_comes_again_says_the_same() -> None:
    other = AuditChange("ecg/hr_high limit", "130", "120")
    assert again("set_alarm") == []
    assert again("set_alarm", detail="something else") == ["doubled"]
    assert again("set_alarm", changes=[other]) == ["doubled"]


def test_an_answer_that_comes_again_need_not_name_what_it_found_done() -> None:
    other = AuditChange(ALARM, "latched", "ended")
    assert again("set_alarm", changes=[]) == []
    assert again("set_alarm", detail="why; nothing has come from this bed yet") == []
    assert again("acknowledge", detail="1 acknowledged", changes=[other]) == []


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: judged(answered(without=PAUSE.id)), "lost"),
        (lambda: judged(answered(without=f"{MOVE.id}/discharge")), "lost"),
        (lambda: judged(answered(without=ACK.id)), "lost"),
        (lambda: judged(answered(audit("nobody", 0))), "doubled"),
        (lambda: judged(answered(audit(PAUSE.id, home("bed-01"), applied_ns=T0 + 1))), "doubled"),
        (lambda: judged(answered(audit(PAUSE.id, home("bed-01"), REFUSED))), "doubled"),
        (lambda: judged(answered(outcomes={WARD.id: REFUSED})), "different"),
        (lambda: judged(answered(beds=(bed(profile="neonatal"),))), "different"),
        (lambda: judged(answered(beds=(bed(admitted_ns=None),))), "different"),
        (lambda: judged(answered(), state=AlarmState.LATCHED), "different"),
        (lambda: judged(answered(), by=None), "different"),
        (lambda: judged(answered(outcomes={ACK.id: REFUSED}), state=AlarmState.ACTIVE, by=None), "different"),
    ],
    ids=[
        "a command is not answered",
        "a transfer stops half-way",
        "an acknowledgement is not answered",
        "an answer to what nobody commanded",
        "a record that was sent twice was applied twice",
        "applied and refused",
        "refused though an unbroken ward applied it",
        "another profile",
        "nobody is admitted",
        "an acknowledged alarm stands again",
        "who acknowledged it is forgotten",
        "refused though it stands",
    ],
)
def test_what_is_wrong_with_commands_is_called_by_its_name(make: Callable[[], Verdict], what: str) -> None:
    assert wrong(make()) == [what]


def test_an_acknowledgement_that_came_too_late_is_rightly_refused() -> None:
    assert judged(answered(outcomes={ACK.id: REFUSED}), by=None).passed


def test_times_and_how_often_a_bed_was_said_to_be_set_do_not_count() -> None:
    later = bed(revision=7, emitted_ns=T0 + 5, admitted_ns=T0 + 9)
    assert judged(answered(beds=(bed(profile="neonatal"), later))).passed


def test_a_pause_that_ran_out_was_told_all_the_same() -> None:
    told = bed(audio_paused_until_ns=T0 + 600, audio_paused_by=USER)
    over = bed(emitted_ns=T0 + 700)
    assert judged(answered(beds=(told, over)), answered(beds=(told,))).passed
    assert wrong(judged(answered(beds=(over,)), answered(beds=(told,)))) == ["different"]


def test_every_duty_is_a_command_that_a_worker_takes() -> None:
    for at, action in islice(duties(["bed-01", "bed-02"]), 40):
        commands.check(command(action, at))


def test_of_runs_without_a_takeover_none_is_told() -> None:
    fault = Fault("link.drop", "of 3 connections", 1.0)
    report = Report(3, "abc", "embedded broker", 60, 1.0, 2, [], 60, 5, 0, {}, [], [fault], Verdict())
    assert summary([report]).endswith("no takeover measured")
    fault.takeover_s = 9.04
    assert summary([report]).endswith("takeover <= 9.0 s (target 10 s: met)")
    fault.takeover_s = 14.6
    assert summary([report]).endswith("takeover <= 14.6 s (target 10 s: missed)")


def test_an_interrupted_soak_is_healed_and_judged_up_to_there(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("42")
    healed = []

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    run = SimpleNamespace(
        wait=lambda what, most_s, condition: None,
        crew=SimpleNamespace(of=lambda role: []),
        journal_file=tmp_path / "journal",
    )
    faults = SimpleNamespace(run=interrupt, heal=lambda: healed.append(True))
    report = SoakReport(1, 2, 600, "abc")
    assert _strike_through(run, faults, TapeSpec(T0, 600, 1), report) == 42
    assert healed
    assert report.failures == ["interrupted after 42 s of 600 s; judged up to there"]
    assert not report.passed


def soaked(mb: float = 0.0, handles: float = 0.0, threads: float = 0.0, minutes: int = 60) -> SoakReport:
    """A soak whose recorder gained so much an hour."""
    report = SoakReport(1, 2, minutes * 60, "abc", spared="worker-1")
    times_s = range(0, minutes * 60 + 1, 10)
    report.samples["worker-1"] = [Sample(at_s, 7 * 10**8, 40, 9) for at_s in times_s]
    report.samples["worker-2"] = [Sample(at_s, 10**8 + at_s * 10**6, 40, 9) for at_s in times_s]
    report.samples["recorder-3"] = [
        Sample(
            at_s,
            round(3e8 + mb * 1e6 * at_s / 3600),
            round(40 + handles * at_s / 3600),
            round(9 + threads * at_s / 3600),
        )
        for at_s in times_s
    ]
    return report


def test_a_soak_in_which_the_recorder_grows_fails() -> None:
    assert soaked(50, 10, 1).passed
    assert not soaked(mb=70).passed
    assert not soaked(handles=30).passed
    assert not soaked(threads=4).passed


def test_a_short_soak_says_that_it_judges_no_growth() -> None:
    report = soaked(mb=500, minutes=20)
    assert report.passed
    assert any("growth not judged" in line for line in report.lines())


def test_an_hour_without_samples_of_both_does_not_pass() -> None:
    report = soaked()
    del report.samples["recorder-3"]
    assert report.grown() == ["recorder: not sampled for long enough"]


def test_a_process_that_ended_by_itself_fails_the_run() -> None:
    report = Report(3, "abc", "embedded broker", 60, 1.0, 2, [], 60, 5, 0, {}, [], [], Verdict())
    assert report.passed
    report.ended_alone = ["worker-1 (status 1)"]
    assert not report.passed


def test_commands_that_were_all_refused_prove_nothing() -> None:
    refused = {one.id: REFUSED for one in (PAUSE, WARD)}
    found = judged(answered(outcomes=refused), answered(outcomes=refused))
    assert not found.passed
    assert found.not_tried == [f"no command to {PAUSE.name} was applied"]


def test_an_answer_that_the_audit_trail_lacks_is_seen() -> None:
    said = answered()
    kept = Stored({}, {}, {}, dict(said.outcomes))
    found = Verdict()
    compare_trail(found, said, kept)
    assert found.passed
    kept.answers[PAUSE.id, home("bed-01")] = REFUSED
    del kept.answers[ACK.id, home("bed-01")]
    compare_trail(found, said, kept)
    assert wrong(found) == ["lost", "different"]
