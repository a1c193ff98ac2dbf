"""The live judge: alarms of bedside devices in, verdicts out; a process beside the workers.

Order of effects: the verdict is flushed, then the offset of its alarm is committed. What a killed judge left
is judged by its successor, with the same id. An alarm whose signals are still on their way is set aside and
holds nothing else up.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kafka import TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from inference import device_alarms
from inference.device_alarms import KIND_OF
from inference.errors import NotJudged
from inference.intake import RawRecord, dead_letter, unreadable
from inference.judge_past import NEEDED_S, WAIT_S, BedPast, BedViews
from inference.judge_reader import PastReader, Progress
from inference.judge_words import facts_of, reasons_in_words
from inference.patience import Patience
from inference.publish import Outputs
from inference.reading import RawReader
from inference.stats import VERDICT_OUT, Stats
from inference.status import JUDGE, Standing, StatusReporter, lag_of
from inference.types import DeadLetter, DeviceAlarm, LoadedModel, Verdict
from inference.verdict_beats import BeatSource
from ingest import kafka
from ingest.errors import BadChunk
from ingest.json_log import of_record
from ingest.settings import Settings
from models import verdict
from models.verdict_features import verdict_features
from models.verdict_leads import VIEW_S

logger = logging.getLogger(__name__)

GROUP_SUFFIX: Final = "-judge"
MARGIN_S: Final = 10.0
"""Chunks may have come so much sooner after their device time than the alarm did."""

LATE_S: Final = 60.0
"""An alarm that came so long after it sounded still finds its signals."""

LEAST_PRESENT: Final = 0.75
"""With less of the ECG about the alarm, a pulse that can be relied on is needed."""

PULSELESS: Final = frozenset(KIND_OF) - {"vt"}
"""Kinds that a pulse alone can contradict; a ventricular tachycardia may have one."""

UNJUDGED: Final = "not judged, treat it as true: "
IDLE_MS: Final = 500
BUSY_MS: Final = 20
MOST_AT_ONCE: Final = 16
STATS_S: Final = 1.0


@dataclass(slots=True)
class Case:
    """An alarm that waits for its verdict.

    Attributes
    ----------
    past : BedPast
        What has been read of its bed.
    offset : int or None
        Raw record at which to read on; None where reading has not begun.
    deadline_s : float
        Monotonic time until which missing chunks are waited for.
    """

    record: RawRecord
    alarm: DeviceAlarm
    past: BedPast
    offset: int | None
    deadline_s: float


class Judge:
    """One member of the judges' group.

    Parameters
    ----------
    settings : Settings
        Broker, topics, limits.
    model : verdict.Verdict
        Judges.
    beats : BeatSource
        Finds beats; the one that the model was fitted on.
    stats : Path or None
        JSON file with counters and latencies (from the broker's receipt of an alarm to its verdict),
        rewritten every second.
    """

    def __init__(
        self, settings: Settings, model: verdict.Verdict, beats: BeatSource, stats: Path | None = None
    ) -> None:
        self.stats = Stats()
        self._settings = settings
        self._model = model
        self._beats = beats
        self._stats_path = stats
        self._stats_due_s = 0.0
        self._consumer = kafka.consumer(
            settings,
            settings.topics.device_alarms,
            group_id=settings.kafka.group_id + GROUP_SUFFIX,
            max_poll_records=MOST_AT_ONCE,
        )
        self._alarms = RawReader(self._consumer, self._unreadable)
        self._past = PastReader(settings)
        self._producer = kafka.producer(settings)
        self._patience = Patience()
        self._outputs = Outputs(self._producer, settings.topics, self._home, self._patience)
        self._cases: list[Case] = []
        self._next: dict[int, int] = {}
        """Offset after the last alarm that was taken, of each partition."""
        self._committed: dict[int, int] = {}
        self._read_ms: dict[TopicPartition, int] = {}
        """Broker's time of the newest alarm that was taken, of each partition."""
        models = [
            LoadedModel(model.spec.name, model.spec.sha256),
            LoadedModel(model.spec.beats_model, model.spec.beats_sha256),
        ]
        self._status = StatusReporter(settings, JUDGE, settings.kafka.group_id + GROUP_SUFFIX, models)

    def _home(self, bed: str) -> int:
        return kafka.partition_for(bed, self._settings.kafka.partitions)

    def run(self, stopped: Callable[[], bool]) -> None:
        """Judge until told to stop; what waits then is left to a successor."""
        self._patience.watch(stopped)
        try:
            while not stopped():
                self.step()
        finally:
            self.close()

    def step(self) -> None:
        """Take new alarms, read on for those that wait, answer what can be answered, commit."""
        polled = self._alarms.poll(BUSY_MS if self._cases else IDLE_MS, MOST_AT_ONCE)
        for part, records in polled.items():
            for record in records:
                self._take(record)
            self._next[part.partition] = records[-1].offset + 1
            self._read_ms[part] = records[-1].timestamp
        assigned = {part.partition for part in self._consumer.assignment()}
        # Another judge has these partitions now, and reads them from the last commit.
        self._cases = [case for case in self._cases if case.record.partition in assigned]
        for offsets in (self._next, self._committed):
            for number in offsets.keys() - assigned:
                del offsets[number]
        self._cases = [case for case in self._cases if not self._settle(case)]
        self._commit()
        self._write_stats()
        self._status.tell(self.stats, self._standing)

    def _standing(self) -> Standing:
        numbers = [part.partition for part in self._consumer.assignment()]
        beds = {case.alarm.bed for case in self._cases}
        return Standing(numbers, lag_of(self._consumer, self._read_ms), len(beds))

    def _take(self, record: RawRecord) -> None:
        self.stats.counts["device_alarms"] += 1
        try:
            alarm = device_alarms.read(record, self._settings.kafka.partitions, self._settings.ingest)
        except BadChunk as bad:
            self._refuse(dead_letter(record, bad, self._settings.ingest.max_record_bytes))
            return
        if alarm.kind not in KIND_OF:
            known = ", ".join(KIND_OF)
            self._answer(record, self._unjudged(alarm, f"kind={alarm.kind!r} is none of {known}"))
            return
        waited_s = max(0.0, time.time() - record.timestamp / 1e3)
        deadline_s = time.monotonic() + max(0.0, WAIT_S - waited_s)
        past = BedPast(alarm.bed, alarm.time_ns, self._settings.ingest)
        self._cases.append(Case(record, alarm, past, None, deadline_s))

    def _settle(self, case: Case) -> bool:
        """Read on for an alarm; judge it once all is there, or will not come any more."""
        try:
            progress = self._read_on(case)
        except KafkaError as error:
            if not error.retriable:
                raise
            logger.warning("bed %s: its signals cannot be read yet: %s", case.alarm.bed, error)
            return False
        case.offset = progress.offset
        waits = not progress.at_end or time.monotonic() < case.deadline_s
        if waits and not progress.over and not case.past.complete:
            return False
        self._answer(case.record, self._judge(case.alarm, case.past))
        return True

    def _read_on(self, case: Case) -> Progress:
        record = case.record
        if case.offset is None:
            # An alarm that comes late sounded when its signals came; a wrong clock says nothing of that.
            late_ms = min(max(record.timestamp - case.alarm.time_ns // 1_000_000, 0), LATE_S * 1e3)
            since_ms = round(record.timestamp - late_ms - (NEEDED_S + MARGIN_S) * 1e3)
            case.offset = self._past.since(record.partition, since_ms)
        until_ms = record.timestamp + round(WAIT_S * 1e3)
        return self._past.read(
            record.partition, case.offset, until_ms, case.past.take, lambda: case.past.complete
        )

    def _judge(self, alarm: DeviceAlarm, past: BedPast) -> Verdict:
        try:
            found = past.views(self._beats)
        except NotJudged as error:
            return self._unjudged(alarm, str(error))
        kind = KIND_OF[alarm.kind]
        names, row = verdict_features(found.views.leads, found.views.pulses)
        facts = facts_of(names, row.tolist(), found.pulses, found.views.pulses)
        if found.ecg_present < LEAST_PRESENT and not (facts.pulses and alarm.kind in PULSELESS):
            share = 100 * found.ecg_present
            why = f"{share:.0f} % of the ECG is there in the last {VIEW_S:.0f} s"
            return self._unjudged(alarm, why if facts.pulses else f"{why}, and no pulse to rely on")
        answer = self._model.answer(kind, names, row)
        words = reasons_in_words(self._model.reasons_of(kind, names, row), facts, answer.true)
        return self._verdict(alarm, answer, words, _seen(found))

    def _verdict(
        self, alarm: DeviceAlarm, answer: verdict.Answer | None, reasons: list[str], detail: str
    ) -> Verdict:
        kind = KIND_OF.get(alarm.kind)
        return Verdict(
            id=alarm.id,
            bed=alarm.bed,
            device=alarm.device,
            kind=alarm.kind,
            time_ns=alarm.time_ns,
            stands=None if answer is None else answer.true,
            probability=None if answer is None else answer.probability,
            threshold=None if answer is None or kind is None else self._model.spec.kinds[kind].threshold,
            reasons=reasons,
            detail=detail,
            model=self._model.spec.name,
            emitted_ns=time.time_ns(),
        )

    def _unjudged(self, alarm: DeviceAlarm, why: str) -> Verdict:
        return self._verdict(alarm, None, [], UNJUDGED + why)

    def _answer(self, record: RawRecord, said: Verdict) -> None:
        self._outputs.send_verdict(said)
        words = {True: "stands", False: "probably false", None: said.detail}[said.stands]
        self.stats.counts["unjudged" if said.stands is None else "verdicts"] += 1
        took_ms = said.emitted_ns / 1e6 - record.timestamp
        self.stats.latencies_ms.append(took_ms)
        self.stats.stages.note(VERDICT_OUT, took_ms)
        at = {"bed": said.bed, "topic": record.topic, "partition": record.partition, "offset": record.offset}
        logger.info("bed %s, %s at %d: %s", said.bed, said.kind, said.time_ns, words, extra=at)

    def _refuse(self, letter: DeadLetter) -> None:
        self._outputs.send_dead_letter(letter)
        self.stats.counts["dead_letters"] += 1
        self.stats.dead_letters[letter.reason] += 1
        where = f"{letter.topic}/{letter.partition}@{letter.offset}"
        at = of_record(letter.topic, letter.partition, letter.offset, letter.key_base64)
        logger.warning("%s refused: %s: %s", where, letter.reason, letter.detail, extra=at)

    def _unreadable(self, part: TopicPartition, offset: int) -> None:
        self._next[part.partition] = offset + 1
        self._refuse(unreadable(part, offset))

    def _commit(self) -> None:
        """Flush what was said, then commit what it answers."""
        done = dict(self._next)
        for case in self._cases:
            number = case.record.partition
            done[number] = min(done[number], case.record.offset)
        new = {number: offset for number, offset in done.items() if offset != self._committed.get(number)}
        if not new:
            return
        topic = self._settings.topics.device_alarms
        offsets = {TopicPartition(topic, n): OffsetAndMetadata(offset, "", -1) for n, offset in new.items()}
        try:
            self._outputs.flush()
            self._consumer.commit(offsets, timeout_ms=self._patience.commit_ms())
            self._committed.update(new)
        except KafkaError as error:
            # The broker is away, or the partitions are another judge's: it goes on from the commit before.
            self.stats.counts["commits_refused"] += 1
            if not self._patience.ending:
                logger.warning("offsets not committed: %s", error)

    def _write_stats(self) -> None:
        now_s = time.monotonic()
        if self._stats_path is None or now_s < self._stats_due_s:
            return
        self._stats_due_s = now_s + STATS_S
        try:
            self.stats.write(self._stats_path)
        except OSError as error:
            logger.warning("statistics not written: %s", error)

    def close(self) -> None:
        """Leave the group; nothing is committed here."""
        self._past.close()
        self._patience.close(self._producer, self._consumer)
        self._stats_due_s = -math.inf
        self._write_stats()
        self._status.close()


def _seen(found: BedViews) -> str:
    """What a verdict rests on."""
    pulses = f", pulse {', '.join(found.pulses)}" if found.pulses else ", no pulse channel"
    return f"looked at ECG {', '.join(found.leads)}{pulses}, up to the alarm only"
