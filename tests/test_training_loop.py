"""Training on made recordings: one seed, one loss curve; a killed run goes on as if nothing had been."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import pytest

from models.cnn_lstm import CnnLstm
from training.corpus import build_corpus
from training.errors import BadCheckpoint, DataMissing
from training.loop import CHECKPOINT, LOG, Trainer, learning_rate
from training.monitor_recipes import AugmentConfig, DataConfig, LossConfig, MonitorRecipe
from training.monitor_sampling import Sampler
from training.monitor_task import MonitorTask
from training.monitor_validate import validate
from training.recipes import get_recipe
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
    held_out: list[Recording]

    def sampler(self, names: Names) -> Sampler:
        return self.made

    def validate(self, model: CnnLstm, names: Names) -> dict[str, float]:
        return validate(model, self.held_out, 0.064) if self.held_out else {"qrs_f1": 1.0, "score": 3.0}


SPLIT = Split(("mitdb/a", "mitdb/b"), ("mitdb/c",), ())


def trainer_of(
    recipe: MonitorRecipe, sampler: Sampler, folder: Path, held_out: list[Recording] | None = None
) -> Trainer:
    task = MadeTask(recipe, folder)
    task.made, task.held_out = sampler, held_out or []
    return Trainer(task, SPLIT, folder)


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
    trainer = trainer_of(recipe, sampler, tmp_path, [made("c", 3)])
    trainer.run()
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


def test_missing_data_is_named_before_anything_is_spent(tmp_path: Path) -> None:
    from training.cli import register

    parser = argparse.ArgumentParser()
    register(parser.add_subparsers())
    args = parser.parse_args(
        ["train", "ecg-smoke", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "out")]
    )
    with pytest.raises(DataMissing, match="mitdb"):
        args.run(args)
