"""The whole score as one document: what text, JSON and HTML show, computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from inference.score import RecordScore
from inference.score_device import DeviceCounts, counts_by_kind
from inference.score_notes import NOTES
from inference.score_sides import ordered
from inference.score_stats import DAY_S, KindScore, Rate, false_rate, kinds, rate
from inference.types import Priority

SCHEMA: Final = "score_alarms/1"


@dataclass(frozen=True, slots=True)
class Summary:
    """Some records together. The rates of raised alarms are over all their time, that of false ones not."""

    title: str
    records: int
    bed_days: float
    kinds: tuple[KindScore, ...]
    false_high: Rate
    raised: dict[Priority, Rate]


@dataclass(frozen=True, slots=True)
class DeviceSummary:
    """One way to judge the alarms of bedside devices."""

    title: str
    counts: tuple[DeviceCounts, ...]
    in_fit: int
    unjudged: int


@dataclass(frozen=True, slots=True)
class Document:
    """Everything that a report shows."""

    schema: Literal["score_alarms/1"]
    made: str
    command: str
    models: tuple[str, ...]
    overload: str
    notes: tuple[str, ...]
    summaries: tuple[Summary, ...]
    devices: tuple[DeviceSummary, ...]
    records: tuple[RecordScore, ...]


def build(
    scores: Sequence[RecordScore], *, made: str, command: str, models: Sequence[str], overload: str = "queue"
) -> Document:
    """Summarise scores by side, over all, by folder, and over the records without an episode.

    Parameters
    ----------
    made : str
        When, ISO 8601.
    command : str
        That makes it again.
    models : sequence of str
        Names and hashes.
    """
    sides = ordered(score.side for score in scores)
    groups = [(side, [score for score in scores if score.side == side]) for side in sides]
    if len(groups) > 1:
        groups.append(("all", list(scores)))
    unseen = [score for score in scores if score.side in ("test", "not named")]
    if unseen and len(unseen) < len(scores):
        groups.append(("no scored model trained on them or was chosen by them", unseen))
    sets = list(dict.fromkeys(_set_of(score) for score in scores))
    if len(sets) > 1:
        groups += [(name, [score for score in scores if _set_of(score) == name]) for name in sets]
    free = [score for score in scores if score.event_free]
    if free:
        groups.append(("beats annotated, no episode", free))
    return Document(
        SCHEMA,
        made,
        command,
        tuple(models),
        overload,
        NOTES,
        tuple(summarise(title, members) for title, members in groups),
        devices(scores),
        tuple(scores),
    )


def _set_of(score: RecordScore) -> str:
    return score.record.split("/")[0]


def summarise(title: str, scores: Sequence[RecordScore]) -> Summary:
    """Put records together."""
    seconds = sum(score.length_s for score in scores)
    return Summary(
        title,
        len(scores),
        seconds / DAY_S,
        tuple(kinds(scores)),
        false_rate(scores),
        {
            priority: rate(sum(score.burden.get(priority, 0) for score in scores), seconds)
            for priority in Priority
        },
    )


def devices(scores: Sequence[RecordScore]) -> tuple[DeviceSummary, ...]:
    """CinC 2015 by the monitor's own alarms, and by the verdict where it was asked for.

    An alarm without a verdict sounds: it counts as called true.
    """
    found = []
    own = [
        (device.name, score.raised, device.true)
        for score in scores
        if (device := score.reference.device) is not None and score.raised is not None
    ]
    if own:
        found.append(DeviceSummary("the monitor raises it, too", counts_by_kind(own), 0, 0))
    judged = [
        (device, ruling)
        for score in scores
        if (device := score.reference.device) is not None and (ruling := score.ruling) is not None
    ]
    if judged:
        called = [(device.name, ruling.stands is not False, device.true) for device, ruling in judged]
        found.append(
            DeviceSummary(
                "the verdict lets it stand",
                counts_by_kind(called),
                sum(ruling.in_fit for _, ruling in judged),
                sum(ruling.stands is None for _, ruling in judged),
            )
        )
    return tuple(found)


def to_json(document: Document) -> bytes:
    """JSON of a document, indented."""
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def from_json(text: bytes) -> Document:
    """Read what :func:`to_json` wrote.

    Raises
    ------
    msgspec.ValidationError
        It is something else.
    """
    return msgspec.json.decode(text, type=Document)
