"""Self-supervised pre-training on EEG: what is hidden, what is filled in, a model begun with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.store import load
from tests.eeg_sets import write_chbmit, write_eeg
from training.eeg_pretrain_config import BANDS_HZ, eeg_pretrain_1
from training.eeg_pretrain_task import EegPretrainTask, band_powers, hide
from training.eeg_recipes import eeg_seizure_1
from training.errors import BadRecipe, DataMissing
from training.overrides import override
from training.session import check_start, fit, open_task

SMALL = [
    'data.sources=["chbmit"]', "data.window_s=8", "data.channels=[2,4]", "architecture.hidden=6",
    "architecture.attention_width=8", "architecture.front_end.stem_width=4",
    "architecture.front_end.widths=[4,6,8]", "architecture.front_end.width=12", "optimizer.steps=8",
    "optimizer.batch=8", "optimizer.lr=0.01", "optimizer.warmup_steps=2", "optimizer.average_decay=0.5",
    "run.validate_every=8",
]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("eeg")
    write_chbmit(folder / "chbmit", ("chb01", "chb02", "chb03", "chb05"), 50)
    for name in ("a", "b"):
        write_eeg(folder / "own" / name / "night.EDF", 30)
    return folder


def task_of(data: Path, cache: Path, *settings: str) -> EegPretrainTask:
    found = open_task(override(eeg_pretrain_1(), [*SMALL, *settings]), data, cache)
    assert isinstance(found, EegPretrainTask)
    return found


def test_the_powers_are_those_of_the_loudest_band() -> None:
    t = np.arange(4 * 128) / 128
    x = np.stack([np.sin(2 * np.pi * 10 * t), 0.1 * np.sin(2 * np.pi * 10 * t)]).astype(np.float32)
    x[:, 3 * 128 :] = np.nan
    powers = band_powers(x, 128, 128)
    assert powers.shape == (3, 2 * len(BANDS_HZ))
    assert set(powers[:2, : len(BANDS_HZ)].argmax(1)) == {2}
    # The largest of the channels is above their mean.
    assert (powers[:2, len(BANDS_HZ) + 2] > powers[:2, 2]).all()
    assert np.isnan(powers[2]).all()


def test_the_share_is_hidden() -> None:
    rng = np.random.default_rng(0)
    shares = [hide(16, 0.3, (1, 4), rng).mean() for _ in range(50)]
    assert min(shares) >= 0.3
    assert max(shares) < 0.6


def test_hidden_seconds_are_missing_from_what_the_network_sees(data: Path, tmp_path: Path) -> None:
    task = task_of(data, tmp_path)
    batch = task.sampler(task.split().train).batch(1, 0, 16)
    seen = np.isfinite(batch["x"][:, :, 128:].reshape(16, -1, 8, 128)).any((1, 3))
    assert not seen[batch["hidden"].astype(bool)].any()
    assert np.isfinite(batch["target"].astype(np.float64)).all()


def test_own_files_join_and_the_seizure_tasks_test_side_stays_unseen(data: Path, tmp_path: Path) -> None:
    task = task_of(data, tmp_path, f"data.folder={data / 'own'}")
    for fold, own in zip(
        task.folds(2), open_task(override(eeg_seizure_1(), SMALL), data).folds(2), strict=True
    ):
        assert fold.test == own.test
        joined = {*fold.train, *fold.validation}
        assert {"folder/a/night.EDF", "folder/b/night.EDF"} <= joined
        assert not joined & {*own.test}
    with pytest.raises(DataMissing, match="no .edf files"):
        task_of(data, tmp_path, f"data.folder={tmp_path}").split()


def test_another_number_of_outputs_is_refused(data: Path, tmp_path: Path) -> None:
    task = task_of(data, tmp_path, "architecture.step_classes=4")
    with pytest.raises(BadRecipe, match="12 powers are to be filled in"):
        assert task.front_end


def test_a_seizure_model_begins_with_it(data: Path, tmp_path: Path) -> None:
    task = task_of(data, tmp_path / "cache")
    before = task.validate(task.network(), task.split().validation)["score"]
    trained = fit(task, task.split(), tmp_path / "pre")
    assert task.validate(trained.model, task.split().validation)["score"] > before
    assert np.isfinite(task.evaluate(trained.model, {}, task.split().test).metrics["explained"].value)
    _, card = load(tmp_path / "pre" / "model")
    small = [one for one in SMALL if "steps=" not in one and "every=" not in one]
    recipe = override(eeg_seizure_1(), [*small, "data.bonn=", "optimizer.steps=1", "run.validate_every=1"])
    seizures = open_task(recipe, data, tmp_path / "cache")
    check_start(card, seizures.split(), recipe)
    begun = fit(seizures, seizures.split(), tmp_path / "fine", from_weights=str(tmp_path / "pre" / "model"))
    drawn = begun.spec.training["from_weights_drawn_anew"]
    assert isinstance(drawn, list)
    assert all(str(name).startswith(("step_head", "window_")) for name in drawn)
