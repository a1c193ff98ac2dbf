"""Is the alarm true? One small logistic model for each kind of alarm, over :mod:`models.verdict_features`.

A miss costs five times a false alarm, so an alarm is called true from a probability well below one half on:
the threshold follows from the score's own costs (:func:`cost_threshold`) and is not fitted.

On disk a verdict model is ``<name>.safetensors`` with its card ``<name>.json``, as every model is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from models.errors import CardMismatch, DamagedWeights, ModelNotFound, UnknownAlarm, plain
from models.spec import NOTICE, Frozen, Interval
from models.verdict_features import verdict_features
from models.verdict_leads import LeadView, WideFloatArray
from models.verdict_pulses import PulseView

KINDS: Final = (
    "Asystole",
    "Bradycardia",
    "Tachycardia",
    "Ventricular_Flutter_Fib",
    "Ventricular_Tachycardia",
)
"""Kinds of alarms, as CinC 2015 names them."""

LIMIT: Final = 4.0
"""Standardised numbers are clipped here: one wild number decides nothing."""

VERDICTS: Final = Path(__file__).parent / "verdicts"
"""Where the shipped verdict models are."""

PARTS: Final = ("centre", "scale", "weight", "bias")


def cost_threshold(expected_score: float) -> float:
    """Probability from which calling an alarm true raises 100 (TP + TN) / (TP + TN + FP + 5 FN).

    Parameters
    ----------
    expected_score : float
        Share of the score that is expected, 0 to 1. Calling an alarm of probability p true gains
        p - (1 - p) in the numerator and saves 4 p in the denominator: worth it from 1 / (2 + 4 score) on.
    """
    return 1.0 / (2.0 + 4.0 * expected_score)


class KindSpec(Frozen):
    """One kind of alarm: which numbers its model looks at, and from which probability it is called true."""

    features: tuple[str, ...] = Field(min_length=1)
    threshold: float = Field(gt=0, lt=1)


class VerdictSpec(Frozen):
    """The card of a verdict model.

    ``beats_model`` is the network on whose beats and windows it was fitted; another one needs another fit.
    """

    schema_version: Literal["verdict/1"] = "verdict/1"
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=100)
    notice: str = NOTICE
    description: str
    beats_model: str
    beats_sha256: str
    kinds: dict[str, KindSpec]
    data: str
    split: dict[str, tuple[str, ...]]
    metrics: dict[str, Interval] = {}
    caveats: tuple[str, ...] = ()
    training: dict[str, str | int | float | bool | None | list[float] | list[str]] = {}
    code_commit: str
    sha256: str = Field(default="", description="of the weights file; filled when the model is saved")


@dataclass(frozen=True, slots=True)
class KindWeights:
    """Standardisation and logistic weights of one kind. Shapes (n_features,), the bias (1,)."""

    centre: WideFloatArray
    scale: WideFloatArray
    weight: WideFloatArray
    bias: WideFloatArray

    def probability(self, values: WideFloatArray) -> WideFloatArray:
        """(n, n_features) to (n,)."""
        return np.asarray(1.0 / (1.0 + np.exp(-(self.standard(values) @ self.weight + self.bias[0]))))

    def standard(self, values: WideFloatArray) -> WideFloatArray:
        """Standardised and clipped numbers, of the shape of ``values`` (..., n_features)."""
        return np.asarray(np.clip((values - self.centre) / self.scale, -LIMIT, LIMIT))


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said about one alarm: the probability that it is true, and whether it is called true."""

    probability: float
    true: bool


@dataclass(frozen=True, slots=True)
class Reason:
    """One number that spoke for (``log_odds`` above 0) or against an alarm's being true.

    Attributes
    ----------
    name : str
        As :func:`models.verdict_features.verdict_features` names it.
    value : float
        The number itself.
    log_odds : float
        What it adds to the logit, against the average alarm of its kind.
    """

    name: str
    value: float
    log_odds: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """A verdict model: its card and the weights of each kind of alarm."""

    spec: VerdictSpec
    weights: Mapping[str, KindWeights]

    def probability(self, kind: str, names: Sequence[str], values: WideFloatArray) -> WideFloatArray:
        """Probability that alarms of one kind are true.

        Parameters
        ----------
        kind : str
            One of :data:`KINDS`.
        names : sequence of str
            What the columns are, as :func:`models.verdict_features.verdict_features` gives them.
        values : ndarray of float64, shape (n_alarms, n_names)
            The numbers.

        Returns
        -------
        ndarray of float64, shape (n_alarms,)

        Raises
        ------
        UnknownAlarm
            The model knows no such kind, or the numbers lack one that it looks at.
        """
        return self.kind(kind).probability(values[:, self._columns(kind, names)])

    def kind(self, kind: str) -> KindWeights:
        """Weights of one kind of alarm.

        Raises
        ------
        UnknownAlarm
            The model knows no such kind; the message names those it knows.
        """
        if kind not in self.weights:
            known = ", ".join(self.weights)
            raise UnknownAlarm(f"model {self.spec.name}: no alarm of kind {kind!r}; it knows {known}")
        return self.weights[kind]

    def _columns(self, kind: str, names: Sequence[str]) -> list[int]:
        place = {name: i for i, name in enumerate(names)}
        wanted = self.spec.kinds[kind].features
        missing = [name for name in wanted if name not in place]
        if missing:
            raise UnknownAlarm(f"model {self.spec.name}, {kind}: needs {missing[0]!r}, which is not given")
        return [place[name] for name in wanted]

    def judge(self, kind: str, leads: Sequence[LeadView], pulses: Sequence[PulseView]) -> Answer:
        """Judge one alarm of a bed at the moment it sounds.

        Parameters
        ----------
        kind : str
            One of :data:`KINDS`.
        leads, pulses
            What the bed's channels showed up to the alarm.

        Raises
        ------
        UnknownAlarm
            See :meth:`probability`.
        """
        names, row = verdict_features(leads, pulses)
        return self.answer(kind, names, row)

    def answer(self, kind: str, names: Sequence[str], row: WideFloatArray) -> Answer:
        """Judge one alarm by its numbers (n_names,), as :func:`verdict_features` gives them."""
        probability = float(self.probability(kind, names, row[None])[0])
        return Answer(probability, probability >= self.spec.kinds[kind].threshold)

    def reasons(
        self, kind: str, leads: Sequence[LeadView], pulses: Sequence[PulseView], most: int = 5
    ) -> tuple[Reason, ...]:
        """The numbers that moved one verdict most, the strongest first; arguments as :meth:`judge`."""
        names, row = verdict_features(leads, pulses)
        return self.reasons_of(kind, names, row)[:most]

    def reasons_of(self, kind: str, names: Sequence[str], row: WideFloatArray) -> tuple[Reason, ...]:
        """All numbers behind one verdict, the strongest first; arguments as :meth:`answer`."""
        weights = self.kind(kind)
        columns = self._columns(kind, names)
        values = row[columns]
        log_odds = weights.standard(values) * weights.weight
        order = np.argsort(-np.abs(log_odds), kind="stable").tolist()
        return tuple(Reason(names[columns[i]], float(values[i]), float(log_odds[i])) for i in order)


def save(model: Verdict, folder: Path) -> Verdict:
    """Write weights and card into ``folder``; returns the model with the card as written (its SHA-256)."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        f"{kind}.{part}": np.ascontiguousarray(getattr(weights, part), dtype=np.float64)
        for kind, weights in model.weights.items()
        for part in PARTS
    }
    content = save_tensors(tensors, metadata={"name": model.spec.name, "family": "Verdict"})
    spec = model.spec.model_copy(update={"sha256": hashlib.sha256(content).hexdigest()})
    card = spec.model_dump_json(indent=2).encode() + b"\n"
    for suffix, data in ((".safetensors", content), (".json", card)):
        part = folder / f"{spec.name}{suffix}.part"
        part.write_bytes(data)
        part.replace(folder / f"{spec.name}{suffix}")
    return Verdict(spec, model.weights)


def read_spec(card: Path) -> VerdictSpec:
    """Read a card.

    Raises
    ------
    ModelNotFound
        It is not there.
    CardMismatch
        It is no valid card: names the field.
    """
    try:
        return VerdictSpec.model_validate_json(card.read_bytes())
    except OSError as error:
        raise ModelNotFound(f"{card}: {error.strerror}; give the path of a verdict model's card") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise CardMismatch(f"{card}: {where}: {plain(first['msg'])}") from error


def load(name_or_path: str | Path) -> Verdict:
    """Load a verdict model by a shipped name, or by the path of its card or of its weights.

    Raises
    ------
    ModelNotFound
        No such card, or its weights are missing.
    DamagedWeights
        The weights are not those that the card describes (SHA-256), unreadable, or not finite.
    CardMismatch
        The card is no valid spec, or the weights do not fit it.
    """
    path = Path(name_or_path)
    if path.name == str(name_or_path) and (VERDICTS / f"{name_or_path}.json").is_file():
        path = VERDICTS / f"{name_or_path}.json"
    card, weights = path.with_suffix(".json"), path.with_suffix(".safetensors")
    spec = read_spec(card)
    if not weights.is_file():
        raise ModelNotFound(f"{card} is there, but its weights {weights.name} are not")
    content = weights.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != spec.sha256:
        raise DamagedWeights(
            f"{weights}: SHA-256 is {found[:12]}…, the card says {spec.sha256[:12] or 'none'}…"
        )
    try:
        tensors = load_tensors(content)
    except SafetensorError as error:
        raise DamagedWeights(f"{weights}: {error}") from error
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise DamagedWeights(f"{weights}: a weight is not finite")
    return Verdict(spec, {kind: _weights_of(card, spec, kind, tensors) for kind in spec.kinds})


def _weights_of(
    card: Path, spec: VerdictSpec, kind: str, tensors: Mapping[str, WideFloatArray]
) -> KindWeights:
    n = len(spec.kinds[kind].features)
    for part in PARTS:
        tensor = tensors.get(f"{kind}.{part}")
        if tensor is None or tensor.shape != ((1,) if part == "bias" else (n,)):
            raise CardMismatch(f"{card}: {kind}.{part} does not fit: {n} features are listed")
    return KindWeights(*(tensors[f"{kind}.{part}"] for part in PARTS))
