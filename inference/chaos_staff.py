"""The staff of a chaos run: they command while everything is struck, over a way that is struck, too.

Patients come, move and go at two beds without a device, the sound of the others is paused, limits are set:
one after another, each once the one before is answered. Beside that they acknowledge what has been raised:
latched alarms once their condition is over, other ones at once. Nothing of it changes what else is said of
the signals, so that the unbroken run, whose staff give the same commands at its end, can be compared.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Final, Self

import msgspec

from inference.chaos_observer import Observer
from inference.chaos_said import RECEIVE_TIME
from inference.command_sender import CommandSender
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
    new_command,
)
from inference.errors import ChaosError, NotDelivered
from inference.types import AlarmState, CommandOutcome
from ingest import kafka
from ingest.settings import Settings

USER: Final = "chaos"
EMPTY: Final = ("bed-91", "bed-92")
"""Beds without a device: what happens to their patients changes no output."""

WARD: Final = "ward"
"""Of beds that no site's file names."""

REST_S: Final = (0.5, 2.0)
LONG_S: Final = 600.0
"""Of a pause: no run lasts so long."""

DELIVERED_S: Final = 240.0
ANSWERED_S: Final = 120.0
"""All has been read and said: whatever is still unanswered then has been lost."""

Place = tuple[str, int]
"""Id and partition of an answer."""


def duties(beds: Sequence[str]) -> Iterator[tuple[str | None, Action]]:
    """What is commanded in turn: at which bed (None: in the ward) what."""
    first, second = EMPTY
    number = 0
    while True:
        bed = beds[number % len(beds)]
        number += 1
        yield first, Admit("neonatal" if number % 2 else None, stay=f"stay-{number}")
        yield bed, PauseAudio(LONG_S)
        yield first, SetAlarm("ecg/hr_high", {"limit": 120.0 + number})
        yield first, Transfer(second)
        yield bed, SetAlarm("eeg/status_epilepticus", {"limit": 400.0 + number})
        yield None, PauseAudio(LONG_S)
        yield second, SetProfile("paediatric")
        yield second, Standby(on=bool(number % 2))
        yield bed, ResumeAudio()
        yield second, Discharge()


class Staff:
    """Gives commands on a thread of its own.

    Parameters
    ----------
    settings : Settings
        Broker, topics and the key.
    observer : Observer
        Tells what stands and what was answered.
    beds : sequence of str
        Beds with devices.
    seed : int
        Of the rests between two commands.
    idle : bool
        They command nothing of their own accord.
    """

    def __init__(
        self, settings: Settings, observer: Observer, beds: Sequence[str], seed: int, *, idle: bool = False
    ) -> None:
        self._n_partitions = settings.kafka.partitions
        self._observer = observer
        self._random = random.Random(seed)
        self._sender = CommandSender(settings)
        self._duties = duties(beds)
        self._pending: Command | None = None
        self._stopped = threading.Event()
        if idle:
            self._stopped.set()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="chaos-staff", daemon=True)
        self.sent: list[Command] = []
        """In order; each was delivered, however often it had to be sent."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(DELIVERED_S)
        self._sender.close()

    def finish(self) -> None:
        """Command no more; wait until all is answered, or has had long enough.

        Raises
        ------
        ChaosError
            A command could not be delivered.
        """
        self._stopped.set()
        self._thread.join(DELIVERED_S)
        if self._failure is not None:
            raise self._failure
        deadline = time.monotonic() + ANSWERED_S
        while not all(map(self._is_answered, self.sent)) and time.monotonic() < deadline:
            time.sleep(0.1)

    def give(self, commands: Sequence[Command]) -> None:
        """Give commands that were given in another run, one after another, issued now."""
        for command in commands:
            self._deliver(msgspec.structs.replace(command, issued_ns=time.time_ns()))
            deadline = time.monotonic() + ANSWERED_S
            while not self._is_answered(self.sent[-1]) and time.monotonic() < deadline:
                time.sleep(0.02)

    def _run(self) -> None:
        try:
            while not self._stopped.wait(self._random.uniform(*REST_S)):
                self._turn()
        except Exception as error:  # noqa: BLE001 - raised where the thread is waited for
            self._failure = error

    def _turn(self) -> None:
        """Acknowledge something, and go on with what is to be done."""
        standing = self._to_acknowledge()
        if standing is not None:
            bed, alarm_id = standing
            self._deliver(new_command(USER, Acknowledge([alarm_id]), bed=bed))
        if self._pending is None or self._is_answered(self._pending):
            at, action = next(self._duties)
            self._pending = new_command(USER, action, bed=at, ward=None if at else WARD)
            self._deliver(self._pending)

    def _to_acknowledge(self) -> tuple[str, str] | None:
        """Bed and id of the oldest alarm that nobody acknowledged and that may be now."""
        asked = {
            one for sent in self.sent if isinstance(sent.action, Acknowledge) for one in sent.action.alarms
        }
        waiting = [
            alarm
            for alarm in self._observer.alarms()
            if alarm.id not in asked
            and alarm.kind not in RECEIVE_TIME
            and alarm.state is (AlarmState.LATCHED if alarm.latching else AlarmState.ACTIVE)
        ]
        first = min(waiting, key=lambda alarm: alarm.onset_ns, default=None)
        return None if first is None else (first.bed, first.id)

    def _deliver(self, command: Command) -> None:
        """Send a command, again and again until the broker has it: its id is applied once."""
        self.sent.append(command)
        deadline = time.monotonic() + DELIVERED_S
        while True:
            try:
                self._sender.send(command)
                return
            except NotDelivered as error:
                if time.monotonic() > deadline:
                    raise ChaosError(
                        f"a command was not delivered within {DELIVERED_S:g} s: {error}"
                    ) from error

    def _is_answered(self, command: Command) -> bool:
        answers = self._observer.answers()
        return places(command, answers, self._n_partitions) <= answers.keys()


def places(command: Command, answers: dict[Place, CommandOutcome], n_partitions: int) -> set[Place]:
    """Ids and partitions of the answers that a command must have.

    A transfer that is applied is followed by the other bed's admission, and that by this bed's discharge.
    """
    if command.bed is None:
        return {(command.id, number) for number in range(n_partitions)}
    wanted = [(command.id, kafka.partition_for(command.bed, n_partitions))]
    if isinstance(command.action, Transfer):
        for name, bed in (("admit", command.action.to_bed), ("discharge", command.bed)):
            if answers.get(wanted[-1]) is not CommandOutcome.APPLIED:
                break
            wanted.append((f"{command.id}/{name}", kafka.partition_for(bed, n_partitions)))
    return set(wanted)
