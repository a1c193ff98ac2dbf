"""Labels of alarms: reviewers say whether an alarm was true, false or unclear.

Labels are added and never changed: the newest counts, the earlier ones are its history. A label goes with its
alarm when the recorder deletes that (``WARDWAVE_RECORDER__ALARMS_DAYS``), never before. This is all that a
dashboard writes to the store.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import ColumnElement, RowMapping, func, insert, select
from sqlalchemy.exc import SQLAlchemyError

from inference.errors import StoreError
from inference.store_engine import check_revision, connect, reason, shown
from inference.store_schema import alarm_labels, alarms

LONGEST_COMMENT: Final = 1_000
LONGEST_NAME: Final = 200


class Label(StrEnum):
    """What a reviewer says of an alarm."""

    TRUE = "true"
    FALSE = "false"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class AlarmLabel:
    """One reviewer's word on one alarm; ``number`` counts all labels of a store."""

    number: int
    alarm_id: str
    label: Label
    comment: str
    reviewer: str
    labelled_ns: int


def read_label(row: RowMapping) -> AlarmLabel:
    """Turn a row of ``alarm_labels`` back."""
    return AlarmLabel(
        row["number"],
        row["alarm_id"],
        Label(row["label"]),
        row["comment"],
        row["reviewer"],
        row["labelled_ns"],
    )


def is_newest() -> ColumnElement[bool]:
    """Make the condition that joins an alarm with the label that counts, by the index of labels."""
    other = alarm_labels.alias("other_labels")
    newest = select(func.max(other.c.number)).where(other.c.alarm_id == alarms.c.id)
    return alarm_labels.c.number == newest.correlate(alarms).scalar_subquery()


class LabelWriter:
    """Adds labels to a store. May be used by several threads.

    Parameters
    ----------
    url : str
        ``sqlite:///file`` or ``postgresql://…``.
    patience_s : float, optional
        How long to wait for a connection, a lock or an answer; by default as long as a recorder does.

    Raises
    ------
    StoreError
        There is none, or its schema is not this version's.
    """

    def __init__(self, url: str, patience_s: float | None = None) -> None:
        self._engine = connect(url, writes=True, patience_s=patience_s)
        try:
            check_revision(self._engine)
        except StoreError:
            self._engine.dispose()
            raise

    def close(self) -> None:
        """Let go of the connections."""
        self._engine.dispose()

    def add(self, alarm_id: str, label: Label, *, reviewer: str, comment: str = "") -> AlarmLabel:
        """Add a label; it counts from now on.

        Parameters
        ----------
        alarm_id : str
            Of an alarm that the recorder has written.
        label : Label
            The reviewer's word.
        reviewer : str
            Account of who says so, at most 200 characters.
        comment : str
            Why, at most 1,000 characters.

        Raises
        ------
        StoreError
            No such alarm, a text that is too long or empty, or the database does not answer.
        """
        reviewer, comment = (
            _text("reviewer", reviewer, LONGEST_NAME),
            _text("comment", comment, LONGEST_COMMENT),
        )
        if not reviewer:
            raise StoreError("a label needs its reviewer: sign in under a name")
        row = {
            "alarm_id": alarm_id,
            "label": Label(label).value,
            "comment": comment,
            "reviewer": reviewer,
            "labelled_ns": time.time_ns(),
        }
        try:
            with self._engine.begin() as connection:
                if connection.scalar(select(alarms.c.id).where(alarms.c.id == alarm_id)) is None:
                    raise StoreError(
                        f"alarm {alarm_id!r} is not in the store: 'wardwave record' has not written it yet, "
                        "or it is older than WARDWAVE_RECORDER__ALARMS_DAYS"
                    )
                added = connection.execute(insert(alarm_labels).values(row).returning(alarm_labels))
                return read_label(added.mappings().one())
        except SQLAlchemyError as error:
            raise StoreError(f"{shown(self._engine.url)}: {reason(error)}") from error


def _text(field: str, text: str, most: int) -> str:
    """Text without what a database or a file of lines cannot hold."""
    plain = "".join(char if char.isprintable() else " " for char in text).strip()
    if len(plain) > most:
        raise StoreError(f"{field} has {len(plain):,} characters; at most {most:,} are kept: shorten it")
    return plain
