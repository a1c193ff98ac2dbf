"""The heart task: CirCor as published, onsets scored, windows drawn, a small model from recipe to figures."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.cards import read_spec
from models.sounds import SoundModel
from models.sounds_heart import STATES
from models.spec import Conv1dFrontEnd
from models.store import load
from tests.sound_sets import BEAT_S, FS_HZ, S1_S, SYSTOLE_S, heart_sound, write_circor
from training import sound_card_cli
from training.errors import BadAnnotation, BadRecipe, DataMissing
from training.heart_config import HeartRecipe
from training.heart_envelope import sound_onsets
from training.heart_recipes import heart_sounds_1
from training.heart_records import Segments, list_recordings, read_patients, read_segments
from training.heart_sampling import IGNORED, step_times_s
from training.heart_scores import (
    annotated_spans,
    f1_of,
    onset_counts,
    reference_onsets,
    rows_of,
    segmentation_f1,
)
from training.heart_task import HeartTask
from training.overrides import override
from training.session import fit, open_task, task_of_model
from training.sound_calibration import calibrated, fit_platt
from training.sound_folds import deal_patients, splits_of
from training.sound_scores import auroc, auroc_interval

PATIENTS = {
    str(100 + i): ("Present", "Absent", "Unknown")[0 if i < 6 else 1 if i < 12 else 2] for i in range(14)
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    write_circor(folder / "circor2022", PATIENTS)
    return folder


def small_recipe(**changes: object) -> HeartRecipe:
    recipe = heart_sounds_1()
    wanted = [
        "architecture.hidden=8",
        "architecture.attention_width=8",
        "architecture.front_end.widths=[4,4,6,8]",
        "architecture.front_end.features=16",
        "optimizer.steps=12",
        "optimizer.batch=6",
        "optimizer.lr=0.01",
        "optimizer.warmup_steps=2",
        "optimizer.average_decay=0.5",
        "run.validate_every=12",
        *(f"{key}={value}" for key, value in changes.items()),
    ]
    made = override(recipe, wanted)
    assert isinstance(made, HeartRecipe)
    return made


@pytest.fixture(scope="module")
def task(data: Path, tmp_path_factory: pytest.TempPathFactory) -> HeartTask:
    found = open_task(small_recipe(), data, tmp_path_factory.mktemp("cache"))
    assert isinstance(found, HeartTask)
    return found


def segments() -> Segments:
    starts = np.array([0.0, 0.5, 0.6, 0.76, 0.86, 1.2, 1.3])
    ends = np.append(starts[1:], 1.4)
    return Segments(starts, ends, np.array([0, 1, 2, 3, 4, 1, 2]))


def test_circor_is_read_as_published(data: Path) -> None:
    recordings = list_recordings(data / "circor2022")
    assert len(recordings) == 2 * len(PATIENTS)
    found = read_segments(recordings["circor2022/100_AV"].with_suffix(".tsv"))
    assert found.at(np.array([0.1, BEAT_S + 0.01, BEAT_S + S1_S + 0.01, 1e3])).tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize("line", ["0.1 0.2", "0.1 0.2 7", "0.2 0.1 1", "a b c"])
def test_segments_that_are_none_are_refused_by_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.tsv").write_text(f"0 0.1 1\n{line}\n")
    with pytest.raises(BadAnnotation, match="line 2"):
        read_segments(tmp_path / "a.tsv")


def test_a_folder_without_the_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="CirCor"):
        list_recordings(tmp_path)


def test_a_table_without_murmurs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "training_data.csv").write_text("Patient ID,Murmur\n1,Absent\n")
    with pytest.raises(BadAnnotation, match="Campaign"):
        read_patients(tmp_path)
    head = "Patient ID,Murmur,Murmur locations,Systolic murmur grading,Campaign\n"
    (tmp_path / "training_data.csv").write_text(f"{head}1,Maybe,,,CC\n")
    with pytest.raises(BadAnnotation, match="Maybe"):
        read_patients(tmp_path)


def test_onsets_where_the_annotation_begins_are_not_scored() -> None:
    assert annotated_spans(segments()) == [(0.5, 1.4)]
    assert reference_onsets(segments(), 1).tolist() == [1.2]
    assert reference_onsets(segments(), 3).tolist() == [0.76]


@pytest.mark.parametrize(
    ("found", "counts"),
    [
        ([0.5, 1.2], [1, 1, 1]),
        ([1.239], [1, 1, 1]),
        ([1.245], [0, 1, 1]),
        ([0.1, 1.19, 2.0], [1, 1, 1]),
        ([1.19, 1.21], [1, 1, 2]),
        ([], [0, 1, 0]),
    ],
)
def test_an_onset_counts_within_forty_milliseconds_and_once(found: list[float], counts: list[int]) -> None:
    assert onset_counts(segments(), 1, np.array(found, dtype=np.float64)).tolist() == counts


def test_f1_of_counts() -> None:
    assert f1_of(np.array([8, 10, 10])) == pytest.approx(0.8)


def test_a_plain_envelope_finds_clear_heart_sounds() -> None:
    sound = heart_sound(8, murmur=False, seed=1).astype(np.float32)
    s1_s, s2_s = sound_onsets(sound, FS_HZ)
    wanted = np.arange(1, 7) * BEAT_S
    assert all(np.abs(s1_s - at).min() < 0.06 for at in wanted)
    assert all(np.abs(s2_s - at - S1_S - SYSTOLE_S).min() < 0.06 for at in wanted)


def test_an_envelope_finds_nothing_in_silence() -> None:
    s1_s, s2_s = sound_onsets(np.zeros(8000, dtype=np.float32), FS_HZ)
    assert len(s1_s) == len(s2_s) == 0


def test_steps_stand_for_the_middle_of_their_frames() -> None:
    assert step_times_s(3, 80, 40, 192, 4000.0) == pytest.approx([0.029, 0.049, 0.069])


def test_no_patient_stands_on_two_sides(task: HeartTask) -> None:
    tested: list[str] = []
    for split in task.folds(3):
        sides = [
            {task.patient_of(name) for name in side} for side in (split.train, split.validation, split.test)
        ]
        assert not sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2]
        assert {PATIENTS[patient] for patient in sides[2]} >= {"Present", "Absent"}
        tested += sides[2]
    assert sorted(tested) == sorted(PATIENTS)


def test_patients_are_dealt_so_that_labels_spread() -> None:
    counts = {f"p{i}": (1.0, float(i < 6)) for i in range(12)}
    fold = deal_patients(counts, 3)
    assert [sum(fold[f"p{i}"] == k for i in range(6)) for k in range(3)] == [2, 2, 2]
    assert [sum(fold[f"p{i}"] == k for i in range(12)) for k in range(3)] == [4, 4, 4]


def test_one_large_patient_does_not_choose_thresholds() -> None:
    counts = {f"p{i}": (100.0 if i == 0 else 2.0, 1.0) for i in range(20)}
    for split in splits_of({name: name for name in counts}, counts, 5, 4):
        assert "p0" not in split.validation


def test_more_folds_than_patients_are_refused() -> None:
    with pytest.raises(BadRecipe, match="2 to 3"):
        deal_patients({"a": (1.0,), "b": (1.0,), "c": (1.0,)}, 4)


def test_windows_carry_the_states_of_their_sounds(task: HeartTask) -> None:
    recipe = small_recipe(**{"augment.speed": "[1.0,1.0]", "augment.diastole_speed": "[1.0,1.0]"})
    sampler = HeartTask(recipe, task.data, task.cache).sampler(task.split().train)
    batch = sampler.batch(1, 0, 12)
    assert batch["x"].shape == (12, 1, 32, 400)
    state = np.asarray(batch["state"])
    assert set(np.unique(state)) == {IGNORED, 0, 1, 2, 3}
    shares = np.bincount(state[state >= 0], minlength=4) / (state >= 0).sum()
    assert shares[STATES.index("diastole")] == pytest.approx(0.34 / BEAT_S, abs=0.08)


def test_slow_hearts_are_heard_in_training(task: HeartTask) -> None:
    fast, slow = (
        HeartTask(
            small_recipe(**{"augment.diastole_speed": speeds, "augment.speed": "[1.0,1.0]"}),
            task.data,
            task.cache,
        ).sampler(task.split().train)
        for speeds in ("[1.0,1.0]", "[0.25,0.25]")
    )
    diastole = [
        float(np.mean(np.asarray(sampler.batch(1, 0, 12)["state"]) == STATES.index("diastole")))
        for sampler in (fast, slow)
    ]
    assert diastole[1] > diastole[0]


def test_the_same_step_gives_the_same_batch(task: HeartTask) -> None:
    sampler = task.sampler(task.split().train)
    a, b, c = sampler.batch(7, 3, 4), sampler.batch(7, 3, 4), sampler.batch(7, 4, 4)
    assert all(np.array_equal(a[key], b[key], equal_nan=True) for key in a)
    assert not np.array_equal(a["x"], c["x"])


def test_unknown_murmurs_teach_no_murmur(task: HeartTask) -> None:
    model = task.network()
    drawn = task.sampler(task.split().train).batch(1, 0, 4)
    batch = {key: torch.from_numpy(np.asarray(value)) for key, value in drawn.items()}
    batch["murmur"] = torch.full_like(batch["murmur"], float("nan"))
    losses = {name: value.detach() for name, value in task.loss(model, batch).items()}
    assert float(losses["murmur_steps"]) == float(losses["murmur_window"]) == 0
    assert torch.isfinite(losses["loss"])


def test_a_recipe_without_mel_frames_is_refused(task: HeartTask) -> None:
    recipe = small_recipe()
    ecg = recipe.model_copy(
        update={"architecture": recipe.architecture.model_copy(update={"front_end": Conv1dFrontEnd()})}
    )
    with pytest.raises(BadRecipe, match="conv2d"):
        HeartTask(ecg, task.data, task.cache).sampler(task.split().train)


def test_a_model_is_trained_scored_and_heard(task: HeartTask, tmp_path: Path) -> None:
    split = task.split()
    trained = fit(task, split, tmp_path / "run")
    evaluation = task.evaluate(trained.model, trained.thresholds, split.test)
    assert {"murmur_patient_auroc", "s1_f1", "s2_f1", "envelope_s1_s2_f1"} <= set(evaluation.metrics)
    assert len(rows_of(evaluation)) == len(split.test)
    again = task.merge([evaluation, replace(evaluation, notes=())])
    assert again.metrics["s1_f1"].value == evaluation.metrics["s1_f1"].value
    assert len(rows_of(again)) == 2 * len(split.test)
    model = SoundModel.load(tmp_path / "run" / "model")
    heard = model.listen(task.records(split.test)[0].frames[None, :, : model.window_frames])
    assert model.classes == ("murmur",)
    assert heard.states.shape == (1, model.window_steps)
    assert heard.step_probabilities[..., :4].sum(-1) == pytest.approx(1, abs=1e-5)
    assert 0 < heard.probabilities[0, 0] < 1


def test_a_card_carries_the_figures_of_all_folds(
    task: HeartTask, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = HeartTask(small_recipe(**{"optimizer.steps": 2, "run.validate_every": 2}), task.data, task.cache)
    for i, split in enumerate(quick.folds(2), start=1):
        fit(quick, split, tmp_path / "folds" / f"{i}of2")
    fit(quick, quick.split(), tmp_path / "fixed")
    command = [str(tmp_path / "folds"), "-k", "2", "--data", str(task.data), "--out", str(tmp_path / "out")]
    report = ["--report", str(tmp_path / "report.md"), "--model", str(tmp_path / "fixed" / "model")]
    assert sound_card_cli.main([*command, *report]) == 0
    spec = read_spec(tmp_path / "out")
    assert {"s1_f1", "cv_s1_f1", "cv_murmur_patient_auroc", "cv_patients_accuracy"} <= set(spec.metrics)
    assert spec.metrics["cv_murmur_patient_auroc"].n == 12
    assert "2 folds by patient" in (tmp_path / "report.md").read_text()
    assert "s1_s2_f1" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "folds" / "2of2")
    assert sound_card_cli.main([*command, "--report", str(tmp_path / "half.md")]) == 0
    assert "Fold(s) 2 of 2 not trained" in (tmp_path / "half.md").read_text()


def test_calibration_finds_the_scale_of_logits() -> None:
    rng = np.random.default_rng(0)
    logit = rng.normal(0, 2, 4000)
    truth = (rng.uniform(size=4000) < calibrated(logit, 0.5, -1.0)).astype(np.float64)
    scale, offset = fit_platt(logit, truth)
    assert (scale, offset) == pytest.approx((0.5, -1.0), abs=0.1)
    assert fit_platt(logit, np.ones(4000)) == (1.0, 0.0)


def test_an_area_is_one_where_scores_part_the_kinds() -> None:
    assert auroc(np.array([0.1, 0.4, 0.6, 0.9]), np.array([0.0, 0, 1, 1])) == 1
    assert auroc(np.array([0.5, 0.5]), np.array([0.0, 1])) == 0.5
    assert np.isnan(auroc(np.array([0.5]), np.array([1.0])))
    items = [(f"c{i}", f"p{i // 2}", float(i), i >= 6) for i in range(12)]
    found = auroc_interval(items)
    assert found.value == found.low == 1


@pytest.mark.data
def test_the_shipped_model_finds_the_sounds_of_patients_that_it_never_heard(
    data_dir: Path, tmp_path: Path
) -> None:
    model, spec = load("heart-sounds-1")
    if not (data_dir / "circor2022").is_dir():
        pytest.skip(f"CirCor is not at {data_dir / 'circor2022'}")
    found = task_of_model(spec, data_dir, tmp_path)
    assert isinstance(found, HeartTask)
    tested = {name.split("_")[0] for name in found.split().test}
    assert not tested & {name.split("_")[0] for name in spec.split["train"]}
    assert segmentation_f1(found.heard(model, found.split().test[:12]))["f1"] > 0.9
