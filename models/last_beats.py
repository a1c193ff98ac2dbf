"""A beats network over running sequences: what is said of the last two beats, from what is kept of each.

A sequence grows by a beat at a time, so that of all its beats only two change: the new one, and the one
before it, which learns the interval to its successor. The network is cut accordingly.
:meth:`LastBeats.shapes` turns a beat's signal into its part of the features, which no later beat changes;
:meth:`LastBeats.keep` adds the context, which does change, and gives what is kept of a beat;
:meth:`LastBeats.forward` runs the recurrent part over what is kept, and attention and heads for the last
beats alone. Normalisations are folded into the layers before them. What is said is what the whole network
says, to 1e-5.

Keys and values of attention are linear in the recurrent part's states: instead of projecting every state, the
few queries are projected, and the few weighted sums of states.

Shape legend: N beats, M numbers of a row, B sequences, T beats of each, F features, K classes.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from models.arsinh import arsinh
from models.beats import BeatFeatures
from models.cnn_lstm import AttentionWithSkip, CnnLstm
from models.errors import ModelError

TOLD = 2
"""Last beats that are told of; each looks at its neighbours, so that one more is computed."""


class LastBeats(nn.Module):
    """The parts of a trained beats network; the network is not changed.

    Parameters
    ----------
    network : CnnLstm
        With a front end of beats and a recurrent step for each.

    Attributes
    ----------
    width : int
        Features of a beat; twice as wide as what :meth:`keep` gives.

    Raises
    ------
    ModelError
        The network's steps are no single beats.
    """

    def __init__(self, network: CnnLstm) -> None:
        super().__init__()
        front = network.front_end
        if not isinstance(front, BeatFeatures) or network.config.recurrent_stride != 1:
            raise ModelError(
                f"front_end={network.config.front_end.kind!r}, "
                f"recurrent_stride={network.config.recurrent_stride}: want 'beats' and 1"
            )
        network.eval()
        self._gain, self._pieces, self._segment = front.gain, front.pieces, front.segment
        self._signal = front.pieces * front.segment
        self._shape = _folded(front.shape)
        self._bring = front.bring
        join = front.join
        if isinstance(front.norm, nn.BatchNorm1d):
            join = fuse_linear_bn_eval(copy.deepcopy(join), front.norm)
        n_shape = join.in_features - (front.row - self._signal)
        self.register_buffer("of_shape", join.weight[:, :n_shape].detach().contiguous())
        self.register_buffer("of_context", join.weight[:, n_shape:].detach().contiguous())
        self.register_buffer("join_bias", join.bias.detach())
        self._network = network
        self.width = front.width
        self._look = _Look(network) if network.recurrent is not None and network.attention else None

    def shapes(self, rows_NM: Tensor) -> Tensor:
        """What a beat's signal gives to its features, (N, M) to (N, F); the context is not looked at."""
        pieces = arsinh(self._gain * rows_NM[:, : self._signal])
        shape = self._shape(pieces.view(-1, self._pieces, self._segment)).flatten(1)
        made: Tensor = functional.linear(
            self._bring(shape), self.get_buffer("of_shape"), self.get_buffer("join_bias")
        )
        return made

    def keep(self, shapes_NF: Tensor, contexts_NC: Tensor) -> Tensor:
        """Features and inputs of the recurrent part, (N, F) and (N, C) to (N, F + inputs)."""
        features = functional.relu(shapes_NF + functional.linear(contexts_NC, self.get_buffer("of_context")))
        return torch.cat([features, self.inputs(features)], dim=1)

    def inputs(self, features_NF: Tensor) -> Tensor:
        """What the recurrent part takes of beats."""
        made = self._network.to_recurrent(features_NF[:, :, None])[:, :, 0]
        return functional.relu(made)

    def forward(self, kept_BTF: Tensor) -> Tensor:
        """Logits of the last two beats of each sequence, (B, T, F + inputs) to (B, 2, K)."""
        network, width = self._network, self.width
        n_last = min(TOLD + 1, kept_BTF.shape[1])
        inputs_BTF = kept_BTF[:, :, width:].contiguous()
        if self._look is None:
            states_BTF = network.states_of(inputs_BTF)
            attended_BTF = states_BTF[:, -n_last:]
            if network.attention is not None:
                attended_BTF = network.attention.last(states_BTF, n_last)
        else:
            assert network.recurrent is not None
            states_BTF, _ = network.recurrent(inputs_BTF)
            attended_BTF = self._look(states_BTF, n_last)
        merged_BTF = functional.relu(kept_BTF[:, -n_last:, :width] + network.to_steps(attended_BTF))
        # The first of them has lost its left neighbour: it is not told of.
        return network.step_output(merged_BTF)[:, -TOLD:]


class _Look(nn.Module):
    """Attention of the last beats to all, over the recurrent part's states as they come, (B, T, H).

    With states s = A h + a, the score of query q at h is (Q q + c) K (A h + a): a term of the query alone
    falls out of the softmax, so that (K A)ᵀ (Q q + c) is held against h itself. Values likewise: the weighted
    sum of h is projected once, and weights sum to 1.
    """

    def __init__(self, network: CnnLstm) -> None:
        super().__init__()
        attention = network.attention
        assert isinstance(attention, AttentionWithSkip)
        self._network, self.heads = network, attention.heads
        with torch.no_grad():
            of_states, bias = network.from_recurrent.weight, network.from_recurrent.bias
            width, n_states = of_states.shape
            each = width // self.heads
            of_query, of_key, of_value = torch.split(attention.project.weight, width)
            query_bias, _, value_bias = torch.split(attention.project.bias, width)
            keys = (of_key @ of_states).view(self.heads, each, n_states) * each**-0.5
            asks = torch.einsum("heg,hew->hgw", keys, of_query.view(self.heads, each, width))
            asks_bias = torch.einsum("heg,he->hg", keys, query_bias.view(self.heads, each))
            values = (of_value @ of_states).view(self.heads, each, n_states)
            out = attention.out.weight.view(width, self.heads, each)
            answers = torch.einsum("whe,heg->whg", out, values)
            answers_bias = attention.out.weight @ (of_value @ bias + value_bias) + attention.out.bias
            self.register_buffer("asks", asks.reshape(-1, width).contiguous())
            self.register_buffer("asks_bias", asks_bias.flatten())
            self.register_buffer("answers", answers.reshape(width, -1).contiguous())
            self.register_buffer("answers_bias", answers_bias)

    def forward(self, states_BTH: Tensor, n_last: int) -> Tensor:
        """What attention with its skip gives for the last ``n_last``, (B, n_last, F)."""
        network = self._network
        assert network.attention is not None
        n, _, n_states = states_BTH.shape
        own = network.from_recurrent(states_BTH[:, -n_last:])
        asks = functional.linear(own, self.get_buffer("asks"), self.get_buffer("asks_bias"))
        scores = asks.view(n, n_last * self.heads, n_states) @ states_BTH.transpose(1, 2)
        seen = (scores.softmax(-1) @ states_BTH).view(n, n_last, -1)
        answer = functional.linear(seen, self.get_buffer("answers"), self.get_buffer("answers_bias"))
        normed: Tensor = network.attention.norm(own + answer)
        return normed


def _folded(shape: nn.Sequential) -> nn.Sequential:
    """Convolutions with the normalisations behind them put into them."""
    layers: list[nn.Module] = []
    for layer in shape:
        if isinstance(layer, nn.BatchNorm1d):
            before = layers.pop()
            assert isinstance(before, nn.Conv1d)
            layers.append(fuse_conv_bn_eval(before, layer))
        else:
            layers.append(nn.ReLU(inplace=True) if isinstance(layer, nn.ReLU) else layer)
    return nn.Sequential(*layers)
