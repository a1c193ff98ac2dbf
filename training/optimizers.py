"""How weights are moved: the rate of each step, optimizers, the running average, what is held still."""

from __future__ import annotations

import math

import torch

from models.cnn_lstm import CnnLstm
from training.config import OptimizerConfig
from training.errors import BadRecipe


def learning_rate(step: int, config: OptimizerConfig, reduced: float = 1.0) -> float:
    """Rate of a step: linear warm-up, then by the schedule.

    Parameters
    ----------
    step : int
        Counted from 0.
    config : OptimizerConfig
        ``cosine`` falls to a hundredth; ``constant`` and ``plateau`` stay.
    reduced : float
        What worse validations have made of the rate (``plateau``).
    """
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    if config.schedule != "cosine":
        return config.lr * reduced
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def make_optimizer(model: CnnLstm, config: OptimizerConfig) -> torch.optim.Optimizer:
    """AdamW or SGD with Nesterov's momentum; biases and norms do not decay, frozen parts stay out."""
    moved = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in moved if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in moved if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=config.momentum > 0)
    return torch.optim.AdamW(groups, lr=config.lr)


@torch.no_grad()
def update_average(average: CnnLstm, model: CnnLstm, decay: float) -> None:
    """Move the running average of weights and normalisation statistics towards the model."""
    for kept, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if kept.dtype.is_floating_point:
            kept.lerp_(new, 1.0 - decay)
        else:
            kept.copy_(new)


def freeze(model: CnnLstm, parts: tuple[str, ...]) -> list[torch.nn.Module]:
    """Hold parts of a model still, and return them.

    Their weights get no gradient; to keep the statistics of their normalisations too, they have to be put
    into evaluation mode again after each ``model.train()``.

    Parameters
    ----------
    model : CnnLstm
        Changed in place.
    parts : tuple of str
        Names of modules, as ``front_end``, ``recurrent`` or ``front_end.stem``.

    Raises
    ------
    BadRecipe
        There is no such part, or nothing is left to train.
    """
    held = []
    for name in parts:
        try:
            module = model.get_submodule(name)
        except AttributeError as error:
            names = ", ".join(child for child, _ in model.named_children())
            raise BadRecipe(
                f"optimizer.freeze: no part {name!r} of this network; there are {names}"
            ) from error
        module.requires_grad_(False)
        held.append(module)
    if not any(p.requires_grad for p in model.parameters()):
        raise BadRecipe(f"optimizer.freeze={','.join(parts)}: nothing is left to train")
    return held
