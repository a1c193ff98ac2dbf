"""Settings that the lung and the heart task share."""

from __future__ import annotations

from pydantic import Field

from training.config import Part


class SoundAugment(Part):
    """How leveled log-mel windows are varied. Levels are in the network's unit (3 nepers of power)."""

    level: float = Field(default=0.25, ge=0, description="SD of a shift of the whole window")
    tilt: float = Field(default=0.3, ge=0, description="SD of another device's response at 5 frequencies")
    floor_probability: float = Field(default=0.5, ge=0, le=1, description="of noise added below the sound")
    floor: tuple[float, float] = (-1.5, 0.0)
    band_shift: int = Field(default=1, ge=0, description="bands by which the picture is moved at most")
    band_masks: int = Field(default=2, ge=0, description="SpecAugment: bands left out")
    band_mask: int = Field(default=6, ge=0, description="widest")
    time_masks: int = Field(default=1, ge=0)
    time_mask_s: float = Field(default=0.3, ge=0, description="longest")
    mixup: float = Field(
        default=0.0, ge=0, le=1, description="probability that a window is mixed with another"
    )
