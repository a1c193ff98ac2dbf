"""Models on disk: ``<name>.safetensors`` and its card ``<name>.json``. Never pickle."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from models.cards import find as find
from models.cards import read_spec as read_spec
from models.cards import shipped as shipped
from models.cnn_lstm import CnnLstm
from models.errors import CardMismatch, DamagedWeights, ModelNotFound
from models.spec import ModelSpec


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
