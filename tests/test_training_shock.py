"""The shock task: rate rule, spans, windows, batches, folds, decisions, and its figures pooled over folds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import wfdb
from hypothesis import given
from hypothesis import strategies as st

from ingest.conditioning import ECG
from training.errors import BadAnnotation, BadRecipe, DataMissing
from training.evaluation import Evaluation, Predictions
from training.shock_config import ShockAugment, ShockData
from training.shock_folds import deal
from training.shock_rate import deflections, periods, rate_track
from training.shock_recipes import ecg_shock_1
from training.shock_records import (
    CLASSES,
    OTHER,
    STRATA,
    VF,
    VT,
    ShockRecord,
    Span,
    Stratum,
    list_records,
    patient_of,
    read_records,
)
from training.shock_sampling import ShockSampler
from training.shock_scores import apart_rows, choose_thresholds, decide, describe, told_apart
from training.shock_task import ShockTask, masked_cross_entropy, worst_strips
from training.shock_windows import windows_of
from training.sources import FloatArray

FS = 125.0
SECOND = 125


def tachycardia(bpm: float, seconds: float, second_bump: float = 0.0) -> FloatArray:
    """Regular wide complexes, each with a bump half a period later."""
    phase = np.arange(round(seconds * FS)) / FS * bpm / 60
    bumps = sum(
        h * np.exp(-((((phase + s) % 1) - 0.5) ** 2) / 0.015) for h, s in ((1, 0), (second_bump, 0.45))
    )
    return np.asarray(bumps - np.mean(bumps), dtype=np.float32)


@pytest.mark.parametrize("bpm", [110, 150, 200, 280])
def test_rate_of_a_regular_tachycardia_is_its_period(bpm: int) -> None:
    found, regularity = periods(tachycardia(bpm, 4)[None, None], FS)
    assert found[0] == pytest.approx(bpm, rel=0.03)
    assert regularity[0] > 0.9


def test_large_t_waves_do_not_double_the_rate() -> None:
    found, _ = periods(tachycardia(110, 4, second_bump=0.6)[None, None], FS)
    assert found[0] == pytest.approx(110, rel=0.03)


def test_where_nothing_repeats_deflections_are_counted() -> None:
    rng = np.random.default_rng(1)
    intervals = rng.uniform(0.12, 0.34, 40)
    heights = rng.uniform(0.5, 1.5, 40) * rng.choice([1.0, 1.3], 40)
    time = np.arange(500) / FS
    wave = (heights[:, None] * np.exp(-(((time - np.cumsum(intervals)[:, None]) / 0.04) ** 2))).sum(0)
    window = wave.astype(np.float32)[None, None]
    assert 180 < deflections(window, FS)[0] < 350


def test_rate_track_has_one_value_a_second_and_forgives_a_lone_outlier() -> None:
    span = tachycardia(200, 30)[None].copy()
    span[:, 10 * SECOND : 11 * SECOND] = 0
    bpm, regularity = rate_track(span, FS, 500)
    assert bpm.shape == regularity.shape == (27,)
    np.testing.assert_allclose(bpm, 200, rtol=0.05)


def write_record(folder: Path, name: str, marks: list[tuple[float, str]], seconds: float, bpm: float) -> None:
    """A record of two leads at 250 Hz with rhythm marks only, as vfdb has them."""
    folder.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * 250)) / 250
    lead = 0.8 * np.sin(2 * np.pi * bpm / 60 * time)
    wfdb.wrsamp(
        name,
        fs=250,
        units=["mV", "mV"],
        sig_name=["ECG1", "ECG2"],
        p_signal=np.stack([lead, -0.5 * lead], 1),
        fmt=["16", "16"],
        write_dir=str(folder),
    )
    if marks:
        wfdb.wrann(
            name,
            "atr",
            sample=np.array([round(at * 250) for at, _ in marks]),
            symbol=["+"] * len(marks),
            aux_note=[mark for _, mark in marks],
            fs=250,
            write_dir=str(folder),
        )


def read_one(data: Path, name: str) -> ShockRecord:
    return read_records(data, (name,), ECG, data / "cache")[0]


def test_marks_become_spans_with_their_guards(tmp_path: Path) -> None:
    marks = [(0.0, "(N"), (20.0, "(VFIB"), (40.0, "(NOISE"), (60.0, "(HGEA"), (80.0, "(VFL"), (83.0, "(N")]
    write_record(tmp_path / "vfdb", "1", marks, 100, 200)
    record = read_one(tmp_path, "vfdb/1")
    assert [(s.stratum, s.allowed) for s in record.spans] == [
        ("other", OTHER),
        ("vf", VF),
        ("noise", VF | VT | OTHER),
        ("ectopy", VT | OTHER),
        ("other", OTHER),
    ]
    vf = record.spans[1]
    assert vf.begin / FS == pytest.approx(21, abs=0.1)
    assert vf.end / FS == pytest.approx(39, abs=0.1)


def test_noise_between_rhythms_that_are_never_shocked_is_other(tmp_path: Path) -> None:
    write_record(tmp_path / "vfdb", "1", [(0.0, "(N"), (20.0, "(NOISE"), (40.0, "(N")], 60, 70)
    assert read_one(tmp_path, "vfdb/1").spans[1].allowed == OTHER


@pytest.mark.parametrize(("bpm", "stratum"), [(130, "slow vt"), (180, "vt")])
def test_tachycardia_is_shockable_from_150(tmp_path: Path, bpm: float, stratum: str) -> None:
    write_record(tmp_path / "vfdb", "1", [(0.0, "(N"), (10.0, "(VT")], 40, bpm)
    spans = read_one(tmp_path, "vfdb/1").spans
    assert [s.stratum for s in spans] == ["other", stratum]
    assert spans[1].bpm == pytest.approx(bpm, rel=0.03)


def test_bad_records_are_named(tmp_path: Path) -> None:
    write_record(tmp_path / "vfdb", "1", [], 20, 70)
    with pytest.raises(DataMissing, match=r"vfdb.1\.atr"):
        read_one(tmp_path, "vfdb/1")
    write_record(tmp_path / "vfdb", "2", [(1.0, "note")], 20, 70)
    with pytest.raises(BadAnnotation, match=r"vfdb.2\.atr: no rhythm mark"):
        read_one(tmp_path, "vfdb/2")
    with pytest.raises(DataMissing, match="mitdb"):
        list_records(tmp_path, "mitdb")


def test_damaged_cache_entries_are_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_record(tmp_path / "vfdb", "1", [(0.0, "(N")], 20, 70)
    first = read_one(tmp_path, "vfdb/1")
    for entry in (tmp_path / "cache").iterdir():
        entry.write_bytes(b"damaged")
    np.testing.assert_array_equal(read_one(tmp_path, "vfdb/1").signal, first.signal)
    assert "is damaged" in caplog.text


def made_record(name: str, *strata: Stratum, seconds: int = 30) -> ShockRecord:
    """A record of spans end to end, two leads; each sample tells its span."""
    allowed = {"vf": VF, "vt": VT, "other": OTHER, "slow vt": VT | OTHER, "ectopy": VT | OTHER}
    n = seconds * SECOND
    spans = tuple(
        Span(
            i * n,
            (i + 1) * n,
            f"({s.upper()}",
            s,
            allowed.get(s, OTHER),
            170.0 if s == "vt" else float("nan"),
        )
        for i, s in enumerate(strata)
    )
    signal = np.repeat(np.arange(len(strata), dtype=np.float32), n)[None] * np.array([[1.0], [-1.0]])
    return ShockRecord(name, patient_of(name), signal.astype(np.float32), spans)


@given(
    lengths=st.lists(st.integers(1, 1500), min_size=1, max_size=6), hop_s=st.sampled_from([0.25, 1.0, 4.0])
)
def test_windows_never_straddle_a_span(lengths: list[int], hop_s: float) -> None:
    ends = np.cumsum(lengths)
    spans = tuple(Span(int(b - n), int(b), "(N", "other", OTHER) for n, b in zip(lengths, ends, strict=True))
    lead = np.repeat(np.arange(len(lengths), dtype=np.float32), lengths)
    windows = windows_of([ShockRecord("vfdb/x", "vfdb/x", np.stack([lead, lead]), spans)], FS, hop_s)
    cut = windows.signal[windows.start[:, None] + np.arange(500)]
    assert (cut == windows.span[:, None]).all()
    hop = round(hop_s * FS)
    assert len(windows) == 2 * sum((n - 500) // hop + 1 for n in lengths if n >= 500)


def make_sampler(augment: ShockAugment) -> ShockSampler:
    records = [made_record(f"vfdb/{i}", "vf", "vt", "other", "slow vt") for i in range(3)]
    noise = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    return ShockSampler(records, noise, FS, ShockData(irregular_vt=0.0, regular_vf=1.0), augment)


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    sampler = make_sampler(ShockAugment())
    first, again, next_one = sampler.batch(7, 3, 32), sampler.batch(7, 3, 32), sampler.batch(7, 4, 32)
    np.testing.assert_array_equal(first["x"], again["x"])
    assert not np.array_equal(first["x"], next_one["x"])
    assert first["x"].shape == (32, 1, 500)
    assert np.isfinite(first["x"]).all()
    assert (first["allowed"].sum(1) >= 1).all()


def test_tachycardia_slowed_below_150_may_be_called_either_way() -> None:
    always = ShockAugment(time_scale_probability=1.0, time_scale=(0.8, 0.81))
    slowing = make_sampler(always).batch(1, 0, 400)["allowed"]
    as_is = make_sampler(ShockAugment(time_scale_probability=0.0)).batch(1, 0, 400)["allowed"]
    only_vt = [0.0, 1.0, 0.0]
    assert (as_is == only_vt).all(1).any()
    assert not (slowing == only_vt).all(1).any()


def test_marks_are_doubted_where_regularity_speaks_against_them() -> None:
    rng = np.random.default_rng(3)
    regular = tachycardia(200, 30)
    irregular = np.convolve(rng.standard_normal(len(regular)), np.hanning(25), "same").astype(np.float32)
    n = len(regular)

    def record(name: str, stratum: Stratum, allowed: int, lead: FloatArray) -> ShockRecord:
        return ShockRecord(name, name, lead[None], (Span(0, n, "(", stratum, allowed, 200.0),))

    records = [
        record("vfdb/0", "vf", VF, irregular),
        record("vfdb/1", "vf", VF, regular),
        record("vfdb/2", "vt", VT, irregular),
        record("vfdb/3", "vt", VT, regular),
    ]
    sampler = ShockSampler(records, np.zeros(5000, dtype=np.float32), FS, ShockData(), ShockAugment())
    either = [float((sampler.allowed[sampler.windows.owner == i] == VF | VT).mean()) for i in range(4)]
    assert either[0] < 0.1 < 0.9 < either[1]
    assert either[3] < 0.1 < 0.9 < either[2]


def test_patients_are_drawn_evenly_whatever_the_length_of_their_records() -> None:
    long, short = made_record("vfdb/long", "vf", seconds=600), made_record("vfdb/short", "vf", seconds=60)
    noise = np.zeros(5000, dtype=np.float32)
    records = [long, short, made_record("vfdb/vt", "vt")]
    sampler = ShockSampler(records, noise, FS, ShockData(draw={"vf": 1.0, "vt": 0.1}), ShockAugment())
    _, weight = sampler.groups["vf"]
    np.testing.assert_allclose(weight, [0.5, 0.5])


def test_no_fibrillation_to_train_on_is_said_before_training() -> None:
    noise = np.zeros(5000, dtype=np.float32)
    with pytest.raises(DataMissing, match="no window of vf in the 1 training records"):
        ShockSampler([made_record("vfdb/1", "vt", "other")], noise, FS, ShockData(), ShockAugment())


def made_patients() -> list[ShockRecord]:
    vf = [made_record(f"vfdb/{i}", "vf", "other") for i in range(4)]
    vt = [made_record(f"vfdb/{i}", "vt", "other") for i in range(10, 17)]
    same = [made_record("vfdb/425", "vt", "other"), made_record("vfdb/605", "vt", "other")]
    return vf + vt + same + [made_record(f"mitdb/{i}", "other") for i in range(100, 120)]


def test_each_fold_has_fibrillation_and_a_patient_is_in_one_fold() -> None:
    records = made_patients()
    fold = deal(records, 4)
    assert {fold[f"vfdb/{i}"] for i in range(4)} == {0, 1, 2, 3}
    assert set(fold) == {record.patient for record in records}
    assert "vfdb/605" not in fold, "425 and 605 are one person"
    counts = np.bincount([fold[record.patient] for record in records])
    assert np.ptp(counts) <= 3


@pytest.mark.parametrize("k", [2, 5])
def test_folds_that_could_not_be_scored_are_refused(k: int) -> None:
    with pytest.raises(BadRecipe, match=f"{k} folds: 4 patients have VF"):
        deal(made_patients(), k)


def test_decisions_ask_first_whether_then_which() -> None:
    probabilities = np.array([[0.3, 0.3, 0.4], [0.1, 0.5, 0.4], [0.2, 0.2, 0.6], [0.45, 0.0, 0.55]])
    assert decide(probabilities, {"shock": 0.5, "vf": 0.5}).tolist() == [0, 1, 2, 2]
    assert decide(probabilities, {"shock": 0.4, "vf": 0.6}).tolist() == [1, 1, 1, 0]


def test_thresholds_lie_in_the_middle_of_what_separates() -> None:
    truth = np.repeat([0, 1, 2], 100)
    probabilities = np.zeros((300, 3))
    probabilities[:100] = [0.6, 0.1, 0.3]
    probabilities[100:200] = [0.2, 0.5, 0.3]
    probabilities[200:] = [0.1, 0.1, 0.8]
    found = choose_thresholds(probabilities.astype(np.float32), truth, np.arange(300) % 5)
    assert 0.4 < found["shock"] < 0.5
    assert (decide(probabilities, found) == truth).all()


def test_thresholds_without_fibrillation_fall_back_to_one_half() -> None:
    truth = np.array([2, 2, 2])
    probabilities = np.full((3, 3), 1 / 3, dtype=np.float32)
    assert choose_thresholds(probabilities, truth, np.zeros(3, dtype=np.int64)) == {"shock": 0.5, "vf": 0.5}


def test_loss_asks_only_for_the_classes_that_may_hold() -> None:
    logits = torch.tensor([[1.0, 2.0, 0.5], [0.0, 0.0, 3.0]])
    p = logits.softmax(-1)
    allowed = torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
    expected = -(torch.log(p[0, 1] + p[0, 2]) + torch.log(p[1, 2])) / 2
    total, whether = masked_cross_entropy(logits, allowed, 1.0, 0.0)
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)
    # Slow tachycardia may be called either way: only the second window asks whether.
    assert whether.item() == pytest.approx(-torch.log(p[1, 2]).item() / 2, rel=1e-5)
    everything = torch.ones(2, 3)
    assert masked_cross_entropy(logits, everything, 1.0, 0.0)[0].item() == pytest.approx(0.0, abs=1e-6)


def test_weight_zero_asks_only_whether_a_window_is_shockable() -> None:
    logits = torch.tensor([[4.0, -4.0, 0.0]])
    is_vt = torch.tensor([[0.0, 1.0, 0.0]])
    total, whether = masked_cross_entropy(logits, is_vt, 0.0, 0.0)
    p = logits.softmax(-1)[0]
    assert total.item() == whether.item() == pytest.approx(-torch.log(p[0] + p[1]).item(), rel=1e-5)


def made_evaluation(record: str, truth: list[int], decided: list[int], slow: int) -> Evaluation:
    probabilities = np.full((len(truth), 3), 1 / 3)
    items = tuple(f"{record} lead {1 + i % 2} @ {4 * (i // 2):.1f} s (N" for i in range(len(truth)))
    predictions = Predictions(
        "windows of 4 s",
        CLASSES,
        items,
        (record,) * len(truth),
        np.array(truth),
        probabilities,
        np.array(decided),
        np.ones(len(truth)),
    )
    clear = told_apart(predictions, np.ones(len(truth), dtype=np.bool_), 0.5)
    return describe(predictions, clear, [(record, "slow vt", 10, slow)], ["a note"])


def test_folds_pool_to_the_figures_of_all_windows(tmp_path: Path) -> None:
    a = made_evaluation("vfdb/1", [0, 0, 1, 1, 2, 2, 2, 2], [0, 0, 1, 0, 2, 2, 2, 1], slow=3)
    b = made_evaluation("vfdb/2", [0, 0, 2, 2], [2, 2, 2, 2], slow=1)
    pooled = ShockTask(ecg_shock_1(), tmp_path).merge([a, b])
    assert pooled.metrics["shockable_sensitivity"].value == pytest.approx(4 / 6, abs=1e-4)
    assert pooled.metrics["shockable_specificity"].value == pytest.approx(5 / 6, abs=1e-4)
    assert pooled.metrics["balanced_accuracy"].value == pytest.approx(0.75, abs=1e-4)
    assert pooled.metrics["vt_sensitivity"].value == 0.5
    assert pooled.metrics["shockable_sensitivity_mean_of_patients"].value == 0.5
    assert apart_rows(pooled) == (("vfdb/1", "slow vt", 10, 3), ("vfdb/2", "slow vt", 10, 1))
    tables = {table.title: table.rows for table in pooled.tables}
    assert tables["Confusion"] == (("VF", 2, 0, 2), ("VT", 1, 1, 0), ("OTHER", 0, 1, 5))
    leads = {row[0]: row[1:] for row in tables["Both leads of a window"]}
    assert [len(p.truth) for p in pooled.predictions] == [12, 6]
    assert leads == {"either lead": ("66.7", "66.7"), "both leads": ("66.7", "100.0")}


def test_the_surest_wrong_window_of_a_record_is_pictured() -> None:
    records = [made_record("vfdb/1", "vf", "other"), made_record("vfdb/2", "other")]
    windows = windows_of(records, FS, 4.0)
    found = np.tile(np.array([[0.0, 0.0, 1.0]], dtype=np.float32), (len(windows), 1))
    found[windows.stratum == STRATA.index("vf")] = [0.9, 0.0, 0.1]
    missed = int(np.flatnonzero(windows.stratum == STRATA.index("vf"))[3])
    found[missed] = [0.1, 0.0, 0.9]
    (strip,) = worst_strips(records, windows, found, decide(found, {"shock": 0.5, "vf": 0.5}))
    assert strip.title.startswith(f"vfdb/1 lead 1 @ {windows.second[missed]:.1f} s: marked VF")
    assert strip.signal.shape == (2, 1000)
    assert strip.marks[1][0] - strip.marks[0][0] == pytest.approx(4.0)


@pytest.mark.data
def test_real_records_mean_what_a_defibrillator_would_see(data_dir: Path, tmp_path: Path) -> None:
    records = {
        r.name: r for r in read_records(data_dir, ("vfdb/611", "mitdb/207", "vfdb/424"), ECG, tmp_path)
    }

    def seconds(name: str, stratum: str) -> float:
        return sum((s.end - s.begin) / FS for s in records[name].spans if s.stratum == stratum)

    # 611 is in tachycardia of 136/min for 15 min: nothing that a defibrillator must shock.
    assert seconds("vfdb/611", "slow vt") > 850
    assert seconds("vfdb/611", "vt") == 0
    assert 120 < seconds("mitdb/207", "vf") < 145
    assert seconds("vfdb/424", "vf") > 150


@pytest.mark.slow
@pytest.mark.data
def test_folds_of_the_real_records_keep_people_apart_and_test_on_fibrillation(data_dir: Path) -> None:
    recipe = ecg_shock_1()
    recipe = recipe.model_copy(update={"data": ShockData(sources=("vfdb", "mitdb"))})
    task = ShockTask(recipe, data_dir)
    folds = task.folds(6)
    tested = [name for fold in folds for name in fold.test]
    assert sorted(tested) == sorted(task.names)
    for split in [*folds, task.split()]:
        sides = [{patient_of(name) for name in side} for side in (split.train, split.validation, split.test)]
        assert len(set.union(*sides)) == sum(map(len, sides))
        held = task.records(split.test)
        assert any(s.stratum == "vf" for record in held for s in record.spans)
