"""Sends the commands of staff and waits for their answers: what dashboards and ``wardwave command`` use."""

from __future__ import annotations

import threading
import time
from collections.abc import KeysView, Mapping
from typing import Final, Self

from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError

from inference import commands
from inference.answers import AnswerReader, Place
from inference.commands import HEADER, Command, Transfer
from inference.errors import NotDelivered
from inference.patience import drop
from inference.types import Audit, CommandOutcome
from ingest import kafka
from ingest.errors import BrokerError, SettingsError
from ingest.settings import Settings
from ingest.tansu import is_unsure

DELIVERY_S: Final = 5.0
"""A command that is not delivered by then never will be: nobody is surprised by it later."""


class CommandSender:
    """Signs and sends commands. Threads may share it; close it, or use it as a context.

    Parameters
    ----------
    settings : Settings
        Broker, topics and the key (``WARDWAVE_COMMANDS__KEY``).

    Raises
    ------
    BrokerError
        No broker answers.
    SettingsError
        The topic has another number of partitions.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        kafka.ensure_topic(settings, settings.topics.commands)
        self._producer: KafkaProducer | None = self._new_producer()
        self._check_partitions(self._producer)
        self._reader: AnswerReader | None = None
        self._opening = threading.Lock()

    def _new_producer(self) -> KafkaProducer:
        timeout_ms = round(DELIVERY_S * 1e3)
        return kafka.producer(
            self._settings,
            request_timeout_ms=timeout_ms // 2,
            delivery_timeout_ms=timeout_ms,
            max_block_ms=timeout_ms,
            linger_ms=0,
        )

    def _connected(self) -> KafkaProducer:
        with self._opening:
            if self._producer is None:
                self._producer = self._new_producer()
            return self._producer

    def _give_up(self, producer: KafkaProducer) -> None:
        """Send over another one from now on: after a broker's death kafka-python may deliver nothing more."""
        with self._opening:
            if self._producer is not producer:
                return
            self._producer = None
        drop(producer)

    def _check_partitions(self, producer: KafkaProducer) -> None:
        found = len(producer.partitions_for(self._settings.topics.commands) or ())
        if found != self._settings.kafka.partitions:
            producer.close()
            raise SettingsError(
                f"topic {self._settings.topics.commands} has {found} partitions, WARDWAVE_KAFKA__PARTITIONS "
                f"is {self._settings.kafka.partitions}: set it to {found}, or no worker finds the command"
            )

    def partitions_of(self, command: Command) -> list[int]:
        """Where a command goes: a bed's to its partition, a ward's to all, each of which answers."""
        n_partitions = self._settings.kafka.partitions
        if command.bed is None:
            return list(range(n_partitions))
        return [kafka.partition_for(command.bed, n_partitions)]

    def send(self, command: Command) -> None:
        """Send a command and wait until the broker has it.

        Raises
        ------
        BadCommand
            No worker could apply it, or no key is set.
        NotDelivered
            The broker did not take it. Some partitions may have one for a ward; sent once more as it is, with
            the same id, it is applied once.
        """
        commands.check(command)
        value = commands.encode(command)
        headers = [(HEADER, commands.sign(command.key, value, self._settings.commands))]
        where = command.bed or command.ward
        try:
            producer = self._connected()
        except BrokerError as error:
            raise NotDelivered(f"{command.name} for {where} was not delivered: {error}") from error
        try:
            self._deliver(producer, command, value, headers)
        except KafkaError as error:
            self._give_up(producer)
            raise NotDelivered(f"{command.name} for {where} was not delivered: {error}") from error

    def _deliver(
        self, producer: KafkaProducer, command: Command, value: bytes, headers: list[tuple[str, bytes]]
    ) -> None:
        topic, numbers = self._settings.topics.commands, self.partitions_of(command)
        until_s = time.monotonic() + DELIVERY_S
        while numbers:
            if time.monotonic() > until_s:
                raise KafkaTimeoutError(f"not confirmed within {DELIVERY_S:g} s")
            sent = {
                number: producer.send(topic, value, key=command.key, partition=number, headers=headers)
                for number in numbers
            }
            producer.flush(timeout=DELIVERY_S)
            numbers = [number for number, one in sent.items() if is_unsure(one.get(timeout=DELIVERY_S))]

    def ask(self, command: Command, timeout_s: float = 5.0) -> list[Audit]:
        """Send a command and return its answers, in the order of their partitions.

        A bed's command has one, a ward's one from each partition. A transfer that is applied is followed by
        the other bed's answer, and that by the discharge's. Answers that do not come in time are absent.

        Raises
        ------
        BadCommand, NotDelivered
            As :meth:`send`.
        BrokerError
            The answers cannot be read.
        """
        # Before sending, so that no answer is missed.
        reader = self._listening()
        with reader.expect(command.id) as answers:
            self.send(command)
            found = answers.wait(lambda held: self._wanted(command, held) <= held.keys(), timeout_s)
        return [found[place] for place in self._wanted(command, found) if place in found]

    def listen(self) -> None:
        """Begin to read answers now: else the first :meth:`ask` does, and takes longer than the others.

        Raises
        ------
        BrokerError
            The answers cannot be read.
        """
        self._listening()

    def _listening(self) -> AnswerReader:
        with self._opening:
            if self._reader is None or not self._reader.is_alive:
                self._reader = AnswerReader(self._settings)
            return self._reader

    def _wanted(self, command: Command, answers: Mapping[Place, Audit]) -> KeysView[Place]:
        """Ids and partitions of the answers to wait for, in order."""
        wanted = dict.fromkeys((command.id, number) for number in self.partitions_of(command))
        if isinstance(command.action, Transfer):
            for name, bed in (("admit", command.action.to_bed), ("discharge", command.bed or "")):
                last = answers.get(next(reversed(wanted)))
                if last is None or last.outcome is not CommandOutcome.APPLIED:
                    break
                home = kafka.partition_for(bed, self._settings.kafka.partitions)
                wanted[(f"{command.id}/{name}", home)] = None
        return wanted.keys()

    def close(self) -> None:
        """Close the connections; what was sent was delivered already."""
        with self._opening:
            if self._producer is not None:
                drop(self._producer)
                self._producer = None
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
