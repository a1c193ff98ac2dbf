"""EEGs of many beds in real time on one thread: filter, montage, electrodes, trends, alarms, network.

The network is that of the recipe: its weights do not change what a second costs. The peer works out the same
band powers, edge, aEEG and suppression bed by bed from the last minute, with scipy, for one second.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from scipy import signal

from inference.alarm_book import AlarmBook
from inference.eeg_monitor import EegMonitor
from inference.eeg_trends import aeeg_taps
from inference.windows import WindowMonitor
from ingest.continuity import Piece
from ingest.filters import band_pass
from ingest.montage import plan_of
from ingest.sim_eeg_waves import CHANNELS
from ingest.types import NS_PER_S, Chunk, SignalKind
from models.cnn_lstm import CnnLstm, cost_of
from models.eeg import EegModel
from models.spec import ModelSpec
from training.eeg_recipes import eeg_seizure_1

BEDS = 200
START_NS = 1_700_000_000 * NS_PER_S
GROUP = pytest.mark.benchmark(group=f"a second of {BEDS} EEGs of 19 channels, one thread")
PEER_BEDS = 10


@pytest.fixture(scope="module")
def model() -> Iterator[EegModel]:
    torch.manual_seed(1)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    config = eeg_seizure_1().architecture
    card = ModelSpec(
        name="eeg-bench", task="eeg", description="Weights drawn at random, to measure time.", signal="eeg",
        unit="uV", fs_hz=128.0, band_hz=(0.5, 40.0), window_s=16.0, step_s=1.0, right_context_s=2.0,
        step_classes=("none", "seizure"), window_classes=("seizure",),
        thresholds={"seizure": 0.6, "within_s": 10, "least_s": 6, "release": 0.5, "off_s": 6},
        normalisation="running scale", architecture=config, cost=cost_of(config, 2_048), data="none",
        split={}, metrics={}, training={}, code_commit="none",
    )  # fmt: skip
    yield EegModel(CnnLstm(config).eval(), card)
    torch.set_num_threads(before)


def _noise(fs_hz: float) -> np.ndarray:
    """Four seconds of every bed: noise that falls with frequency, µV."""
    white = np.random.default_rng(1).standard_normal((BEDS, 4 * round(fs_hz), len(CHANNELS)))
    return signal.lfilter([8.0], [1.0, -0.95], white, axis=1).astype(np.float32)


def _seconds(fs_hz: float) -> Iterator[list[tuple[str, Piece]]]:
    """Second after second of every bed."""
    noise, n_samples, second = _noise(fs_hz), round(fs_hz), 0
    while True:
        at = second % 4 * n_samples
        start_ns = START_NS + second * NS_PER_S
        pieces = []
        for bed in range(BEDS):
            samples = noise[bed, at : at + n_samples]
            chunk = Chunk(str(bed), "d", SignalKind.EEG, CHANNELS, fs_hz, start_ns, second, samples)
            pieces.append((chunk.bed, Piece(chunk, second, samples, start_ns, 0, second == 0)))
        yield pieces
        second += 1


@GROUP
@pytest.mark.parametrize("fs_hz", [256.0, 1024.0])
@pytest.mark.parametrize("with_network", [False, True])
def test_a_second_of_every_bed(benchmark: Any, model: EegModel, fs_hz: float, with_network: bool) -> None:
    windows = WindowMonitor(SignalKind.EEG, AlarmBook(), lambda: START_NS)
    monitor = EegMonitor(windows, model if with_network else None)
    seconds = _seconds(fs_hz)
    for _ in range(6):
        monitor.push(next(seconds))

    def one(part: list[tuple[str, Piece]]) -> int:
        outcome = monitor.push(part)
        assert bool(outcome.predictions) is with_network
        return len(outcome.vitals)

    assert benchmark.pedantic(one, setup=lambda: ((next(seconds),), {}), rounds=8) == BEDS
    _tell(benchmark, BEDS)


@GROUP
def test_the_same_trends_by_scipy_bed_by_bed(benchmark: Any) -> None:
    minute = np.tile(_noise(256.0)[:PEER_BEDS], (1, 15, 1))
    sos, plan = band_pass(256.0, 0.5, 40.0), plan_of(CHANNELS)

    def beds() -> int:
        found = 0
        for bed in minute:
            filtered = signal.sosfilt(sos, plan(bed), axis=0)
            lines = signal.resample_poly(filtered, 1, 2, axis=0).T
            hz, power = signal.welch(lines[:, -1280:], 128, nperseg=256)
            found += np.searchsorted(np.cumsum(power.mean(axis=0)), 0.95 * power.mean(axis=0).sum()) < len(hz)
            envelope = np.abs(signal.lfilter(aeeg_taps(), 1.0, lines[:, -16 * 128 :], axis=1))
            np.percentile(signal.lfilter(np.full(64, 1 / 64), 1.0, envelope, axis=1), [10, 90], axis=1)
            signal.lfilter(np.ones(64), 1.0, np.abs(lines) <= 5.0, axis=1)
        return found

    assert benchmark.pedantic(beds, rounds=4, warmup_rounds=1) == PEER_BEDS
    _tell(benchmark, PEER_BEDS)


def _tell(benchmark: Any, n_beds: int) -> None:
    """Note what a bed costs, and how many streams one thread keeps up with."""
    each_s = benchmark.stats.stats.median / n_beds
    benchmark.extra_info["us_per_bed_and_second"] = round(each_s * 1e6)
    benchmark.extra_info["streams_in_real_time"] = round(1 / each_s)
