"""Why a sound model says what it says: a map over the spectrogram (HiResCAM, Draelos and Carin 2020).

The map is of the last convolution's output F and the gradient G of the explained logit: the positive part of
the sum over features of G F, place by place, drawn out to the spectrogram's bands and frames.

Shape legend: B windows, M mel bands, T frames, S steps.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.cnn_lstm import CnnLstm, Output
from models.errors import CannotExplain
from models.pictures import PictureFeatures
from models.sounds_heart import MURMUR, STATES, SYSTOLE

FloatArray = npt.NDArray[np.float32]


def _last_maps(front_end: PictureFeatures) -> nn.Module:
    """The last layer before the last pooling: it still tells more bands apart."""
    layers = list(front_end.maps)
    return layers[-2] if isinstance(layers[-1], nn.MaxPool2d) else layers[-1]


Target = Callable[[Output, Tensor], Tensor]
"""From the network's output and the steps that count (B, S) to the explained logit (B,)."""


def window_target(index: int) -> Target:
    """A class of the window head alone: a diagnosis."""

    def target(output: Output, where_BS: Tensor) -> Tensor:
        return output.window_logits[:, index]

    return target


def label_target(index: int) -> Target:
    """Evidence of crackles or wheezes, as :func:`models.sounds_lung.evidence` takes it."""

    def target(output: Output, where_BS: Tensor) -> Tensor:
        p_BS = output.step_logits[..., index].sigmoid() * where_BS
        pooled_B = ((p_BS * p_BS).sum(1) / p_BS.sum(1).clamp(min=1e-9)).clamp(1e-6, 1 - 1e-6)
        return (pooled_B.logit() + output.window_logits[:, index]) / 2

    return target


def murmur_target(output: Output, where_BS: Tensor) -> Tensor:
    """Evidence of a murmur: the window's logit and that of the steps, by how likely each is of systole."""
    systole_BS = output.step_logits[..., : len(STATES)].softmax(-1)[..., SYSTOLE].detach() * where_BS
    of_steps_B = (systole_BS * output.step_logits[..., MURMUR]).sum(1) / systole_BS.sum(1).clamp(min=1e-6)
    return (of_steps_B + output.window_logits[:, 0]) / 2


def spectrogram_map(
    model: CnnLstm,
    frames_BMT: FloatArray,
    target: Target,
    where_BS: npt.NDArray[np.bool_] | None = None,
) -> FloatArray:
    """Where in the spectrogram the evidence for what is said lies.

    Parameters
    ----------
    model : CnnLstm
        With a front end over pictures, in evaluation mode.
    frames_BMT : ndarray of float32, shape (B, M, T)
        Leveled frames of all pictures, as :meth:`models.sounds.SoundModel.listen` takes them.
    target : callable
        What is explained: :func:`label_target`, :func:`murmur_target`, :func:`window_target`.
    where_BS : ndarray of bool or None, shape (B, S)
        Steps that count; None: all of the window.

    Returns
    -------
    ndarray of float32, shape (B, bands, T)
        0 to 1, 1 at the largest of each window; all 0 where nothing speaks for the class.

    Raises
    ------
    CannotExplain
        The network has another front end.
    """
    front_end = model.front_end
    if not isinstance(front_end, PictureFeatures):
        raise CannotExplain("the network sees no spectrogram: models.explain explains it")
    kept: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        kept.append(output)

    device = next(model.parameters()).device
    x = torch.from_numpy(np.ascontiguousarray(frames_BMT)).to(device)[:, None].requires_grad_(True)
    where = None if where_BS is None else torch.from_numpy(where_BS).to(device)
    handle = _last_maps(front_end).register_forward_hook(keep)
    try:
        # cuDNN's LSTM gives no gradients in evaluation mode; the plain kernels do.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            output = model(x, where)
            every = torch.ones_like(output.attention, dtype=torch.bool)
            explained = target(output, every if where is None else where).sum()
            (gradient,) = torch.autograd.grad(explained, kept)
    finally:
        handle.remove()
    cam = functional.relu((gradient * kept[0]).sum(1, keepdim=True)).detach()
    size = (front_end.rows, x.shape[-1])
    drawn = functional.interpolate(cam, size=size, mode="bilinear", align_corners=False)[:, 0]
    largest = drawn.flatten(1).amax(1).clamp(min=1e-20)[:, None, None]
    found: FloatArray = (drawn / largest).cpu().numpy().astype(np.float32)
    return found
