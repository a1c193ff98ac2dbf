"""``wardwave command`` and ``wardwave alarms`` against a broker, with a desk that answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaTimeoutError

import wardwave
from inference import commands, standing
from inference.alarm_book import AlarmBook, alarm_id
from inference.alarms import Change
from inference.beds import Beds, DeskState
from inference.catalog import load_catalogue
from inference.command_cli import read_values
from inference.command_intake import Bounds, CommandIntake
from inference.command_sender import CommandSender
from inference.commands import Discharge, PauseAudio, ResumeAudio, SetProfile, Transfer, new_command
from inference.desk import Desk
from inference.errors import BadCommand, NotDelivered
from inference.publish import Outputs
from inference.site import Site, Ward
from inference.types import Alarm, AlarmState, CommandOutcome
from ingest import kafka as clients
from ingest.errors import BrokerError, SettingsError
from ingest.settings import CommandSettings, Settings
from ingest.types import NS_PER_S

KEY = "k" * 32
SITE = Site(wards={"icu": Ward(beds=("bed-*",))})
BEDS = ("bed-01", "bed-02")
Shell = Callable[..., tuple[int, str]]


class Quiet:
    """A worker without signals."""

    def configure(self, bed: str) -> list[Alarm]:
        return []

    def reset(self, bed: str, watch: bool) -> int:
        return 0

    def mute(self, bed: str, on: bool) -> list[Alarm]:
        return []


@dataclass
class Station:
    """A desk on the topics, in a thread."""

    settings: Settings
    beds: Beds
    book: AlarmBook
    outputs: Outputs
    intake: CommandIntake

    def home(self, bed: str) -> int:
        return clients.partition_for(bed, self.settings.kafka.partitions)


@contextmanager
def station(settings: Settings, numbers: tuple[int, ...] = (0, 1, 2, 3)) -> Iterator[Station]:
    """Answer commands of some partitions."""
    beds, book = Beds(load_catalogue(), SITE), AlarmBook()
    producer = clients.producer(settings)

    def home(bed: str) -> int:
        return clients.partition_for(bed, settings.kafka.partitions)

    outputs = Outputs(producer, settings.topics, home)
    desk = Desk(beds, book, Quiet())
    desk.partitions.update({number: DeskState() for number in numbers})
    bounds = Bounds(lambda number: [bed for bed in BEDS if home(bed) == number], lambda *_: True)
    intake = CommandIntake(settings, desk, outputs, bounds)
    for bed in BEDS:
        if home(bed) in numbers:
            outputs.send_bed(beds.record(bed, time.time_ns()))
    stopped = threading.Event()

    def work() -> None:
        intake.take_up(dict.fromkeys(numbers, 0))
        while not stopped.wait(0.01):
            intake.poll()
            outputs.flush()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield Station(settings, beds, book, outputs, intake)
    finally:
        stopped.set()
        thread.join(30)
        intake.close()
        producer.close()


def raise_alarm(
    ward: Station, bed: str, kind: str, second: int = 0, over: bool = False, ago_s: float = 60.0
) -> str:
    """Begin an alarm, or end it, and publish that as if so long ago; return its id."""
    setting = ward.beds.settings(bed)[f"ecg/{kind}"]
    now_ns = time.time_ns() - round(ago_s * NS_PER_S)
    onset_ns = 1_790_000_000 * NS_PER_S + second * NS_PER_S
    change = Change(0, setting, onset_ns, onset_ns, onset_ns + 1 if over else None, 134.0)
    for record in ward.book.apply(bed, "ecg", change, 7, now_ns):
        ward.outputs.send_alarm(record)
    ward.outputs.flush()
    return alarm_id(bed, "ecg", kind, onset_ns)


@pytest.fixture
def signed(kafka: Settings) -> Settings:
    return kafka.model_copy(update={"commands": CommandSettings(key=KEY)})


@pytest.fixture
def shell(signed: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Run the command as from a shell; return its status and what it printed."""
    monkeypatch.setenv("WARDWAVE_KAFKA__BOOTSTRAP_SERVERS", signed.kafka.bootstrap_servers)
    monkeypatch.setenv("WARDWAVE_KAFKA__PARTITIONS", str(signed.kafka.partitions))
    monkeypatch.setenv("WARDWAVE_COMMANDS__KEY", KEY)
    for name, topic in signed.topics.model_dump().items():
        monkeypatch.setenv(f"WARDWAVE_TOPICS__{name.upper()}", topic)

    def run(*words: str) -> tuple[int, str]:
        try:
            status = wardwave.main(list(words))
        except SystemExit as ended:
            status = int(ended.code or 0)
        said = capsys.readouterr()
        return status, said.out + said.err

    return run


pytestmark = pytest.mark.kafka


def test_a_patient_s_way_through_two_beds(signed: Settings, shell: Shell) -> None:
    nurse = ("--user", "nurse")
    with station(signed):
        status, said = shell(
            "command", "admit", "--bed", "bed-01", "--profile", "paediatric", "--stay", "s1", *nurse
        )
        assert (status, said) == (
            0,
            "admit applied at bed-01: admitted as paediatric\n  profile: adult -> paediatric\n",
        )
        status, said = shell(
            "command", "set", "--bed", "bed-01", "ecg/hr_high", "limit=170", "enabled=false", *nurse
        )
        assert (status, said) == (
            0,
            "set alarm applied at bed-01\n  ecg/hr_high limit: 160 -> 170\n"
            "  ecg/hr_high enabled: True -> False\n",
        )
        status, said = shell("command", "transfer", "--bed", "bed-01", "--to", "bed-02", *nurse)
        assert status == 0
        assert [line.partition(":")[0] for line in said.splitlines() if not line.startswith(" ")] == [
            "transfer applied at bed-01",
            "admit applied at bed-02",
            "discharge applied at bed-01",
        ]
        _, said = shell("alarms", "settings", "--bed", "bed-02")
        assert "bed-02: ward icu, profile paediatric, admitted since" in said
        assert "stay s1" in said
        assert any(line.split()[:4] == ["ecg/hr_high", "off", "170", "/min"] for line in said.splitlines())
        status, said = shell("command", "set", "--bed", "bed-02", "ecg/hr_high", "limit=default", *nurse)
        assert (status, "ecg/hr_high limit: 170 -> default" in said) == (0, True)
        assert shell("command", "profile", "--bed", "bed-02", "neonatal", *nurse)[0] == 0
        assert shell("command", "standby", "--bed", "bed-02", *nurse)[0] == 0
        assert "standby by nurse" in shell("alarms", "settings", "--bed", "bed-02")[1]
        assert "standby ended" in shell("command", "standby", "--bed", "bed-02", "--off", *nurse)[1]
        assert shell("command", "discharge", "--bed", "bed-02", *nurse)[0] == 0
        assert "no patient admitted" in shell("alarms", "settings", "--bed", "bed-02")[1]


def test_alarms_are_listed_acknowledged_and_paused(signed: Settings, shell: Shell) -> None:
    with station(signed) as ward:
        assert shell("alarms", "list") == (0, "no alarm stands\n")
        fast = raise_alarm(ward, "bed-01", "hr_high")
        raise_alarm(ward, "bed-01", "vf", second=1)
        raise_alarm(ward, "bed-01", "vf", second=1, over=True)
        raise_alarm(ward, "bed-01", "pause")
        raise_alarm(ward, "bed-01", "pause", over=True)
        raise_alarm(ward, "bed-02", "asystole")
        status, said = shell("alarms", "list", "--bed", "bed-01")
        lines = said.splitlines()
        assert lines[0] == (
            "bed-01       *** VENT FIB/FLUTTER, since 2026-09-21 14:13:21 UTC, latched, "
            "over since 2026-09-21 14:13:21 UTC"
        )
        assert lines[2] == "bed-01       ** HR 134 > 120, since 2026-09-21 14:13:20 UTC, active"
        assert lines[3].strip() == fast
        assert len(lines) == 4
        status, said = shell("command", "acknowledge", "--bed", "bed-01", "--alarm", fast, "--user", "nurse")
        assert (status, f"{fast}: active -> acknowledged" in said) == (0, True)
        status, said = shell("command", "acknowledge", "--bed", "bed-01", "--all", "--user", "nurse")
        assert (status, "acknowledge applied at bed-01: 1 acknowledged" in said) == (0, True)
        assert said.startswith(
            "acknowledging bed-01       *** VENT FIB/FLUTTER, since 2026-09-21 14:13:21 UTC, latched, "
            "over since 2026-09-21 14:13:21 UTC\n"
        )
        said = shell("alarms", "list")[1]
        assert "HR 134 > 120, since 2026-09-21 14:13:20 UTC, acknowledged by nurse" in said
        assert "VENT FIB" not in said
        assert "*** ASYSTOLE" in said
        status, said = shell("command", "acknowledge", "--bed", "bed-01", "--all", "--user", "nurse")
        assert (status, said) == (0, "no alarm of bed-01 waits to be acknowledged\n")
        status, said = shell("command", "acknowledge", "--bed", "bed-01", "--alarm", fast, "--user", "doctor")
        assert (status, "refused at bed-01: " in said, "already by nurse" in said) == (1, True, True)
        status, said = shell("command", "pause", "--ward", "icu", "--user", "nurse")
        assert (status, said) == (0, "pause audio applied at ward icu: 2 beds now\n")
        assert "sound paused until" in shell("alarms", "list", "--bed", "bed-02")[1]
        assert "by nurse, up to high priority" in shell("alarms", "settings", "--bed", "bed-02")[1]
        assert shell("command", "resume", "--bed", "bed-02", "--user", "nurse")[0] == 0
        assert "sound paused" not in shell("alarms", "list", "--bed", "bed-02")[1]


def test_nobody_acknowledges_what_nobody_can_have_seen(signed: Settings, shell: Shell) -> None:
    with station(signed) as ward:
        # Not for some minutes will this one be older than 2 s.
        raise_alarm(ward, "bed-01", "vf", ago_s=-300.0)
        status, said = shell("command", "acknowledge", "--bed", "bed-01", "--all", "--user", "nurse")
        assert (status, said) == (
            1,
            "too new to have been seen, not acknowledged: bed-01       *** VENT FIB/FLUTTER, "
            "since 2026-09-21 14:13:20 UTC, active\n",
        )
        raise_alarm(ward, "bed-01", "hr_high")
        status, said = shell("command", "acknowledge", "--bed", "bed-01", "--all", "--user", "nurse")
        assert (status, "bed-01: 1 acknowledged" in said) == (0, True)
        assert "UTC, active" in shell("alarms", "list")[1].splitlines()[0]


def test_a_ward_is_set_and_says_so_once(signed: Settings, shell: Shell) -> None:
    with station(signed) as ward:
        status, said = shell("command", "set", "--ward", "icu", "ecg/hr_high", "limit=130", "--user", "head")
        assert (status, said) == (
            0,
            "set alarm applied at ward icu: 2 beds now\n  ecg/hr_high limit: default -> 130\n",
        )
        assert ward.beds.settings("bed-99")["ecg/hr_high"].limit == 130.0
        status, said = shell("command", "set", "--ward", "icu", "ecg/vf", "enabled=false", "--user", "head")
        assert status == 1
        assert said.count("this alarm cannot be switched off") == 4


def test_nobody_answers(signed: Settings, shell: Shell) -> None:
    words = ("--user", "nurse", "--timeout", "0.3")
    assert shell("command", "resume", "--bed", "bed-01", *words) == (
        2,
        "no answer within 0.3 s: no worker has this bed's partition, or it has another key\n",
    )
    with station(signed, (0, 1)):
        status, said = shell("command", "resume", "--ward", "icu", "--user", "nurse", "--timeout", "3")
    assert status == 2
    assert "2 of 4 partitions did not answer within 3 s" in said


def test_another_key_is_refused_in_words(
    signed: Settings, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARDWAVE_COMMANDS__KEY", "o" * 32)
    with station(signed) as ward:
        status, said = shell("command", "profile", "--bed", "bed-01", "neonatal", "--user", "nurse")
        assert ward.beds.state("bed-01").profile == "adult"
    assert status == 1
    assert "refused at bed-01: signature: missing or not made with WARDWAVE_COMMANDS__KEY" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("admit", "--bed", "bed-01"), "--user"),
        (("pause", "--bed", "bed-01", "--ward", "icu", "--user", "n"), "not allowed with argument --bed"),
        (("pause", "--user", "n"), "one of the arguments --bed --ward is required"),
        (("acknowledge", "--bed", "bed-01", "--user", "n"), "one of the arguments --alarm --all is required"),
        (("pause", "--bed", "bed-01", "--user", "n", "--seconds", "5"), "seconds=5: between 10 and 600"),
        (("set", "--bed", "bed-01", "ecg/hr_high", "limit", "--user", "n"), "'limit': write FIELD=VALUE"),
        (
            ("set", "--bed", "bed-01", "ecg/hr_high", "limit=1", "limit=2", "--user", "n"),
            "limit stands twice",
        ),
        (
            ("set", "--bed", "bed-01", "ecg/vt", "beats=nan", "--user", "n"),
            "'nan': a finite number; default",
        ),
        (("set", "--bed", "bed-01", "ecg/vt", "beats=1e400", "--user", "n"), "'1e400': a finite number"),
        (("discharge", "--bed", " ", "--user", "n"), "bed=' '"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    monkeypatch.setenv("WARDWAVE_COMMANDS__KEY", KEY)
    monkeypatch.setenv("WARDWAVE_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(wardwave.main(["command", *words]))
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_without_a_key_it_says_how_to_make_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WARDWAVE_COMMANDS__KEY", raising=False)
    assert wardwave.main(["command", "discharge", "--bed", "bed-01", "--user", "n"]) == 2
    assert "WARDWAVE_COMMANDS__KEY is not set" in capsys.readouterr().err


def test_values_are_read_as_they_are_meant() -> None:
    words = ["limit=130", "enabled=False", "priority=low", "on_delay_s=default"]
    assert read_values(words) == {"limit": 130.0, "enabled": False, "priority": "low", "on_delay_s": None}


def test_settings_of_a_bed_that_nobody_has(shell: Shell) -> None:
    status, said = shell("alarms", "settings", "--bed", "bed-77")
    assert (status, said) == (2, "no worker has said anything of bed-77 in the last 3 min\n")


def test_answers_come_to_those_who_asked(signed: Settings) -> None:
    with station(signed), CommandSender(signed) as sender, CommandSender(signed) as other:
        told = [new_command("nurse", SetProfile("neonatal"), bed=bed) for bed in BEDS]
        asked = [(sender, told[0]), (other, told[1])]
        threads = []
        got: dict[str, list[str]] = {}

        def ask(who: CommandSender, what: commands.Command) -> None:
            got[what.id] = [one.id for one in who.ask(what, 20.0)]

        for who, what in asked:
            threads.append(threading.Thread(target=ask, args=(who, what)))
            threads[-1].start()
        for thread in threads:
            thread.join(30)
        assert got == {one.id: [one.id] for one in told}
        ward = sender.ask(new_command("nurse", PauseAudio(60.0), ward="icu"), 20.0)
        assert [one.partition for one in ward] == [0, 1, 2, 3]


def test_nobody_waits_behind_another_s_unanswered_command(signed: Settings) -> None:
    one = clients.partition_for("bed-01", 4)
    dead = next(f"bed-{n}" for n in range(50, 99) if clients.partition_for(f"bed-{n}", 4) != one)
    with station(signed, (one,)), CommandSender(signed) as sender:
        sender.ask(new_command("nurse", ResumeAudio(), bed="bed-01"), 20.0)
        got: list[object] = []
        unanswered = new_command("nurse", ResumeAudio(), bed=dead)
        patient = threading.Thread(target=lambda: got.extend(sender.ask(unanswered, 4.0)))
        patient.start()
        assert len(sender.ask(new_command("nurse", ResumeAudio(), bed="bed-01"), 20.0)) == 1
        assert patient.is_alive()
        patient.join(30)
        assert got == []


def test_when_answers_cannot_be_read_that_is_said(signed: Settings) -> None:
    with station(signed), CommandSender(signed) as sender:
        sender.ask(new_command("nurse", ResumeAudio(), bed="bed-01"), 20.0)
        reader = sender._reader
        assert reader is not None

        def broken(**_: object) -> None:
            raise KafkaTimeoutError("gone")

        command = new_command("nurse", ResumeAudio(), bed="bed-01")
        with reader.expect(command.id) as answers:
            reader._consumer.poll = broken
            with pytest.raises(BrokerError, match="the answers cannot be read: .*gone"):
                answers.wait(lambda held: False, 20.0)
        with reader.expect(command.id) as late, pytest.raises(BrokerError, match="gone"):
            late.wait(lambda held: False, 20.0)
        # The next one reads anew.
        until(lambda: not reader.is_alive)
        assert len(sender.ask(new_command("nurse", ResumeAudio(), bed="bed-01"), 20.0)) == 1


def until(true: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_same_command_sent_again_is_applied_once(signed: Settings) -> None:
    with station(signed) as ward, CommandSender(signed) as sender:
        command = new_command("nurse", SetProfile("neonatal"), bed="bed-01")
        assert len(sender.ask(command, 20.0)) == 1
        sender.send(command)
        # Its successor in the same partition is answered: it was read and left alone.
        assert len(sender.ask(new_command("nurse", ResumeAudio(), bed="bed-01"), 20.0)) == 1
        assert ward.beds.state("bed-01").revision == 2


def test_a_refused_transfer_has_two_answers(signed: Settings) -> None:
    with station(signed), CommandSender(signed) as sender:
        for bed in BEDS:
            sender.ask(new_command("nurse", commands.Admit(), bed=bed), 20.0)
        asked, refused = sender.ask(new_command("nurse", Transfer("bed-02"), bed="bed-01"), 20.0)
        assert asked.outcome is CommandOutcome.APPLIED
        assert (refused.outcome, refused.bed) == (CommandOutcome.REFUSED, "bed-02")
        (none,) = sender.ask(new_command("nurse", Transfer("bed-01"), bed="bed-01"), 20.0)
        assert none.outcome is CommandOutcome.REFUSED


def test_what_no_worker_could_apply_is_not_sent(signed: Settings) -> None:
    bad = commands.Command("id", "nurse", time.time_ns(), None, "icu", Discharge())
    with CommandSender(signed) as sender:
        with pytest.raises(BadCommand, match="discharge is for one bed"):
            sender.send(bad)
        parts = [TopicPartition(signed.topics.commands, number) for number in range(4)]
        assert set(clients.end_offsets(signed, parts).values()) == {0}


def test_a_command_that_the_broker_refuses_is_raised(signed: Settings) -> None:
    with CommandSender(signed) as sender:
        assert sender._producer is not None
        sender._producer.config["max_request_size"] = 10
        with pytest.raises(NotDelivered, match="discharge for bed-01 was not delivered"):
            sender.send(new_command("nurse", Discharge(), bed="bed-01"))
        # A producer that failed may deliver nothing more: the next command goes another way.
        sender.send(new_command("nurse", Discharge(), bed="bed-01"))


def test_another_count_of_partitions_is_refused_at_once(signed: Settings) -> None:
    other = signed.kafka.model_copy(update={"partitions": 8})
    with pytest.raises(
        SettingsError, match=r"has 4 partitions, WARDWAVE_KAFKA__PARTITIONS is 8: set it to 4"
    ):
        CommandSender(signed.model_copy(update={"kafka": other}))


def test_forged_records_stop_nothing_and_go_to_the_dead_letters(signed: Settings) -> None:
    forger = clients.producer(signed)
    with station(signed) as ward, CommandSender(signed) as sender:
        home = ward.home("bed-01")
        for value in (b"", b"{", b'{"schema":"\xff"}', b'{"x":' + b"[" * 50_000):
            forger.send(signed.topics.commands, value, key=b"bed-01", partition=home)
        forger.flush(10)
        forger.close()
        (answer,) = sender.ask(new_command("nurse", SetProfile("neonatal"), bed="bed-01"), 20.0)
        assert answer.outcome is CommandOutcome.APPLIED
    parts = [TopicPartition(signed.topics.dead_letters, number) for number in range(4)]
    assert clients.end_offsets(signed, parts)[parts[home]] == 4


def test_of_an_alarm_the_newest_step_counts(signed: Settings) -> None:
    with station(signed) as ward:
        id_ = raise_alarm(ward, "bed-01", "vf")
        (active,) = standing.read(signed)
        ward.book.acknowledge("bed-01", [id_], "nurse", 1, 2)
        (life,) = ward.book.of_bed("bed-01")
        ward.outputs.send_alarm(life.record(2))
        # A worker that wakes from a long pause says once more what is past.
        ward.outputs.send_alarm(active)
        ward.outputs.flush()
        (held,) = standing.read(signed, "bed-01")
        assert (held.state, held.acknowledged_by) == (AlarmState.ACKNOWLEDGED, "nurse")
        assert standing.read(signed, "bed-02") == []
        assert [one.bed for one in standing.read_beds(signed)] == list(BEDS)
