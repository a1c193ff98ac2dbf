"""How a model's training went: the logs beside it, else what its card keeps of them."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from models.spec import ModelSpec
from training.logs import LOG, VALIDATION_LOG

PREFIX: Final = "history."
KEPT: Final = 60
"""Points of a curve that a card keeps."""

Curves = dict[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class History:
    """Curves of a training: ``step`` and what was logged at it.

    Attributes
    ----------
    losses : dict of str to tuple of float
        ``step``, ``lr``, ``loss`` and its parts; empty if unknown.
    validation : dict of str to tuple of float
        ``step``, ``score`` and the other figures; empty if unknown.
    """

    losses: Curves
    validation: Curves


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def read_log(path: Path) -> Curves:
    """Columns of a log by name; rows cut short by a kill are left out."""
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    whole = [row for row in rows[1:] if len(row) == len(rows[0])]
    return {name: tuple(_number(row[i]) for row in whole) for i, name in enumerate(rows[0])} if whole else {}


def _thin(curves: Curves) -> Curves:
    """At most :data:`KEPT` points, evenly spaced, the last among them."""
    n = len(next(iter(curves.values()), ()))
    keep = np.unique(np.linspace(0, n - 1, min(n, KEPT)).round().astype(int)).tolist() if n else []
    return {name: tuple(values[i] for i in keep) for name, values in curves.items()}


def of_card(spec: ModelSpec) -> History:
    """What a card keeps of the history."""
    found: dict[str, Curves] = {"losses": {}, "validation": {}}
    for key, value in spec.training.items():
        group, _, name = key.removeprefix(PREFIX).partition(".")
        if key.startswith(PREFIX) and group in found and isinstance(value, list):
            found[group][name] = tuple(float(v) for v in value)
    return History(found["losses"], found["validation"])


def history_of(card: Path, spec: ModelSpec) -> History:
    """History of a model: of the logs in its folder or the run's folder above, else of its card.

    Parameters
    ----------
    card : Path
        Of the model's card; ``wardwave train`` writes it into ``RUN/model``.
    """
    for folder in (card.parent, card.parent.parent) if card.parent.name == "model" else (card.parent,):
        losses, validation = read_log(folder / LOG), read_log(folder / VALIDATION_LOG)
        if losses or validation:
            return History(losses, validation)
    return of_card(spec)


def card_settings(history: History) -> dict[str, list[float]]:
    """The history as settings of a card, thinned out; figures that were not finite are left out."""
    found: dict[str, list[float]] = {}
    for group, curves in (("losses", history.losses), ("validation", history.validation)):
        for name, values in _thin(curves).items():
            if name != "seconds" and np.isfinite(values).all():
                found[f"{PREFIX}{group}.{name}"] = [float(f"{value:.5g}") for value in values]
    return found
