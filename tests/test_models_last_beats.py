"""What is kept of beats gives what the whole network says of their sequences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.arsinh import arsinh
from models.beat_rows import CONTEXT, PIECES, ROW, SEGMENT
from models.cnn_lstm import CnnLstm
from models.errors import ModelError
from models.last_beats import LastBeats
from models.spec import Architecture, BeatsFrontEnd, Conv1dFrontEnd

FRONT_END = BeatsFrontEnd(pieces=PIECES, segment=SEGMENT, context=len(CONTEXT), widths=(8, 8, 8), width=16)
ARCHITECTURE = Architecture(
    front_end=FRONT_END, recurrent_stride=1, hidden=8, attention_width=12, heads=2, window_classes=0
)
T = 9


def changed(**fields: object) -> Architecture:
    return ARCHITECTURE.model_copy(update=fields)


def trained(architecture: Architecture) -> CnnLstm:
    """A network whose normalisations are not those of its beginning."""
    torch.manual_seed(5)
    network = CnnLstm(architecture)
    rng = torch.Generator().manual_seed(6)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean = torch.randn(module.num_features, generator=rng)
            module.running_var = torch.rand(module.num_features, generator=rng) + 0.5
            module.weight.data = torch.rand(module.num_features, generator=rng) + 0.5
            module.bias.data = torch.randn(module.num_features, generator=rng)
    return network.eval()


@pytest.mark.parametrize(
    "architecture",
    [
        ARCHITECTURE,
        changed(front_end=FRONT_END.model_copy(update={"shape_features": 10})),
        changed(attention=False),
        changed(recurrent=False),
    ],
    ids=["shipped", "few-shape-features", "no-attention", "no-lstm"],
)
@pytest.mark.parametrize("beats", [1, 2, T])
def test_the_last_two_beats_are_told_as_by_the_whole_network(architecture: Architecture, beats: int) -> None:
    network = trained(architecture)
    rows = torch.randn((5, beats, ROW), generator=torch.Generator().manual_seed(7))
    with torch.inference_mode():
        whole = network(rows).step_logits[:, -2:]
        last, flat = LastBeats(network), rows.flatten(0, 1)
        kept = last.keep(last.shapes(flat), flat[:, -len(CONTEXT) :]).view(5, beats, -1)
        np.testing.assert_allclose(last(kept).numpy(), whole.numpy(), atol=1e-5, rtol=1e-5)


def test_a_network_whose_steps_are_no_beats_is_refused() -> None:
    with pytest.raises(ModelError, match="front_end='conv1d'"):
        LastBeats(CnnLstm(changed(front_end=Conv1dFrontEnd())))
    with pytest.raises(ModelError, match="recurrent_stride=2"):
        LastBeats(CnnLstm(changed(recurrent_stride=2)))


def test_arsinh_is_exact_over_all_that_a_lead_may_hold() -> None:
    x = torch.cat([torch.linspace(-100, 100, 4001), torch.tensor([0.0, -0.0, 1e-6, -1e-6, 1e4, -1e4])])
    np.testing.assert_allclose(arsinh(x).numpy(), np.arcsinh(x.double().numpy()), atol=1e-6, rtol=3e-7)
