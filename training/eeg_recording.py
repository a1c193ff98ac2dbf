"""A recording of an EEG set before its signal is read: name, patient, file, seizures."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.szcore import Event
from training.errors import BadAnnotation, DataMissing

logger = logging.getLogger(__name__)

LONGEST_EXCESS_S: Final = 2.0
"""An annotation may end so much behind its record (headers count whole blocks); it is cut there."""


@dataclass(frozen=True, slots=True)
class EegRecording:
    """One recording of a set, before its signal is read.

    Attributes
    ----------
    name : str
        ``source/record``.
    patient : str
        Unit of splits and intervals.
    path : Path
        Of the signal.
    seizures : tuple of (float, float)
        Starts and ends in seconds from the record's start.
    side : str
        Official side where the set has one (``train``, ``dev``, ``eval``), else empty.
    """

    name: str
    patient: str
    path: Path
    seizures: tuple[Event, ...]
    side: str = ""


def read_lines(path: Path) -> list[str]:
    """Lines of a text file, whatever its encoding.

    Raises
    ------
    DataMissing
        It cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise DataMissing(f"{path}: {error.strerror}") from error


def make_event(path: Path, where: str, start: str | float, end: str | float) -> Event:
    """A start and an end as numbers.

    Raises
    ------
    BadAnnotation
        They are no numbers, or the end is not after the start.
    """
    try:
        found = float(start), float(end)
    except ValueError:
        raise BadAnnotation(
            f"{path}: {where}: {start!r} to {end!r} are no seconds; correct the file"
        ) from None
    if not found[1] > found[0] >= 0:
        raise BadAnnotation(
            f"{path}: {where}: a seizure from {found[0]:g} s to {found[1]:g} s; it begins at 0 or later and "
            "ends after that: correct the file"
        )
    return found


def inside(recording: EegRecording, duration_s: float) -> tuple[Event, ...]:
    """Seizures held against the record's length.

    One that ends a little behind the record is cut there.

    Raises
    ------
    BadAnnotation
        One begins behind the record's end, or ends more than :data:`LONGEST_EXCESS_S` behind it.
    """
    kept = []
    for start, end in recording.seizures:
        if start >= duration_s or end > duration_s + LONGEST_EXCESS_S:
            raise BadAnnotation(
                f"{recording.path}: a seizure from {start:g} to {end:g} s in a record of {duration_s:g} s; "
                "is the file whole? Fetch it anew or correct its annotation"
            )
        if end > duration_s:
            logger.warning(
                "%s: a seizure's end at %g s is cut to the record's, %g s", recording.path, end, duration_s
            )
        kept.append((start, min(end, duration_s)))
    return tuple(kept)
