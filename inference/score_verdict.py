"""The shipped verdict model as a :class:`~inference.score_device.Judge`."""

from __future__ import annotations

from pathlib import Path

from inference import verdict_views
from inference.score_sides import Split
from models import verdict


class ShippedJudge:
    """What ``wardwave infer`` says of a bedside device's alarm, on records of CinC 2015.

    Raises
    ------
    ModelNotFound, CardMismatch, DamagedWeights
        The model is not there or not as it should be.
    """

    def __init__(self) -> None:
        card = verdict.load(verdict_views.MODEL).spec
        self.name = card.name
        self.split: Split = card.split

    def __call__(self, record: Path, kind: str) -> tuple[bool, float]:
        """Judge the alarm at 300 s of a record."""
        return verdict_views.judge_record(record, kind)
