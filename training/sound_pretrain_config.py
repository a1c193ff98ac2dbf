"""Settings and recipe of self-supervised pre-training on sounds."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from training.config import OptimizerConfig, Part, Recipe, RunConfig
from training.lung_recipes import lung_sounds_1
from training.sound_config import SoundAugment


class PretrainData(Part):
    """Which sounds, and what is hidden of them."""

    sources: tuple[str, ...] = ("icbhi2017_sc", "circor2022")
    folder: str = Field(default="", description="a folder of sound files of one's own, too, with all below")
    held_out: str = Field(
        default="icbhi2017_sc",
        description="set whose test and validation side stay unheard, as its fine-tuning needs it; '': none",
    )
    window_s: float = Field(default=5.12, gt=0, le=60)
    hidden_share: float = Field(default=0.4, gt=0, lt=1, description="of a window's steps")
    hidden_s: tuple[float, float] = Field(default=(0.24, 1.0), description="length of a hidden stretch")
    hidden_bands: int = Field(default=16, ge=0, description="bands hidden beside, at most")


class PretrainRecipe(Recipe):
    """All that makes a pre-trained network."""

    task: ClassVar[str] = "sound-pretrain"
    data: PretrainData = PretrainData()
    augment: SoundAugment = SoundAugment(band_masks=0, time_masks=0)


def sound_pretrain_1() -> PretrainRecipe:
    """The lung model's network, trained to fill in hidden stretches of any sounds."""
    architecture = lung_sounds_1().architecture
    return PretrainRecipe(
        name="sound-pretrain-1",
        description="Self-supervised: hidden stretches of sounds are filled in; to begin a lung model with.",
        architecture=architecture.model_copy(update={"step_classes": 48, "window_classes": 0}),
        optimizer=OptimizerConfig(
            steps=300, batch=32, lr=2e-3, warmup_steps=40, weight_decay=0.02, average_decay=0.98
        ),
        run=RunConfig(threads=1, validate_every=300, checkpoint_every=100, log_every=25, rehearse=False),
    )
