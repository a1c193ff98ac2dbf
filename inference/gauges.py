"""What a worker measures of itself: counters, latencies by stage, its file of figures and its status."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from kafka import KafkaConsumer, TopicPartition

from inference.monitor import Outcome
from inference.partitions import Partitions
from inference.reading import Polled
from inference.stats import ALARM_OUT, POLLED, PREDICTED, PREDICTION_OUT, SENT, Stats
from inference.status import INFER, Standing, StatusReporter, lag_of
from inference.stream_watch import StreamWatch
from inference.types import DeadLetter, LoadedModel
from ingest.json_log import of_record
from ingest.settings import Settings

logger = logging.getLogger(__name__)

FILE_S: Final = 1.0
WORST_CLOCKS: Final = 20


class Gauges:
    """Measures a worker; nothing here is done for each record.

    Parameters
    ----------
    settings : Settings
        Broker and topics.
    models : sequence of LoadedModel
        Networks of the worker.
    device : str
        Where they compute.
    path : Path or None
        JSON file with counters, rewritten every second.
    """

    def __init__(
        self, settings: Settings, models: Sequence[LoadedModel], device: str, path: Path | None
    ) -> None:
        self.stats = Stats()
        self._raw = settings.topics.raw
        self._path = path
        self._file_due_s = 0.0
        self._polled_s = self._predicted_s = time.monotonic()
        self._logged_s: dict[str, float] = {}
        self._reporter = StatusReporter(settings, INFER, settings.kafka.group_id, models, device)

    @property
    def member(self) -> str:
        """Key of this worker's records on the status topic."""
        return self._reporter.member

    def polled(self, polled: Polled) -> dict[str, int]:
        """Note a poll; return when the broker got each bed's newest record of it, ms since the epoch."""
        now_ms, self._polled_s = time.time() * 1e3, time.monotonic()
        self.stats.stages.note(POLLED, *(now_ms - records[-1].timestamp for records in polled.values()))
        return {
            record.key.decode(errors="replace"): record.timestamp
            for records in polled.values()
            for record in records
            if record.key
        }

    def refused(self, letters: Iterable[DeadLetter]) -> None:
        """Count refused records; log one line a reason and second: a device gone wild fills no disk."""
        for letter in letters:
            self.stats.counts["dead_letters"] += 1
            self.stats.dead_letters[letter.reason] += 1
            now_s = time.monotonic()
            if now_s - self._logged_s.get(letter.reason, -math.inf) >= 1.0:
                self._logged_s[letter.reason] = now_s
                where = f"{letter.topic}/{letter.partition}@{letter.offset}"
                at = of_record(letter.topic, letter.partition, letter.offset, letter.key_base64)
                logger.warning("%s: %s: %s", where, letter.reason, letter.detail, extra=at)

    def predicted(self) -> None:
        """Note that the networks are done."""
        self._predicted_s = time.monotonic()

    def sent(self, outcome: Outcome, received_ms: Mapping[str, int]) -> None:
        """Note that what was found of a poll has gone out."""
        counts, stages = self.stats.counts, self.stats.stages
        counts["windows"] += len(outcome.predictions)
        counts["alarms"] += len(outcome.alarms)
        now_ms = time.time() * 1e3
        predictions = [
            now_ms - received_ms[item.bed] for item in outcome.predictions if item.bed in received_ms
        ]
        alarms = [now_ms - received_ms[alarm.bed] for alarm in outcome.alarms if alarm.bed in received_ms]
        self.stats.latencies_ms.extend(predictions)
        self.stats.alarm_latencies_ms.extend(alarms)
        stages.note(PREDICTION_OUT, *predictions)
        stages.note(ALARM_OUT, *alarms)
        if predictions:
            stages.note(PREDICTED, 1e3 * (self._predicted_s - self._polled_s))
            stages.note(SENT, 1e3 * (time.monotonic() - self._predicted_s))

    def tell(self, consumer: KafkaConsumer, partitions: Partitions, watch: StreamWatch) -> None:
        """Write the file and send the status, each if it is time."""

        def standing() -> Standing:
            self._collect(partitions)
            read_ms = {TopicPartition(self._raw, n): at_ms for n, at_ms in partitions.read_ms.items()}
            reached = {TopicPartition(self._raw, one.number): one.next_offset for one in partitions.values()}
            return Standing(
                partitions=sorted(partitions.numbers),
                lag=lag_of(consumer, read_ms, reached),
                beds=len({bed for partition in partitions.values() for bed, _ in partition.streams}),
                clocks=watch.clocks(WORST_CLOCKS, time.monotonic()),
                ages=watch.ages(time.monotonic()),
            )

        self._reporter.tell(self.stats, standing)
        now_s = time.monotonic()
        if now_s >= self._file_due_s:
            self._file_due_s = now_s + FILE_S
            self._write(partitions)

    def _collect(self, partitions: Partitions) -> None:
        counts = self.stats.counts
        counts["partitions"] = len(partitions)
        counts["command_errors"] = partitions.commands.n_errors
        for partition in partitions.values():
            counts.update(partition.take_time_counts())

    def _write(self, partitions: Partitions) -> None:
        if self._path is None:
            return
        self._collect(partitions)
        try:
            self.stats.write(self._path)
        except OSError as error:
            logger.warning("statistics not written: %s", error)

    def close(self, partitions: Partitions) -> None:
        """Say goodbye and write the file a last time."""
        self._reporter.close()
        self._write(partitions)
