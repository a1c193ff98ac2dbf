"""The curves of a model: ROC, precision against recall, calibration and confusion on its test patients.

They are beside the card, in ``curves/<name>.json`` of its folder, so that a card stays readable;
``wardwave evaluate NAME --update-curves`` writes them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import Field, ValidationError

from models.errors import CardMismatch, plain
from models.spec import NAME, Frozen, Interval

FOLDER: Final = "curves"
MOST_BYTES: Final = 4_000_000

Points = tuple[tuple[float, float, float], ...]


class Curve(Frozen):
    """Points of a curve, the area below it, and where the model's decisions lie."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    area: Interval
    decided: tuple[float, float] | None


class ClassCurves(Frozen):
    """One class against the rest. ``reliability``: (probability, how often it was so, share of the items)."""

    name: str
    items: int = Field(ge=0)
    roc: Curve | None
    pr: Curve | None
    reliability: Points


class Classification(Frozen):
    """One question that the model answers; ``confusion`` has a row for each true class."""

    title: str
    key: str
    items: int = Field(ge=0)
    patients: int = Field(ge=0)
    weighted: bool
    classes: tuple[ClassCurves, ...]
    confusion: tuple[tuple[float, ...], ...]
    reliability: Points


class ModelCurves(Frozen):
    """All of them, with the weights and the code that they are of."""

    schema_version: Literal["curves/1"] = "curves/1"
    name: str = Field(pattern=NAME, max_length=100)
    sha256: str
    code_commit: str
    made: str
    classifications: tuple[Classification, ...]


def path_of(card: Path) -> Path:
    """Where the curves of a card are."""
    return card.parent / FOLDER / f"{card.stem}.json"


def save(curves: ModelCurves, card: Path) -> Path:
    """Write them beside a card, whole or not at all."""
    path = path_of(card)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(curves.model_dump_json() + "\n", encoding="utf-8")
    part.replace(path)
    return path


def read(card: Path, sha256: str) -> ModelCurves | None:
    """Curves of a card's weights; None where there are none.

    Raises
    ------
    CardMismatch
        They cannot be read, or are of other weights: says which.
    """
    path = path_of(card)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise CardMismatch(f"{path}: larger than {MOST_BYTES:,} bytes")
        found = ModelCurves.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CardMismatch(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise CardMismatch(f"{path}: {where}: {plain(first['msg'])}") from error
    if found.sha256 != sha256:
        raise CardMismatch(
            f"{path}: of other weights (SHA-256 {found.sha256[:12]}, the card's {sha256[:12]})"
        )
    return found
