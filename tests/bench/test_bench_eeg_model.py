"""The seizure network over many beds in real time: one second of 200 beds of 18 derivations, one thread."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from models.cnn_lstm import CnnLstm, cost_of
from models.eeg import EegModel
from models.spec import ModelSpec
from training.eeg_recipes import eeg_seizure_1

BEDS = 200
WINDOW_S = 16


@pytest.fixture(scope="module")
def model() -> Iterator[EegModel]:
    torch.manual_seed(1)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    config = eeg_seizure_1().architecture
    card = ModelSpec(
        name="eeg-bench", task="eeg", description="Weights drawn at random, to measure time.", signal="eeg",
        unit="uV", fs_hz=128.0, window_s=WINDOW_S, step_s=1.0, right_context_s=2.0,
        step_classes=("none", "seizure"), window_classes=("seizure",),
        thresholds={"seizure": 0.6, "within_s": 10, "least_s": 6, "release": 0.5, "off_s": 6},
        normalisation="", architecture=config, cost=cost_of(config, WINDOW_S * 128), data="none", split={},
        metrics={}, training={}, code_commit="none",
    )  # fmt: skip
    yield EegModel(CnnLstm(config).eval(), card)
    torch.set_num_threads(before)


@pytest.mark.benchmark(group=f"one second of {BEDS} EEGs of 18 derivations, one thread")
def test_a_second_of_all_beds(benchmark: Any, model: EegModel) -> None:
    """Scale, features, windows and events; a mean below 1 s is real time on one thread."""
    watch, beds = model.watch(BEDS), np.arange(BEDS)
    noise = 30 * np.random.default_rng(1).standard_normal((8, BEDS, 18, 128)).astype(np.float32)
    seconds = itertools.cycle(noise)
    said = benchmark(lambda: watch.push(beds, next(seconds)))
    assert said.probability.shape == (BEDS,)
