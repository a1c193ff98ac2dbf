"""Tables of the store: alarms with lives, strips and labels, audit trail, verdicts, trends.

Times are ns since the epoch (UTC). What came over the wire is kept whole as text too (``record``), so that
fields which this version does not know are not lost. No table holds a patient's name.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

from inference.types import EegSide

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

HEARD: Final = ("crackle", "wheeze", "murmur")
"""What networks hear in sounds, as far as there are trends of it."""

EEG_SIDED: Final = tuple(f"{name}_{side}" for name in EegSide.__struct_fields__ for side in ("left", "right"))
"""Trends of an EEG that each side of the head has."""
EEG_NUMBERS: Final = (*EEG_SIDED, "suppression_whole", "asymmetry", "symmetry_index", "trusted")
"""All that is stored of an EEG's second; ``trusted`` is the share of its derivations, 0 to 1."""

alarms: Final = Table(
    "alarms",
    metadata,
    Column("id", Text, primary_key=True),
    Column("bed", Text, nullable=False),
    Column("signal", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("priority", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("onset_ns", BigInteger, nullable=False),
    Column("raised_ns", BigInteger, nullable=False),
    Column("emitted_ns", BigInteger, nullable=False),
    Column("ended_ns", BigInteger),
    Column("value", Double),
    Column("limit_value", Double),
    Column("unit", Text),
    Column("acknowledged_by", Text),
    Column("acknowledged_ns", BigInteger),
    Column("escalated_ns", BigInteger),
    Column("partition", Integer, nullable=False),
    Column("raw_offset", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
    Index(None, "raised_ns"),
    Index(None, "bed", "raised_ns"),
    Index(None, "emitted_ns"),
)
"""The newest step of each alarm."""

alarm_steps: Final = Table(
    "alarm_steps",
    metadata,
    Column("alarm_id", Text, ForeignKey(alarms.c.id, ondelete="CASCADE"), primary_key=True),
    Column("raw_offset", BigInteger, primary_key=True),
    Column("revision", BigInteger, primary_key=True),
    Column("state", Text, nullable=False),
    Column("emitted_ns", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
)
"""Every step of every alarm's life."""

strips: Final = Table(
    "strips",
    metadata,
    Column("alarm_id", Text, ForeignKey(alarms.c.id, ondelete="CASCADE"), primary_key=True),
    Column("start_ns", BigInteger, nullable=False),
    Column("end_ns", BigInteger, nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("written_ns", BigInteger, nullable=False),
)
"""One strip an alarm."""

strip_signals: Final = Table(
    "strip_signals",
    metadata,
    Column("alarm_id", Text, primary_key=True),
    Column("signal", Text, primary_key=True),
    Column("segment", Integer, primary_key=True),
    Column("device", Text, nullable=False),
    Column("channels", Text, nullable=False),
    Column("fs_hz", Double, nullable=False),
    Column("unit", Text, nullable=False),
    Column("start_ns", BigInteger, nullable=False),
    Column("n_samples", Integer, nullable=False),
    Column("gain", Text),
    Column("baseline", Text),
    Column("encoding", Text, nullable=False),
    Column("samples", LargeBinary, nullable=False),
    ForeignKeyConstraint(["alarm_id"], [strips.c.alarm_id], ondelete="CASCADE"),
)
"""Waveforms of a strip. ``channels``, ``gain`` and ``baseline`` are JSON lists; ``samples`` is zlib."""

alarm_labels: Final = Table(
    "alarm_labels",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("alarm_id", Text, ForeignKey(alarms.c.id, ondelete="CASCADE"), nullable=False),
    Column("label", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("reviewer", Text, nullable=False),
    Column("labelled_ns", BigInteger, nullable=False),
    Index(None, "alarm_id", "number"),
)
"""What reviewers said of alarms; rows are added, never changed, and the highest number counts."""

audit: Final = Table(
    "audit",
    metadata,
    Column("id", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("bed", Text),
    Column("ward", Text),
    Column("user_name", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("issued_ns", BigInteger, nullable=False),
    Column("applied_ns", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("record", Text, nullable=False),
    Index(None, "applied_ns"),
    Index(None, "bed", "applied_ns"),
)
"""What staff did and what became of it; rows are added, never changed."""

verdicts: Final = Table(
    "verdicts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("bed", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("time_ns", BigInteger, nullable=False),
    Column("stands", Boolean),
    Column("probability", Double),
    Column("emitted_ns", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
    Index(None, "time_ns"),
    Index(None, "bed", "time_ns"),
    Index(None, "emitted_ns"),
)
"""Whether alarms that bedside devices raised themselves stand."""

vitals_1s: Final = Table(
    "vitals_1s",
    metadata,
    Column("bed", Text, primary_key=True),
    Column("signal", Text, primary_key=True),
    Column("time_ns", BigInteger, primary_key=True),
    Column("heart_rate_bpm", Double),
    Column("ventricular_per_min", Double),
    Column("quality", Double, nullable=False),
    Column("usable", Boolean, nullable=False),
    Column("raw_offset", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("respiratory_rate_bpm", Double),
    *(Column(name, Double) for name in HEARD),
    Index(None, "time_ns"),
    sqlite_with_rowid=False,
)
"""The numbers as they came, about one a second. Of :data:`HEARD` 1 or 0 where a piece was judged."""

vitals_1min: Final = Table(
    "vitals_1min",
    metadata,
    Column("bed", Text, primary_key=True),
    Column("signal", Text, primary_key=True),
    Column("minute_ns", BigInteger, primary_key=True),
    Column("n", Integer, nullable=False),
    Column("n_usable", Integer, nullable=False),
    Column("heart_rate_n", Integer, nullable=False),
    Column("heart_rate_mean", Double),
    Column("heart_rate_min", Double),
    Column("heart_rate_max", Double),
    Column("ventricular_n", Integer, nullable=False),
    Column("ventricular_mean", Double),
    Column("ventricular_min", Double),
    Column("ventricular_max", Double),
    Column("quality_mean", Double, nullable=False),
    Column("quality_min", Double, nullable=False),
    Column("quality_max", Double, nullable=False),
    Column("respiratory_rate_n", Integer, nullable=False, server_default="0"),
    Column("respiratory_rate_mean", Double),
    Column("respiratory_rate_min", Double),
    Column("respiratory_rate_max", Double),
    *(
        column
        for name in HEARD
        for column in (
            Column(f"{name}_n", Integer, nullable=False, server_default="0"),
            Column(f"{name}_mean", Double),
        )
    ),
    Index(None, "minute_ns"),
    sqlite_with_rowid=False,
)
"""Each minute of the above; usable share is ``n_usable / n``, ``crackle_mean`` that of pieces with them."""

eeg_1s: Final = Table(
    "eeg_1s",
    metadata,
    Column("bed", Text, primary_key=True),
    Column("time_ns", BigInteger, primary_key=True),
    *(Column(name, Double) for name in EEG_NUMBERS),
    Column("raw_offset", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Index(None, "time_ns"),
    sqlite_with_rowid=False,
)
"""Trends of EEGs as they came, about one row a second (docs/eeg.md says what each is)."""

eeg_1min: Final = Table(
    "eeg_1min",
    metadata,
    Column("bed", Text, primary_key=True),
    Column("minute_ns", BigInteger, primary_key=True),
    Column("n", Integer, nullable=False),
    *(Column(f"{name}_mean", Double) for name in EEG_NUMBERS),
    Index(None, "minute_ns"),
    sqlite_with_rowid=False,
)
"""Each minute of the above: means of what its ``n`` seconds have."""
