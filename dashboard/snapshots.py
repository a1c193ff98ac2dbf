"""What the dashboard shows, as it was at one moment: frozen, safe to hand between threads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from inference.types import Alarm, Beat, Bed, Prediction
from ingest.types import FloatArray, IntArray, SignalKind, WideFloatArray

LIVE_S: Final = 5.0
"""Raw chunks newer than this: the signal comes."""
WATCHED: Final = (SignalKind.ECG, SignalKind.EEG, SignalKind.LUNG_SOUND, SignalKind.HEART_SOUND)
"""Signals of which a worker tells numbers each second."""

_BESIDE: Final = (SignalKind.LUNG_SOUND.value, SignalKind.HEART_SOUND.value, SignalKind.EEG.value)
"""Signals whose numbers stand beside them, not large."""


@dataclass(frozen=True, slots=True)
class StreamSnapshot:
    """One signal of one bed, without its samples.

    ``epoch`` changes whenever the trace starts anew (other device, other layout, a long gap). Sample indices
    count display samples since then; ``head_index`` is the one after the newest, ``head_ns`` its device time.
    ``age_s`` is the time since the newest sample was received.
    """

    bed: str
    kind: SignalKind
    device: str
    channels: tuple[str, ...]
    unit: str
    source_hz: float
    fs_hz: float
    epoch: int
    first_index: int
    head_index: int
    head_ns: int
    age_s: float
    lead_off: tuple[bool, ...] | None


@dataclass(frozen=True, slots=True)
class TraceWindow:
    """Samples ``[first_index, stream.head_index)`` of a stream, ``(n_samples, n_channels)``, NaN: missing."""

    stream: StreamSnapshot
    first_index: int
    samples: FloatArray


@dataclass(frozen=True, slots=True)
class LeadOff:
    """A span of device time in which the device said that a lead was off."""

    channel: int
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class TraceHistory:
    """All that is held of a trace.

    ``knots`` are (sample index, device time in ns), in order: time is linear in the index between two of
    them and by the rate after the last. The newest sample ends at ``window.stream.head_ns``.
    """

    window: TraceWindow
    knots: tuple[tuple[float, int], ...]
    lead_off: tuple[LeadOff, ...]


@dataclass(frozen=True, slots=True)
class BedHistory:
    """What a bed's page scrolls back through: traces, and beats and alarms of the same time.

    ``newest`` is the newest prediction on the ECG, ``None`` where there is none.
    """

    bed: str
    traces: tuple[TraceHistory, ...]
    beats: tuple[Beat, ...]
    alarms: tuple[Alarm, ...]
    newest: Prediction | None


@dataclass(frozen=True, slots=True)
class VitalHistory:
    """Numbers of one signal over the last hour, oldest first; NaN where there was no valid number.

    Shapes (n,): ``times_ns`` device time, rates per minute, ``quality`` 0 to 1. ``heard``: 1 where a network
    judged a piece of sound and heard that, 0 where it judged one and did not.
    """

    signal: str
    times_ns: IntArray
    heart_rate_bpm: WideFloatArray
    ventricular_per_min: WideFloatArray
    quality: WideFloatArray
    respiratory_rate_bpm: WideFloatArray
    heard: Mapping[str, WideFloatArray]


@dataclass(frozen=True, slots=True)
class VitalSnapshot:
    """The numbers beside a trace; a rate is ``None`` where there is no valid number."""

    signal: str
    heart_rate_bpm: float | None
    ventricular_per_min: float | None
    quality: float
    usable: bool
    age_s: float
    respiratory_rate_bpm: float | None = None

    @property
    def rate_per_min(self) -> float | None:
        """Breaths of lung sounds, else beats, a minute; ``None`` where there is no valid number."""
        lungs = self.signal == SignalKind.LUNG_SOUND.value
        shown = self.respiratory_rate_bpm if lungs else self.heart_rate_bpm
        return shown if self.usable else None


@dataclass(frozen=True, slots=True)
class FindingSnapshot:
    """What a model says of the newest window: its likeliest class and that class's probability."""

    signal: str
    model: str
    label: str
    probability: float
    quality: float
    age_s: float


@dataclass(frozen=True, slots=True)
class BedSnapshot:
    """One bed. ``age_s`` is that of its newest data of any kind, ``None`` if none was ever received.

    ``unanalysed`` says for how long signals have come without vital signs (s), by signal; none of those that
    are analysed or do not come. ``status`` is how workers say that it is set, ``None`` while they have
    not. ``heard`` names what networks have lately heard in its sounds that is not normal.
    """

    bed: str
    age_s: float | None
    streams: tuple[StreamSnapshot, ...]
    vitals: tuple[VitalSnapshot, ...]
    findings: tuple[FindingSnapshot, ...]
    alarms: tuple[Alarm, ...]
    unanalysed: Mapping[str, float] = field(default_factory=dict)
    status: Bed | None = None
    heard: tuple[str, ...] = ()

    @property
    def standby(self) -> bool:
        """Whether staff put the bed in standby."""
        return self.status is not None and self.status.standby

    @property
    def unanalysed_s(self) -> float | None:
        """The longest that a signal has come without vital signs; ``None`` where all are analysed."""
        return max(self.unanalysed.values(), default=None)

    @property
    def unanalysed_signals(self) -> tuple[str, ...]:
        """Signals that are not analysed, where others of the bed are; none where that is all that comes."""
        others = any(kind not in self.unanalysed for kind in self.live_watched)
        return tuple(self.unanalysed) if others else ()

    @property
    def live_watched(self) -> tuple[SignalKind, ...]:
        """Signals that come now and of which a worker tells numbers each second."""
        return tuple(one.kind for one in self.streams if one.kind in WATCHED and one.age_s < LIVE_S)

    @property
    def vital(self) -> VitalSnapshot | None:
        """The vital signs to show large: the freshest, not those of a sound where the bed has others."""
        large = (vital for vital in self.vitals if vital.signal not in _BESIDE)
        found = min(large, key=lambda vital: vital.age_s, default=None)
        kind = self.sound_only
        return found or next(
            (vital for vital in self.vitals if kind is not None and vital.signal == kind), None
        )

    @property
    def sound_only(self) -> SignalKind | None:
        """Whose rate stands large at a bed without ECG: its heart sounds', else its lung sounds'.

        Beside an ECG a sound's rate would come and go in the place of the ECG's.
        """
        kinds = {stream.kind for stream in self.streams}
        if SignalKind.ECG in kinds:
            return None
        return next((kind for kind in (SignalKind.HEART_SOUND, SignalKind.LUNG_SOUND) if kind in kinds), None)

    def sound_rate(self, kind: SignalKind) -> float | None:
        """Breaths or beats a minute as heard now: a rate never stands beside what it does not tell of."""
        shown = next((vital for vital in self.vitals if vital.signal == kind.value), None)
        return None if shown is None or shown.age_s > LIVE_S else shown.rate_per_min


@dataclass(frozen=True, slots=True)
class WardSnapshot:
    """All beds. ``silent_s`` is the time since the broker last answered.

    ``unseen_beds`` and ``unseen_alarms`` count what there was no room for. ``no_worker_s`` says for how long
    no worker has said anything, ``None`` while one does or nothing is known.
    """

    connected: bool
    silent_s: float
    problem: str | None
    beds: tuple[BedSnapshot, ...]
    alarms: tuple[Alarm, ...]
    unseen_beds: int = 0
    unseen_alarms: int = 0
    no_worker_s: float | None = None

    def bed(self, name: str) -> BedSnapshot | None:
        """Return the bed of that name, or ``None``."""
        return next((bed for bed in self.beds if bed.bed == name), None)
