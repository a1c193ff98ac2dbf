"""One command in work at the desk: what it asks of the worker, what it changed, what it sets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from pydantic import ValidationError

from inference.alarm_spec import FIELDS, Values
from inference.beds import Stored
from inference.catalog import Catalogue
from inference.commands import Command, Value
from inference.errors import BadCommand
from inference.types import Alarm, Audit, AuditChange, Bed
from ingest.errors import plain


class Bedside(Protocol):
    """What the desk asks of the worker."""

    def configure(self, bed: str) -> None:
        """The settings of a bed have changed."""

    def reset(self, bed: str, watch: bool) -> int:
        """Forget the patient's signals; go on to watch for missing data or not.

        Returns the raw offset from which on records of the bed are not that patient's.
        """

    def mute(self, bed: str, on: bool) -> list[Alarm]:
        """Silence the alarms of missing data, or no longer."""


@dataclass(slots=True)
class Answer:
    """What applying a command gave: records to send, and commands that follow from it."""

    audit: Audit
    alarms: list[Alarm] = field(default_factory=list)
    beds: list[Bed] = field(default_factory=list)
    follow: list[Command] = field(default_factory=list)


@dataclass(slots=True)
class Work:
    """One command in work."""

    command: Command
    at_ns: int
    now_ns: int
    detail: str = ""
    alarms: list[Alarm] = field(default_factory=list)
    changes: list[AuditChange] = field(default_factory=list)
    follow: list[Command] = field(default_factory=list)

    def note(self, name: str, before: object, after: object) -> None:
        """Note a change for the audit trail."""
        if before != after:
            shown = [None if value is None else f"{value:g}" if isinstance(value, float) else str(value)
                     for value in (before, after)]  # fmt: skip
            self.changes.append(AuditChange(name, *shown))


def merge(
    catalogue: Catalogue, settings: Stored, key: str, values: dict[str, Value], work: Work, before: object
) -> None:
    """Put values over what is stored of an alarm; null unsets."""
    unknown = [name for name in values if name not in FIELDS]
    if unknown or not values:
        raise BadCommand(f"values: {unknown[0] if unknown else 'none given'}: there are {', '.join(FIELDS)}")
    given = {name: value for name, value in values.items() if value is not None}
    try:
        checked = Values.model_validate(given)
    except ValidationError as error:
        item = error.errors()[0]
        raise BadCommand(
            f"{key}: {'.'.join(map(str, item['loc']))}={item['input']!r}: {plain(item['msg'])}"
        ) from error
    # What is stored of it already may not conflict with what is set now.
    kept = {name: value for name, value in settings.get(key, {}).items() if name not in values}
    whole = Values.model_validate({**kept, **checked.model_dump(exclude_none=True)})
    catalogue.check(key, whole, "values")
    stored = settings.setdefault(key, {})
    for name in values:
        # As it was read: "130" is 130.
        value = getattr(checked, name)
        old = getattr(before, name, None) if before is not None else stored.get(name)
        work.note(f"{key} {name}", old, value)
        if value is None:
            stored.pop(name, None)
        else:
            stored[name] = value
    if not stored:
        del settings[key]
