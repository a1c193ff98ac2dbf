"""The runner of a GPU's batches: what it says is what the network says, and a GPU that fails stops no worker.

There is no GPU where these run: the function that stands for it fails as torch says that a GPU fails, and the
lanes with graphs are measured and checked in ``tests/bench/test_bench_gpu.py``.
"""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from torch import Tensor

from inference.beat_predictor import BeatPredictor
from inference.gpu import CPU, BatchRunner, is_device_error
from inference.lanes import Part
from inference.predictor import Predictor
from models import store
from models.beat_rows import ROW

ELSEWHERE = torch.device("cpu", 0)
"""Stands for a GPU: computes here, and is not the device that is fallen back to."""

OUT_OF_MEMORY = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
LOST = RuntimeError("CUDA error: an illegal memory access was encountered\nCompile with TORCH_USE_CUDA_DSA")


class Gpu:
    """Makes parts that double numbers; those of ``ELSEWHERE`` fail once told to."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.sizes: list[int] = []

    def __call__(self, device: torch.device) -> Part:
        def double(x: Tensor) -> tuple[Tensor, Tensor]:
            if device == ELSEWHERE and self.error is not None:
                raise self.error
            self.sizes.append(len(x))
            return x * 2, x.sum(1)

        return double


def runner(gpu: Gpu) -> BatchRunner:
    return BatchRunner(gpu, [(3,)], ELSEWHERE, (2, 4), (1, 8))


ROWS = np.arange(33, dtype=np.float32).reshape(11, 3)


def check(made: tuple[np.ndarray, ...], rows: np.ndarray = ROWS) -> None:
    np.testing.assert_array_equal(made[0], rows * 2)
    np.testing.assert_array_equal(made[1], rows.sum(1))


@pytest.mark.parametrize("n_rows", [1, 2, 3, 4, 5, 8, 11])
def test_any_number_of_rows_is_run_in_batches_of_the_fixed_sizes(n_rows: int) -> None:
    gpu = Gpu()
    run = runner(gpu)
    gpu.sizes.clear()
    check(run(ROWS[:n_rows]), ROWS[:n_rows])
    assert gpu.sizes == [4] * (n_rows // 4) + ([2] if 0 < n_rows % 4 <= 2 else [4] if n_rows % 4 else [])


@pytest.mark.parametrize("error", [OUT_OF_MEMORY, LOST])
def test_a_gpu_that_fails_at_work_loses_no_row_and_the_cpu_goes_on(
    error: RuntimeError, caplog: pytest.LogCaptureFixture
) -> None:
    gpu = Gpu()
    run = runner(gpu)
    check(run(ROWS))
    assert (run.device, run.lost) == (ELSEWHERE, None)
    gpu.error = error
    with caplog.at_level(logging.ERROR):
        check(run(ROWS))
    assert "GPU lost or out of memory" in caplog.text
    assert str(error).splitlines()[0] in caplog.text
    assert run.device == CPU
    assert run.lost is not None
    assert str(error).splitlines()[0] in run.lost
    caplog.clear()
    gpu.sizes.clear()
    check(run(ROWS))
    assert caplog.text == ""
    assert gpu.sizes == [8, 8]


def test_a_gpu_that_is_full_from_the_start_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    gpu = Gpu()
    gpu.error = OUT_OF_MEMORY
    run = runner(gpu)
    assert run.device == CPU
    assert caplog.text.count("GPU lost or out of memory") == 1
    check(run(ROWS))


NOT_THERE = (
    RuntimeError("No CUDA GPUs are available"),
    RuntimeError("CUDA unknown error - this may be due to an incorrectly set up environment"),
    RuntimeError("CUDA driver error: out of memory"),
    RuntimeError("cuFFT error: CUFFT_INTERNAL_ERROR"),
    RuntimeError("Found no NVIDIA driver on your system"),
    AssertionError("Torch not compiled with CUDA enabled"),
)


@pytest.mark.parametrize("error", NOT_THERE, ids=str)
def test_a_gpu_that_is_gone_from_the_start_leaves_no_ward_unwatched(error: Exception) -> None:
    gpu = Gpu()
    gpu.error = error
    run = runner(gpu)
    assert (run.device, run.lost) == (CPU, f"{ELSEWHERE}: {error}")
    check(run(ROWS))


@pytest.mark.parametrize(
    "error",
    [
        AssertionError("shapes"),
        ValueError("CUDA error"),
        RuntimeError("Expected all tensors to be on the same device, but found cuda:0 and cpu!"),
    ],
)
def test_a_slip_of_the_program_is_no_lost_gpu(error: Exception) -> None:
    assert not is_device_error(error)


def test_an_error_of_the_network_itself_is_not_taken_for_the_gpus() -> None:
    gpu = Gpu()
    run = runner(gpu)
    gpu.error = RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x4)")
    assert not is_device_error(gpu.error)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        run(ROWS)
    assert run.device == ELSEWHERE


def test_a_cpu_out_of_memory_is_an_error_there_is_nothing_to_fall_back_to() -> None:
    def full(_: torch.device) -> Part:
        def part(x: Tensor) -> tuple[Tensor]:
            raise OUT_OF_MEMORY

        return part

    with pytest.raises(torch.OutOfMemoryError):
        BatchRunner(full, [(3,)], CPU, (2,), (2,))


def windows(predictor: Predictor, n: int) -> np.ndarray:
    shape = (n, predictor.context + predictor.spec.window_samples)
    return np.random.default_rng(3).normal(0, 0.3, shape).astype(np.float32)


def test_the_runner_says_what_the_network_says_called_by_itself() -> None:
    predictor = Predictor("ecg-cnn-lstm-1", "cpu", sizes=(2, 4))
    given = windows(predictor, 7)
    network, _ = store.load("ecg-cnn-lstm-1")
    with torch.inference_mode():
        output = network(torch.from_numpy(given)[:, None])
    said = predictor(given)
    np.testing.assert_allclose(said.steps, output.step_logits.softmax(-1).numpy(), atol=1e-5)
    np.testing.assert_allclose(said.rhythms, output.window_logits.softmax(-1).numpy(), atol=1e-5)
    assert (str(predictor.device), predictor.lost) == ("cpu", None)


def test_half_precision_says_nearly_the_same() -> None:
    given = windows(Predictor("ecg-cnn-lstm-1", "cpu", sizes=(2,)), 4)
    exact = Predictor("ecg-cnn-lstm-1", "cpu", sizes=(4,))(given)
    near = Predictor("ecg-cnn-lstm-1", "cpu", sizes=(4,), precision="bfloat16")(given)
    assert near.steps.dtype == np.float32
    difference = np.abs(near.rhythms - exact.rhythms).max()
    assert 0 < difference < 0.05


def test_halves_of_a_lost_gpu_are_not_the_cpu_s() -> None:
    """What a CPU says in halves differs more, and it saves little by them."""
    lost = False

    def make(device: torch.device) -> Part:
        def product(x: Tensor) -> tuple[Tensor]:
            if lost and device == ELSEWHERE:
                raise LOST
            return (x @ x.mT,)

        return product

    run = BatchRunner(make, [(3, 3)], ELSEWHERE, (2,), (2,), torch.bfloat16)
    rows = np.random.default_rng(5).normal(0, 1, (2, 3, 3)).astype(np.float32)
    exact = rows @ rows.transpose(0, 2, 1)
    assert np.abs(run(rows)[0] - exact).max() > 1e-4
    lost = True
    np.testing.assert_allclose(run(rows)[0], exact, atol=1e-6)


def test_a_ward_goes_on_when_the_gpu_of_both_networks_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks as a worker has them: what each says before and after is the same."""
    predictor = Predictor("ecg-cnn-lstm-1", str(ELSEWHERE), sizes=(2,))
    classes = BeatPredictor("ecg-beats-1", str(ELSEWHERE), sizes=(2,))
    given = windows(predictor, 3)
    rows = np.random.default_rng(4).normal(0, 1, (3, ROW)).astype(np.float32)
    before, features = predictor(given), classes.features(rows)
    sequences = np.repeat(features[:, None], classes.beats, axis=1)
    labels = classes.both_labels(sequences)

    def fail(*_: object) -> None:
        raise LOST

    for one in (predictor._runner, classes._shapes, classes._last_two):
        for lanes in one._lanes.values():
            for lane in lanes:
                monkeypatch.setattr(lane, "start", fail)
    np.testing.assert_array_equal(predictor(given).steps, before.steps)
    np.testing.assert_array_equal(classes.features(rows), features)
    np.testing.assert_array_equal(classes.both_labels(sequences), labels)
    assert (predictor.device, classes.device) == (CPU, CPU)
    assert predictor.lost is not None
