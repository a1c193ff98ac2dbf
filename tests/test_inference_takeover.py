"""Workers that die at any moment: what staff see in the end is what one unbroken worker would have shown.

The real parts (bedside, desk, partitions, snapshots) over a state topic in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference import handover, partitions
from inference.bedside import Bedside
from inference.commands import Acknowledge, Action, Admit, Command, Discharge, PauseAudio, SetAlarm, Standby
from inference.handover import Left
from inference.intake import Taken
from inference.partitions import Partitions
from inference.types import Alarm, AlarmState, Audit, CommandOutcome
from ingest import wire
from ingest.settings import KafkaSettings, Settings
from ingest.types import NS_PER_S

T0 = 1_700_000_000 * NS_PER_S
BED = "bed-1"
SETTINGS = Settings(kafka=KafkaSettings(partitions=1))


class NoIntake:
    """Commands come by hand."""

    def __init__(self, *_: object) -> None: ...

    def take_up(self, offsets: object) -> None: ...

    def let_go(self, number: int) -> None: ...


@dataclass
class Topics:
    """What outlives a worker."""

    raw: list[Record] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    state: list[tuple[str, bytes]] = field(default_factory=list)
    alarms: dict[str, Alarm] = field(default_factory=dict)
    audits: dict[str, Audit] = field(default_factory=dict)

    def send_state(self, key: str, value: bytes, number: int) -> None:
        self.state.append((key, value))

    def send_bed(self, bed: object) -> None: ...

    def send_alarm(self, alarm: Alarm) -> None:
        held = self.alarms.get(alarm.id)
        if held is None or (alarm.raw_offset, alarm.revision) >= (held.raw_offset, held.revision):
            self.alarms[alarm.id] = alarm

    def find(self, _: Settings, numbers: Mapping[int, int]) -> dict[int, Left]:
        left = Left()
        for key, value in self.state:
            handover._keep_newest(left, key.encode(), value)
        return dict.fromkeys(numbers, left)


@dataclass
class Record:
    value: bytes
    offset: int
    timestamp: int
    topic: str = "raw"
    partition: int = 0
    key: bytes | None = BED.encode()
    headers: list[tuple[str, bytes | None]] = field(default_factory=lambda: wire.headers(wire.AVRO))


def second(seq: int, beating: bool) -> Record:
    line = np.random.default_rng(seq).normal(0, 0.02, 250)
    if beating:
        for at in (20, 145):
            line += 1.2 * np.exp(-(((np.arange(250) - at) / 4.5) ** 2))
    value = wire.encode(
        bed=BED,
        device="m",
        kind="ecg",
        channels=("II",),
        unit="mV",
        fs_hz=250.0,
        start_ns=T0 + seq * NS_PER_S,
        seq=seq,
        samples=np.round(line[:, None] * 1000).astype(np.int16),
        gain=1000.0,
        baseline=0,
    )
    return Record(value, seq, (T0 + (seq + 1) * NS_PER_S) // 1_000_000)


class Dying:
    """A worker of one partition; ``commit`` leaves all its state, as every 30 s."""

    def __init__(self, topics: Topics, predictor: object, clock: Callable[[], int]) -> None:
        self.topics = topics
        self.bedside = Bedside(predictor, clock)
        self.parts = Partitions(SETTINGS, self.bedside, topics)
        self.parts.take_up({0: 0})
        self.partition = self.parts.get(0)
        self.raw_at = min((s.next_offset for s in self.partition.streams.values()), default=0)
        self.command_at = self.desk.partitions[0].next_offset

    @property
    def desk(self) -> object:
        return self.parts._desk

    def read_raw(self, until: int) -> None:
        for record in self.topics.raw[self.raw_at : until]:
            taken = Taken()
            self.partition.take(record, taken)
            for alarm in self.bedside.note(taken.technical) + self.bedside.push(taken.pieces).alarms:
                self.topics.send_alarm(alarm)
        self.raw_at = max(self.raw_at, until)

    def read_commands(self) -> None:
        for offset in range(self.command_at, len(self.topics.commands)):
            command = self.topics.commands[offset]
            if not self.desk.is_done(0, command):
                answer = self.desk.apply(0, command, command.issued_ns, self.parts.beds(0))
                for alarm in answer.alarms:
                    self.topics.send_alarm(alarm)
                self.topics.audits[command.id] = answer.audit
            self.desk.partitions[0].next_offset = offset + 1
        self.command_at = len(self.topics.commands)

    def commit(self) -> None:
        self.parts.leave(0)


@dataclass
class Story:
    """Seconds of signal and what staff do after some of them."""

    beating: list[bool]
    staff: dict[int, Callable[[dict[str, Alarm]], Action]]


def first_asystole(alarms: dict[str, Alarm]) -> Action:
    return Acknowledge([sorted(id_ for id_ in alarms if ":asystole:" in id_)[0]])


STORIES = {
    "acknowledged and latched": Story(
        [True] * 12 + [False] * 9 + [True] * 9 + [False] * 9 + [True] * 6, {24: first_asystole}
    ),
    "settings, pause, standby": Story(
        [True] * 12 + [False] * 10,
        {
            3: lambda _: SetAlarm("ecg/hr_low", {"limit": 30.0}),
            5: lambda _: Standby(on=True),
            20: lambda _: PauseAudio(600.0),
        },
    ),
    "another patient": Story(
        [True] * 10 + [False] * 8 + [True] * 4 + [True] * 12,
        {2: lambda _: SetAlarm("ecg/hr_high", {"limit": 200.0}), 22: lambda _: Admit(profile="neonatal")},
    ),
    "discharged": Story([True] * 10 + [False] * 8 + [True] * 2, {19: lambda _: Discharge()}),
}


def play(story: Story, predictor: object, kills: set[int], commits: set[int]) -> tuple[Topics, Dying]:
    """Play a story; a worker dies after the seconds in ``kills``, and commits after those in ``commits``.

    State is left at once after commands, as the worker does.
    """
    topics = Topics()
    now = [T0]
    partitions.handover.find = topics.find  # type: ignore[attr-defined]
    worker = Dying(topics, predictor, lambda: now[0])
    for at, beating in enumerate(story.beating):
        now[0] = T0 + (at + 1) * NS_PER_S
        topics.raw.append(second(at, beating))
        worker.read_raw(at + 1)
        act = story.staff.get(at)
        if act is not None:
            command = Command(f"c{at}", "nina", now[0], BED, None, act(topics.alarms))
            topics.commands.append(command)
            worker.read_commands()
            worker.commit()
        if at in commits:
            worker.commit()
        if at in kills:
            worker = Dying(topics, predictor, lambda: now[0])
            worker.read_raw(at + 1)
            worker.read_commands()
    return topics, worker


@pytest.fixture(autouse=True)
def _in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "CommandIntake", NoIntake)
    monkeypatch.setattr(handover, "find", handover.find)


def seen(topics: Topics) -> dict[str, tuple[object, ...]]:
    return {
        id_: (one.state, one.acknowledged_by, one.onset_ns, one.ended_ns, tuple(one.reasons), one.message)
        for id_, one in topics.alarms.items()
    }


@pytest.mark.parametrize("name", list(STORIES))
@settings(max_examples=6, deadline=None)
@given(kills=st.sets(st.integers(0, 44), max_size=4), commits=st.sets(st.integers(0, 44), max_size=6))
def test_staff_see_what_an_unbroken_worker_would_show(
    plain_predictor_class: type, name: str, kills: set[int], commits: set[int]
) -> None:
    story = STORIES[name]
    unbroken, whole = play(story, plain_predictor_class(), set(), {len(story.beating) - 1})
    broken, last = play(story, plain_predictor_class(), kills, commits)
    assert seen(broken) == seen(unbroken)
    assert all(audit.outcome is CommandOutcome.APPLIED for audit in broken.audits.values())
    state, other = (one.bedside.beds.state(BED) for one in (last, whole))
    assert (state.profile, state.settings, state.standby_by, state.pause, state.patient) == (
        other.profile,
        other.settings,
        other.standby_by,
        other.pause,
        other.patient,
    )
    standing = {one.id: one.state for one in last.bedside.book.of_bed(BED)}
    assert standing == {one.id: one.state for one in whole.bedside.book.of_bed(BED)}


def test_a_discharged_patient_does_not_come_back(plain_predictor: object) -> None:
    """After a takeover with the device off, no raw record tells where the new patient begins."""
    topics, worker = play(Story([True] * 12 + [False] * 8 + [True] * 12, {}), plain_predictor, {31}, {31})
    standing = {one.kind: one.state for one in worker.bedside.book.of_bed(BED)}
    assert standing["asystole"] is AlarmState.LATCHED
    topics.commands.append(Command("gone", "nina", T0 + 60 * NS_PER_S, BED, None, Discharge()))
    worker.read_commands()
    worker.commit()
    successor = Dying(topics, plain_predictor, lambda: T0 + 90 * NS_PER_S)
    assert successor.bedside.book.of_bed(BED) == []
    assert successor.partition.streams == {}


def test_state_of_another_version_leaves_no_alarm_that_never_ends(plain_predictor: object) -> None:
    topics, worker = play(Story([True] * 12 + [False] * 8, {}), plain_predictor, set(), {19})
    key, value = next((key, value) for key, value in topics.state if key == f"{BED}/ecg")
    topics.state = [(key, value.replace(b"\xa7version\x02", b"\xa7version\x63"))]
    successor = Dying(topics, plain_predictor, lambda: T0 + 30 * NS_PER_S)
    (life,) = successor.bedside.book.of_bed(BED)
    assert (life.state, life.reasons[-1]) == (AlarmState.LATCHED, "state lost")


def test_one_beds_state_is_not_all_that_a_successor_finds(plain_predictor: object) -> None:
    topics, worker = play(Story([True] * 12 + [False] * 8, {}), plain_predictor, set(), {19})
    topics.state.clear()
    worker.parts._left.clear()
    worker.parts.leave_beds([BED])
    assert {key for key, _ in topics.state} == {f"{BED}/ecg", f"{BED}/", "/"}
    assert topics.state[-1][0] == "/"


def test_a_late_copy_of_a_state_takes_no_acknowledgement_back(plain_predictor: object) -> None:
    """The device is silent, so that all states reach equally far."""
    topics, worker = play(Story([True] * 12 + [False] * 8, {}), plain_predictor, set(), {19})
    before = list(topics.state)
    act = first_asystole(topics.alarms)
    topics.commands.append(Command("ack", "nina", T0 + 25 * NS_PER_S, BED, None, act))
    worker.read_commands()
    worker.parts.leave_beds([BED])
    worker.parts.leave(0)
    topics.state += before
    successor = Dying(topics, plain_predictor, lambda: T0 + 30 * NS_PER_S)
    assert [one.acknowledged_by for one in successor.bedside.book.of_bed(BED)] == ["nina"]


def test_what_a_worker_leaves_that_has_lost_its_beds_is_older_than_its_successors(
    plain_predictor: object,
) -> None:
    """It slept, and does not know yet."""
    topics, sleeper = play(Story([True] * 12 + [False] * 8, {}), plain_predictor, set(), {19})
    successor = Dying(topics, plain_predictor, lambda: T0 + 25 * NS_PER_S)
    act = first_asystole(topics.alarms)
    topics.commands.append(Command("ack", "nina", T0 + 25 * NS_PER_S, BED, None, act))
    successor.read_commands()
    successor.commit()
    for _ in range(3):
        sleeper.commit()
    third = Dying(topics, plain_predictor, lambda: T0 + 30 * NS_PER_S)
    assert [one.acknowledged_by for one in third.bedside.book.of_bed(BED)] == ["nina"]
