"""Front end over the channels of an EEG: one encoder for all of them, then pooling over those that are there.

After Saab et al. 2020 (npj Digit Med 3:59: channel-wise convolutions over scalp EEG) and Ilse, Tomczak and
Welling 2018 (attention-based pooling of a set). Neither the order of the channels nor their number enters.

Shape legend: B windows, C channels, N samples, T steps, P samples of a step with its context, F features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.eeg_scale import FEWEST_FINITE
from models.spec import ChannelsFrontEnd


class ChannelFeatures(nn.Module):
    """Channels to features: (B, C, context + T * step) to (B, width, T).

    Parameters
    ----------
    gain : float
        The network sees ``asinh(gain * x)``.
    config : ChannelsFrontEnd
        Steps, widths and strides.
    """

    def __init__(self, gain: float, config: ChannelsFrontEnd) -> None:
        super().__init__()
        self.gain, self.config, self.width = gain, config, config.width
        layers: list[nn.Module] = []
        before = 1
        for width, kernel, stride in zip(
            (config.stem_width, *config.widths),
            (config.stem_kernel, *config.kernels),
            (config.stem_stride, *config.strides),
            strict=True,
        ):
            layers += [
                nn.Conv1d(before, width, kernel, stride, kernel // 2, bias=False),
                nn.BatchNorm1d(width),
                nn.ReLU(),
            ]
            before = width
        self.encoder = nn.Sequential(*layers)
        self.dropout = nn.Dropout(config.dropout)
        self.channel = nn.Linear(2 * before, before)
        self.score = nn.Linear(before, 1)
        self.join = nn.Linear(3 * before, config.width)

    def patches(self, x_BCN: Tensor) -> tuple[Tensor, Tensor]:
        """Steps with their context (B, C, T, P), missing samples 0, and which of them are there (B, C, T)."""
        there_BCN = torch.isfinite(x_BCN)
        own_BCTN = there_BCN[..., self.config.context :].unfold(-1, self.config.step, self.config.step)
        there_BCT = own_BCTN.float().mean(-1) >= FEWEST_FINITE
        filled_BCN = torch.asinh(self.gain * torch.where(there_BCN, x_BCN, torch.zeros_like(x_BCN)))
        patch = self.config.context + self.config.step
        return filled_BCN.unfold(-1, patch, self.config.step), there_BCT

    def _encode(self, patch_MP: Tensor) -> Tensor:
        """Features of single steps of channels, (M, P) to (M, F)."""
        maps_MFL = self.encoder(patch_MP.unsqueeze(1))
        both = torch.cat([maps_MFL.mean(-1), maps_MFL.amax(-1)], dim=-1)
        return torch.relu(self.channel(self.dropout(both)))

    def channels(self, x_BCN: Tensor) -> tuple[Tensor, Tensor]:
        """Features of each channel's steps (B, C, T, F), and which of them are there (B, C, T)."""
        patch_BCTP, there_BCT = self.patches(x_BCN)
        flat_MP = patch_BCTP.flatten(0, 2)
        if self.training:
            # Channels that are missing would pull the statistics of the norms.
            where_M = there_BCT.flatten()
            found_KF = self._encode(flat_MP[where_M])
            flat_MF = found_KF.new_zeros((len(flat_MP), found_KF.shape[-1]))
            flat_MF[where_M] = found_KF
        else:
            flat_MF = self._encode(flat_MP)
        return flat_MF.view(*patch_BCTP.shape[:3], -1), there_BCT

    def weights(self, features_BCTF: Tensor, there_BCT: Tensor) -> Tensor:
        """How much each channel is looked at, (B, C, T): sum 1 over the channels that are there, others 0."""
        score_BCT = self.score(features_BCTF).squeeze(-1).masked_fill(~there_BCT, -1e4)
        shares: Tensor = score_BCT.softmax(1) * there_BCT
        return shares

    def pool(self, features_BCTF: Tensor, there_BCT: Tensor) -> Tensor:
        """Attended, mean and largest features over the channels that are there, (B, width, T)."""
        shown_BCT1 = there_BCT.unsqueeze(-1).to(features_BCTF.dtype)
        masked_BCTF = features_BCTF * shown_BCT1
        attended_BTF = (self.weights(features_BCTF, there_BCT).unsqueeze(-1) * masked_BCTF).sum(1)
        mean_BTF = masked_BCTF.sum(1) / shown_BCT1.sum(1).clamp(min=1.0)
        # Features are not negative: a missing channel's 0 is never the largest of those that speak.
        joined = self.join(torch.cat([attended_BTF, mean_BTF, masked_BCTF.amax(1)], dim=-1))
        return torch.relu(joined).transpose(1, 2)

    def forward(self, x_BCN: Tensor) -> Tensor:
        """(B, C, context + T * step) to (B, width, T)."""
        return self.pool(*self.channels(x_BCN))
