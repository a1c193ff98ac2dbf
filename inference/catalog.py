"""The alarms as data: ``alarm_catalog.toml`` says what each one is, layers of settings say how a bed is set.

Layers, later ones over earlier ones: the catalogue, the bed's profile, the site's file (all wards, then the
bed's), what staff set for the ward, what staff set for the bed.
"""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final, Self

from pydantic import Field, ValidationError, model_validator

from inference.alarm_spec import (
    ADULT,
    ANY,
    AlarmSetting,
    AlarmSpec,
    Frozen,
    Layer,
    Values,
)
from inference.errors import BadSetting
from inference.types import Priority
from ingest.errors import plain
from ingest.types import SignalKind

logger = logging.getLogger(__name__)

FILE: Final = Path(__file__).with_name("alarm_catalog.toml")


class Catalogue(Frozen):
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
            Over one another, the last wins. Within a layer "signal/*" comes before "signal/kind". An on-delay
            that is too long for the priority that another layer set is cut to what that allows, and logged.
        """
        found = {}
        for spec in self.alarms:
            signals = [kind.value for kind in SignalKind] if spec.signal == ANY else [spec.signal]
            for signal in signals:
                setting = AlarmSetting.of(spec)
                for source, layer in layers:
                    for key in (f"{signal}/*", f"any/{spec.kind}", f"{signal}/{spec.kind}"):
                        values = layer.get(key)
                        # A signal as a whole is switched off without blinding staff to leads that are off.
                        apart = spec.fixed or spec.priority is Priority.TECHNICAL
                        if values is not None and not (apart and key.endswith("/*")):
                            setting = setting.changed(values, source)
                found[f"{signal}/{spec.kind}"] = _within_delay(setting, f"{signal}/{spec.kind}")
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
    _check_delay(spec, values, where)
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


def _check_delay(spec: AlarmSpec, values: Values, where: str) -> None:
    """Refuse an on-delay that is too long for the priority that it meets, set here or in the catalogue."""
    priority = spec.priority if values.priority is None else values.priority
    delay_s = spec.on_delay_s if values.on_delay_s is None else values.on_delay_s
    most_s = spec.most_on_delay_s(priority)
    if delay_s <= most_s or (values.on_delay_s is None and values.priority is None):
        return
    if values.on_delay_s is None:
        raise BadSetting(
            f"{where}: priority={priority}: its on-delay of {delay_s:g} s is too long for that; set "
            f"on_delay_s to at most {most_s:g} with it"
        )
    why = "this alarm" if values.priority is None else f"this alarm at priority={priority}"
    raise BadSetting(f"{where}: on_delay_s={delay_s:g}: at most {most_s:g} for {why}")


def _within_delay(setting: AlarmSetting, key: str) -> AlarmSetting:
    """Cut an on-delay that one layer set and the priority that another set do not allow together."""
    most_s = setting.spec.most_on_delay_s(setting.priority)
    if setting.on_delay_s <= most_s:
        return setting
    logger.warning(
        "%s: on_delay_s=%g of one layer is too long for priority=%s of another: it is %g where they meet",
        key, setting.on_delay_s, setting.priority, most_s,
    )  # fmt: skip
    return replace(setting, on_delay_s=most_s)


def read_toml(path: Path) -> dict[str, object]:
    """Read a TOML file.

    Raises
    ------
    BadSetting
        It is not there, or no TOML.
    """
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
        return Catalogue.model_validate(read_toml(path))
    except ValidationError as error:
        raise BadSetting(f"{path}: {first_error(error)}") from error
    except BadSetting as error:
        raise BadSetting(f"{path}: {error}") from error


def first_error(error: ValidationError) -> str:
    """Field, value and what is wrong with it."""
    item = error.errors()[0]
    where = ".".join(map(str, item["loc"]))
    given = item["input"]
    shown = f"={given!r}" if isinstance(given, str | int | float | bool) else ""
    message = plain(item["msg"])
    return f"{where}{shown}: {message}" if where else message
