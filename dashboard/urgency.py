"""The order in which beds and alarms are shown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Final

from inference.alarm_spec import ANY
from inference.catalog import load_catalogue
from inference.types import Alarm, AlarmState, Priority

STATE_RANK: Final = {AlarmState.ACTIVE: 0, AlarmState.LATCHED: 1, AlarmState.ACKNOWLEDGED: 2}
"""Of alarms that stand."""
PRIORITY_RANK: Final = {Priority.HIGH: 0, Priority.MEDIUM: 1, Priority.LOW: 2, Priority.TECHNICAL: 3}
Urgency = tuple[bool, int, int, int, int]
LEAST_GRAVE: Final = 1_000_000
"""Gravity of what the catalogue does not name."""


def natural_order(label: str) -> list[tuple[int, int, str]]:
    """Sort key by which bed-2 comes before bed-10."""
    parts = re.findall(r"\d+|\D+", label.casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def by_urgency(alarm: Alarm) -> Urgency:
    """Sort key: unacknowledged first, by priority, what goes on before what is over, graver kinds, newest.

    A fast rate that begins later must not stand before a fibrillation of the same priority.
    """
    return (
        alarm.state is AlarmState.ACKNOWLEDGED,
        PRIORITY_RANK[alarm.priority],
        STATE_RANK.get(alarm.state, 3),
        _gravity(alarm.signal, alarm.kind),
        -alarm.onset_ns,
    )


def bed_by_bed(alarms: Iterable[Alarm]) -> list[Alarm]:
    """Sort alarms so that the gravest of each bed stands before any bed's second.

    A bed whose alarms come by the dozen must not push the others' off the screen.
    """
    first: dict[str, Alarm] = {}
    others: list[Alarm] = []
    for alarm in sorted(alarms, key=by_urgency):
        if first.setdefault(alarm.bed, alarm) is not alarm:
            others.append(alarm)
    return [*first.values(), *others]


def _gravity(signal: str, kind: str) -> int:
    ranks = _gravities()
    return ranks.get((signal, kind), ranks.get((ANY, kind), LEAST_GRAVE))


@cache
def _gravities() -> dict[tuple[str, str], int]:
    """Rank of each alarm by signal and kind, the gravest 0: the catalogue's levels, then its order."""
    specs = sorted(load_catalogue().alarms, key=lambda spec: -spec.level)
    return {(spec.signal, spec.kind): rank for rank, spec in enumerate(specs)}
