"""Sounds of many beds in real time, and beside lungs librosa and the same network, window by window.

The network of the lungs is that of their recipe: its weights do not change what a window costs. Ours does
all that the worker does with a sound (filter, frames, sensor, rate, network, records, alarms); the peer makes
a spectrogram of the last window with ``librosa.feature.melspectrogram`` and asks the network, for each bed
when its window is due.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import librosa
import numpy as np
import pytest
import torch

from inference.alarm_book import AlarmBook
from inference.sound_monitor import SoundMonitor
from inference.windows import WindowMonitor
from ingest.continuity import Piece
from ingest.types import NS_PER_S, Chunk, SignalKind
from models.cnn_lstm import CnnLstm, cost_of
from models.melspec import LUNG_MEL
from models.sounds import SoundModel
from models.spec import ModelSpec
from training.lung_recipes import lung_sounds_1

BEDS = 240
START_NS = 1_700_000_000 * NS_PER_S
KIND = SignalKind.LUNG_SOUND
GROUP = pytest.mark.benchmark(group=f"three seconds of {BEDS} lung sounds, one thread")
WINDOW_S, HOP_S = 5.12, 3.0
"""A network is asked about each bed once in three seconds: all of them take one turn."""


@pytest.fixture(scope="module")
def model() -> Iterator[SoundModel]:
    torch.manual_seed(1)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    config = lung_sounds_1().architecture
    card = ModelSpec(
        name="lung-bench", description="Weights drawn at random, to measure time.", signal="sound",
        fs_hz=4_000.0, band_hz=(50.0, 1_800.0), window_s=WINDOW_S, hop_s=HOP_S, step_s=0.08,
        step_classes=("crackle", "wheeze"),
        window_classes=("crackle", "wheeze", "healthy", "chronic", "acute"),
        thresholds={"crackle": 0.5, "wheeze": 0.5}, normalisation="running mean", architecture=config,
        cost=cost_of(config, 20_480), data="none", split={}, metrics={}, training={}, code_commit="none",
    )  # fmt: skip
    yield SoundModel(CnnLstm(config).eval(), card)
    torch.set_num_threads(before)


def _seconds(fs_hz: float, kind: SignalKind = KIND) -> Iterator[list[tuple[str, Piece]]]:
    """Second after second of every bed."""
    n_samples = round(fs_hz)
    noise = 0.05 * np.random.default_rng(1).standard_normal((BEDS, 4 * n_samples)).astype(np.float32)
    second = 0
    while True:
        at = second % 4 * n_samples
        start_ns = START_NS + second * NS_PER_S
        pieces = []
        for bed in range(BEDS):
            samples = noise[bed, at : at + n_samples, None]
            chunk = Chunk(str(bed), "d", kind, ("chest",), fs_hz, start_ns, second, samples)
            pieces.append((chunk.bed, Piece(chunk, second, samples, start_ns, 0, second == 0)))
        yield pieces
        second += 1


@GROUP
@pytest.mark.parametrize("fs_hz", [4_000.0, 44_100.0])
def test_three_seconds_of_every_bed(benchmark: Any, model: SoundModel, fs_hz: float) -> None:
    monitor = SoundMonitor(KIND, WindowMonitor(KIND, AlarmBook(), lambda: START_NS), model)
    seconds = _seconds(fs_hz)
    for _ in range(7):
        monitor.push(next(seconds))

    def three(parts: list[list[tuple[str, Piece]]]) -> int:
        return sum(len(monitor.push(part).predictions) for part in parts)

    asked = benchmark.pedantic(three, setup=lambda: (([next(seconds) for _ in range(3)],), {}), rounds=4)
    assert asked == BEDS
    _tell(benchmark)


@pytest.mark.benchmark(group=f"three seconds of {BEDS} heart sounds, one thread")
def test_three_seconds_of_every_heart(benchmark: Any) -> None:
    kind, before = SignalKind.HEART_SOUND, torch.get_num_threads()
    torch.set_num_threads(1)
    network = SoundModel.load("heart-sounds-1")
    monitor = SoundMonitor(kind, WindowMonitor(kind, AlarmBook(), lambda: START_NS), network)
    seconds = _seconds(4_000.0, kind)
    for _ in range(7):
        monitor.push(next(seconds))

    def three(parts: list[list[tuple[str, Piece]]]) -> int:
        return sum(len(monitor.push(part).predictions) for part in parts)

    asked = benchmark.pedantic(three, setup=lambda: (([next(seconds) for _ in range(3)],), {}), rounds=3)
    torch.set_num_threads(before)
    assert asked == BEDS * HOP_S / network.spec.hop_s
    _tell(benchmark)


@GROUP
def test_the_same_by_librosa_window_by_window(benchmark: Any, model: SoundModel) -> None:
    sound = 0.05 * np.random.default_rng(1).standard_normal((BEDS, round(WINDOW_S * 4_000) + 176))
    mel = LUNG_MEL

    def windows() -> int:
        for line in sound:
            power = librosa.feature.melspectrogram(
                y=line, sr=4_000, n_fft=mel.n_fft, hop_length=mel.hop, win_length=mel.window, center=False,
                n_mels=mel.n_mels, fmin=mel.low_hz, fmax=mel.high_hz, htk=True,
            )  # fmt: skip
            frames = np.log(power[:, -model.window_frames :] + mel.floor).astype(np.float32)
            model.listen(np.pad(frames, ((0, 0), (model.window_frames - frames.shape[1], 0)))[None])
        return len(sound)

    assert benchmark.pedantic(windows, rounds=3, warmup_rounds=1) == BEDS
    _tell(benchmark)


def _tell(benchmark: Any) -> None:
    """Note what a bed costs, and how many streams one thread keeps up with."""
    each_s = benchmark.stats.stats.median / BEDS
    benchmark.extra_info["ms_per_bed_and_second"] = round(each_s / HOP_S * 1e3, 3)
    benchmark.extra_info["streams_in_real_time"] = round(HOP_S / each_s)
