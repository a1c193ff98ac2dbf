"""What an evaluation found, as plain data: the report, the card and the comparison of models read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.spec import Interval

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
SignalArray = npt.NDArray[np.float32]
Cell = str | float | int


@dataclass(frozen=True, slots=True)
class Predictions:
    """Items of one classification, with truth and what the model said.

    Attributes
    ----------
    title : str
        What is classified: "beats at the annotations", "windows of 4 s".
    classes : tuple of str
        K names.
    item : tuple of str
        n names of items: ``mitdb/200 @ 123.4 s``.
    patient : tuple of str
        n names of whom they are from: the unit of the bootstrap.
    truth, decided : ndarray of int64, shape (n,)
        Index into ``classes``; ``decided`` after thresholds.
    probabilities : ndarray of float64, shape (n, K)
        Rows sum to 1.
    weight : ndarray of float64, shape (n,)
        1, or what re-weights the classes.
    key : str
        Short name that its figures begin with in the card (``windows_macro_f1``); made from the title
        where it is empty.
    outside : int or None
        The class that is none: truth of what was found where nothing is, answer for what was missed. Both
        count as errors of the others, but it has no figures of its own and enters no mean over classes.
    """

    title: str
    classes: tuple[str, ...]
    item: tuple[str, ...]
    patient: tuple[str, ...]
    truth: IntArray
    probabilities: FloatArray
    decided: IntArray
    weight: FloatArray
    key: str = ""
    outside: int | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it is printed; numbers are already in the unit that the head names."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Strip:
    """A piece of signal worth looking at, with marks (seconds from its start, text).

    Attributes
    ----------
    signal : ndarray of float32, shape (n_leads, n_samples)
        In ``unit``.
    marks : tuple of (float, str)
        Drawn above the signal: what is annotated, where ``found`` holds what a model found.
    found : tuple of (float, str)
        Drawn below the signal, in another colour.
    """

    title: str
    fs_hz: float
    signal: SignalArray
    marks: tuple[tuple[float, str], ...] = ()
    found: tuple[tuple[float, str], ...] = ()
    unit: str = "mV"


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts a patient and what figures are made of their sum: what a paired bootstrap of two models needs.

    Attributes
    ----------
    title : str
        As "EC57 beat by beat".
    patients : dict of str to ndarray
        Arrays of one shape, a patient each.
    figures : callable
        From summed counts to named figures.
    """

    title: str
    patients: dict[str, FloatArray]
    figures: Callable[[FloatArray], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that an evaluation found.

    Attributes
    ----------
    metrics : dict of str to Interval
        Named figures with 95 % intervals; they enter the card.
    counts : tuple of Counts
        The task's own figures in a form in which two models can be compared patient by patient.
    """

    predictions: tuple[Predictions, ...] = ()
    tables: tuple[Table, ...] = ()
    metrics: dict[str, Interval] = field(default_factory=dict)
    strips: tuple[Strip, ...] = ()
    notes: tuple[str, ...] = ()
    counts: tuple[Counts, ...] = ()


def pool(parts: list[Predictions]) -> Predictions:
    """Join the out-of-fold predictions of one classification."""
    first = parts[0]
    return Predictions(
        first.title,
        first.classes,
        tuple(item for part in parts for item in part.item),
        tuple(patient for part in parts for patient in part.patient),
        np.concatenate([part.truth for part in parts]),
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate([part.decided for part in parts]),
        np.concatenate([part.weight for part in parts]),
        first.key,
        first.outside,
    )
