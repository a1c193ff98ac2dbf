"""Pulses of 1,000 beds: what a second of every bed costs, and a question about every bed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from inference.confirm import judge
from inference.pulses import PulseMonitor
from ingest.continuity import Piece
from ingest.types import NS_PER_S, Chunk, SignalKind

BEDS = 1_000
START_NS = 1_700_000_000 * NS_PER_S
KINDS = ("asystole", "vf", "vt", "extreme_tachycardia", "extreme_bradycardia")


def _seconds(fs_hz: float, together: int) -> Iterator[list[list[tuple[str, Piece]]]]:
    """Second after second of every bed, in polls of ``together`` beds."""
    rng = np.random.default_rng(1)
    phases = rng.uniform(0, 1, BEDS)
    position, second = 0, 0
    while True:
        end = round((second + 1) * fs_hz)
        times_s = np.arange(position, end) / fs_hz
        lines = np.exp(-(((times_s + phases[:, None]) * 1.3) % 1.0) * 4) + 0.01 * rng.standard_normal(
            (BEDS, len(times_s))
        )
        start_ns = START_NS + round(position / fs_hz * NS_PER_S)
        pieces = []
        for bed in range(BEDS):
            samples = lines[bed, :, None].astype(np.float32)
            chunk = Chunk(str(bed), "d", SignalKind.PLETH, ("PLETH",), fs_hz, start_ns, second, samples)
            pieces.append((chunk.bed, Piece(chunk, second, samples, start_ns, 0, second == 0)))
        yield [pieces[begin : begin + together] for begin in range(0, BEDS, together)]
        position, second = end, second + 1


@pytest.mark.parametrize("fs_hz", [62.5, 125.0])
@pytest.mark.parametrize("together", [1_000, 40])
def test_a_second_of_every_bed(benchmark: Any, fs_hz: float, together: int) -> None:
    """40 beds a poll: a thousand beds that send once a second, polled every 40 ms."""
    monitor, seconds = PulseMonitor(), _seconds(fs_hz, together)
    for _ in range(15):
        for poll in next(seconds):
            monitor.push(poll)

    def second(polls: list[list[tuple[str, Piece]]]) -> None:
        for poll in polls:
            monitor.push(poll)

    benchmark.pedantic(second, setup=lambda: ((next(seconds),), {}), rounds=8)
    benchmark.extra_info["us_per_bed_second"] = round(benchmark.stats.stats.median / BEDS * 1e6, 1)
    at_ns = np.full(BEDS, START_NS + 23 * NS_PER_S)
    numbers = np.array([monitor.number(str(bed)) for bed in range(BEDS)])
    assert monitor.evidence(numbers, at_ns, np.full(BEDS, 10**6)).known.mean() > 0.9


def test_a_question_about_every_bed(benchmark: Any) -> None:
    monitor, seconds = PulseMonitor(), _seconds(125.0, BEDS)
    for _ in range(20):
        monitor.push(next(seconds)[0])
    numbers = np.array([monitor.number(str(bed)) for bed in range(BEDS)])
    at_ns, offsets = np.full(BEDS, START_NS + 20 * NS_PER_S), np.full(BEDS, 10**6)
    onsets = np.repeat(at_ns[:, None] - 5 * NS_PER_S, len(KINDS), axis=1)

    def question() -> int:
        said = monitor.evidence(numbers, at_ns, offsets)
        return int(judge(KINDS, said, onsets, np.zeros(onsets.shape)).contradicted.sum())

    assert benchmark(question) > 0
    benchmark.extra_info["us_per_bed"] = round(benchmark.stats.stats.median / BEDS * 1e6, 2)
