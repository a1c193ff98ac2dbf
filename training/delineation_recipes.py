"""Recipes of the delineation task."""

from __future__ import annotations

from models.delineate import STEP_CLASSES
from models.spec import Architecture, Conv1dFrontEnd
from training.config import OptimizerConfig, RunConfig
from training.delineation_config import DelineationRecipe


def ecg_delineation_1() -> DelineationRecipe:
    """P, QRS and T waves with onset, peak and end from any one lead of ECG, steps of 8 ms."""
    return DelineationRecipe(
        name="ecg-delineation-1",
        description="P, QRS and T waves: onset, peak and end, from any one lead of ECG at 250 Hz.",
        architecture=Architecture(
            front_end=Conv1dFrontEnd(
                stem_width=16,
                stem_kernel=15,
                stem_stride=2,
                widths=(32, 32, 32, 32),
                kernels=(7, 7, 7, 7),
                strides=(1, 1, 1, 1),
                dilations=(1, 2, 4, 8),
            ),
            recurrent_stride=8,
            hidden=40,
            attention_width=48,
            step_classes=len(STEP_CLASSES),
            window_classes=0,
        ),
        optimizer=OptimizerConfig(steps=1200, warmup_steps=60, batch=40, average_decay=0.995),
        run=RunConfig(threads=1, validate_every=1200, checkpoint_every=150, patience=100),
    )
