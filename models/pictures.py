"""Front end over pictures whose columns are time: spectrograms of sounds, scanned strips.

Shape legend: B pictures, C channels, M rows, T columns, F features, S time steps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.spec import Conv2dFrontEnd


class PictureFeatures(nn.Module):
    """Pictures to features: (B, C, M, T) to (B, width, S), S = ceil(T / columns_per_step).

    Parameters
    ----------
    channels : int
        1 for a spectrogram, whatever pictures lie one above the other in it.
    config : Conv2dFrontEnd
        Rows, widths and poolings.
    """

    def __init__(self, channels: int, config: Conv2dFrontEnd) -> None:
        super().__init__()
        self.width = config.features
        self.columns_per_step = config.columns_per_step
        layers: list[nn.Module] = []
        self.rows = config.rows
        before = channels * config.pictures
        for width, rows, columns in zip(config.widths, config.row_pools, config.strides, strict=True):
            convolution = nn.Conv2d(before, width, 3, padding=1, bias=False)
            # Convolutions of few channels run a third faster on CPUs with the channels innermost.
            weight = convolution.weight.detach().contiguous(memory_format=torch.channels_last)
            convolution.weight = nn.Parameter(weight)
            layers += [convolution, nn.BatchNorm2d(width), nn.ReLU()]
            if rows > 1 or columns > 1:
                layers.append(nn.MaxPool2d((rows, columns)))
            before = width
        self.maps = nn.Sequential(*layers)
        """Its output keeps rows: Grad-CAM's map over the spectrogram is of these."""
        self.dropout = nn.Dropout(config.dropout)
        self.join = nn.Linear(before * config.rows_left, config.features)

    def forward(self, x_BCMT: Tensor) -> Tensor:
        """(B, C, M, T) to (B, width, S); M is the rows of all pictures."""
        x_BCMT = x_BCMT.reshape(len(x_BCMT), -1, self.rows, x_BCMT.shape[-1])
        short = -x_BCMT.shape[-1] % self.columns_per_step
        if short:
            x_BCMT = functional.pad(x_BCMT, (0, short, 0, 0), mode="replicate")
        x_BCMT = x_BCMT.contiguous(memory_format=torch.channels_last)
        flat_BSF = self.maps(x_BCMT).flatten(1, 2).transpose(1, 2)
        return torch.relu(self.join(self.dropout(flat_BSF))).transpose(1, 2)
