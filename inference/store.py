"""Reading the store: alarms and their lives, strips, labels, trends, audit trail, verdicts.

What the recorder wrote, as frozen records. Times are ns since the epoch, spans ``since_ns <= t < until_ns``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Literal, Self, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, RowMapping, Select, Table, select
from sqlalchemy.exc import SQLAlchemyError

from inference.errors import StoreError
from inference.store_engine import check_revision, connect, reason, shown
from inference.store_labels import AlarmLabel, read_label
from inference.store_query import AlarmFilter, alarms_asked, label_in, number_of_alarms, within
from inference.store_rows import read_signal
from inference.store_schema import (
    alarm_labels,
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
from inference.store_trends import EegPoint, TrendPoint, of_eeg_minute, of_eeg_second, of_minute, of_second
from inference.strips import Strip
from inference.types import Alarm, Audit, Priority, Verdict

Result = TypeVar("Result")

MOST_ROWS: Final = 100_000
"""Points of one trend; a longer span is cut at its begin."""

_decode_alarm: Final = msgspec.json.Decoder(Alarm).decode
_decode_audit: Final = msgspec.json.Decoder(Audit).decode
_decode_verdict: Final = msgspec.json.Decoder(Verdict).decode


@dataclass(frozen=True, slots=True)
class StoredAlarm:
    """The newest step of an alarm.

    ``record`` is its JSON as it came, fields that this version does not know included. ``strip_complete`` is
    ``None`` as long as there is no strip, ``label`` is the one that counts.
    """

    alarm: Alarm
    record: str
    strip_complete: bool | None
    label: AlarmLabel | None = None


class Store:
    """Reads a store. May be used by several threads.

    Parameters
    ----------
    url : str
        ``sqlite:///file`` or ``postgresql://…``.
    patience_s : float, optional
        How long to wait for a connection, a lock or an answer; by default as long as a recorder does.
    check : bool
        Whether to look for the schema at once, not only when :meth:`check` is called.

    Raises
    ------
    StoreError
        There is none, or its schema is not this version's.
    """

    def __init__(self, url: str, patience_s: float | None = None, *, check: bool = True) -> None:
        self._engine = connect(url, writes=False, patience_s=patience_s)
        if check:
            self.check()

    def check(self) -> None:
        """Refuse a database that is not there, or whose schema is not this version's."""
        try:
            check_revision(self._engine)
        except StoreError:
            self._engine.dispose()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._engine.dispose()

    def read(self, work: Callable[[Connection], Result]) -> Result:
        """Do ``work`` on a connection; every function here goes through this one."""
        try:
            with self._engine.connect() as connection:
                return work(connection)
        except SQLAlchemyError as error:
            raise StoreError(f"{shown(self._engine.url)}: {reason(error)}") from error

    def alarms(
        self,
        *,
        bed: str | None = None,
        kind: str | None = None,
        signal: str | None = None,
        priority: Priority | None = None,
        since_ns: int | None = None,
        until_ns: int | None = None,
        limit: int = 200,
    ) -> list[StoredAlarm]:
        """Alarms by the time at which they were raised, the newest first.

        Raises
        ------
        StoreError
            The database does not answer. So for all functions here.
        """
        wanted = AlarmFilter(
            beds=() if bed is None else (bed,),
            kinds=() if kind is None else (kind,),
            signals=() if signal is None else (signal,),
            priorities=() if priority is None else (priority,),
            since_ns=since_ns,
            until_ns=until_ns,
        )
        return self.find(wanted, limit=limit)

    def find(self, wanted: AlarmFilter, *, limit: int = 200, offset: int = 0) -> list[StoredAlarm]:
        """Alarms that fit a filter, by the time at which they were raised, the newest first."""
        return self._alarms(alarms_asked(wanted).limit(limit).offset(offset))

    def count(self, wanted: AlarmFilter) -> int:
        """How many alarms fit a filter."""
        return self.read(lambda connection: connection.execute(number_of_alarms(wanted)).scalar_one())

    def alarm(self, alarm_id: str) -> StoredAlarm | None:
        """One alarm; ``None`` where it is not known."""
        found = self._alarms(alarms_asked(AlarmFilter()).where(alarms.c.id == alarm_id))
        return found[0] if found else None

    def _alarms(self, asked: Select[tuple[object, ...]]) -> list[StoredAlarm]:
        return self.read(
            lambda connection: [
                StoredAlarm(_decode_alarm(row["record"]), row["record"], row["complete"], label_in(row))
                for row in connection.execute(asked).mappings()
            ]
        )

    def beds(self) -> list[str]:
        """Beds that ever had an alarm, in order."""
        asked = select(alarms.c.bed).distinct().order_by(alarms.c.bed)
        return self.read(lambda connection: list(connection.scalars(asked)))

    def labels(self, alarm_id: str) -> list[AlarmLabel]:
        """Every label of an alarm, the newest first: that one counts."""
        asked = select(alarm_labels).where(alarm_labels.c.alarm_id == alarm_id)
        asked = asked.order_by(alarm_labels.c.number.desc())
        return self.read(lambda connection: [read_label(row) for row in connection.execute(asked).mappings()])

    def with_strip(self) -> list[str]:
        """Ids of all alarms that have a strip, in order of its begin."""
        asked = select(strips.c.alarm_id).order_by(strips.c.start_ns)
        return self.read(lambda connection: list(connection.scalars(asked)))

    def life(self, alarm_id: str) -> list[Alarm]:
        """Every step of an alarm, in order; empty for one that is not known."""
        asked = (
            select(alarm_steps.c.record)
            .where(alarm_steps.c.alarm_id == alarm_id)
            .order_by(alarm_steps.c.raw_offset, alarm_steps.c.revision)
        )
        return self.read(lambda connection: [_decode_alarm(record) for record in connection.scalars(asked)])

    def strip_of(self, alarm_id: str) -> Strip | None:
        """Strip of an alarm; ``None`` as long as there is none."""
        return self.read(lambda connection: _strip(connection, alarm_id))

    def trend(
        self,
        bed: str,
        signal: str,
        *,
        since_ns: int | None = None,
        until_ns: int | None = None,
        step_s: Literal[1, 60] = 1,
    ) -> list[TrendPoint]:
        """Numbers of a signal in order of time, second by second or minute by minute."""
        if step_s == 1:
            return self._points(vitals_1s, vitals_1s.c.time_ns, of_second, bed, since_ns, until_ns, signal)
        return self._points(vitals_1min, vitals_1min.c.minute_ns, of_minute, bed, since_ns, until_ns, signal)

    def eeg_trend(
        self,
        bed: str,
        *,
        since_ns: int | None = None,
        until_ns: int | None = None,
        step_s: Literal[1, 60] = 1,
    ) -> list[EegPoint]:
        """Trends of an EEG in order of time, second by second or minute by minute."""
        if step_s == 1:
            return self._points(eeg_1s, eeg_1s.c.time_ns, of_eeg_second, bed, since_ns, until_ns)
        return self._points(eeg_1min, eeg_1min.c.minute_ns, of_eeg_minute, bed, since_ns, until_ns)

    def _points(
        self,
        table: Table,
        at: ColumnElement[int],
        point: Callable[[RowMapping], Result],
        bed: str,
        since_ns: int | None,
        until_ns: int | None,
        signal: str | None = None,
    ) -> list[Result]:
        asked = select(table).where(table.c.bed == bed, *within(at, since_ns, until_ns))
        if signal is not None:
            asked = asked.where(table.c.signal == signal)
        asked = asked.order_by(at.desc()).limit(MOST_ROWS)
        return self.read(
            lambda connection: [point(row) for row in connection.execute(asked).mappings()][::-1]
        )

    def audit(
        self,
        *,
        bed: str | None = None,
        since_ns: int | None = None,
        until_ns: int | None = None,
        limit: int = 1_000,
    ) -> list[Audit]:
        """What staff did, by the time at which it was applied, the newest first."""
        return [
            _decode_audit(record)
            for record in self._records(audit, audit.c.applied_ns, bed, since_ns, until_ns, limit)
        ]

    def verdicts(
        self,
        *,
        bed: str | None = None,
        since_ns: int | None = None,
        until_ns: int | None = None,
        limit: int = 1_000,
    ) -> list[Verdict]:
        """Verdicts on devices' alarms, by the time at which they sounded, the newest first."""
        return [
            _decode_verdict(record)
            for record in self._records(verdicts, verdicts.c.time_ns, bed, since_ns, until_ns, limit)
        ]

    def _records(
        self,
        table: Table,
        at: ColumnElement[int],
        bed: str | None,
        since_ns: int | None,
        until_ns: int | None,
        limit: int,
    ) -> list[str]:
        asked = select(table.c.record).where(*within(at, since_ns, until_ns))
        if bed is not None:
            asked = asked.where(table.c.bed == bed)
        asked = asked.order_by(at.desc(), *table.primary_key).limit(limit)
        return self.read(lambda connection: list(connection.scalars(asked)))


def _strip(connection: Connection, alarm_id: str) -> Strip | None:
    head = connection.execute(select(strips).where(strips.c.alarm_id == alarm_id)).mappings().first()
    if head is None:
        return None
    asked = (
        select(strip_signals)
        .where(strip_signals.c.alarm_id == alarm_id)
        .order_by(strip_signals.c.signal, strip_signals.c.segment)
    )
    signals = tuple(read_signal(row) for row in connection.execute(asked).mappings())
    return Strip(alarm_id, head["start_ns"], head["end_ns"], head["complete"], signals)
