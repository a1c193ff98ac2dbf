"""Networks that OpenVINO computes: what they say is what torch says, and what fails stops no worker."""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from inference import openvino_lane
from inference.beat_predictor import BeatPredictor
from inference.bedside import Bedside
from inference.cli import AUTO, DEFAULT_BEATS, DEFAULT_MODEL, OPENVINO, TORCH
from inference.errors import UnfitOption
from inference.gpu import CPU, BatchRunner
from inference.lanes import Compiler, Lane, Part
from inference.monitor import Outcome
from inference.networks import Wanted, load_networks
from inference.openvino_lane import OpenVino, compiler_for
from inference.predictor import Predictor
from ingest.continuity import Continuity
from ingest.readers import read_signal_files
from ingest.settings import IngestSettings
from ingest.sim_events import parse_script
from ingest.simulate import Ward
from ingest.types import NS_PER_S, Chunk, SignalKind
from models.beat_rows import ROW

T0 = 1_790_000_000 * NS_PER_S
N_ROWS = (1, 7, 16, 17, 32, 40, 64, 65, 150)


@pytest.fixture(scope="module")
def compiler() -> OpenVino:
    # Asked so, for importing it here would import its telemetry.
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("OpenVINO is not installed: pip install 'wardwave[openvino]'")
    return OpenVino(1)


Both = tuple[Predictor, BeatPredictor]


@pytest.fixture(scope="module")
def eager() -> Both:
    return Predictor(DEFAULT_MODEL, "cpu"), BeatPredictor(DEFAULT_BEATS, "cpu")


@pytest.fixture(scope="module")
def compiled(compiler: OpenVino) -> Both:
    made = (
        Predictor(DEFAULT_MODEL, "cpu", compiler=compiler),
        BeatPredictor(DEFAULT_BEATS, "cpu", compiler=compiler),
    )
    assert all(one.where == f"cpu ({compiler.name})" for one in made)
    assert made[1]._shapes.where == f"cpu ({compiler.name})"
    return made


def noise(n: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(n).normal(0, 0.5, (n, *shape)).astype(np.float32)


@pytest.mark.parametrize("n", N_ROWS)
def test_batches_of_any_size_say_what_torch_says(compiled: Both, eager: Both, n: int) -> None:
    (predictor, classes), (torchs, torchs_classes) = compiled, eager
    windows = noise(n, predictor.spec.window_samples)
    np.testing.assert_allclose(predictor(windows).steps, torchs(windows).steps, atol=1e-5)
    np.testing.assert_allclose(predictor(windows).rhythms, torchs(windows).rhythms, atol=1e-5)
    rows = noise(n, ROW)
    np.testing.assert_allclose(classes.features(rows), torchs_classes.features(rows), atol=1e-5, rtol=1e-5)
    kept = torchs_classes.features(noise(n * classes.beats, ROW)).reshape(n, classes.beats, -1)
    np.testing.assert_allclose(classes._last_two(kept)[0], torchs_classes._last_two(kept)[0], atol=1e-5)


def test_what_is_said_of_a_row_does_not_hang_on_its_company(compiled: Both) -> None:
    predictor, _ = compiled
    windows = noise(70, predictor.spec.window_samples)
    together = predictor(windows)
    for some in (slice(0, 1), slice(30, 47), slice(69, 70)):
        alone = predictor(windows[some])
        np.testing.assert_allclose(alone.steps, together.steps[some], atol=1e-6)
        np.testing.assert_allclose(alone.rhythms, together.rhythms[some], atol=1e-6)


def test_answers_are_not_overwritten_by_the_next_batch(compiled: Both) -> None:
    predictor, _ = compiled
    first = predictor(noise(5, predictor.spec.window_samples))
    held = first.steps.copy()
    predictor(noise(6, predictor.spec.window_samples))
    np.testing.assert_array_equal(first.steps, held)


def test_what_is_no_number_stays_none(compiled: Both, eager: Both) -> None:
    windows = noise(20, compiled[0].spec.window_samples)
    windows[3, 100], windows[7, 5] = np.nan, np.inf
    said, expected = compiled[0](windows), eager[0](windows)
    odd = np.isin(np.arange(20), (3, 7))
    assert np.isnan(said.rhythms[odd]).all()
    assert np.isnan(said.steps[odd]).all()
    np.testing.assert_allclose(said.rhythms[~odd], expected.rhythms[~odd], atol=1e-5)


def test_no_rows_give_no_rows(compiled: Both, eager: Both) -> None:
    for predictor, classes in (compiled, eager):
        said = predictor(noise(0, predictor.spec.window_samples))
        assert (said.steps.shape, said.rhythms.shape) == ((0, 125, 5), (0, 6))
        assert classes.features(noise(0, ROW)).shape == (0, classes.width)
        assert classes.both_labels(noise(0, classes.beats, classes.width)).shape == (0, 2)


def double(x: Tensor) -> tuple[Tensor, Tensor]:
    return x * 2, x.sum(1)


class Failing:
    """A library that fails at a stage."""

    name = "Failing 1.0"

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.started = 0

    def __call__(self, part: Part, shapes: Sequence[tuple[int, ...]]) -> Callable[[int], Lane]:
        if self.stage == "conversion":
            raise NotImplementedError("no conversion rule found for aten::mul\nand a long story")
        return self.lane

    def lane(self, size: int) -> Lane:
        if self.stage == "compilation":
            raise OSError("no kernel for this CPU")
        return self

    def start(self, batch: Sequence[np.ndarray]) -> None:
        self.started += 1
        self.rows = batch[0]
        # The first calls are those of the start.
        if self.started > 2:
            raise RuntimeError("the library lost its memory")

    def finish(self) -> tuple[np.ndarray, ...]:
        return self.rows * 2, self.rows.sum(1)


@pytest.mark.parametrize(
    ("stage", "why"),
    [
        ("conversion", "no conversion rule found"),
        ("compilation", "no kernel for this CPU"),
        ("work", "lost its memory"),
    ],
)
def test_a_library_that_fails_leaves_the_work_to_torch(
    stage: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    failing: Compiler = Failing(stage)
    run = BatchRunner(lambda _: double, [(3,)], CPU, (2, 4), (2, 4), compiler=failing)
    rows = noise(11, 3)
    for _ in range(2):
        doubled, sums = run(rows)
        np.testing.assert_allclose(doubled, rows * 2)
        np.testing.assert_allclose(sums, rows.sum(1), rtol=1e-6)
    (warning,) = (record for record in caplog.records if record.levelno >= logging.WARNING)
    assert "Failing 1.0 fails" in warning.message
    assert "torch computes" in warning.message
    assert why in warning.message
    assert "long story" not in warning.message
    assert (run.where, run.lost) == ("cpu", None)


def test_a_part_that_comes_out_different_is_not_used(
    compiler: OpenVino, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    finish = openvino_lane.OpenVinoLane.finish
    monkeypatch.setattr(
        openvino_lane.OpenVinoLane,
        "finish",
        lambda lane: tuple(made + np.float32(1e-3) for made in finish(lane)),
    )
    run = BatchRunner(lambda _: double, [(3,)], CPU, (2,), (2,), compiler=compiler)
    assert "off from torch" in caplog.text
    assert run.where == "cpu"
    np.testing.assert_array_equal(run(noise(3, 3))[0], noise(3, 3) * 2)


def test_a_part_with_two_inputs(compiler: OpenVino) -> None:
    run = BatchRunner(
        lambda _: lambda x, y: (x @ y, x + 1), [(2, 3), (3, 2)], CPU, (2, 4), (2, 4), compiler=compiler
    )
    assert run.where == f"cpu ({compiler.name})"
    x, y = noise(5, 2, 3), noise(5, 3, 2)
    product, more = run(x, y)
    np.testing.assert_allclose(product, x @ y, atol=1e-6)
    np.testing.assert_allclose(more, x + 1, atol=1e-6)


def test_without_the_package_torch_computes_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert compiler_for(AUTO, CPU) is None
    assert compiler_for(TORCH, CPU) is None
    with pytest.raises(UnfitOption, match=r"not installed; pip install 'wardwave\[openvino\]'"):
        compiler_for(OPENVINO, CPU)


def test_a_package_that_cannot_be_loaded_is_told_once_and_torch_computes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> object:
        raise ImportError("libopenvino.so.2641: cannot open shared object file")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(openvino_lane, "library", broken)
    assert compiler_for(OPENVINO, CPU) is None
    assert caplog.text.count("OpenVINO cannot be used (libopenvino.so.2641") == 1


def test_a_gpu_is_torch_s(compiler: OpenVino) -> None:
    gpu = torch.device("cuda")
    assert compiler_for(AUTO, gpu) is None
    with pytest.raises(UnfitOption, match="--device cuda: it is for the CPU; add --device cpu"):
        compiler_for(OPENVINO, gpu)


def test_halves_on_a_cpu_are_refused_with_the_way_out() -> None:
    with pytest.raises(UnfitOption, match=r"--precision bfloat16 on a CPU.*--precision float32"):
        load_networks(Wanted(DEFAULT_MODEL, device="cpu", precision="bfloat16"))


@pytest.mark.parametrize("backend", [AUTO, TORCH])
def test_a_worker_says_what_computes(compiler: OpenVino, backend: str) -> None:
    wanted = Wanted(DEFAULT_MODEL, lung="none", heart="none", eeg="none", device="cpu", backend=backend)
    found = load_networks(wanted)
    expected = f"cpu ({compiler.name})" if backend == AUTO else "cpu"
    assert found.ecg.where == expected
    assert compiler.name.startswith("OpenVINO 20")


def test_kept_features_stay_with_torch(compiler: OpenVino) -> None:
    assert Predictor("ecg-cnn-lstm-2", "cpu", sizes=(1,), compiler=compiler).where == "cpu"


def test_nothing_is_told_to_its_maker(compiler: OpenVino, tmp_path: Path) -> None:
    """Its telemetry opens connections and leaves files in the home directory."""
    script = (
        "import socket, sys\n"
        "def refuse(*_): raise AssertionError('a connection')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from inference.openvino_lane import library\n"
        "library()\n"
        "from openvino.tools.ovc import telemetry\n"
        "assert 'stub' in type(telemetry).__module__, telemetry\n"
        "assert not [name for name in sys.modules if name.startswith('openvino_telemetry.')]\n"
    )
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_loaded_networks_twice_lives_through_its_next_signal(compiler: OpenVino) -> None:
    script = (
        "import gc, signal\n"
        "from inference.openvino_lane import OpenVino\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('told'))\n"
        "compilers = [OpenVino(1), OpenVino(1)]\n"
        "lanes = [one(lambda x: (2 * x,), [(4,)])(2) for one in compilers]\n"
        "while compilers:\n"
        "    del compilers[0], lanes[0]\n"
        "    gc.collect()\n"
        "signal.raise_signal(signal.SIGTERM)\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"told\n"), done.stderr.decode()


def watched(networks: Both, chunks: list[Chunk]) -> Outcome:
    """What a worker's monitors say of chunks."""
    bedside = Bedside(networks[0], lambda: T0, networks[1])
    lines: dict[str, Continuity] = {}
    total = Outcome()
    for offset, chunk in enumerate(chunks):
        line = lines.setdefault(chunk.bed, Continuity(IngestSettings()))
        total.extend(bedside.push([(chunk.bed, piece) for piece in line.push(chunk, offset, 0)]))
    return total


def assert_same(said: Outcome, expected: Outcome) -> None:
    assert expected.predictions
    assert expected.alarms
    assert [item.id for item in said.predictions] == [item.id for item in expected.predictions]
    for ours, theirs in zip(said.predictions, expected.predictions, strict=True):
        np.testing.assert_allclose(
            list(ours.probabilities.values()), list(theirs.probabilities.values()), atol=1e-5
        )
        assert [beat.label for beat in ours.beats] == [beat.label for beat in theirs.beats]
        np.testing.assert_allclose(
            [beat.time_ns for beat in ours.beats], [beat.time_ns for beat in theirs.beats], atol=1000
        )
    steps = [[(alarm.id, alarm.state, alarm.raised_ns) for alarm in one.alarms] for one in (said, expected)]
    assert steps[0] == steps[1]


def test_a_ward_is_told_the_same(compiled: Both, eager: Both) -> None:
    events = parse_script(["bed-01:vf@12s:15s", "bed-02:asystole@15s:10s"])
    chunks = list(Ward(3, 1, events).chunks(T0, 28, 1.0))
    assert_same(watched(compiled, chunks), watched(eager, chunks))


@pytest.mark.data
def test_a_real_record_is_told_the_same(compiled: Both, eager: Both, data_dir: Path) -> None:
    recording = read_signal_files(data_dir / "mitdb/207", duration_s=40.0)
    (signal,) = (item for item in recording.signals if item.kind is SignalKind.ECG)
    step = round(signal.fs_hz)
    chunks = [
        Chunk(
            "bed-01", "test", signal.kind, signal.channels, signal.fs_hz,
            T0 + n * NS_PER_S, n, signal.samples[n * step : (n + 1) * step],
        )
        for n in range(40)
    ]  # fmt: skip
    assert_same(watched(compiled, chunks), watched(eager, chunks))
