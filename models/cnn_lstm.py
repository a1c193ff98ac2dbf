"""The family ``CnnLstm``: convolutions, a bidirectional LSTM, attention with a skip around it, two heads.

After Picon et al. 2019 (CNN and LSTM for ventricular fibrillation), Hannun et al. 2019 (residual 1-D
convolutions over ECG) and Vaswani et al. 2017 (multi-head attention). What differs: scaling is fixed, so a
step's features do not depend on where the window begins; the recurrent part runs on every second step
(or fifth), which keeps it a small share of the cost; the convolutions skip over the recurrent part, so
beats are located at full step resolution.

Shape legend: B windows, C leads, N samples, F features, T steps, R recurrent steps, K classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.beats import BeatFeatures
from models.eeg_channels import ChannelFeatures
from models.pictures import PictureFeatures
from models.spec import (
    Architecture,
    BeatsFrontEnd,
    ChannelsFrontEnd,
    Conv1dFrontEnd,
    Conv2dFrontEnd,
    Cost,
    FrontEnd,
)


@dataclass(frozen=True, slots=True)
class Output:
    """What the network says of a batch of windows.

    Attributes
    ----------
    step_logits : Tensor, shape (B, T, K)
        One row a time step (monitor: no beat, N, S, V, F); K = 0 without this head.
    window_logits : Tensor, shape (B, K)
        State of the window's last seconds; K = 0 without this head.
    attention : Tensor, shape (B, T)
        Weights with which the window head looked at the steps; sum 1, zero before the last ``window_steps``.
    """

    step_logits: Tensor
    window_logits: Tensor
    attention: Tensor


class ResidualBlock(nn.Module):
    """Two convolutions with batch normalisation and a (projected) skip around them."""

    def __init__(self, width_in: int, width: int, kernel: int, stride: int, dilation: int) -> None:
        super().__init__()
        pad = dilation * (kernel // 2)
        self.first = nn.Conv1d(width_in, width, kernel, stride, pad, dilation, bias=False)
        self.first_norm: nn.BatchNorm1d | nn.Identity = nn.BatchNorm1d(width)
        self.second = nn.Conv1d(width, width, kernel, 1, pad, dilation, bias=False)
        self.second_norm: nn.BatchNorm1d | nn.Identity = nn.BatchNorm1d(width)
        self.skip: nn.Module = (
            nn.Identity()
            if stride == 1 and width_in == width
            else nn.Conv1d(width_in, width, 1, stride, bias=False)
        )

    def forward(self, x_BFT: Tensor) -> Tensor:
        """(B, F_in, T) to (B, F, ceil(T / stride))."""
        y_BFT = functional.relu(self.first_norm(self.first(x_BFT)))
        y_BFT = self.second_norm(self.second(y_BFT))
        return functional.relu(y_BFT + self.skip(x_BFT))


class Conv1dFeatures(nn.Module):
    """Waveform to features: (B, C, N) to (B, F, T), T = ceil(N / stride)."""

    def __init__(self, channels: int, gain: float, config: Conv1dFrontEnd) -> None:
        super().__init__()
        self.gain = gain
        self.width = config.widths[-1]
        self.stem = nn.Conv1d(
            channels,
            config.stem_width,
            config.stem_kernel,
            config.stem_stride,
            config.stem_kernel // 2,
            bias=False,
        )
        self.stem_norm: nn.BatchNorm1d | nn.Identity = nn.BatchNorm1d(config.stem_width)
        widths = (config.stem_width, *config.widths)
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(
                    widths[i], widths[i + 1], config.kernels[i], config.strides[i], config.dilations[i]
                )
                for i in range(len(config.widths))
            )
        )

    def forward(self, x_BCN: Tensor) -> Tensor:
        """(B, C, N) in the signal's unit to (B, F, T)."""
        x_BCN = torch.asinh(self.gain * x_BCN)
        features: Tensor = self.blocks(functional.relu(self.stem_norm(self.stem(x_BCN))))
        return features


def build_front_end(
    channels: int, gain: float, config: FrontEnd
) -> Conv1dFeatures | BeatFeatures | PictureFeatures | ChannelFeatures:
    """Front end by its configuration: any module with ``width`` and (B, …) to (B, width, T) serves."""
    if isinstance(config, BeatsFrontEnd):
        return BeatFeatures(gain, config)
    if isinstance(config, Conv2dFrontEnd):
        return PictureFeatures(channels, config)
    if isinstance(config, ChannelsFrontEnd):
        return ChannelFeatures(gain, config)
    return Conv1dFeatures(channels, gain, config)


class AttentionWithSkip(nn.Module):
    """Multi-head self-attention over the recurrent steps, added to its input, then normalised."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def _heads_of(self, x_BRF: Tensor) -> Tensor:
        """Queries, keys and values of each head, (B, R, 3, heads, F / heads)."""
        n, steps, width = x_BRF.shape
        projected: Tensor = self.project(x_BRF)
        return projected.view(n, steps, 3, self.heads, width // self.heads)

    def _heads(self, x_BRF: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        qkv = self._heads_of(x_BRF).permute(2, 0, 3, 1, 4)
        return qkv[0], qkv[1], qkv[2]

    def forward(self, x_BRF: Tensor) -> Tensor:
        """(B, R, F) to (B, R, F)."""
        q, k, v = self._heads(x_BRF)
        context = functional.scaled_dot_product_attention(q, k, v)
        normed: Tensor = self.norm(x_BRF + self.out(context.transpose(1, 2).flatten(2)))
        return normed

    def last(self, x_BRF: Tensor, steps: int) -> Tensor:
        """What :meth:`forward` says of the last ``steps``, which look at all: (B, R, F) to (B, steps, F)."""
        n, all_steps, _ = x_BRF.shape
        # One product and one copy for all heads: theirs are too narrow for the fused attention kernels.
        qkv = self._heads_of(x_BRF).permute(2, 0, 3, 1, 4).reshape(3, n * self.heads, all_steps, -1)
        scores = torch.bmm(qkv[0, :, -steps:], qkv[1].transpose(1, 2)).mul_(qkv.shape[-1] ** -0.5)
        context = torch.bmm(scores.softmax(-1), qkv[2]).view(n, self.heads, steps, -1)
        normed: Tensor = self.norm(x_BRF[:, -steps:] + self.out(context.transpose(1, 2).flatten(2)))
        return normed

    def weights(self, x_BRF: Tensor) -> Tensor:
        """Attention of each step to each other, mean over heads, (B, R, R); rows sum to 1."""
        q, k, _ = self._heads(x_BRF)
        scores: Tensor = (q @ k.transpose(-2, -1)) / q.shape[-1] ** 0.5
        return scores.softmax(-1).mean(1)


class CnnLstm(nn.Module):
    """Convolutions, bidirectional LSTM, attention with a skip, a head per step and one per window.

    Parameters
    ----------
    config : Architecture
        The numbers it is built from.

    The recurrent part, the attention with its skip, and either head can be left out by the configuration.
    """

    def __init__(self, config: Architecture) -> None:
        super().__init__()
        self.config = config
        self.front_end = build_front_end(config.channels, config.input_gain, config.front_end)
        width, attention_width = self.front_end.width, config.attention_width
        stride, squeeze = config.recurrent_stride, config.recurrent_squeeze
        if squeeze:
            self.to_recurrent = nn.Conv1d(width, squeeze, 1)
        else:
            self.to_recurrent = nn.Conv1d(
                width, attention_width, stride + 1 - stride % 2, stride, stride // 2
            )
        self.recurrent: nn.LSTM | None = None
        if config.recurrent:
            width_in = squeeze * stride or attention_width
            self.recurrent = nn.LSTM(width_in, config.hidden, batch_first=True, bidirectional=True)
            self.from_recurrent = nn.Linear(2 * config.hidden, attention_width)
        self.attention: AttentionWithSkip | None = None
        if config.attention:
            self.attention = AttentionWithSkip(attention_width, config.heads)
        self.to_steps = nn.Linear(attention_width, width)
        self.dropout = nn.Dropout(config.dropout)
        if config.step_classes:
            self.step_mix = nn.Conv1d(width, width // 2, 3, padding=1)
            self.step_head = nn.Linear(width // 2, config.step_classes)
        if config.window_classes:
            score_width = config.score_width or width
            self.window_score = nn.Linear(score_width, 1)
            self.window_mix = nn.Linear(width, score_width)
            self.window_head = nn.Linear(2 * width, config.window_classes)

    def recurrent_states(self, x_BFT: Tensor) -> Tensor:
        """Features (B, F, T) to the states that attention sees, (B, R, F)."""
        inputs_BTF = functional.relu(self.to_recurrent(x_BFT)).transpose(1, 2)
        if not self.config.recurrent_squeeze:
            return self.states_of(inputs_BTF)
        lacking = -x_BFT.shape[-1] % self.config.recurrent_stride
        return self.states_of(self.side_by_side(functional.pad(inputs_BTF, (0, 0, 0, lacking))))

    def side_by_side(self, inputs_BTF: Tensor) -> Tensor:
        """Squeezed steps (B, T, F) to inputs of the recurrent part, (B, T / stride, F * stride)."""
        return inputs_BTF.reshape(len(inputs_BTF), -1, inputs_BTF.shape[2] * self.config.recurrent_stride)

    def states_of(self, inputs_BRF: Tensor) -> Tensor:
        """Inputs of the recurrent part (B, R, F) to the states that attention sees, (B, R, F)."""
        if self.recurrent is None:
            return inputs_BRF
        states, _ = self.recurrent(inputs_BRF)
        projected: Tensor = self.from_recurrent(states)
        return projected

    def head_outputs(self, x_BFT: Tensor, where_BT: Tensor | None = None) -> Output:
        """From the front end's features (B, F, T) to the outputs; ``where_BT`` as in :meth:`forward`."""
        n_steps = x_BFT.shape[-1]
        context_BRF = self.recurrent_states(x_BFT)
        if self.attention is not None:
            context_BRF = self.attention(context_BRF)
        context_BRF = self.to_steps(context_BRF)
        context_BTF = context_BRF.repeat_interleave(self.config.recurrent_stride, dim=1)[:, :n_steps]
        merged_BTF = functional.relu(self.dropout(x_BFT.transpose(1, 2) + context_BTF))
        window_logits, score_BT = self.window_output(merged_BTF, where_BT)
        return Output(self.step_output(merged_BTF), window_logits, score_BT)

    def step_output(self, merged_BTF: Tensor) -> Tensor:
        """Logits of each step, (B, T, F) to (B, T, K)."""
        if not self.config.step_classes:
            return merged_BTF.new_zeros((*merged_BTF.shape[:2], 0))
        mixed_BFT = functional.relu(self.step_mix(merged_BTF.transpose(1, 2)))
        logits: Tensor = self.step_head(mixed_BFT.transpose(1, 2))
        return logits

    def window_output(self, merged_BTF: Tensor, where_BT: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits of the window (B, K), and how it looked at its steps (B, T)."""
        if where_BT is not None and self.config.window_classes:
            return self._window_of(merged_BTF, where_BT)
        first = max(0, merged_BTF.shape[1] - self.config.window_steps)
        last_BTF = merged_BTF[:, first:]
        if not self.config.window_classes:
            uniform_BT = torch.full_like(last_BTF[:, :, 0], 1.0 / last_BTF.shape[1])
            return merged_BTF.new_zeros((merged_BTF.shape[0], 0)), functional.pad(uniform_BT, (first, 0))
        score_BT = self.window_score(torch.tanh(self.window_mix(last_BTF))).squeeze(-1).softmax(-1)
        # What was looked at and the plain mean, in one product.
        shares_B2T = torch.stack([score_BT, torch.full_like(score_BT, 1.0 / last_BTF.shape[1])], dim=1)
        logits: Tensor = self.window_head(torch.bmm(shares_B2T, last_BTF).flatten(1))
        return logits, functional.pad(score_BT, (first, 0))

    def _window_of(self, merged_BTF: Tensor, where_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Window head over chosen steps, at least one a window."""
        score_BT = self.window_score(torch.tanh(self.window_mix(merged_BTF))).squeeze(-1)
        score_BT = score_BT.masked_fill(~where_BT, -torch.inf).softmax(-1)
        share_BT = where_BT / where_BT.sum(1, keepdim=True)
        pooled_BF = (score_BT.unsqueeze(-1) * merged_BTF).sum(1)
        mean_BF = (share_BT.unsqueeze(-1) * merged_BTF).sum(1)
        logits: Tensor = self.window_head(torch.cat([pooled_BF, mean_BF], dim=-1))
        return logits, score_BT

    def forward(self, x: Tensor, where_BT: Tensor | None = None) -> Output:
        """Run the network.

        Parameters
        ----------
        x : Tensor
            Inputs of the front end: windows (B, C, N) in the signal's unit, beats (B, T, M), pictures
            (B, C, rows, columns), or EEG channels with the context before them.
        where_BT : Tensor of bool or None, shape (B, T)
            Steps that the window head looks at (a breathing cycle, say), at least one a window; None: the
            last ``window_steps``.
        """
        return self.head_outputs(self.front_end(x), where_BT)


BEATS_OF_AN_EXAMPLE = 48


def example_input(config: Architecture, window_samples: int, batch: int = 1) -> Tensor:
    """An input of zeros, of the shape that a network of this configuration takes."""
    if isinstance(config.front_end, BeatsFrontEnd):
        return torch.zeros(batch, BEATS_OF_AN_EXAMPLE, config.front_end.row)
    if isinstance(config.front_end, Conv2dFrontEnd):
        columns = -(-window_samples // config.front_end.hop)
        return torch.zeros(batch, config.channels, config.front_end.rows_in, columns)
    context = config.front_end.context if isinstance(config.front_end, ChannelsFrontEnd) else 0
    return torch.zeros(batch, config.channels, context + window_samples)


def cost_of(config: Architecture, window_samples: int) -> Cost:
    """Count parameters and multiply-adds of one window (convolutions, linear, LSTM, attention products)."""
    model = CnnLstm(config).eval()
    macs = {"recurrent": 0, "rest": 0}

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor | tuple[Tensor, ...]) -> None:
        if isinstance(module, nn.Conv1d) and isinstance(output, Tensor):
            macs["rest"] += output.numel() * module.in_channels * module.kernel_size[0]
        elif isinstance(module, nn.Conv2d) and isinstance(output, Tensor):
            macs["rest"] += output.numel() * module.in_channels * math.prod(module.kernel_size)
        elif isinstance(module, nn.Linear) and isinstance(output, Tensor):
            macs["rest"] += output.numel() * module.in_features
        elif isinstance(module, nn.LSTM):
            steps = inputs[0].shape[1]
            macs["recurrent"] += steps * 8 * module.hidden_size * (module.input_size + module.hidden_size)
        elif isinstance(module, AttentionWithSkip):
            macs["rest"] += 2 * inputs[0].shape[1] ** 2 * inputs[0].shape[2]

    for module in model.modules():
        module.register_forward_hook(count)
    with torch.inference_mode():
        model(example_input(config, window_samples))
    total = macs["recurrent"] + macs["rest"]
    return Cost(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        mflop_per_window=round(2 * total / 1e6, 3),
        recurrent_share=round(macs["recurrent"] / total, 4),
    )
