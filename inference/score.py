"""Alarms against reference episodes, record by record: what answered, what was false, how many there were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inference.beat_classes import BeatPredictor
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
from inference.score_run import START_NS, bed_of, play
from inference.types import Alarm, Priority
from ingest.settings import IngestSettings
from models.spec import ModelSpec

SIDES: Final = ("train", "validation", "left_out", "test", "not named")
"""Sides of a split, from the one that says least of unseen patients to the one that says most."""


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
        High-priority alarms that no episode explains, of kinds that the record's labels do not tell of.
    burden : dict of Priority to int
        Alarms raised.
    raised : bool or None
        Of a CinC 2015 record: whether the monitor had an answering alarm active in the 10 s before the
        device's.
    """

    record: str
    side: str
    reference: Reference
    answers: tuple[Answer, ...]
    false: tuple[Heard, ...]
    unlabelled: tuple[Heard, ...]
    burden: dict[Priority, int]
    raised: bool | None

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
) -> list[RecordScore]:
    """Play records side by side and grade their alarms."""
    references = {bed_of(record): read_reference(record) for record in records}
    alarms = play(records, predictor, beats, settings)
    cards = [predictor.spec] if beats is None else [predictor.spec, beats.spec]
    return [grade(bed, side_of(cards, bed), references[bed], alarms[bed]) for bed in references]


def grade(record: str, side: str, reference: Reference, alarms: Sequence[Alarm]) -> RecordScore:
    """Hold one record's alarms against its reference."""
    raised = heard(alarms, START_NS)
    stray = [
        alarm
        for alarm in raised
        if alarm.priority is Priority.HIGH and not explained(alarm, reference.episodes)
    ]
    false = [alarm for alarm in stray if alarm.kind in reference.scored or _wrong(alarm, reference.device)]
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
        alarm.kind in ANSWERS[device.kind]
        and alarm.raised_s <= ALARM_S
        and alarm.ended_s >= ALARM_S - BEFORE_ALARM_S
        for alarm in raised
    )


def side_of(cards: Sequence[ModelSpec], record: str) -> str:
    """Side of the models' splits on which a record is: of several, the one that says least of the unseen."""
    sides = [_side(card, record) for card in cards]
    return min(sides, key=lambda side: SIDES.index(side) if side in SIDES else len(SIDES))


def _side(card: ModelSpec, record: str) -> str:
    whole_set = record.split("/")[0]
    # A card names records one by one, or says of a whole set where its other records are.
    for named in (record, whole_set):
        for side, names in card.split.items():
            if any(name == named or name.startswith(f"{named}:") for name in names):
                return side
    return "not named"
