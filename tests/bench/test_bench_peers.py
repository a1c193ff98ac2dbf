"""What a user would build instead, in the same run on the same machine and data (``make bench-peers``).

Ratios above 1 say by how much ours costs less. CPU time, in turns, so that what else the machine does weighs
on both. Asserted is what was lost and what outputs say, never a time. Peers live in ``.venv-peers``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inference.predictor import Predictor
from ingest.conditioning import ECG, Conditioner, ConditioningSpec
from ingest.filters import band_pass
from models import store
from tests.bench import peers_run
from tests.bench.load import FS, LOOP_S, heart
from tests.bench.peers_run import Side, measure
from training.noise_detectors import Detector, Network, competitor

HERE = Path(__file__).resolve().parent
PEERS = peers_run.ROOT / ".venv-peers" / "bin" / "python"
BEDS = int(os.environ.get("WARDWAVE_BENCH_PEER_BEDS", "1000"))
LENGTH_S = int(os.environ.get("WARDWAVE_BENCH_S", "20"))
MODEL = "ecg-cnn-lstm-1"

needs_peers = pytest.mark.skipif(not PEERS.exists(), reason="no .venv-peers: `make bench-peers` makes it")


def tell(benchmark: Any, name: str, figures: dict[str, Any]) -> None:
    benchmark.extra_info.update(figures)
    sys.stderr.write(f"\n{name}: {json.dumps(figures)}\n")


def cpu_us(work: Callable[[], object], rounds: int = 12) -> float:
    """Least CPU time of a call, µs."""
    work()
    least = float("inf")
    for _ in range(rounds):
        began_s = time.process_time()
        work()
        least = min(least, time.process_time() - began_s)
    return least * 1e6


def peer(*words: str) -> dict[str, float]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(PEERS), "-W", "ignore", str(HERE / "peers_parts.py"), *words],
        check=True,
        capture_output=True,
        env=environment,
    )
    return dict(json.loads(done.stdout))


@needs_peers
@pytest.mark.timeout(1800)
def test_worker_beside_quixstreams_with_neurokit_and_the_same_network(benchmark: Any, tmp_path: Path) -> None:
    rhythms = store.load(MODEL)[1].window_classes
    ours = Side(
        1,
        "chunks",
        lambda _, path: [
            *(sys.executable, "-m", "wardwave", "--log-level", "WARNING", "infer"),
            *("--threads", "1", "--stats", str(path)),
        ],
        {},
        partial(peers_run.read_ours, rhythms=rhythms),
    )
    theirs = Side(
        2,
        "windows",
        lambda address, path: [
            *(str(PEERS), "-W", "ignore", str(HERE / "peers_quix.py"), address, peers_run.RAW),
            *(peers_run.SAID, str(peers_run.PARTITIONS), str(path)),
        ],
        {},
        partial(peers_run.read_peer, rhythms=rhythms),
    )
    folders = [tmp_path / name for name in ("ours", "theirs")]
    for folder in folders:
        folder.mkdir()

    def both() -> list[peers_run.Measured]:
        return [
            measure(side, folder, BEDS, LENGTH_S)
            for side, folder in zip((ours, theirs), folders, strict=True)
        ]

    one, other = benchmark.pedantic(both, rounds=1, iterations=1)
    said, expected = peers_run.from_the_end(one.rhythms), peers_run.from_the_end(other.rhythms)
    shared = said.keys() & expected.keys()
    same = sum(said[key] == expected[key] for key in shared)
    figures = {
        "beds": BEDS, "seconds": LENGTH_S,
        "ours_us_per_bed_second": round(one.cpu_us_per_bed_second),
        "peer_us_per_bed_second": round(other.cpu_us_per_bed_second),
        "ratio": round(other.cpu_us_per_bed_second / one.cpu_us_per_bed_second, 2),
        "ours_unread_when_load_ended": one.unread_when_load_ended,
        "peer_unread_when_load_ended": other.unread_when_load_ended,
        "lost": one.lost + other.lost,
        "windows_compared": len(shared), "same_rhythm": round(same / max(1, len(shared)), 4),
        "load_average": [one.load_average, other.load_average],
    }  # fmt: skip
    tell(benchmark, "worker v. quixstreams", figures)
    assert figures["lost"] == 0
    assert len(other.rhythms) >= BEDS * (LENGTH_S - peers_run.WARM_S)
    # Their filters differ, and so may what is said of a window.
    assert len(shared) >= len(other.rhythms) // 2
    assert same >= 0.9 * len(shared)


@needs_peers
def test_filter_bank_beside_timeflux(benchmark: Any, tmp_path: Path) -> None:
    beds, seconds = 500, 8
    # The filter alone: same rate out as in, no pulses to remove.
    alone = ConditioningSpec(float(FS), ECG.low_hz, ECG.high_hz)
    lines = np.stack([heart(60 + 3 * n, n)[: seconds * FS].T / 1000 for n in range(20)])
    samples = np.repeat(lines, beds // 20, axis=0).reshape(beds, 2, seconds, FS).transpose(0, 2, 1, 3)
    path = tmp_path / "filters.npz"
    np.savez(path, samples=samples, sos=band_pass(float(FS), ECG.low_hz, ECG.high_hz), fs_hz=FS)
    bank, slots = Conditioner(float(FS), 2, alone, n_slots=beds), np.arange(beds)
    made: list[np.ndarray] = []
    spent_s: list[float] = []

    def ours() -> None:
        for second in range(seconds):
            began_s = time.process_time()
            made.append(bank.push(slots, samples[:, second]).samples)
            spent_s.append(time.process_time() - began_s)

    benchmark.pedantic(ours, rounds=1, iterations=1)
    theirs = peer("filters", str(path))
    filtered = np.load(path.with_suffix(".timeflux.npy"))
    behind = seconds * FS - sum(part.shape[2] for part in made)
    whole = np.concatenate(made, axis=2)
    last = filtered.transpose(0, 2, 1, 3).reshape(beds, 2, -1)[:, :, -behind - FS : -behind or None]
    difference = float(np.abs(whole[:, :, -FS:] - last).max())
    us = min(spent_s) / beds * 1e6
    tell(
        benchmark,
        "filters v. timeflux",
        {
            "beds": beds,
            "ours_us_per_bed_second": round(us, 2),
            "peer_us_per_bed_second": round(theirs["us_per_bed_second"], 1),
            "ratio": round(theirs["us_per_bed_second"] / us, 1),
            "largest_difference_mv": difference,
        },
    )
    # Ours is in float32, and both have settled from what they took the signal's past to be.
    assert difference < 2e-3


@needs_peers
def test_network_beside_torch_ecg(benchmark: Any, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    predictor = Predictor(MODEL, "cpu", sizes=(1, 64))
    windows = np.random.default_rng(3).normal(0, 0.3, (64, 1000)).astype(np.float32)
    path = tmp_path / "windows.npz"
    np.savez(path, windows=windows)
    given = np.pad(windows, ((0, 0), (predictor.context, 0)))
    ours = {size: cpu_us(lambda size=size: predictor(given[:size])) / size for size in (1, 64)}
    theirs = peer("crnn", str(path))
    again = {size: cpu_us(lambda size=size: predictor(given[:size])) / size for size in (1, 64)}
    said = benchmark.pedantic(predictor, (given,), rounds=3, iterations=1)
    cost = predictor.spec.cost
    figures: dict[str, Any] = {
        "ours_parameters": cost.parameters,
        "ours_mflop": cost.mflop_per_window,
        "peer_parameters": theirs["parameters"],
        "peer_convolution_mflop": round(theirs["convolution_mflop"], 1),
    }
    for size in (1, 64):
        us, peer_us = min(ours[size], again[size]), theirs[f"us_a_window_of_{size}"]
        figures |= {
            f"ours_us_a_window_of_{size}": round(us), f"peer_us_a_window_of_{size}": round(peer_us),
            f"ratio_{size}": round(peer_us / us, 2),
        }  # fmt: skip
    tell(benchmark, "network v. torch_ecg", figures)
    assert len(said.rhythms) == 64


def found_of(detector: Detector, lines: list[np.ndarray]) -> tuple[float, int, int]:
    """CPU time a second of signal (µs); beats that were missed, and found where none is."""
    missed = extra = 0
    began_s = time.process_time()
    found = [detector.beats_s(line, float(FS)) for line in lines]
    spent_s = time.process_time() - began_s
    for n, times in enumerate(found):
        truth = np.arange(0.3, LOOP_S, 60 / (60 + 3 * n))
        # The first window and the last seconds, which no network has seen both sides of, are left out.
        apart = np.abs(truth[:, None] - times)
        missed += int((apart.min(axis=1, initial=9.0) > 0.15)[(truth > 8) & (truth < LOOP_S - 3)].sum())
        extra += int((apart.min(axis=0, initial=9.0) > 0.15)[(times > 8) & (times < LOOP_S - 3)].sum())
    return spent_s / (len(lines) * LOOP_S) * 1e6, missed, extra


def test_beats_beside_wfdb_and_neurokit(benchmark: Any) -> None:
    """Over recordings at once, and each second over the last 8 s, as in real time.

    Ours is the whole network over a lead, which tells rhythms too.
    """
    torch.set_num_threads(1)
    lines = [heart(60 + 3 * n, n)[:, 0].astype(np.float64) / 1000 for n in range(20)]
    model, spec = store.load(MODEL)
    ours = Network(model, spec)
    predictor = Predictor(MODEL, "cpu", sizes=(64,))
    windows = np.random.default_rng(3).normal(0, 0.3, (64, predictor.context + 1000)).astype(np.float32)
    figures: dict[str, Any] = {}
    for name in ("ours", "xqrs", "neurokit", "pantompkins1985"):
        detector = ours if name == "ours" else competitor(name)
        found_of(detector, lines[:1])
        us, missed, extra = found_of(detector, lines)
        if name == "ours":
            each_second = cpu_us(lambda: predictor(windows)) / 64
        else:
            each_second = cpu_us(partial(detector.beats_s, lines[0][: 8 * FS], float(FS)))
        figures |= {
            f"{name}_us_per_second": round(us), f"{name}_us_each_second_over_8_s": round(each_second),
            f"{name}_missed": missed, f"{name}_extra": extra,
        }  # fmt: skip
    for name in ("xqrs", "neurokit", "pantompkins1985"):
        for kind in ("us_per_second", "us_each_second_over_8_s"):
            figures[f"ratio_{name}_{kind[3:]}"] = round(
                figures[f"{name}_{kind}"] / figures[f"ours_{kind}"], 2
            )
    benchmark.pedantic(found_of, (ours, lines[:2]), rounds=1, iterations=1)
    tell(benchmark, "beats", figures)
    assert figures["ours_missed"] + figures["ours_extra"] == 0
