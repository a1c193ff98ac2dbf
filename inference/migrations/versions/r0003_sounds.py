"""Trends of lung and heart sounds: breaths a minute, and what was heard."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

Number = sa.Column[float] | sa.Column[int]

_HEARD = ("crackle", "wheeze", "murmur")


def upgrade() -> None:
    """Add the columns. Nothing of it was stored before: seconds have none, minutes count none."""
    for table, columns in (("vitals_1s", _of_seconds()), ("vitals_1min", _of_minutes())):
        for column in columns:
            op.add_column(table, column)


def downgrade() -> None:
    """Drop the columns with what is in them."""
    for table, columns in (("vitals_1s", _of_seconds()), ("vitals_1min", _of_minutes())):
        for column in reversed(columns):
            op.drop_column(table, column.name)


def _of_seconds() -> list[Number]:
    return [_double(name) for name in ("respiratory_rate_bpm", *_HEARD)]


def _of_minutes() -> list[Number]:
    columns: list[Number] = [_count("respiratory_rate_n")]
    columns += [_double(f"respiratory_rate_{name}") for name in ("mean", "min", "max")]
    for name in _HEARD:
        columns += [_count(f"{name}_n"), _double(f"{name}_mean")]
    return columns


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), server_default="0", nullable=False)


def _double(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double(), nullable=True)
