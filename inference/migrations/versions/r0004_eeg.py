"""Trends of EEGs: what each second of a bed's EEG was, and each minute."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_OF_SIDES = (
    "aeeg_low_uv", "aeeg_high_uv", "edge_hz", "delta_uv2", "theta_uv2", "alpha_uv2", "beta_uv2",
    "alpha_delta", "suppression",
)  # fmt: skip
_NUMBERS = (
    *(f"{name}_{side}" for name in _OF_SIDES for side in ("left", "right")),
    "suppression_whole", "asymmetry", "symmetry_index", "trusted",
)  # fmt: skip


def upgrade() -> None:
    """Make the tables. Nothing of it was stored before."""
    op.create_table(
        "eeg_1s",
        sa.Column("bed", sa.Text(), nullable=False),
        sa.Column("time_ns", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Double(), nullable=True) for name in _NUMBERS),
        sa.Column("raw_offset", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("bed", "time_ns", name="pk_eeg_1s"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_eeg_1s_time_ns", "eeg_1s", ["time_ns"])
    op.create_table(
        "eeg_1min",
        sa.Column("bed", sa.Text(), nullable=False),
        sa.Column("minute_ns", sa.BigInteger(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        *(sa.Column(f"{name}_mean", sa.Double(), nullable=True) for name in _NUMBERS),
        sa.PrimaryKeyConstraint("bed", "minute_ns", name="pk_eeg_1min"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_eeg_1min_minute_ns", "eeg_1min", ["minute_ns"])


def downgrade() -> None:
    """Drop the tables with what is in them."""
    for table in ("eeg_1min", "eeg_1s"):
        op.drop_table(table)
