"""Settings of the shock task."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from training.config import Part, Recipe

KINDS = (
    "vf",
    "vt",
    "slow vt",
    "ectopy",
    "noise",
    "asystole",
    "fast",
    "wide",
    "vfdb",
    "mitdb",
    "alarm",
    "false alarm",
    "handheld",
    "handheld noise",
    "made noise",
)
"""Kinds of windows that a batch is drawn from; :func:`training.shock_sampling.kind_of` tells them apart."""


class ShockData(Part):
    """Which sets, and how often each kind of window is drawn (weights, normalised over kinds that exist)."""

    sources: tuple[str, ...] = ("vfdb", "mitdb", "cinc2015", "cinc2017")
    draw: dict[str, float] = {
        "vf": 0.24,
        "vt": 0.20,
        "slow vt": 0.03,
        "ectopy": 0.02,
        "noise": 0.04,
        "asystole": 0.03,
        "fast": 0.05,
        "wide": 0.05,
        "vfdb": 0.10,
        "mitdb": 0.07,
        "alarm": 0.03,
        "false alarm": 0.03,
        "handheld": 0.05,
        "handheld noise": 0.03,
        "made noise": 0.03,
    }
    irregular_vt: float = Field(
        default=0.6,
        ge=0,
        le=1,
        description="windows marked VT that repeat themselves less may be called VF too; 0 trusts the marks",
    )
    regular_vf: float = Field(
        default=0.8,
        ge=0,
        le=1,
        description="windows marked VF that repeat themselves more may be called VT too; 1 trusts the marks",
    )
    full_seconds: float = Field(
        default=60.0, gt=0, description="a patient with this much of a kind is drawn as often as any other"
    )


class ShockAugment(Part):
    """How windows are varied. Ranges are drawn log-uniformly."""

    time_scale_probability: float = Field(default=0.7, ge=0, le=1)
    time_scale: tuple[float, float] = (0.8, 1.25)
    gain: tuple[float, float] = (0.4, 2.5)
    flip_probability: float = Field(default=0.5, ge=0, le=1)
    tilt_probability: float = Field(default=0.4, ge=0, le=1, description="another device's filters")
    low_cut_hz: tuple[float, float] = (0.3, 2.0)
    high_cut_hz: tuple[float, float] = (8.0, 40.0)
    noise_probability: float = Field(default=0.5, ge=0, le=1)
    noise_level: tuple[float, float] = (0.03, 1.0)
    jump_probability: float = Field(default=0.1, ge=0, le=1, description="a step of the electrode's offset")
    white_probability: float = Field(default=0.2, ge=0, le=1)
    mix_probability: float = Field(default=0.25, ge=0, le=1, description="VF with other VF added stays VF")


class ShockLoss(Part):
    """Cross-entropy over the classes that may hold, in two parts: shockable or not, then VF or VT."""

    vf_vt_weight: float = Field(default=0.3, ge=0, le=1, description="of telling VF from VT")
    label_smoothing: float = Field(default=0.02, ge=0, lt=1)


class ShockRecipe(Recipe):
    """All that makes a shock model."""

    task: ClassVar[str] = "shock"
    data: ShockData = ShockData()
    augment: ShockAugment = ShockAugment()
    loss: ShockLoss = ShockLoss()
