"""Alarms against reference episodes, record by record: what answered, what was false, how many there were."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.beat_predictor import BeatPredictor
from inference.episodes import ANSWERS, TOLERANCE_S, Answer, Heard, answer, explained, heard
from inference.predictor import Predictor
from inference.reference import (
    ALARM_S,
    BEFORE_ALARM_S,
    DeviceLabel,
    Labels,
    Reference,
    read_reference,
)
from inference.score_device import Judge, Ruling, rule
from inference.score_run import START_NS, bed_of, play
from inference.score_sides import side_of
from inference.types import Alarm, Priority
from ingest.settings import IngestSettings


@dataclass(frozen=True, slots=True)
class RecordScore:
    """One record.

    Parameters
    ----------
    record, side : str
        Its name, and on which side of the models' splits it is ("train" where any of them trained on it).
    reference : Reference
        What it is labelled with.
    answers : tuple of Answer
        One for each reference episode.
    false : tuple of Heard
        High-priority alarms of scored kinds that no episode explains.
    unlabelled : tuple of Heard
        High-priority alarms that no episode explains, of kinds that the record's labels do not tell of, or
        at a mark under 4 s.
    burden : dict of Priority to int
        Alarms raised.
    raised : bool or None
        Of a CinC 2015 record: whether the monitor had an answering alarm active in the 10 s before the
        device's.
    ruling : Ruling or None
        Of a CinC 2015 record: what the verdict on the device's alarm was, where it was asked for.
    """

    record: str
    side: str
    reference: Reference
    answers: tuple[Answer, ...]
    false: tuple[Heard, ...]
    unlabelled: tuple[Heard, ...]
    burden: dict[Priority, int]
    raised: bool | None
    ruling: Ruling | None = None

    @property
    def length_s(self) -> float:
        """Length of the record."""
        return self.reference.length_s

    @property
    def event_free(self) -> bool:
        """Whether its beats are annotated and meet no definition."""
        return self.reference.labels is Labels.BEATS and not self.answers


def score_records(
    records: Sequence[Path],
    predictor: Predictor,
    settings: IngestSettings,
    beats: BeatPredictor | None = None,
    judge: Judge | None = None,
) -> list[RecordScore]:
    """Play records side by side and grade their alarms; ``judge`` rules on those of bedside devices."""
    references = {bed_of(record): read_reference(record) for record in records}
    alarms = play(records, predictor, beats, settings)
    splits = [network.spec.split for network in (predictor, beats) if network is not None]
    scores = [grade(bed, side_of(splits, bed), references[bed], alarms[bed]) for bed in references]
    if judge is None:
        return scores
    return [
        dataclasses.replace(score, ruling=rule(judge, record, score.record, score.reference.device))
        for record, score in zip(records, scores, strict=True)
    ]


def grade(record: str, side: str, reference: Reference, alarms: Sequence[Alarm]) -> RecordScore:
    """Hold one record's alarms against its reference."""
    raised = heard(alarms, START_NS)
    stray = [
        alarm
        for alarm in raised
        if alarm.priority is Priority.HIGH and not explained(alarm, reference.episodes)
    ]
    false = [
        alarm
        for alarm in stray
        if (alarm.kind in reference.scored and not explained(alarm, reference.short))
        or _wrong(alarm, reference.device)
    ]
    return RecordScore(
        record,
        side,
        reference,
        tuple(answer(reference.episodes, raised)),
        tuple(false),
        tuple(alarm for alarm in stray if alarm not in false),
        {priority: sum(alarm.priority is priority for alarm in raised) for priority in Priority},
        None if reference.device is None else _raised_before(raised, reference.device),
    )


def _wrong(alarm: Heard, device: DeviceLabel | None) -> bool:
    """Whether an alarm was raised where clinicians found the device's alarm of that kind false."""
    return (
        device is not None
        and not device.true
        and alarm.kind in ANSWERS[device.kind]
        and ALARM_S - BEFORE_ALARM_S <= alarm.raised_s <= ALARM_S + TOLERANCE_S
    )


def _raised_before(raised: Sequence[Heard], device: DeviceLabel) -> bool:
    """Whether an alarm that answers the device's was active in the 10 s before it."""
    return any(
        alarm.kind in ANSWERS[device.kind] and alarm.active(ALARM_S - BEFORE_ALARM_S, ALARM_S)
        for alarm in raised
    )
