"""Which alarms are asked for, as statements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import ColumnElement, RowMapping, Select, func, select

from inference.store_labels import AlarmLabel, Label, is_newest, read_label
from inference.store_schema import alarm_labels, alarms, strips
from inference.types import AlarmState, Priority

NO_LABEL: Final = "none"
"""Asks for alarms that nobody has labelled yet."""


@dataclass(frozen=True, slots=True)
class AlarmFilter:
    """What alarms must be to be shown; an empty tuple asks nothing.

    ``since_ns <= raised_ns < until_ns``, by the device's clock.
    """

    beds: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    signals: tuple[str, ...] = ()
    priorities: tuple[Priority, ...] = ()
    states: tuple[AlarmState, ...] = ()
    labels: tuple[Label | Literal["none"], ...] = ()
    since_ns: int | None = None
    until_ns: int | None = None


def alarms_asked(wanted: AlarmFilter) -> Select[tuple[object, ...]]:
    """Record, whether the strip is complete, and the label that counts; the newest first."""
    asked = select(alarms.c.record, strips.c.complete, *alarm_labels.c).select_from(alarms)
    asked = asked.outerjoin(strips, strips.c.alarm_id == alarms.c.id)
    asked = asked.outerjoin(alarm_labels, is_newest())
    return asked.where(*_conditions(wanted)).order_by(alarms.c.raised_ns.desc(), alarms.c.id)


def number_of_alarms(wanted: AlarmFilter) -> Select[int]:
    """How many there are."""
    asked = select(func.count()).select_from(alarms)
    if wanted.labels:
        asked = asked.outerjoin(alarm_labels, is_newest())
    return asked.where(*_conditions(wanted))


def label_in(row: RowMapping) -> AlarmLabel | None:
    """Label of a row of :func:`alarms_asked`."""
    return None if row["number"] is None else read_label(row)


def within(at: ColumnElement[int], since_ns: int | None, until_ns: int | None) -> list[ColumnElement[bool]]:
    """Bounds of a time."""
    bounds = []
    if since_ns is not None:
        bounds.append(at >= since_ns)
    if until_ns is not None:
        bounds.append(at < until_ns)
    return bounds


def _conditions(wanted: AlarmFilter) -> list[ColumnElement[bool]]:
    conditions = within(alarms.c.raised_ns, wanted.since_ns, wanted.until_ns)
    for column, among in (
        (alarms.c.bed, wanted.beds),
        (alarms.c.kind, wanted.kinds),
        (alarms.c.signal, wanted.signals),
        (alarms.c.priority, wanted.priorities),
        (alarms.c.state, wanted.states),
    ):
        if among:
            conditions.append(column.in_([str(value) for value in among]))
    if wanted.labels:
        known = alarm_labels.c.label.in_([str(label) for label in wanted.labels if label != NO_LABEL])
        conditions.append(known | alarm_labels.c.label.is_(None) if NO_LABEL in wanted.labels else known)
    return conditions
