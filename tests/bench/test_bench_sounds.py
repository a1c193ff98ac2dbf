"""Sounds of many beds in real time, and beside lungs librosa and the same network, window by window.

The network of the lungs is that of their recipe: its weights do not change what a window costs. Ours does
all that the worker does with a sound (filter, frames, sensor, rate, network, records, alarms); the peer makes
a spectrogram of the last window with ``librosa.feature.melspectrogram`` and asks the network, for each bed
when its window is due. At 44.1 kHz the peer resamples by ``librosa.resample`` first, as it does by default.
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
from models.melspec import MelSpec
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
@pytest.mark.parametrize("fs_hz", [4_000, 44_100])
def test_the_same_by_librosa_window_by_window(benchmark: Any, model: SoundModel, fs_hz: int) -> None:
    mel = model.mel
    n_times = round((WINDOW_S + 0.044) * fs_hz)
    sound = (0.05 * np.random.default_rng(1).standard_normal((BEDS, n_times))).astype(np.float32)

    def windows() -> int:
        for line in sound:
            own = line if fs_hz == 4_000 else librosa.resample(line, orig_sr=fs_hz, target_sr=4_000)
            frames = _pictures(own, mel)[:, -model.window_frames :]
            model.listen(np.pad(frames, ((0, 0), (model.window_frames - frames.shape[1], 0)))[None])
        return len(sound)

    assert benchmark.pedantic(windows, rounds=3, warmup_rounds=1) == BEDS
    _tell(benchmark)


def _pictures(line: np.ndarray, mel: MelSpec) -> np.ndarray:
    """Levels, lines and clicks as the network sees them, but for levels taken off; of librosa's spectra."""

    def bands(n_fft: int, window: int, hop: int, n_mels: int) -> np.ndarray:
        return librosa.feature.melspectrogram(
            y=line, sr=4_000, n_fft=n_fft, hop_length=hop, win_length=window, center=False,
            n_mels=n_mels, fmin=mel.low_hz, fmax=mel.high_hz, htk=True,
        )  # fmt: skip

    def standing_out(power: np.ndarray, axis: int) -> np.ndarray:
        return np.log((power.max(axis=axis) + mel.floor) / (power.mean(axis=axis) + mel.floor))

    levels = np.log(bands(mel.n_fft, mel.window, mel.hop, mel.n_mels) + mel.floor)
    spectrum = np.abs(librosa.stft(line, n_fft=mel.long, hop_length=mel.hop, center=False)) ** 2
    lines = standing_out(spectrum[: mel.n_mels * 10].reshape(mel.n_mels, 10, -1), 1)
    short = bands(4 * mel.short, mel.short, mel.hop // 8, mel.n_mels // 3)
    clicks = standing_out(short[:, : short.shape[1] // 8 * 8].reshape(len(short), -1, 8), 2).repeat(3, axis=0)
    n_frames = min(part.shape[1] for part in (levels, lines, clicks))
    return np.concatenate([part[:, -n_frames:] for part in (levels, lines, clicks)]).astype(np.float32)


def _tell(benchmark: Any) -> None:
    """Note what a bed costs, and how many streams one thread keeps up with."""
    each_s = benchmark.stats.stats.median / BEDS
    benchmark.extra_info["ms_per_bed_and_second"] = round(each_s / HOP_S * 1e3, 3)
    benchmark.extra_info["streams_in_real_time"] = round(HOP_S / each_s)
