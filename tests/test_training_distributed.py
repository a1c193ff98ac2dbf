"""Two processes that train one model, as torchrun starts them; one process alone."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
import wfdb

from training.distributed import Group, join, use_device
from training.errors import BadRecipe

ROOT = Path(__file__).resolve().parent.parent
FS_HZ = 250
RECIPE = """
from training.config import OptimizerConfig, RunConfig
from training.monitor_recipes import DataConfig, MonitorRecipe


def tiny():
    return MonitorRecipe(
        name="tiny",
        description="Two processes on a made folder.",
        data=DataConfig(sources=("folder",), draw={"beats": 1.0, "other": 1.0}),
        optimizer=OptimizerConfig(steps=12, batch=8, warmup_steps=2),
        run=RunConfig(threads=1, validate_every=6, checkpoint_every=2, log_every=1),
    )
"""


def test_one_process_is_a_group_of_its_own() -> None:
    with join("cpu") as group:
        assert (group.rank, group.size, group.main, group.device) == (0, 1, True, "cpu")
        assert group.from_main(lambda: 3) == 3
        assert group.mean(torch.tensor([2.0])).tolist() == [2.0]
        assert group.seed(7) == 7


def test_processes_share_a_batch_and_draw_apart() -> None:
    group = Group(rank=1, size=2)
    assert group.share(128) == 64
    assert group.seed(7) != 7
    with pytest.raises(BadRecipe, match=r"optimizer\.batch=9 does not divide among 2 processes"):
        group.share(9)


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_device_that_is_not_there_is_named(device: str) -> None:
    with pytest.raises(BadRecipe, match=device):
        use_device(device)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four patients with beats each 0.8 s, noise in place of nstdb, and a recipe of its own."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "own").mkdir()
    (folder / "data" / "nstdb").mkdir(parents=True)
    (folder / "my_recipes.py").write_text(RECIPE)
    rng = np.random.default_rng(0)
    time_s = np.arange(30 * FS_HZ)
    beats = np.arange(FS_HZ, 29 * FS_HZ, 200)
    pulses = np.exp(-(((time_s[:, None] - beats) / 4.0) ** 2)).sum(1)
    notes = ["(N", *[""] * len(beats)]
    for name in ("p1", "p2", "p3", "p4"):
        ecg = pulses + rng.normal(0, 0.02, len(pulses))
        write(folder / "own", name, ecg)
        wfdb.wrann(
            name,
            "atr",
            np.concatenate([[1], beats]),
            ["+", *["N"] * len(beats)],
            aux_note=notes,
            write_dir=str(folder / "own"),
        )
    for name in ("bw", "ma"):
        write(folder / "data" / "nstdb", name, rng.normal(0, 0.1, 60 * FS_HZ).cumsum() * 0.01)
    return folder


def write(folder: Path, name: str, signal_mv: np.ndarray) -> None:
    wfdb.wrsamp(
        name,
        fs=FS_HZ,
        units=["mV"],
        sig_name=["II"],
        p_signal=signal_mv[:, None],
        fmt=["16"],
        adc_gain=[1000.0],
        baseline=[0],
        write_dir=str(folder),
    )


@contextmanager
def torchrun(made: Path, out: Path, *settings: str) -> Iterator[subprocess.Popen[str]]:
    """``torchrun --nproc_per_node=2 -m wardwave train …`` in a process group of its own."""
    words = [word for setting in settings for word in ("--set", setting)]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"),
            *("-m", "wardwave", "train", f"{made / 'my_recipes.py'}:tiny", "--records", str(made / "own")),
            *("--data", str(made / "data"), "--out", str(out), *words),
        ],
        cwd=made,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def rows(out: Path) -> list[dict[str, str]]:
    path = out / "log.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def losses(out: Path) -> list[tuple[str, str]]:
    return [(row["step"], row["loss"]) for row in rows(out)]


@pytest.mark.slow
def test_two_processes_train_one_model_and_resume_after_a_kill(made: Path, tmp_path: Path) -> None:
    with torchrun(made, tmp_path / "whole") as process:
        said, _ = process.communicate(timeout=240)
    assert process.returncode == 0, said
    assert said.count("model: ") == 1
    assert [row["step"] for row in rows(tmp_path / "whole")] == [str(step) for step in range(1, 13)]
    card = (tmp_path / "whole" / "model" / "tiny.json").read_text()
    assert "2 processes of 1 CPU threads" in card

    with torchrun(made, tmp_path / "cut") as process:
        give_up = time.monotonic() + 240
        while len(rows(tmp_path / "cut")) < 4 and time.monotonic() < give_up:
            time.sleep(0.02)
        # The launcher puts each process in a session of its own: it is asked to end them.
        process.terminate()
        process.communicate(timeout=60)
    assert 4 <= len(rows(tmp_path / "cut")) < 12, "killed too late to show anything"
    with torchrun(made, tmp_path / "cut") as process:
        said, _ = process.communicate(timeout=240)
    assert process.returncode == 0, said
    assert "resumed at step" in said
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")


@pytest.mark.slow
def test_all_processes_stop_early_together(made: Path, tmp_path: Path) -> None:
    still = ("optimizer.lr=1e-12", "optimizer.weight_decay=0", "run.validate_every=1", "run.patience=2")
    with torchrun(made, tmp_path, *still) as process:
        said, _ = process.communicate(timeout=240)
    assert process.returncode == 0, said
    assert 3 <= len(rows(tmp_path)) < 12
    assert said.count("model: ") == 1
