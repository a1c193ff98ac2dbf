"""Rhythm from outside of the head is told from a seizure's: it repeats itself seconds later, everywhere."""

from __future__ import annotations

import numpy as np
import pytest

from inference.alarm_book import AlarmBook
from inference.eeg_monitor import EegMonitor
from inference.windows import WindowMonitor
from ingest.types import SignalKind
from models.cnn_lstm import CnnLstm, cost_of
from models.eeg import EegModel
from models.eeg_events import EventRule, EventWatch, find_events
from models.eeg_run import steady_steps
from models.eeg_scale import scale_recording
from models.eeg_steady import SPAN_S, steady
from models.spec import ModelSpec
from tests.eeg_playing import FS, T0, pieces, play, raised
from training.eeg_recipes import eeg_seizure_1

RATE = 128.0
N = round(SPAN_S * RATE)
CHANNELS = 18


def background(seed: int, n: int = N) -> np.ndarray:
    """Noise whose power falls with frequency, of unit size; (C, n)."""
    rng = np.random.default_rng(seed)
    noise = np.zeros((CHANNELS, n))
    white = rng.standard_normal((CHANNELS, n))
    for i in range(1, n):
        noise[:, i] = 0.9 * noise[:, i - 1] + white[:, i]
    return (noise / noise.std()).astype(np.float32)


def blows(hz: float, n: int = N, slowing: float = 0.0) -> np.ndarray:
    """Waves of one shape at a rate that may slow by ``slowing`` Hz each second; (n,)."""
    t = np.arange(n) / RATE
    turn = 2 * np.pi * (hz * t - slowing * t**2 / 2)
    return np.sin(turn) + 0.5 * np.sin(2 * turn + 1) + 0.3 * np.sin(3 * turn)


@pytest.mark.parametrize("hz", [1.0, 1.7, 2.9, 4.0, 5.6, 8.0])
def test_a_rhythm_without_evolution_in_all_derivations_is_steady(hz: float) -> None:
    x = background(1) + 2.0 * blows(hz).astype(np.float32)
    assert steady(x[None], RATE).tolist() == [True]


@pytest.mark.parametrize(("hz", "slowing"), [(8.0, 0.4), (5.0, 0.3), (4.0, 0.2), (3.0, 0.15)])
def test_a_seizure_that_slows_is_not_however_loud(hz: float, slowing: float) -> None:
    for size in (2.0, 10.0):
        x = background(1) + size * blows(hz, slowing=slowing).astype(np.float32)
        assert steady(x[None], RATE).tolist() == [False]


def test_neither_background_nor_one_electrode_nor_nothing_is_steady() -> None:
    one = background(2)
    one[3:5] += 10 * blows(4.0).astype(np.float32)
    gone = np.full((CHANNELS, N), np.nan, np.float32)
    begun = background(3) + 2.0 * blows(4.0).astype(np.float32)
    begun[:, : N // 2] = np.nan
    assert steady(np.stack([background(1), one, gone, begun]), RATE).tolist() == [False] * 4


def test_missing_derivations_do_not_hide_a_steady_rhythm() -> None:
    x = background(4) + 2.0 * blows(4.0).astype(np.float32)
    x[5:] = np.nan
    assert steady(x[None], RATE).tolist() == [True]


def test_held_seconds_raise_no_seizure_and_end_none() -> None:
    rule = EventRule(0.5, 6, 4, 0.5, 3)
    loud = np.full(30, 0.9, np.float32)
    held = np.zeros(30, np.bool_)
    held[2:20] = True
    (event,) = find_events(loud, rule, held_T=held)
    assert event.raised_s == 24.0
    watch, bed = EventWatch(rule), np.zeros(1, np.int64)
    steps = [watch.push(bed, loud[:1], np.array([second > 5])) for second in range(20)]
    assert [bool(one.active[0]) for one in steps] == [False] * 3 + [True] * 17


def always(probability: float) -> EegModel:
    """A model that says the same of every second."""
    config = eeg_seizure_1().architecture
    network = CnnLstm(config)
    network.step_head.weight.data.zero_()
    network.step_head.bias.data[:] = 0.0
    network.step_head.bias.data[1] = float(np.log(probability / (1 - probability)))
    card = ModelSpec(
        name="eeg-always", task="eeg", description="", signal="eeg", unit="uV", fs_hz=128.0, window_s=8.0,
        step_s=1.0, right_context_s=2.0, step_classes=("none", "seizure"), window_classes=("seizure",),
        thresholds={"seizure": 0.5, "within_s": 6, "least_s": 4, "release": 0.5, "off_s": 6},
        normalisation="", architecture=config, cost=cost_of(config, 1024), data="", split={}, metrics={},
        training={}, code_commit="", band_hz=(0.5, 40.0),
    )  # fmt: skip
    return EegModel(network, card)


def test_a_stream_holds_the_seconds_that_the_recording_holds() -> None:
    n = 24 * 128
    x = 20 * background(5, n)
    x[:, 8 * 128 : 18 * 128] += 60 * blows(4.3, 10 * 128).astype(np.float32)
    model = always(0.9)
    watch, bed = model.watch(1), np.zeros(1, np.int64)
    streamed = [bool(watch.push(bed, x[None, :, at : at + 128]).held[0]) for at in range(0, n, 128)]
    scaled = scale_recording(x, 128, model.front_end.config.scale)
    whole = steady_steps(scaled, np.ones(24, np.bool_), 128, 1.0, model.behind)
    assert streamed[2:] == whole[:-2].tolist()
    # All that is looked at lies within the rhythm from its sixth second to its last one.
    assert whole[11:16].all()
    assert not whole[:7].any()
    assert not whole[20:].any()


@pytest.mark.parametrize(("slowing", "kinds"), [(0.0, ["steady_rhythm"]), (0.25, ["seizure"])])
def test_who_is_patted_on_the_back_has_no_seizure_alarm_and_the_display_says_why(
    slowing: float, kinds: list[str]
) -> None:
    monitor = EegMonitor(WindowMonitor(SignalKind.EEG, AlarmBook(), lambda: T0), always(0.9))
    seconds = 14
    rng = np.random.default_rng(1)
    t = np.arange(round(seconds * FS)) / FS
    turn = 2 * np.pi * (5.0 * t - slowing * t**2 / 2)
    sizes = rng.uniform(40, 120, 19) * rng.choice((-1, 1), 19)
    samples = 5 * rng.standard_normal((len(t), 19)) + (np.sin(turn) + 0.4 * np.sin(2 * turn))[:, None] * sizes
    # The model speaks from the first second on: let it count from where six seconds are there.
    samples[: round(4 * FS)] = np.nan
    assert raised(play(monitor, pieces(samples))) == kinds
