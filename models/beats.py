"""Front end whose time steps are beats: a small network over each beat's signal, joined with its timing."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.spec import BeatsFrontEnd


class BeatFeatures(nn.Module):
    """Beats to features: (B, T, segment + context) to (B, width, T).

    Parameters
    ----------
    gain : float
        The network sees asinh(gain x) of the segment; the context as it is.
    config : BeatsFrontEnd
        Widths, kernels and strides of the convolutions over one beat.
    """

    def __init__(self, gain: float, config: BeatsFrontEnd) -> None:
        super().__init__()
        self.gain, self.segment, self.width = gain, config.segment, config.width
        layers: list[nn.Module] = []
        before, length = 1, config.segment
        for width, kernel, stride in zip(config.widths, config.kernels, config.strides, strict=True):
            layers += [
                nn.Conv1d(before, width, kernel, stride, kernel // 2, bias=False),
                nn.BatchNorm1d(width),
                nn.ReLU(),
            ]
            before, length = width, -(-length // stride)
        self.shape = nn.Sequential(*layers)
        self.join = nn.Linear(before * length + config.context, config.width)

    def forward(self, x_BTM: Tensor) -> Tensor:
        """(B, T, segment + context) to (B, width, T)."""
        n, beats, _ = x_BTM.shape
        segment = torch.asinh(self.gain * x_BTM[:, :, : self.segment]).reshape(n * beats, 1, self.segment)
        shape = self.shape(segment).flatten(1).view(n, beats, -1)
        joined: Tensor = self.join(torch.cat([shape, x_BTM[:, :, self.segment :]], dim=-1))
        return functional.relu(joined).transpose(1, 2)
