"""The network of a ward, each second: from kept features, from whole windows, and as it was without either.

CPU time, in one run and in turns, so that what else the machine does weighs on all alike. Floors, in
multiply-adds of a window: 12.6 million as a window of ``ecg-cnn-lstm-1`` by itself; 3.6 million from kept
features of ``ecg-cnn-lstm-2`` (2.1 its convolutions, 1.5 the rest).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from inference.cli import DEFAULT_MODEL
from inference.feature_reader import FeatureReader, WindowReader
from inference.predictor import Predictor
from ingest.bank import Bank, Due
from ingest.conditioning import ECG
from ingest.continuity import Piece
from ingest.types import NS_PER_S, Chunk, SignalKind
from models import store
from models.incremental import Incremental

SAID_S = 2.74
ROUNDS = 12
BEFORE = "ecg-cnn-lstm-1"
"""The network that computed each window by itself."""


class Ward:
    """Beds of one lead that have had their signal for some seconds."""

    def __init__(self, predictor: Predictor, beds: int) -> None:
        self.bank = Bank(SignalKind.ECG, ECG, 8.0, 1.0, early=predictor.context)
        self.beds, self.second = beds, 0
        self.slots = np.array([self.bank.slot(f"bed-{n}") for n in range(beds)])
        self.leads = np.zeros(beds, dtype=np.int64)
        self.random = np.random.default_rng(1)

    def due(self) -> Due:
        """A second more of each bed, and its window."""
        start_ns = (1_700_000_000 + self.second) * NS_PER_S
        pieces = []
        for slot in self.slots.tolist():
            samples = self.random.normal(0, 0.3, (125, 1)).astype(np.float32)
            chunk = Chunk("b", "m", SignalKind.ECG, ("II",), 125.0, start_ns, self.second, samples)
            pieces.append((slot, Piece(chunk, self.second, samples, start_ns, 0, self.second == 0)))
        self.second += 1
        (step,) = self.bank.push(pieces)
        return Due(step.due.slots, step.due.ends // 8 * 8, step.due.offsets)


def test_the_halves_beside_a_bare_window_in_batches_of_64(benchmark: Any) -> None:
    torch.set_num_threads(1)
    batch, random = 64, torch.Generator().manual_seed(1)
    bare, _ = store.load(BEFORE, torch.device("cpu"))
    bare.eval()
    ways: dict[str, Callable[[], object]] = {}
    alone = 0.3 * torch.randn(batch, 1, 1000, generator=random)
    ways[f"{BEFORE} alone"] = lambda: bare(alone)
    for model in (BEFORE, DEFAULT_MODEL):
        halves = Predictor(model, "cpu", sizes=(batch,), running=True).halves
        assert halves is not None
        ways |= halves_of(model, halves, batch, random)
    spent: dict[str, list[float]] = {name: [] for name in ways}

    def by_turns() -> None:
        for name, way in ways.items():
            began_s = time.process_time()
            way()
            spent[name].append(time.process_time() - began_s)

    with torch.inference_mode():
        benchmark.pedantic(by_turns, rounds=30, iterations=1, warmup_rounds=3)
    figures = {name: round(min(times) / batch * 1e6, 1) for name, times in spent.items()}
    kept = sum(figures[f"{DEFAULT_MODEL} {half}"] for half in ("convolutions", "rest"))
    figures["ratio"] = round(figures[f"{BEFORE} alone"] / kept, 2)
    benchmark.extra_info.update(figures)
    sys.stderr.write(f"\nnetwork, us a window: {json.dumps(figures)}\n")


def halves_of(
    model: str, halves: Incremental, batch: int, random: torch.Generator
) -> dict[str, Callable[[], object]]:
    """What a hop costs: convolutions of what is new, and the rest over what is kept."""
    reach, said = halves.reach, 43
    x_BN = 0.3 * torch.randn(batch, (reach.before + 16 + reach.after) * reach.stride, generator=random)
    inputs_BRF = torch.rand(batch, halves.n_rows, halves.recurrent_width, generator=random)
    features_BTF = torch.rand(batch, halves.merged_steps(said), halves.width, generator=random)
    return {
        f"{model} convolutions": lambda: halves.front(x_BN),
        f"{model} rest": lambda: halves.say(inputs_BRF, features_BTF, said),
    }


@pytest.mark.parametrize("beds", [20, 64, 500])
def test_kept_features_beside_whole_windows(benchmark: Any, beds: int) -> None:
    torch.set_num_threads(1)
    predictor = Predictor(DEFAULT_MODEL, "cpu")
    network, _ = store.load(BEFORE, torch.device("cpu"))
    network.eval()
    ward = Ward(predictor, beds)
    kept, whole = FeatureReader(ward.bank, predictor, SAID_S), WindowReader(ward.bank, predictor)

    def alone(due: Due, leads: np.ndarray) -> None:
        windows, _ = ward.bank.gather(due, leads)
        predictor.run(
            lambda x: ((out := network(x[:, None])).step_logits.softmax(-1), out.window_logits.softmax(-1)),
            windows,
        )

    ways: dict[str, Callable[[Due, np.ndarray], object]] = {"kept": kept, "whole": whole, "alone": alone}
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(10):
        kept(ward.due(), ward.leads)

    def one_second() -> None:
        due = ward.due()
        for name, way in ways.items():
            began_s = time.process_time()
            way(due, ward.leads)
            spent[name].append(time.process_time() - began_s)

    benchmark.pedantic(one_second, rounds=ROUNDS, iterations=1)
    due = ward.due()
    one, other = kept(due, ward.leads).said, whole(due, ward.leads).said
    difference = float(np.abs(one.rhythms - other.rhythms).max())
    figures: dict[str, float] = {
        f"{name}_us_a_window": round(float(np.median(times)) / beds * 1e6, 1) for name, times in spent.items()
    }
    figures["ratio"] = round(figures["alone_us_a_window"] / figures["kept_us_a_window"], 2)
    benchmark.extra_info.update(beds=beds, **figures)
    sys.stderr.write(f"\nnetwork, {beds} beds: {json.dumps(figures)}\n")
    assert difference < 1e-5
