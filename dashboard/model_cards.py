"""The shipped models' cards with what lies beside them, and their figures in words."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dashboard import model_sounds
from dashboard.system_state import SystemSnapshot
from dashboard.trust import name_of, speaks
from models import cards, curves, verdict
from models.catalogue import headlines
from models.curves import ModelCurves
from models.errors import ModelError
from models.spec import Interval, ModelSpec
from models.verdict import VerdictSpec

WORDS: Final = {
    "none": "no beat",
    "N": "normal beats",
    "S": "supraventricular ectopic beats",
    "V": "ventricular ectopic beats",
    "F": "fusion beats",
    "A": "atrial fibrillation",
    "O": "other rhythm",
    "~": "noise",
    "vf": "ventricular fibrillation or flutter",
    "vt": "ventricular tachycardia",
    "asystole": "asystole",
    "af": "atrial fibrillation",
    "noise": "noise",
    "other": "any other rhythm",
    "P": "P waves",
    "QRS": "QRS complexes",
    "T": "T waves",
}
"""What a physician calls the classes."""

RHYTHMS: Final = {"N": "normal rhythm", "other": "any other rhythm"}
"""The same of a whole window, where it differs."""

SHORT: Final = {
    "qrs": "QRS",
    "veb": "ventricular beats",
    "sveb": "supraventricular beats",
    "vf": "VF",
    "vt": "VT",
    "se": "sensitivity",
    "ppv": "precision",
    "f1": "F1",
    "cinc2017": "CinC 2017",
}
LONGEST_FIGURES: Final = 72
"""Characters of the key figures, so that a table shows them whole."""
OF_CLASS: Final = re.compile(r"^(.+?)_(precision|recall|specificity|f1|roc_area|pr_area)_([^_]+)$")
FIGURES: Final = {
    "recall": "found (sensitivity)",
    "precision": "right when it says so (precision)",
    "specificity": "left alone rightly (specificity)",
    "f1": "F1",
    "roc_area": "area under ROC",
    "pr_area": "area under PR",
}
NEVER: Final = "Not for diagnosis, therapy or monitoring of patients, whatever the figures below."


@dataclass(frozen=True, slots=True)
class Card:
    """A model that can be read.

    Attributes
    ----------
    size_bytes : int or None
        Of the weights; None where they are missing.
    intact : bool
        Whether the weights are those that the card names.
    curves : ModelCurves or None
        None where there are none; ``curves_problem`` says what is wrong with those that there are.
    """

    path: Path
    spec: ModelSpec | VerdictSpec
    size_bytes: int | None
    intact: bool
    curves: ModelCurves | None
    curves_problem: str | None


@dataclass(frozen=True, slots=True)
class Damaged:
    """A card that cannot be read, and why."""

    path: Path
    why: str


def read_cards(weights: Path = cards.WEIGHTS, verdicts: Path = verdict.VERDICTS) -> list[Card | Damaged]:
    """Read all cards of both folders."""
    paths = [(path, False) for path in sorted(weights.glob("*.json"))]
    paths += [(path, True) for path in sorted(verdicts.glob("*.json"))]
    return [_read(path, judges) for path, judges in paths]


def _read(path: Path, judges: bool) -> Card | Damaged:
    try:
        spec: ModelSpec | VerdictSpec = verdict.read_spec(path) if judges else cards.read_spec(path)
    except (ModelError, OSError) as error:
        return Damaged(path, str(error))
    try:
        content: bytes | None = path.with_suffix(".safetensors").read_bytes()
    except OSError:
        content = None
    found, problem = None, None
    try:
        found = curves.read(path, spec.sha256)
    except ModelError as error:
        problem = str(error)
    return Card(
        path,
        spec,
        None if content is None else len(content),
        content is not None and hashlib.sha256(content).hexdigest() == spec.sha256,
        found,
        problem,
    )


HEARD_S: Final = 6.0
"""Processes say every 2 s how they do: who has not been heard within this is not there."""


def live_in(spec: ModelSpec | VerdictSpec, snapshot: SystemSnapshot) -> tuple[list[str], list[str]]:
    """Processes that run this model, and those that run other weights under its name."""
    own: list[str] = []
    others: list[str] = []
    for member in snapshot.members:
        for model in member.status.models if speaks(member) else ():
            if model.name == spec.name:
                (own if model.sha256 == spec.sha256 else others).append(name_of(member))
    return own, others


def live_word(spec: ModelSpec | VerdictSpec, snapshot: SystemSnapshot) -> str:
    """Whether a model is live, in words."""
    own, others = live_in(spec, snapshot)
    if others:
        return f"OTHER WEIGHTS of this name run in {', '.join(others)}"
    if own:
        return f"live in {', '.join(own)}"
    return "listening" if listens(snapshot) else "not running"


def listens(snapshot: SystemSnapshot) -> bool:
    """Whether it is too early to say that a process is not there."""
    return snapshot.listening_s < HEARD_S


def percent(figure: Interval) -> str:
    """A share with its interval: ``97 % (87 to 99)``."""
    if not math.isfinite(figure.value):
        return "–"
    # 99.6 % is not all.
    value = f"{100 * figure.value:.{1 if 0.995 <= figure.value < 0.9995 else 0}f} %"
    if not math.isfinite(figure.low):
        return f"{value} (too few patients for an interval)"
    return f"{value} ({100 * figure.low:.0f} to {100 * figure.high:.0f})"


def plain(figure: Interval) -> str:
    """A figure with its interval as it stands in the card."""
    if not math.isfinite(figure.value):
        return "–"
    if not math.isfinite(figure.low):
        return f"{figure.value:.4g} (too few patients for an interval)"
    return f"{figure.value:.4g} ({figure.low:.4g} to {figure.high:.4g})"


def questions(metrics: Mapping[str, Interval]) -> dict[str, dict[str, dict[str, Interval]]]:
    """Figures of classes, by question and class: ``["beats_end_to_end"]["V"]["recall"]``."""
    found: dict[str, dict[str, dict[str, Interval]]] = {}
    for name, figure in metrics.items():
        if match := OF_CLASS.match(name):
            question, what, one = match.groups()
            if what != "f1" or f"{question}_recall_{one}" in metrics:
                found.setdefault(question, {}).setdefault(one, {})[what] = figure
    return {
        question: classes
        for question, classes in found.items()
        if any("recall" in c for c in classes.values())
    }


def rest(metrics: Mapping[str, Interval]) -> dict[str, Interval]:
    """Figures that belong to no class."""
    own = questions(metrics)
    return {
        name: figure
        for name, figure in metrics.items()
        if not ((match := OF_CLASS.match(name)) and match[1] in own)
    }


def shockable_words(metrics: Mapping[str, Interval]) -> str | None:
    """How well fibrillation and tachycardia are told from the rest, whichever of both it says."""
    for prefix in ("rhythm_shockable_", "shockable_"):
        found, left = metrics.get(f"{prefix}sensitivity"), metrics.get(f"{prefix}specificity")
        if found is not None and left is not None:
            return (
                "Ventricular fibrillation, flutter or tachycardia, taken together (a high-priority alarm "
                f"either way): it finds {percent(found)} and leaves {percent(left)} of the rest alone."
            )
    return None


def class_word(name: str, spec: ModelSpec | VerdictSpec) -> str:
    """A class as a physician calls it, with its short name."""
    of_window = isinstance(spec, ModelSpec) and name in spec.window_classes
    word = (RHYTHMS if of_window else {}).get(name) or WORDS.get(name)
    return name if word is None or word == name else f"{word} ({name})"


def key_figures(spec: ModelSpec | VerdictSpec) -> str:
    """The few figures that tell most."""
    if isinstance(spec, ModelSpec) and model_sounds.of_sound(spec):
        return model_sounds.key_figures(spec)
    whole = ""
    for name, figure in headlines(dict(spec.metrics)).items():
        words = " ".join(SHORT.get(word, word) for word in name.split("_"))
        longer = f"{whole}, {words} {figure.value:.4g}".removeprefix(", ")
        if whole and len(longer) > LONGEST_FIGURES:
            break
        whole = longer
    return whole


def sides(spec: ModelSpec | VerdictSpec) -> list[dict[str, str | int]]:
    """Who stood on which side, a row a side and data set."""
    rows: list[dict[str, str | int]] = []
    for side, names in spec.split.items():
        for source in dict.fromkeys(re.split("[/:]", name, maxsplit=1)[0] for name in names):
            own = [name for name in names if re.split("[/:]", name, maxsplit=1)[0] == source]
            rows.append({"Side": side, "Data set": source, "Records": _count(own), "Which": ", ".join(own)})
    return rows


def _count(names: Iterable[str]) -> int:
    """Records behind names; a long list stands as ``cinc2017: 209 records, …``."""
    found = 0
    for name in names:
        many = re.match(r"^[^/]+: (\d+) records", name)
        found += int(many[1]) if many else 1
    return found


def history(spec: ModelSpec | VerdictSpec) -> dict[str, dict[str, list[float]]]:
    """Curves of the training that the card keeps: ``["losses"]["loss"]`` beside ``["losses"]["step"]``."""
    found: dict[str, dict[str, list[float]]] = {}
    for key, value in spec.training.items():
        parts = key.split(".", 2)
        if len(parts) == 3 and parts[0] == "history" and isinstance(value, list):
            numbers = [float(one) for one in value if isinstance(one, int | float)]
            if len(numbers) == len(value):
                found.setdefault(parts[1], {})[parts[2]] = numbers
    return {group: curves_ for group, curves_ in found.items() if "step" in curves_}
