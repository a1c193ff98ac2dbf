"""Recipes of the heart-sound task."""

from __future__ import annotations

from models.spec import Architecture, Conv2dFrontEnd, MelFrames
from training.config import OptimizerConfig, RunConfig
from training.heart_config import HeartAugment, HeartRecipe


def heart_sounds_1() -> HeartRecipe:
    """Heart sounds, 4 s: S1, systole, S2, diastole each 20 ms, murmur by step and window."""
    return HeartRecipe(
        name="heart-sounds-1",
        description="Heart sounds: S1, systole, S2, diastole each 20 ms; murmur by systole, window, patient.",
        architecture=Architecture(
            front_end=Conv2dFrontEnd(
                rows=32,
                hop=40,
                mel=MelFrames(window=192, hop=40, n_mels=32, low_hz=25.0, high_hz=400.0),
                widths=(12, 24, 32, 48),
                row_pools=(2, 2, 2, 2),
                strides=(2, 1, 1, 1),
                features=64,
                dropout=0.2,
            ),
            recurrent_stride=1,
            hidden=32,
            attention_width=48,
            dropout=0.3,
            step_classes=5,
            window_classes=1,
            window_steps=200,
        ),
        optimizer=OptimizerConfig(
            steps=500, batch=32, lr=3e-3, warmup_steps=60, weight_decay=0.05, average_decay=0.99
        ),
        augment=HeartAugment(band_shift=1, band_mask=4, time_mask_s=0.15),
        # A handful of patients chooses no checkpoint: the average at the end is what is kept.
        run=RunConfig(threads=1, validate_every=500, checkpoint_every=100, log_every=25, rehearse=False),
    )
