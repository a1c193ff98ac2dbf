"""Recipes of the beats task, and the settings of its ablation."""

from __future__ import annotations

from typing import Final

from models.beat_rows import CONTEXT, PIECES, SEGMENT
from models.spec import STEP_CLASSES, Architecture, BeatsFrontEnd
from training.beats_config import BeatsRecipe
from training.config import OptimizerConfig, RunConfig


def ecg_beats_1() -> BeatsRecipe:
    """Class of each beat (N, S, V, F) from one lead: its shape, the patient's usual one, R-R intervals."""
    return BeatsRecipe(
        name="ecg-beats-1",
        description="Class of each beat (N, S, V, F, none) from the last 40 beats of any one lead of ECG.",
        architecture=Architecture(
            front_end=BeatsFrontEnd(
                pieces=PIECES,
                segment=SEGMENT,
                context=len(CONTEXT),
                widths=(16, 32, 32),
                kernels=(7, 5, 5),
                strides=(2, 2, 2),
                width=48,
            ),
            input_gain=2.0,
            recurrent_stride=1,
            hidden=32,
            attention_width=48,
            heads=4,
            dropout=0.2,
            step_classes=len(STEP_CLASSES),
            window_classes=0,
        ),
        optimizer=OptimizerConfig(
            lr=3e-3, weight_decay=0.03, warmup_steps=60, steps=600, batch=32, average_decay=0.99
        ),
        run=RunConfig(threads=1, validate_every=1_000_000, checkpoint_every=200),
    )


ABLATION: Final[dict[str, tuple[str, ...]]] = {}
