"""The verdict's data, folds, fit and scores: on made records; CinC 2015 where it is there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import wfdb

import wardwave
from inference.verdict_beats import LeadOutput, MonitorBeats, SlopeBeats
from models import store, verdict
from models.errors import CardMismatch
from models.verdict import KINDS
from models.verdict_leads import FS_HZ, HISTORY_S
from training import verdict_ablation
from training.errors import BadRecipe, DataMissing
from training.verdict_ablation import ablation, repeated, variants
from training.verdict_config import KindConfig, VerdictRecipe, icu_verdict_1
from training.verdict_fit import fit_kind
from training.verdict_judge import judge_record
from training.verdict_records import load_views, read_alarms, read_views
from training.verdict_scores import by_kind, challenge_score, counts_of, predictions_of
from training.verdict_task import VerdictTask

FS = 250
SECONDS = 310


def write_record(folder: Path, name: str, interval_s: float, tail_mv: float = 0.0, leads: int = 2) -> Path:
    """ECG in ``leads`` leads and a plethysmogram; after the alarm at 300 s the line moves by ``tail_mv``."""
    clock = np.arange(SECONDS * FS) / FS
    phase = clock % interval_s
    ecg = np.exp(-0.5 * ((phase - 0.3) / 0.012) ** 2) + 0.15 * np.exp(-0.5 * ((phase - 0.55) / 0.04) ** 2)
    ecg += np.random.default_rng(0).normal(0, 0.01, len(clock))
    ecg[300 * FS :] += tail_mv
    pleth = np.exp(-0.5 * ((phase - 0.6) / 0.08) ** 2)
    wfdb.wrsamp(
        name,
        fs=FS,
        units=[*["mV"] * leads, "NU"],
        sig_name=[*["II", "V"][:leads], "PLETH"],
        p_signal=np.column_stack([*[ecg, 0.5 * ecg][:leads], pleth]),
        fmt=["16"] * (leads + 1),
        write_dir=str(folder),
    )
    return folder / name


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data folder with six alarms of each kind: true ones fit their kind, false ones have 75 beats/min."""
    data = tmp_path_factory.mktemp("alarms") / "data"
    folder = data / "cinc2015"
    folder.mkdir(parents=True)
    rows = []
    for kind in KINDS:
        for i in range(6):
            name = f"{kind[0].lower()}{kind[-2:]}{i}"
            write_record(folder, name, (1.7 if kind == "Bradycardia" else 0.4) if i % 2 else 0.8)
            rows.append(f"{name},{kind},{i % 2}")
    (folder / "ALARMS").write_text("\n".join(rows) + "\n")
    return data


def task_of(data: Path, **changes: object) -> VerdictTask:
    recipe = icu_verdict_1().model_copy(update={"beats": "slope"} | changes)
    return VerdictTask(recipe, data, data.parent / "cache")


def test_nothing_after_the_alarm_is_looked_at(tmp_path: Path) -> None:
    beats = SlopeBeats()
    calm = read_views(write_record(tmp_path, "calm", 0.8), beats)
    torn = read_views(write_record(tmp_path, "torn", 0.8, tail_mv=5.0), beats)
    for one, other in zip(calm.leads, torn.leads, strict=True):
        # The two files quantise alike only up to their scales.
        np.testing.assert_allclose(one.signal, other.signal, atol=2e-3)
        np.testing.assert_allclose(one.beat_s, other.beat_s, atol=0.01)
    np.testing.assert_allclose(calm.pulses[0].signal, torn.pulses[0].signal, atol=2e-3)
    assert calm.leads[0].signal.shape == (round(HISTORY_S * FS_HZ),)
    assert calm.leads[0].beat_s.max() < 0


def test_slope_beats_are_the_beats(tmp_path: Path) -> None:
    views = read_views(write_record(tmp_path, "r", 0.8), SlopeBeats())
    for lead in views.leads:
        assert len(lead.beat_s) == pytest.approx(HISTORY_S / 0.8, abs=3)
        assert np.diff(lead.beat_s)[5:] == pytest.approx(0.8, abs=0.02)


def test_monitor_beats_come_from_the_shipped_model(tmp_path: Path) -> None:
    model, spec = store.load("ecg-cnn-lstm-1")
    lead = read_views(write_record(tmp_path, "r", 0.8, leads=1), MonitorBeats(model, spec)).leads[0]
    assert len(lead.beat_s) == pytest.approx(HISTORY_S / 0.8, abs=8)
    assert lead.windows.shape == (round(HISTORY_S) - 7, 6)
    np.testing.assert_allclose(lead.beat_classes.sum(1), 1.0, atol=1e-5)
    assert lead.beat_s.max() > -1.2, "the last second is read too"


def test_bad_records_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="nowhere"):
        read_views(tmp_path / "nowhere", SlopeBeats())
    with pytest.raises(DataMissing, match="no ECG"):
        read_views(write_record(tmp_path, "blind", 0.8, leads=0), SlopeBeats())
    short = np.zeros((60 * FS, 1))
    wfdb.wrsamp("short", FS, ["mV"], ["II"], short, fmt=["16"], write_dir=str(tmp_path))
    with pytest.raises(DataMissing, match="before its alarm"):
        read_views(tmp_path / "short", SlopeBeats())
    (tmp_path / "cinc2015").mkdir()
    (tmp_path / "cinc2015" / "ALARMS").write_text("")
    with pytest.raises(DataMissing, match="no alarm"):
        read_alarms(tmp_path)


class Counting:
    """Counts how often it is asked."""

    key = "counting"
    asked = 0

    def __call__(self, signal: np.ndarray) -> LeadOutput:
        self.asked += 1
        return SlopeBeats()(signal)


def test_views_are_read_once_and_a_damaged_entry_is_made_anew(made: Path, tmp_path: Path) -> None:
    beats, cache = Counting(), tmp_path / "cache"
    alarms = read_alarms(made)[:2]
    first = load_views(made, alarms, beats, cache)
    asked = beats.asked
    again = load_views(made, alarms, beats, cache)
    assert beats.asked == asked
    np.testing.assert_array_equal(first[1].leads[0].beat_s, again[1].leads[0].beat_s)
    for entry in cache.glob("*.npz"):
        entry.write_bytes(b"torn")
    load_views(made, alarms, beats, cache)
    assert beats.asked == 2 * asked


def test_folds_hold_every_alarm_once_and_spread_kinds_and_truths(made: Path) -> None:
    task = task_of(made)
    folds = task.folds(3)
    tested = [name for split in folds for name in split.test]
    assert sorted(tested) == sorted(task.alarms)
    for split in folds:
        assert not set(split.train) & set(split.test)
        for kind in KINDS:
            own = [task.alarms[name] for name in split.test if task.alarms[name].kind == kind]
            assert sorted(alarm.true for alarm in own) == [False, True]
    assert task.folds(3) == folds
    assert task.folds(3, seed=1) != folds
    with pytest.raises(BadRecipe, match="31 folds"):
        task.folds(31)


def test_made_alarms_are_told_apart_out_of_fold(made: Path) -> None:
    kinds = dict.fromkeys(KINDS, KindConfig(features=("agreed/slow4", "agreed/fast8"), variance=30.0))
    found = task_of(made, kinds=kinds, early_s=(0.0,)).crossval(3)
    assert found.metrics["score"].value == 100.0
    assert len(found.predictions[0].item) == 30
    rules = task_of(made, head="rules")
    model = rules.fit(rules.folds(3)[0])
    names = tuple(
        name for name, alarm in rules.alarms.items() if alarm.kind in ("Bradycardia", "Tachycardia")
    )
    assert rules.evaluate(model, names).metrics["score"].value == 100.0


def test_an_unknown_number_in_a_recipe_is_named(made: Path) -> None:
    kinds = dict.fromkeys(KINDS, KindConfig(features=("agreed/slowest",), variance=1.0))
    task = task_of(made, kinds=kinds)
    with pytest.raises(BadRecipe, match="agreed/slowest"):
        task.fit(task.folds(3)[0])
    with pytest.raises(ValueError, match="Tachycardia"):
        VerdictRecipe(name="x", description="x", kinds={})


def test_the_fit_is_the_optimum_of_its_objective() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(60, 4)) * np.array([1, 10, 0.1, 0])
    true = values[:, 0] + 0.5 * rng.normal(size=60) > 0.3
    found = fit_kind(values, true, variance=0.5)

    def objective(weight: np.ndarray, bias: float) -> float:
        z = np.clip((values - found.centre) / found.scale, -4, 4) @ weight + bias
        return float(np.sum(np.log1p(np.exp(-z)) + (1 - true) * z) + weight @ weight / (2 * 0.5))

    best = objective(found.weight, float(found.bias[0]))
    for i in range(4):
        for step in (-0.01, 0.01):
            assert objective(found.weight + step * np.eye(4)[i], float(found.bias[0])) > best
    assert found.weight[3] == pytest.approx(0.0, abs=1e-6)
    assert found.probability(values + np.array([0, 0, 0, 50.0])) == pytest.approx(found.probability(values))
    with pytest.raises(DataMissing, match="all true"):
        fit_kind(values, np.ones(60, dtype=np.bool_), 1.0)


def test_perfectly_separable_alarms_do_not_blow_the_weights_up() -> None:
    values = np.repeat([[0.0], [1.0]], 10, axis=0)
    found = fit_kind(values, np.repeat([False, True], 10), variance=1.0)
    assert np.isfinite(found.weight).all()
    assert found.probability(np.array([[1.0]]))[0] > 0.8


def test_score_counts_a_miss_five_times() -> None:
    truth, decided = np.array([1, 1, 0, 0, 0]), np.array([1, 0, 0, 0, 1])
    total = counts_of(truth, decided).sum(0)
    assert total.tolist() == [1, 1, 2, 1]
    assert challenge_score(total) == pytest.approx(100 * 3 / (3 + 1 + 5))
    items = [f"cinc2015/r{i} Asystole" for i in range(5)]
    table = by_kind(predictions_of(items, truth, np.full(5, 0.5), decided))
    assert table.rows[0][:5] == ("Asystole", 1, 1, 2, 1)
    assert table.rows[-1][0] == "all"


@pytest.mark.data
def test_definitions_alone_already_tell_slow_from_fast(data_dir: Path, tmp_path: Path) -> None:
    recipe = icu_verdict_1().model_copy(update={"beats": "slope", "head": "rules"})
    task = VerdictTask(recipe, data_dir, tmp_path)
    slow = tuple(name for name, alarm in task.alarms.items() if alarm.kind == "Bradycardia")[:12]
    found = task.evaluate(task.fit(task.folds(5)[0]), slow)
    assert found.metrics["score"].value > 60


def test_repeats_count_every_alarm_once_a_seed_and_ingredients_are_compared(made: Path) -> None:
    kinds = dict.fromkeys(KINDS, KindConfig(features=("agreed/slow4", "agreed/fast8"), variance=30.0))
    task = task_of(made, kinds=kinds, early_s=(0.0,))
    found = repeated(task, 3, 2)
    assert found.metrics["score"].n == 30
    assert "2 seeds" in found.notes[-1]
    with pytest.raises(BadRecipe, match="--seeds 0"):
        repeated(task, 3, 0)


def test_ingredients_are_compared(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = dict.fromkeys(KINDS, KindConfig(features=("agreed/slow4", "agreed/fast8"), variance=30.0))
    recipe = task_of(made, kinds=kinds, early_s=(0.0,)).recipe
    every = variants(recipe)
    assert len(every) == 8
    assert list(every.values())[-1] == recipe
    two = {name: every[name] for name in (list(every)[0], list(every)[-1])}
    monkeypatch.setattr(verdict_ablation, "variants", lambda _: two)
    rows = ablation(recipe, made, 3, 1, made.parent / "cache").tables[0].rows
    assert [row[0] for row in rows] == list(two)
    assert rows[0][3] < rows[1][3] or rows[0][2] < rows[1][2], (
        "definitions know no ventricular beats by slope"
    )
    assert rows[-1][2:] == (100.0, 100.0)


def test_an_alarm_is_also_learned_from_early(made: Path) -> None:
    task = task_of(made)
    name = tuple(task.alarms)[:1]
    now, early = task.views(name)[0].leads[0], task.views(name, 0.5)[0].leads[0]
    np.testing.assert_allclose(now.signal[-500:-62], early.signal[-438:], atol=0.01)
    assert np.abs(early.beat_s - (now.beat_s[-4] + 0.5)).min() < 0.02


def test_a_monitor_that_has_learned_from_the_alarms_is_told(made: Path, tmp_path: Path) -> None:
    model, spec = store.load("ecg-cnn-lstm-1")
    honest = spec.model_copy(update={"training": {"data.sources": ["mitdb", "vfdb"]}})
    store.save(model, honest, tmp_path / "honest")
    store.save(model, spec.model_copy(update={"training": {"data.sources": ["cinc2015"]}}), tmp_path / "seen")
    assert task_of(made, beats=str(tmp_path / "honest")).notes == ()
    assert "cinc2015" in task_of(made, beats=str(tmp_path / "seen")).notes[0]


def test_one_alarm_is_judged_by_what_came_before_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fast, moved = write_record(tmp_path, "fast", 0.4), write_record(tmp_path, "moved", 0.4, tail_mv=3.0)
    calm = write_record(tmp_path, "calm", 0.8)
    found = judge_record(fast, "Tachycardia")
    assert found.true
    assert (found.at_s, found.leads, found.pulses) == (300.0, 2, 1)
    assert "evidence/Tachycardia" in {reason.name for reason in found.reasons if reason.log_odds > 0}
    # The two files quantise alike only up to their scales.
    assert judge_record(moved, "Tachycardia").probability == pytest.approx(found.probability, abs=1e-4)
    command = ["verdict", "judge", f"{calm}.hea", "--alarm", "Asystole", "--at", "250"]
    assert wardwave.main([*command, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["true"], answer["at_s"]) == (False, 250.0)
    assert wardwave.main(command) == 0
    printed = capsys.readouterr().out
    assert "Asystole at 250 s is called FALSE" in printed
    assert "0.185" in printed


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["fast", "--alarm", "Apnoea"], "no alarm of kind 'Apnoea'; it knows Asystole"),
        (["none", "--alarm", "Asystole"], "none"),
        (["fast", "--alarm", "Asystole", "--at", "60"], "100 s before the alarm are needed"),
        (["fast", "--alarm", "Asystole", "--at", "900"], "the record has 310 s"),
        (["pulse", "--alarm", "Asystole"], "no ECG in it"),
    ],
)
def test_what_cannot_be_judged_is_named(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_record(tmp_path, "fast", 0.4)
    write_record(tmp_path, "pulse", 0.4, leads=0)
    assert wardwave.main(["verdict", "judge", str(tmp_path / arguments[0]), *arguments[1:]]) == 2
    assert says in capsys.readouterr().err


def test_a_verdict_is_not_given_on_the_beats_of_another_monitor(tmp_path: Path) -> None:
    shipped = verdict.load("icu-verdict-1")
    other = shipped.spec.model_copy(update={"beats_sha256": "0" * 64})
    verdict.save(verdict.Verdict(other, shipped.weights), tmp_path)
    fast = write_record(tmp_path, "fast", 0.4)
    with pytest.raises(CardMismatch, match="fit anew"):
        judge_record(fast, "Tachycardia", model=tmp_path / "icu-verdict-1.json")


def test_waiting_is_shown_by_a_bar_over_records(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task_of(made, early_s=(0.0,)).prepare()
    assert "30/30" in capsys.readouterr().err
