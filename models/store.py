"""Models on disk: ``<name>.safetensors`` and its card ``<name>.json``. Never pickle."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from models.cnn_lstm import CnnLstm
from models.errors import CardMismatch, DamagedWeights, ModelNotFound
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
        raise CardMismatch(f"{card}: {where}: {first['msg']}") from error


def save(model: CnnLstm, spec: ModelSpec, folder: Path) -> ModelSpec:
    """Write weights and card; the card carries the weights' SHA-256.

    Parameters
    ----------
    model : CnnLstm
        On any device.
    spec : ModelSpec
        Its card; ``sha256`` is filled in here.
    folder : Path
        Made if it is not there.

    Returns
    -------
    ModelSpec
        The card as written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    # Of several entries safetensors draws the order: the same weights would have another sum each time.
    weights = save_tensors(tensors, metadata={"model": f"CnnLstm {spec.name}"})
    written = spec.model_copy(update={"sha256": hashlib.sha256(weights).hexdigest()})
    _replace(folder / f"{spec.name}.safetensors", weights)
    save_card(written, folder)
    return written


def save_card(spec: ModelSpec, folder: Path) -> None:
    """Write a model's card alone; its weights beside it stay as they are."""
    _replace(folder / f"{spec.name}.json", spec.model_dump_json(indent=2).encode() + b"\n")


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or as it was."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)


def load(name_or_path: str | Path, device: str | torch.device = "cpu") -> tuple[CnnLstm, ModelSpec]:
    """Load a model, ready to predict.

    Parameters
    ----------
    name_or_path : str or Path
        A shipped model's name, or the path of a card, a weights file, or a folder with one card.
    device : str or torch.device
        Where it shall run.

    Raises
    ------
    ModelNotFound
        No such model, or its weights are missing.
    DamagedWeights
        The weights are not those that the card describes (SHA-256), not readable as safetensors, or not
        finite.
    CardMismatch
        The card is no valid spec, or describes another network than the weights are of.
    """
    card = find(name_or_path)
    spec = read_spec(card)
    path = card.with_suffix(".safetensors")
    if not path.is_file():
        raise ModelNotFound(f"{card} is there, but its weights {path.name} are not")
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != spec.sha256:
        raise DamagedWeights(f"{path}: SHA-256 is {found[:12]}…, the card says {spec.sha256[:12] or 'none'}…")
    try:
        tensors = load_tensors(content)
    except SafetensorError as error:
        raise DamagedWeights(f"{path}: {error}") from error
    broken = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise DamagedWeights(f"{path}: {broken[0]} holds NaN or infinity; train the model again")
    model = CnnLstm(spec.architecture)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise CardMismatch(f"{card}: the weights are of another network: {first}") from error
    return model.to(device).eval(), spec
