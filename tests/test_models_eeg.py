"""The seizure network: any channels in any order, running scale, events, streams of many beds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.cnn_lstm import CnnLstm, cost_of
from models.eeg import EegModel, EegWatch
from models.eeg_events import EventRule, EventWatch, find_events
from models.eeg_run import encode, front_end_of, run_recording
from models.eeg_scale import RunningScale, scale_recording
from models.errors import CardMismatch
from models.onnx import check_onnx, export_onnx
from models.spec import ChannelsFrontEnd, Cost, ModelSpec, RunningScaleSpec
from models.store import load
from training.eeg_recipes import eeg_seizure_1

ARCHITECTURE = eeg_seizure_1().architecture
STEP, WINDOW, BEHIND = 128, 16, 2
RULE = EventRule(0.6, 10, 6, 0.5, 4)


def card(**changes: object) -> ModelSpec:
    settings = {
        "name": "eeg-test", "task": "eeg", "description": "", "signal": "eeg", "unit": "uV", "fs_hz": 128.0,
        "window_s": float(WINDOW), "step_s": 1.0, "right_context_s": float(BEHIND),
        "step_classes": ("none", "seizure"), "window_classes": ("seizure",),
        "thresholds": {"seizure": 0.6, "within_s": 10, "least_s": 6, "release": 0.5, "off_s": 4},
        "normalisation": "", "architecture": ARCHITECTURE, "data": "", "split": {}, "metrics": {},
        "cost": Cost(parameters=0, mflop_per_window=0, recurrent_share=0), "training": {}, "code_commit": "",
    }  # fmt: skip
    return ModelSpec.model_validate(settings | changes)


@pytest.fixture(scope="module")
def network() -> CnnLstm:
    torch.manual_seed(3)
    model = CnnLstm(ARCHITECTURE)
    # Norms of a fresh network know no signal: let them see some.
    model.train()
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(4, 6, STEP * 9) * 2)
    return model.eval()


def eeg(n_channels: int, seconds: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (30 * rng.standard_normal((n_channels, seconds * STEP))).astype(np.float32)


def test_neither_order_nor_number_of_channels_is_fixed(network: CnnLstm) -> None:
    x = torch.from_numpy(eeg(18, 9, 1) / 20)[None]
    with torch.inference_mode():
        whole = network(x).step_logits
        turned = network(x[:, torch.randperm(18)]).step_logits
        assert torch.allclose(whole, turned, atol=1e-5)
        few = x[:, :5]
        with_missing = torch.cat([few, torch.full_like(few, torch.nan)], dim=1)
        assert torch.allclose(network(few).step_logits, network(with_missing).step_logits, atol=1e-5)
        assert torch.isfinite(network(torch.full_like(x, torch.nan)).step_logits).all()


def test_a_missing_second_of_a_channel_is_not_looked_at(network: CnnLstm) -> None:
    x = torch.from_numpy(eeg(4, 6, 2) / 20)[None]
    x[0, 1, STEP * 3 : STEP * 4] = torch.nan
    with torch.inference_mode():
        _, weights = encode(front_end_of(network), x)
    assert weights[0, 1, 2] == 0
    assert torch.allclose(weights.sum(1), torch.ones(1, 5))


def test_convolutions_are_most_of_the_cost_and_the_weights_below_a_megabyte() -> None:
    cost = cost_of(ARCHITECTURE, WINDOW * STEP)
    convolutions = front_end_cost()
    assert convolutions / cost.mflop_per_window > 0.8
    assert cost.parameters * 4 < 1e6


def front_end_cost() -> float:
    """Mega-operations of the convolutions over a window's channels."""
    config = ARCHITECTURE.front_end
    assert isinstance(config, ChannelsFrontEnd)
    samples, before, total = config.context + config.step, 1, 0
    for width, kernel, stride in zip(
        (config.stem_width, *config.widths),
        (config.stem_kernel, *config.kernels),
        (config.stem_stride, *config.strides),
        strict=True,
    ):
        samples = -(-samples // stride)
        total += samples * before * width * kernel
        before = width
    return 2e-6 * total * WINDOW * ARCHITECTURE.channels


def test_the_scale_is_causal_and_follows_the_typical_amplitude() -> None:
    spec = RunningScaleSpec()
    x = eeg(2, 200, 3)
    x[0] *= 1.5
    scaled = scale_recording(x, STEP, spec)
    assert np.allclose(scaled[:, -20 * STEP :].std(axis=1), 1.0, atol=0.15)
    louder = x.copy()
    louder[:, 150 * STEP :] *= 6
    again = scale_recording(louder, STEP, spec)
    assert np.array_equal(scaled[:, : 150 * STEP], again[:, : 150 * STEP])
    # What is six times as loud for half a minute stays loud.
    assert again[0, 175 * STEP : 180 * STEP].std() > 4


def test_missing_and_flat_seconds_do_not_move_the_scale() -> None:
    spec = RunningScaleSpec()
    x = eeg(2, 60, 4)
    gone = np.concatenate(
        [x[:, : 30 * STEP], np.full((2, 20 * STEP), np.nan, np.float32), x[:, 30 * STEP :]], 1
    )
    gone[1, 30 * STEP : 50 * STEP] = 0.01
    scaled, with_gap = scale_recording(x, STEP, spec), scale_recording(gone, STEP, spec)
    assert np.array_equal(scaled[:, 30 * STEP :], with_gap[:, 50 * STEP :])
    assert np.isnan(with_gap[0, 30 * STEP : 50 * STEP]).all()


def test_a_second_of_millivolts_is_missing() -> None:
    x = eeg(2, 6, 6)
    x[0, 3 * STEP + 5] = 4_000.0
    scaled = scale_recording(x, STEP, RunningScaleSpec())
    assert np.isnan(scaled[0, 3 * STEP : 4 * STEP]).all()
    assert np.isfinite(scaled[0, 4 * STEP :]).all()
    assert np.isfinite(scaled[1]).all()


def test_the_scale_of_a_stream_is_restored() -> None:
    x = eeg(3, 4, 5)[None]
    beds = np.array([1])
    one = RunningScale(RunningScaleSpec(), 3, 2)
    one.push(beds, x[:, :, :STEP])
    other = RunningScale(RunningScaleSpec(), 3, 2)
    other.restore(1, one.state(1))
    assert np.array_equal(
        one.push(beds, x[:, :, STEP : 2 * STEP]), other.push(beds, x[:, :, STEP : 2 * STEP])
    )
    one.reset(1)
    assert np.array_equal(one.state(1), RunningScale(RunningScaleSpec(), 3, 2).state(1))


def streamed(watch: EegWatch, x: np.ndarray, bed: int) -> tuple[list[float], np.ndarray, list[bool]]:
    found, channels, active = [], [], []
    for first in range(0, x.shape[1], STEP):
        seen = watch.push(np.array([bed]), x[None, :, first : first + STEP])
        found.append(float(seen.probability[0]))
        channels.append(seen.channels[0])
        active.append(bool(seen.events.active[0]))
    return found, np.stack(channels), active


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 1000), gap=st.integers(3, 20))
def test_a_stream_says_what_the_whole_recording_says(network: CnnLstm, seed: int, gap: int) -> None:
    x = eeg(18, 30, seed)
    x[4] = np.nan
    x[:, gap * STEP : (gap + 2) * STEP] = np.nan
    model = EegModel(network, card())
    found, channels, _ = streamed(model.watch(3), x, 2)
    scaled = scale_recording(x, STEP, model.front_end.config.scale)
    whole = run_recording(network, scaled, WINDOW, BEHIND)
    asked = 1 / (1 + np.exp(-whole.step_logit[:-BEHIND].astype(np.float64)))
    there = np.arange(28)
    there = (there < gap) | (there >= gap + 2)
    assert np.isnan(found[:BEHIND]).all()
    assert np.array_equal(np.isfinite(found[BEHIND:]), there)
    assert np.allclose(np.array(found[BEHIND:])[there], asked[there], atol=1e-5)
    assert np.allclose(channels[BEHIND:].T, whole.weights[:, :-BEHIND], atol=1e-5)


def test_beds_do_not_hear_each_other_and_a_bed_is_restored(network: CnnLstm) -> None:
    model = EegModel(network, card())
    x = np.stack([eeg(18, 6, seed) for seed in (1, 2)])
    together, alone = model.watch(2), model.watch(2)
    for second in range(5):
        cut = x[:, :, second * STEP : (second + 1) * STEP]
        both = together.push(np.array([0, 1]), cut)
        one = alone.push(np.array([1]), cut[1:])
        assert np.allclose(both.probability[1], one.probability[0], atol=1e-6, equal_nan=True)
    other = model.watch(1)
    other.restore(0, alone.state(1))
    last = x[1:, :, 5 * STEP :]
    before = alone.push(np.array([1]), last)
    after = other.push(np.array([0]), last)
    assert before.probability == after.probability
    assert np.array_equal(before.course, after.course, equal_nan=True)
    alone.reset(1)
    fresh = alone.push(np.array([1]), last)
    assert np.isnan(fresh.probability).all()
    assert np.isfinite(fresh.course).sum() == 1


def test_seconds_of_another_shape_are_refused(network: CnnLstm) -> None:
    watch = EegModel(network, card()).watch(1)
    with pytest.raises(ValueError, match=r"takes \(1, 18, 128\)"):
        watch.push(np.array([0]), np.zeros((1, 18, 64), np.float32))


def test_a_model_for_something_else_is_refused(network: CnnLstm) -> None:
    with pytest.raises(CardMismatch, match="needs one for 'eeg'"):
        EegModel(network, card(task="lung"))
    ecg, spec = load("ecg-cnn-lstm-1")
    with pytest.raises(CardMismatch, match="no front end over EEG channels"):
        EegModel(ecg, spec.model_copy(update={"task": "eeg"}))


def test_an_event_is_raised_by_most_seconds_and_ends_after_quiet_ones() -> None:
    p = np.full(60, 0.1, np.float32)
    p[20:40] = 0.9
    p[[23, 30, 31]] = 0.4
    (event,) = find_events(p, RULE, delay_s=2.0)
    assert event.start_s == 20
    # Six of the seconds 20 to 26 are high: known two seconds after the last of them.
    assert event.raised_s == 27 + 2
    assert event.end_s == 40


def test_short_bursts_are_no_event_and_one_that_goes_on_ends_with_the_recording() -> None:
    p = np.full(60, 0.1, np.float32)
    p[10:15] = 0.99
    assert find_events(p, RULE) == []
    p[50:] = 0.99
    (event,) = find_events(p, RULE)
    assert (event.start_s, event.end_s) == (50, 60)


def test_seconds_without_a_signal_neither_raise_nor_end_an_event() -> None:
    p = np.full(40, 0.9, np.float32)
    p[20:32] = np.nan
    (event,) = find_events(p, RULE)
    assert (event.start_s, event.end_s) == (0, 40)
    assert find_events(np.full(40, np.nan, np.float32), RULE) == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3), min_size=1, max_size=60),
    st.integers(0, 59),
)
def test_events_of_beds_are_those_of_each_alone(rows: list[list[float]], cut: int) -> None:
    p = np.array(rows, np.float32)
    together = EventWatch(RULE, 3)
    active = []
    for second, row in enumerate(p):
        if second == cut:
            held = [together.state(bed) for bed in range(3)]
            together = EventWatch(RULE, 3)
            for bed in range(3):
                together.restore(bed, held[bed])
        active.append(together.push(np.arange(3), row).active)
    for bed in range(3):
        alone = EventWatch(RULE)
        own = [bool(alone.push(np.zeros(1, np.int64), p[i : i + 1, bed]).active[0]) for i in range(len(p))]
        assert own == [bool(row[bed]) for row in active]


@pytest.mark.slow
def test_the_network_leaves_as_onnx(network: CnnLstm, tmp_path: Path) -> None:
    path = export_onnx(network, card(), tmp_path / "eeg.onnx")
    assert check_onnx(network, card(), path) < 1e-4
