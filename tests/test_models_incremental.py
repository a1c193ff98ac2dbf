"""A network fed with a running signal says what it says of whole windows."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.cnn_lstm import CnnLstm
from models.errors import ModelError
from models.incremental import Incremental, reach_of
from models.spec import Architecture, BeatsFrontEnd, Conv1dFrontEnd

SMALL = Architecture(
    front_end=Conv1dFrontEnd(
        stem_width=4, widths=(4, 8), kernels=(3, 5), strides=(2, 2), dilations=(1, 2), stem_kernel=7
    ),
    hidden=8,
    attention_width=8,
    heads=2,
    window_steps=13,
)
N_STEPS = 31
SQUEEZED = SMALL.model_copy(
    update={"recurrent_stride": 5, "recurrent_squeeze": 3, "score_width": 4, "early_steps": 8}
)


def network(config: Architecture = SMALL) -> CnnLstm:
    torch.manual_seed(0)
    made = CnnLstm(config)
    # Normalisation as after training: folding it must not pass unnoticed, nor features of other steps.
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.momentum = 1.0
    for _ in range(4):
        made.front_end(torch.randn(8, config.channels, 200))
    return made.eval()


def signal(n_steps: int, seed: int = 0) -> Tensor:
    return torch.randn(2, n_steps * 8, generator=torch.Generator().manual_seed(seed))


def close(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, atol=1e-5)


configs = st.builds(
    lambda stem, blocks, every, squeeze: SMALL.model_copy(
        update={
            "front_end": Conv1dFrontEnd(
                stem_width=4,
                stem_kernel=stem,
                widths=(4,) * len(blocks),
                kernels=tuple(block[0] for block in blocks),
                strides=tuple(block[1] for block in blocks),
                dilations=tuple(block[2] for block in blocks),
            ),
            "recurrent_stride": every,
            "recurrent_squeeze": squeeze,
        }
    ),
    st.sampled_from([1, 5, 15]),
    st.lists(
        st.tuples(st.sampled_from([1, 3, 5]), st.integers(1, 2), st.integers(1, 2)), min_size=1, max_size=3
    ),
    st.integers(1, 4),
    st.sampled_from([0, 3]),
)


@settings(max_examples=25, deadline=None)
@given(configs)
def test_features_within_reach_do_not_hang_on_where_the_signal_is_cut(config: Architecture) -> None:
    reach, n_steps = reach_of(config), 12
    halves = Incremental(network(config), n_steps * reach.stride)
    before, after = reach.context, reach.after * reach.stride
    line = torch.randn(1, before + n_steps * reach.stride + after + 3 * reach.stride)
    with torch.inference_mode():
        whole = halves.front(line)
        cut = halves.front(line[:, reach.stride : line.shape[1] - reach.stride])
    for features, of_cut in zip(whole, cut, strict=True):
        final = of_cut.shape[1] - reach.after
        assert close(features[:, 1 : 1 + final], of_cut[:, :final])


def test_more_signal_changes_the_provisional_steps_and_no_others() -> None:
    reach = reach_of(SMALL)
    halves = Incremental(network(), N_STEPS * 8)
    line = signal(N_STEPS + reach.before + 1)
    with torch.inference_mode():
        _, longer = halves.front(line)
        _, shorter = halves.front(line[:, :-8])
    differs = (longer[:, :-1] - shorter).abs().amax(dim=(0, 2)) > 1e-5
    assert differs[-reach.after :].any()
    assert not differs[: -reach.after].any()


@pytest.mark.parametrize(("config", "n_steps"), [(SMALL, N_STEPS), (SQUEEZED, 30)])
def test_the_halves_are_the_network(config: Architecture, n_steps: int) -> None:
    model = network(config)
    halves = Incremental(model, n_steps * 8)
    line = signal(n_steps)
    with torch.inference_mode():
        whole = model(line[:, None])
        features_BFT = model.front_end(line[:, None])
        inputs_BRF = torch.relu(model.to_recurrent(features_BFT)).transpose(1, 2)
        for said in (5, 20, n_steps):
            last = features_BFT.transpose(1, 2)[:, -halves.merged_steps(said) :]
            steps, window = halves.say(inputs_BRF, last, said)
            assert close(steps, whole.step_logits.softmax(-1)[:, -said:])
            assert close(window, whole.window_logits.softmax(-1))
        front = halves.front(line)[0]
    assert close(front, features_BFT.transpose(1, 2)[:, halves.reach.before :])


def test_the_signal_before_a_window_is_that_of_its_training() -> None:
    model = network(SQUEEZED)
    halves = Incremental(model, 240)
    assert halves.reach.before == SQUEEZED.early_steps
    line = signal(38)
    with torch.inference_mode():
        trained = model.head_outputs(model.front_end(line[:, None])[:, :, SQUEEZED.early_steps :])
        steps, window = halves(line, 30)
    assert close(steps, trained.step_logits.softmax(-1))
    assert close(window, trained.window_logits.softmax(-1))


def test_a_network_without_recurrent_part_and_attention_can_be_fed_too() -> None:
    model = network(SMALL.model_copy(update={"recurrent": False, "attention": False}))
    halves = Incremental(model, N_STEPS * 8)
    with torch.inference_mode():
        steps, window = halves(signal(N_STEPS + halves.reach.before), 9)
    assert steps.shape == (2, 9, 5)
    assert window.shape == (2, 6)


def test_the_network_itself_is_not_changed() -> None:
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    Incremental(model, N_STEPS * 8)
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_what_cannot_be_fed_is_refused_with_the_reason() -> None:
    with pytest.raises(ModelError, match="front_end='beats'"):
        reach_of(Architecture(front_end=BeatsFrontEnd()))
    with pytest.raises(ModelError, match="window of 250 samples"):
        Incremental(network(), 250)
    with pytest.raises(ModelError, match="recurrent steps of 5 do not fill"):
        Incremental(network(SQUEEZED), 248)
    with pytest.raises(ModelError, match="one channel"):
        Incremental(network(SMALL.model_copy(update={"channels": 2})), 248)
