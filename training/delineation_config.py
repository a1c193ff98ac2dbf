"""Settings of the delineation task."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from training.config import Part, Recipe


class DelineationData(Part):
    """Which sets, and how windows are cut from their leads."""

    sources: tuple[str, ...] = ("ludb",)
    fibrillation: tuple[str, ...] = Field(
        default=("cinc2017", "mitdb"), description="sets with fibrillation, where a P wave is always wrong"
    )
    fibrillation_share: float = Field(
        default=0.2, ge=0, lt=1, description="of a batch; its windows say nothing of QRS and T"
    )
    window_s: float = Field(
        default=4.0, gt=0.5, le=10.0, description="of training; recordings are read whole"
    )
    inside: float = Field(
        default=0.7, gt=0, le=1, description="least share of a window that lies between the marks"
    )
    validation_share: float = Field(
        default=0.125, gt=0, lt=1, description="of a fold's patients that do not test: they choose"
    )


class DelineationAugment(Part):
    """How windows are varied. Ranges are drawn log-uniformly."""

    time_scale_probability: float = Field(default=0.7, ge=0, le=1)
    time_scale: tuple[float, float] = (0.75, 1.3)
    gain: tuple[float, float] = (0.5, 2.0)
    flip_probability: float = Field(default=0.05, ge=0, le=1)
    noise_probability: float = Field(default=0.5, ge=0, le=1, description="nstdb's wander or muscle noise")
    noise_level: tuple[float, float] = (0.03, 0.6)
    white_probability: float = Field(default=0.3, ge=0, le=1)
    white_mv: tuple[float, float] = (0.002, 0.02)


class DelineationLoss(Part):
    """Cross entropy of the steps between the first and last mark."""

    wave_weights: tuple[float, float, float] = Field(
        default=(1.5, 1.0, 1.0), description="of steps in P, QRS and T waves; steps in none count 1"
    )
    no_p_weight: float = Field(default=0.5, ge=0, description="of steps where only P waves are ruled out")


class DelineationRecipe(Recipe):
    """All that makes a delineation model."""

    task: ClassVar[str] = "delineation"
    data: DelineationData = DelineationData()
    augment: DelineationAugment = DelineationAugment()
    loss: DelineationLoss = DelineationLoss()
