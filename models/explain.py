"""Why a model says what it says: Grad-CAM and attention along time.

Grad-CAM (Selvaraju et al. 2017): the last convolution's features, weighted by the mean gradient of the
explained output with respect to each of them, positive part. Shapes as in :mod:`models.cnn_lstm`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.cnn_lstm import CnnLstm

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Maps along the time steps of each window.

    Attributes
    ----------
    grad_cam : ndarray of float32, shape (n_windows, n_steps)
        0 to 1, 1 at the largest of each window; all 0 where nothing speaks for the output.
    attention : ndarray of float32, shape (n_windows, n_steps)
        Weights of the rhythm head's pooling; sum 1.
    self_attention : ndarray of float32, shape (n_windows, n_recurrent, n_recurrent)
        How much each recurrent step looked at each other.
    """

    grad_cam: FloatArray
    attention: FloatArray
    self_attention: FloatArray


def explain(
    model: CnnLstm, windows: FloatArray, *, rhythm: int | None = None, beat: int | None = None
) -> Explanation:
    """Explain one output of the network for each window.

    Parameters
    ----------
    model : CnnLstm
        In evaluation mode.
    windows : ndarray of float32, shape (n_windows, n_channels, n_times)
        In the signal's unit.
    rhythm : int or None
        Index of the rhythm to explain; exactly one of ``rhythm`` and ``beat`` is given.
    beat : int or None
        Index of the step class whose strongest step is explained.

    Raises
    ------
    ValueError
        If not exactly one of ``rhythm`` and ``beat`` is given.
    """
    if (rhythm is None) == (beat is None):
        raise ValueError("give exactly one of rhythm and beat")
    device = next(model.parameters()).device
    x_BCN = torch.from_numpy(np.ascontiguousarray(windows)).to(device)
    # cuDNN's LSTM gives no gradients in evaluation mode; the plain kernels do.
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        features_BFT: Tensor = model.front_end(x_BCN).detach()
        features_BFT.requires_grad_(True)
        output = model.head_outputs(features_BFT)
        if rhythm is not None:
            target = output.window_logits[:, rhythm].sum()
        else:
            assert beat is not None
            target = output.step_logits[:, :, beat].max(dim=1).values.sum()
        (gradient_BFT,) = torch.autograd.grad(target, features_BFT)
    cam_BT = nn.functional.relu((gradient_BFT.mean(-1, keepdim=True) * features_BFT).sum(1)).detach()
    cam_BT = cam_BT / cam_BT.amax(-1, keepdim=True).clamp(min=1e-12)
    with torch.inference_mode():
        states_BRF = model.recurrent_states(features_BFT.detach())
        n_steps = states_BRF.shape[1]
        self_attention = (
            torch.eye(n_steps).expand(len(states_BRF), -1, -1)
            if model.attention is None
            else model.attention.weights(states_BRF)
        )
    return Explanation(
        cam_BT.cpu().numpy(), output.attention.detach().cpu().numpy(), self_attention.cpu().numpy()
    )
