"""Why the network holds a second of an EEG for a seizure: by channel and second, as the worker saw it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from inference import explanation_eeg
from inference.alarm_book import AlarmBook
from inference.eeg_monitor import EegMonitor
from inference.explanation_eeg import explain_eeg
from inference.windows import WindowMonitor
from ingest.electrodes import SITES_10_20 as CHANNELS
from ingest.types import NS_PER_S, SignalKind
from models.cnn_lstm import CnnLstm
from models.eeg import EegModel
from models.errors import CannotExplain
from tests.eeg_networks import card
from tests.eeg_playing import FS, T0, pieces, play, simulated
from training.eeg_recipes import eeg_seizure_1


@pytest.fixture(scope="module")
def network() -> EegModel:
    torch.manual_seed(3)
    model = CnnLstm(eeg_seizure_1().architecture)
    # Norms of a fresh network know no signal: let them see some.
    model.train()
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(4, 6, 128 * 9) * 2)
    return EegModel(model.eval(), card())


@pytest.fixture(autouse=True)
def loaded(network: EegModel) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explanation_eeg, "_load", lambda _: network)
        yield


def test_the_probability_is_the_one_that_the_worker_told_of_that_second(network: EegModel) -> None:
    eeg = simulated(40)
    monitor = EegMonitor(WindowMonitor(SignalKind.EEG, AlarmBook(), lambda: T0), network)
    told = {round((one.end_ns - T0) / NS_PER_S): one for one in play(monitor, pieces(eeg)).predictions}
    for second in (20, 33):
        found = explain_eeg(eeg, FS, CHANNELS, second + 0.4, "eeg-test")
        assert found.at_s == pytest.approx(second, abs=0.2)
        assert found.probability == pytest.approx(told[second + 1].probabilities["seizure"], abs=0.01)
        assert len(found.course) == found.cam.shape[1] == found.weights.shape[1] == 16
        assert found.start_s == pytest.approx(second + 1 + network.behind - 16, abs=0.2)


def test_activation_is_by_derivation_and_second_and_a_missing_one_has_none() -> None:
    eeg = simulated(40)
    eeg[25 * 256 :, CHANNELS.index("T7")] = np.nan
    found = explain_eeg(eeg, FS, CHANNELS, 30.0, "eeg-test")
    assert found.derivations[:3] == ("Fp1-F7", "F7-T7", "T7-P7")
    assert found.cam.shape == (18, 16)
    assert found.cam.max() == 1.0
    gone = slice(round(26 - found.start_s), None)
    for lost in (1, 2):
        assert not found.cam[lost, gone].any()
        assert not found.weights[lost, gone].any()
    np.testing.assert_allclose(found.weights.sum(axis=0), 1.0, atol=1e-4)


@pytest.mark.parametrize(
    ("samples", "channels", "at_s", "complaint"),
    [
        (np.zeros((2_560, 2)), ("ch1", "ch2"), 3.0, "none of the derivations"),
        (np.full((2_560, 2), np.nan), ("Fp1", "F7"), 3.0, "choose another moment"),
        (np.zeros((2_560, 2)), ("Fp1", "F7"), 60.0, "give a moment of the stretch, 0 to 9 s"),
        (np.zeros((60, 2)), ("Fp1", "F7"), 0.0, "0.2 s of EEG: eeg-test sees 1 s steps"),
    ],
)
def test_what_cannot_be_explained_says_the_way_out(
    samples: np.ndarray, channels: tuple[str, ...], at_s: float, complaint: str
) -> None:
    with pytest.raises(CannotExplain, match=complaint):
        explain_eeg(samples, FS, channels, at_s, "eeg-test")
