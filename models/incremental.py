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
from dataclasses import dataclass

from torch import Tensor, nn

from models.cnn_lstm import CnnLstm, Conv1dFeatures
from models.errors import ModelError
from models.incremental_front import Front, flat
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
    left = right = 0
    if not config.recurrent_squeeze:
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
    phases, n_rows : int
        The recurrent part takes of a window every ``phases``-th of its steps, ``n_rows`` rows of inputs.
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
        self._squeezed = config.recurrent_squeeze > 0
        if self._squeezed and self.n_steps % self.recurrent_stride:
            raise ModelError(
                f"window of {self.n_steps} steps: recurrent steps of {self.recurrent_stride} do not fill it"
            )
        self.phases = 1 if self._squeezed else self.recurrent_stride
        self.n_rows = self.n_steps if self._squeezed else self.n_recurrent
        self.window_steps = min(config.window_steps, self.n_steps)
        self._network = network.eval()
        assert isinstance(network.front_end, Conv1dFeatures)
        # Copied, for they are arranged anew; the rest is shared.
        self._halo = int(network.to_recurrent.padding[0])
        self._convolutions = Front(network.front_end.eval(), self.reach.before - self._halo)
        self._step_mix, self._to_recurrent = flat(network.step_mix), _at_every_step(network.to_recurrent)

    @property
    def width(self) -> int:
        """Features of a step."""
        return self._network.front_end.width

    @property
    def recurrent_width(self) -> int:
        """Numbers that the recurrent part takes of a step."""
        return self._network.to_recurrent.out_channels

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
        features_BF1T = self._convolutions(x_BN)
        # At every step, not every second: which of them a window takes hangs on where it begins.
        inputs_BF1T = self._to_recurrent(features_BF1T).relu_()
        features_BTF, inputs_BTF = (
            t[:, :, 0, self._halo :].transpose(1, 2) for t in (features_BF1T, inputs_BF1T)
        )
        return features_BTF, inputs_BTF

    def say(self, inputs_BRF: Tensor, features_BTF: Tensor, said: int) -> tuple[Tensor, Tensor]:
        """Probabilities of a window.

        Parameters
        ----------
        inputs_BRF : Tensor, shape (B, n_rows, recurrent_width)
            Of each ``phases``-th step of the window, from its first on.
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
        if self._squeezed:
            inputs_BRF = network.side_by_side(inputs_BRF)
        states_BRF = network.states_of(inputs_BRF)
        if network.attention is not None:
            states_BRF = network.attention.last(states_BRF, n_last)
        context_BRF = network.to_steps(states_BRF[:, -n_last:])
        merged_BTF = self._merged(features_BTF, context_BRF)
        logits_BK, _ = network.window_output(merged_BTF)
        # One step more, unless the window ends there: what is padded to its left is not told of.
        extra = min(1, self.n_steps - said)
        last_BF1T = merged_BTF[:, -(said + extra) :].transpose(1, 2)[:, :, None]
        mixed_BF1T = self._step_mix(last_BF1T).relu_()
        logits_BTK = network.step_head(mixed_BF1T[:, :, 0, extra:].transpose(1, 2))
        return logits_BTK.softmax(-1), logits_BK.softmax(-1)

    def _merged(self, features_BTF: Tensor, context_BRF: Tensor) -> Tensor:
        """Features of steps with those of their recurrent step."""
        n, n_steps, width = features_BTF.shape
        if n_steps % self.recurrent_stride:
            context_BTF = context_BRF.repeat_interleave(self.recurrent_stride, dim=1)[:, :n_steps]
            return context_BTF.add_(features_BTF).relu_()
        each_BRSF = features_BTF.reshape(n, -1, self.recurrent_stride, width)
        return (each_BRSF + context_BRF[:, :, None]).relu_().view(n, n_steps, width)

    def forward(self, x_BN: Tensor, said: int) -> tuple[Tensor, Tensor]:
        """Whole windows with ``reach.context`` samples before each: what :meth:`say` returns."""
        features_BTF, inputs_BTF = self.front(x_BN)
        n_merged = self.merged_steps(said)
        return self.say(inputs_BTF[:, :: self.phases], features_BTF[:, -n_merged:], said)


def _at_every_step(convolution: nn.Conv1d) -> nn.Conv2d:
    """A strided convolution without its stride."""
    unstrided = copy.copy(convolution)
    unstrided.stride = (1,)
    return flat(unstrided)
