"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make all tables."""
    _alarms()
    _strips()
    _audit()
    _verdicts()
    _trends()


def downgrade() -> None:
    """Drop all tables."""
    for name in (
        "strip_signals",
        "strips",
        "alarm_steps",
        "vitals_1s",
        "vitals_1min",
        "verdicts",
        "audit",
        "alarms",
    ):
        op.drop_table(name)


def _alarms() -> None:
    op.create_table(
        "alarms",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("bed", sa.Text(), nullable=False),
        sa.Column("signal", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("priority", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("onset_ns", sa.BigInteger(), nullable=False),
        sa.Column("raised_ns", sa.BigInteger(), nullable=False),
        sa.Column("emitted_ns", sa.BigInteger(), nullable=False),
        sa.Column("ended_ns", sa.BigInteger(), nullable=True),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("limit_value", sa.Double(), nullable=True),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("acknowledged_by", sa.Text(), nullable=True),
        sa.Column("acknowledged_ns", sa.BigInteger(), nullable=True),
        sa.Column("escalated_ns", sa.BigInteger(), nullable=True),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("raw_offset", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alarms")),
    )
    op.create_index(op.f("ix_alarms_bed_raised_ns"), "alarms", ["bed", "raised_ns"])
    op.create_index(op.f("ix_alarms_emitted_ns"), "alarms", ["emitted_ns"])
    op.create_index(op.f("ix_alarms_raised_ns"), "alarms", ["raised_ns"])
    op.create_table(
        "alarm_steps",
        sa.Column("alarm_id", sa.Text(), nullable=False),
        sa.Column("raw_offset", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("emitted_ns", sa.BigInteger(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["alarm_id"], ["alarms.id"], name=op.f("fk_alarm_steps_alarms"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("alarm_id", "raw_offset", "revision", name=op.f("pk_alarm_steps")),
    )


def _strips() -> None:
    op.create_table(
        "strips",
        sa.Column("alarm_id", sa.Text(), nullable=False),
        sa.Column("start_ns", sa.BigInteger(), nullable=False),
        sa.Column("end_ns", sa.BigInteger(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("written_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["alarm_id"], ["alarms.id"], name=op.f("fk_strips_alarms"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("alarm_id", name=op.f("pk_strips")),
    )
    op.create_table(
        "strip_signals",
        sa.Column("alarm_id", sa.Text(), nullable=False),
        sa.Column("signal", sa.Text(), nullable=False),
        sa.Column("segment", sa.Integer(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("channels", sa.Text(), nullable=False),
        sa.Column("fs_hz", sa.Double(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("start_ns", sa.BigInteger(), nullable=False),
        sa.Column("n_samples", sa.Integer(), nullable=False),
        sa.Column("gain", sa.Text(), nullable=True),
        sa.Column("baseline", sa.Text(), nullable=True),
        sa.Column("encoding", sa.Text(), nullable=False),
        sa.Column("samples", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["alarm_id"], ["strips.alarm_id"], name=op.f("fk_strip_signals_strips"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("alarm_id", "signal", "segment", name=op.f("pk_strip_signals")),
    )


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("bed", sa.Text(), nullable=True),
        sa.Column("ward", sa.Text(), nullable=True),
        sa.Column("user_name", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("issued_ns", sa.BigInteger(), nullable=False),
        sa.Column("applied_ns", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", "partition", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_applied_ns"), "audit", ["applied_ns"])
    op.create_index(op.f("ix_audit_bed_applied_ns"), "audit", ["bed", "applied_ns"])


def _verdicts() -> None:
    op.create_table(
        "verdicts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("bed", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("time_ns", sa.BigInteger(), nullable=False),
        sa.Column("stands", sa.Boolean(), nullable=True),
        sa.Column("probability", sa.Double(), nullable=True),
        sa.Column("emitted_ns", sa.BigInteger(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verdicts")),
    )
    op.create_index(op.f("ix_verdicts_bed_time_ns"), "verdicts", ["bed", "time_ns"])
    op.create_index(op.f("ix_verdicts_emitted_ns"), "verdicts", ["emitted_ns"])
    op.create_index(op.f("ix_verdicts_time_ns"), "verdicts", ["time_ns"])


def _trends() -> None:
    op.create_table(
        "vitals_1s",
        sa.Column("bed", sa.Text(), nullable=False),
        sa.Column("signal", sa.Text(), nullable=False),
        sa.Column("time_ns", sa.BigInteger(), nullable=False),
        sa.Column("heart_rate_bpm", sa.Double(), nullable=True),
        sa.Column("ventricular_per_min", sa.Double(), nullable=True),
        sa.Column("quality", sa.Double(), nullable=False),
        sa.Column("usable", sa.Boolean(), nullable=False),
        sa.Column("raw_offset", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("bed", "signal", "time_ns", name=op.f("pk_vitals_1s")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_vitals_1s_time_ns"), "vitals_1s", ["time_ns"])
    op.create_table(
        "vitals_1min",
        sa.Column("bed", sa.Text(), nullable=False),
        sa.Column("signal", sa.Text(), nullable=False),
        sa.Column("minute_ns", sa.BigInteger(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("n_usable", sa.Integer(), nullable=False),
        sa.Column("heart_rate_n", sa.Integer(), nullable=False),
        sa.Column("heart_rate_mean", sa.Double(), nullable=True),
        sa.Column("heart_rate_min", sa.Double(), nullable=True),
        sa.Column("heart_rate_max", sa.Double(), nullable=True),
        sa.Column("ventricular_n", sa.Integer(), nullable=False),
        sa.Column("ventricular_mean", sa.Double(), nullable=True),
        sa.Column("ventricular_min", sa.Double(), nullable=True),
        sa.Column("ventricular_max", sa.Double(), nullable=True),
        sa.Column("quality_mean", sa.Double(), nullable=False),
        sa.Column("quality_min", sa.Double(), nullable=False),
        sa.Column("quality_max", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("bed", "signal", "minute_ns", name=op.f("pk_vitals_1min")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_vitals_1min_minute_ns"), "vitals_1min", ["minute_ns"])
