"""What the frozen view of a bed sends to the browser, and what the browser asks for."""

from __future__ import annotations

from typing import Literal

import msgspec

from dashboard.review_filters import FilterName


class StillHeader(msgspec.Struct, frozen=True, rename="camel"):
    """One signal. ``knots`` are (index, s since 1970); ``lead_off`` are (channel, from, to) in the same s."""

    kind: str
    device: str
    unit: str
    fs: float
    count: int
    scale: float
    channels: tuple[str, ...]
    knots: list[tuple[float, float]]
    lead_off: list[tuple[int, float, float]]


class AlarmMark(msgspec.Struct, frozen=True, rename="camel"):
    """The onset of an alarm."""

    onset_s: float
    priority: str
    text: str


class ExplanationMark(msgspec.Struct, frozen=True, rename="camel"):
    """Where the network looked; ``attention`` as a share of its largest weight."""

    channel: str
    label: str
    text: str
    start_s: float
    end_s: float
    times_s: list[float]
    attention: list[float]
    cam: list[float]


class ReviewHeader(msgspec.Struct, frozen=True, rename="camel"):
    """One payload; without traces the browser keeps those that it has.

    ``pending``: the explanation is being worked out, and the browser asks again.
    """

    view: str
    seq: int
    frozen_s: float
    said: str
    problem: str | None
    pending: bool
    explanation: ExplanationMark | None
    beats: list[tuple[float, str]]
    alarms: list[AlarmMark]
    traces: list[StillHeader]


class Ask(msgspec.Struct, frozen=True, rename="camel"):
    """What the browser asks for."""

    do: Literal["filter", "explain", "refresh", "resend"]
    filter: FilterName = "raw"
    notch: Literal[0, 50, 60] = 0
    time_s: float = 0.0
    lead: str | None = None
    label: str | None = None
