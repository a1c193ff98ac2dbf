"""Settings of the lung-sound task."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from training.config import Part, Recipe
from training.sound_config import SoundAugment


class LungData(Part):
    """Which sets, and how cycles are drawn."""

    sources: tuple[str, ...] = ("icbhi2017_sc",)
    split: Literal["folds", "official"] = Field(
        default="folds",
        description="sides of the fixed split: the first of five folds, or ICBHI's official one",
    )
    window_s: float = Field(default=5.12, gt=0, le=60, description="of sound in an item of a batch")
    draw: dict[str, float] = {"normal": 0.45, "crackle": 0.2, "wheeze": 0.2, "both": 0.15}
    device_power: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="a device is drawn by its cycles to this power; each has the same share of the labels",
    )
    patient_power: float = Field(default=0.5, ge=0, le=1, description="a patient of a label, likewise")
    whole_share: float = Field(
        default=0.3, ge=0, le=1, description="of items whose label is the whole window's, not one cycle's"
    )
    diagnoses: Literal["groups", "icbhi"] = Field(
        default="groups",
        description="healthy, chronic, acute; or ICBHI's own eight, with architecture.window_classes=10",
    )
    inner: int = Field(default=6, ge=2, description="one part in so many of those who do not test validates")


class LungLoss(Part):
    """Binary cross entropies of the window, of the steps pooled over cycles, and the diagnosis."""

    steps_weight: float = Field(default=0.5, ge=0)
    diagnosis_weight: float = Field(default=0.2, ge=0)
    label_smoothing: float = Field(default=0.03, ge=0, lt=0.5)


class LungRecipe(Recipe):
    """All that makes a lung-sound model."""

    task: ClassVar[str] = "lung"
    data: LungData = LungData()
    augment: SoundAugment = SoundAugment()
    loss: LungLoss = LungLoss()
