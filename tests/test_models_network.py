"""The network: shapes for any window, fixed scaling, cost, explanations."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from models.cnn_lstm import CnnLstm, cost_of
from models.spec import RHYTHM_CLASSES, STEP_CLASSES, Architecture, BeatsFrontEnd, Conv1dFrontEnd

SMALL = Architecture(
    front_end=Conv1dFrontEnd(
        stem_width=4, widths=(4, 8), kernels=(3, 3), strides=(2, 2), dilations=(1, 2), stem_kernel=7
    ),
    hidden=8,
    attention_width=8,
    heads=2,
    window_steps=20,
)
WITHOUT_POOL = Architecture(recurrent_stride=1, hidden=16, channels=2)
SIZES = [Architecture(), SMALL, WITHOUT_POOL]


def network(config: Architecture) -> CnnLstm:
    torch.manual_seed(0)
    return CnnLstm(config).eval()


@pytest.mark.parametrize("config", SIZES)
@pytest.mark.parametrize("n_windows", [1, 3])
@pytest.mark.parametrize("n_samples", [1000, 997, 504])
def test_every_size_gives_a_row_a_step_and_a_rhythm_a_window(
    config: Architecture, n_windows: int, n_samples: int
) -> None:
    with torch.inference_mode():
        output = network(config)(torch.randn(n_windows, config.channels, n_samples))
    steps = -(-n_samples // config.front_end.stride)
    assert output.step_logits.shape == (n_windows, steps, len(STEP_CLASSES))
    assert output.window_logits.shape == (n_windows, len(RHYTHM_CLASSES))
    assert output.attention.shape == (n_windows, steps)


@pytest.mark.parametrize("config", SIZES)
def test_attention_sums_to_one_and_looks_at_the_last_seconds_only(config: Architecture) -> None:
    with torch.inference_mode():
        attention = network(config)(torch.randn(4, config.channels, 1000)).attention
    assert torch.allclose(attention.sum(-1), torch.ones(4), atol=1e-5)
    before = max(0, attention.shape[1] - config.window_steps)
    assert float(attention[:, :before].abs().sum()) == 0.0
    assert float(attention[:, before:].min()) > 0.0


@pytest.mark.parametrize("config", SIZES)
def test_a_window_does_not_depend_on_its_neighbours_in_the_batch(config: Architecture) -> None:
    model, windows = network(config), torch.randn(5, config.channels, 1000)
    with torch.inference_mode():
        together, alone = model(windows), model(windows[2:3])
    assert torch.allclose(together.step_logits[2:3], alone.step_logits, atol=1e-5)
    assert torch.allclose(together.window_logits[2:3], alone.window_logits, atol=1e-5)


def test_scaling_is_fixed_so_a_small_signal_is_not_blown_up() -> None:
    model, window = network(Architecture()), torch.randn(1, 1, 1000)
    with torch.inference_mode():
        assert not torch.allclose(model(window).window_logits, model(0.1 * window).window_logits, atol=1e-3)


def test_the_shipped_size_is_within_its_budget() -> None:
    cost = cost_of(Architecture(), 1000)
    assert cost.parameters < 400_000
    assert cost.mflop_per_window < 26
    assert 0 < cost.recurrent_share < 0.15


def test_cost_counts_a_known_network() -> None:
    cost = cost_of(SMALL, 1000)
    hidden, width, recurrent_steps = 8, 8, 63
    assert cost.recurrent_share * cost.mflop_per_window == pytest.approx(
        2 * recurrent_steps * 8 * hidden * (width + hidden) / 1e6, rel=2e-3
    )


def test_numbers_that_make_no_network_are_refused() -> None:
    with pytest.raises(ValidationError, match="step_classes=1"):
        Architecture(step_classes=1)
    with pytest.raises(ValidationError, match="give the network a head"):
        Architecture(step_classes=0, window_classes=0)
    with pytest.raises(ValidationError, match="multiple of heads"):
        Architecture(attention_width=10, heads=4)
    with pytest.raises(ValidationError, match="odd"):
        Conv1dFrontEnd(kernels=(4, 5, 3))


@pytest.mark.parametrize(
    "left_out", [{"recurrent": False}, {"attention": False}, {"recurrent": False, "attention": False}]
)
def test_parts_can_be_left_out(left_out: dict[str, bool]) -> None:
    model = network(SMALL.model_copy(update=left_out))
    said = model(torch.zeros(2, SMALL.channels, 1000))
    assert said.step_logits.shape[-1] == SMALL.step_classes
    assert cost_of(model.config, 1000).parameters < cost_of(SMALL, 1000).parameters


@pytest.mark.parametrize(("steps", "windows"), [(0, 3), (4, 0), (5, 6)])
def test_heads_are_there_as_asked(steps: int, windows: int) -> None:
    config = SMALL.model_copy(update={"step_classes": steps, "window_classes": windows})
    said = network(config)(torch.zeros(2, config.channels, 1000))
    assert (said.step_logits.shape[-1], said.window_logits.shape[-1]) == (steps, windows)
    torch.testing.assert_close(said.attention.sum(-1), torch.ones(2))


def test_steps_can_be_beats() -> None:
    config = Architecture(front_end=BeatsFrontEnd(segment=100, context=6), recurrent_stride=1, step_classes=5)
    x = torch.randn(3, 20, 106)
    said = network(config)(x)
    assert said.step_logits.shape == (3, 20, 5)
    x[0, 4, 103] += 1.0
    assert not torch.allclose(network(config)(x).step_logits[0], said.step_logits[0])
    assert cost_of(config, 0).parameters > 0
