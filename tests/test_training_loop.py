"""Training on made recordings: one seed, one loss curve; a killed run goes on as if nothing had been."""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models import store
from models.cnn_lstm import CnnLstm
from models.spec import ModelSpec
from training.checkpoint import BEST, CHECKPOINT
from training.config import OptimizerConfig
from training.corpus import build_corpus
from training.errors import BadCheckpoint, BadRecipe, DataMissing, Diverged
from training.logs import EVENTS, LOG, VALIDATION_LOG, CsvLog
from training.loop import Trainer
from training.monitor_recipes import AugmentConfig, DataConfig, LossConfig, MonitorRecipe
from training.monitor_sampling import Sampler
from training.monitor_task import MonitorTask
from training.optimizers import freeze, learning_rate, make_optimizer
from training.recipes import get_recipe
from training.session import check_sides, check_start, recipe_of_model
from training.sources import Recording, bit
from training.task import Names, Split

DRAW = {"beats": 1.0, "beats_V": 1.0, "vf": 1.0, "made_asystole": 0.5, "made_flat": 0.5, "made_noise": 0.5}


def made(record: str, seed: int) -> Recording:
    """A minute of beats each 0.8 s, every fifth wide, then half a minute of a 5 Hz flutter."""
    rng = np.random.default_rng(seed)
    n, calm = 11_250, 7_500
    time = np.arange(n) / 125
    signal = rng.normal(0, 0.01, (2, n))
    beats = np.arange(60.0, calm, 100.0)
    labels = np.where(np.arange(len(beats)) % 5 == 4, 3, 1)
    for beat, label in zip(beats, labels, strict=True):
        signal += np.exp(-(((np.arange(n) - beat) / (8.0 if label == 3 else 2.0)) ** 2))
    signal[:, calm:] += np.sin(2 * np.pi * 5 * time[calm:])
    known = np.arange(n) < calm
    rhythm = np.where(known, bit("other"), bit("vf")).astype(np.uint8)
    return Recording(
        "mitdb", record, ("I", "II"), signal.astype(np.float32), beats, labels.astype(np.int64), known, rhythm
    )


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    noise = np.random.default_rng(0).standard_normal(20_000).astype(np.float32)
    recipe = smoke()
    corpus = build_corpus([made("a", 1), made("b", 2)])
    return Sampler(corpus, noise, DataConfig(draw=DRAW), AugmentConfig(), LossConfig(), recipe.architecture)


def smoke(*overrides: str) -> MonitorRecipe:
    recipe = get_recipe(
        "ecg-smoke",
        [
            "optimizer.steps=6",
            "optimizer.batch=8",
            "run.log_every=1",
            "run.checkpoint_every=2",
            "run.validate_every=6",
            "run.threads=1",
            *overrides,
        ],
    )
    assert isinstance(recipe, MonitorRecipe)
    return recipe


class MadeTask(MonitorTask):
    """The monitor's task on made recordings."""

    made: Sampler
    score: float = 3.0

    def sampler(self, names: Names) -> Sampler:
        return self.made

    def validate(self, model: CnnLstm, names: Names) -> dict[str, float]:
        return {"qrs_f1": 1.0, "score": self.score}


SPLIT = Split(("mitdb/a", "mitdb/b"), ("mitdb/c",), ())


def trainer_of(
    recipe: MonitorRecipe,
    sampler: Sampler,
    folder: Path,
    start_from: dict[str, Tensor] | None = None,
    score: float = 3.0,
) -> Trainer:
    task = MadeTask(recipe, folder)
    task.made, task.score = sampler, score
    return Trainer(task, SPLIT, folder, start_from=start_from)


def losses(folder: Path) -> list[str]:
    with (folder / LOG).open() as file:
        return [row["loss"] for row in csv.DictReader(file)]


def test_the_same_seed_gives_the_same_losses(sampler: Sampler, tmp_path: Path) -> None:
    for name in ("one", "two"):
        trainer_of(smoke(), sampler, tmp_path / name).run()
    trainer_of(smoke("run.seed=8"), sampler, tmp_path / "other").run()
    assert losses(tmp_path / "one") == losses(tmp_path / "two")
    assert losses(tmp_path / "one") != losses(tmp_path / "other")
    assert len(losses(tmp_path / "one")) == 6


def test_a_killed_run_goes_on_from_its_checkpoint(sampler: Sampler, tmp_path: Path) -> None:
    trainer_of(smoke(), sampler, tmp_path / "whole").run()

    class Killed(Exception):
        pass

    def kill(step: int, _: float) -> None:
        if step == 5:
            raise Killed

    with pytest.raises(Killed):
        trainer_of(smoke(), sampler, tmp_path / "cut").run(kill)
    resumed = trainer_of(smoke(), sampler, tmp_path / "cut")
    assert resumed.state.step == 4
    resumed.run()
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")


def test_a_checkpoint_of_another_recipe_or_a_damaged_one_is_refused(sampler: Sampler, tmp_path: Path) -> None:
    trainer_of(smoke(), sampler, tmp_path).run()
    with pytest.raises(BadCheckpoint, match=r"recipe\.optimizer\.lr is 0\.003 there and 0\.1 here"):
        trainer_of(smoke("optimizer.lr=0.1"), sampler, tmp_path)
    (tmp_path / CHECKPOINT).write_bytes(b"damaged")
    with pytest.raises(BadCheckpoint):
        trainer_of(smoke(), sampler, tmp_path)


def test_training_stops_when_validation_does_not_improve(sampler: Sampler, tmp_path: Path) -> None:
    recipe = smoke("run.validate_every=1", "run.patience=2")
    trainer = trainer_of(recipe, sampler, tmp_path)
    trainer.run()
    assert trainer.state.step == 3
    assert trainer.state.best_step == 1


def test_a_little_training_learns_the_made_beats(sampler: Sampler, tmp_path: Path) -> None:
    recipe = smoke("optimizer.steps=60", "optimizer.batch=16", "optimizer.lr=5e-3", "run.validate_every=60")
    trainer_of(recipe, sampler, tmp_path).run()
    history = [float(loss) for loss in losses(tmp_path)]
    assert np.mean(history[-5:]) < 0.5 * np.mean(history[:5])


def test_batches_are_of_their_step_alone(sampler: Sampler) -> None:
    first, again, next_one = sampler.batch(1, 5, 16), sampler.batch(1, 5, 16), sampler.batch(1, 6, 16)
    np.testing.assert_array_equal(first["x"], again["x"])
    np.testing.assert_array_equal(first["steps"], again["steps"])
    assert not np.array_equal(first["x"], next_one["x"])


def test_batches_are_sound(sampler: Sampler) -> None:
    batch = sampler.batch(3, 0, 256)
    assert batch["x"].shape == (256, 1, 1000)
    assert np.isfinite(batch["x"]).all()
    np.testing.assert_allclose(batch["steps"].sum(-1), 1.0, atol=1e-5)
    assert batch["steps"].min() >= 0
    assert (batch["allowed"].sum(1) >= 1).all()
    assert batch["steps"][..., 3].sum() > 0


@pytest.mark.parametrize(
    ("kind", "name", "bounds"),
    [("made_flat", "noise", (0, 0.02)), ("made_asystole", "asystole", (0.03, 0.5))],
)
def test_made_lines_have_no_beats_and_the_size_they_claim(
    kind: str, name: str, bounds: tuple[float, float]
) -> None:
    noise = np.random.default_rng(0).standard_normal(20_000).astype(np.float32)
    sampler = Sampler(
        build_corpus([made("a", 1)]),
        noise,
        DataConfig(draw={kind: 1.0}),
        AugmentConfig(),
        LossConfig(),
        smoke().architecture,
    )
    batch = sampler.batch(1, 0, 64)
    end = np.ptp(batch["x"][:, 0, -125:], axis=1)
    assert bounds[0] <= np.median(end) <= bounds[1]
    np.testing.assert_allclose(batch["steps"][:, -60:, 0], 1.0)
    assert (batch["allowed"][:, ["vf", "vt", "asystole", "af", "noise", "other"].index(name)] == 1).all()


def test_a_kind_without_windows_is_named() -> None:
    with pytest.raises(DataMissing, match="'af'"):
        Sampler(
            build_corpus([made("a", 1)]),
            np.zeros(5000, dtype=np.float32),
            DataConfig(draw={"af": 1.0}),
            AugmentConfig(),
            LossConfig(),
            smoke().architecture,
        )


def test_the_learning_rate_warms_up_and_falls() -> None:
    config = smoke("optimizer.steps=100", "optimizer.warmup_steps=10").optimizer
    rates = [learning_rate(step, config) for step in range(100)]
    assert rates[9] == max(rates) == config.lr
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.02 * config.lr


def test_a_plateau_lowers_the_rate_at_each_worse_validation(sampler: Sampler, tmp_path: Path) -> None:
    recipe = smoke("optimizer.schedule=plateau", "optimizer.warmup_steps=0", "run.validate_every=2")
    trainer_of(recipe, sampler, tmp_path).run()
    with (tmp_path / LOG).open() as file:
        rates = [float(row["lr"]) for row in csv.DictReader(file)]
    # The first validation is the best so far, the second is worse than it.
    np.testing.assert_allclose(rates, [0.003] * 4 + [0.0009] * 2)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_norms_and_biases_do_not_decay(name: str) -> None:
    model = CnnLstm(smoke().architecture)
    optimizer = make_optimizer(model, OptimizerConfig(name=name, weight_decay=0.1))
    decayed = {id(p) for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]}
    named = {key: id(p) in decayed for key, p in model.named_parameters()}
    assert named["front_end.stem.weight"]
    assert not named["front_end.stem_norm.weight"]
    assert not any(is_decayed for key, is_decayed in named.items() if key.endswith("bias"))


def test_sgd_trains_and_resumes_with_its_momentum(sampler: Sampler, tmp_path: Path) -> None:
    recipe = smoke("optimizer.name=sgd", "optimizer.lr=0.02")
    trainer_of(recipe, sampler, tmp_path / "whole").run()

    def kill(step: int, _: float) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer_of(recipe, sampler, tmp_path / "cut").run(kill)
    trainer_of(recipe, sampler, tmp_path / "cut").run()
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")


def test_gradients_are_clipped(sampler: Sampler, tmp_path: Path) -> None:
    plain = (
        "optimizer.name=sgd",
        "optimizer.momentum=0",
        "optimizer.weight_decay=0",
        "optimizer.warmup_steps=0",
    )
    trainer = trainer_of(smoke(*plain, "optimizer.lr=0.5", "optimizer.clip=1e-3"), sampler, tmp_path)
    before = [p.detach().clone() for p in trainer.model.parameters()]
    trainer.train_step(trainer.batches[0])
    after = trainer.model.parameters()
    moved = torch.stack([(new - old).norm() for old, new in zip(before, after, strict=True)]).norm()
    assert 0.99 * 0.5e-3 < float(moved.detach()) < 1.01 * 0.5e-3


def test_kinds_are_drawn_by_their_weights() -> None:
    """Balance of classes: how rare a kind is in the recordings does not matter."""
    noise = np.random.default_rng(0).standard_normal(20_000).astype(np.float32)
    parts = AugmentConfig(), LossConfig(), smoke().architecture
    corpus = build_corpus([made("a", 1)])
    vf = Sampler(corpus, noise, DataConfig(draw={"other": 1.0, "vf": 3.0}), *parts).batch(1, 0, 512)
    share = (vf["allowed"][:, 0] == 1).mean()
    assert abs(share - 0.75) < 0.08


def test_workers_that_make_batches_ahead_change_nothing(sampler: Sampler, tmp_path: Path) -> None:
    trainer_of(smoke(), sampler, tmp_path / "alone").run()
    trainer_of(smoke("run.workers=2"), sampler, tmp_path / "workers").run()
    assert losses(tmp_path / "alone") == losses(tmp_path / "workers")


def test_a_frozen_front_end_keeps_weights_and_statistics(sampler: Sampler, tmp_path: Path) -> None:
    trainer = trainer_of(smoke("optimizer.freeze=front_end"), sampler, tmp_path)
    before = {key: value.clone() for key, value in trainer.model.state_dict().items()}
    after = trainer.run().state_dict()
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert not any(key.startswith("front_end.") for key in moved)
    assert any(key.startswith("recurrent.") for key in moved)


def test_an_unknown_part_to_freeze_is_named() -> None:
    with pytest.raises(BadRecipe, match=r"'backbone'.*front_end"):
        freeze(CnnLstm(smoke().architecture), ("backbone",))


def test_fine_tuning_takes_what_fits_and_is_another_run(sampler: Sampler, tmp_path: Path) -> None:
    first = trainer_of(smoke(), sampler, tmp_path / "first")
    weights = first.run().state_dict()
    narrower = {key: value for key, value in weights.items() if not key.startswith("window_head")}
    tuned = trainer_of(smoke(), sampler, tmp_path / "tuned", narrower)
    assert tuned.drawn == ("window_head.weight", "window_head.bias")
    assert torch.equal(tuned.model.state_dict()["front_end.stem.weight"], weights["front_end.stem.weight"])
    tuned.run()
    with pytest.raises(BadCheckpoint, match="from_weights"):
        trainer_of(smoke(), sampler, tmp_path / "tuned")
    with pytest.raises(BadCheckpoint, match="no tensor"):
        trainer_of(smoke(), sampler, tmp_path / "none", {"other": torch.zeros(3)})


def test_mixed_precision_without_a_gpu_is_refused(sampler: Sampler, tmp_path: Path) -> None:
    with pytest.raises(BadRecipe, match=r"run\.amp=true.*--device cuda"):
        trainer_of(smoke("run.amp=true"), sampler, tmp_path)


def test_a_loss_or_score_that_is_no_number_stops_at_once(sampler: Sampler, tmp_path: Path) -> None:
    trainer = trainer_of(smoke(), sampler, tmp_path / "loss")
    with torch.no_grad():
        trainer.model.step_head.bias.fill_(float("nan"))
    with pytest.raises(Diverged, match=r"step 0: the loss is nan; lower optimizer\.lr"):
        trainer.run()
    with pytest.raises(Diverged, match="validation gives"):
        trainer_of(smoke(), sampler, tmp_path / "score", score=float("nan")).run()


def test_what_would_fail_in_validation_fails_before_the_first_step(sampler: Sampler, tmp_path: Path) -> None:
    trainer = trainer_of(smoke(), sampler, tmp_path)

    def fail(model: CnnLstm, names: Names) -> dict[str, float]:
        raise DataMissing("no beats to validate on")

    trainer.task.validate = fail  # type: ignore[method-assign]
    with pytest.raises(DataMissing):
        trainer.run()
    assert trainer.state.step == 0


def test_curves_go_to_tensorboard_too(sampler: Sampler, tmp_path: Path) -> None:
    trainer_of(smoke("run.tensorboard=true"), sampler, tmp_path).run()
    (events,) = (tmp_path / EVENTS).iterdir()
    content = events.read_bytes()
    for tag in (b"train/loss", b"train/step_loss", b"validation/qrs_f1"):
        assert tag in content
    assert (tmp_path / VALIDATION_LOG).read_text().splitlines() == ["step,qrs_f1,score", "6,1,3"]


def test_a_row_that_a_kill_cut_short_is_dropped(tmp_path: Path) -> None:
    log = CsvLog(tmp_path / "log.csv")
    log.path.write_text("step,loss\n1,0.5\n2,0.4\n3")
    log.start(resumed_at=4)
    assert log.path.read_text().splitlines() == ["step,loss", "1,0.5", "2,0.4"]


def test_a_newer_setting_does_not_refuse_an_older_checkpoint(sampler: Sampler, tmp_path: Path) -> None:
    trainer_of(smoke(), sampler, tmp_path).run()
    held = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    identity = json.loads(held["identity"])
    del identity["recipe"]["optimizer"]["freeze"]
    torch.save(held | {"identity": json.dumps(identity)}, tmp_path / CHECKPOINT)
    assert trainer_of(smoke(), sampler, tmp_path).state.step == 6


@pytest.mark.parametrize(
    ("split", "error", "match"),
    [
        (Split((), ("a/1",), ()), DataMissing, "train side"),
        (Split(("a/1",), (), ()), DataMissing, "validation side"),
        (Split(("a/1",), ("a/2",), ("a/1",)), BadRecipe, "a/1 on two sides"),
    ],
)
def test_a_split_that_cannot_train_is_refused(split: Split, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        check_sides(split)


def test_missing_data_is_named_before_anything_is_spent(tmp_path: Path) -> None:
    from training.cli import register

    parser = argparse.ArgumentParser()
    register(parser.add_subparsers())
    args = parser.parse_args(
        ["train", "ecg-smoke", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "out")]
    )
    with pytest.raises(DataMissing, match="mitdb"):
        args.run(args)


def test_a_gradient_that_is_no_number_leaves_the_weights_alone(sampler: Sampler, tmp_path: Path) -> None:
    trainer = trainer_of(smoke(), sampler, tmp_path)
    before = [p.detach().clone() for p in trainer.model.parameters()]
    trainer.model.step_head.bias.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(Diverged, match="step 0: the gradient is"):
        trainer.run()
    assert all(torch.equal(old, new) for old, new in zip(before, trainer.model.parameters(), strict=True))
    assert not (tmp_path / CHECKPOINT).exists()


def test_rows_of_the_log_are_means_of_the_same_steps_after_a_kill(sampler: Sampler, tmp_path: Path) -> None:
    recipe = smoke("run.log_every=3")
    trainer_of(recipe, sampler, tmp_path / "whole").run()

    def kill(step: int, _: float) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer_of(recipe, sampler, tmp_path / "cut").run(kill)
    resumed = trainer_of(recipe, sampler, tmp_path / "cut")
    assert resumed.state.step == 2
    resumed.run()
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"damaged")])
def test_lost_best_weights_name_the_way_out(
    sampler: Sampler, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    trainer_of(smoke(), sampler, tmp_path).run()
    damage(tmp_path / BEST)
    with pytest.raises(BadCheckpoint, match=r"best\.pt.*remove checkpoint\.pt"):
        trainer_of(smoke(), sampler, tmp_path).run()
    (tmp_path / CHECKPOINT).unlink()
    trainer_of(smoke(), sampler, tmp_path).run()


def test_a_log_whose_head_was_cut_short_is_begun_anew(tmp_path: Path) -> None:
    log = CsvLog(tmp_path / "log.csv")
    log.path.write_text("step,lo")
    log.start(resumed_at=4)
    log.append(5, {"loss": 0.5})
    assert log.path.read_text().splitlines() == ["step,loss", "5,0.5"]


@pytest.mark.parametrize("override", ["name=My_Model", "name=../elsewhere", "run.seed=-1"])
def test_what_the_card_or_the_generators_would_refuse_later_is_refused_now(override: str) -> None:
    with pytest.raises(BadRecipe, match=override.split("=")[0]):
        get_recipe("ecg-smoke", [override])


def card_trained_on(*train: str, folder: str = "") -> ModelSpec:
    card = store.read_spec("ecg-cnn-lstm-1")
    return card.model_copy(update={"split": {"train": train}, "training": {"folder.records": folder}})


def test_a_start_that_saw_what_is_held_out_is_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    split, recipe = Split(("mitdb/a",), ("mitdb/b",), ("mitdb/c", "folder/1")), smoke()
    for seen in ("mitdb/b", "mitdb/c"):
        with pytest.raises(BadRecipe, match=f"trained on {seen}, held out here"):
            check_start(card_trained_on("mitdb/a", seen), split, recipe)
    check_start(card_trained_on("mitdb/a", "folder/1", folder="/another/ward"), split, recipe)
    assert not caplog.text
    check_start(card_trained_on("mitdb: 90 records, sha256 of their names abc"), split, recipe)
    assert "mitdb" in caplog.text


def test_a_card_of_a_foreign_setting_or_task_gives_no_wrong_recipe() -> None:
    card = store.read_spec("ecg-cnn-lstm-1")
    with pytest.raises(BadRecipe, match=r"training\.optimizer\.lr"):
        recipe_of_model(card.model_copy(update={"training": {"optimizer.lr": -1.0}}))
    recipe = recipe_of_model(card.model_copy(update={"training": {"name.x": 1, "optimizer.lr": 0.5}}))
    assert recipe.optimizer.lr == 0.5
    assert recipe_of_model(card.model_copy(update={"name": "ecg-af-1"})).task == "monitor"
    with pytest.raises(BadRecipe, match="'none'"):
        recipe_of_model(card.model_copy(update={"task": "none"}))
