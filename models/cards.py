"""Cards on disk, found and read without loading torch: the dashboard shows them, too."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import ValidationError

from models.errors import CardMismatch, ModelNotFound, plain
from models.spec import ModelSpec

WEIGHTS: Final = Path(__file__).parent / "weights"
"""Where the shipped models are."""


def shipped() -> list[str]:
    """Names of the shipped models."""
    return sorted(path.stem for path in WEIGHTS.glob("*.json"))


def find(name_or_path: str | Path) -> Path:
    """Path of a model's card, by a shipped name or by the path of a card, its weights or their folder.

    Raises
    ------
    ModelNotFound
        Names the models that are shipped.
    """
    path = Path(name_or_path)
    candidates = [WEIGHTS / f"{name_or_path}.json"] if path.name == str(name_or_path) else []
    if path.is_dir():
        cards = sorted(path.glob("*.json"))
        if len(cards) != 1:
            raise ModelNotFound(f"{path}: expected one card (*.json) in this folder, found {len(cards)}")
        candidates.append(cards[0])
    elif path.suffix in (".json", ".safetensors"):
        candidates.append(path.with_suffix(".json"))
    else:
        candidates.append(path.with_name(path.name + ".json"))
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    names = ", ".join(shipped()) or "none"
    raise ModelNotFound(f"no model {str(name_or_path)!r}; shipped are {names}, or give the path of a card")


def read_spec(name_or_path: str | Path) -> ModelSpec:
    """Read a model's card alone.

    Raises
    ------
    ModelNotFound
        No such model.
    CardMismatch
        The card is no valid spec: names the field.
    """
    card = find(name_or_path)
    try:
        return ModelSpec.model_validate_json(card.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise CardMismatch(f"{card}: {where}: {plain(first['msg'])}") from error
