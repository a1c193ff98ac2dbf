"""Networks of sounds and EEG go on when their GPU fails, and the worker says so.

There is no GPU where these run: a device that is not the one fallen back to stands for it, and arithmetic
on it fails as torch says that a GPU fails.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import pytest
import torch

from inference import verdict_beats
from inference.eeg_models import SHIPPED as EEG
from inference.fallback import Fallback, SteadyBeats, SteadyEeg, SteadySounds
from inference.gpu import CPU
from inference.judge_cli import MODEL as JUDGE
from inference.sound_models import SHIPPED as SOUNDS
from ingest.types import SignalKind
from models import store, verdict
from models.cnn_lstm import CnnLstm
from models.verdict_leads import FS_HZ
from tests.test_inference_gpu import ELSEWHERE, LOST, OUT_OF_MEMORY


class Failing(torch.nn.Module):
    """Stands for the part of a network that lies on a GPU that failed."""

    def __init__(self, error: RuntimeError) -> None:
        super().__init__()
        self._error = error

    def forward(self, *_: object) -> None:
        raise self._error


def failing(name: str, error: RuntimeError) -> CnnLstm:
    """A network as it would lie on a GPU; its recurrent part fails."""
    network, _ = store.load(name, CPU)
    network.recurrent = Failing(error)
    return network


@pytest.mark.parametrize("error", [OUT_OF_MEMORY, LOST])
def test_sounds_are_heard_on_when_the_gpu_fails(
    error: RuntimeError, caplog: pytest.LogCaptureFixture
) -> None:
    name = SOUNDS[SignalKind.LUNG_SOUND]
    model = SteadySounds.on(name, ELSEWHERE)
    frames = (
        np.random.default_rng(1).normal(size=(3, model.mel.n_rows, model.window_frames)).astype(np.float32)
    )
    before = model.listen(frames)
    assert (model.where, model.lost) == (str(ELSEWHERE), None)
    model.network = failing(name, error)
    with caplog.at_level(logging.ERROR):
        after = model.listen(frames)
    np.testing.assert_allclose(after.probabilities, before.probabilities, atol=1e-6)
    assert f"GPU lost or out of memory: cpu:0 fails ({str(error).splitlines()[0]}); {name}" in caplog.text
    assert model.where == "cpu"
    assert model.lost == f"cpu:0: {str(error).splitlines()[0]}"
    caplog.clear()
    model.listen(frames)
    assert caplog.text == "", "it is said once"


@pytest.mark.parametrize("error", [LOST, AssertionError("Torch not compiled with CUDA enabled")])
def test_alarms_of_devices_are_judged_on_when_the_gpu_fails(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, spec = store.load(verdict.load(JUDGE).spec.beats_model, CPU)
    beats = SteadyBeats(network, spec, ELSEWHERE)
    signal = np.zeros(round(15 * FS_HZ), dtype=np.float32)
    before = beats(signal)
    assert (beats.where(), beats.fallen_back()) == (str(ELSEWHERE), {})
    find = verdict_beats.run_lead
    errors = [error]

    def once(*given: object) -> object:
        if errors:
            raise errors.pop()
        return find(*given)

    monkeypatch.setattr(verdict_beats, "run_lead", once)
    np.testing.assert_array_equal(beats(signal).windows, before.windows)
    assert beats.where() == "cpu"
    assert beats.fallen_back() == {spec.name: f"cpu:0: {str(error).splitlines()[0]}"}


def test_no_second_of_an_eeg_is_lost_or_counted_twice_when_the_gpu_fails() -> None:
    """The scale of a stream runs on with each second: one that is computed again must not move it twice."""
    good, struck = SteadyEeg.on(EEG, CPU), SteadyEeg.on(EEG, ELSEWHERE)
    whole, broken = good.watch(2), struck.watch(2)
    seconds = np.random.default_rng(2).normal(0, 30, (6, 2, good.channels, good.samples)).astype(np.float32)
    beds = np.array([0, 1])
    for number, second in enumerate(seconds):
        if number == 3:
            struck._take(failing(EEG, LOST))
        one, other = whole.push(beds, second), broken.push(beds, second)
        np.testing.assert_allclose(other.course, one.course, atol=1e-6)
        np.testing.assert_allclose(other.probability, one.probability, atol=1e-6)
    assert struck.fallback.device == CPU
    np.testing.assert_array_equal(broken.state(1).scale, whole.state(1).scale)


def test_a_gpu_that_is_full_from_the_start_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OUT_OF_MEMORY

    monkeypatch.setattr("inference.fallback.on_device", full)
    model = SteadyEeg.on(EEG, ELSEWHERE)
    assert model.fallback.device == CPU
    assert model.fallback.lost is not None


@pytest.mark.parametrize(
    ("device", "error"),
    [(ELSEWHERE, RuntimeError("mat1 and mat2 shapes cannot be multiplied")), (CPU, OUT_OF_MEMORY)],
)
def test_what_no_other_device_would_mend_is_an_error(device: torch.device, error: RuntimeError) -> None:
    taken: list[CnnLstm] = []
    network, _ = store.load(EEG, CPU)
    fallback = Fallback("eeg", network, device, taken.append)

    def fail() -> None:
        raise error

    work: Callable[[], None] = fail
    with pytest.raises(RuntimeError, match=str(error)[:20]):
        fallback(work)
    assert len(taken) == 1
    assert fallback.lost is None
