"""The worker: raw records in, predictions, vitals, alarms and dead letters out, nothing lost on the way.

Order of effects: outputs are flushed, then the snapshots, then the offset is committed. Whatever is read
again after a crash gives the same ids and values, and readers keep one of each.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kafka import TopicPartition
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from inference.beat_predictor import BeatPredictor
from inference.bedside import Bedside
from inference.catalog import load_catalogue
from inference.eeg_listener import SeizureNetwork
from inference.errors import SnapshotError
from inference.gauges import Gauges
from inference.intake import Taken, take_all, unreadable
from inference.partitions import Partitions
from inference.patience import Patience, may_pass
from inference.predictor import Predictor
from inference.publish import Outputs, batch_partitions
from inference.reading import ENDS_MS, Abreast, Polled, RawReader
from inference.schedule import MOST_RECORDS, Overload, Pieces
from inference.schedule_load import Load
from inference.site import load_site
from inference.sound_listener import SoundNetwork
from inference.types import Alarm, LoadedModel, Priority
from ingest import kafka
from ingest.errors import BrokerError
from ingest.settings import Settings
from ingest.types import SignalKind

logger = logging.getLogger(__name__)

TICK_S = 0.5
COMMITS = 16
"""So many commits leave the state of all of a worker's partitions, spread over ``snapshot_s``."""

POSITION_MS = 5_000
"""How long the broker is asked from where a partition is to be read."""

ASSIGNORS = (StickyPartitionAssignor, RangePartitionAssignor)
"""Who stays keeps its partitions: what is handed over is silent meanwhile. The second is what workers of
before 2026-11-22 know, so that they can be replaced one by one. Not the cooperative one: kafka-python 3.0.12
reads nothing in a rebalance either way, and it takes two of them."""


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How a worker runs.

    Parameters
    ----------
    snapshot_s : float
        How often the state of each partition is left and its offset committed.
    pace_s : float
        Least time between two polls, so that batches fill; part of the latency.
    stats : Path or None
        JSON file with counters, rewritten every second.
    device : str
        Where the networks compute, as its status says it.
    overload : Overload
        Whether predictions that only feed the display are left out while the worker is behind.
    """

    snapshot_s: float = 30.0
    pace_s: float = 0.06
    stats: Path | None = None
    device: str = "cpu"
    overload: Overload = Overload.QUEUE


class Worker:
    """One member of the consumer group.

    Parameters
    ----------
    settings : Settings
        Broker, topics, limits.
    predictor : Predictor
        The ECG model.
    options : WorkerOptions
        Pace.
    beats : BeatPredictor or None
        The network that says what each beat is.
    sounds : mapping or None
        Networks that listen to lung and heart sounds.
    eeg : SeizureNetwork or None
        The network that looks for seizures.
    """

    def __init__(
        self,
        settings: Settings,
        predictor: Predictor,
        options: WorkerOptions,
        beats: BeatPredictor | None = None,
        sounds: Mapping[SignalKind, SoundNetwork] | None = None,
        eeg: SeizureNetwork | None = None,
    ) -> None:
        self._settings = settings
        self._options = options
        path = settings.alarms_file
        site = load_site(Path(path) if path else None, load_catalogue())
        self._bedside = Bedside(predictor, time.time_ns, beats, site, sounds, eeg)
        self._snapshot_due_s: dict[int, float] = {}
        self._consumer = kafka.consumer(
            settings,
            settings.topics.raw,
            group_id=settings.kafka.group_id,
            max_poll_records=MOST_RECORDS,
            partition_assignment_strategy=ASSIGNORS,
        )
        self._producer = kafka.producer(settings, compression_type=settings.kafka.output_compression)
        self._patience = Patience()
        self._outputs = Outputs(
            self._producer,
            settings.topics,
            self._home,
            self._patience,
            batch_partitions(settings.kafka.partitions),
        )
        self._partitions = Partitions(settings, self._bedside, self._outputs)
        self._dirty: set[str] = set()
        """Beds whose alarms changed by no raw record."""
        self._reader = RawReader(self._consumer, self._unreadable)
        self._abreast = Abreast(self._consumer)
        self._ticked_s = self._looked_s = -math.inf
        networks = (predictor, beats, *(sounds or {}).values(), eeg)
        models = [LoadedModel(one.spec.name, one.spec.sha256) for one in networks if one is not None]
        self._gauges = Gauges(settings, models, options.device, options.stats)
        self.stats = self._gauges.stats
        self._load = Load(
            self._consumer, self._reader, self._bedside.book, options.overload, self.stats.counts
        )

    def _home(self, bed: str) -> int:
        """Partition of a bed; intake refuses it anywhere else."""
        return kafka.partition_for(bed, self._settings.kafka.partitions)

    def run(self, stopped: Callable[[], bool]) -> None:
        """Work until told to stop, then leave state and commit.

        After an error nothing is committed: what was read may not have been judged, and a successor reads it
        again.
        """
        self._patience.watch(stopped)
        try:
            while not stopped():
                began_s = time.monotonic()
                self.step()
                if began_s >= self._ticked_s + TICK_S:
                    self.tick()
                self._gauges.tell(self._consumer, self._partitions, self._bedside.watch)
                if not self._reader.joining:
                    time.sleep(max(0.0, self._options.pace_s - (time.monotonic() - began_s)))
            self._commit(sorted(self._partitions.numbers))
        finally:
            self.close()

    def step(self) -> None:
        """Poll once and work through what came."""
        polled = self._reader.poll(20 if len(self._partitions) else 500, self._load.records)
        began_s = time.monotonic()
        self._abreast.note(polled, began_s)
        received_ms = self._gauges.polled(polled)
        self._follow_assignment(polled)
        taken = Taken()
        read = []
        for part, records in polled.items():
            partition = self._partitions.get(part.partition)
            if partition is None:
                continue
            new = [record for record in records if record.offset >= partition.next_offset]
            read.append((partition, new))
            self._partitions.read_ms[part.partition] = records[-1].timestamp
            self.stats.counts["chunks_in"] += len(new)
        take_all(self._bedside.watch, read, taken)
        self._load.polled(polled, self._partitions, self._settings.topics.raw, began_s)
        self._emit(taken, received_ms)
        self._load.worked(sum(map(len, polled.values())), began_s)
        self._leave_beds()
        self._leave_state(time.monotonic())

    def tick(self) -> None:
        """Look at the clock and at commands.

        Signals that went silent, alarms that nobody acknowledged, chunks that were waited for long enough.
        """
        now_s = self._ticked_s = time.monotonic()
        self._note_ends()
        # Before the clock: what was acknowledged meanwhile does not escalate.
        for number in self._partitions.commands.poll():
            self._snapshot_due_s[number] = 0.0
        abreast = self._abreast.holds(now_s)
        if abreast or self._abreast.reads(now_s):
            self._look_at_clock(now_s, abreast)
        self._partitions.tell_beds(now_s)

    def _look_at_clock(self, now_s: float, abreast: bool) -> None:
        taken = Taken()
        # After a standstill the missing chunk may lie unread behind the one that waits for it.
        if abreast and now_s - self._looked_s < 2 * TICK_S:
            for partition in self._partitions.values():
                partition.expire(now_s, taken)
        if abreast:
            self._looked_s = now_s
        self._emit(taken, {})
        self._send_alarms(self._bedside.tick(now_s, abreast))
        # At once: were the partition lost in the next poll, nobody would take back what was just said.
        self._leave_beds()

    def _note_ends(self) -> None:
        """Note how far the raw topic reaches."""
        for part in self._consumer.assignment():
            mark = self._consumer.highwater(part)
            if mark is None:
                continue
            self._partitions.ends[part.partition] = int(mark)
            held = self._partitions.get(part.partition)
            # Mostly read to the end; to answer for one kafka-python goes through all of them.
            if held is None or held.next_offset < mark:
                # None, or no answer: the broker is away while the client has no place of its own to read on.
                at = self._consumer.position(part, timeout_ms=ENDS_MS)
                self._partitions.positions[part.partition] = int(at or 0)

    def _emit(self, taken: Taken, received_ms: dict[str, int]) -> None:
        for letter in taken.dead_letters:
            self._outputs.send_dead_letter(letter)
        self._gauges.refused(taken.dead_letters)
        self._send_alarms(self._bedside.note(taken.technical))
        for batch in self._load.batches(taken.pieces):
            self._judge(batch, received_ms)

    def _judge(self, pieces: Pieces, received_ms: dict[str, int]) -> None:
        """Judge the pieces of some beds and send what was found."""
        outcome = self._bedside.push(pieces)
        self._gauges.predicted()
        self._outputs.send(self._load.shown(outcome))
        # What may escalate is left at once, so that a successor counts from the same moment.
        self._dirty |= {alarm.bed for alarm in outcome.alarms if alarm.priority is Priority.HIGH}
        self._gauges.sent(outcome, received_ms)

    def _unreadable(self, part: TopicPartition, offset: int) -> None:
        self.stats.counts["unreadable"] += 1
        letter = unreadable(part, offset)
        self._outputs.send_dead_letter(letter)
        self._gauges.refused([letter])
        held = self._partitions.get(part.partition)
        if held is not None and held.next_offset == offset:
            # No gap: it was not another worker's meanwhile.
            held.next_offset = offset + 1

    def _send_alarms(self, alarms: list[Alarm]) -> None:
        """Send steps that no raw record explains: a successor learns of them from the beds' state alone."""
        for alarm in alarms:
            self._outputs.send_alarm(alarm)
            self._dirty.add(alarm.bed)
        self.stats.counts["alarms"] += len(alarms)

    def _follow_assignment(self, polled: Polled) -> None:
        """Take up partitions that are new here, let go of those that went.

        The assignment is compared after each poll instead of in a rebalance listener: a listener that fails
        leaves kafka-python with partitions that are never read (its issue 3132).
        """
        assigned = {part.partition for part in self._consumer.assignment()}
        for number in self._partitions.numbers - assigned:
            self._let_go(number)
        for part, records in polled.items():
            partition = self._partitions.get(part.partition)
            if partition is not None and 0 < partition.next_offset < records[0].offset:
                # It was another worker's for a while: that one's state is the newer.
                self._let_go(part.partition)
        new = sorted(assigned - self._partitions.numbers)
        if new:
            self._take_up(new, polled)

    def _let_go(self, number: int) -> None:
        self._snapshot_due_s.pop(number)
        for bed in self._partitions.beds(number):
            self._dirty.discard(bed)
        self._partitions.let_go(number)

    def _take_up(self, numbers: list[int], polled: Polled) -> None:
        parts = [TopicPartition(self._settings.topics.raw, number) for number in numbers]
        try:
            self._partitions.take_up({part.partition: self._start(part, polled) for part in parts})
        except (KafkaError, BrokerError, SnapshotError) as error:
            if not may_pass(error):
                raise
            self.stats.counts["take_ups_failed"] += 1
            logger.warning("partitions %s are not taken up yet: %s", numbers, error)
            for part in polled.keys() & set(parts):
                # What came of them is read again once they are.
                self._consumer.seek(part, polled[part][0].offset)
            return
        now_s = time.monotonic()
        self._abreast.unsettle(now_s)
        for number in numbers:
            self._snapshot_due_s[number] = self._turn_after(number, now_s)

    def _start(self, part: TopicPartition, polled: Polled) -> int:
        """Raw offset from which on a partition is read here."""
        records = polled.get(part)
        if records:
            return records[0].offset
        return int(self._consumer.position(part, timeout_ms=POSITION_MS) or 0)

    def _leave_beds(self) -> None:
        """Leave the state of beds that changed by no raw record, once what was said of it is delivered."""
        if not self._dirty:
            return
        try:
            self._outputs.flush()
        except KafkaError as error:
            logger.warning("state of %d beds not left: %s", len(self._dirty), error)
            return
        self._partitions.leave_beds(self._dirty)
        self._dirty.clear()

    def _leave_state(self, now_s: float) -> None:
        """Flush outputs, leave the state of the partitions whose turn it is, commit."""
        due = [number for number, at_s in self._snapshot_due_s.items() if now_s >= at_s]
        if due:
            self._commit(due)
            for number in due:
                self._snapshot_due_s[number] = self._turn_after(number, now_s)

    def _turn_after(self, number: int, now_s: float) -> float:
        """When a partition is left next: several together, for a commit waits thrice for the broker."""
        period_s = self._options.snapshot_s
        phase_s = number % COMMITS / COMMITS * period_s
        return now_s + period_s - (now_s - phase_s) % period_s

    def _commit(self, numbers: list[int]) -> None:
        parts = [part for number in numbers if (part := self._partitions.get(number)) is not None]
        offsets = {
            TopicPartition(self._settings.topics.raw, part.number): OffsetAndMetadata(
                part.safe_offset, "", -1
            )
            for part in parts
            if part.next_offset > 0
        }
        try:
            self._outputs.flush()
            for part in parts:
                self._partitions.leave(part.number)
            self._outputs.flush()
            if offsets:
                self._consumer.commit(offsets, timeout_ms=self._patience.commit_ms())
        except KafkaError as error:
            # The broker is away, or the partitions are another worker's: it goes on from the commit before.
            self.stats.counts["commits_refused"] += 1
            if not self._patience.ending:
                logger.warning("offsets not committed: %s", error)

    def close(self) -> None:
        """Leave the group; nothing is committed here."""
        self._partitions.commands.close()
        self._patience.close(self._producer, self._consumer)
        self._gauges.close(self._partitions)
