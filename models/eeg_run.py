"""A seizure model run over scaled EEG: features of each second once, then windows of them.

Shape legend: C channels, N samples, T steps, W steps of a window, F features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.cnn_lstm import CnnLstm
from models.eeg_channels import ChannelFeatures
from models.errors import CardMismatch

FloatArray = npt.NDArray[np.float32]

BLOCK: Final = 64
"""Steps that are encoded at once: bounds the memory."""
WINDOWS: Final = 256


@dataclass(frozen=True, slots=True)
class Course:
    """What a model says along one recording.

    Attributes
    ----------
    step_logit : ndarray of float32, shape (T,)
        Evidence for a seizure in each step, as its stream would have said it.
    window_logit : ndarray of float32, shape (T,)
        Of the window's last seconds, for the window that ends with each step.
    weights : ndarray of float32, shape (C, T)
        How much each channel was looked at; 0 where it is missing.
    """

    step_logit: FloatArray
    window_logit: FloatArray
    weights: FloatArray


def front_end_of(model: CnnLstm) -> ChannelFeatures:
    """The model's front end over channels.

    Raises
    ------
    CardMismatch
        It has another one.
    """
    if not isinstance(model.front_end, ChannelFeatures):
        raise CardMismatch("the network has no front end over EEG channels; take a seizure model")
    return model.front_end


def seizure_logit(step_logits: Tensor) -> Tensor:
    """Evidence for a seizure of the two classes of a step, (…, 2) to (…)."""
    return step_logits[..., 1] - step_logits[..., 0]


def window_outputs(model: CnnLstm, features_BFW: Tensor, behind: int) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs of windows of features.

    Parameters
    ----------
    model : CnnLstm
        In evaluation mode.
    features_BFW : Tensor, shape (B, F, W)
        Of W steps.
    behind : int
        Steps after the one that is asked about.

    Returns
    -------
    step : Tensor, shape (B,)
        Evidence for a seizure in the step ``behind`` before the last.
    window : Tensor, shape (B,)
        Of the window's last seconds.
    steps : Tensor, shape (B, W)
        Of all its steps.
    """
    out = model.head_outputs(features_BFW)
    steps_BW = seizure_logit(out.step_logits)
    return steps_BW[:, -1 - behind], out.window_logits[:, 0], steps_BW


def encode(front_end: ChannelFeatures, x_BCN: Tensor) -> tuple[Tensor, Tensor]:
    """Features (B, F, T) and channel weights (B, C, T) of scaled steps with the context before them."""
    features_BCTF, there_BCT = front_end.channels(x_BCN)
    return front_end.pool(features_BCTF, there_BCT), front_end.weights(features_BCTF, there_BCT)


def missing_features(front_end: ChannelFeatures) -> Tensor:
    """Features of a step without any channel, (F,): what a window holds before a stream began."""
    config = front_end.config
    weight = front_end.join.weight
    nothing = torch.full((1, 1, config.context + config.step), torch.nan, device=weight.device)
    return encode(front_end, nothing)[0][0, :, 0]


def run_recording(model: CnnLstm, x_CN: npt.NDArray[np.floating], window_steps: int, behind: int) -> Course:
    """Run a model over one recording, as its stream would be.

    Parameters
    ----------
    model : CnnLstm
        With a front end over channels.
    x_CN : ndarray, shape (C, T * step)
        Scaled (:mod:`models.eeg_scale`), NaN where missing; at least one step.
    window_steps, behind : int
        Steps of a window, and those awaited after a step before it is judged.
    """
    model.eval()
    front_end = front_end_of(model)
    step, context = front_end.config.step, front_end.config.context
    n_steps = x_CN.shape[1] // step
    device = next(model.parameters()).device
    features, weights = [], []
    with torch.inference_mode():
        for first in range(0, n_steps, BLOCK):
            last = min(n_steps, first + BLOCK)
            begin = first * step - context
            piece = np.asarray(x_CN[:, max(0, begin) : last * step], dtype=np.float32)
            if begin < 0:
                piece = np.pad(piece, ((0, 0), (-begin, 0)), constant_values=np.nan)
            made, looked = encode(front_end, torch.from_numpy(piece)[None].to(device))
            features.append(made[0])
            weights.append(looked[0].cpu())
        before = missing_features(front_end)[:, None].expand(-1, window_steps - 1)
        line_FT = torch.cat([before, *features], dim=1)
        windows_TFW = line_FT.unfold(1, window_steps, 1).transpose(0, 1)
        parts = [
            window_outputs(model, windows_TFW[first : first + WINDOWS], behind)
            for first in range(0, n_steps, WINDOWS)
        ]
    asked = np.concatenate([part[0].float().cpu().numpy() for part in parts])
    last_window = parts[-1][2][-1].float().cpu().numpy()
    # The last steps get no more context: they are judged by the last window.
    end = last_window[window_steps - min(behind, n_steps) :] if behind else asked[:0]
    return Course(
        np.concatenate([asked[behind:], end]),
        np.concatenate([part[1].float().cpu().numpy() for part in parts]),
        torch.cat(weights, dim=1).numpy(),
    )
