"""Recipes of the EEG task."""

from __future__ import annotations

from models.spec import Architecture, ChannelsFrontEnd
from training.config import OptimizerConfig, RunConfig
from training.eeg_config import EegRecipe


def eeg_seizure_1() -> EegRecipe:
    """Seizures in scalp EEG: windows of 16 s of any derivations, a probability every second."""
    return EegRecipe(
        name="eeg-seizure-1",
        description="Seizures in scalp EEG: a probability every second, of any number of derivations.",
        architecture=Architecture(
            channels=18,
            front_end=ChannelsFrontEnd(),
            input_gain=1.0,
            recurrent_stride=1,
            hidden=24,
            attention_width=32,
            dropout=0.2,
            step_classes=2,
            window_classes=1,
            window_steps=4,
        ),
        optimizer=OptimizerConfig(
            steps=350, batch=16, lr=3e-3, warmup_steps=25, weight_decay=0.05, average_decay=0.97
        ),
        # A handful of patients chooses no checkpoint: the average at the end is what is kept.
        run=RunConfig(threads=1, validate_every=350, checkpoint_every=50, log_every=25, rehearse=False),
    )
