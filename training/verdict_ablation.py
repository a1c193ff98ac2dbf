"""How firm the verdict's figures are, and what each ingredient buys."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from inference.verdict_beats import SLOPE
from training.errors import BadRecipe
from training.evaluation import Evaluation, IntArray, Table
from training.scoring import bootstrap
from training.task import CACHE
from training.verdict_config import VerdictRecipe
from training.verdict_scores import DRAWS, FIGURES, challenge_score, counts_of
from training.verdict_task import VerdictTask


def repeated(task: VerdictTask, k: int, seeds: int) -> Evaluation:
    """Cross-validate over the folds of several seeds.

    The figures count each alarm once a seed, their intervals draw alarms; the tables are those of the
    recipe's own seed, the note tells the spread over seeds.

    Raises
    ------
    BadRecipe
        No seed, or too many folds.
    """
    if seeds < 1:
        raise BadRecipe(f"--seeds {seeds}: at least 1")
    counts: dict[str, IntArray] = {}
    scores = []
    task.prepare()
    for seed in tqdm(range(seeds), desc=f"{k} folds", unit="seed"):
        predictions = task.crossval(k, seed).predictions[0]
        own = counts_of(predictions.truth, predictions.decided)
        scores.append(challenge_score(own.sum(0)))
        for item, count in zip(predictions.item, own, strict=True):
            counts[item] = counts.get(item, np.zeros(4, dtype=np.int64)) + count
    # Of all four counts a score is a ratio: alarms counted once a seed score as the mean seed does.
    metrics = {
        name: bootstrap(list(counts.values()), figure, len(counts), draws=DRAWS)
        for name, figure in FIGURES.items()
    }
    note = (
        f"Figures over the folds of {seeds} seeds; the score of one seed is {np.mean(scores):.1f} "
        f"± {np.std(scores):.1f} ({min(scores):.1f} to {max(scores):.1f})."
    )
    found = task.crossval(k)
    return replace(found, metrics=metrics, notes=(*found.notes, note))


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
        last = repeated(VerdictTask(variant, data, cache), k, seeds)
        score, hit, passed = (last.metrics[key] for key in ("score", "sensitivity", "specificity"))
        rows.append(
            (
                name,
                f"{score.value:.1f} ({score.low:.1f} to {score.high:.1f})",
                round(hit.value, 1),
                round(passed.value, 1),
            )
        )
    head = ("variant", f"score over {seeds} seeds", "Se %", "Sp %")
    table = Table("What each ingredient buys", head, tuple(rows), "95 % intervals by bootstrap over records")
    return Evaluation(tables=(table,), metrics=last.metrics)
