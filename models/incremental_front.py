"""The convolutions of a network for running signals, arranged so that they cost least; their values stay.

Normalisations are folded into the convolutions before them; features lie side by side in memory (channels
last), where oneDNN is a quarter faster and whence they are kept as they are; and what only the padding at the
left would spoil is cut off after each block, so that later ones do not compute it.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.cnn_lstm import Conv1dFeatures, ResidualBlock


def flat(convolution: nn.Conv1d) -> nn.Conv2d:
    """The same convolution over pictures of one row, (B, F, 1, T), channels last."""
    made = nn.Conv2d(
        convolution.in_channels,
        convolution.out_channels,
        (1, convolution.kernel_size[0]),
        (1, convolution.stride[0]),
        (0, int(convolution.padding[0])),
        (1, convolution.dilation[0]),
        device=convolution.weight.device,
    )
    with torch.no_grad():
        made.weight.copy_(convolution.weight[:, :, None])
        if convolution.bias is None:
            made.bias = None
        elif made.bias is not None:
            made.bias.copy_(convolution.bias)
    made.weight.data = made.weight.data.contiguous(memory_format=torch.channels_last)
    made.requires_grad_(False)
    return made


class Block(nn.Module):
    """A residual block whose first ``cut`` outputs are left out."""

    def __init__(self, block: ResidualBlock, cut: int) -> None:
        super().__init__()
        self._first = _folded(block.first, block.first_norm)
        self._second = _folded(block.second, block.second_norm)
        self._skip = flat(block.skip) if isinstance(block.skip, nn.Conv1d) else nn.Identity()
        self._cut = cut

    def forward(self, x_BF1T: Tensor) -> Tensor:
        """(B, F_in, 1, T) to (B, F, 1, ceil(T / stride) - cut)."""
        y_BF1T = self._second(self._first(x_BF1T).relu_())
        total_BF1T: Tensor = y_BF1T[..., self._cut :] + self._skip(x_BF1T)[..., self._cut :]
        return total_BF1T.relu_()


class Front(nn.Module):
    """Samples of a running signal to features of steps.

    Parameters
    ----------
    front_end : Conv1dFeatures
        In evaluation mode; it is not changed.
    first : int
        The first step whose features are wanted; those before it are spoilt by the padding.
    """

    def __init__(self, front_end: Conv1dFeatures, first: int) -> None:
        super().__init__()
        self._gain = front_end.gain
        self._stem = _folded(front_end.stem, front_end.stem_norm)
        blocks = [block for block in front_end.blocks if isinstance(block, ResidualBlock)]
        self._blocks = nn.Sequential(
            *(Block(block, cut) for block, cut in zip(blocks, _cuts(blocks, first), strict=True))
        )

    def forward(self, x_BN: Tensor) -> Tensor:
        """Samples (B, N), from a whole step on, to features (B, F, 1, N / stride - first)."""
        x_B11N = torch.asinh(self._gain * x_BN[:, None, None]).to(memory_format=torch.channels_last)
        features: Tensor = self._blocks(self._stem(x_B11N).relu_())
        return features


def _cuts(blocks: list[ResidualBlock], first: int) -> list[int]:
    """How many outputs each block leaves out, so that the last one begins with ``first``.

    What a block leaves out is a whole number of strides of the next, which so meets the same places.
    """
    cuts, begin = [], first
    for block in reversed(blocks):
        stride, reach = block.first.stride[0], block.first.dilation[0] * (block.first.kernel_size[0] // 2)
        needed = max(0, (begin - reach) * stride - reach)
        # The stem leaves out nothing.
        before = 0 if block is blocks[0] else needed // stride * stride
        cuts.append(begin - before // stride)
        begin = before
    return cuts[::-1]


def _folded(convolution: nn.Conv1d, norm: nn.Module) -> nn.Conv2d:
    """A convolution with the normalisation behind it."""
    assert isinstance(norm, nn.BatchNorm1d)
    return flat(fuse_conv_bn_eval(copy.deepcopy(convolution), norm))
