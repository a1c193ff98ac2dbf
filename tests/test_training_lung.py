"""The lung task: ICBHI as published and as a table, cycles drawn and scored, a small model, pre-training."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import wardwave
from models.cards import read_spec
from models.melspec import LUNG_MEL, log_mel
from models.sounds import DIAGNOSES, SoundModel
from models.sounds_level import RATIO_SCALE, SCALE
from models.sounds_lung import evidence
from tests.sound_sets import FS_HZ, write_circor, write_icbhi
from training.errors import BadAnnotation, BadRecipe, DataMissing
from training.lung_config import LungData
from training.lung_recipes import lung_sounds_1
from training.lung_records import list_recordings, parse_name
from training.lung_sampling import KINDS, LungSampler, Steps, kind_of
from training.lung_scores import best_thresholds, four_class_figures
from training.lung_task import LungTask, pooled_steps
from training.overrides import override
from training.session import check_sides, fit, open_task
from training.sound_augment import added
from training.sound_calibration import fit_platt
from training.sound_config import SoundAugment
from training.sound_frames import load_frames, read_sound
from training.sound_pretrain_config import PretrainData, sound_pretrain_1
from training.sound_pretrain_task import PretrainTask, hide

WORDS = ("Healthy", "COPD", "URTI", "Bronchiolitis")
PATIENTS = {str(101 + i): WORDS[i % 4] for i in range(18)}
SMALL = [
    "architecture.hidden=8",
    "architecture.attention_width=8",
    "architecture.front_end.widths=[4,4,6,8]",
    "architecture.front_end.features=16",
    "optimizer.steps=8",
    "optimizer.batch=6",
    "optimizer.warmup_steps=2",
    "optimizer.average_decay=0.5",
    "run.validate_every=8",
]
LUNG = [*SMALL, 'data.sources=["icbhi2017"]']
LEVELS = ["architecture.front_end.mel.long=0", "architecture.front_end.mel.short=0"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    write_icbhi(folder / "icbhi2017", PATIENTS)
    write_circor(folder / "circor2022", {"900": "Absent", "901": "Present"}, n_beats=10)
    return folder


@pytest.fixture(scope="module")
def task(data: Path, tmp_path_factory: pytest.TempPathFactory) -> LungTask:
    found = open_task(override(lung_sounds_1(), LUNG), data, tmp_path_factory.mktemp("cache"))
    assert isinstance(found, LungTask)
    return found


def as_table(published: Path, folder: Path) -> Path:
    """The same recordings in the layout with one table of cycles."""
    (folder / "audio").mkdir(parents=True)
    with (folder / "cycles.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["recording", "start_s", "end_s", "crackle", "wheeze", "official_split", "diagnosis"])
        for one in list_recordings(published).values():
            samples, rate = soundfile.read(one.path)
            soundfile.write(folder / "audio" / f"{one.path.stem}.flac", samples, rate)
            cycles = one.cycles
            for start, end, labels in zip(cycles.start_s, cycles.end_s, cycles.labels, strict=True):
                writer.writerow([one.path.stem, start, end, *labels, one.side, one.diagnosis])
    return folder


def test_both_layouts_hold_the_same(data: Path, tmp_path: Path) -> None:
    published = list_recordings(data / "icbhi2017")
    tabled = list_recordings(as_table(data / "icbhi2017", tmp_path / "one_table"))
    assert len(published) == len(tabled) == len(PATIENTS)
    for one, other in zip(published.values(), tabled.values(), strict=True):
        assert (one.patient, one.device, one.place) == (other.patient, other.device, other.place)
        assert (one.side, one.diagnosis) == (other.side, other.diagnosis)
        assert np.array_equal(one.cycles.labels, other.cycles.labels)


def test_a_name_tells_patient_place_and_device() -> None:
    assert parse_name("101_1b1_Al_sc_Meditron") == ("101", "Al", "Meditron")
    with pytest.raises(BadAnnotation, match="PATIENT_INDEX"):
        parse_name("recording7")


@pytest.mark.parametrize(
    ("text", "words"),
    [("0 1 0\n", "line 1"), ("0 1 0 0\n2 1 0 0\n", "cycle 2"), ("0 1 2 0\n", "crackle and wheeze 0 or 1")],
)
def test_cycles_that_are_none_are_refused(tmp_path: Path, text: str, words: str) -> None:
    soundfile.write(tmp_path / "101_1b1_Al_sc_Meditron.wav", np.zeros(4000), FS_HZ)
    (tmp_path / "101_1b1_Al_sc_Meditron.txt").write_text(text)
    with pytest.raises(BadAnnotation, match=words):
        list_recordings(tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match=r"cycles.csv"):
        list_recordings(tmp_path)
    with pytest.raises(DataMissing, match="not there"):
        list_recordings(tmp_path / "none")


def test_a_file_that_is_no_sound_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("no sound")
    with pytest.raises(BadAnnotation, match="not readable"):
        read_sound(tmp_path / "a.wav")
    soundfile.write(tmp_path / "b.wav", np.zeros(0), FS_HZ)
    with pytest.raises(BadAnnotation, match="no samples"):
        read_sound(tmp_path / "b.wav")


def test_a_damaged_cache_entry_is_made_anew(task: LungTask, tmp_path: Path) -> None:
    one = next(iter(task.recordings.values()))
    records = task.records((one.name,))
    from ingest.conditioning import ConditioningSpec

    spec = ConditioningSpec(4000.0, 50.0, 1800.0)
    load_frames([one.path], spec, task.mel, tmp_path)
    entry = next(tmp_path.glob("*.npz"))
    entry.write_bytes(b"broken")
    assert np.array_equal(load_frames([one.path], spec, task.mel, tmp_path)[0], records[0].frames)


def test_the_official_split_keeps_its_test_patients(task: LungTask) -> None:
    recipe = override(lung_sounds_1(), [*LUNG, "data.split=official"])
    split = LungTask(recipe, task.data, task.cache).split()
    assert task.split() == task.folds(5)[0]
    check_sides(split)
    assert {task.recordings[name].side for name in split.test} == {"test"}
    assert {task.recordings[name].side for name in (*split.train, *split.validation)} == {"train"}


def test_recordings_without_a_split_are_only_for_folds(tmp_path: Path) -> None:
    folder = write_icbhi(tmp_path / "icbhi2017", dict(list(PATIENTS.items())[:6]))
    (folder / "ICBHI_challenge_train_test.txt").unlink()
    official = override(lung_sounds_1(), [*LUNG, "data.split=official"])
    found = open_task(official, tmp_path, tmp_path / "cache")
    with pytest.raises(BadRecipe, match="crossval"):
        found.split()
    assert len(found.folds(2)) == 2


def test_cycles_are_cut_at_the_steps_whose_middles_they_hold() -> None:
    steps = Steps(0.08, 0.06, 4)
    assert steps.cut(0.0, 0.3) == (0, 3)
    assert steps.cut(0.3, 0.31) == (3, 4)


def test_labels_are_drawn_alike_from_every_device(task: LungTask) -> None:
    names = tuple(task.recordings)
    sampler = LungSampler(
        task.records(names), task.steps, task.window_steps, 50.0, LungData(), SoundAugment()
    )
    device = np.array([task.recordings[names[i]].device for i, _ in sampler.items])
    shares = [
        np.bincount(sampler.kind[own], weights=sampler.weight[own], minlength=4) / sampler.weight[own].sum()
        for own in (device == "Meditron", device == "Litt3200")
    ]
    assert shares[0] == pytest.approx(shares[1])
    assert shares[0] == pytest.approx([LungData().draw[kind] for kind in KINDS])


def test_two_sounds_together_give_the_pictures_of_their_sum() -> None:
    rng = np.random.default_rng(0)
    times = np.arange(16_000) / 4_000
    tone = 0.006 * np.sin(2 * np.pi * 500 * times) * (times > 2)
    sounds = [rng.standard_normal(16_000) * 0.02 + tone, rng.standard_normal(16_000) * 0.03]
    spec = replace(LUNG_MEL, long=1024, short=32)

    def pictures(sound: np.ndarray) -> np.ndarray:
        frames = log_mel(sound, spec).reshape(3, 48, -1)
        return np.stack([frames[0] / SCALE, (frames[1] - 0.5) / RATIO_SCALE, frames[2] / RATIO_SCALE])

    found, true = added(pictures(sounds[0]), pictures(sounds[1])), pictures(sounds[0] + sounds[1])
    assert np.abs((found - true).mean(axis=2)).mean() < 0.15
    band = int(true[1, :, -50:].mean(axis=1).argmax())
    alone = pictures(sounds[0])[1, band, -50:].mean()
    # Noise around a line makes it stand out less; the share of its band's own power tells half of it.
    heard, summed = found[1, band, -50:].mean(), true[1, band, -50:].mean()
    assert summed < heard < alone - 0.5


@pytest.mark.parametrize(("pictures", "rows"), [([], 144), (LEVELS, 48)], ids=["three", "levels"])
def test_a_recipe_trains_on_all_its_pictures(task: LungTask, pictures: list[str], rows: int) -> None:
    own = LungTask(override(lung_sounds_1(), [*LUNG, *pictures]), task.data, task.cache)
    batch = own.sampler(own.split().train).batch(1, 0, 8)
    assert batch["x"].shape == (8, 1, rows, 256)
    assert np.isfinite(batch["x"]).all()
    model = own.network()
    losses = own.loss(model, {name: torch.from_numpy(np.asarray(one)) for name, one in batch.items()})
    losses["loss"].backward()
    (gradient,) = [p.grad for name, p in model.named_parameters() if name == "front_end.maps.0.weight"]
    assert gradient is not None
    assert (gradient.abs().sum(dim=(0, 2, 3)) > 0).all()


def test_windows_carry_the_labels_of_their_cycles(task: LungTask) -> None:
    recipe = override(lung_sounds_1(), [*LUNG, "data.whole_share=0"])
    sampler = LungTask(recipe, task.data, task.cache).sampler(task.split().train)
    batch = {key: np.asarray(value) for key, value in sampler.batch(1, 0, 24).items()}
    assert batch["x"].shape == (24, 1, 144, 256)
    for where, label, cycle, cycle_label in zip(
        batch["where"], batch["label"], batch["cycle"], batch["cycle_label"], strict=True
    ):
        inside = np.unique(cycle[where])
        assert len(inside) == 1
        assert np.array_equal(cycle_label[inside[0]], label)


def test_a_whole_window_has_the_labels_of_all_its_cycles(task: LungTask) -> None:
    recipe = override(lung_sounds_1(), [*LUNG, "data.whole_share=1"])
    sampler = LungTask(recipe, task.data, task.cache).sampler(task.split().train)
    batch = {key: np.asarray(value) for key, value in sampler.batch(1, 0, 24).items()}
    assert (batch["where"].sum(1) == 64).all()
    assert np.array_equal(batch["label"], np.nanmax(np.nan_to_num(batch["cycle_label"]), axis=1) > 0) or (
        batch["label"].sum() >= np.nan_to_num(batch["cycle_label"]).max(1).sum() - 6
    )


def test_pooled_steps_of_a_cycle_are_its_own() -> None:
    logits = torch.tensor([[[0.0], [4.0], [-4.0], [-4.0]]])
    cycle = torch.tensor([[0, 0, 1, -1]])
    pooled = pooled_steps(logits, cycle, 3)[0, :, 0]
    p = logits[0, :, 0].sigmoid()
    assert float(pooled[0]) == pytest.approx(float((p[0] ** 2 + p[1] ** 2) / (p[0] + p[1])))
    assert float(pooled[1]) == pytest.approx(float(p[2]))
    assert float(pooled[2]) == 0
    expected = np.log(float(pooled[0]) / (1 - float(pooled[0])))
    where = np.array([[True, True, False, False]])
    assert evidence(logits.numpy(), np.array([[1.0]]), where)[0, 0] == pytest.approx(
        (expected + 1) / 2, rel=1e-4
    )


def test_icbhi_scores_count_the_exact_class() -> None:
    table = np.array([[8, 1, 1, 0], [2, 5, 1, 2], [0, 0, 4, 0], [0, 1, 0, 1]], dtype=np.float64)
    figures = four_class_figures(table)
    assert figures["specificity"] == pytest.approx(0.8)
    assert figures["sensitivity"] == pytest.approx(10 / 16)
    assert figures["any_sensitivity"] == pytest.approx(14 / 16)
    assert figures["score"] == pytest.approx((0.8 + 0.625) / 2)


def test_no_other_threshold_scores_better_with_calibrated_probabilities() -> None:
    rng = np.random.default_rng(0)
    p = rng.beta(1, 3, 40_000)
    labels = np.stack([rng.random(len(p)) < p, np.zeros(len(p), dtype=np.bool_)], axis=1).astype(np.int64)

    def score(threshold: float) -> float:
        table = np.zeros((4, 4))
        np.add.at(table, (kind_of(labels), (p >= threshold).astype(np.int64)), 1)
        return four_class_figures(table)["score"]

    best = best_thresholds(labels)
    assert best["crackle"] == best["wheeze"] == pytest.approx(0.25, abs=0.01)
    assert score(best["crackle"]) > max(score(one) for one in np.arange(0.05, 0.96, 0.05)) - 0.005


def test_a_side_of_one_kind_gives_thresholds_to_live_with() -> None:
    assert best_thresholds(np.zeros((9, 2), dtype=np.int64)) == {"crackle": 0.2, "wheeze": 0.2}
    assert best_thresholds(np.ones((9, 2), dtype=np.int64)) == {"crackle": 0.5, "wheeze": 0.5}


def test_few_patients_move_the_calibration_but_little() -> None:
    rng = np.random.default_rng(1)
    truth = (rng.random(160) < 0.2).astype(np.float64)
    logit = rng.normal(0, 1, 160)
    held = {"scale_prior": 4.0, "offset_prior": 3.0, "offset": -0.75}
    of_eight = fit_platt(logit, truth, items_per_patient=20.0, **held)
    of_many = fit_platt(logit, truth, **held)
    assert abs(of_eight[1] + 0.75) < abs(of_many[1] + 0.75)
    assert abs(of_eight[0] - 1) < abs(of_many[0] - 1)
    assert fit_platt(logit, np.zeros(160), **held) == (1.0, -0.75)


def test_a_model_is_trained_scored_and_heard(task: LungTask, tmp_path: Path) -> None:
    split = task.split()
    trained = fit(task, split, tmp_path / "run")
    evaluation = task.evaluate(trained.model, trained.thresholds, split.test)
    assert {"crackle_auroc", "wheeze_auroc", "icbhi_score"} <= set(evaluation.metrics)
    assert len(evaluation.predictions[2].truth) == 6 * len(split.test)
    pooled = task.merge([evaluation, evaluation])
    assert pooled.metrics["icbhi_score"].value == evaluation.metrics["icbhi_score"].value
    assert pooled.metrics["wheeze_map_ratio"].value == evaluation.metrics["wheeze_map_ratio"].value
    assert [table.title for table in pooled.tables] == ["By device", "By place", "By patient"]
    model = SoundModel.load(tmp_path / "run" / "model")
    heard = model.hear(task.records(split.test)[0].frames)
    assert model.classes == ("crackle", "wheeze")
    assert heard.diagnoses.shape == (1, len(DIAGNOSES))
    assert set(model.thresholds) == {"crackle", "wheeze"}


def test_icbhis_own_diagnoses_can_be_asked_for(task: LungTask, tmp_path: Path) -> None:
    recipe = override(lung_sounds_1(), [*LUNG, "data.diagnoses=icbhi", "architecture.window_classes=10"])
    own = LungTask(recipe, task.data, task.cache)
    split = own.split()
    batch = own.sampler(split.train).batch(1, 0, 40)
    asked = {own.diagnoses[int(k)] for k in np.asarray(batch["diagnosis"])}
    assert {"Healthy", "COPD"} <= asked <= set(WORDS)
    trained = fit(own, split, tmp_path / "run")
    by_recording = own.evaluate(trained.model, trained.thresholds, split.test).predictions[3]
    assert by_recording.classes == own.diagnoses
    assert len(own.diagnoses) == 8
    words = [own.recordings[name].diagnosis for name in split.test]
    assert [own.diagnoses[k] for k in by_recording.truth] == words
    model = SoundModel.load(tmp_path / "run" / "model")
    heard = model.hear(own.records(split.test)[0].frames)
    assert model.classes == ("crackle", "wheeze")
    assert model.diagnoses == own.diagnoses
    assert heard.diagnoses.sum() == pytest.approx(1.0, abs=1e-5)


def test_a_head_that_does_not_fit_the_diagnoses_is_refused(task: LungTask) -> None:
    recipe = override(lung_sounds_1(), [*LUNG, "data.diagnoses=icbhi"])
    with pytest.raises(BadRecipe, match=r"architecture.window_classes=5, but data.diagnoses=icbhi needs 10"):
        LungTask(recipe, task.data, task.cache).split()


def test_hidden_stretches_reach_their_share() -> None:
    rng = np.random.default_rng(0)
    shares = [hide(64, 0.08, PretrainData(), rng).mean() for _ in range(50)]
    assert min(shares) >= 0.4
    assert np.mean(shares) < 0.6


def test_a_pretrained_network_begins_a_lung_model(task: LungTask, tmp_path: Path) -> None:
    sources = 'data.sources=["icbhi2017","circor2022"]'
    recipe = override(sound_pretrain_1(), [*SMALL, sources, "data.held_out=icbhi2017"])
    pretrain = open_task(recipe, task.data, task.cache)
    assert isinstance(pretrain, PretrainTask)
    lung, own = task.folds(3)[0], pretrain.folds(3)[0]
    assert not set(own.train) & {*lung.validation, *lung.test}
    assert any(name.startswith("circor2022/") for name in own.train)
    fit(pretrain, own, tmp_path / "pretrained")
    trained = fit(task, lung, tmp_path / "lung", from_weights=str(tmp_path / "pretrained" / "model"))
    drawn = trained.spec.training["from_weights_drawn_anew"]
    assert isinstance(drawn, list)
    assert all(str(name).startswith(("step_head", "window_")) for name in drawn)


def test_every_fold_begins_with_its_own_pretraining(
    task: LungTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sources = 'data.sources=["icbhi2017"]'
    settings = [
        part for one in [*LUNG, "optimizer.steps=2", "run.validate_every=2"] for part in ("--set", one)
    ]
    pretrain = override(sound_pretrain_1(), [*SMALL, sources, "data.held_out=icbhi2017", "optimizer.steps=2"])
    first = open_task(override(pretrain, ["run.validate_every=2"]), task.data, task.cache)
    for i, split in enumerate(first.folds(2), start=1):
        fit(first, split, tmp_path / "pretrained" / f"{i}of2")
    command = ["crossval", "lung-sounds-1", "--data", str(task.data), "--folds", "2", "--out", "folds"]
    start = ["--from-weights", "pretrained/{fold}/model", "--report", "folds.md"]
    assert wardwave.main([*command, *start, *settings]) == 0
    for fold in ("1of2", "2of2"):
        assert (
            read_spec(Path("folds") / fold / "model").training["from_weights"] == f"pretrained/{fold}/model"
        )
    assert "wheeze" in Path("folds.md").read_text()


def test_pretraining_that_heard_the_test_side_is_refused(task: LungTask, tmp_path: Path) -> None:
    recipe = override(sound_pretrain_1(), [*SMALL, 'data.sources=["icbhi2017"]', "data.held_out=icbhi2017"])
    pretrain = open_task(recipe, task.data, task.cache)
    fit(pretrain, pretrain.folds(3)[1], tmp_path / "pretrained")
    with pytest.raises(BadRecipe, match="held out here"):
        fit(task, task.folds(3)[0], tmp_path / "lung", from_weights=str(tmp_path / "pretrained" / "model"))


def test_what_is_held_out_is_not_heard_from_another_folder_either(task: LungTask, tmp_path: Path) -> None:
    again = f"data.folder={as_table(task.data / 'icbhi2017', tmp_path / 'mine')}"
    recipe = override(sound_pretrain_1(), [*SMALL, 'data.sources=["icbhi2017"]', again])
    lung = task.folds(3)[0]
    held_out = {Path(name).stem for name in (*lung.validation, *lung.test)}
    apart = open_task(override(recipe, ["data.held_out=icbhi2017"]), task.data, task.cache).folds(3)[0]
    assert not held_out & {Path(name).stem for name in apart.train}
    assert any(name.startswith("folder/") for name in apart.train)
    # Who kept nothing apart is told when the lung model begins.
    all_of_it = open_task(override(recipe, ["data.held_out=", "data.sources=[]"]), task.data, task.cache)
    fit(all_of_it, all_of_it.split(), tmp_path / "pretrained")
    with pytest.raises(BadRecipe, match=r"trained on folder/audio/.*held out here"):
        fit(task, lung, tmp_path / "lung", from_weights=str(tmp_path / "pretrained" / "model"))


def test_a_folder_of_sounds_pretrains_too(data: Path, tmp_path: Path) -> None:
    recipe = override(
        sound_pretrain_1(), [*SMALL, "data.sources=[]", f"data.folder={data / 'icbhi2017'}", "data.held_out="]
    )
    found = open_task(recipe, data, tmp_path)
    assert len(found.split().train) + len(found.split().validation) == len(PATIENTS)
    empty = override(recipe, [f"data.folder={tmp_path}"])
    with pytest.raises(DataMissing, match="no sound files"):
        open_task(empty, data, tmp_path).split()
