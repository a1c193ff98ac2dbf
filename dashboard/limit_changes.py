"""What an edited table of alarm settings asks for: changes as commands, and what is wrong with them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pydantic import ValidationError

from inference.alarm_spec import ANY, FIELDS, ORDERED, SIGNAL_NAMES, AlarmSetting, AlarmSpec, Values
from inference.catalog import Catalogue, first_error
from inference.commands import SetAlarm, Value
from inference.errors import BadSetting
from inference.types import Bed, Priority

EDITED: Final = ("enabled", "priority", "limit", "beats", "on_delay_s", "off_delay_s")
"""Fields that the table edits."""
WORDS: Final = {"enabled": "alarm", "on_delay_s": "on-delay (s)", "off_delay_s": "off-delay (s)"}
"""What fields are called that are not called by their own name."""
LOWER: Final = frozenset(low for low, _ in ORDERED)
"""Limits that a patient falls under; all others are limits that a patient rises over."""
RESET: Final = "reset"


@dataclass(frozen=True, slots=True)
class Row:
    """One alarm of one bed as it is set; ``source`` is the layer that says so.

    ``limit`` is in ``unit``, ``beats`` counts beats.
    """

    key: str
    name: str
    condition: str
    enabled: bool
    priority: Priority
    limit: float | None
    unit: str
    beats: float | None
    bounds: str
    on_delay_s: float
    off_delay_s: float
    source: str


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be set of one alarm; ``after`` is the row as it will be, ``None`` after a reset."""

    action: SetAlarm
    lines: tuple[str, ...]
    before: Row
    after: Row | None


def table(catalogue: Catalogue, status: Bed, signals: Iterable[str]) -> tuple[Row, ...]:
    """Return the alarms of a bed's signals as rows, graver first as in the catalogue.

    A bed's record names what has a limit or is set otherwise than the catalogue says; the rest is as there.
    """
    told = {f"{one.signal}/{one.kind}": one for one in status.settings}
    wanted = {"ecg", *signals, *(one.signal for one in status.settings if one.source != "default")}
    rows = []
    for key, spec in _alarms(catalogue, wanted):
        row, found = _row(key, spec), told.get(key)
        if found is not None:
            row = replace(row, **{name: getattr(found, name) for name in (*EDITED, "source")})
            if found.beats is None and spec.beats is not None:
                # A worker that does not say so yet.
                row = replace(row, beats=spec.beats.value)
        rows.append(row)
    return tuple(rows)


def _alarms(catalogue: Catalogue, signals: Iterable[str]) -> list[tuple[str, AlarmSpec]]:
    names = sorted(signals, key=lambda name: (name != "ecg", name))
    own = [(spec.key, spec) for name in names for spec in catalogue.of_signal(name)]
    every = [(f"{name}/{spec.kind}", spec) for name in names for spec in catalogue.of_signal(ANY)]
    return own + every


def _row(key: str, spec: AlarmSpec) -> Row:
    """Return an alarm as the catalogue sets it."""
    setting = AlarmSetting.of(spec)
    bounds = [one for one in (spec.limit, spec.beats) if one is not None]
    signal = key.partition("/")[0]
    return Row(
        key,
        f"{SIGNAL_NAMES.get(signal, signal)}: {spec.title}",
        spec.condition,
        setting.enabled,
        setting.priority,
        setting.limit,
        spec.limit.unit if spec.limit is not None else "",
        setting.beats,
        ", ".join(f"{one.least:g} to {one.most:g} {one.unit}" for one in bounds),
        setting.on_delay_s,
        setting.off_delay_s,
        setting.source,
    )


def changes(before: Sequence[Row], edited: Sequence[Mapping[str, object]]) -> list[Change]:
    """Return what an edited table asks for, alarm by alarm.

    Parameters
    ----------
    before : sequence of Row
        The table as it was shown.
    edited : sequence of mapping
        Its rows now: each field of :data:`EDITED`, and :data:`RESET`.
    """
    found = []
    for row, now in zip(before, edited, strict=True):
        if now.get(RESET) is True:
            unset: dict[str, Value] = dict.fromkeys(FIELDS)
            line = f"{row.name}: back to what lies under the bed's own setting"
            found.append(Change(SetAlarm(row.key, unset), (line,), row, None))
            continue
        values = {name: _value(now.get(name)) for name in EDITED}
        new = {name: value for name, value in values.items() if value != getattr(row, name)}
        if new:
            lines = tuple(
                f"{row.name}, {WORDS.get(name, name)}: {_shown(getattr(row, name))} → {_shown(value)}"
                + (f" {row.unit}" if name == "limit" and row.unit else "")
                for name, value in new.items()
            )
            found.append(Change(SetAlarm(row.key, new), lines, row, _after(row, new)))
    return found


def _value(given: object) -> Value:
    """Read a cell; an empty one is ``None``."""
    if given is None or isinstance(given, bool | str):
        return given
    if isinstance(given, int | float):
        return None if math.isnan(given) else float(given)
    return str(given)


def _after(row: Row, new: Mapping[str, Value]) -> Row:
    """Return the row with values over it that are of its types; what is not is refused anyway."""
    enabled, limit = new.get("enabled", row.enabled), new.get("limit", row.limit)
    priority, on_delay_s = new.get("priority", row.priority), new.get("on_delay_s", row.on_delay_s)
    beats = new.get("beats", row.beats)
    return replace(
        row,
        enabled=enabled if isinstance(enabled, bool) else row.enabled,
        priority=Priority(priority) if priority in set(Priority) else row.priority,
        limit=limit if isinstance(limit, float) else row.limit,
        beats=beats if isinstance(beats, float) else row.beats,
        on_delay_s=on_delay_s if isinstance(on_delay_s, float) else row.on_delay_s,
    )


def problems(catalogue: Catalogue, before: Sequence[Row], asked: Sequence[Change]) -> list[str]:
    """Say what is wrong with changes: one line for each field, with its value and bounds."""
    found = [line for change in asked for line in _of_change(catalogue, change)]
    after = {row.key: row for row in before}
    after |= {change.before.key: change.after for change in asked if change.after is not None}
    # What lies under a bed's setting is not known here.
    unknown = {change.before.key for change in asked if change.after is None}
    touched = {change.before.key for change in asked} - unknown
    for low, high in ORDERED:
        if {low, high} & touched and not {low, high} & unknown and {low, high} <= after.keys():
            under, over = after[low], after[high]
            if under.limit is not None and over.limit is not None and under.limit >= over.limit:
                found.append(
                    f"{under.name} at {under.limit:g} {under.unit} is not under {over.name} at "
                    f"{over.limit:g} {over.unit}: one of the two would always stand; move one of them"
                )
    return found


def _of_change(catalogue: Catalogue, change: Change) -> list[str]:
    row, found = change.before, []
    if change.after is None:
        own = row.source == "bed"
        return (
            []
            if own
            else [f"{row.name}: nothing is set for this bed, it is the {row.source}'s; untick Reset"]
        )
    whole = {name: getattr(row, name) for name in EDITED}
    for name, value in change.action.values.items():
        if value is None:
            found.append(
                f"{row.name}: {WORDS.get(name, name)} is empty: give a value, or tick Reset to unset it"
            )
            continue
        found += _check(catalogue, row.key, {**whole, name: value})
    # Delay and priority may each be right and not fit together.
    return found or _check(catalogue, row.key, {**whole, **change.action.values})


def _check(catalogue: Catalogue, key: str, values: Mapping[str, Value]) -> list[str]:
    try:
        catalogue.check(key, Values.model_validate(values), "refused")
    except ValidationError as error:
        return [f"refused: {key}: {first_error(error)}"]
    except BadSetting as error:
        return [str(error)]
    return []


def quieter(asked: Sequence[Change]) -> list[str]:
    """Say which alarms of high priority changes switch off, lower, delay or move away from the patient."""
    found = []
    for change in asked:
        row, after = change.before, change.after
        if row.priority is not Priority.HIGH or not row.enabled:
            continue
        if after is None:
            # What lies under a bed's setting is not known here, and may be the quieter one.
            found.append(
                f"{row.name} goes back to profile, site or ward: it may be later, lower or off there"
            )
        elif not after.enabled:
            found.append(f"{row.name} will not be raised")
        else:
            found += _less(row, after)
    return found


def widest_first(asked: Sequence[Change]) -> list[Change]:
    """Return changes in an order in which limits never cross on the way: those that move away first."""

    def narrows(change: Change) -> bool:
        before, after = change.before.limit, change.after.limit if change.after is not None else None
        if before is None or after is None:
            return False
        return after > before if change.before.key in LOWER else after < before

    return sorted(asked, key=narrows)


def _less(row: Row, after: Row) -> list[str]:
    found = []
    if after.priority is not Priority.HIGH:
        found.append(f"{row.name} will be of {after.priority} priority: it does not latch then")
    if after.on_delay_s > row.on_delay_s:
        found.append(
            f"{row.name} will be raised later: on-delay {row.on_delay_s:g} s → {after.on_delay_s:g} s"
        )
    if row.beats is not None and after.beats is not None and after.beats > row.beats:
        found.append(f"{row.name} will take more beats: {row.beats:g} → {after.beats:g}")
    if row.limit is not None and after.limit is not None:
        away = row.limit - after.limit if row.key in LOWER else after.limit - row.limit
        if away > 0:
            found.append(
                f"{row.name}: the limit moves away from the patient, {row.limit:g} → {after.limit:g}"
            )
    return found


def profile_lines(catalogue: Catalogue, status: Bed | None, profile: str) -> list[str]:
    """Say which limits another profile changes; what site, ward or bed set stays over it."""
    if status is None:
        return []
    new = catalogue.settings([("profile", catalogue.profile(profile))])
    lines = []
    for one in status.settings:
        setting = new.get(f"{one.signal}/{one.kind}")
        limit = setting.limit if setting is not None else None
        if one.source in ("default", "profile") and limit is not None and limit != one.limit:
            name = setting.spec.title if setting is not None else one.kind
            lines.append(f"{name} {_shown(one.limit)} → {limit:g} {one.unit or ''}".strip())
    return lines


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "empty" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
