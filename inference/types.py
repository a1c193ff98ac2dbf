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


class SoundEvent(msgspec.Struct, frozen=True):
    """Something heard or seen: crackle, wheeze, S1, S2, seizure; device times and mean probability."""

    label: str
    start_ns: int
    end_ns: int
    probability: float


class Prediction(msgspec.Struct, frozen=True):
    """What the network says of one window of one bed.

    ``events`` are what was heard in it, sounds alone. One that goes on into the next window stands in both,
    each time as far as it lies in that window. A seizure in an EEG stands in each of its seconds; in that
    which raised it, from where it began.
    """

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
    events: list[SoundEvent] = []


class PredictionBatch(msgspec.Struct, frozen=True, tag_field="schema", tag="predictions/1"):
    """Predictions of many beds."""

    items: list[Prediction]


class EegSide(msgspec.Struct, frozen=True):
    """Trends of one side of the head, or of the whole (docs/eeg.md); ``None`` where too little is trusted.

    aEEG margins are peak-to-peak; ``edge_hz`` is the 95 % spectral edge; powers are of the bands delta (0.5
    to 4 Hz), theta (to 8), alpha (to 13), beta (to 30); ``suppression`` is the burst-suppression ratio of
    the last 60 s, 0 to 1.
    """

    aeeg_low_uv: float | None
    aeeg_high_uv: float | None
    edge_hz: float | None
    delta_uv2: float | None
    theta_uv2: float | None
    alpha_uv2: float | None
    beta_uv2: float | None
    alpha_delta: float | None
    suppression: float | None


class EegTrends(msgspec.Struct, frozen=True):
    """What an EEG has become over the last seconds, and what is wrong with its electrodes.

    ``asymmetry`` is from -1 (all power left) to 1 (all right), ``symmetry_index`` from 0 (alike) to 1.
    ``electrodes`` names the signs of each channel that has some: off, missing, flat, saturated, pop, muscle,
    mains. ``derivations`` are those that the channels give, ``trusted`` how many of them count now.
    """

    left: EegSide
    right: EegSide
    whole: EegSide
    asymmetry: float | None
    symmetry_index: float | None
    derivations: int
    trusted: int
    electrodes: dict[str, list[str]] = {}


class Vital(msgspec.Struct, frozen=True):
    """The numbers beside a trace. ``None`` where there is no valid number.

    ``respiratory_rate_bpm`` is that of lung sounds, breaths a minute. ``heard`` is there in seconds with
    which a network judged a piece of sound that can be trusted: which of its classes reached their threshold.
    ``eeg`` is there for an EEG.
    """

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
    respiratory_rate_bpm: float | None = None
    heard: dict[str, bool] | None = None
    eeg: EegTrends | None = None


class VitalBatch(msgspec.Struct, frozen=True, tag_field="schema", tag="vitals/1"):
    """Vitals of many beds."""

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
    which the condition ended (set while latched, too). ``acknowledged_ns`` is the broker's time of the
    command, ``audio_paused_until_ns`` and ``escalated_ns`` are wall-clock times. ``reasons`` says in words
    what spoke for or against it, or why it ended other than by its condition ("discharged").
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
    latching: bool = False
    acknowledged_by: str | None = None
    acknowledged_ns: int | None = None
    audio_paused_until_ns: int | None = None
    escalated_ns: int | None = None
    reasons: list[str] = []


class CommandOutcome(StrEnum):
    """What became of a command."""

    APPLIED = "applied"
    REFUSED = "refused"


class AuditChange(msgspec.Struct, frozen=True):
    """One thing that a command changed, in words that staff know ("ecg/hr_high limit", "120", "130")."""

    name: str
    before: str | None
    after: str | None


class Audit(msgspec.Struct, frozen=True, tag_field="schema", tag="audit/1"):
    """The answer to one command, which is also the line of the audit trail.

    ``id`` is the command's; a command to a ward is answered by each partition. ``detail`` says why it was
    refused (field, value, way out) or what was done. ``applied_ns`` is the broker's time of the command.
    """

    id: str
    partition: int
    bed: str | None
    ward: str | None
    user: str
    action: str
    issued_ns: int
    applied_ns: int
    outcome: CommandOutcome
    detail: str
    changes: list[AuditChange]


class Setting(msgspec.Struct, frozen=True):
    """What one alarm of a bed is set to now; ``source`` is default, profile, site, ward or bed.

    ``beats`` is how many make it, where that can be set.
    """

    signal: str
    kind: str
    enabled: bool
    priority: Priority
    limit: float | None
    unit: str | None
    least: float | None
    most: float | None
    on_delay_s: float
    off_delay_s: float
    source: str
    beats: float | None = None


class Bed(msgspec.Struct, frozen=True, tag_field="schema", tag="bed/1"):
    """How a bed is set, on each change and at least once a minute. ``stay`` is a pseudonym, never a name.

    ``discharged_ns`` is set while the bed stands empty after a patient has gone.

    ``audio_paused_up_to`` is the gravest priority that the pause silences: graver new alarms sound.
    """

    bed: str
    ward: str
    stay: str | None
    admitted: bool
    admitted_ns: int | None
    profile: str
    standby: bool
    standby_by: str | None
    audio_paused_until_ns: int | None
    audio_paused_by: str | None
    audio_paused_up_to: Priority | None
    settings: list[Setting]
    revision: int
    emitted_ns: int
    discharged_ns: int | None = None


class DeviceAlarm(msgspec.Struct, frozen=True):
    """An alarm that a bedside device raised itself, as it publishes it (``biosignals.device_alarms``, JSON).

    ``kind`` is asystole, extreme_bradycardia, extreme_tachycardia, vt or vf. ``time_ns`` is the device time
    at which it sounded.
    """

    version: int
    id: str
    bed: str
    device: str
    kind: str
    time_ns: int
    message: str | None = None


class Verdict(msgspec.Struct, frozen=True, tag_field="schema", tag="verdict/1"):
    """Whether a device's own alarm stands; ``stands`` is ``None`` where it could not be judged."""

    id: str
    bed: str
    device: str
    kind: str
    time_ns: int
    stands: bool | None
    probability: float | None
    threshold: float | None
    reasons: list[str]
    detail: str
    model: str
    emitted_ns: int


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


class Lag(msgspec.Struct, frozen=True):
    """How far behind the end of a partition a process reads.

    ``seconds`` is the age of the newest record read, 0 where all is read, ``None`` where nothing was yet.
    """

    partition: int
    records: int
    seconds: float | None


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds of one stage in the last half minute: median, 99th percentile, number of values."""

    p50_ms: float
    p99_ms: float
    n: int


class ClockAhead(msgspec.Struct, frozen=True):
    """How far a device's clock is ahead of the broker's (s, negative: behind), over the last minute."""

    bed: str
    signal: str
    ahead_s: float


class LoadedModel(msgspec.Struct, frozen=True):
    """A network in use, and the SHA-256 of its weights."""

    name: str
    sha256: str


class DataAge(msgspec.Struct, frozen=True):
    """Seconds since the newest chunk of a bed's signal was read.

    ``at_least``: another worker read it, and this one, which took the bed over, knows no more than that it
    has been silent for so long.
    """

    bed: str
    signal: str
    age_s: float
    at_least: bool = False


class WorkerStatus(msgspec.Struct, frozen=True, tag_field="schema", tag="worker_status/1"):
    """What a process says of itself every two seconds (docs/system.md), keyed by ``member``.

    ``state`` is running or, in the last record of one that leaves, stopped. ``role`` is infer, record or
    judge. ``partitions`` are those held of ``n_partitions``. ``counts`` and ``dead_letters`` (by reason)
    count since the start, ``rates`` are per second over the last ten. ``oldest`` are the signals that sent
    nothing for longest, the 20 worst; ``n_silent`` counts all that sent nothing for over 10 s.
    ``fallen_back`` has the networks that compute on the CPU because their GPU failed, and its fault in words.
    """

    member: str
    role: str
    state: str
    host: str
    pid: int
    started_ns: int
    emitted_ns: int
    version: str
    code_commit: str
    libraries: dict[str, str]
    group: str
    partitions: list[int]
    n_partitions: int
    beds: int
    lag: list[Lag]
    rates: dict[str, float]
    latencies: dict[str, Latency]
    counts: dict[str, int]
    dead_letters: dict[str, int]
    clocks: list[ClockAhead]
    models: list[LoadedModel]
    device: str
    rss_bytes: int
    cpu_share: float
    threads: int
    oldest: list[DataAge] = []
    n_silent: int = 0
    fallen_back: dict[str, str] = {}
