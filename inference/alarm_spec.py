"""What an alarm is, and how it is set for a bed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from inference.errors import BadSetting
from inference.types import Priority, Setting
from ingest.types import SignalKind

ANY: Final = "any"
ADULT: Final = "adult"
PREFIXES: Final = {Priority.HIGH: "***", Priority.MEDIUM: "**", Priority.LOW: "*"}
RANK: Final = {Priority.HIGH: 0, Priority.MEDIUM: 1, Priority.LOW: 2, Priority.TECHNICAL: 3}
MOST_DELAY_S: Final = {Priority.HIGH: 5.0}
"""How long the on-delay of a priority may be set; 60 s for the others."""

MOST_MOMENTARY_S: Final = 1.0

SIGNAL_NAMES: Final = {
    "ecg": "ECG",
    "eeg": "EEG",
    "lung_sound": "LUNG SOUND",
    "heart_sound": "HEART SOUND",
    "resp": "RESP",
    "pleth": "PLETH",
    "abp": "ABP",
}


class Frozen(BaseModel):
    """Immutable; refuses names that it does not know and numbers that are none."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Bounded(Frozen):
    """A number that may be set between two bounds."""

    value: float
    least: float
    most: float
    unit: str

    @model_validator(mode="after")
    def _inside(self) -> Self:
        if not self.least <= self.value <= self.most:
            raise ValueError(
                f"value={self.value:g} is not between least={self.least:g} and most={self.most:g}"
            )
        return self


class WindowRule(Frozen):
    """When the windows of a network make an alarm.

    A window counts when the summed probability of ``classes`` reaches ``threshold``; the condition is true
    when ``at_least`` of the last ``of`` windows count. ``quiet_s`` asks for at most ``quiet_share`` of
    counting windows in that time before; ``trend_s`` compares its share with that of ``before_s`` before it.
    """

    classes: tuple[str, ...] = Field(min_length=1)
    threshold: float = Field(gt=0, lt=1)
    at_least: int = Field(ge=1)
    of: int = Field(ge=1, le=60)
    quiet_share: float = Field(default=0.1, ge=0, le=1)
    quiet_s: float | None = Field(default=None, gt=0)
    trend_s: float | None = Field(default=None, gt=0)
    before_s: float | None = Field(default=None, gt=0)


class AlarmSpec(Frozen):
    """One alarm of the catalogue.

    Parameters
    ----------
    kind : str
        Name on the wire.
    name : str
        What people call it; by default the kind in words.
    signal : str
        Kind of signal, or "any": the alarm exists for each signal of a bed.
    priority : Priority
        How loud; ``level`` 3 to 1 tells technical alarms apart (``!!!``, ``!!``, ``!``).
    text : str
        What staff read; value, limit, signal and, at its end behind a colon, reasons are filled in.
    texts : mapping
        What they read of some kinds of signal instead.
    condition : str
        When it is true, in words.
    limit, beats : Bounded or None
        What the value is held against; how many beats (or pairs) make it.
    hysteresis : float
        The alarm ends only this far on the good side of its limit.
    on_delay_s, off_delay_s : float
        How long the condition must hold, or be gone, before the alarm begins or ends.
    latching : bool
        It stays until acknowledged when its condition has gone.
    fixed : bool
        Cannot be switched off nor lowered.
    needs : str
        What must be true of the signal for it to be judged.
    escalate_s : float or None
        Unacknowledged for so long, it escalates.
    yields_to : tuple of str
        Alarms that say the same more gravely: while one of them is active this one is not raised, and where
        it stands already it is over, unless it latches.
    momentary : bool
        Its condition is an event that holds for 2 s: a longer on-delay would silence it.
    windows : WindowRule or None
        For alarms that a network's windows make.
    """

    kind: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    name: str = ""
    signal: Literal["ecg", "eeg", "lung_sound", "heart_sound", "any"]
    priority: Priority
    level: int = Field(default=3, ge=1, le=3)
    text: str = Field(min_length=1)
    texts: dict[SignalKind, str] = {}
    condition: str = Field(min_length=1)
    limit: Bounded | None = None
    beats: Bounded | None = None
    hysteresis: float = Field(default=0.0, ge=0)
    on_delay_s: float = Field(default=0.0, ge=0, le=60)
    off_delay_s: float = Field(default=3.0, ge=0, le=300)
    latching: bool = False
    fixed: bool = False
    needs: Literal["nothing", "lead", "clean"] = "clean"
    escalate_s: float | None = None
    yields_to: tuple[str, ...] = ()
    windows: WindowRule | None = None
    momentary: bool = False

    @field_validator("text", "texts")
    @classmethod
    def _fillable(cls, given: str | dict[SignalKind, str]) -> str | dict[SignalKind, str]:
        for text in [given] if isinstance(given, str) else given.values():
            try:
                text.format(value="", limit="", signal="", reasons="")
            except (KeyError, IndexError, ValueError) as error:
                raise ValueError(
                    "only {value}, {limit}, {signal} and {reasons} can be filled in; a brace is written twice"
                ) from error
        return given

    def most_on_delay_s(self, priority: Priority) -> float:
        """How long its on-delay may be set where it has this priority."""
        return MOST_MOMENTARY_S if self.momentary else MOST_DELAY_S.get(priority, 60.0)

    @property
    def title(self) -> str:
        """Name for people ("Heart rate high")."""
        return self.name or self.kind.replace("_", " ").capitalize()

    @property
    def key(self) -> str:
        """Name under which it is set ("ecg/hr_high")."""
        return f"{self.signal}/{self.kind}"

    @property
    def escalates_after_s(self) -> float | None:
        """As set; by default 60 s for high ones, never for others."""
        if self.escalate_s is None and self.priority is Priority.HIGH:
            return 60.0
        return self.escalate_s


class Values(Frozen):
    """What a layer sets of one alarm; ``None`` leaves it as the layer below says."""

    enabled: bool | None = None
    priority: Priority | None = None
    limit: float | None = None
    beats: float | None = None
    on_delay_s: float | None = Field(default=None, ge=0, le=60)
    off_delay_s: float | None = Field(default=None, ge=0, le=300)


FIELDS: Final = tuple(Values.model_fields)
Layer = Mapping[str, Values]
"""Values by key: "ecg/hr_high", or "ecg/*" for all alarms of a signal."""

ORDERED: Final = (("ecg/hr_low", "ecg/hr_high"), ("ecg/extreme_bradycardia", "ecg/extreme_tachycardia"))
"""Limits of which the first must be under the second, or one of the alarms always stands."""


@dataclass(frozen=True, slots=True)
class AlarmSetting:
    """One alarm as it is set for one bed; ``source`` names the last layer that changed it."""

    spec: AlarmSpec
    enabled: bool
    priority: Priority
    limit: float | None
    beats: float | None
    on_delay_s: float
    off_delay_s: float
    source: str = "default"

    @classmethod
    def of(cls, spec: AlarmSpec) -> Self:
        """As the catalogue says."""
        return cls(
            spec,
            True,
            spec.priority,
            spec.limit.value if spec.limit else None,
            spec.beats.value if spec.beats else None,
            spec.on_delay_s,
            spec.off_delay_s,
        )

    def changed(self, values: Values, source: str) -> AlarmSetting:
        """With a layer's values over it."""
        new = {name: getattr(values, name) for name in FIELDS if getattr(values, name) is not None}
        old = {name: getattr(self, name) for name in FIELDS}
        return AlarmSetting(self.spec, **{**old, **new}, source=source) if new else self

    def message(self, signal: str, value: float | None, reasons: Sequence[str] = ()) -> str:
        """Text with prefix, as staff read it ("*** EXTREME TACHY 152 > 140")."""
        counted = self.spec.beats is not None and self.spec.limit is None
        shown = "" if value is None else f"{value:.0f}" if counted else _rounded(value, self.limit)
        limit = "" if self.limit is None else f"{self.limit:g}"
        name = SIGNAL_NAMES.get(signal, signal.upper())
        prefix = PREFIXES.get(self.priority, "!" * self.spec.level)
        text = self.spec.texts.get(SignalKind(signal), self.spec.text) if self.spec.texts else self.spec.text
        filled = text.format(value=shown, limit=limit, signal=name, reasons="; ".join(reasons))
        # Where nothing speaks for it nothing is announced.
        return f"{prefix} {filled.removesuffix(': ')}"

    def wire(self, signal: str) -> Setting:
        """For the bed's record."""
        bounds = self.spec.limit
        return Setting(
            signal,
            self.spec.kind,
            self.enabled,
            self.priority,
            self.limit,
            bounds.unit if bounds else None,
            bounds.least if bounds else None,
            bounds.most if bounds else None,
            self.on_delay_s,
            self.off_delay_s,
            self.source,
            self.beats,
        )


def _rounded(value: float, limit: float | None) -> str:
    """As many digits as tell a value from its limit ("120.4 > 120"), two at most."""
    digits = 1 if abs(value) < 10 else 0
    while digits < 2 and limit is not None and value != limit and round(value, digits) == limit:
        digits += 1
    return f"{value:.{digits}f}"


def check_order(settings: Mapping[str, AlarmSetting], touched: str) -> None:
    """Refuse limits that cross, where one of them was touched.

    Raises
    ------
    BadSetting
        The lower limit is not under the upper one.
    """
    for low, high in ORDERED:
        if touched not in (low, high) or not {low, high} <= settings.keys():
            continue
        under, over = settings[low].limit, settings[high].limit
        if under is not None and over is not None and under >= over:
            raise BadSetting(
                f"{touched}: {low} limit={under:g} would not be under {high} limit={over:g}: one of the two "
                f"would always stand; move the other one first"
            )
