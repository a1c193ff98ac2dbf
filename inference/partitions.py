"""The partitions that a worker has: taking them up, leaving their state, letting go of them."""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from inference import handover, snapshot
from inference.alarm_spec import ANY
from inference.beds import DeskState
from inference.bedside import Bedside
from inference.catalog import load_catalogue
from inference.command_intake import Bounds, CommandIntake
from inference.desk import Desk
from inference.errors import SnapshotError
from inference.handover import Left
from inference.intake import Partition, Stream
from inference.publish import Outputs
from inference.snapshot import Snapshot
from inference.types import Alarm
from ingest import kafka
from ingest.continuity import Continuity
from ingest.settings import Settings
from ingest.types import SignalKind

logger = logging.getLogger(__name__)

BEDS_EVERY_S: Final = 60.0
"""How often it is said how each bed is set, besides at each change."""

TECHNICAL: Final = frozenset(spec.kind for spec in load_catalogue().of_signal(ANY))
"""Alarms of streams, which have their own state."""

REPEAT_S: Final = 3_600.0
"""How often alarms that stand are said again; readers look back 12 h."""


class Partitions:
    """Partitions of the raw topic and of the commands, with their beds.

    Parameters
    ----------
    settings : Settings
        Broker, topics, limits.
    bedside : Bedside
        What is known of the beds.
    outputs : Outputs
        Where state and answers go.
    """

    def __init__(self, settings: Settings, bedside: Bedside, outputs: Outputs) -> None:
        self._settings = settings
        self._bedside = bedside
        self._outputs = outputs
        self._held: dict[int, Partition] = {}
        self._told_s: dict[int, float] = {}
        self._told: set[str] = set()
        self._left: set[int] = set()
        """Partitions whose whole state was left since they were taken up."""
        self._repeated_s = time.monotonic()
        self._desk = Desk(bedside.beds, bedside.book, self)
        self.counts: Counter[str] = Counter()
        self.read_ms: dict[int, int] = {}
        """Broker's time of the newest raw record read of each partition."""
        self.positions: dict[int, int] = {}
        """Offset of the next raw record that is read of each partition."""
        self.ends: dict[int, int] = {}
        """Offset after the last raw record that the broker has of each partition, as far as it is known."""
        self.commands = CommandIntake(settings, self._desk, outputs, Bounds(self.beds, self._caught_up))

    def __contains__(self, number: int) -> bool:
        return number in self._held

    def __len__(self) -> int:
        return len(self._held)

    def get(self, number: int) -> Partition | None:
        """A partition that is held."""
        return self._held.get(number)

    @property
    def numbers(self) -> set[int]:
        """Partitions that are held."""
        return set(self._held)

    def values(self) -> Iterable[Partition]:
        """Partitions that are held."""
        return self._held.values()

    def home(self, bed: str) -> int:
        """Partition of a bed; intake refuses it anywhere else."""
        return kafka.partition_for(bed, self._settings.kafka.partitions)

    def beds(self, number: int) -> list[str]:
        """Beds of a partition: those that send, and those that staff have set."""
        sending = {bed for bed, _ in self._held[number].streams}
        return sorted(sending | set(self._set_beds().get(number, ())))

    def _set_beds(self) -> dict[int, list[str]]:
        """Beds that are known otherwise than by sending, by partition."""
        found: dict[int, list[str]] = defaultdict(list)
        for bed in self._bedside.beds.known():
            found[self.home(bed)].append(bed)
        return found

    def _caught_up(self, number: int, time_ms: int) -> bool:
        """Whether a partition is read up to a broker's time, or to its end."""
        end = self.ends.get(number)
        at = max(self._held[number].next_offset, self.positions.get(number, 0))
        return (end is not None and at >= end) or self.read_ms.get(number, 0) >= time_ms

    def tell_beds(self, now_s: float) -> None:
        """Say how beds are set: each once a minute, new ones at once."""
        known = self._set_beds()
        for number, partition in self._held.items():
            due = now_s >= self._told_s.get(number, 0.0) + BEDS_EVERY_S
            for bed in {bed for bed, _ in partition.streams}.union(known.get(number, ())):
                if due or bed not in self._told:
                    self._told.add(bed)
                    self._outputs.send_bed(self._bedside.beds.record(bed, time.time_ns()))
            if due:
                self._told_s[number] = now_s
        if now_s >= self._repeated_s + REPEAT_S:
            self._repeated_s = now_s
            self._repeat_alarms()

    def _repeat_alarms(self) -> None:
        """Say again what stands, unchanged: who looks back less than it has stood must find it."""
        for bed in self._bedside.beds.known():
            for life in self._bedside.book.of_bed(bed):
                self._outputs.send_alarm(life.record(time.time_ns()))

    def take_up(self, starts: Mapping[int, int]) -> None:
        """Go on with partitions where their last worker stopped.

        Parameters
        ----------
        starts : mapping of int to int
            Raw offset from which on each of them is read here.

        Raises
        ------
        KafkaError, BrokerError, SnapshotError
            Their state was not found out; nothing was taken up.
        """
        began_s = time.monotonic()
        found = handover.find(self._settings, starts)
        numbers = list(starts)
        for number in numbers:
            partition = Partition(
                number, self._settings.kafka.partitions, self._settings.ingest, self._bedside.watch
            )
            self._held[number] = partition
            self._go_on_at_desk(number, found[number])
            self._restore_lives(found[number])
            for state in found[number].signals.values():
                self._go_on(partition, state, found[number].of_former_patient(state))
            for bed in found[number].beds.values():
                if bed.standby_by is not None or bed.discharged_ns is not None:
                    for alarm in self._bedside.mute(bed.bed, True):
                        self._outputs.send_alarm(alarm)
        self.commands.take_up({number: self._desk.partitions[number].next_offset for number in numbers})
        logger.info(
            "took up partitions %s with %d signals in %.1f s",
            f"{numbers[0]}..{numbers[-1]}" if len(numbers) > 3 else numbers,
            sum(len(left.signals) for left in found.values()),
            time.monotonic() - began_s,
        )

    def _go_on_at_desk(self, number: int, left: Left) -> None:
        """Put beds and commands back as they were left."""
        desk = self._desk.partitions[number] = left.desk or DeskState()
        desk.leaving = left.leaving + handover.TAKE_UP
        self._bedside.beds.put_wards(desk.wards)
        for bed in left.beds.values():
            self._bedside.beds.put(bed)
            self._held[number].begins[bed.bed] = bed.since_offset
            if bed.pause is not None:
                self._bedside.book.restore(bed.bed, [], bed.pause)

    def _go_on(self, partition: Partition, state: Snapshot, former: bool) -> None:
        """Put one signal back as its last worker left it; of a former patient only that it comes."""
        bed = self._bedside.beds.state(state.bed)
        if former and bed.admitted_ns is None:
            return
        stream = Stream(
            state.bed, SignalKind(state.signal), Continuity(self._settings.ingest), state.next_offset
        )
        stream.continuity.restore(state.continuity)
        partition.streams[(state.bed, state.signal)] = stream
        key = (state.bed, state.signal)
        self._bedside.watch.restore(key, state.watch, state.next_offset - 1, time.monotonic())
        if former:
            # What stood was the former patient's; what still holds is said anew.
            self._bedside.watch.begin_anew(state.bed, time.time_ns(), state.signal)
            return
        try:
            snapshot.put(self._bedside, state)
        except SnapshotError as error:
            self.counts["states_refused"] += 1
            logger.warning("bed %s begins anew: %s", state.bed, error)
            self._begin_anew(state.bed, state.signal, TECHNICAL)

    def _begin_anew(self, bed: str, signal: str, judged: Collection[str] = ()) -> None:
        """What stood of a signal has lost its engine: latched or over, and found anew if it still holds."""
        for alarm in self._bedside.book.orphan(bed, signal, "state lost", time.time_ns(), judged):
            self._outputs.send_alarm(alarm)

    def _restore_lives(self, left: Left) -> None:
        """Of signals whose state cannot be read, at least their alarms."""
        for remains in left.remains.values():
            self.counts["states_refused"] += 1
            self._bedside.book.restore(remains.bed, remains.lives)
            self._begin_anew(remains.bed, remains.signal)

    def let_go(self, number: int) -> None:
        """Forget a partition that another worker has now."""
        beds = self.beds(number)
        partition = self._held.pop(number)
        self.commands.let_go(number)
        self._desk.partitions.pop(number, None)
        self._bedside.watch.forget(set(partition.streams))
        for bed, signal in partition.streams:
            self._bedside.remove(bed, signal)
        for bed in beds:
            self._bedside.forget(bed)
            self._told.discard(bed)
        self.read_ms.pop(number, None)
        self._told_s.pop(number, None)
        self.ends.pop(number, None)
        self.positions.pop(number, None)
        self._left.discard(number)
        logger.info("partition %d is another worker's now", number)

    def leave(self, number: int) -> None:
        """Send the state of a partition: its signals, its beds, its commands. The caller flushes before.

        The commands' offset comes last: what it says to be done has been left.
        """
        self._left.add(number)
        partition, desk = self._held[number], self._desk.partitions[number]
        desk.leaving += 1
        desk.left = handover.leave(self._outputs, partition, self._bedside, desk.leaving)
        desk.left_up_to = partition.safe_offset
        beds = [self._bedside.beds.state(bed) for bed in self.beds(number)]
        handover.leave_desk(self._outputs, number, desk, beds)

    def leave_beds(self, beds: Iterable[str]) -> None:
        """Send the state of some beds. The caller flushes before."""
        for bed in beds:
            number = self.home(bed)
            partition = self._held.get(number)
            if partition is None:
                continue
            if number in self._left:
                desk = self._desk.partitions[number]
                desk.leaving += 1
                handover.leave(self._outputs, partition, self._bedside, desk.leaving, bed)
            else:
                # A successor looks for the newest state of all: there must not be one bed's alone.
                self.leave(number)

    def configure(self, bed: str) -> None:
        """The settings of a bed have changed."""
        self._bedside.configure(bed)

    def reset(self, bed: str, watch: bool) -> int:
        """Forget the patient's signals; go on to watch for missing data or not."""
        partition = self._held[self.home(bed)]
        read = [stream.next_offset for (name, _), stream in partition.streams.items() if name == bed]
        since = partition.begins[bed] = max([partition.next_offset, *read])
        for signal in self._signals(bed):
            self._bedside.remove(bed, signal)
            if not watch:
                self._bedside.watch.forget({(bed, signal)})
                del partition.streams[(bed, signal)]
        if watch:
            self._bedside.begin_anew(bed)
        return since

    def mute(self, bed: str, on: bool) -> list[Alarm]:
        """Silence the alarms of missing data, or no longer."""
        return self._bedside.mute(bed, on)

    def _signals(self, bed: str) -> list[str]:
        partition = self._held.get(self.home(bed))
        return [signal for name, signal in partition.streams if name == bed] if partition else []
