"""Whatever is sent as a command is answered or dead-lettered, and holds up nobody else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec
import pytest
from kafka import KafkaProducer

from inference import command_intake, commands
from inference.alarm_book import AlarmBook
from inference.beds import Beds, DeskState
from inference.catalog import load_catalogue
from inference.command_intake import Bounds, CommandIntake, bounded
from inference.commands import Acknowledge, Action, Admit, SetAlarm, Standby
from inference.desk import Desk
from inference.publish import Outputs
from inference.site import Site
from inference.types import Alarm, Audit, AuditChange, CommandOutcome, DeadLetter
from ingest import kafka as clients
from ingest.settings import CommandSettings, Settings, Topics

BED = "bed-1"


@dataclass
class Bedside:
    """A worker whose next step may fail."""

    fails: bool = False

    def configure(self, bed: str) -> None:
        if self.fails:
            raise KeyError(bed)

    def reset(self, bed: str, watch: bool) -> int:
        return 0

    def mute(self, bed: str, on: bool) -> list[Alarm]:
        return []


class Heard(Outputs):
    """Keeps answers and dead letters instead of sending them."""

    def __init__(self, producer: KafkaProducer, topics: Topics, home: Callable[[str], int]) -> None:
        super().__init__(producer, topics, home)
        self.audits: list[Audit] = []
        self.letters: list[bytes] = []

    def send_audit(self, audit: Audit) -> None:
        self.audits.append(audit)

    def send_dead_letter(self, letter: DeadLetter) -> None:
        self.letters.append(msgspec.json.encode(letter))


@dataclass
class Ward:
    settings: Settings
    producer: KafkaProducer
    bedside: Bedside
    heard: Heard
    intake: CommandIntake
    beds: Beds

    def tell(self, action: Action) -> None:
        command = commands.new_command("nina", action, bed=BED)
        value = commands.encode(command)
        self.send(value, [(commands.HEADER, commands.sign(command.key, value, self.settings.commands))])

    def send(self, value: bytes, headers: list[tuple[str, bytes]], key: bytes = BED.encode()) -> None:
        number = clients.partition_for(BED, self.settings.kafka.partitions)
        self.producer.send(self.settings.topics.commands, value, key=key, partition=number, headers=headers)
        self.producer.flush()

    def poll_until(self, true: Callable[[], bool], timeout_s: float = 20.0) -> float:
        began_s = time.monotonic()
        while not true():
            assert time.monotonic() - began_s < timeout_s, self.heard.audits
            self.intake.poll()
        return time.monotonic() - began_s


@contextmanager
def ward_of(kafka: Settings, caught_up: bool) -> Iterator[Ward]:
    settings = kafka.model_copy(update={"commands": CommandSettings(key="k" * 32)})
    producer, beds, bedside = clients.producer(settings), Beds(load_catalogue(), Site()), Bedside()

    def home(bed: str) -> int:
        return clients.partition_for(bed, settings.kafka.partitions)

    heard = Heard(producer, settings.topics, home)
    desk = Desk(beds, AlarmBook(), bedside)
    desk.partitions[home(BED)] = DeskState()
    intake = CommandIntake(settings, desk, heard, Bounds(lambda _: [BED], lambda *_: caught_up))
    intake.take_up({home(BED): 0})
    try:
        yield Ward(settings, producer, bedside, heard, intake, beds)
    finally:
        intake.close()
        producer.close()


@pytest.fixture
def ward(kafka: Settings) -> Iterator[Ward]:
    with ward_of(kafka, caught_up=True) as made:
        yield made


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("value", "headers", "key"),
    [
        (b"{", [("x", b"\xff" * 900_000)], b"bed-1"),
        (b"{", [(f"x{n}", b"\x01" * 200) for n in range(3_000)], b"bed-1"),
        (b"{", [], b"k" * 900_000),
        (b'{"schema":"' + b"\x01" * 900_000, [], b"bed-1"),
    ],
    ids=["header", "headers", "key", "value"],
)
def test_a_monstrous_record_becomes_a_letter_that_fits(
    ward: Ward, value: bytes, headers: list[tuple[str, bytes]], key: bytes
) -> None:
    ward.send(value, headers, key)
    ward.tell(Standby(True))
    ward.poll_until(lambda: bool(ward.heard.audits))
    (letter,) = ward.heard.letters
    assert len(letter) < 2 * ward.settings.ingest.max_record_bytes
    # It fits the topic in truth, not only by count.
    ward.producer.send(ward.settings.topics.dead_letters, letter).get(20)


@pytest.mark.kafka
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e400"])
def test_what_is_no_number_is_refused_and_nothing_else(ward: Ward, value: str) -> None:
    ward.tell(SetAlarm("ecg/vt", {"beats": value}))
    ward.tell(Admit(settings={"ecg/vt": {"beats": value}}))
    ward.tell(SetAlarm("ecg/vt", {"beats": 6}))
    ward.poll_until(lambda: len(ward.heard.audits) == 3)
    first, second, third = ward.heard.audits
    assert (first.outcome, second.outcome) == (CommandOutcome.REFUSED, CommandOutcome.REFUSED)
    assert f"ecg/vt: beats='{value}'" in first.detail
    assert third.outcome is CommandOutcome.APPLIED
    assert ward.beds.settings(BED)["ecg/vt"].beats == 6
    assert ward.intake.n_errors == 0


@pytest.mark.kafka
def test_a_fault_of_the_worker_itself_is_an_answer(ward: Ward, caplog: pytest.LogCaptureFixture) -> None:
    ward.bedside.fails = True
    ward.tell(SetAlarm("ecg/vt", {"beats": 6}))
    ward.poll_until(lambda: len(ward.heard.audits) == 1)
    ward.bedside.fails = False
    ward.tell(SetAlarm("ecg/vt", {"beats": 7}))
    ward.poll_until(lambda: len(ward.heard.audits) == 2)
    failed, applied = ward.heard.audits
    assert failed.outcome is CommandOutcome.REFUSED
    assert failed.detail.startswith("internal error: KeyError: 'bed-1'; part of it may have been done: look")
    assert applied.outcome is CommandOutcome.APPLIED
    assert ward.intake.n_errors == 1
    assert "(set_alarm) failed" in caplog.text


@pytest.mark.kafka
def test_commands_behind_unknown_alarms_wait_once_for_all(
    kafka: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_intake, "MOST_WAIT_S", 0.5)
    with ward_of(kafka, caught_up=False) as ward:
        for n in range(20):
            ward.tell(Acknowledge([f"bed-1:ecg:vf:{n}"]))
        ward.tell(Standby(True))
        waited_s = ward.poll_until(lambda: len(ward.heard.audits) == 21)
        # One after the other they would have taken 10 s.
        assert 0.3 < waited_s < 5.0
        # Nor does one who goes on so hold up the bed's others.
        ward.tell(Acknowledge(["bed-1:ecg:vf:99"]))
        ward.tell(Standby(False))
        ward.poll_until(lambda: len(ward.heard.audits) == 23)
    assert [audit.outcome for audit in ward.heard.audits].count(CommandOutcome.APPLIED) == 2


@pytest.mark.kafka
def test_where_the_signals_are_read_nothing_waits(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_intake, "MOST_WAIT_S", 1e6)
    ward.tell(Acknowledge(["bed-1:ecg:vf:1"]))
    ward.poll_until(lambda: len(ward.heard.audits) == 1)
    assert "no such alarm stands" in ward.heard.audits[0].detail


def test_an_answer_stays_under_100_kb() -> None:
    changes = [AuditChange("\x01" * 1_000, "\x01" * 1_000, None) for _ in range(1_200)]
    audit = Audit(
        "id", 0, BED, None, "nina", "admit", 1, 1, CommandOutcome.APPLIED, "\x01" * 100_000, changes
    )
    cut = bounded(audit)
    assert len(msgspec.json.encode(cut)) < 100_000
    assert cut.changes[-1].name == f"and {1_200 - len(cut.changes) + 1} more"
    small = msgspec.structs.replace(audit, detail="admitted", changes=[AuditChange("a", "1", "2")])
    assert bounded(small) == small
