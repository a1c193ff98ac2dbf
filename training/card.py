"""The card of a trained model: what it was made of, and what it can do."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import torch

from ingest.conditioning import ECG
from models.cnn_lstm import cost_of
from models.spec import Interval, ModelSpec
from training.loop import State
from training.recipes import Recipe
from training.sampling import LENGTH
from training.splits import PACED, SAME_PERSON_AS_201, VFDB_TEST
from training.thresholds import Thresholds

CAVEATS = (
    "Research software, no medical device.",
    "Ventricular fibrillation and flutter come from few patients: figures on them have wide intervals.",
    "Asystole was trained mostly on one recording (vfdb 427) and on lines made from noise.",
    "vfdb's rhythm marks are coarse, and its beats are not annotated: heart rates there were not scored.",
    "cinc2015 says only that an alarm was true, not when: its windows are labelled weakly.",
    "cinc2017 is hand-held, one lead: atrial fibrillation on ward monitors was scored on two patients.",
    "Paced rhythm was never trained on.",
)
Value = str | int | float | bool | None | list[float] | list[str]


def code_commit() -> str:
    """Commit of the working tree, '+' where its files differ from it; 'unknown' outside a repository."""
    git = shutil.which("git")
    if git is None:
        return "unknown"
    root = Path(__file__).parent.parent

    def ask(*words: str) -> str:
        done = subprocess.run([git, *words], cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = ask("rev-parse", "--short=12", "HEAD")
    changed = ask("status", "--porcelain", "--untracked-files=no", "--", "models", "training", "ingest")
    return (commit + ("+" if changed else "")) or "unknown"


def flatten(tree: dict[str, object], prefix: str = "") -> dict[str, Value]:
    """Nested settings to dotted keys."""
    flat: dict[str, Value] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple):
            numbers = [float(item) for item in value if isinstance(item, int | float)]
            flat[prefix + key] = numbers if len(numbers) == len(value) else [str(item) for item in value]
        elif value is None or isinstance(value, str | int | float | bool):
            flat[prefix + key] = value
        else:
            flat[prefix + key] = str(value)
    return flat


def split_of(
    recipe: Recipe, training: Sequence[str], validation: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Who stood where; the two sets that are split by hash are described by their rule."""

    def named(side: Sequence[str]) -> tuple[str, ...]:
        by_name = [name for name in side if name.startswith(("mitdb/", "vfdb/"))]
        hashed = [
            f"{source}: {sum(name.startswith(source) for name in side)} records by splits.hashed_side"
            for source in recipe.data.sources
            if source not in ("mitdb", "vfdb")
        ]
        return (*by_name, *hashed)

    return {
        "train": named(training),
        "validation": named(validation),
        "test": (
            "mitdb: DS2 of de Chazal 2004",
            *(f"vfdb/{record}" for record in VFDB_TEST),
            "cinc2015, cinc2017: by training.splits.hashed_side",
        ),
        "left_out": (
            *(f"mitdb/{r}: paced" for r in PACED),
            f"mitdb/{SAME_PERSON_AS_201}: same person as 201",
        ),
    }


def make_spec(
    recipe: Recipe,
    state: State,
    thresholds: Thresholds,
    training: Sequence[str],
    validation: Sequence[str],
    metrics: dict[str, Interval] | None = None,
) -> ModelSpec:
    """Card of a model just trained; the test side is scored by ``wardwave evaluate --update-card``.

    Parameters
    ----------
    recipe, state, thresholds
        What it was made of.
    training, validation : sequence of str
        ``source/record`` of each recording of the two sides.
    metrics : dict of str to Interval
        Figures, if there are any yet.
    """
    settings = flatten(recipe.model_dump(exclude={"architecture", "name", "description"}))
    settings |= {
        "steps_done": state.step,
        "best_step": state.best_step,
        "minutes": round(state.seconds / 60, 1),
        "hardware": f"{recipe.run.threads} CPU threads, {platform.machine()}",
        "torch": torch.__version__,
    }
    defaults = f"Thresholds of {', '.join(thresholds.defaults)} are defaults: too few validation windows."
    return ModelSpec(
        name=recipe.name,
        description=recipe.description,
        fs_hz=ECG.rate_hz,
        band_hz=(ECG.low_hz, ECG.high_hz),
        step_s=recipe.architecture.front_end.stride / ECG.rate_hz,
        beat_gains=thresholds.gains,
        thresholds=thresholds.values,
        normalisation=f"fixed: asinh({recipe.architecture.input_gain:g} x) of mV after the causal band-pass",
        architecture=recipe.architecture,
        cost=cost_of(recipe.architecture, LENGTH),
        data=f"PhysioNet {', '.join(recipe.data.sources)}; noise of nstdb (bw, ma)",
        split=split_of(recipe, training, validation),
        metrics=metrics or {},
        caveats=(*CAVEATS, defaults) if thresholds.defaults else CAVEATS,
        training=settings,
        code_commit=code_commit(),
    )
