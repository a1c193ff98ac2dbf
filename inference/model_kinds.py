"""Whether the networks that options name are of the kind that each is to be.

A card of another kind is a mistake of whoever gave the option, and is said before anything starts. A file
that is damaged or not there is none: what can be watched is watched without it (:mod:`inference.networks`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Final

from inference.cli import NO_MODEL
from inference.errors import UnfitOption
from models import cards
from models.errors import ModelError

TASKS: Final = {
    "--model": "monitor",
    "--beats-model": "beats",
    "--lung-model": "lung",
    "--heart-model": "heart",
    "--eeg-model": "eeg",
}
"""Task that the card of each option's network must have."""


def check_kinds(asked: Mapping[str, str | None]) -> None:
    """Refuse a network of another kind.

    Parameters
    ----------
    asked : mapping of str to str or None
        Shipped name or path of a card by option; "none" or ``None`` where there is nothing to check.

    Raises
    ------
    UnfitOption
        Names the option, the card, its task, what is wanted and the shipped networks of that kind.
    """
    for option, name in asked.items():
        task = None if name in (None, NO_MODEL) else _task_of(str(name))
        if task is not None and task != TASKS[option]:
            fitting = [one for one in cards.shipped() if _task_of(one) == TASKS[option]]
            raise UnfitOption(
                f"{option} {name}: its card says task {task!r}, this option wants {TASKS[option]!r}; give "
                + (f"{' or '.join(fitting)}, or " if fitting else "")
                + "the path of such a card"
            )


def _task_of(name: str) -> str | None:
    """Task of a card; ``None`` of one that cannot be read."""
    with contextlib.suppress(ModelError, OSError):
        return cards.read_spec(name).task
    return None
