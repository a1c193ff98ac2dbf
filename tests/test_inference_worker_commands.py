"""Commands through a real broker: applied once, answered, live at once, and kept by a successor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import numpy as np
import pytest
from kafka import KafkaProducer, TopicPartition

from inference import commands
from inference.commands import Acknowledge, Action, Admit, Command, PauseAudio, SetAlarm, Standby
from inference.types import Alarm, AlarmState, Audit, Bed, CommandOutcome
from inference.worker import Worker, WorkerOptions
from ingest import kafka as clients
from ingest.publisher import Publisher
from ingest.settings import CommandSettings, Settings
from ingest.types import NS_PER_S

pytestmark = pytest.mark.kafka

FS = 250.0
BED = "bed-1"
KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def ward(kafka: Settings) -> Settings:
    """A broker's topics, with a key for commands."""
    return kafka.model_copy(update={"commands": CommandSettings(key=KEY)})


def heart(length_s: int, bpm: float, stops_s: float = 1e9) -> np.ndarray:
    seconds = np.arange(round(length_s * FS)) / FS
    line = np.random.default_rng(1).normal(0, 0.02, len(seconds))
    for time_s in np.arange(0.4, min(length_s, stops_s), 60 / bpm):
        line += 1.2 * np.exp(-(((seconds - time_s) / 0.018) ** 2))
    return np.round(np.stack([line, 0.6 * line], axis=1) * 1000).astype(np.int16)


class Device:
    """A bedside device that sends a line, second by second; ``seq`` and time go on."""

    def __init__(self, settings: Settings, start_ns: int) -> None:
        self.publisher = Publisher(device="m", settings=settings)
        self.start_ns, self.second = start_ns, 0

    def send(self, line: np.ndarray) -> None:
        for place in range(0, len(line), 250):
            self.publisher.publish(
                bed=BED,
                kind="ecg",
                channels=("II", "V1"),
                unit="mV",
                fs_hz=FS,
                start_ns=self.start_ns + self.second * NS_PER_S,
                seq=self.second,
                samples=line[place : place + 250],
                gain=1000.0,
                baseline=0,
            )
            self.second += 1
        self.publisher.flush(30.0)


@contextmanager
def device(settings: Settings) -> Iterator[Device]:
    made = Device(settings, time.time_ns() - 60 * NS_PER_S)
    with made.publisher:
        yield made


class Staff:
    """Sends commands and reads what workers say."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.producer: KafkaProducer = clients.producer(settings)
        topics = settings.topics
        self.reader = clients.consumer(settings, group_id=None)
        names = (topics.alarms, topics.audit, topics.beds)
        self.reader.assign(
            [TopicPartition(name, n) for name in names for n in range(settings.kafka.partitions)]
        )
        self.reader.seek_to_beginning()
        self.alarms: dict[str, Alarm] = {}
        self.steps: list[Alarm] = []
        self.audits: list[Audit] = []
        self.beds: dict[str, Bed] = {}

    def tell(self, action: Action, user: str = "nina", settings: Settings | None = None) -> Command:
        command = commands.new_command(user, action, bed=BED)
        self.send(command, settings)
        return command

    def send(self, command: Command, settings: Settings | None = None) -> None:
        value = commands.encode(command)
        signature = commands.sign(command.key, value, (settings or self.settings).commands)
        number = clients.partition_for(BED, self.settings.kafka.partitions)
        headers = [(commands.HEADER, signature)]
        self.producer.send(
            self.settings.topics.commands, value, key=command.key, partition=number, headers=headers
        )
        self.producer.flush()

    def read(self) -> None:
        topics = self.settings.topics
        for part, records in self.reader.poll(timeout_ms=100).items():
            for record in records:
                if part.topic == topics.alarms:
                    self._hear(msgspec.json.decode(record.value, type=Alarm))
                elif part.topic == topics.audit:
                    self.audits.append(msgspec.json.decode(record.value, type=Audit))
                else:
                    bed = msgspec.json.decode(record.value, type=Bed)
                    self.beds[bed.bed] = bed

    def _hear(self, alarm: Alarm) -> None:
        self.steps.append(alarm)
        held = self.alarms.get(alarm.id)
        if held is None or (alarm.raw_offset, alarm.revision) >= (held.raw_offset, held.revision):
            self.alarms[alarm.id] = alarm

    def wait(self, true: Callable[[], bool], timeout_s: float = 30.0) -> float:
        began_s = time.monotonic()
        while not true():
            assert time.monotonic() - began_s < timeout_s, (self.alarms.values(), self.audits)
            self.read()
        return time.monotonic() - began_s

    def answer(self, command: Command) -> Audit:
        self.wait(lambda: any(audit.id == command.id for audit in self.audits))
        (audit,) = [audit for audit in self.audits if audit.id == command.id]
        return audit

    def of_kind(self, kind: str) -> list[Alarm]:
        return [alarm for alarm in self.alarms.values() if alarm.kind == kind]

    def close(self) -> None:
        self.reader.close(autocommit=False)
        self.producer.close()


@contextmanager
def staff(settings: Settings) -> Iterator[Staff]:
    made = Staff(settings)
    try:
        yield made
    finally:
        made.close()


class Running:
    """A worker in a thread that can end in order or die."""

    def __init__(self, settings: Settings, predictor: object, **options: float) -> None:
        self.worker = Worker(settings, predictor, WorkerOptions(**options))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.worker.run, args=(self._stop.is_set,))
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def die(self) -> None:
        """As near to ``kill -9`` as one process can: nothing is flushed, left, or committed."""
        close = self.worker.close
        self.worker.close = lambda: None
        self.worker._commit = lambda numbers: None
        self.end()
        close()


@contextmanager
def working(settings: Settings, predictor: object, **options: float) -> Iterator[Running]:
    running = Running(settings, predictor, **options)
    try:
        yield running
    finally:
        running.end()


def test_an_alarm_is_acknowledged_once_by_name(ward: Settings, plain_predictor: object) -> None:
    with staff(ward) as nurse, device(ward) as monitor, working(ward, plain_predictor):
        monitor.send(heart(30, 75, stops_s=20))
        nurse.wait(lambda: bool(nurse.of_kind("asystole")))
        (alarm,) = nurse.of_kind("asystole")
        command = nurse.tell(Acknowledge([alarm.id]))
        nurse.send(command)
        assert nurse.answer(command).outcome is CommandOutcome.APPLIED
        late = nurse.tell(Acknowledge([alarm.id]), user="otto")
        refused = nurse.answer(late)
        assert refused.outcome is CommandOutcome.REFUSED
        assert "acknowledged already by nina" in refused.detail
        nurse.wait(lambda: nurse.alarms[alarm.id].state is AlarmState.ACKNOWLEDGED)
        assert nurse.alarms[alarm.id].acknowledged_by == "nina"
        assert len([audit for audit in nurse.audits if audit.id == command.id]) == 1


def test_a_forged_command_is_refused(ward: Settings, plain_predictor: object) -> None:
    other = ward.model_copy(update={"commands": CommandSettings(key="f" * 40)})
    with staff(ward) as nurse, working(ward, plain_predictor):
        forged = nurse.tell(SetAlarm("ecg/hr_high", {"enabled": False}), settings=other)
        audit = nurse.answer(forged)
        assert audit.outcome is CommandOutcome.REFUSED
        assert "WARDWAVE_COMMANDS__KEY" in audit.detail
        assert BED not in nurse.beds


def test_a_limit_is_live_within_2_s(ward: Settings, plain_predictor: object) -> None:
    with staff(ward) as nurse, device(ward) as monitor, working(ward, plain_predictor):
        line = heart(40, 110)
        monitor.send(line[: 20 * 250])
        nurse.wait(lambda: BED in nurse.beds)
        command = nurse.tell(SetAlarm("ecg/hr_high", {"limit": 100.0}))
        waited_s = nurse.wait(lambda: any(audit.id == command.id for audit in nurse.audits))
        assert waited_s < 2.0
        audit = nurse.answer(command)
        assert [(one.name, one.before, one.after) for one in audit.changes] == [
            ("ecg/hr_high limit", "120", "100")
        ]
        monitor.send(line[20 * 250 :])
        nurse.wait(lambda: bool(nurse.of_kind("hr_high")))
        assert nurse.of_kind("hr_high")[0].message == "** HR 110 > 100"
        beyond = nurse.answer(nurse.tell(SetAlarm("ecg/hr_high", {"limit": 1000.0})))
        assert beyond.outcome is CommandOutcome.REFUSED
        assert "between 40 and 300" in beyond.detail


def test_a_successor_keeps_what_staff_did(ward: Settings, plain_predictor: object) -> None:
    with staff(ward) as nurse, device(ward) as monitor:
        first = Running(ward, plain_predictor, snapshot_s=1e6)
        line = np.concatenate([heart(30, 75, stops_s=20), heart(12, 75), heart(20, 75, stops_s=8)])
        monitor.send(line[: 42 * 250])
        nurse.wait(lambda: [one.state for one in nurse.of_kind("asystole")] == [AlarmState.LATCHED])
        (latched,) = nurse.of_kind("asystole")
        nurse.answer(nurse.tell(SetAlarm("ecg/hr_low", {"limit": 30.0})))
        nurse.answer(nurse.tell(PauseAudio(600.0)))
        monitor.send(line[42 * 250 :])
        nurse.wait(lambda: len(nurse.of_kind("asystole")) == 2)
        (active,) = [one for one in nurse.of_kind("asystole") if one.id != latched.id]
        nurse.answer(nurse.tell(Acknowledge([active.id])))
        first.die()
        before = {id_: one.state for id_, one in nurse.alarms.items()}
        with working(ward, plain_predictor):
            nurse.answer(nurse.tell(SetAlarm("ecg/vt", {"limit": 110.0})))
            assert {id_: one.state for id_, one in nurse.alarms.items()} == before
            assert nurse.alarms[active.id].state is AlarmState.ACKNOWLEDGED
            bed = nurse.beds[BED]
            set_ = {one.kind: one.limit for one in bed.settings if one.source == "bed"}
            assert set_ == {"hr_low": 30.0, "vt": 110.0}
            assert bed.audio_paused_by == "nina"
            end = nurse.answer(nurse.tell(Acknowledge([latched.id])))
            assert end.outcome is CommandOutcome.APPLIED
            nurse.wait(lambda: nurse.alarms[latched.id].state is AlarmState.ENDED)
        assert len(nurse.of_kind("asystole")) == 2


def test_an_acknowledgement_waits_for_the_alarm_that_a_successor_finds_again(
    ward: Settings, plain_predictor: object
) -> None:
    with staff(ward) as nurse, device(ward) as monitor:
        first = Running(ward, plain_predictor, snapshot_s=1e6)
        monitor.send(heart(30, 75, stops_s=20))
        nurse.wait(lambda: bool(nurse.of_kind("asystole")))
        first.die()
        (alarm,) = nurse.of_kind("asystole")
        command = nurse.tell(Acknowledge([alarm.id]))
        with working(ward, plain_predictor):
            assert nurse.answer(command).outcome is CommandOutcome.APPLIED
            nurse.wait(lambda: nurse.alarms[alarm.id].state is AlarmState.ACKNOWLEDGED)
        assert len(nurse.of_kind("asystole")) == 1


def test_a_new_patient_inherits_nothing(ward: Settings, plain_predictor: object) -> None:
    with staff(ward) as nurse, device(ward) as monitor, working(ward, plain_predictor):
        monitor.send(heart(30, 75, stops_s=20))
        nurse.wait(lambda: bool(nurse.of_kind("asystole")))
        nurse.answer(nurse.tell(SetAlarm("ecg/hr_high", {"limit": 60.0})))
        audit = nurse.answer(nurse.tell(Admit(profile="neonatal", stay="s-17")))
        assert audit.outcome is CommandOutcome.APPLIED
        nurse.wait(lambda: nurse.of_kind("asystole")[0].state is AlarmState.ENDED)
        assert nurse.of_kind("asystole")[0].reasons[-1] == "another patient was admitted"
        nurse.wait(lambda: nurse.beds[BED].profile == "neonatal")
        assert {one.kind: one.limit for one in nurse.beds[BED].settings}["hr_high"] == 200.0
        monitor.send(heart(20, 150))
        nurse.wait(lambda: monitor.second == 50)
        assert {alarm.kind for alarm in nurse.alarms.values()} == {"asystole"}


def test_standby_silences_missing_data_and_says_so(ward: Settings, plain_predictor: object) -> None:
    with staff(ward) as nurse, device(ward) as monitor, working(ward, plain_predictor):
        monitor.send(heart(5, 75))
        nurse.wait(lambda: bool(nurse.of_kind("no_data")))
        on = nurse.tell(Standby(on=True), user="otto")
        assert nurse.answer(on).outcome is CommandOutcome.APPLIED
        nurse.wait(lambda: nurse.of_kind("no_data")[0].state is AlarmState.ENDED)
        nurse.wait(lambda: nurse.beds[BED].standby)
        assert nurse.beds[BED].standby_by == "otto"
        nurse.answer(nurse.tell(Standby(on=False)))
        nurse.wait(lambda: any(one.state is AlarmState.ACTIVE for one in nurse.of_kind("no_data")))
