"""Recipes of the task "af"."""

from __future__ import annotations

from models.spec import Architecture, BeatsFrontEnd
from training.af_beats import CONTEXT, PIECES, SEGMENT
from training.af_config import AF_CLASSES, AfRecipe
from training.config import OptimizerConfig, RunConfig

ARCHITECTURE = Architecture(
    front_end=BeatsFrontEnd(
        pieces=PIECES,
        segment=SEGMENT,
        context=len(CONTEXT),
        widths=(16, 24, 32, 48),
        kernels=(9, 5, 5, 3),
        strides=(2, 2, 2, 2),
        shape_features=64,
        dropout=0.3,
        width=64,
    ),
    recurrent_stride=1,
    dropout=0.3,
    step_classes=0,
    window_classes=len(AF_CLASSES),
    window_steps=512,
)


def ecg_af_1() -> AfRecipe:
    """Normal, fibrillation, other or noise from 10 to 30 s of one lead, beat by beat."""
    return AfRecipe(
        name="ecg-af-1",
        description="Normal rhythm, atrial fibrillation, other rhythm or noise, from 10 to 30 s of one lead.",
        architecture=ARCHITECTURE,
        optimizer=OptimizerConfig(
            lr=3e-3, weight_decay=0.05, warmup_steps=100, steps=1000, batch=38, average_decay=0.995
        ),
        run=RunConfig(threads=1, validate_every=250, checkpoint_every=125, patience=6),
    )
