"""What the page of an EEG is sent as JSON before its samples, and what it asks for."""

from __future__ import annotations

from typing import Literal

import msgspec

from dashboard.eeg_history import Episode, Minutes
from dashboard.eeg_layout import MontageRows
from dashboard.eeg_marks import Said
from dashboard.eeg_seconds import Sign


class Ask(msgspec.Struct, frozen=True):
    """What the browser asks for.

    All but samples anew, the samples before index ``until`` of an epoch, or what spoke for a seizure at a
    device time (s), until it is to be forgotten.
    """

    do: Literal["whole", "past", "explain", "forget"]
    epoch: int = 0
    until: int = 0
    time_s: float = 0.0
    number: int = 0


class Looked(msgspec.Struct, frozen=True, rename="camel"):
    """What spoke for a seizure in the second from ``at_s`` on: 0 to 1 by derivation and second."""

    start_s: float
    at_s: float
    derivations: list[str]
    cam: list[list[float]]
    probability: float
    model: str


class Samples(msgspec.Struct, frozen=True):
    """Samples ``[first, first + count)``; µV are ``digital * scale + offset``, channel by channel."""

    first: int
    count: int
    scale: list[float]
    offset: list[float]


class Stream(msgspec.Struct, frozen=True, rename="camel"):
    """The EEG. ``head_s`` is the device time after the newest sample, ``off`` (channel, from, to) in s."""

    epoch: int
    fs: float
    source_hz: float
    device: str
    channels: list[str]
    head_s: float
    age: float
    held_from: int
    off: list[tuple[int, float, float]]
    newest: Samples
    past: Samples | None


class Spectrum(msgspec.Struct, frozen=True):
    """Columns ``[first, first + count)`` of spectra, each sides x bins bytes."""

    epoch: int
    first: int
    count: int


class Trends(msgspec.Struct, frozen=True):
    """Seconds ``[first, first + count)``: float64 times (s), then float32 values, second after second."""

    epoch: int
    first: int
    count: int
    names: tuple[str, ...]
    signs: list[Sign]


class EegFeed(msgspec.Struct, frozen=True):
    """Header of a feed; ``layout``, ``alarms`` come where they changed; ``whole``: all but past samples."""

    view: str
    seq: int
    whole: bool
    stream: Stream | None
    layout: list[MontageRows] | None
    spectrum: Spectrum | None
    trends: Trends | None
    marks: Said | None
    looked: Looked | None = None
    explanation: str = ""
    minutes: Minutes | None = None
    alarms: list[Episode] | None = None
