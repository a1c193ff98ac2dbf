"""Why a model says what it says: class activation and attention along time, for any model of the family.

The map is of the front end's features F (its last convolution's output) and the gradient G of the explained
output with respect to them, both of shape (width, steps), the positive part of

- ``hires_cam``: the sum over features of G F, step by step (HiResCAM, Draelos and Carin 2020);
- ``grad_cam``: the sum over features of F times G's mean over the steps (Grad-CAM, Selvaraju et al. 2017).

Grad-CAM's mean over time throws away where the gradient was: for the output of one step, which looks at one
place, its map says little of that place. So HiResCAM, which keeps it, is what is used unless asked otherwise.

Of a front end of beats the steps are beats; the same map over the convolutions inside a beat says which part
of it spoke. Shapes as in :mod:`models.cnn_lstm`; L places inside a beat.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.beats import BeatFeatures
from models.cnn_lstm import CnnLstm, Output
from models.errors import CannotExplain

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Method = Literal["hires_cam", "grad_cam"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Maps along the time steps of each input.

    Attributes
    ----------
    cam : ndarray of float32, shape (n, n_steps)
        0 to 1, 1 at the largest of each input; all 0 where nothing speaks for the output.
    within : ndarray of float32, shape (n, n_steps, n_places) or None
        The same inside each beat, 1 at the largest of each input; None where steps are no beats.
    attention : ndarray of float32, shape (n, n_steps)
        Weights with which the window head looked at the steps, sum 1; even where there is no such head.
    self_attention : ndarray of float32, shape (n, n_recurrent, n_recurrent)
        How much each recurrent step looked at each other; each at itself where attention is left out.
    step : ndarray of int64, shape (n,)
        Step whose output is explained; -1 where it is the window's.
    probability : ndarray of float32, shape (n,)
        Of the explained class there.
    """

    cam: FloatArray
    within: FloatArray | None
    attention: FloatArray
    self_attention: FloatArray
    step: IntArray
    probability: FloatArray


def _check(model: CnnLstm, x: FloatArray, window_class: int | None, step_class: int | None) -> None:
    """Refuse what has no answer."""
    if (window_class is None) == (step_class is None):
        raise CannotExplain("give exactly one of window_class and step_class")
    config = model.config
    kind, index, classes = (
        ("window", window_class, config.window_classes)
        if window_class is not None
        else ("step", step_class, config.step_classes)
    )
    assert index is not None
    if not 0 <= index < classes:
        raise CannotExplain(f"{kind}_class={index}: the network's {kind} head has {classes} classes")
    front_end = model.front_end
    wanted = front_end.row if isinstance(front_end, BeatFeatures) else config.channels
    found = x.shape[2 if isinstance(front_end, BeatFeatures) else 1] if x.ndim == 3 else -1
    if found != wanted:
        raise CannotExplain(f"input of shape {x.shape}: the network takes (n, channels, samples) or "
                            f"(n, beats, row) with {wanted} channels or numbers a row")  # fmt: skip
    if not np.isfinite(x).all():
        raise CannotExplain("the input holds NaN or infinity: condition it as the worker does")


@contextmanager
def _kept(model: CnnLstm) -> Iterator[list[Tensor]]:
    """Outputs of the front end, and of the convolutions inside a beat, as they pass."""
    kept: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        kept.append(output)

    modules = [model.front_end.shape] if isinstance(model.front_end, BeatFeatures) else []
    handles = [module.register_forward_hook(keep) for module in (*modules, model.front_end)]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


def _target(
    output: Output, window_class: int | None, step_class: int | None, step: IntArray | None
) -> tuple[Tensor, Tensor, Tensor]:
    """What is explained (its logarithm of probability, summed), the steps and the probabilities."""
    if window_class is not None:
        logs_B = output.window_logits.log_softmax(-1)[:, window_class]
        return logs_B.sum(), torch.full((len(logs_B),), -1), logs_B.exp()
    assert step_class is not None
    logs_BT = output.step_logits.log_softmax(-1)[..., step_class]
    steps_B = logs_BT.argmax(1) if step is None else torch.from_numpy(step).to(logs_BT.device)
    logs_B = logs_BT.gather(1, steps_B[:, None])[:, 0]
    return logs_B.sum(), steps_B, logs_B.exp()


def _map(features: Tensor, gradient: Tensor, method: Method) -> Tensor:
    """Positive part of the weighted sum over dimension 1; ``grad_cam`` averages over all after it."""
    if method == "grad_cam":
        gradient = gradient.mean(tuple(range(2, gradient.ndim)), keepdim=True)
    return nn.functional.relu((gradient * features).sum(1))


def _scaled(cam: Tensor) -> FloatArray:
    largest = cam.flatten(1).amax(1).clamp(min=1e-20).view(-1, *(1,) * (cam.ndim - 1))
    found: FloatArray = (cam / largest).detach().float().cpu().numpy()
    return found


def explain(
    model: CnnLstm,
    x: FloatArray,
    *,
    window_class: int | None = None,
    step_class: int | None = None,
    step: IntArray | None = None,
    method: Method = "hires_cam",
) -> Explanation:
    """Explain one output of the network for each input.

    Parameters
    ----------
    model : CnnLstm
        In evaluation mode.
    x : ndarray of float32, shape (n, n_channels, n_times) or (n, n_beats, row)
        Inputs as the front end takes them, in the signal's unit.
    window_class : int or None
        Class of the window head; exactly one of ``window_class`` and ``step_class`` is given.
    step_class : int or None
        Class of the step head.
    step : ndarray of int64, shape (n,) or None
        Steps that are explained; the one where ``step_class`` is likeliest where None.
    method : {"hires_cam", "grad_cam"}
        See the module.

    Raises
    ------
    CannotExplain
        No such output, or an input that the network does not take.
    """
    _check(model, x, window_class, step_class)
    device = next(model.parameters()).device
    inputs = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)).to(device).requires_grad_(True)
    # cuDNN's LSTM gives no gradients in evaluation mode; the plain kernels do.
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False), _kept(model) as kept:
        output = model(inputs)
        target, steps_B, probability_B = _target(output, window_class, step_class, step)
        gradients = torch.autograd.grad(target, kept)
    features_BFT, within = kept[-1], None
    if len(kept) > 1:
        n, n_steps = features_BFT.shape[0], features_BFT.shape[-1]
        shape, gradient = (t.view(n, n_steps, *t.shape[1:]).transpose(1, 2) for t in (kept[0], gradients[0]))
        real_BT = (inputs != 0).any(-1)
        within = _scaled(_map(shape, gradient, method) * real_BT[:, :, None])
    with torch.inference_mode():
        states_BRF = model.recurrent_states(features_BFT.detach())
        self_attention = (
            torch.eye(states_BRF.shape[1]).expand(len(states_BRF), -1, -1)
            if model.attention is None
            else model.attention.weights(states_BRF)
        )
    return Explanation(
        _scaled(_map(features_BFT, gradients[-1], method)),
        within,
        output.attention.detach().cpu().numpy(),
        self_attention.cpu().numpy(),
        steps_B.cpu().numpy().astype(np.int64),
        probability_B.detach().cpu().numpy(),
    )
