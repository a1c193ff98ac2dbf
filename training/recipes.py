"""Recipes: functions that return a whole configuration; overrides ``a.b=value`` with clear errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.spec import Architecture
from training.errors import BadRecipe


class Part(BaseModel):
    """Base of all parts: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class DataConfig(Part):
    """Which sets, and how often each kind of window is drawn (weights, normalised)."""

    sources: tuple[str, ...] = ("mitdb", "vfdb", "cinc2015", "cinc2017")
    hop_samples: int = Field(default=32, ge=1, le=1000)
    draw: dict[str, float] = {
        "beats": 0.16,
        "beats_S": 0.15,
        "beats_V": 0.13,
        "beats_F": 0.03,
        "vf": 0.09,
        "vt": 0.08,
        "asystole": 0.04,
        "af": 0.07,
        "noise": 0.07,
        "other": 0.09,
        "unsure": 0.05,
        "made_asystole": 0.04,
        "made_flat": 0.02,
        "made_noise": 0.05,
    }


class AugmentConfig(Part):
    """How windows are varied. Probabilities, and ranges drawn log-uniformly."""

    time_scale_probability: float = Field(default=0.5, ge=0, le=1)
    time_scale: tuple[float, float] = (0.87, 1.15)
    gain: tuple[float, float] = (0.4, 2.5)
    flip_probability: float = Field(default=0.05, ge=0, le=1)
    noise_probability: float = Field(default=0.4, ge=0, le=1)
    noise_level: tuple[float, float] = (0.03, 0.8)
    white_probability: float = Field(default=0.2, ge=0, le=1)


class LossConfig(Part):
    """Weights of the classes and of the two heads."""

    step_class_weights: tuple[float, ...] = (1.0, 1.0, 2.0, 1.5, 1.5)
    last_second_weight: float = Field(default=0.3, ge=0, le=1, description="steps that are never final")
    rhythm_weight: float = Field(default=0.5, ge=0)
    label_smoothing: float = Field(default=0.02, ge=0, lt=1)


class OptimizerConfig(Part):
    """AdamW with warm-up and a cosine to nothing; an average of the weights is what is kept."""

    lr: float = Field(default=3e-3, gt=0, le=1)
    weight_decay: float = Field(default=0.02, ge=0)
    warmup_steps: int = Field(default=150, ge=0)
    steps: int = Field(default=5000, ge=1)
    batch: int = Field(default=128, ge=1, le=65_536)
    clip: float = Field(default=1.0, gt=0)
    average_decay: float = Field(default=0.998, ge=0, lt=1)


class RunConfig(Part):
    """Seeds, threads, and how often things happen (in steps)."""

    seed: int = 7
    threads: int = Field(default=2, ge=1, le=256)
    validate_every: int = Field(default=1250, ge=1)
    checkpoint_every: int = Field(default=250, ge=1)
    log_every: int = Field(default=25, ge=1)
    patience: int = Field(default=6, ge=1, description="validations without a better one before it stops")


class Recipe(Part):
    """All that makes a model: same recipe, same data, same code, same loss curve."""

    name: str
    description: str
    architecture: Architecture = Architecture()
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    run: RunConfig = RunConfig()


def ecg_cnn_lstm_1() -> Recipe:
    """One lead of ECG: beats N, S, V, F at each step, and the rhythm of the last 4 s."""
    return Recipe(
        name="ecg-cnn-lstm-1",
        description="Beats (N, S, V, F) at each 64 ms, rhythm of the last 4 s, from any one lead of ECG.",
    )


def ecg_smoke() -> Recipe:
    """The same in seconds, to try the machinery: its model is of no use."""
    return Recipe(
        name="ecg-smoke",
        description="A minute's training to try the machinery. Of no use.",
        data=DataConfig(sources=("mitdb", "vfdb")),
        optimizer=OptimizerConfig(steps=40, warmup_steps=5, batch=32, average_decay=0.9),
        run=RunConfig(validate_every=40, checkpoint_every=20, log_every=5),
    )


RECIPES: Final[dict[str, Callable[[], Recipe]]] = {
    "ecg-cnn-lstm-1": ecg_cnn_lstm_1,
    "ecg-smoke": ecg_smoke,
}


def _parse(text: str) -> object:
    """A number, a truth value, a comma-separated tuple, or the text itself."""
    if "," in text:
        return tuple(_parse(part) for part in text.split(",") if part)
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)


def _set(tree: dict[str, object], key: str, value: object) -> None:
    """Put ``value`` at the dotted ``key``.

    Raises
    ------
    BadRecipe
        There is no such key; the message names those there are.
    """
    *parents, last = key.split(".")
    node = tree
    for parent in parents:
        child = node.get(parent)
        if not isinstance(child, dict):
            raise BadRecipe(f"--set {key}: no part {parent!r}; there are {', '.join(sorted(node))}")
        node = child
    if last not in node:
        raise BadRecipe(f"--set {key}: no key {last!r}; there are {', '.join(sorted(node))}")
    part = node[last]
    if isinstance(part, dict):
        raise BadRecipe(f"--set {key}: {last!r} is a part; name a key in it: {', '.join(sorted(part))}")
    node[last] = value


def get_recipe(name: str, overrides: Iterable[str] = ()) -> Recipe:
    """Build a recipe by name, with overrides ``optimizer.lr=1e-3``.

    Raises
    ------
    BadRecipe
        Unknown recipe, unknown key, or a value out of bounds.
    """
    if name not in RECIPES:
        raise BadRecipe(f"no recipe {name!r}; there are {', '.join(sorted(RECIPES))}")
    tree = RECIPES[name]().model_dump()
    for item in overrides:
        key, equals, text = item.partition("=")
        if not equals:
            raise BadRecipe(f"--set {item}: expected KEY=VALUE")
        _set(tree, key.strip(), _parse(text.strip()))
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        lines = (f"{'.'.join(map(str, e['loc']))}={e['input']!r}: {e['msg']}" for e in error.errors())
        raise BadRecipe("; ".join(lines)) from error
