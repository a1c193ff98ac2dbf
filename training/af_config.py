"""Settings of the task "af": rhythm of 10 to 30 s of one lead as normal, fibrillation, other or noise."""

from __future__ import annotations

from typing import ClassVar, Final

from pydantic import Field

from training.config import Part, Recipe

AF_CLASSES: Final = ("N", "A", "O", "~")
"""Of the CinC 2017 challenge: normal rhythm, atrial fibrillation, other rhythm, too noisy to tell."""

FULL_SET: Final = (5076, 758, 2415, 279)
"""How many of each class the challenge's public set has; scores are re-weighted to these shares."""


class AfDataConfig(Part):
    """What windows are cut, and whose beats their steps are."""

    detector: str = Field(default="ecg-cnn-lstm-1", description="model whose beats become the time steps")
    window_s: float = Field(default=30.0, ge=8, le=120, description="longest window, and what is served")
    shortest_s: float = Field(default=9.0, ge=4, le=60, description="shortest window that is trained on")
    crop_probability: float = Field(default=0.6, ge=0, le=1, description="windows shorter than they could be")
    ward_share: float = Field(
        default=0.16, ge=0, lt=1, description="share of a batch from DS1 of mitdb: fibrillation, or not"
    )
    ward_af_share: float = Field(default=0.3, ge=0, le=1, description="of these, from records with it")


class AfAugmentConfig(Part):
    """How windows are varied. Probabilities, and ranges drawn log-uniformly."""

    time_scale_probability: float = Field(default=0.6, ge=0, le=1)
    time_scale: tuple[float, float] = (0.85, 1.18)
    gain: tuple[float, float] = (0.5, 2.0)
    flip_probability: float = Field(default=0.3, ge=0, le=1, description="hand-held leads are often reversed")
    noise_probability: float = Field(default=0.5, ge=0, le=1, description="wander or muscle noise of nstdb")
    noise_level: tuple[float, float] = (0.03, 1.0)
    white_probability: float = Field(default=0.3, ge=0, le=1)
    white_level_mv: tuple[float, float] = (0.003, 0.04)
    missed_probability: float = Field(default=0.3, ge=0, le=1, description="windows that lose beats")
    missed_share: tuple[float, float] = (0.03, 0.25)
    false_probability: float = Field(default=0.2, ge=0, le=1, description="windows that gain false beats")
    false_most: int = Field(default=4, ge=1, le=20)
    jitter_samples: float = Field(default=1.0, ge=0, le=10, description="of a beat's place")


class AfLossConfig(Part):
    """How sure the targets are."""

    label_smoothing: float = Field(default=0.05, ge=0, lt=1)


class AfRecipe(Recipe):
    """Recipe of an AF network."""

    task: ClassVar[str] = "af"
    data: AfDataConfig = AfDataConfig()
    augment: AfAugmentConfig = AfAugmentConfig()
    loss: AfLossConfig = AfLossConfig()
