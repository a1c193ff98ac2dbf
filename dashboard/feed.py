"""The dashboard's own consumer: one thread per server process fills a :class:`dashboard.ward.Ward`.

It belongs to no group, so it takes nothing from the workers: it assigns itself every partition and starts a
short history before the end. Records of that history count as old as their timestamps say, so nothing old
looks new.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import msgspec
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from dashboard.system_state import MOST_LETTERS, Refused, SystemState
from dashboard.ward import Ward
from inference.types import Alarm, Bed, PredictionBatch, VitalBatch, WorkerStatus
from ingest.admission import admit
from ingest.errors import BadChunk, BrokerError, IngestError
from ingest.kafka import consumer, end_offsets, offsets_for_times
from ingest.settings import Settings

log = logging.getLogger(__name__)

POLL_MS: Final = 100
PROBE_S: Final = 1.0
"""With no record for so long the broker is asked for an answer."""
PROBE_TIMEOUT_MS: Final = 1_500
RETRY_S: Final = 1.0
DISCOVER_S: Final = 5.0
PAUSE_S: Final = 3.0
"""After a pause of this process (a laptop asleep) what waits in the broker is history, not live."""
TRACE_HISTORY_S: Final = 20.0
ALARM_HISTORY_S: Final = 12 * 3_600.0
BED_HISTORY_S: Final = 150.0
"""Workers say how each bed is set once a minute."""
LETTER_HISTORY_S: Final = 3_600.0


def reach(bootstrap_servers: str, timeout_s: float = 2.0) -> None:
    """Open and close a connection to one of the servers.

    kafka-python's client keeps the sockets of a failed start; retried for hours that would use them all up.

    Raises
    ------
    BrokerError
        None answers.
    """
    problem = ""
    for server in bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout_s).close()
        except (OSError, ValueError) as error:
            problem = str(error)
        else:
            return
    raise BrokerError(f"no Kafka broker answers at {bootstrap_servers} ({problem})")


class Record(Protocol):
    """What is used of a Kafka record."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    headers: Iterable[tuple[str, bytes]]
    value: bytes | None


class RecordReader:
    """Turns records of the topics into calls on a ward; what cannot be read is counted, never raised.

    Parameters
    ----------
    ward : Ward
        Filled.
    settings : Settings
        Names of the topics, limits on chunks.
    system : SystemState or None
        Filled with what processes say of themselves and what they refused; a new one by default.
    """

    def __init__(self, ward: Ward, settings: Settings, system: SystemState | None = None) -> None:
        self._ward = ward
        self._system = system or SystemState()
        self._topics = settings.topics
        self._limits = settings.ingest
        self._vitals = msgspec.json.Decoder(VitalBatch)
        self._predictions = msgspec.json.Decoder(PredictionBatch)
        self._alarms = msgspec.json.Decoder(Alarm)
        self._beds = msgspec.json.Decoder(Bed)
        self._status = msgspec.json.Decoder(WorkerStatus)
        self._letters = msgspec.json.Decoder(Refused)
        self.n_unreadable = 0

    def read(self, record: Record, age_s: float) -> None:
        """Take in one record that is ``age_s`` old."""
        if record.value is None:
            return
        try:
            self._read_value(record, record.value, age_s)
        except (BadChunk, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self.n_unreadable += 1
            log.debug("unreadable record %s-%d@%d: %s", record.topic, record.partition, record.offset, error)

    def _read_value(self, record: Record, value: bytes, age_s: float) -> None:
        if record.topic == self._topics.raw:
            # What the worker refuses is not shown either.
            self._ward.add_chunk(admit(record, self._limits), age_s)
        elif record.topic == self._topics.vitals:
            for vital in self._vitals.decode(value).items:
                self._ward.add_vital(vital, age_s)
        elif record.topic == self._topics.predictions:
            for prediction in self._predictions.decode(value).items:
                self._ward.add_prediction(prediction, age_s)
        elif record.topic == self._topics.alarms:
            self._ward.add_alarm(self._alarms.decode(value))
        elif record.topic == self._topics.beds:
            self._ward.add_bed(self._beds.decode(value))
        elif record.topic == self._topics.status:
            self._system.add_status(self._status.decode(value), age_s)
        elif record.topic == self._topics.dead_letters:
            self._system.add_dead_letter(self._letters.decode(value), record.timestamp)


class Feed:
    """The consumer thread.

    Parameters
    ----------
    settings : Settings
        Broker and topics.
    ward : Ward or None
        Filled; a new one by default.
    """

    def __init__(self, settings: Settings, ward: Ward | None = None) -> None:
        self.ward = ward or Ward()
        self.system = SystemState()
        self.ward.ask_workers(self.system.without_worker_s)
        self.reader = RecordReader(self.ward, settings, self.system)
        self._settings = settings
        topics = settings.topics
        live = (topics.raw, topics.vitals, topics.predictions, topics.alarms, topics.beds)
        self._topics = (*live, topics.status, topics.dead_letters)
        self._live_from: dict[TopicPartition, int] = {}
        self._skew_ms = 0.0
        """This machine's clock less the broker's, with the way of a record."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dashboard-feed", daemon=True)

    def start(self) -> Feed:
        """Start the thread."""
        self._thread.start()
        return self

    def stop(self, timeout_s: float = 10.0) -> None:
        """Stop the thread and wait for it."""
        self._stopping.set()
        self._thread.join(timeout_s)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def topics(self) -> dict[str, int]:
        """Topics that are read, each with the number of its partitions."""
        return dict(Counter(part.topic for part in list(self._live_from)))

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._consume()
            except (KafkaError, OSError, IngestError) as error:
                log.warning("broker lost: %s", error)
                self.ward.set_connected(False, f"{type(error).__name__}: {error}")
            except Exception as error:
                # A thread that died silently would leave a page that shows a live ward for ever.
                log.exception("the feed failed and starts again")
                self.ward.set_connected(False, f"{type(error).__name__}: {error}")
            self._stopping.wait(RETRY_S)

    def _consume(self) -> None:
        reach(self._settings.kafka.bootstrap_servers)
        client = consumer(
            self._settings,
            group_id=None,
            auto_offset_reset="latest",
            fetch_max_wait_ms=POLL_MS,
            request_timeout_ms=10_000,
        )
        try:
            assigned = self._assign(client, set())
            self._answered()
            discovered_at = answered_at = polled_at = time.monotonic()
            while not self._stopping.is_set():
                batches = client.poll(timeout_ms=POLL_MS, max_records=2_000)
                now = time.monotonic()
                if now - polled_at > PAUSE_S:
                    self._live_from = end_offsets(self._settings, assigned)
                for partition, records in batches.items():
                    end = client.highwater(partition)
                    caught_up = end is not None and client.position(partition) >= end
                    self._read(partition, records, caught_up)
                if batches:
                    answered_at = now
                    self._answered()
                elif now - answered_at > PROBE_S:
                    client.end_offsets(list(assigned)[:1] or [], timeout_ms=PROBE_TIMEOUT_MS)
                    answered_at = time.monotonic()
                    self._answered()
                if now - discovered_at > DISCOVER_S:
                    discovered_at = now
                    assigned = self._assign(client, assigned)
                polled_at = time.monotonic()
        finally:
            client.close(autocommit=False, timeout_ms=1_000)

    def _answered(self) -> None:
        self.system.note_answer()
        self.ward.set_connected(True)

    def _read(self, partition: TopicPartition, records: Sequence[Record], caught_up: bool = True) -> None:
        """Read records of one poll, ``caught_up`` where no more wait in the broker.

        What comes last from a partition that is read to its end is of now, whatever the broker's clock
        says: ages are counted from there, so that a dashboard that lags does not show old data as new.
        """
        live_from = self._live_from.get(partition, 0)
        wall_ms = time.time() * 1e3
        if caught_up and records[-1].offset >= live_from:
            self._skew_ms = wall_ms - records[-1].timestamp
        for record in records:
            skew_ms = self._skew_ms if record.offset >= live_from else 0.0
            self.reader.read(record, max(0.0, (wall_ms - record.timestamp - skew_ms) / 1e3))

    def _assign(self, client: KafkaConsumer, assigned: set[TopicPartition]) -> set[TopicPartition]:
        """Assign every partition that exists now; new ones start a short history before their end."""
        found: set[TopicPartition] = set()
        for topic in self._topics:
            found |= {TopicPartition(topic, number) for number in client.partitions_for_topic(topic) or ()}
        new = found - assigned
        if not found:
            raise IngestError("the broker has none of Wardwave's topics yet")
        if not new:
            return assigned
        positions = {partition: client.position(partition) for partition in assigned}
        client.assign(sorted(found | assigned))
        for partition, position in positions.items():
            client.seek(partition, position)
        ends = end_offsets(self._settings, new)
        self._live_from |= ends
        wall_ms = time.time() * 1e3
        starts = offsets_for_times(
            client, {partition: int(wall_ms - 1e3 * self._history_s(partition.topic)) for partition in new}
        )
        for partition in new:
            start = starts.get(partition)
            if start is not None and partition.topic == self._settings.topics.dead_letters:
                # Each may be as large as a record can be.
                start = max(start, ends[partition] - MOST_LETTERS)
            client.seek(partition, ends[partition] if start is None else start)
        return found | assigned

    def _history_s(self, topic: str) -> float:
        topics = self._settings.topics
        histories = {
            topics.alarms: ALARM_HISTORY_S,
            topics.beds: BED_HISTORY_S,
            topics.dead_letters: LETTER_HISTORY_S,
        }
        return histories.get(topic, TRACE_HISTORY_S)
