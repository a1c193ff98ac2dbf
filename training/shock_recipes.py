"""Recipes of the shock task."""

from __future__ import annotations

from models.spec import Architecture, Conv1dFrontEnd
from training.config import OptimizerConfig, RunConfig
from training.shock_config import ShockRecipe


def ecg_shock_1() -> ShockRecipe:
    """One lead of ECG, 4 s: VF or flutter, VT of at least 150/min, or neither."""
    return ShockRecipe(
        name="ecg-shock-1",
        description="Shockable or not, by 4 s of any one lead of ECG: VF with flutter, VT from 150/min.",
        architecture=Architecture(
            front_end=Conv1dFrontEnd(
                stem_width=24,
                stem_kernel=17,
                stem_stride=4,
                widths=(32, 48, 64),
                kernels=(5, 5, 3),
                strides=(2, 2, 1),
                dilations=(1, 1, 2),
            ),
            recurrent_stride=1,
            hidden=48,
            attention_width=64,
            dropout=0.2,
            step_classes=0,
            window_classes=3,
            window_steps=32,
        ),
        optimizer=OptimizerConfig(
            steps=600, batch=96, warmup_steps=60, weight_decay=0.05, average_decay=0.995
        ),
        # One patient with VF chooses no checkpoint: the average at the end is what is kept.
        run=RunConfig(threads=1, validate_every=600, checkpoint_every=100),
    )
