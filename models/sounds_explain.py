"""Why a sound model says what it says: a map over the spectrogram (HiResCAM, Draelos and Carin 2020).

The map is of the last convolution's output F and the gradient G of the explained logit: the positive part of
the sum over features of G F, place by place, drawn out to the spectrogram's bands and frames.

Shape legend: B windows, M mel bands, T frames, S steps.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.cnn_lstm import CnnLstm
from models.errors import CannotExplain
from models.pictures import PictureFeatures

FloatArray = npt.NDArray[np.float32]


def _last_maps(front_end: PictureFeatures) -> nn.Module:
    """The last layer before the last pooling: it still tells more bands apart."""
    layers = list(front_end.maps)
    return layers[-2] if isinstance(layers[-1], nn.MaxPool2d) else layers[-1]


def spectrogram_map(
    model: CnnLstm,
    frames_BMT: FloatArray,
    window_class: int,
    where_BS: npt.NDArray[np.bool_] | None = None,
) -> FloatArray:
    """Where in the spectrogram the evidence for one class of the window head lies.

    Parameters
    ----------
    model : CnnLstm
        With a front end over pictures, in evaluation mode.
    frames_BMT : ndarray of float32, shape (B, M, T)
        Leveled frames, as :meth:`models.sounds.SoundModel.listen` takes them.
    window_class : int
        Index into the card's ``window_classes``.
    where_BS : ndarray of bool or None, shape (B, S)
        Steps that the window head looks at; None: all of the window.

    Returns
    -------
    ndarray of float32, shape (B, M, T)
        0 to 1, 1 at the largest of each window; all 0 where nothing speaks for the class.

    Raises
    ------
    CannotExplain
        No such class, or another front end.
    """
    front_end = model.front_end
    if not isinstance(front_end, PictureFeatures):
        raise CannotExplain("the network sees no spectrogram: models.explain explains it")
    if not 0 <= window_class < model.config.window_classes:
        raise CannotExplain(
            f"window_class={window_class}: the window head has {model.config.window_classes} classes"
        )
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
            logit = model(x, where).window_logits[:, window_class].sum()
            (gradient,) = torch.autograd.grad(logit, kept)
    finally:
        handle.remove()
    cam = functional.relu((gradient * kept[0]).sum(1, keepdim=True)).detach()
    drawn = functional.interpolate(cam, size=x.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    largest = drawn.flatten(1).amax(1).clamp(min=1e-20)[:, None, None]
    found: FloatArray = (drawn / largest).cpu().numpy().astype(np.float32)
    return found
