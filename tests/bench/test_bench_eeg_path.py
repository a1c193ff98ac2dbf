"""EEGs of 19 channels at 256 Hz through load → broker → one and two ``wardwave infer`` → topics, here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.bench.through_broker import TESTS, measured

LENGTH_S = int(os.environ.get("WARDWAVE_BENCH_S", "20"))


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize(
    "workers", [int(n) for n in os.environ.get("WARDWAVE_BENCH_WORKERS", "1,2").split(",")]
)
@pytest.mark.parametrize("beds", [int(n) for n in os.environ.get("WARDWAVE_BENCH_BEDS", "50,200").split(",")])
def test_eegs_by_one_and_two_workers(benchmark: Any, tmp_path: Path, beds: int, workers: int) -> None:
    figures = measured(benchmark, tmp_path, TESTS / "eeg_load.py", beds, workers, LENGTH_S)
    assert (figures["lost"], figures["failed"]) == (0, 0)
