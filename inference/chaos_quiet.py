"""Keeps libraries out of a runner's log."""

from __future__ import annotations

import logging


def quiet_libraries() -> None:
    """Quieten what says much: lines are cut on purpose, and alembic names its plugins when it is imported."""
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.WARNING)
