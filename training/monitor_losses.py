"""Losses of the two heads. Shape legend as in :mod:`models.cnn_lstm`."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from models.cnn_lstm import Output
from training.monitor_recipes import LossConfig, TeacherConfig


def step_loss(logits_BTK: Tensor, target_BTK: Tensor, weight_BT: Tensor, class_weights_K: Tensor) -> Tensor:
    """Weighted cross entropy with shared targets, per beat in the batch."""
    entropy_BT = -(target_BTK * class_weights_K * functional.log_softmax(logits_BTK, dim=-1)).sum(-1)
    beats = (weight_BT * (1.0 - target_BTK[..., 0])).sum()
    return (entropy_BT * weight_BT).sum() / (beats + 1.0)


def rhythm_loss(logits_BK: Tensor, allowed_BK: Tensor, smoothing: float) -> Tensor:
    """Minus log of the probability on the allowed rhythms; windows of unknown rhythm count nothing.

    With one rhythm allowed this is the cross entropy; with all but one it says "not this one".
    """
    log_p_BK = functional.log_softmax(logits_BK, dim=-1)
    known_B = (allowed_BK.sum(-1) > 0).float()
    inside_B = torch.logsumexp(log_p_BK.masked_fill(allowed_BK == 0, -1e4), dim=-1)
    loss_B = -(1 - smoothing) * inside_B - smoothing * log_p_BK.mean(-1)
    return (loss_B * known_B).sum() / known_B.sum().clamp(min=1.0)


def total_loss(
    output: Output, steps_BTK: Tensor, weight_BT: Tensor, allowed_BK: Tensor, config: LossConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """Total, step and rhythm loss."""
    weights_K = torch.tensor(config.step_class_weights, device=steps_BTK.device)
    of_steps = step_loss(output.step_logits, steps_BTK, weight_BT, weights_K)
    of_rhythm = rhythm_loss(output.window_logits, allowed_BK, config.label_smoothing)
    return of_steps + config.rhythm_weight * of_rhythm, of_steps, of_rhythm


def teacher_loss(
    output: Output, teacher: Output, config: LossConfig, weights: TeacherConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """Total, step and rhythm loss against what a teacher says, also where no label is known."""
    weights_K = torch.tensor(config.step_class_weights, device=output.step_logits.device)
    target_BTK = teacher.step_logits.softmax(-1)
    everywhere_BT = torch.ones_like(target_BTK[..., 0])
    of_steps = step_loss(output.step_logits, target_BTK, everywhere_BT, weights_K)
    of_rhythm = functional.cross_entropy(output.window_logits, teacher.window_logits.softmax(-1))
    return weights.step_weight * of_steps + weights.rhythm_weight * of_rhythm, of_steps, of_rhythm
