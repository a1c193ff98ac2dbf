"""Figures of classifications against values worked out by hand and against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.spec import Interval
from training import metrics, scoring
from training.monitor_tables import with_interval as tables_interval
from training.report import with_interval

HAND = np.array([[6.0, 2.0, 0.0], [1.0, 3.0, 1.0], [0.0, 0.0, 0.0]])
"""Truth in rows: 8 of the first class, 5 of the second, none of the third, which is called once."""


def test_figures_of_a_known_confusion() -> None:
    of_class, overall = metrics.class_figures(HAND), metrics.overall_figures(HAND)
    np.testing.assert_allclose(of_class["precision"], [6 / 7, 3 / 5, 0.0])
    np.testing.assert_allclose(of_class["recall"], [6 / 8, 3 / 5, np.nan])
    np.testing.assert_allclose(of_class["specificity"], [4 / 5, 6 / 8, 12 / 13])
    np.testing.assert_allclose(of_class["f1"], [12 / 15, 6 / 10, np.nan])
    assert overall["accuracy"] == pytest.approx(9 / 13)
    assert overall["balanced_accuracy"] == pytest.approx((0.75 + 0.6) / 2)
    assert overall["macro_f1"] == pytest.approx((0.8 + 0.6) / 2)
    assert overall["weighted_f1"] == pytest.approx((8 * 0.8 + 5 * 0.6) / 13)


def test_a_class_that_is_never_decided_counts_as_missed() -> None:
    counts = np.array([[4.0, 0.0], [2.0, 0.0]])
    overall = metrics.overall_figures(counts)
    assert overall["macro_f1"] == pytest.approx(0.8 / 2)
    assert overall["macro_precision"] == pytest.approx((4 / 6) / 2)
    assert np.isnan(metrics.class_figures(counts)["precision"][1])


def test_a_false_detection_lowers_precision_and_is_no_class_of_its_own() -> None:
    # Of "nothing there", N and V: one beat is missed, one found where none is.
    counts = np.array([[0.0, 1.0, 0.0], [1.0, 8.0, 0.0], [0.0, 0.0, 4.0]])
    overall, of_class = metrics.overall_figures(counts, outside=0), metrics.class_figures(counts, outside=0)
    assert overall["balanced_accuracy"] == pytest.approx((8 / 9 + 1) / 2)
    assert overall["macro_precision"] == pytest.approx((8 / 9 + 1) / 2)
    assert overall["weighted_recall"] == pytest.approx(12 / 13)
    assert overall["accuracy"] == pytest.approx(12 / 14)
    assert all(np.isnan(values[0]) for values in of_class.values())


def test_confusion_counts_weights_patient_by_patient() -> None:
    counts = metrics.confusion(
        np.array([0, 1, 1, 0]),
        np.array([0, 1, 0, 0]),
        np.array([1.0, 0.5, 2.0, 1.0]),
        np.array([0, 0, 1, 2]),
        3,
        2,
    )
    assert counts.shape == (3, 2, 2)
    np.testing.assert_allclose(counts[0], [[1, 0], [0, 0.5]])
    np.testing.assert_allclose(counts.sum(0), [[2, 0], [2, 0.5]])


def test_areas_of_known_rankings() -> None:
    one = np.ones(4)
    right = np.array([True, True, False, False])
    perfect = metrics.curves(np.array([0.9, 0.8, 0.2, 0.1]), right, one)
    assert (perfect.roc_area, perfect.pr_area) == (1.0, 1.0)
    # Pairs of positive and negative in order: of four, three are right.
    mixed = metrics.curves(np.array([0.9, 0.2, 0.3, 0.1]), right, one)
    assert mixed.roc_area == pytest.approx(3 / 4)
    assert mixed.pr_area == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    constant = metrics.curves(np.full(4, 0.5), right, one)
    assert (constant.roc_area, constant.pr_area) == (0.5, 0.5)


@pytest.mark.parametrize("seed", range(4))
def test_curves_and_figures_agree_with_scikit_learn(seed: int) -> None:
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, 400)
    probabilities = rng.dirichlet(np.ones(3), 400)
    probabilities[np.arange(400), truth] += 0.3 * rng.random(400)
    # Ties are what implementations differ in.
    score = np.round(probabilities[:, 1], 2 if seed % 2 else 6)
    weight = rng.uniform(0.2, 3.0, 400)
    found = metrics.curves(score, truth == 1, weight)
    assert found.roc_area == pytest.approx(sklearn.roc_auc_score(truth == 1, score, sample_weight=weight))
    assert found.pr_area == pytest.approx(
        sklearn.average_precision_score(truth == 1, score, sample_weight=weight)
    )
    decided = probabilities.argmax(1)
    counts = metrics.confusion(truth, decided, weight, np.zeros(400, dtype=np.int64), 1, 3)[0]
    np.testing.assert_allclose(counts, sklearn.confusion_matrix(truth, decided, sample_weight=weight))
    expected = sklearn.precision_recall_fscore_support(truth, decided, sample_weight=weight)
    of_class = metrics.class_figures(counts)
    for name, values in zip(("precision", "recall", "f1"), expected, strict=False):
        np.testing.assert_allclose(of_class[name], values)
    overall = metrics.overall_figures(counts)
    for average in ("macro", "weighted"):
        assert overall[f"{average}_f1"] == pytest.approx(
            sklearn.f1_score(truth, decided, sample_weight=weight, average=average)
        )


def test_binned_areas_are_near_the_exact_ones_even_for_a_rare_class() -> None:
    rng = np.random.default_rng(5)
    n = 30_000
    positive = rng.random(n) < 0.003
    score = rng.normal(size=n) + 2.5 * positive
    weight, group = np.ones(n), rng.integers(0, 40, n)
    exact = metrics.curves(score, positive, weight)
    roc, average = metrics.binned_areas(metrics.histograms(score, positive, weight, group, 40).sum(0))
    assert float(roc) == pytest.approx(exact.roc_area, abs=1e-3)
    assert float(average) == pytest.approx(exact.pr_area, abs=1e-2)


def test_calibration_of_known_confidences() -> None:
    confidence = np.array([0.95, 0.95, 0.65, 0.65])
    right = np.array([True, True, True, False])
    sums = metrics.reliability(confidence, right, np.ones(4), np.array([0, 0, 1, 1]), 2)
    assert sums.shape == (2, 3, metrics.CALIBRATION_BINS)
    # Half of the items are 0.05 too shy, half 0.15 too sure.
    assert float(metrics.expected_calibration_error(sums.sum(0))) == pytest.approx(0.5 * 0.05 + 0.5 * 0.15)
    sure = metrics.reliability(np.ones(3), np.ones(3, dtype=np.bool_), np.ones(3), np.zeros(3, dtype=int), 1)
    assert float(metrics.expected_calibration_error(sure.sum(0))) == 0.0


def accuracy(table: np.ndarray) -> dict[str, float]:
    return {"accuracy": float(table[0] / table.sum())}


def test_an_interval_holds_its_figure_and_is_of_patients_not_of_items() -> None:
    alike = {str(i): np.array([90.0, 10.0]) for i in range(20)}
    apart = {str(i): np.array([100.0, 0.0] if i % 2 else [80.0, 20.0]) for i in range(20)}
    same, wide = (metrics.bootstrap(one, accuracy, n=2000)["accuracy"] for one in (alike, apart))
    assert (same.value, same.low, same.high, same.n) == (0.9, 0.9, 0.9, 2000)
    assert wide.value == 0.9
    # By the normal approximation over patients: 0.1 / sqrt(20) to both sides, times 1.96.
    assert wide.low == pytest.approx(0.9 - 1.96 * 0.1 / np.sqrt(20), abs=0.01)
    assert wide.high == pytest.approx(0.9 + 1.96 * 0.1 / np.sqrt(20), abs=0.01)
    assert metrics.bootstrap(apart, accuracy, n=2000)["accuracy"] == wide


def test_a_figure_that_is_not_defined_in_a_draw_is_left_out_of_the_interval() -> None:
    held = {"a": np.array([1.0, 1.0])} | {name: np.array([0.0, 0.0]) for name in "bcde"}
    with np.errstate(invalid="ignore"):
        found = metrics.bootstrap(held, accuracy, n=2)["accuracy"]
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


def test_paired_draws_see_a_small_difference_that_two_intervals_do_not() -> None:
    rng = np.random.default_rng(0)
    right = rng.integers(50, 100, 30)
    a = [np.array([k, 100 - k]) for k in right]
    b = [np.array([k + 1, 99 - k]) for k in right]
    found = metrics.paired_bootstrap(a, b, accuracy)["accuracy"]
    assert found.value == pytest.approx(0.01)
    assert (found.low, found.high, found.for_b) == (pytest.approx(0.01), pytest.approx(0.01), 1.0)
    alone = metrics.bootstrap({str(i): one for i, one in enumerate(a)}, accuracy, n=3000)["accuracy"]
    assert alone.high - alone.low > 0.05
    tie = metrics.paired_bootstrap(a, a, accuracy)["accuracy"]
    assert tie.value == 0.0
    assert np.isnan(tie.for_b)


@pytest.mark.parametrize("n", [1, 4])
def test_of_few_patients_there_is_a_figure_but_no_interval(n: int) -> None:
    few = [np.array([9.0, 1.0])] * n
    found = metrics.bootstrap({str(i): one for i, one in enumerate(few)}, accuracy, n=10)["accuracy"]
    assert found.value == 0.9
    assert np.isnan([found.low, found.high]).all()
    alone = scoring.bootstrap([one.astype(np.int64) for one in few], lambda t: float(t[0] / t.sum()), 10)
    assert alone.value == 0.9
    assert np.isnan([alone.low, alone.high]).all()
    for shown in (with_interval(found), tables_interval(found)):
        assert shown == "90.00 (too few patients for an interval)"
    read = Interval.model_validate_json(found.model_dump_json())
    assert read.value == 0.9
    assert np.isnan(read.low)
    pair = metrics.paired_bootstrap(few, [np.array([10.0, 0.0])] * n, accuracy)["accuracy"]
    assert pair.value == pytest.approx(0.1)
    assert np.isnan([pair.low, pair.high, pair.for_b]).all()


@settings(max_examples=30)
@given(st.integers(2, 6), st.integers(1, 60), st.integers(0, 10_000))
def test_figures_stay_between_zero_and_one(n_classes: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, decided = rng.integers(0, n_classes, n), rng.integers(0, n_classes, n)
    counts = metrics.confusion(truth, decided, np.ones(n), np.zeros(n, dtype=np.int64), 1, n_classes)[0]
    assert counts.sum() == n
    for values in (*metrics.class_figures(counts).values(), *metrics.overall_figures(counts).values()):
        known = values[np.isfinite(values)]
        assert ((known >= 0) & (known <= 1)).all()
    scores = rng.random(n)
    found = metrics.curves(scores, truth == truth[0], np.ones(n))
    assert 0 <= found.pr_area <= 1
