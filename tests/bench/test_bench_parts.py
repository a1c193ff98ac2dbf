"""Parts of the hot path, each over 500 beds at once, beside what one bed at a time costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import signal

from inference.predictor import Predictor
from ingest import wire
from ingest.bank import Bank
from ingest.conditioning import ECG, Conditioner
from ingest.continuity import Piece
from ingest.filters import band_pass
from ingest.types import NS_PER_S, Chunk, SignalKind

BEDS = 500
SAMPLES = np.random.default_rng(1).normal(0, 300, (250, 2)).astype(np.int16)


def _encoded() -> bytes:
    return wire.encode(
        bed="bed-0001", device="monitor-1", kind="ecg", channels=("II", "V1"), unit="mV", fs_hz=250.0,
        start_ns=1_700_000_000 * NS_PER_S, seq=1, samples=SAMPLES, gain=1000.0, baseline=0,
    )  # fmt: skip


def test_decode_one_chunk(benchmark: Any) -> None:
    value = _encoded()
    chunk = benchmark(wire.decode, value, wire.AVRO)
    assert chunk.n_samples == 250


@pytest.mark.benchmark(group="filter 500 beds x 2 leads x 1 s")
def test_condition_all_beds_at_once(benchmark: Any) -> None:
    bank = Conditioner(250.0, 2, ECG, n_slots=BEDS)
    samples = np.random.default_rng(2).normal(size=(BEDS, 2, 250))
    slots = np.arange(BEDS)
    out = benchmark(bank.push, slots, samples)
    assert out.samples.shape == (BEDS, 2, 125)


@pytest.mark.benchmark(group="filter 500 beds x 2 leads x 1 s")
def test_peer_scipy_bed_by_bed(benchmark: Any) -> None:
    sos = band_pass(250.0, ECG.low_hz, ECG.high_hz)
    samples = np.random.default_rng(2).normal(size=(BEDS, 2, 250))
    states = [np.zeros((len(sos), 2, 2)) for _ in range(BEDS)]

    def one_by_one() -> int:
        for bed in range(BEDS):
            filtered, states[bed] = signal.sosfilt(sos, samples[bed], axis=1, zi=states[bed])
            signal.resample_poly(filtered, 1, 2, axis=1)
        return BEDS

    assert benchmark(one_by_one) == BEDS


def test_bank_push_and_gather(benchmark: Any) -> None:
    bank = Bank(SignalKind.ECG, ECG, 8.0, 1.0)
    samples = SAMPLES.astype(np.float32) / 1000
    slots = [bank.slot(f"bed-{n}") for n in range(BEDS)]
    second = 0

    def push() -> int:
        nonlocal second
        start_ns = (1_700_000_000 + second) * NS_PER_S
        chunk = Chunk("b", "m", SignalKind.ECG, ("II", "V1"), 250.0, start_ns, second, samples)
        pieces = [(slot, Piece(chunk, second, samples, start_ns, 0, second == 0)) for slot in slots]
        second += 1
        return sum(
            len(bank.gather(due, np.zeros(len(due.slots), np.int64))[0])
            for due in (step.due for step in bank.push(pieces))
        )

    assert benchmark(push) == BEDS


@pytest.mark.parametrize("n_windows", [1, 16, 64, 256])
def test_predict(benchmark: Any, n_windows: int) -> None:
    predictor = Predictor("ecg-cnn-lstm-1")
    shape = (n_windows, predictor.context + predictor.spec.window_samples)
    windows = np.random.default_rng(3).normal(0, 0.3, shape).astype(np.float32)
    said = benchmark(predictor, windows)
    benchmark.extra_info["windows_per_s"] = round(n_windows / benchmark.stats.stats.median)
    assert len(said.rhythms) == n_windows
