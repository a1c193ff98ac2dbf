"""What is deleted when, in slices so that the recorder never stands still for long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Engine, Table, and_, delete, select, tuple_

from inference.recorder_settings import RecorderSettings
from inference.store_schema import alarms, audit, eeg_1min, eeg_1s, verdicts, vitals_1min, vitals_1s
from inference.store_write import MINUTE_NS
from inference.types import AlarmState

DAY_NS: Final = 86_400_000_000_000
SLICE: Final = 20_000
"""Rows deleted in one transaction."""


@dataclass(frozen=True, slots=True)
class _Rule:
    table: Table
    which: ColumnElement[bool]


class Retention:
    """One round of deleting: call :meth:`step` until it says that nothing is left.

    Parameters
    ----------
    engine : Engine
        Of a writer.
    settings : RecorderSettings
        How long what is kept.
    now_ns : int
        Wall clock.
    """

    def __init__(self, engine: Engine, settings: RecorderSettings, now_ns: int) -> None:
        self._engine = engine
        self._rules = _rules(settings, now_ns)

    def step(self) -> int | None:
        """Delete one slice.

        Returns
        -------
        int or None
            Rows deleted; ``None`` when the round is over.

        Raises
        ------
        SQLAlchemyError
            Nothing of this slice was deleted.
        """
        if not self._rules:
            return None
        rule = self._rules[0]
        keys = list(rule.table.primary_key)
        some = select(*keys).where(rule.which).limit(SLICE)
        with self._engine.begin() as connection:
            deleted = connection.execute(delete(rule.table).where(tuple_(*keys).in_(some))).rowcount
        if deleted < SLICE:
            self._rules.pop(0)
        return deleted


def _rules(settings: RecorderSettings, now_ns: int) -> list[_Rule]:
    def before(days: float) -> int:
        # Whole minutes: of a minute all seconds go together.
        return round(now_ns - days * DAY_NS) // MINUTE_NS * MINUTE_NS

    old = before(settings.alarms_days)
    # An alarm that still lasts is kept however old it is.
    over = and_(alarms.c.emitted_ns < old, alarms.c.state == AlarmState.ENDED.value)
    seconds, minutes = before(settings.vitals_1s_days), before(settings.vitals_1min_days)
    rules = [
        _Rule(vitals_1s, vitals_1s.c.time_ns < seconds),
        _Rule(eeg_1s, eeg_1s.c.time_ns < seconds),
        _Rule(vitals_1min, vitals_1min.c.minute_ns < minutes),
        _Rule(eeg_1min, eeg_1min.c.minute_ns < minutes),
        _Rule(alarms, over),
        _Rule(verdicts, verdicts.c.emitted_ns < old),
    ]
    if settings.audit_days is not None:
        rules.append(_Rule(audit, audit.c.applied_ns < before(settings.audit_days)))
    return rules
