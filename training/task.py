"""What the training loop, cross-validation and the report ask of a task.

A task is one thing that models are trained for: which records it reads, how batches are made of them, its
loss, the figures that choose a checkpoint, its thresholds, and how held-out records are scored. The loop,
the folds, the card and the report know nothing else of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from models.cnn_lstm import CnnLstm
from training.config import Recipe
from training.errors import BadRecipe
from training.evaluation import Evaluation

Names = tuple[str, ...]
"""Recordings as ``source/record``."""

CACHE: Final = Path(".cache/training")


@dataclass(frozen=True, slots=True)
class Split:
    """Who trains, who chooses (checkpoint, thresholds), who is scored. No patient stands on two sides."""

    train: Names
    validation: Names
    test: Names


class Sampler(Protocol):
    """Makes batches."""

    def batch(self, seed: int, step: int, n: int) -> Mapping[str, npt.NDArray[np.generic]]:
        """Batch number ``step`` of ``n`` items: a function of its arguments alone, ``x`` the input."""


@dataclass(frozen=True, slots=True)
class CardFields:
    """What a task tells the model's card.

    Attributes
    ----------
    step_classes, window_classes : tuple of str
        Names of the classes of the two heads; empty where there is none.
    step_s : float
        Seconds a step; 0 where steps are beats.
    extra : dict
        Further fields of :class:`models.spec.ModelSpec` (``beat_gains``, ``window_label_s``, …).
    """

    signal: str
    unit: str
    fs_hz: float
    band_hz: tuple[float, float]
    window_s: float
    step_s: float
    step_classes: tuple[str, ...]
    window_classes: tuple[str, ...]
    normalisation: str
    data: str
    caveats: tuple[str, ...]
    extra: dict[str, Any]


class Task(ABC):
    """One thing that models are trained for.

    Parameters
    ----------
    recipe : Recipe
        All settings; its class is the task's own.
    data : Path
        Folder that holds one folder a data set.
    cache : Path
        Where conditioned recordings are kept.
    """

    def __init__(self, recipe: Recipe, data: Path, cache: Path = CACHE) -> None:
        self.recipe, self.data, self.cache = recipe, data, cache

    @abstractmethod
    def split(self) -> Split:
        """The fixed split of the shipped model."""

    def recording(self, name: str) -> str:
        """What tells a record from all others: its name, or less of it where a record has several names."""
        return name

    def folds(self, k: int) -> list[Split]:
        """``k`` splits by patient; every scored patient is in the test side of exactly one.

        Raises
        ------
        BadRecipe
            The task has no folds.
        """
        raise BadRecipe(f"task {self.recipe.task}: it has no {k} folds; train on its fixed split")

    @abstractmethod
    def sampler(self, names: Names) -> Sampler:
        """Batches of these records."""

    @abstractmethod
    def loss(self, model: CnnLstm, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scalars: ``loss`` is what is minimised, the others are logged."""

    @abstractmethod
    def validate(self, model: CnnLstm, names: Names) -> dict[str, float]:
        """Figures; ``score`` (higher is better) chooses the checkpoint."""

    @abstractmethod
    def thresholds(self, model: CnnLstm, names: Names) -> dict[str, float]:
        """Thresholds, chosen on validation records."""

    @abstractmethod
    def evaluate(self, model: CnnLstm, thresholds: Mapping[str, float], names: Names) -> Evaluation:
        """Score held-out records."""

    def merge(self, parts: Sequence[Evaluation]) -> Evaluation:
        """Pool the test sides of all folds.

        Raises
        ------
        BadRecipe
            The task has no folds.
        """
        raise BadRecipe(f"task {self.recipe.task}: no rule to pool {len(parts)} folds")

    @abstractmethod
    def card_fields(self, thresholds: Mapping[str, float]) -> CardFields:
        """What the card says beyond the recipe."""

    def network(self) -> CnnLstm:
        """A fresh network, its weights drawn from torch's generator."""
        return CnnLstm(self.recipe.architecture)
