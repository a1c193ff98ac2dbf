"""Settings and recipe of self-supervised pre-training on EEG."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from training.config import OptimizerConfig, Part, Recipe, RunConfig
from training.eeg_config import EegAugment
from training.eeg_recipes import eeg_seizure_1

BANDS_HZ = ((1, 4), (4, 8), (8, 13), (13, 20), (20, 30), (30, 40))
"""Bands whose power is filled in, each as the mean over the channels and as the largest."""


class EegPretrainData(Part):
    """Which EEG, and what is hidden of it."""

    sources: tuple[str, ...] = ("chbmit_clips", "guinea_bissau_eeg")
    folder: str = Field(default="", description="a folder of EDF files of one's own, too, with all below")
    unit_factor: float = Field(default=1.0, gt=0, description="as eeg-seizure-1 has it")
    window_s: float = Field(default=16.0, gt=0, le=300)
    channels: tuple[int, int] = (3, 12)
    hidden_share: float = Field(default=0.3, gt=0, lt=1, description="of a window's seconds")
    hidden_s: tuple[int, int] = Field(default=(1, 4), description="length of a hidden stretch")
    patient_power: float = Field(default=0.5, ge=0, le=1)
    inner: int = Field(default=5, ge=2)


class EegPretrainRecipe(Recipe):
    """All that makes a pre-trained network."""

    task: ClassVar[str] = "eeg-pretrain"
    data: EegPretrainData = EegPretrainData()
    augment: EegAugment = EegAugment(artefact=0.1)


def eeg_pretrain_1() -> EegPretrainRecipe:
    """The seizure model's network, trained to tell the band powers of hidden seconds of any EEG."""
    architecture = eeg_seizure_1().architecture
    return EegPretrainRecipe(
        name="eeg-pretrain-1",
        description="Self-supervised: band powers of hidden seconds are filled in; to begin a seizure model.",
        architecture=architecture.model_copy(
            update={"step_classes": 2 * len(BANDS_HZ), "window_classes": 0, "window_steps": 1}
        ),
        optimizer=OptimizerConfig(
            steps=300, batch=24, lr=3e-3, warmup_steps=30, weight_decay=0.02, average_decay=0.98
        ),
        run=RunConfig(threads=1, validate_every=300, checkpoint_every=50, log_every=25, rehearse=False),
    )
