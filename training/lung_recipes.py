"""Recipes of the lung-sound task."""

from __future__ import annotations

from models.spec import Architecture, Conv2dFrontEnd, MelFrames
from training.config import OptimizerConfig, RunConfig
from training.lung_config import LungRecipe
from training.sound_config import SoundAugment


def lung_sounds_1() -> LungRecipe:
    """Lung sounds, 5.12 s: crackles and wheezes by step, cycle and window; healthy, chronic or acute."""
    return LungRecipe(
        name="lung-sounds-1",
        description="Lung sounds: crackles and wheezes by step, cycle, window; healthy, chronic, acute.",
        architecture=Architecture(
            front_end=Conv2dFrontEnd(
                rows=48,
                hop=80,
                # Wheezes are lines of a quarter of a second, crackles clicks of some milliseconds.
                mel=MelFrames(long=1_024, short=32),
                widths=(12, 24, 32, 48),
                row_pools=(2, 2, 2, 2),
                strides=(2, 2, 1, 1),
                features=64,
                dropout=0.3,
            ),
            recurrent_stride=1,
            hidden=32,
            attention_width=48,
            dropout=0.3,
            step_classes=2,
            window_classes=5,
            window_steps=64,
        ),
        optimizer=OptimizerConfig(
            steps=600, batch=32, lr=2e-3, warmup_steps=80, weight_decay=0.05, average_decay=0.99
        ),
        augment=SoundAugment(mixup=0.3),
        # A handful of patients chooses no checkpoint: the average at the end is what is kept.
        run=RunConfig(threads=1, validate_every=600, checkpoint_every=100, log_every=25, rehearse=False),
    )
