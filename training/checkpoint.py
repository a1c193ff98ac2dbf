"""What lies in a run's folder: the checkpoint that a killed run goes on from, and weights to begin with."""

from __future__ import annotations

import hashlib
import logging
import pickle
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from models.cnn_lstm import CnnLstm
from training.errors import BadCheckpoint
from training.task import Names

logger = logging.getLogger(__name__)

CHECKPOINT: Final = "checkpoint.pt"
BEST: Final = "best.pt"

UNREADABLE: Final = (
    OSError,
    RuntimeError,
    KeyError,
    ValueError,
    EOFError,
    TypeError,
    AttributeError,
    pickle.UnpicklingError,
)
"""What reading a damaged or foreign file raises."""


def read(path: Path, device: torch.device) -> dict[str, Any]:
    """Tensors and plain data of a file; a foreign pickle is refused, not run.

    Raises
    ------
    BadCheckpoint
        Damaged, or no file of ours.
    """
    try:
        held = torch.load(path, map_location=device, weights_only=True)
    except UNREADABLE as error:
        raise damaged(path, error) from error
    if not isinstance(held, dict):
        raise BadCheckpoint(f"{path}: it holds {type(held).__name__}, no checkpoint")
    return held


def damaged(path: Path, error: Exception) -> BadCheckpoint:
    """The error to raise for a file that cannot be used."""
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return BadCheckpoint(f"{path}: {first}; remove it to begin anew")


def write(path: Path, content: Mapping[str, object]) -> None:
    """Write so that a kill at any time leaves a whole file."""
    part = path.with_name(path.name + ".part")
    torch.save(dict(content), part)
    part.replace(path)


def fingerprint(weights: Mapping[str, Tensor]) -> str:
    """Short hash of a set of tensors."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _by_part(names: Iterable[str]) -> str:
    """``front_end 25, recurrent 8``: tensors by the part of the network they are of."""
    counts = Counter(name.split(".", 1)[0] for name in names)
    return ", ".join(f"{part} {count}" for part, count in counts.items()) or "none"


def adopt(model: CnnLstm, weights: Mapping[str, Tensor]) -> tuple[Names, Names]:
    """Begin with the weights of another model of the family: those that fit by name and shape.

    Returns
    -------
    taken, left : tuple of str
        Names of the tensors that were taken, and of the model's others, which stay as drawn.

    Raises
    ------
    BadCheckpoint
        Nothing fits.
    """
    own = model.state_dict()
    taken = {
        name: weights[name] for name in own if name in weights and weights[name].shape == own[name].shape
    }
    if not taken:
        raise BadCheckpoint("--from-weights: no tensor of that model fits this recipe's architecture")
    model.load_state_dict(own | taken)
    left = tuple(name for name in own if name not in taken)
    logger.info("tensors taken: %s; drawn anew: %s", _by_part(taken), _by_part(left))
    return tuple(taken), left


def first_difference(held: object, asked: object, where: str = "") -> str | None:
    """Path and values of the first place where two trees of plain data differ; None if nowhere."""
    if isinstance(held, dict) and isinstance(asked, dict):
        for key in sorted({*held, *asked}):
            found = first_difference(held.get(key), asked.get(key), f"{where}.{key}" if where else str(key))
            if found is not None:
                return found
        return None
    return None if held == asked else f"{where} is {_short(held)} there and {_short(asked)} here"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def plain_recipe(recipe: dict[str, object]) -> dict[str, object]:
    """A recipe's settings without those that do not change the model, only when and where a run speaks."""
    run = recipe["run"]
    silent = ("log_every", "checkpoint_every", "tensorboard", "workers", "rehearse")
    kept = {k: v for k, v in run.items() if k not in silent} if isinstance(run, dict) else run
    return recipe | {"run": kept}
