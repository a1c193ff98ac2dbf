"""Reads the commands of a worker's partitions beside the raw signals, and sends what the desk answers.

It belongs to no group: the worker assigns the partitions that it has of the raw topic. Where staff
acknowledge an alarm that this worker has not found yet, because it took over a moment ago and reads what its
predecessor had read, the command waits until the raw signals are as far as the command.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from kafka import KafkaConsumer, TopicPartition

from inference import commands
from inference.commands import Command
from inference.desk import Desk
from inference.desk_work import Answer
from inference.errors import BadCommand
from inference.intake import RawRecord, dead_letter
from inference.publish import Outputs
from inference.reading import RawReader
from inference.types import Audit, AuditChange
from ingest import kafka
from ingest.errors import BadChunk
from ingest.settings import Settings

logger = logging.getLogger(__name__)

MOST_WAIT_S: Final = 10.0
"""So long a partition's commands wait, all together, for raw signals that may explain them."""

AGAIN_S: Final = 60.0
"""Once they have waited in vain for so long, none waits again for this time: others would stand behind it."""

MAX_RECORDS: Final = 500
MOST_DETAIL: Final = 1_000
MOST_NAME: Final = 300
MOST_CHANGES_BYTES: Final = 48_000
"""What an answer says is cut to this, so that its record stays under 100 kB whatever was asked."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the worker knows of its partitions.

    ``beds`` gives the beds of one, ``caught_up`` whether its raw signals are read up to a broker's time (ms).
    """

    beds: Callable[[int], Iterable[str]]
    caught_up: Callable[[int, int], bool]


class CommandIntake:
    """Commands of the partitions that a worker has.

    Parameters
    ----------
    settings : Settings
        Broker, topics, keys.
    desk : Desk
        Applies them.
    outputs : Outputs
        Takes the answers.
    bounds : Bounds
        What the worker knows.
    """

    def __init__(self, settings: Settings, desk: Desk, outputs: Outputs, bounds: Bounds) -> None:
        self._settings = settings
        self._desk = desk
        self._outputs = outputs
        self._bounds = bounds
        self._queues: dict[int, deque[RawRecord]] = {}
        self._since_s: dict[int, float] = {}
        self.n_errors = 0
        """Commands at which the worker itself failed."""
        self._consumer: KafkaConsumer = kafka.consumer(settings, group_id=None, fetch_max_wait_ms=200)
        self._reader = RawReader(self._consumer, lambda _, __: None)

    def take_up(self, offsets: Mapping[int, int]) -> None:
        """Read these partitions too, each from its offset on."""
        self._assign({**self._positions(), **dict(offsets)})
        for number in offsets:
            self._queues[number] = deque()

    def let_go(self, number: int) -> None:
        """Read a partition no longer."""
        positions = self._positions()
        positions.pop(number, None)
        self._queues.pop(number, None)
        self._since_s.pop(number, None)
        self._assign(positions)

    def _positions(self) -> dict[int, int]:
        return {part.partition: self._consumer.position(part) for part in self._consumer.assignment()}

    def _assign(self, positions: Mapping[int, int]) -> None:
        topic = self._settings.topics.commands
        self._consumer.assign([TopicPartition(topic, number) for number in positions])
        for number, offset in positions.items():
            self._consumer.seek(TopicPartition(topic, number), offset)

    def poll(self) -> set[int]:
        """Read and apply what has come; return the partitions whose state has changed."""
        if not self._queues:
            return set()
        for part, records in self._reader.poll(5, MAX_RECORDS).items():
            self._queues[part.partition].extend(records)
        return {number for number, queue in self._queues.items() if queue and self._work(number, queue)}

    def _work(self, number: int, queue: deque[RawRecord]) -> bool:
        """Apply commands in order, up to one that must wait; return whether there were any."""
        n_before = len(queue)
        while queue:
            if not self._take(number, queue[0]):
                break
            record = queue.popleft()
            self._desk.partitions[number].next_offset = record.offset + 1
        return len(queue) < n_before

    def _take(self, number: int, record: RawRecord) -> bool:
        """Apply or refuse one command; ``False`` when it must wait."""
        try:
            command = commands.decode(record)
            self._check_home(number, command)
        except BadCommand as error:
            # Nobody known sent it: there is no one to answer.
            bad = BadChunk("malformed", f"command: {error}")
            self._outputs.send_dead_letter(dead_letter(record, bad, self._settings.ingest.max_record_bytes))
            return True
        at_ns = record.timestamp * 1_000_000
        try:
            commands.check_signature(record, command, self._settings.commands)
        except BadCommand as error:
            self._answer(Answer(self._desk.refuse(number, command, at_ns, str(error))))
            return True
        if self._desk.is_done(number, command):
            return True
        if not self._desk.knows(command) and self._may_wait(number, record):
            return False
        self._answer(self._apply(number, command, at_ns))
        return True

    def _apply(self, number: int, command: Command, at_ns: int) -> Answer:
        """Apply a command; whatever goes wrong, the partition's other beds are watched on."""
        try:
            return self._desk.apply(number, command, at_ns, self._bounds.beds(number))
        except Exception as error:
            self.n_errors += 1
            logger.exception("command %s (%s) failed", command.id, command.name)
            why = (
                f"internal error: {type(error).__name__}: {error}; part of it may have been done: look with "
                "wardwave alarms list and wardwave alarms settings, then command again"
            )
            return Answer(self._desk.refuse(number, command, at_ns, why))

    def _check_home(self, number: int, command: Command) -> None:
        if command.bed is None:
            return
        home = kafka.partition_for(command.bed, self._settings.kafka.partitions)
        if home != number:
            raise BadCommand(f"bed={command.bed!r} belongs to partition {home}, not {number}; use murmur2")

    def _may_wait(self, number: int, record: RawRecord) -> bool:
        """Whether raw records not yet read may explain a command, and there is time left to wait for them.

        The time is that of all commands of the partition, not of each: they stand behind one another.
        """
        if self._bounds.caught_up(number, record.timestamp):
            return False
        now_s = time.monotonic()
        if now_s - self._since_s.get(number, -math.inf) >= MOST_WAIT_S + AGAIN_S:
            self._since_s[number] = now_s
        return now_s - self._since_s[number] < MOST_WAIT_S

    def _answer(self, answer: Answer) -> None:
        audit = bounded(answer.audit)
        logger.info("%s by %s at %s: %s %s", audit.action, audit.user, audit.bed or audit.ward, audit.outcome,
                    audit.detail)  # fmt: skip
        for alarm in answer.alarms:
            self._outputs.send_alarm(alarm)
        for bed in answer.beds:
            self._outputs.send_bed(bed)
        for command in answer.follow:
            value = commands.encode(command)
            signature = commands.sign(command.key, value, self._settings.commands)
            self._outputs.send_command(command.bed or "", value, signature)
        self._outputs.send_audit(audit)

    def close(self) -> None:
        """Stop reading."""
        self._consumer.close(autocommit=False)


def bounded(audit: Audit) -> Audit:
    """An answer whose record is no longer than 100 kB; what is left out is counted in its last change."""
    changes: list[AuditChange] = []
    room = MOST_CHANGES_BYTES
    for change in audit.changes:
        cut = AuditChange(change.name[:MOST_NAME], _cut(change.before), _cut(change.after))
        room -= len(commands.encode(cut))
        if room < 0:
            changes.append(AuditChange(f"and {len(audit.changes) - len(changes)} more", None, None))
            break
        changes.append(cut)
    return msgspec.structs.replace(audit, detail=audit.detail[:MOST_DETAIL], changes=changes)


def _cut(text: str | None) -> str | None:
    return text if text is None else text[:MOST_NAME]
