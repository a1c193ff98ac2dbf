"""The JSON header of a feed to the browser (see :mod:`dashboard.payload`)."""

from __future__ import annotations

import msgspec

from dashboard.summary import Level


class TraceHeader(msgspec.Struct, frozen=True, rename="camel"):
    """Where the samples of one signal lie and what they are."""

    kind: str
    device: str
    unit: str
    fs: float
    epoch: int
    first: int
    count: int
    head_s: float
    age: float
    channels: list[str]
    lead_off: list[bool]
    scale: float


class AlarmHeader(msgspec.Struct, frozen=True, rename="camel"):
    """One current alarm; ``note`` says what its state is where it is more than active."""

    priority: str
    state: str
    text: str
    note: str


class BedHeader(msgspec.Struct, frozen=True, rename="camel"):
    """One bed; ``alarms`` are the gravest of its ``alarm_count``.

    ``large`` names the number across the room: ``HR``, ``HR sound`` or ``RR``; ``number_age`` is its age.
    ``undrawn`` says which channels there was no room for.
    """

    bed: str
    age: float | None
    large: str
    heart_rate: float | None
    number_age: float | None
    ventricular: float | None
    respiratory_rate: float | None
    heard: list[str]
    quality: float | None
    unanalysed: float | None
    unanalysed_of: str
    standby: bool
    standby_by: str | None
    paused: float | None
    paused_by: str | None
    off: int
    alarms: list[AlarmHeader]
    alarm_count: int
    traces: list[TraceHeader]
    undrawn: str


class UrgentHeader(msgspec.Struct, frozen=True, rename="camel"):
    """The gravest alarm of the ward."""

    bed: str
    priority: str
    text: str


class SoundHeader(msgspec.Struct, frozen=True):
    """An alarm that sounds."""

    id: str
    level: Level


class FeedHeader(msgspec.Struct, frozen=True, rename="camel"):
    """One feed; head line and sounds are those of the whole ward, also on the page of one bed.

    ``sent`` is this machine's time of day in seconds; the browser tells by it what waited on its way.
    """

    view: str
    seq: int
    sent: float
    connected: bool
    silent: float
    counts: str
    urgent: UrgentHeader | None
    no_worker: float | None
    no_analysis: float | None
    sounds: list[SoundHeader]
    wards: list[str]
    beds: list[BedHeader]
