"""The card of a trained model: what it was made of, and what it can do."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from typing import Final

import torch

from ingest import version
from models.cnn_lstm import cost_of
from models.spec import ModelSpec
from training.loop import State
from training.task import Names, Split, Task

Value = str | int | float | bool | None | list[float] | list[str]


def code_commit() -> str:
    """Commit of the code that makes models (:func:`ingest.version.code_commit`)."""
    return version.code_commit("models", "training", "ingest")


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


SHOWN_NAMES: Final = 60
"""A side of more records than this is described by their number and hash."""


def describe_side(names: Names) -> tuple[str, ...]:
    """Names of a side's records, data set by data set; a long list as its number and hash."""
    found: list[str] = []
    for source in dict.fromkeys(name.split("/", 1)[0] for name in names):
        own = [name for name in names if name.split("/", 1)[0] == source]
        if len(own) <= SHOWN_NAMES:
            found += own
        else:
            digest = hashlib.sha256("\n".join(sorted(own)).encode()).hexdigest()[:12]
            found.append(f"{source}: {len(own)} records, sha256 of their names {digest}")
    return tuple(found)


def hardware(device: str, processes: int, threads: int) -> str:
    """Words on what a model was trained on."""
    if device.startswith("cuda"):
        return f"{processes} x {torch.cuda.get_device_name(device)}"
    times = f"{processes} processes of " if processes > 1 else ""
    return f"{times}{threads} CPU threads, {platform.machine()}"


def make_spec(
    task: Task,
    state: State,
    thresholds: Mapping[str, float],
    split: Split,
    from_weights: str | None,
    *,
    drawn: Names | None = None,
    device: str = "cpu",
    processes: int = 1,
) -> ModelSpec:
    """Card of a model just trained; the test side is scored by ``wardwave evaluate --update-card``.

    Parameters
    ----------
    task : Task
        With its recipe.
    state : State
        Where the training ended.
    thresholds : mapping of str to float
        Chosen on the validation side.
    split : Split
        Who stood where.
    from_weights : str or None
        The model it began with.
    drawn : tuple of str or None
        Tensors that were not taken from that model.
    device : str
        That it was trained on.
    processes : int
        That trained it together.
    """
    recipe, fields = task.recipe, task.card_fields(thresholds)
    settings = flatten(recipe.model_dump(exclude={"architecture", "name", "description"}))
    settings |= {
        "steps_done": state.step,
        "best_step": state.best_step,
        "minutes": round(state.seconds / 60, 1),
        "hardware": hardware(device, processes, recipe.run.threads),
        "torch": torch.__version__,
        "from_weights": from_weights,
    }
    if drawn is not None:
        settings["from_weights_drawn_anew"] = list(drawn)
    return ModelSpec(
        name=recipe.name,
        task=recipe.task,
        description=recipe.description,
        signal=fields.signal,
        unit=fields.unit,
        fs_hz=fields.fs_hz,
        band_hz=fields.band_hz,
        window_s=fields.window_s,
        step_s=fields.step_s,
        step_classes=fields.step_classes,
        window_classes=fields.window_classes,
        thresholds={name: value for name, value in thresholds.items() if not name.startswith("gain_")},
        normalisation=fields.normalisation,
        architecture=recipe.architecture,
        cost=cost_of(recipe.architecture, round(fields.window_s * fields.fs_hz)),
        data=fields.data,
        split={side: describe_side(getattr(split, side)) for side in ("train", "validation", "test")},
        metrics={},
        caveats=fields.caveats,
        training=settings,
        code_commit=code_commit(),
        **fields.extra,
    )
