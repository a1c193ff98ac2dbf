"""What the recorder writes. Everything may come twice and in any order: the result is the same.

Of one alarm the step with the highest ``(raw_offset, revision)`` is its current row, and every step is kept.
Of two records of the same step the one that was made first is kept. Audit lines are added, never changed.
Of two verdicts on one alarm one that was judged is kept, and of such the later.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Table,
    and_,
    func,
    insert,
    not_,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects import postgresql, sqlite

from inference.store_minutes import eeg_of_minute, vitals_of_minute
from inference.store_rows import (
    Kept,
    Row,
    alarm_row,
    audit_row,
    eeg_row,
    signal_row,
    verdict_row,
    vital_row,
)
from inference.store_schema import (
    alarm_steps,
    alarms,
    audit,
    eeg_1min,
    eeg_1s,
    strip_signals,
    strips,
    verdicts,
    vitals_1min,
    vitals_1s,
)
from inference.strip_cutter import Wanted
from inference.strips import Strip
from inference.types import Alarm, Audit, Verdict, Vital
from ingest.types import NS_PER_S, SignalKind

MINUTE_NS: Final = 60 * NS_PER_S
IDS: Final = 500
"""Alarms asked for in one statement."""

Minute = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Batch:
    """What is written in one transaction."""

    alarms: list[Kept[Alarm]] = field(default_factory=list)
    audit: list[Kept[Audit]] = field(default_factory=list)
    verdicts: list[Kept[Verdict]] = field(default_factory=list)
    vitals: list[Vital] = field(default_factory=list)
    strips: list[Strip] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.alarms or self.audit or self.verdicts or self.vitals or self.strips)

    def minutes(self) -> set[Minute]:
        """Minutes that have new vitals."""
        return {(item.bed, item.signal, item.time_ns // MINUTE_NS * MINUTE_NS) for item in self.vitals}


class StoreWriter:
    """Writes batches.

    Parameters
    ----------
    engine : Engine
        Of a database with this version's schema.

    Attributes
    ----------
    n_batches : int
        Written since the start.
    """

    def __init__(self, engine: Engine) -> None:
        self.n_batches = 0
        self._engine = engine
        self._insert = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert

    def write(self, batch: Batch) -> None:
        """Write all of a batch or nothing.

        Raises
        ------
        SQLAlchemyError
            Nothing was written.
        """
        with self._engine.begin() as connection:
            if batch.alarms:
                self._write_alarms(connection, batch.alarms)
            if batch.audit:
                self._add(connection, audit, (audit_row(kept) for kept in batch.audit))
            if batch.verdicts:
                self._replace(connection, verdicts, map(verdict_row, batch.verdicts), self._says_more())
            if batch.vitals:
                self._replace(connection, vitals_1s, map(vital_row, batch.vitals), self._is_later(vitals_1s))
            eegs = [
                eeg_row(item, item.eeg) for item in batch.vitals if item.eeg and item.signal == SignalKind.EEG
            ]
            if eegs:
                self._replace(connection, eeg_1s, eegs, self._is_later(eeg_1s))
            for strip in batch.strips:
                self._write_strip(connection, strip)
        self.n_batches += 1

    def ping(self) -> None:
        """Ask the database for an answer.

        Raises
        ------
        SQLAlchemyError
            There is none.
        """
        with self._engine.connect() as connection:
            connection.execute(select(1))

    def with_strip(self, alarm_ids: list[str]) -> set[str]:
        """Which of these alarms have their strip."""
        found: set[str] = set()
        with self._engine.connect() as connection:
            for at in range(0, len(alarm_ids), IDS):
                some = strips.c.alarm_id.in_(alarm_ids[at : at + IDS])
                found.update(connection.scalars(select(strips.c.alarm_id).where(some)))
        return found

    def without_strip(self, partition: int, since_ns: int) -> list[Wanted]:
        """Alarms of a partition, emitted since then, whose strip was never written."""
        first_offset = func.min(alarm_steps.c.raw_offset)
        asked = (
            select(alarms.c.id, alarms.c.bed, alarms.c.onset_ns, alarms.c.raised_ns, first_offset)
            .join(alarm_steps)
            .outerjoin(strips, strips.c.alarm_id == alarms.c.id)
            .where(
                alarms.c.emitted_ns >= since_ns,
                alarms.c.partition == partition,
                strips.c.alarm_id.is_(None),
            )
            .group_by(alarms.c.id)
        )
        with self._engine.connect() as connection:
            return [Wanted(*row) for row in connection.execute(asked)]

    def _write_alarms(self, connection: Connection, kept: list[Kept[Alarm]]) -> None:
        rows = [alarm_row(item) for item in kept]
        sooner = self._excluded(alarms, "emitted_ns") < alarms.c.emitted_ns
        same = and_(
            self._excluded(alarms, "raw_offset") == alarms.c.raw_offset,
            self._excluded(alarms, "revision") == alarms.c.revision,
        )
        self._replace(connection, alarms, rows, or_(self._is_later(alarms), and_(same, sooner)))
        steps = (
            {"alarm_id": row["id"]}
            | {name: row[name] for name in ("raw_offset", "revision", "state", "emitted_ns", "record")}
            for row in rows
        )
        first = self._excluded(alarm_steps, "emitted_ns") < alarm_steps.c.emitted_ns
        self._replace(connection, alarm_steps, steps, first)

    def _write_strip(self, connection: Connection, strip: Strip) -> None:
        """Write a strip once: what another recorder wrote of it stays."""
        row = {
            "alarm_id": strip.alarm_id,
            "start_ns": strip.start_ns,
            "end_ns": strip.end_ns,
            "complete": strip.complete,
            "written_ns": time.time_ns(),
        }
        statement = self._insert(strips).values(row).on_conflict_do_nothing().returning(strips.c.alarm_id)
        if connection.execute(statement).first() and strip.signals:
            rows = [signal_row(strip.alarm_id, signal) for signal in strip.signals]
            connection.execute(insert(strip_signals), rows)

    def _excluded(self, table: Table, name: str) -> ColumnElement[object]:
        """Column of the row that was to be inserted."""
        return self._insert(table).excluded[name]

    def _is_later(self, table: Table) -> ColumnElement[bool]:
        new = tuple_(self._excluded(table, "raw_offset"), self._excluded(table, "revision"))
        return new > tuple_(table.c.raw_offset, table.c.revision)

    def _says_more(self) -> ColumnElement[bool]:
        """Whether a new verdict replaces the one that is there.

        Of an alarm that a device sent again the signals may be out of reach: what was judged once stays.
        Another alarm under an id that was used before is not judged by that: there the later verdict counts.
        """
        new, held = self._insert(verdicts).excluded, verdicts.c
        later = new.emitted_ns > held.emitted_ns
        again = and_(*(new[name] == held[name] for name in ("bed", "kind", "time_ns")))
        judged, was_judged = new.stands.is_not(None), held.stands.is_not(None)
        return or_(
            and_(later, or_(judged, not_(was_judged), not_(again))), and_(again, judged, not_(was_judged))
        )

    def _add(self, connection: Connection, table: Table, rows: Iterable[Row]) -> None:
        connection.execute(self._insert(table).on_conflict_do_nothing(), list(rows))

    def _replace(
        self, connection: Connection, table: Table, rows: Iterable[Row], where: ColumnElement[bool]
    ) -> None:
        """Insert rows; of those that are there, replace the ones for which ``where`` holds."""
        keys = [column.name for column in table.primary_key]
        statement = self._insert(table)
        values = {
            column.name: statement.excluded[column.name]
            for column in table.columns
            if column.name not in keys
        }
        # In one order, so that two recorders never wait for each other crosswise.
        ordered = sorted(rows, key=lambda row: [str(row[name]) for name in keys])
        connection.execute(
            statement.on_conflict_do_update(index_elements=keys, set_=values, where=where), ordered
        )

    def aggregate(self, minutes: Iterable[Minute]) -> None:
        """Bring minutes up to date with their seconds.

        A minute of fewer seconds than the one that is there stays as it is: its seconds were deleted.
        """
        parameters: dict[Table, list[dict[str, str | int]]] = {vitals_1min: [], eeg_1min: []}
        for bed, signal, begin_ns in sorted(minutes):
            minute: dict[str, str | int] = {
                "of_bed": bed, "begin_ns": begin_ns, "end_ns": begin_ns + MINUTE_NS
            }  # fmt: skip
            parameters[vitals_1min].append(minute | {"of_signal": signal})
            if signal == SignalKind.EEG:
                parameters[eeg_1min].append(minute)
        with self._engine.begin() as connection:
            for table, some in parameters.items():
                if some:
                    self._aggregate(connection, table, some)

    def _aggregate(
        self, connection: Connection, table: Table, parameters: list[dict[str, str | int]]
    ) -> None:
        columns, seconds = vitals_of_minute() if table is vitals_1min else eeg_of_minute()
        keys = [column.name for column in table.primary_key]
        statement = self._insert(table).from_select(list(columns), seconds)
        values = {name: statement.excluded[name] for name in columns if name not in keys}
        statement = statement.on_conflict_do_update(
            index_elements=keys, set_=values, where=statement.excluded.n >= table.c.n
        )
        connection.execute(statement, parameters)
