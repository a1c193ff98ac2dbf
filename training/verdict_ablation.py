"""How firm the verdict's figures are, and what each ingredient buys."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

import numpy as np

from training.errors import BadRecipe
from training.evaluation import Evaluation, Table
from training.task import CACHE
from training.verdict_config import VerdictRecipe
from training.verdict_task import VerdictTask

SLOPE: Final = "slope"


def _firmness(task: VerdictTask, k: int, seeds: int) -> tuple[Evaluation, list[float]]:
    """Folds of the recipe's own seed, and the scores over ``seeds`` further seeds."""
    if seeds < 1:
        raise BadRecipe(f"--seeds {seeds}: at least 1")
    scores = [task.crossval(k, seed).metrics["score"].value for seed in range(seeds)]
    return task.crossval(k), scores


def repeated(task: VerdictTask, k: int, seeds: int) -> Evaluation:
    """Cross-validate with the recipe's seed; the note tells mean and spread of the score over others.

    Raises
    ------
    BadRecipe
        No seed, or too many folds.
    """
    found, scores = _firmness(task, k, seeds)
    note = (
        f"Score over the folds of {seeds} seeds: {np.mean(scores):.1f} ± {np.std(scores):.1f} "
        f"({min(scores):.1f} to {max(scores):.1f})."
    )
    return replace(found, notes=(*found.notes, note))


def variants(recipe: VerdictRecipe) -> dict[str, VerdictRecipe]:
    """The recipe, and what is left of it without one ingredient after another."""
    head: Literal["learned", "rules"]
    found: dict[str, VerdictRecipe] = {}
    for head, words in (("rules", "definitions alone"), ("learned", "learned head")):
        for beats, source in ((SLOPE, "beats by slope"), (recipe.beats, "beats and windows by network")):
            for pulses, channels in ((False, "ECG"), (True, "ECG + pulses")):
                changes = {"head": head, "beats": beats, "pulses": pulses}
                found[f"{words}, {source}, {channels}"] = recipe.model_copy(update=changes)
    return found


def ablation(
    recipe: VerdictRecipe, data: Path, k: int = 5, seeds: int = 10, cache: Path = CACHE
) -> Evaluation:
    """Score every variant over the same folds; the last row is the recipe itself."""
    rows = []
    last = Evaluation()
    for name, variant in variants(recipe).items():
        last, scores = _firmness(VerdictTask(variant, data, cache), k, seeds)
        score, hit, passed = (last.metrics[key] for key in ("score", "sensitivity", "specificity"))
        rows.append(
            (
                name,
                f"{np.mean(scores):.1f} ± {np.std(scores):.1f}",
                f"{score.value:.1f} ({score.low:.1f} to {score.high:.1f})",
                round(hit.value, 1),
                round(passed.value, 1),
            )
        )
    head = ("variant", f"score, {seeds} seeds", "score, one seed", "Se %", "Sp %")
    return Evaluation(tables=(Table("What each ingredient buys", head, tuple(rows)),), notes=last.notes)
