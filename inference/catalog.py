"""The alarms as data: ``alarm_catalog.toml`` says what each one is, layers of settings say how a bed is set.

Layers, later ones over earlier ones: the catalogue, the bed's profile, the site's file (all wards, then the
bed's), what staff set for the ward, what staff set for the bed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from inference.errors import BadSetting
from inference.types import Priority, Setting
from ingest.types import SignalKind

FILE: Final = Path(__file__).with_name("alarm_catalog.toml")
ANY: Final = "any"
ADULT: Final = "adult"
PREFIXES: Final = {Priority.HIGH: "***", Priority.MEDIUM: "**", Priority.LOW: "*"}
RANK: Final = {Priority.HIGH: 0, Priority.MEDIUM: 1, Priority.LOW: 2, Priority.TECHNICAL: 3}
MOST_DELAY_S: Final = {Priority.HIGH: 5.0}
"""How long the on-delay of a priority may be set; 60 s for the others."""

SIGNAL_NAMES: Final = {
    "ecg": "ECG",
    "eeg": "EEG",
    "lung_sound": "LUNG SOUND",
    "heart_sound": "HEART SOUND",
    "resp": "RESP",
    "pleth": "PLETH",
    "abp": "ABP",
}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Bounded(_Frozen):
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


class WindowRule(_Frozen):
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


class AlarmSpec(_Frozen):
    """One alarm of the catalogue.

    Parameters
    ----------
    kind : str
        Name on the wire.
    signal : str
        Kind of signal, or "any": the alarm exists for each signal of a bed.
    priority : Priority
        How loud; ``level`` 3 to 1 tells technical alarms apart (``!!!``, ``!!``, ``!``).
    text : str
        What staff read; value, limit and signal are filled in.
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
        Alarms that say the same more gravely: while one of them is active this one is not raised.
    windows : WindowRule or None
        For alarms that a network's windows make.
    """

    kind: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    signal: Literal["ecg", "eeg", "lung_sound", "heart_sound", "any"]
    priority: Priority
    level: int = Field(default=3, ge=1, le=3)
    text: str = Field(min_length=1)
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

    @field_validator("text")
    @classmethod
    def _fillable(cls, text: str) -> str:
        try:
            text.format(value="", limit="", signal="")
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(
                "only {value}, {limit} and {signal} can be filled in; a brace is written twice"
            ) from error
        return text

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


class Values(_Frozen):
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

    def message(self, signal: str, value: float | None) -> str:
        """Text with prefix, as staff read it ("*** EXTREME TACHY 152 > 140")."""
        shown = "" if value is None else _rounded(value, self.limit)
        limit = "" if self.limit is None else f"{self.limit:g}"
        name = SIGNAL_NAMES.get(signal, signal.upper())
        prefix = PREFIXES.get(self.priority, "!" * self.spec.level)
        return f"{prefix} {self.spec.text.format(value=shown, limit=limit, signal=name)}"

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
        )


def _rounded(value: float, limit: float | None) -> str:
    """As many digits as tell a value from its limit ("120.4 > 120"), two at most."""
    digits = 1 if abs(value) < 10 else 0
    while digits < 2 and limit is not None and value != limit and round(value, digits) == limit:
        digits += 1
    return f"{value:.{digits}f}"


class Catalogue(_Frozen):
    """All alarms and profiles."""

    alarms: tuple[AlarmSpec, ...] = Field(alias="alarm", min_length=1)
    profiles: dict[str, dict[str, Values]]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        keys = [spec.key for spec in self.alarms]
        doubled = {key for key in keys if keys.count(key) > 1}
        if doubled:
            raise ValueError(f"alarm {sorted(doubled)[0]} stands twice")
        for spec in self.alarms:
            known = {other.kind for other in self.alarms if other.signal == spec.signal}
            unknown = set(spec.yields_to) - known
            if unknown:
                raise ValueError(
                    f"{spec.key}: yields_to names {sorted(unknown)[0]!r}, which {spec.signal} has not"
                )
        if ADULT not in self.profiles:
            raise ValueError(f"profiles: {ADULT!r} is missing")
        for name, layer in self.profiles.items():
            for key, values in layer.items():
                self.check(key, values, f"profiles.{name}")
        return self

    def of_signal(self, signal: str) -> tuple[AlarmSpec, ...]:
        """Alarms of a signal, graver first as they stand in the file; "any" gives those of every signal."""
        return tuple(spec for spec in self.alarms if spec.signal == signal)

    def spec(self, key: str) -> AlarmSpec:
        """Look up an alarm.

        Raises
        ------
        BadSetting
            There is none of that name; the message names the nearest ones.
        """
        for spec in self.alarms:
            # An alarm of every signal may be set for one of them: "eeg/no_data".
            if key == spec.key or (
                spec.signal == ANY and key in {f"{kind}/{spec.kind}" for kind in SignalKind}
            ):
                return spec
        kind = key.rpartition("/")[2]
        near = [spec.key for spec in self.alarms if spec.kind == kind] or [spec.key for spec in self.alarms]
        raise BadSetting(f"alarm {key!r} is not known; there are {', '.join(near)}")

    def check(self, key: str, values: Values, where: str) -> None:
        """Refuse values that an alarm cannot take.

        Raises
        ------
        BadSetting
            Names layer, alarm, field, value and bounds.
        """
        signal, _, kind = key.rpartition("/")
        if kind == "*" and signal not in set(SignalKind):
            raise BadSetting(f"{where}: {key}: there are {', '.join(f'{one}/*' for one in SignalKind)}")
        specs = (
            [one for one in self.alarms if one.signal in (signal, ANY)] if kind == "*" else [self.spec(key)]
        )
        if kind == "*" and (values.limit is not None or values.beats is not None):
            raise BadSetting(f"{where}: {key}: limits and beats are set alarm by alarm")
        for spec in specs:
            _check(spec, values, f"{where}: {spec.key if kind == '*' else key}", every=kind == "*")

    def settings(self, layers: Sequence[tuple[str, Layer]]) -> dict[str, AlarmSetting]:
        """Settings of every alarm by key; those of "any" under each signal's name.

        Parameters
        ----------
        layers : sequence of (source, layer)
            Over one another, the last wins. Within a layer "signal/*" comes before "signal/kind".
        """
        found = {}
        for spec in self.alarms:
            signals = [kind.value for kind in SignalKind] if spec.signal == ANY else [spec.signal]
            for signal in signals:
                setting = AlarmSetting.of(spec)
                for source, layer in layers:
                    for key in (f"{signal}/*", f"any/{spec.kind}", f"{signal}/{spec.kind}"):
                        values = layer.get(key)
                        if values is not None and not (spec.fixed and key.endswith("/*")):
                            setting = setting.changed(values, source)
                found[f"{signal}/{spec.kind}"] = setting
        return found

    def profile(self, name: str) -> Layer:
        """Layer of a profile.

        Raises
        ------
        BadSetting
            No such profile.
        """
        if name not in self.profiles:
            raise BadSetting(f"profile={name!r}: there are {', '.join(self.profiles)}")
        return self.profiles[name]


def _check(spec: AlarmSpec, values: Values, where: str, every: bool) -> None:
    for name, bounds in (("limit", spec.limit), ("beats", spec.beats)):
        value = getattr(values, name)
        if value is None:
            continue
        if bounds is None:
            raise BadSetting(f"{where}: {name}={value:g}: this alarm has none")
        if name == "beats" and value != round(value):
            raise BadSetting(f"{where}: beats={value:g}: a whole number of {bounds.unit}")
        if not bounds.least <= value <= bounds.most:
            raise BadSetting(
                f"{where}: {name}={value:g} {bounds.unit}: must be between {bounds.least:g} and "
                f"{bounds.most:g}"
            )
    most_s = MOST_DELAY_S.get(spec.priority, 60.0)
    if values.on_delay_s is not None and values.on_delay_s > most_s:
        raise BadSetting(
            f"{where}: on_delay_s={values.on_delay_s:g}: at most {most_s:g} for {spec.priority} priority"
        )
    if spec.fixed and not every:
        if values.enabled is False:
            raise BadSetting(f"{where}: enabled=false: this alarm cannot be switched off")
        if values.priority not in (None, spec.priority):
            raise BadSetting(f"{where}: priority={values.priority}: this alarm stays {spec.priority}")
    if values.priority is not None and (values.priority is Priority.TECHNICAL) is not (
        spec.priority is Priority.TECHNICAL
    ):
        raise BadSetting(
            f"{where}: priority={values.priority}: technical and physiological alarms stay apart"
        )


class Ward(_Frozen):
    """A ward of the site's file: its beds as patterns ("icu-*") and what it sets."""

    beds: tuple[str, ...] = ()
    profile: str | None = None
    alarms: dict[str, Values] = {}


class Site(_Frozen):
    """The site's file: settings of all wards, and wards."""

    alarms: dict[str, Values] = {}
    wards: dict[str, Ward] = {}

    def ward_of(self, bed: str) -> str:
        """Name of the first ward whose patterns fit; "ward" where none does."""
        for name, ward in self.wards.items():
            if any(fnmatchcase(bed, pattern) for pattern in ward.beds):
                return name
        return "ward"


def _read(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(f"{path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise BadSetting(f"{path}: no valid TOML: {error}") from error


@cache
def load_catalogue(path: Path = FILE) -> Catalogue:
    """Read a catalogue.

    Raises
    ------
    BadSetting
        Names the file, the field and what is wrong.
    """
    try:
        return Catalogue.model_validate(_read(path))
    except ValidationError as error:
        raise BadSetting(f"{path}: {_first(error)}") from error
    except BadSetting as error:
        raise BadSetting(f"{path}: {error}") from error


def load_site(path: Path | None, catalogue: Catalogue) -> Site:
    """Read the site's file; without one nothing is set.

    Raises
    ------
    BadSetting
        Names the file, the field and what is wrong.
    """
    if path is None:
        return Site()
    try:
        site = Site.model_validate(_read(path))
    except ValidationError as error:
        raise BadSetting(f"{path}: {_first(error)}") from error
    layers = {
        "alarms": site.alarms,
        **{f"wards.{name}.alarms": ward.alarms for name, ward in site.wards.items()},
    }
    for where, layer in layers.items():
        for key, values in layer.items():
            catalogue.check(key, values, f"{path}: {where}")
    for name, ward in site.wards.items():
        if ward.profile is not None and ward.profile not in catalogue.profiles:
            raise BadSetting(
                f"{path}: wards.{name}: profile={ward.profile!r}: there are {', '.join(catalogue.profiles)}"
            )
    return site


def _first(error: ValidationError) -> str:
    item = error.errors()[0]
    where = ".".join(map(str, item["loc"]))
    given = item["input"]
    shown = f"={given!r}" if isinstance(given, str | int | float | bool) else ""
    message = item["msg"].removeprefix("Value error, ")
    return f"{where}{shown}: {message}" if where else message
