"""From Kafka's records to what is written; a record that cannot be used is counted and stops nothing."""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import Final, TypeVar

import msgspec

from inference.intake import RawRecord
from inference.raw_history import received
from inference.store_rows import Kept
from inference.store_write import Batch
from inference.strip_cutter import StripCutter
from inference.types import Alarm, Audit, Verdict, VitalBatch
from ingest.settings import Topics

logger = logging.getLogger(__name__)

LONGEST_KEY: Final = 300
"""Characters of what is a key or has an index: PostgreSQL refuses longer ones."""
_KEYS: Final = frozenset({"id", "bed", "signal", "kind", "device", "ward", "user", "action"})
_NUL: Final = b"\\u0000"

Item = TypeVar("Item", bound=msgspec.Struct)


class BadRecord(Exception):
    """A record that no database would take."""


def check(item: msgspec.Struct) -> None:
    """Refuse what does not fit into the columns.

    Raises
    ------
    BadRecord
        Names the field.
    """
    for name in item.__struct_fields__:
        value = getattr(item, name)
        if type(value) is int and not -(2**63) <= value < 2**63:
            raise BadRecord(f"{name} is beyond 64 bits")
        if name in _KEYS and type(value) is str and len(value) > LONGEST_KEY:
            raise BadRecord(f"{name} has {len(value)} characters, more than {LONGEST_KEY}")
        if name == "partition" and not 0 <= value < 2**31:
            raise BadRecord(f"partition={value} is none")


class RecordIntake:
    """Sorts the records of all topics.

    Parameters
    ----------
    topics : Topics
        Names of the topics.
    cutter : StripCutter
        Gets the raw records.
    counts : Counter
        Counts what came.
    """

    def __init__(self, topics: Topics, cutter: StripCutter, counts: Counter[str]) -> None:
        self._topics = topics
        self._cutter = cutter
        self._counts = counts
        self._alarms = msgspec.json.Decoder(Alarm)
        self._audit = msgspec.json.Decoder(Audit)
        self._verdicts = msgspec.json.Decoder(Verdict)
        self._vitals = msgspec.json.Decoder(VitalBatch)

    @property
    def topics(self) -> tuple[str, ...]:
        """What is read."""
        names = self._topics
        return names.raw, names.vitals, names.alarms, names.audit, names.verdicts

    def take(self, record: RawRecord, into: Batch) -> None:
        """Take in one record."""
        if record.topic == self._topics.raw:
            self._counts["raw"] += 1
            bed = (record.key or b"").decode(errors="replace")
            self._cutter.take(record.partition, bed, received(record), time.monotonic())
            return
        try:
            self._take_output(record, into)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, BadRecord) as error:
            self._counts["bad_records"] += 1
            # One line for the 1st, 10th, 100th: a writer gone wild must not fill the disk.
            if str(self._counts["bad_records"]).strip("0") == "1":
                where = f"{record.topic}/{record.partition}@{record.offset}"
                logger.warning("%s is left out (%d so far): %s", where, self._counts["bad_records"], error)

    def _take_output(self, record: RawRecord, into: Batch) -> None:
        value = record.value or b""
        if _NUL in value:
            raise BadRecord("a text holds the character U+0000")
        if record.topic == self._topics.vitals:
            items = self._vitals.decode(value).items
            for item in items:
                check(item)
            into.vitals.extend(items)
            self._counts["vitals"] += len(items)
        elif record.topic == self._topics.alarms:
            into.alarms.append(_keep(self._alarms.decode(value), record))
            self._counts["alarm_steps"] += 1
        elif record.topic == self._topics.audit:
            into.audit.append(_keep(self._audit.decode(value), record))
            self._counts["audit"] += 1
        elif record.topic == self._topics.verdicts:
            into.verdicts.append(_keep(self._verdicts.decode(value), record))
            self._counts["verdicts"] += 1


def _keep(item: Item, record: RawRecord) -> Kept[Item]:
    check(item)
    return Kept(item, record.value.decode(), record.partition)
