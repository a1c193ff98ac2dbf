"""What the worker publishes. JSON on the wire (msgspec), published schemas in ``ingest/schemas``.

Predictions and vitals of many beds share a record; an alarm is a record of its own. Readers keep, for one id,
the item with the highest ``(raw_offset, revision)``.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Priority(StrEnum):
    """Alarm priorities (docs/alarms.md)."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    TECHNICAL = "technical"


class AlarmState(StrEnum):
    """Where an alarm is in its life."""

    ACTIVE = "active"
    ACKNOWLEDGED = "acknowledged"
    LATCHED = "latched"
    ENDED = "ended"


class Beat(msgspec.Struct, frozen=True):
    """One heart beat: device time of its R peak, AAMI class (N, S, V, F) and probability."""

    time_ns: int
    label: str
    probability: float


class Prediction(msgspec.Struct, frozen=True):
    """What the network says of one window of one bed."""

    id: str
    bed: str
    signal: str
    model: str
    channel: str
    start_ns: int
    end_ns: int
    probabilities: dict[str, float]
    beats: list[Beat]
    quality: float
    raw_offset: int
    revision: int


class PredictionBatch(msgspec.Struct, frozen=True, tag_field="schema", tag="predictions/1"):
    """Predictions of many beds of one partition."""

    items: list[Prediction]


class Vital(msgspec.Struct, frozen=True):
    """The numbers beside a trace. ``None`` where there is no valid number."""

    id: str
    bed: str
    signal: str
    time_ns: int
    heart_rate_bpm: float | None
    ventricular_per_min: float | None
    quality: float
    usable: bool
    raw_offset: int
    revision: int


class VitalBatch(msgspec.Struct, frozen=True, tag_field="schema", tag="vitals/1"):
    """Vitals of many beds of one partition."""

    items: list[Vital]


class Delay(msgspec.Struct, frozen=True):
    """The three parts of an alarm's delay in seconds (docs/alarms.md)."""

    measurement_s: float
    configured_s: float
    system_s: float


class Alarm(msgspec.Struct, frozen=True, tag_field="schema", tag="alarm/1"):
    """One step in the life of one alarm.

    ``onset_ns`` is the device time at which the episode began, ``raised_ns`` the device time of the data that
    raised it, ``emitted_ns`` the worker's clock when this record was made, ``ended_ns`` the device time at
    which the condition ended.
    """

    id: str
    bed: str
    signal: str
    kind: str
    priority: Priority
    state: AlarmState
    message: str
    onset_ns: int
    raised_ns: int
    emitted_ns: int
    ended_ns: int | None
    value: float | None
    limit: float | None
    unit: str | None
    delay: Delay
    raw_offset: int
    revision: int


class DeadLetter(msgspec.Struct, frozen=True, tag_field="schema", tag="dead_letter/1"):
    """A record that could not be used, with the reason and the original bytes (base64)."""

    reason: str
    detail: str
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key_base64: str | None
    headers: dict[str, str]
    value_base64: str
