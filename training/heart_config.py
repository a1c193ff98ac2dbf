"""Settings of the heart-sound task."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from training.config import Part, Recipe
from training.sound_config import SoundAugment


class HeartData(Part):
    """Which part of the set."""

    window_s: float = Field(default=4.0, gt=0, le=60, description="of sound in an item of a batch")
    present_share: float = Field(
        default=0.5, gt=0, lt=1, description="of items from patients with a murmur, of those known"
    )
    unknown_share: float = Field(
        default=0.05, ge=0, lt=1, description="of items from patients whose murmur is unknown: states alone"
    )
    inner: int = Field(default=7, ge=2, description="one part in so many of those who do not test validates")


class HeartAugment(SoundAugment):
    """How windows of heart sounds are varied, beyond levels, bands and masks."""

    speed: tuple[float, float] = Field(
        default=(0.8, 1.25), description="all is played so much faster; drawn log-uniformly"
    )
    diastole_speed: tuple[float, float] = Field(
        default=(0.25, 1.3),
        description="diastole alone, so that slow hearts are heard in training, too; drawn log-uniformly",
    )


class HeartLoss(Part):
    """Cross entropy of the states, of the murmur in systole, and of the window's murmur."""

    murmur_step_weight: float = Field(default=0.5, ge=0)
    murmur_window_weight: float = Field(default=0.5, ge=0)
    label_smoothing: float = Field(default=0.05, ge=0, lt=0.5)


class HeartRecipe(Recipe):
    """All that makes a heart-sound model."""

    task: ClassVar[str] = "heart"
    data: HeartData = HeartData()
    augment: HeartAugment = HeartAugment()
    loss: HeartLoss = HeartLoss()
