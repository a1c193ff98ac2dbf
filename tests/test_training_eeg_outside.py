"""What is laid over background as no seizure, and the worker's signs of electrodes in recordings."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from inference.alarm_book import AlarmBook
from inference.eeg_monitor import EegMonitor
from inference.windows import WindowMonitor
from ingest.montage import LONGITUDINAL, plan_of
from ingest.sim_eeg_waves import CHANNELS
from ingest.types import SignalKind
from models.eeg import SeenSecond
from tests.eeg_networks import Loud, LoudWatch
from tests.eeg_playing import FS, T0, pieces, play
from tests.test_training_eeg import made_record, sampler
from training.eeg_outside import add_mechanical, add_suppression
from training.eeg_trust import DerivedStream, trusted_only

N = 17 * 128


def background(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((12, N)).astype(np.float32)


def test_suppression_is_quiet_between_its_bursts_and_missing_samples_stay_missing() -> None:
    shares, sizes = [], []
    for seed in range(30):
        x = background(seed)
        x[3] = np.nan
        made = add_suppression(x, -2 * N, 3 * N, np.random.default_rng(seed))
        assert np.isnan(made[3]).all()
        assert np.isnan(add_mechanical(x, -N, 2 * N, np.random.default_rng(seed))[3]).all()
        size = np.nanmedian(np.abs(made.reshape(12, -1, 32)), axis=(0, 2))
        shares.append((size < 0.4).mean())
        sizes.append(size.max())
    # Half of the time or more is suppressed; bursts stand out.
    assert np.median(shares) > 0.4
    assert np.median(sizes) > 1.0


def test_windows_with_artefacts_from_outside_are_no_seizure() -> None:
    one = sampler([made_record(60, ((40.0, 50.0),), 1)], outside=1.0, seizure=1e-9)
    plain = sampler([made_record(60, ((40.0, 50.0),), 1)], background=1.0, seizure=1e-9)
    found = one.batch(1, 0, 64)
    assert (found["label"] == 0).mean() > 0.5
    loud = [np.nan_to_num(drawn.batch(1, 0, 64)["x"]).std(axis=-1).max() for drawn in (one, plain)]
    assert loud[0] > 2 * loud[1]


@dataclass
class Kept(LoudWatch):
    """A watch that keeps what it was given."""

    n_beds: int
    seconds: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        LoudWatch.__init__(self, self.n_beds)

    def push(self, beds: np.ndarray, x_BCN: np.ndarray) -> SeenSecond:
        self.seconds.append(x_BCN[0].copy())
        return super().push(beds, x_BCN)


@dataclass
class Keeping(Loud):
    """A network whose watch is kept."""

    kept: list[Kept] = field(default_factory=list)

    def watch(self, n_beds: int = 1) -> Kept:
        self.kept.append(Kept(n_beds))
        return self.kept[-1]


@pytest.mark.parametrize("fault", ["none", "flat", "saturated", "pop", "missing"])
def test_training_leaves_out_what_the_worker_leaves_out(fault: str) -> None:
    rng = np.random.default_rng(2)
    seconds = 12
    samples = 20 * rng.standard_normal((round(seconds * FS), 19)).astype(np.float32)
    column, at = CHANNELS.index("C3"), slice(round(6 * FS), round(8 * FS))
    if fault == "flat":
        samples[at, column] = 3.0
    elif fault == "saturated":
        samples[at, column] = 500.0 * np.sign(np.sin(np.arange(round(2 * FS)) / 9))
    elif fault == "pop":
        samples[at, column] += 600 * np.exp(-np.arange(round(2 * FS)) / FS)
    elif fault == "missing":
        samples[at, column] = np.nan
    network = Keeping()
    monitor = EegMonitor(WindowMonitor(SignalKind.EEG, AlarmBook(), lambda: T0), network)
    play(monitor, pieces(samples))
    # The first call is the worker's own, of nothing.
    worker = np.concatenate(network.kept[-1].seconds[1:], axis=1)
    stream = DerivedStream(plan_of(CHANNELS), FS)
    cuts = [samples[:700], samples[700:701], samples[701:]]
    trained = np.concatenate([trusted_only(*stream.push(cut)) for cut in cuts], axis=1)
    assert trained.shape == (18, seconds * 128)
    end = worker.shape[1]
    assert end >= (seconds - 4) * 128
    assert np.allclose(trained[:, -end:], worker, atol=1e-3, equal_nan=True)
    lost = {LONGITUDINAL[row] for row in np.flatnonzero(np.isnan(trained).any(axis=1))}
    assert lost == (set() if fault == "none" else {"F3-C3", "C3-P3"})
