"""The AF task: decisions at the full set's shares, the challenge's figure, episodes, folds, bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import wfdb

from models.cnn_lstm import CnnLstm
from training.af_config import AF_CLASSES, FULL_SET
from training.af_episodes import Answers, choose_level, count, episodes, figures, smooth
from training.af_predict import Spans, log_probabilities, record_probabilities, rows_of, whole
from training.af_recipes import ecg_af_1
from training.af_records import Lead, labels_of
from training.af_scores import (
    choose_factors,
    class_weights,
    confusion,
    decide,
    f1_scores,
    factors_of,
    mean_f1,
    metrics_of,
    predictions_of,
    tables_of,
)
from training.af_task import AfTask
from training.errors import BadAnnotation, BadRecipe, DataMissing

DATA = Path(__file__).parents[2] / "shared" / "data"


def test_weights_give_the_classes_the_full_sets_shares() -> None:
    truth = np.array([0] * 5 + [1] * 20 + [2] * 7 + [3] * 3)
    weight = class_weights(truth)
    shares = np.bincount(truth, weights=weight) / weight.sum()
    assert np.allclose(shares, np.array(FULL_SET) / sum(FULL_SET))
    assert weight.sum() == pytest.approx(len(truth))


def test_the_challenges_figure_leaves_noise_out_of_the_mean_but_not_out_of_the_confusion() -> None:
    table = np.array([[8.0, 0, 2, 0], [0, 5, 0, 0], [1, 0, 9, 0], [0, 0, 4, 6]])
    # N: 16 / (10 + 9), A: 1, O: 18 / (10 + 15)
    assert f1_scores(table)[:3] == pytest.approx([16 / 19, 1.0, 18 / 25])
    assert mean_f1(table) == pytest.approx((16 / 19 + 1 + 18 / 25) / 3)


def test_factors_start_at_the_ratio_of_shares_and_move_only_for_a_gain() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 400)
    sure = np.full((400, 4), 0.01)
    sure[np.arange(400), truth] = 0.97
    chosen = choose_factors(sure, truth)
    ratio = np.array(FULL_SET) / sum(FULL_SET) / (np.bincount(truth) / 400)
    assert factors_of(chosen) == pytest.approx(ratio, abs=1e-3)
    # A network that calls fibrillation twice as likely as it is: the factor of A falls.
    shy = np.full((400, 4), 0.05)
    shy[np.arange(400), truth] = 0.3
    shy[:, 1] += 0.4 * (truth == 0)
    assert decide(shy, factors_of(choose_factors(shy, truth)))[truth == 0].tolist().count(0) > 0


def test_metrics_and_tables_of_known_decisions() -> None:
    truth = np.repeat([0, 1, 2, 3], 25)
    probabilities = np.full((100, 4), 0.1)
    probabilities[np.arange(100), truth] = 0.7
    decided = truth.copy()
    decided[:5], probabilities[:5] = 2, [0.2, 0.1, 0.6, 0.1]
    found = predictions_of(tuple(f"made/{i}" for i in range(100)), truth, probabilities, decided)
    metrics = metrics_of(found)
    exact = mean_f1(confusion(truth, decided, found.weight))
    interval = metrics["cinc2017_mean_f1"]
    assert interval.value == pytest.approx(exact, abs=1e-4)
    assert interval.low < exact < interval.high
    assert metrics["cinc2017_A_f1"].value == 1.0
    worst = tables_of(found, metrics)[-1]
    assert {row[0] for row in worst.rows} == {f"made/{i}" for i in range(5)}


def answers(reference: str, found: str) -> Answers:
    """One character a minute: # is fibrillation; nothing is left out."""
    spread = [np.repeat(np.array([c == "#" for c in text]), 60) for text in (reference, found)]
    return Answers("made/1", spread[1] * 0.8 + 0.1, spread[0], np.ones(len(spread[0]), dtype=np.bool_))


def test_episodes_count_by_touch_and_durations_by_seconds() -> None:
    one = answers("..####...##..", "....##.#.....")
    counts = count(one, 0.5)
    assert counts.tolist() == [2, 1, 2, 1, 360, 120, 180]
    assert figures(counts) == pytest.approx((0.5, 0.5, 1 / 3, 2 / 3))
    assert episodes(one.reference).tolist() == [[120, 360], [540, 660]]


def test_seconds_that_are_not_scored_count_nowhere() -> None:
    one = answers("..####...##..", "####..#######")
    hidden = Answers(one.name, one.probability, one.reference, one.scored & False)
    assert not count(hidden, 0.5).any()


def test_the_level_separates_and_is_one_half_without_episodes() -> None:
    rng = np.random.default_rng(2)
    reference = np.repeat([False, True, False], 400)
    probability = np.where(reference, 0.9, 0.55) + rng.uniform(-0.03, 0.03, 1200)
    one = Answers("made/2", probability, reference, np.ones(1200, dtype=np.bool_))
    assert 0.58 <= choose_level([one]) <= 0.87
    assert choose_level([Answers("made/3", probability, reference & False, one.scored)]) == 0.5


def test_smoothing_looks_back_only() -> None:
    values = np.zeros(50)
    values[20] = 1.0
    smoothed = smooth(values, 5)
    assert not smoothed[:20].any()
    assert smoothed[20:25] == pytest.approx(0.2)
    assert not smoothed[25:].any()


def made_lead(duration_s: float, label: int = 0) -> Lead:
    n = round(duration_s * 125)
    times_s = np.arange(0.5, duration_s - 0.3, 0.75)
    rng = np.random.default_rng(n)
    return Lead(
        f"made/{n}",
        rng.standard_normal(n).astype(np.float32),
        times_s,
        np.ones(len(times_s), dtype=np.float32),
        label,
        np.zeros(n, dtype=np.uint8),
    )


def network() -> CnnLstm:
    torch.manual_seed(0)
    return CnnLstm(ecg_af_1().architecture).eval()


def test_windows_cover_a_long_recording_evenly() -> None:
    spans = whole([made_lead(20.0), made_lead(61.0)], 30.0)
    assert spans.lead.tolist() == [0, 1, 1, 1, 1]
    assert spans.duration_s.tolist() == [20.0, 30.0, 30.0, 30.0, 30.0]
    assert spans.start_s[-1] + 30.0 == pytest.approx(61.0)


def test_a_windows_answer_does_not_depend_on_its_batch() -> None:
    leads = [made_lead(12.0), made_lead(30.0), made_lead(45.0)]
    model = network()
    together = record_probabilities(model, leads, 30.0)
    alone = np.concatenate([record_probabilities(model, [lead], 30.0) for lead in leads])
    assert together.sum(1) == pytest.approx(1.0)
    assert np.allclose(together[2], alone[2], atol=1e-5)


def test_a_window_sees_nothing_beyond_its_end() -> None:
    lead = made_lead(40.0)
    changed = Lead(lead.name, lead.signal.copy(), lead.time_s, lead.probability, 0, lead.rhythm)
    changed.signal[30 * 125 :] = 7.0
    span = Spans(np.zeros(1, dtype=np.int64), np.zeros(1), np.full(1, 30.0))
    assert np.array_equal(rows_of([lead], span), rows_of([changed], span))
    model = network()
    assert np.array_equal(log_probabilities(model, [lead], span), log_probabilities(model, [changed], span))


def write_set(folder: Path, labels: list[str]) -> None:
    """A made cinc2017: regular beats, irregular in A."""
    (folder / "cinc2017").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i, label in enumerate(labels):
        times_s = np.cumsum(rng.uniform(0.5, 1.2, 20) if label == "A" else np.full(20, 0.8))
        time_s = np.arange(3000) / 300
        ecg = np.exp(-0.5 * ((time_s[:, None] - times_s[None]) / 0.02) ** 2).sum(1, keepdims=True)
        wfdb.wrsamp(
            f"A{i:05d}", fs=300, units=["mV"], sig_name=["ECG"], p_signal=ecg, fmt=["16"],
            write_dir=str(folder / "cinc2017"),
        )  # fmt: skip
    rows = "".join(f"A{i:05d},{label}\n" for i, label in enumerate(labels))
    (folder / "cinc2017" / "REFERENCE.csv").write_text(rows)


def test_folds_hold_every_record_once_and_every_class_everywhere(tmp_path: Path) -> None:
    write_set(tmp_path, ["N", "A", "O", "~"] * 12)
    task = AfTask(ecg_af_1(), tmp_path, tmp_path / "cache")
    folds = task.folds(3)
    labels = labels_of(tmp_path)
    assert sorted(name for fold in folds for name in fold.test) == sorted(labels)
    for fold in folds:
        sides = [set(fold.train), set(fold.validation), set(fold.test)]
        assert sum(map(len, sides)) == len(set.union(*sides)) == len(labels)
        assert all({labels[name] for name in side} == {0, 1, 2, 3} for side in sides)
    with pytest.raises(BadRecipe, match="13 folds"):
        task.folds(13)


def test_a_made_set_goes_through_the_whole_task(tmp_path: Path) -> None:
    write_set(tmp_path, ["N", "A", "O", "~"] * 4)
    task = AfTask(ecg_af_1(), tmp_path, tmp_path / "cache")
    names = tuple(labels_of(tmp_path))
    model = task.network()
    figures_of_validation = task.validate(model, names)
    assert set(figures_of_validation) == {"score", "mean_f1"}
    thresholds = task.thresholds(model, names)
    first, second = (task.evaluate(model, thresholds, part) for part in (names[:8], names[8:]))
    merged = task.merge([first, second])
    assert merged.predictions[0].item == names
    assert merged.predictions[0].weight.sum() == pytest.approx(16)
    assert 0 <= merged.metrics["cinc2017_mean_f1"].value <= 1
    again = AfTask(ecg_af_1(), tmp_path, tmp_path / "cache").validate(model, names)
    assert again == figures_of_validation


def test_bad_input_is_named(tmp_path: Path) -> None:
    write_set(tmp_path, ["N", "A", "O", "~"])
    task = AfTask(ecg_af_1(), tmp_path, tmp_path / "cache")
    with pytest.raises(DataMissing, match="A99999"):
        task.validate(task.network(), ("cinc2017/A99999",))
    with pytest.raises(DataMissing, match="no records asked for"):
        task.sampler(())
    with pytest.raises(BadRecipe, match="2 folds"):
        task.folds(2)
    (tmp_path / "cinc2017" / "REFERENCE.csv").write_text("A00000,X\n")
    with pytest.raises(BadAnnotation, match="'X'"):
        labels_of(tmp_path)


@pytest.mark.data
@pytest.mark.skipif(not (DATA / "cinc2017").is_dir(), reason="../shared/data/cinc2017 is not here")
def test_shipped_split_is_the_hashed_one_with_mitdb_beside_it() -> None:
    split = AfTask(ecg_af_1(), DATA).split()
    sides = [set(split.train), set(split.validation), set(split.test)]
    assert sum(map(len, sides)) == len(set.union(*sides))
    assert {"mitdb/201", "mitdb/203"} <= set(split.train)
    assert not any(name.startswith("mitdb/") for name in split.validation)
    assert {"mitdb/219", "mitdb/221"} <= set(split.test)
    assert AF_CLASSES == ("N", "A", "O", "~")
