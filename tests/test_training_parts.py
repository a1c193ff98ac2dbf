"""Parts of the training: splits, recipes, scores, windows, losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.spec import RHYTHM_CLASSES
from models.streaming import Stream
from training.errors import BadRecipe
from training.monitor_losses import rhythm_loss, step_loss
from training.monitor_recipes import MonitorRecipe
from training.monitor_sampling import step_targets
from training.monitor_scores import Report
from training.monitor_tables import beat_tables
from training.monitor_validate import Scored, score_beats
from training.monitor_windows import allowed_rhythms
from training.recipes import RECIPES, get_recipe
from training.scoring import (
    balanced_accuracy,
    beat_scores,
    beat_table,
    bootstrap,
    match_beats,
    rhythm_scores,
    shockable,
)
from training.sources import BEAT_CLASS, Recording, bit
from training.splits import DS1, DS2, MITDB_VALIDATION, PACED, VFDB_TEST, VFDB_VALIDATION, side_of


def test_no_patient_stands_on_two_sides() -> None:
    assert set(DS1).isdisjoint(DS2)
    assert {side_of("mitdb", record) for record in DS2} == {"test"}
    assert {side_of("mitdb", record) for record in DS1} == {"train", "validation", None}
    assert all(side_of("mitdb", record) is None for record in PACED)
    assert set(MITDB_VALIDATION) < set(DS1)
    assert set(VFDB_TEST).isdisjoint(VFDB_VALIDATION)
    assert (side_of("vfdb", "605"), side_of("vfdb", "425")) == ("train", None), "one person"


def test_the_person_of_201_and_202_is_on_one_side_only() -> None:
    assert side_of("mitdb", "201") == "train"
    assert side_of("mitdb", "202") is None


def test_the_record_behind_the_noise_test_is_on_no_side() -> None:
    assert side_of("mitdb", "118") is None
    assert [record for record in DS1 if side_of("mitdb", record) is None] == ["118"]


@pytest.mark.parametrize("source", ["cinc2015", "cinc2017"])
def test_hashed_sides_are_about_seventy_ten_twenty(source: str) -> None:
    sides = [side_of(source, f"A{i:05d}") for i in range(4000)]
    shares = [sides.count(side) / len(sides) for side in ("train", "validation", "test")]
    np.testing.assert_allclose(shares, [0.7, 0.1, 0.2], atol=0.03)


def test_beat_symbols_map_to_their_aami_class() -> None:
    expected = dict.fromkeys("NLRejB", 1) | dict.fromkeys("AaJS", 2) | {"V": 3, "E": 3, "F": 4}
    assert {symbol: BEAT_CLASS[symbol] for symbol in expected} == expected
    assert "Q" not in BEAT_CLASS
    assert "/" not in BEAT_CLASS


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_recipe_is_whole_and_takes_overrides(name: str) -> None:
    recipe = get_recipe(name, ["optimizer.lr=0.5e-3"])
    assert recipe.optimizer.lr == 0.5e-3
    assert recipe == RECIPES[name]().model_copy(update={"optimizer": recipe.optimizer})


def test_overrides_reach_lists_and_tables() -> None:
    recipe = get_recipe("ecg-smoke", ["data.sources=mitdb,vfdb", "data.draw.vf=0.5", "optimizer.steps=1e2"])
    assert isinstance(recipe, MonitorRecipe)
    assert recipe.data.sources == ("mitdb", "vfdb")
    assert recipe.data.draw["vf"] == 0.5
    assert recipe.optimizer.steps == 100


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("optimizer.learning_rate=1", "no key 'learning_rate'; there are .*lr"),
        ("optimizer.step=1", "did you mean optimizer.steps"),
        ("lr=1", "did you mean optimizer.lr"),
        ("optimizer.name=adam", "optimizer.name='adam': Input should be 'adamw' or 'sgd'"),
        ("optimiser.lr=1", "no part 'optimiser'; there are .*optimizer"),
        ("optimizer=1", "is a part; name a key in it"),
        ("optimizer.lr", "expected KEY=VALUE"),
        ("optimizer.lr=-1", "optimizer.lr"),
        ("optimizer.steps=many", "optimizer.steps"),
        ("architecture.heads=5", "architecture"),
    ],
)
def test_a_wrong_override_is_named(override: str, says: str) -> None:
    with pytest.raises(BadRecipe, match=says):
        get_recipe("ecg-smoke", [override])


def test_an_unknown_recipe_is_named_with_those_there_are() -> None:
    with pytest.raises(BadRecipe, match="ecg-cnn-lstm-1"):
        get_recipe("ecg")


gaps = st.lists(st.floats(0.31, 2.0), max_size=30).map(lambda g: np.cumsum(g) if g else np.zeros(0))


@given(gaps, st.floats(-0.14, 0.14))
def test_a_shifted_train_of_beats_matches_one_to_one(times: np.ndarray, shift: float) -> None:
    of_reference, of_found = match_beats(times, times + shift)
    assert of_reference.tolist() == of_found.tolist() == list(range(len(times)))


@given(gaps, gaps)
def test_matching_is_one_to_one_and_near(reference: np.ndarray, found: np.ndarray) -> None:
    of_reference, of_found = match_beats(reference, found)
    for i, j in enumerate(of_reference.tolist()):
        if j >= 0:
            assert of_found[j] == i
            assert abs(reference[i] - found[j]) <= 0.15
    assert (of_found >= 0).sum() == (of_reference >= 0).sum()


def test_beat_figures_of_a_known_table() -> None:
    reference = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    labels = np.array([1, 2, 3, 3, 4, -1])
    found = np.array([1.01, 2.0, 3.0, 5.0, 6.0, 7.0])
    table = beat_table(reference, labels, found, np.array([1, 2, 3, 3, 3, 3]))
    scores = beat_scores(table)
    assert scores.qrs_se == pytest.approx(5 / 6)
    assert scores.qrs_ppv == pytest.approx(5 / 6)
    assert scores.veb_se == pytest.approx(1 / 2)
    # Of four beats called V one is right, one is at no beat; fusion and unclassified are forgiven.
    assert scores.veb_ppv == pytest.approx(1 / 2)
    assert scores.sveb_f1 == pytest.approx(1.0)


def test_nothing_found_is_counted_as_missed() -> None:
    table = beat_table(np.array([1.0, 2.0]), np.array([1, 3]), np.zeros(0), np.zeros(0, dtype=np.int64))
    assert beat_scores(table).qrs_se == 0.0


def test_rhythm_figures_of_a_known_table() -> None:
    table = np.zeros((6, 6), dtype=np.int64)
    table[0, 0], table[0, 5], table[5, 5], table[5, 0] = 8, 2, 85, 5
    scores = rhythm_scores(table, 0)
    assert (scores.sensitivity, scores.specificity, scores.precision) == pytest.approx((0.8, 85 / 90, 8 / 13))
    assert balanced_accuracy(table) == pytest.approx((0.8 + 85 / 90) / 2)


def test_tachycardia_called_fibrillation_is_still_shockable() -> None:
    table = np.zeros((6, 6), dtype=np.int64)
    table[0, 1], table[1, 5], table[4, 0], table[5, 5] = 9, 1, 5, 20
    assert shockable(table, with_noise=True) == pytest.approx((0.9, 0.8))
    assert shockable(table, with_noise=False) == pytest.approx((0.9, 1.0))


def test_the_interval_holds_the_figure_and_narrows_to_it_when_records_agree() -> None:
    equal = [np.array([[9, 1], [0, 0]])] * 5
    figure = bootstrap(equal, lambda t: float(t[0, 0] / t.sum()), 50)
    assert (figure.value, figure.low, figure.high, figure.n) == (0.9, 0.9, 0.9, 50)


def test_a_window_is_named_only_when_its_end_is_settled() -> None:
    vf, other = bit("vf"), bit("other")
    rhythm = np.array([other] * 500 + [vf] * 500 + [0] * 500, dtype=np.uint8)
    begin = np.array([0, 130, 250, 370, 500, 900, 1000])
    found = allowed_rhythms(rhythm, begin, begin + 500)
    assert found.tolist() == [other, other | vf, other | vf, other | vf, vf, 0, 0]


def test_a_beat_shares_its_mass_between_the_two_nearest_steps() -> None:
    targets, weight = step_targets(
        np.array([42.0, 80.0]), np.array([3, -1]), np.array([0, 0]), n_windows=1, n_steps=20, stride=8
    )
    assert targets[0, 5, 3] == pytest.approx(0.75)
    assert targets[0, 6, 3] == pytest.approx(0.25)
    np.testing.assert_allclose(targets.sum(-1), 1.0)
    assert weight[0, 10] == 0.0
    assert weight[0, :8].min() == 1.0


def test_losses_are_small_for_the_right_answer_and_large_for_a_wrong_one() -> None:
    logits = torch.full((1, 6), -10.0)
    logits[0, 2] = 10.0
    right, wrong = torch.zeros(1, 6), torch.zeros(1, 6)
    right[0, 2], wrong[0, 0] = 1.0, 1.0
    all_but = 1.0 - right
    assert float(rhythm_loss(logits, right, 0.0)) < 1e-3
    assert float(rhythm_loss(logits, wrong, 0.0)) > 10
    assert float(rhythm_loss(logits, all_but, 0.0)) > 10
    assert float(rhythm_loss(logits, torch.ones(1, 6), 0.0)) == pytest.approx(0.0, abs=1e-4)


def test_what_is_unknown_costs_nothing() -> None:
    logits = torch.randn(2, len(RHYTHM_CLASSES))
    assert float(rhythm_loss(logits, torch.zeros(2, 6), 0.0)) == 0.0
    steps = torch.zeros(2, 10, 5)
    steps[..., 0] = 1.0
    assert float(step_loss(torch.randn(2, 10, 5), steps, torch.zeros(2, 10), torch.ones(5))) == 0.0


@pytest.mark.parametrize(("seconds", "first_s"), [(150, 6.0), (400, 300.0)])
def test_beats_that_no_window_makes_final_are_not_missed(seconds: int, first_s: float) -> None:
    n = seconds * 125
    times = np.arange(0.5, seconds, 1.0)
    recording = Recording(
        "folder",
        "short",
        ("II",),
        np.zeros((1, n), dtype=np.float32),
        times * 125,
        np.ones(len(times), dtype=np.int64),
        np.ones(n, dtype=np.bool_),
        np.zeros(n, dtype=np.uint8),
    )
    steps = np.zeros((seconds - 7, 100, 5), dtype=np.float32)
    steps[:, :, 0] = 1.0
    # Beats at half seconds, so in each window; a step is 80 ms.
    at = np.round(np.arange(0.5, 8, 1.0) / 0.08).astype(np.int64)
    steps[:, at, 0], steps[:, at, 1] = 0.0, 1.0
    windows = np.zeros((seconds - 7, 1000), dtype=np.float32)
    windows[:, (np.arange(0.5, 8, 1.0) * 125).astype(np.int64)] = 1.0
    starts = np.arange(seconds - 7, dtype=np.int64) * 125
    stream = Stream(windows, starts, steps, np.zeros((seconds - 7, 6), dtype=np.float32))
    table = score_beats(Scored(recording, 0, stream), 0.08, 0.5)
    assert table[1, 0] == 0
    assert table[1, 1] == np.sum((times >= first_s) & (times < seconds - 1))


def test_the_heading_says_what_was_left_out_at_the_begin() -> None:
    table = {"a": np.ones((6, 5), dtype=np.int64), "b": np.ones((6, 5), dtype=np.int64)}
    titles = [beat_tables(Report(table, {}, {}, {}, {}, n_short))[0].title for n_short in range(3)]
    assert titles == [
        "Beats, EC57 (150 ms, first 5 min excluded)",
        "Beats, EC57 (150 ms, first 5 min excluded, of records under 6 min the first 6 s)",
        "Beats, EC57 (150 ms, first 6 s excluded)",
    ]
