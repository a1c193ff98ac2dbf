"""The shipped seizure model on patients that it never saw (needs ../shared/data)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.eeg import EegModel
from models.eeg_run import run_recording
from models.eeg_scale import scale_recording
from training.eeg_sets import BONN, CLIPS, list_clips, list_guinea, read_bonn, read_clip
from training.eeg_task import EegTask
from training.session import task_of_model, thresholds_of
from training.sound_scores import auroc


@pytest.fixture(scope="module")
def model() -> EegModel:
    return EegModel.load("eeg-seizure-1")


@pytest.mark.data
def test_the_card_tells_what_the_test_side_shows(
    model: EegModel, data_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    task = task_of_model(model.spec, data_dir, tmp_path_factory.mktemp("cache"))
    assert isinstance(task, EegTask)
    split = task.split()
    assert model.spec.split["test"] == split.test
    found = task.evaluate(model.network, thresholds_of(model.spec), split.test).metrics
    for name in ("within_patient_auroc", "event_sensitivity", "false_per_day"):
        assert found[name].value == pytest.approx(model.spec.metrics[name].value, abs=0.02)


@pytest.mark.data
@pytest.mark.parametrize("kept", [18, 9, 5])
def test_seizures_are_told_from_what_was_before_with_few_derivations(
    model: EegModel, data_dir: Path, kept: int
) -> None:
    logit, truth = [], []
    for one in list_clips(data_dir / CLIPS):
        if one.patient != "chb03":
            continue
        names, x = read_clip(one)
        rows = np.random.default_rng(kept).permutation(len(names))[:kept]
        scaled = scale_recording(x[rows], model.samples, model.front_end.config.scale)
        course = run_recording(model.network, scaled, model.window_steps, model.behind)
        there = course.weights.any(axis=0)
        logit.append(course.step_logit[there])
        truth.append(np.arange(len(there))[there] >= one.seizures[0][0])
    assert len(logit) == 7
    assert auroc(np.concatenate(logit).astype(np.float64), np.concatenate(truth).astype(np.float64)) > 0.9


@pytest.mark.data
def test_the_sets_are_read_in_microvolts(data_dir: Path) -> None:
    assert len(list_guinea(data_dir / "guinea_bissau_eeg")) == 30
    sizes = {letter: np.median(np.abs(read_bonn(data_dir / BONN, letter))) for letter in "ZOFNS"}
    # Seizures of Bonn are several times as large as the rest.
    assert sizes["S"] > 3 * max(sizes[letter] for letter in "ZOFN")
    assert 10 < min(sizes.values()) < 60
