"""A monitor network that learns from a trained one, over running signals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models import store
from models.cnn_lstm import CnnLstm
from models.incremental import Incremental
from models.streaming import run_lead
from training.checkpoint import adopt
from training.errors import BadRecipe
from training.monitor_losses import teacher_loss
from training.monitor_recipes import LossConfig, TeacherConfig, ecg_cnn_lstm_2
from training.monitor_teacher import Teacher, features_of
from training.optimizers import freeze
from training.task import Split

RECIPE = ecg_cnn_lstm_2()
EARLY = RECIPE.architecture.early_steps
NOBODY = Split((), (), ())


def windows(n: int) -> torch.Tensor:
    return 0.3 * torch.randn(n, 1, 1080, generator=torch.Generator().manual_seed(1))


def learner(*, held: bool) -> CnnLstm:
    torch.manual_seed(0)
    model = CnnLstm(RECIPE.architecture)
    adopt(model, store.load("ecg-cnn-lstm-1")[0].state_dict())
    model.train()
    if held:
        for part in freeze(model, ("front_end",)):
            part.eval()
    return model


def test_the_teacher_says_the_same_of_its_own_features_and_of_those_it_shares() -> None:
    x, said = windows(2), []
    for held in (True, False):
        model = learner(held=held)
        with torch.no_grad():
            features = features_of(model, x, EARLY)
        said.append(Teacher("ecg-cnn-lstm-1", NOBODY, RECIPE)(model, x, features))
    assert torch.allclose(said[0].window_logits, said[1].window_logits, atol=1e-4)
    assert torch.allclose(said[0].step_logits, said[1].step_logits, atol=1e-4)
    assert said[0].step_logits.shape == (2, 125, 5)


def test_a_network_that_says_what_its_teacher_says_has_the_least_loss() -> None:
    model, x = learner(held=True), windows(2)
    with torch.no_grad():
        features = features_of(model, x, EARLY)
        teacher = Teacher("ecg-cnn-lstm-1", NOBODY, RECIPE)(model, x, features)
        other = model.head_outputs(features)
        even, weights = LossConfig(step_class_weights=(1.0,) * 5), TeacherConfig()
        assert (
            teacher_loss(teacher, teacher, even, weights)[0] < teacher_loss(other, teacher, even, weights)[0]
        )


def test_a_teacher_that_has_seen_what_is_held_out_is_refused() -> None:
    with pytest.raises(BadRecipe, match="mitdb/101"):
        Teacher("ecg-cnn-lstm-1", Split((), (), ("mitdb/101",)), RECIPE)


def test_a_lead_is_read_as_the_worker_reads_it() -> None:
    model, _ = store.load("ecg-cnn-lstm-2")
    signal = np.random.default_rng(2).normal(0, 0.3, 1400).astype(np.float32)
    stream = run_lead(model, signal)
    # The last whole step of 8 samples before 8, 9, 10 and 11 s.
    assert stream.starts.tolist() == [0, 120, 248, 368]
    halves = Incremental(model, 1000)
    with torch.inference_mode():
        _, window = halves(torch.from_numpy(signal[None, 368 - 80 : 1368]), 125)
    assert stream.rhythms[3] == pytest.approx(window[0].numpy(), abs=1e-5)
    assert np.array_equal(stream.windows[3], signal[368:1368])
