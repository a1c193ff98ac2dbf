"""Windows a second through the predictor on a GPU, transfers included, and its p99 at 10,000 beds.

``pytest -s tests/bench/test_bench_gpu.py`` on a machine with CUDA; elsewhere it is skipped. Goals
(H200 class): 100,000 windows a second, p99 below 50 ms at 10,000 beds.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import pytest
import torch

from inference.gpu import PRECISIONS
from inference.predictor import Predictor
from ingest.types import FloatArray

MODEL = "ecg-cnn-lstm-1"
BEDS = 10_000
POLLS = 25
"""A second; a worker reads so often, and each poll brings its share of the beds' windows."""

SECONDS = 20
TOLERANCE = {"float32": 1e-2, "bfloat16": 0.1, "float16": 0.05}
"""Of probabilities against the CPU: cuDNN may compute convolutions in TF32, halves lose more digits."""

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device here: GPU figures stay open"
)


def windows_of(predictor: Predictor, n: int) -> FloatArray:
    shape = (n, predictor.context + predictor.spec.window_samples)
    return np.random.default_rng(3).normal(0, 0.3, shape).astype(np.float32)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_predictor_on_a_gpu(benchmark: Any, precision: str) -> None:
    predictor = Predictor(MODEL, "cuda", precision=precision)
    windows = windows_of(predictor, BEDS)
    said = benchmark.pedantic(predictor, (windows,), rounds=20, iterations=1, warmup_rounds=2)
    share = BEDS // POLLS
    took_ms = []
    for poll in range(POLLS * SECONDS):
        at = poll % POLLS * share
        began_s = time.perf_counter()
        predictor(windows[at : at + share])
        took_ms.append((time.perf_counter() - began_s) * 1e3)
    few = slice(0, 64)
    exact = Predictor(MODEL, "cpu")(windows[few])
    difference = max(
        float(np.abs(said.steps[few] - exact.steps).max()),
        float(np.abs(said.rhythms[few] - exact.rhythms).max()),
    )
    figures = {
        "device_name": torch.cuda.get_device_name(),
        "windows_per_s": round(BEDS / benchmark.stats.stats.median),
        "all_beds_at_once_ms": round(benchmark.stats.stats.max * 1e3, 2),
        "p50_of_a_poll_ms": round(float(np.percentile(took_ms, 50)), 2),
        "p99_of_a_poll_ms": round(float(np.percentile(took_ms, 99)), 2),
        "largest_difference": round(difference, 6),
        "memory_mb": round(torch.cuda.max_memory_allocated() / 1e6),
    }
    benchmark.extra_info.update(figures)
    sys.stderr.write(f"\npredictor on a GPU, {precision}: {json.dumps(figures)}\n")
    assert predictor.lost is None
    assert difference < TOLERANCE[precision]
