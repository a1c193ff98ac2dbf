"""The life of alarms under anything that wards do: random conditions, commands and restarts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.alarm_book import MOST_LATCHED, AlarmBook, Life, Pause
from inference.alarms import AlarmEngine, Conditions, EngineState
from inference.catalog import load_catalogue
from inference.types import Alarm, AlarmState, Priority
from ingest.types import NS_PER_S

RULES = tuple(
    spec for spec in load_catalogue().of_signal("ecg") if spec.kind in ("asystole", "hr_high", "lead_off")
)
T0 = 1_700_000_000 * NS_PER_S
BED = "bed"


@dataclass(frozen=True)
class Step:
    """One second: which conditions hold and are judged, and what staff do."""

    true: tuple[bool, bool, bool]
    judged: bool
    acknowledge: int | None
    pause: bool
    restart: bool


steps = st.lists(
    st.builds(
        Step,
        st.tuples(st.booleans(), st.booleans(), st.booleans()),
        st.sampled_from([True, True, True, False]),
        st.none() | st.integers(0, 5),
        st.sampled_from([False, False, False, True]),
        st.booleans(),
    ),
    min_size=1,
    max_size=60,
)


@dataclass
class Run:
    """An engine and a book, the records they made, and what must be true of them at each moment."""

    engine: AlarmEngine = field(default_factory=lambda: AlarmEngine(RULES, 1))
    book: AlarmBook = field(default_factory=AlarmBook)
    records: list[Alarm] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)
    since_ns: list[int] = field(default_factory=lambda: [0] * len(RULES))

    def restart(self, pause: Pause | None) -> None:
        """Another worker goes on from what was left."""
        lives = msgspec.msgpack.decode(msgspec.msgpack.encode(self.book.state(BED, "ecg")), type=list[Life])
        state = msgspec.msgpack.decode(msgspec.msgpack.encode(self.engine.state(0)), type=EngineState)
        self.engine, self.book = AlarmEngine(RULES, 1), AlarmBook()
        self.engine.restore(0, state)
        self.book.restore(BED, lives, pause)

    def step(self, second: int, step: Step, restarts: bool, pause: Pause | None) -> Pause | None:
        now_ns = T0 + second * NS_PER_S
        for place, true in enumerate(step.true):
            if not true or not self.since_ns[place]:
                self.since_ns[place] = now_ns if true else 0
        now = Conditions(
            np.zeros(1, dtype=np.int64),
            np.array([now_ns]),
            np.array([step.true]),
            np.array([[step.judged] * len(RULES)]),
            np.array([self.since_ns]),
            np.full((1, len(RULES)), 5.0),
        )
        for change in self.engine.update(now):
            self.records += self.book.apply(BED, "ecg", change, second, now_ns)
        if step.acknowledge is not None:
            self.acknowledge(step.acknowledge, now_ns)
        if step.pause:
            pause = Pause(now_ns + 120 * NS_PER_S, "nina", self.book.gravest(BED))
            self.records += self.book.pause(BED, pause, now_ns)
        self.records += self.book.tick(now_ns)
        if restarts and step.restart:
            self.restart(pause)
        return pause

    def acknowledge(self, nth: int, now_ns: int) -> None:
        """Acknowledge the nth alarm ever raised; nothing else may change."""
        raised = list(dict.fromkeys(record.id for record in self.records))
        if not raised:
            return
        chosen = raised[nth % len(raised)]
        before = {life.id: life.record(now_ns) for life in self.book.of_bed(BED)}
        new = self.book.acknowledge(BED, [chosen], "nina", now_ns, now_ns)
        after = {life.id: life.record(now_ns) for life in self.book.of_bed(BED)}
        assert {record.id for record in new} <= {chosen}
        assert {id_: one for id_, one in after.items() if id_ != chosen} == {
            id_: one for id_, one in before.items() if id_ != chosen
        }
        if new:
            self.acknowledged.add(chosen)
        self.records += new


def play(line: Sequence[Step], restarts: bool) -> Run:
    run = Run()
    pause: Pause | None = None
    for second, step in enumerate(line):
        pause = run.step(second, step, restarts, pause)
        check(run)
    return run


def check(run: Run) -> None:
    standing = {life.id: life for life in run.book.of_bed(BED)}
    newest: dict[str, Alarm] = {}
    for record in run.records:
        if record.id in newest:
            assert record.revision > newest[record.id].revision
            assert (record.raw_offset, record.revision) > (
                newest[record.id].raw_offset,
                newest[record.id].revision,
            )
        else:
            assert record.revision == 0
        newest[record.id] = record
    # What readers hold is what stands; nothing is lost and nothing lingers.
    assert {id_ for id_, record in newest.items() if record.state is not AlarmState.ENDED} == set(standing)
    for id_, life in standing.items():
        assert newest[id_] == life.record(newest[id_].emitted_ns)
    for record in newest.values():
        superseded = any(reason.startswith("superseded") for reason in record.reasons)
        if record.priority is Priority.HIGH and record.id not in run.acknowledged and not superseded:
            assert record.state in (AlarmState.ACTIVE, AlarmState.LATCHED)
        if record.state is AlarmState.LATCHED:
            assert record.acknowledged_ns is None
            assert record.ended_ns is not None
        if record.acknowledged_ns is not None:
            assert record.id in run.acknowledged


@settings(max_examples=150, deadline=None)
@given(steps)
def test_nothing_is_lost_doubled_or_acknowledged_by_chance(line: list[Step]) -> None:
    play(line, restarts=True)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_restarts_change_nothing(line: list[Step]) -> None:
    assert play(line, restarts=True).records == play(line, restarts=False).records


def always(true: tuple[bool, bool, bool], seconds: int, acknowledge: int | None = None) -> list[Step]:
    return [Step(true, True, acknowledge if n == 0 else None, False, False) for n in range(seconds)]


def states(run: Run) -> list[tuple[str, str]]:
    return [(record.kind, record.state.value) for record in run.records]


def test_a_latched_alarm_stays_until_acknowledged_and_a_new_episode_is_another() -> None:
    quiet, stopped = (False, False, False), (True, False, False)
    line = always(stopped, 2) + always(quiet, 5) + always(stopped, 2) + always(quiet, 5)
    run = play(line, restarts=False)
    assert states(run) == [("asystole", "active"), ("asystole", "latched")] * 2
    assert len({record.id for record in run.records}) == 2
    after = play([*line, *always(quiet, 1, acknowledge=0)], restarts=False)
    first = after.records[0].id
    assert (after.records[-1].id, after.records[-1].state) == (first, AlarmState.ENDED)
    assert after.records[-1].acknowledged_by == "nina"
    assert [life.state for life in after.book.of_bed(BED)] == [AlarmState.LATCHED]


def test_an_acknowledged_alarm_ends_with_its_condition() -> None:
    line = always((True, False, False), 2) + always((True, False, False), 2, acknowledge=0)
    run = play(line + always((False, False, False), 5), restarts=False)
    assert states(run) == [("asystole", "active"), ("asystole", "acknowledged"), ("asystole", "ended")]


def test_a_high_alarm_that_nobody_acknowledges_escalates_once() -> None:
    run = play(always((True, False, False), 130), restarts=True)
    escalated = [record for record in run.records if record.escalated_ns is not None]
    assert len(escalated) == 1
    assert escalated[0].escalated_ns == T0 + 60 * NS_PER_S
    seen = play(
        always((True, False, False), 1) + always((True, False, False), 130, acknowledge=0), restarts=True
    )
    assert all(record.escalated_ns is None for record in seen.records)


def test_acknowledging_leads_off_leaves_what_lies_under_it() -> None:
    line = always((True, False, False), 2)
    covered = [Step((False, False, True), False, None, False, False)] * 3
    run = play([*line, *covered], restarts=False)
    # Not judged: the asystole stays active, and leads off is not judged here either.
    assert states(run) == [("asystole", "active")]
    raised = play(
        [*line, *always((True, False, True), 2), *always((True, False, True), 1, acknowledge=1)], False
    )
    by_kind = {life.kind: life.state for life in raised.book.of_bed(BED)}
    assert by_kind == {"asystole": AlarmState.ACTIVE, "lead_off": AlarmState.ACKNOWLEDGED}


def test_an_on_delay_goes_on_over_a_restart() -> None:
    def first_ns(restart: bool) -> int:
        line = [Step((False, True, False), True, None, False, restart) for _ in range(6)]
        return play(line, restarts=True).records[0].raised_ns

    assert first_ns(True) == first_ns(False) == T0 + 3 * NS_PER_S


@pytest.mark.parametrize(("paused_at", "sounds"), [("lead_off", True), ("asystole", False)])
def test_a_graver_new_alarm_sounds_in_a_pause(paused_at: str, sounds: bool) -> None:
    present = {"lead_off": (False, False, True), "asystole": (True, False, False)}[paused_at]
    line = [*always(present, 1), Step(present, True, None, True, False)]
    run = play([*line, *always((present[0], True, present[2]), 6)], restarts=True)
    (tachycardia,) = [life for life in run.book.of_bed(BED) if life.kind == "hr_high"]
    assert (tachycardia.audio_paused_until_ns is None) is sounds
    assert all(
        life.audio_paused_until_ns is not None for life in run.book.of_bed(BED) if life.kind == paused_at
    )


def test_latched_alarms_of_a_kind_are_bounded() -> None:
    episode = always((True, False, False), 1) + always((False, False, False), 4)
    run = play(episode * (MOST_LATCHED + 3), restarts=False)
    assert len(run.book.of_bed(BED)) == MOST_LATCHED
    ended = [record for record in run.records if record.state is AlarmState.ENDED]
    assert [record.reasons[0].split(" ")[0] for record in ended] == ["superseded"] * 3


def test_a_discharged_bed_ends_everything_with_a_reason() -> None:
    run = play(always((True, True, True), 6), restarts=False)
    ended = run.book.close(BED, "the patient was discharged", T0 + 10 * NS_PER_S)
    assert {record.kind for record in ended} == {"asystole", "lead_off"} | {
        record.kind for record in run.records
    }
    assert all(record.reasons == ["the patient was discharged"] for record in ended)
    assert run.book.of_bed(BED) == []


def told(*spans: tuple[str, int, int], seconds: int, unjudged: str = "") -> list[tuple[str, str, int]]:
    """Steps (kind, state, second) of a bed's alarms when conditions hold from one second to another.

    What is ``unjudged`` cannot be judged from second 8 on.
    """
    rules = tuple(
        spec
        for spec in load_catalogue().of_signal("ecg")
        if spec.kind in ("vf", "vt", "extreme_tachycardia", "hr_high")
    )
    engine, book, found = AlarmEngine(rules, 1), AlarmBook(), []
    for second in range(seconds):
        now_ns = T0 + second * NS_PER_S
        true = [[any(kind == rule.kind and a <= second < b for kind, a, b in spans) for rule in rules]]
        now = Conditions(
            np.zeros(1, dtype=np.int64),
            np.array([now_ns]),
            np.array(true),
            np.array([[rule.kind != unjudged or second < 8 for rule in rules]]),
            np.full((1, len(rules)), now_ns),
            np.full((1, len(rules)), 150.0),
        )
        for change in engine.update(now):
            for record in book.apply(BED, "ecg", change, second, now_ns):
                found.append((record.kind, record.state.value, second))
    return found


def test_the_graver_alarm_takes_the_place_of_the_lesser_and_gives_it_back() -> None:
    got = told(("hr_high", 0, 60), ("extreme_tachycardia", 10, 20), seconds=60)
    assert got == [
        ("hr_high", "active", 3),
        ("extreme_tachycardia", "active", 10),
        ("hr_high", "ended", 10),
        ("extreme_tachycardia", "latched", 23),
        ("hr_high", "active", 27),
    ]


def test_what_latches_is_not_taken_away_by_a_graver_alarm() -> None:
    got = told(("vt", 0, 20), ("vf", 5, 20), seconds=18)
    assert got == [("vt", "active", 0), ("vf", "active", 5)]


def test_what_cannot_be_judged_stays_beside_a_graver_alarm() -> None:
    got = told(("hr_high", 0, 30), ("vf", 10, 30), seconds=15, unjudged="hr_high")
    assert got == [("hr_high", "active", 3), ("vf", "active", 10)]
