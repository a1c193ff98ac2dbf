"""Lung sounds through load → broker → two ``wardwave infer`` → topics, on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.bench.through_broker import TESTS, measured

LENGTH_S = int(os.environ.get("WARDWAVE_BENCH_S", "20"))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("beds", [int(n) for n in os.environ.get("WARDWAVE_BENCH_BEDS", "50,200").split(",")])
def test_lung_sounds_by_two_workers(benchmark: Any, tmp_path: Path, beds: int) -> None:
    figures = measured(benchmark, tmp_path, TESTS / "sound_load.py", beds, 2, LENGTH_S)
    assert (figures["lost"], figures["failed"]) == (0, 0)
