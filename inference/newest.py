"""Which of several tellings counts: topics bring records again, and older ones after newer ones."""

from __future__ import annotations

from inference.types import Alarm, Prediction, Vital

Place = tuple[int, int]
"""Offset of the raw record that something was said of, and which telling of that it is."""


def place(said: Alarm | Prediction | Vital) -> Place:
    """Return what orders items of one bed: of one ``id`` the highest is kept."""
    return said.raw_offset, said.revision


def keep_newest(held: dict[str, Alarm], alarm: Alarm) -> None:
    """Hold a step of an alarm by the alarm's ``id``, unless a newer step is held."""
    known = held.get(alarm.id)
    if known is None or place(alarm) >= place(known):
        held[alarm.id] = alarm
