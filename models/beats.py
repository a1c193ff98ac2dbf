"""Front end whose time steps are beats: a small network over each beat's signal, joined with its timing."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.spec import BeatsFrontEnd


class BeatFeatures(nn.Module):
    """Beats to features: (B, T, pieces * segment + context) to (B, width, T); 0 where a row is all zeros.

    Parameters
    ----------
    gain : float
        The network sees asinh(gain x) of the pieces; the context as it is.
    config : BeatsFrontEnd
        Widths, kernels and strides of the convolutions over one beat.
    """

    def __init__(self, gain: float, config: BeatsFrontEnd) -> None:
        super().__init__()
        self.gain, self.pieces, self.segment, self.row = gain, config.pieces, config.segment, config.row
        self.width = config.width
        layers: list[nn.Module] = []
        before, length = config.pieces, config.segment
        for width, kernel, stride in zip(config.widths, config.kernels, config.strides, strict=True):
            layers += [
                nn.Conv1d(before, width, kernel, stride, kernel // 2, bias=False),
                nn.BatchNorm1d(width),
                nn.ReLU(),
            ]
            before, length = width, -(-length // stride)
        self.shape = nn.Sequential(*layers)
        n_shape = before * length
        self.bring: nn.Module = nn.Identity()
        self.norm: nn.Module = nn.Identity()
        if config.shape_features:
            # Hundreds of numbers of shape beside a dozen of timing would drown the timing.
            self.bring = nn.Sequential(
                nn.Dropout(config.dropout), nn.Linear(n_shape, config.shape_features), nn.ReLU()
            )
            self.norm = nn.BatchNorm1d(config.width)
            n_shape = config.shape_features
        self.join = nn.Linear(n_shape + config.context, config.width)

    def features(self, rows_NM: Tensor) -> Tensor:
        """Features of single beats, (N, pieces * segment + context) to (N, width)."""
        signal = self.pieces * self.segment
        pieces = torch.asinh(self.gain * rows_NM[:, :signal]).view(
            rows_NM.shape[0], self.pieces, self.segment
        )
        shape = self.bring(self.shape(pieces).flatten(1))
        joined: Tensor = self.norm(self.join(torch.cat([shape, rows_NM[:, signal:]], dim=-1)))
        return functional.relu(joined)

    def forward(self, x_BTM: Tensor) -> Tensor:
        """(B, T, pieces * segment + context) to (B, width, T)."""
        n, beats, _ = x_BTM.shape
        rows_NM = x_BTM.flatten(0, 1)
        real_N = (rows_NM != 0).any(-1)
        if self.training:
            # Rows that fill up would else enter the statistics of the batch normalisations.
            found = self.features(rows_NM[real_N])
            features = found.new_zeros(rows_NM.shape[0], self.width).masked_scatter(real_N[:, None], found)
        else:
            features = self.features(rows_NM) * real_N[:, None]
        return features.view(n, beats, self.width).transpose(1, 2)
