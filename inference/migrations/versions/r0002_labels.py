"""What reviewers say of alarms: true, false or unclear."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of labels; what is there stays as it is."""
    op.create_table(
        "alarm_labels",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("alarm_id", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("labelled_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["alarm_id"], ["alarms.id"], name=op.f("fk_alarm_labels_alarms"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_alarm_labels")),
    )
    op.create_index(op.f("ix_alarm_labels_alarm_id_number"), "alarm_labels", ["alarm_id", "number"])


def downgrade() -> None:
    """Drop the labels."""
    op.drop_table("alarm_labels")
