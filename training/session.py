"""Everything between a recipe and a trained model: data, noise, validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import wfdb

from ingest import conditioning
from ingest.conditioning import ECG
from models.cnn_lstm import CnnLstm
from training.corpus import build_corpus, load_side
from training.errors import DataMissing
from training.loop import State, Trainer
from training.recipes import Recipe
from training.sampling import Sampler
from training.sources import FloatArray, Recording
from training.validate import Validation, validate

CACHE = Path(".cache/training")


def load_noise(data: Path) -> FloatArray:
    """Baseline wander and muscle noise of nstdb, conditioned as the signals are, unit standard deviation.

    Raises
    ------
    DataMissing
        nstdb is not there.
    """
    parts = []
    for name in ("bw", "ma"):
        try:
            record = wfdb.rdrecord(str(data / "nstdb" / name))
        except (OSError, ValueError) as error:
            raise DataMissing(f"{data / 'nstdb' / name}: {error}") from error
        samples = conditioning.condition(record.p_signal, float(record.fs), ECG)
        parts.append((samples / samples.std(0)).T.reshape(-1))
    return np.ascontiguousarray(np.concatenate(parts), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Session:
    """A trainer with its data."""

    trainer: Trainer
    training: list[str]
    validation: list[Recording]


def open_session(
    recipe: Recipe,
    data: Path,
    out: Path,
    device: str = "cpu",
    on_best: Callable[[CnnLstm, Validation, State], None] | None = None,
) -> Session:
    """Load the data of a recipe and make its trainer (resumed if ``out`` holds a checkpoint)."""
    training = load_side(data, recipe.data.sources, "train", ECG, CACHE)
    held_out = load_side(data, recipe.data.sources, "validation", ECG, CACHE)
    sampler = Sampler(
        build_corpus(training),
        load_noise(data),
        recipe.data,
        recipe.augment,
        recipe.loss,
        recipe.architecture,
    )
    step_s = recipe.architecture.front_end.stride / ECG.rate_hz

    def check(model: CnnLstm) -> Validation:
        return validate(model, held_out, step_s)

    trainer = Trainer(recipe, sampler, check, out, device, on_best)
    return Session(trainer, [r.name for r in training], held_out)
