"""A monitor network over a running signal: features of steps once, recurrent part and heads over kept ones.

Windows of a running signal overlap, and a step's features hang only on the samples around it: scaling is
fixed and the convolutions reach a fixed way (:class:`Reach`). So the network is cut in two. :meth:`front`
turns samples into features of steps and the recurrent part's inputs; :meth:`say` turns those of a window into
probabilities. Kept from one window to the next, only the newest steps have to be computed.

At its left a window sees the samples before it, where a window by itself would be padded with zeros. At its
right nothing has come yet: the last ``after`` steps are padded as ever and are computed anew when more has
come. For this windows begin at whole steps of the stream. What is said is that of a window with
``context`` samples before it, whichever way it was fed (to 1e-5).

Shape legend: B windows, N samples, F features, T steps, R recurrent steps, K classes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.cnn_lstm import CnnLstm, Conv1dFeatures, ResidualBlock
from models.errors import ModelError
from models.spec import Architecture, Conv1dFrontEnd


@dataclass(frozen=True, slots=True)
class Reach:
    """How far the network's inputs to the recurrent part look, in steps.

    Attributes
    ----------
    stride : int
        Samples a step.
    before : int
        Steps of signal that must lie before the first step that counts.
    after : int
        Last steps that change when more signal comes.
    """

    stride: int
    before: int
    after: int

    @property
    def context(self) -> int:
        """Samples before the first step that counts."""
        return self.before * self.stride


def reach_of(config: Architecture) -> Reach:
    """Reach of a network by its configuration.

    Raises
    ------
    ModelError
        The front end is none of waveforms, so that its features belong to one window.
    """
    front = config.front_end
    if not isinstance(front, Conv1dFrontEnd):
        raise ModelError(f"front_end={front.kind!r}: only 'conv1d' can be fed with a running signal")
    samples, spacing = front.stem_kernel // 2, front.stem_stride
    for kernel, stride, dilation in zip(front.kernels, front.strides, front.dilations, strict=True):
        reach = dilation * (kernel // 2)
        samples += reach * spacing
        spacing *= stride
        samples += reach * spacing
    before = -(-samples // spacing)
    # Step s is centred on sample s * spacing; the last sample is one short of the next step's.
    after = (samples + spacing) // spacing - 1
    left = config.recurrent_stride // 2
    right = config.recurrent_stride - config.recurrent_stride % 2 - left
    return Reach(spacing, before + left, after + right)


class Incremental(nn.Module):
    """The two halves of a trained network, for running signals.

    Parameters
    ----------
    network : CnnLstm
        With one channel, a conv1d front end and both heads; it is not changed.
    window_samples : int
        Of a window, a whole number of steps.

    Attributes
    ----------
    reach : Reach
        Of :meth:`front`.
    n_steps, n_recurrent : int
        Steps and recurrent steps of a window.
    """

    def __init__(self, network: CnnLstm, window_samples: int) -> None:
        super().__init__()
        config = network.config
        self.reach = reach_of(config)
        if window_samples % self.reach.stride:
            stride = self.reach.stride
            raise ModelError(f"window of {window_samples} samples: steps of {stride} do not fill it")
        if not (config.step_classes and config.window_classes) or config.channels != 1:
            raise ModelError("a network of running signals has one channel, step_classes and window_classes")
        self.n_steps = window_samples // self.reach.stride
        self.recurrent_stride = config.recurrent_stride
        self.n_recurrent = -(-self.n_steps // self.recurrent_stride)
        self.window_steps = min(config.window_steps, self.n_steps)
        # Copied, for folding changes it; the rest is shared.
        self._front_end = _folded(copy.deepcopy(network.front_end.eval()))
        self._network = network.eval()

    @property
    def width(self) -> int:
        """Features of a step."""
        return self._network.front_end.width

    @property
    def recurrent_width(self) -> int:
        """Numbers that the recurrent part takes of a step."""
        return self._network.config.attention_width

    def merged_steps(self, said: int) -> int:
        """Last steps whose features :meth:`say` needs, to tell of the last ``said``: whole recurrent ones."""
        least = min(max(self.window_steps, said + 1), self.n_steps)
        return least + (self.n_steps - least) % self.recurrent_stride

    def front(self, x_BN: Tensor) -> tuple[Tensor, Tensor]:
        """Features of steps and inputs of the recurrent part at each.

        Parameters
        ----------
        x_BN : Tensor, shape (B, (before + T) * stride)
            Samples in the unit of the model's card, from a whole step on.

        Returns
        -------
        features_BTF, inputs_BTF : Tensor
            Of the last T steps; of these the last ``after`` are provisional.
        """
        x_BFT = torch.asinh(self._front_end.gain * x_BN[:, None])
        x_BFT = self._front_end.stem(x_BFT).relu_()
        for block in _blocks(self._front_end):
            y_BFT = block.second(block.first(x_BFT).relu_())
            x_BFT = y_BFT.add_(block.skip(x_BFT)).relu_()
        convolution, stride = self._network.to_recurrent, self.recurrent_stride
        # At every step, not every second: which of them a window takes hangs on where it begins.
        inputs_BFT = functional.conv1d(x_BFT, convolution.weight, convolution.bias, padding=stride // 2)
        begin, end = self.reach.before, x_BFT.shape[-1]
        inputs_BTF = inputs_BFT[:, :, begin:end].relu_().transpose(1, 2)
        return x_BFT[:, :, begin:].transpose(1, 2), inputs_BTF

    def say(self, inputs_BRF: Tensor, features_BTF: Tensor, said: int) -> tuple[Tensor, Tensor]:
        """Probabilities of a window.

        Parameters
        ----------
        inputs_BRF : Tensor, shape (B, n_recurrent, recurrent_width)
            Of each ``recurrent_stride``-th step of the window, from its first on.
        features_BTF : Tensor, shape (B, merged_steps(said), width)
            Of its last steps.
        said : int
            So many last steps are told of.

        Returns
        -------
        steps_BTK, window_BK : Tensor
            Of the last ``said`` steps, and of the window's end.
        """
        network, n_merged = self._network, features_BTF.shape[1]
        n_last = self.n_recurrent - (self.n_steps - n_merged) // self.recurrent_stride
        states_BRF = network.states_of(inputs_BRF)
        if network.attention is not None:
            states_BRF = network.attention.last(states_BRF, n_last)
        context_BRF = network.to_steps(states_BRF[:, -n_last:])
        context_BTF = context_BRF.repeat_interleave(self.recurrent_stride, dim=1)[:, :n_merged]
        merged_BTF = context_BTF.add_(features_BTF).relu_()
        logits_BK, _ = network.window_output(merged_BTF)
        # One step more, unless the window ends there: what is padded to its left is not told of.
        extra = min(1, self.n_steps - said)
        logits_BTK = network.step_output(merged_BTF[:, -(said + extra) :])[:, extra:]
        return logits_BTK.softmax(-1), logits_BK.softmax(-1)

    def forward(self, x_BN: Tensor, said: int) -> tuple[Tensor, Tensor]:
        """Whole windows with ``reach.context`` samples before each: what :meth:`say` returns."""
        features_BTF, inputs_BTF = self.front(x_BN)
        n_merged = self.merged_steps(said)
        return self.say(inputs_BTF[:, :: self.recurrent_stride], features_BTF[:, -n_merged:], said)


def _folded(front_end: nn.Module) -> Conv1dFeatures:
    """Put each normalisation into the convolution before it: half the passes over the features."""
    assert isinstance(front_end, Conv1dFeatures)
    front_end.stem = _fold(front_end.stem, front_end.stem_norm)
    front_end.stem_norm = nn.Identity()
    for block in _blocks(front_end):
        block.first = _fold(block.first, block.first_norm)
        block.second = _fold(block.second, block.second_norm)
        block.first_norm = block.second_norm = nn.Identity()
    return front_end


def _fold(convolution: nn.Conv1d, norm: nn.Module) -> nn.Conv1d:
    assert isinstance(norm, nn.BatchNorm1d)
    return fuse_conv_bn_eval(convolution, norm)


def _blocks(front_end: Conv1dFeatures) -> Iterator[ResidualBlock]:
    for block in front_end.blocks:
        assert isinstance(block, ResidualBlock)
        yield block
