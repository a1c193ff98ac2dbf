"""The order in which beds and alarms are shown."""

from __future__ import annotations

import re
from typing import Final

from inference.types import Alarm, AlarmState, Priority

STATE_RANK: Final = {AlarmState.ACTIVE: 0, AlarmState.LATCHED: 1, AlarmState.ACKNOWLEDGED: 2}
"""Of alarms that stand."""
PRIORITY_RANK: Final = {Priority.HIGH: 0, Priority.MEDIUM: 1, Priority.LOW: 2, Priority.TECHNICAL: 3}
Urgency = tuple[bool, int, int, int]


def natural_order(label: str) -> list[tuple[int, int, str]]:
    """Sort key by which bed-2 comes before bed-10."""
    parts = re.findall(r"\d+|\D+", label.casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def by_urgency(alarm: Alarm) -> Urgency:
    """Sort key: unacknowledged first, by priority, what goes on before what is over, the newest first."""
    acknowledged = alarm.state is AlarmState.ACKNOWLEDGED
    return acknowledged, PRIORITY_RANK[alarm.priority], STATE_RANK.get(alarm.state, 3), -alarm.onset_ns
