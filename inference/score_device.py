"""Alarms of bedside devices (CinC 2015): whether what is called true is what clinicians found true."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from inference.errors import InferenceError
from inference.reference import KIND_OF_ALARM, DeviceLabel
from inference.score_sides import Split, side_in

MISS_COST: Final = 5
"""CinC 2015: a true alarm that is called false costs five times as much as a false one that sounds."""


class Judge(Protocol):
    """Says whether a device's alarm stands."""

    name: str
    split: Split
    """Records of each side of its fit."""

    def __call__(self, record: Path, kind: str) -> tuple[bool, float]:
        """Judge the alarm at 300 s of a record: whether it stands, and the probability that it is true.

        Parameters
        ----------
        record : Path
            WFDB record without suffix.
        kind : str
            One of :data:`inference.reference.KIND_OF_ALARM`.

        Raises
        ------
        InferenceError
            It cannot be judged.
        """
        ...


@dataclass(frozen=True, slots=True)
class Ruling:
    """A verdict; ``stands`` is None where there is none (``detail``).

    ``in_fit`` says that the judge was fitted on this record.
    """

    stands: bool | None
    probability: float | None
    in_fit: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class DeviceCounts:
    """Alarms of one kind, or all.

    ``tp`` were called true and are, ``fp`` were called true but are false, ``tn`` and ``fn`` were called
    false; ``score`` is that of CinC 2015 in percent; None without alarms.
    """

    kind: str
    tp: int
    fp: int
    tn: int
    fn: int
    score: float | None

    @property
    def total(self) -> int:
        """Alarms."""
        return self.tp + self.fp + self.tn + self.fn


def rule(judge: Judge, path: Path, record: str, device: DeviceLabel | None) -> Ruling | None:
    """Ask for the verdict on a record's alarm; None where it has none."""
    if device is None:
        return None
    in_fit = side_in(judge.split, record) in ("train", "validation")
    try:
        stands, probability = judge(path, device.name)
    except InferenceError as error:
        return Ruling(None, None, in_fit, str(error))
    return Ruling(stands, probability, in_fit)


def counts(kind: str, called: Iterable[tuple[bool, bool]]) -> DeviceCounts:
    """Count pairs (called true, is true)."""
    pairs = list(called)
    tp = sum(said and true for said, true in pairs)
    fp = sum(said and not true for said, true in pairs)
    tn = sum(not said and not true for said, true in pairs)
    fn = sum(not said and true for said, true in pairs)
    whole = tp + tn + fp + MISS_COST * fn
    return DeviceCounts(kind, tp, fp, tn, fn, 100.0 * (tp + tn) / whole if whole else None)


def counts_by_kind(called: Iterable[tuple[str, bool, bool]]) -> tuple[DeviceCounts, ...]:
    """Count triples (CinC 2015 name of the kind, called true, is true): each kind that occurs, then all."""
    rows = list(called)
    found = [
        counts(name, [(said, true) for kind, said, true in rows if kind == name])
        for name in KIND_OF_ALARM
        if any(kind == name for kind, _, _ in rows)
    ]
    return (*found, counts("all", [(said, true) for _, said, true in rows]))
