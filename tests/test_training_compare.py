"""Two models compared on the same patients, and models listed, described and exported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import wardwave
from models import store
from models.catalogue import headlines
from models.cnn_lstm import CnnLstm, cost_of
from models.spec import Architecture, Interval, ModelSpec
from training import report_run
from training.compare import check_held_out, compare_models, compare_scored, tables, write
from training.errors import CannotCompare
from training.evaluation import Counts, Evaluation, Predictions
from training.report_run import Scored
from training.task import Split

CONFIG = Architecture(hidden=8, attention_width=16, heads=2)
CLASSES = ("N", "S", "V")
N, PATIENTS = 600, 12


def card(name: str, **changes: object) -> ModelSpec:
    fields: dict[str, object] = {
        "name": name,
        "description": "of a test",
        "thresholds": {"beat": 0.5},
        "normalisation": "asinh",
        "architecture": CONFIG,
        "cost": cost_of(CONFIG, 1000),
        "data": "none",
        "split": {"train": ("made/99",)},
        "metrics": {"x_macro_f1": Interval(value=0.5, low=0.4, high=0.6, n=3)},
        "training": {"seed": 7},
        "code_commit": "none",
    }
    return ModelSpec.model_validate(fields | changes)


def predictions(skill: float) -> Predictions:
    """The same items for every skill, decided the better the larger it is."""
    rng = np.random.default_rng(0)
    truth = rng.choice(3, N, p=[0.6, 0.3, 0.1])
    p = rng.dirichlet(np.ones(3), N)
    p[np.arange(N), truth] += skill
    p /= p.sum(1, keepdims=True)
    names = tuple(f"made/{i % PATIENTS}" for i in range(N))
    items = tuple(f"{name} @ {i}.0 s" for i, name in enumerate(names))
    return Predictions("Beats", CLASSES, items, names, truth, p, p.argmax(1), np.ones(N))


def hits(one: Predictions) -> Counts:
    right = one.truth == one.decided
    patients = np.array(one.patient)
    held = {
        name: np.array([right[patients == name].sum(), (patients == name).sum()], dtype=np.float64)
        for name in dict.fromkeys(one.patient)
    }
    return Counts("Own", held, lambda table: {"own_accuracy": float(table[0] / table[1])})


def scored(name: str, skill: float, **changes: object) -> Scored:
    said = predictions(skill)
    own = Interval(value=skill, low=0, high=1, n=N)
    evaluation = Evaluation((said,), metrics={"own_accuracy": own, "number": own}, counts=(hits(said),))
    return Scored(CnnLstm(CONFIG), card(name), ("made/1",), replace(evaluation, **changes))  # type: ignore[arg-type]


def test_the_better_model_is_ahead_in_every_draw() -> None:
    found = compare_scored(scored("a", 0.2), scored("b", 0.6))
    beats, own = found.groups
    assert (beats.items, beats.patients) == (N, PATIENTS)
    for name in ("accuracy", "macro_f1", "f1_N", "f1_V", "brier"):
        one = beats.differences[name]
        assert one.for_b == 1.0, name
        assert one.low <= one.value <= one.high
    assert beats.differences["accuracy"].value > 0
    # Of the Brier score less is better.
    assert beats.differences["brier"].value < 0
    a, b = predictions(0.2), predictions(0.6)
    truth = float((b.truth == b.decided).mean() - (a.truth == a.decided).mean())
    assert beats.differences["accuracy"].value == pytest.approx(truth)
    assert own.differences["own_accuracy"].value == pytest.approx(truth)
    assert found.alone == {"number": (0.2, 0.6)}


def test_a_model_against_itself_shows_nothing() -> None:
    found = compare_scored(scored("a", 0.4), scored("b", 0.4))
    for one in found.groups[0].differences.values():
        assert (one.value, one.low, one.high) == (0.0, 0.0, 0.0)
        # A tie is no half of the draws.
        assert np.isnan(one.for_b)


def test_models_of_one_name_are_told_apart() -> None:
    pair = (replace(scored("a", 0.4), spec=card("a", sha256=digit * 64)) for digit in "12")
    found = compare_scored(*pair)
    assert tables(found)[0].head[1:3] == ("A: a (11111111)", "B: a (22222222)")


def test_only_common_items_count_whatever_their_order() -> None:
    whole, rng = predictions(0.6), np.random.default_rng(3)
    keep = rng.permutation(N)[: N // 2]
    part = Predictions(
        whole.title, whole.classes, tuple(whole.item[i] for i in keep), tuple(whole.patient[i] for i in keep),
        whole.truth[keep], whole.probabilities[keep], whole.decided[keep], whole.weight[keep],
    )  # fmt: skip
    found = compare_scored(scored("a", 0.6), scored("b", 0.6, predictions=(part,)))
    assert found.groups[0].items == N // 2
    assert found.groups[0].differences["macro_f1"].value == 0.0


def test_what_cannot_be_compared_is_refused() -> None:
    a, b = scored("a", 0.2), scored("b", 0.6)
    with pytest.raises(CannotCompare, match="only models of one task"):
        compare_scored(a, replace(b, spec=card("b", task="af")))
    turned = replace(predictions(0.6), truth=(predictions(0.6).truth + 1) % 3)
    with pytest.raises(CannotCompare, match="different truths"):
        compare_scored(a, scored("b", 0.6, predictions=(turned,)))
    other = replace(predictions(0.6), item=tuple(f"elsewhere/{i}" for i in range(N)))
    with pytest.raises(CannotCompare, match="no common item"):
        compare_scored(a, scored("b", 0.6, predictions=(other,)))
    with pytest.raises(CannotCompare, match="classes"):
        compare_scored(a, scored("b", 0.6, predictions=(replace(predictions(0.6), classes=("N", "S", "F")),)))
    with pytest.raises(CannotCompare, match="could be paired"):
        compare_scored(a, scored("b", 0.6, predictions=(), counts=(), metrics={}))


def test_records_that_a_model_was_trained_on_are_refused() -> None:
    check_held_out(card("a"), ("made/1",), "test")
    check_held_out(card("a"), ("made/99",), "train")
    with pytest.raises(CannotCompare, match="was trained on made/99"):
        check_held_out(card("a"), ("made/1", "made/99"), "test")


def test_tables_and_files_show_the_same(tmp_path: Path) -> None:
    found = compare_scored(scored("a", 0.2), scored("b", 0.6))
    rows = {row[0]: row for row in tables(found)[0].rows}
    accuracy = found.groups[0].differences["accuracy"]
    assert rows["accuracy"][1:3] == (f"{accuracy.a:.4f}", f"{accuracy.b:.4f}")
    assert rows["accuracy"][4] == "100.0"
    files = write(found, tmp_path / "both.md", {"command": "wardwave models compare"})
    plain = json.loads(files["json"].read_text())
    assert plain["groups"][0]["differences"]["accuracy"]["value"] == accuracy.value
    assert f"{accuracy.value:+.4f}" in files["md"].read_text()
    assert f"{accuracy.value:+.4f}" in files["html"].read_text()


class FakeTask:
    def __init__(self, spec: ModelSpec) -> None:
        self.skill = 0.2 if spec.name == "a" else 0.6
        self.test = ("made/1", "made/2") if spec.name == "a" else ("made/2", "made/3")

    def split(self) -> Split:
        return Split((), (), self.test)

    def evaluate(self, model: object, thresholds: object, names: tuple[str, ...]) -> Evaluation:
        assert names == ("made/2",)
        return scored("x", self.skill).evaluation


def test_models_are_scored_on_what_is_held_out_for_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        store.save(CnnLstm(CONFIG), card(name), tmp_path / name)
    monkeypatch.setattr(report_run, "task_of_model", lambda spec, data: FakeTask(spec))
    command = ["models", "compare", str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path)]
    assert wardwave.main([*command, "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "| macro_f1 |" in shown
    assert (tmp_path / "out" / "a-against-b.html").is_file()
    store.save(CnnLstm(CONFIG), card("b", task="af"), tmp_path / "b")
    with pytest.raises(CannotCompare, match="is for the task monitor"):
        compare_models(str(tmp_path / "a"), str(tmp_path / "b"), tmp_path)


def test_models_are_listed_and_described(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert wardwave.main(["models"]) == 0
    listed = capsys.readouterr().out
    for name in store.shipped():
        assert name in listed
    assert "120,284" in listed
    store.save(CnnLstm(CONFIG), card("a", caveats=("made up",)), tmp_path)
    assert wardwave.main(["models", "describe", str(tmp_path)]) == 0
    described = capsys.readouterr().out
    assert "x_macro_f1  0.5 (0.4 to 0.6)  3" in described
    assert "made up" in described
    assert "no medical device" in described
    assert wardwave.main(["models", "describe", str(tmp_path), "--json"]) == 0
    assert ModelSpec.model_validate_json(capsys.readouterr().out) == store.read_spec(tmp_path)


def test_an_unknown_model_is_named_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert wardwave.main(["models", "describe", "none"]) == 2
    assert "no model 'none'" in capsys.readouterr().err


def test_headlines_prefer_what_is_known_best() -> None:
    one = Interval(value=0.5, low=0.4, high=0.6, n=3)
    metrics = dict.fromkeys(("other", "z_macro_f1", "qrs_se", "a", "b", "c"), one)
    assert list(headlines(metrics)) == ["qrs_se", "z_macro_f1", "other", "a"]


def test_verdict_models_are_listed_with_the_others() -> None:
    from models.catalogue import listing
    from models.verdict import VerdictSpec

    spec = VerdictSpec.model_validate(
        {
            "name": "alarms-1",
            "description": "of a test",
            "beats_model": "x",
            "beats_sha256": "x",
            "kinds": {"Asystole": {"features": ("a", "b"), "threshold": 0.5}},
            "data": "none",
            "split": {},
            "metrics": {"score": Interval(value=0.8, low=0.7, high=0.9, n=9)},
            "code_commit": "none",
        }
    )
    lines = listing([card("a")], [spec]).splitlines()
    assert lines[1].startswith("a ")
    assert lines[2].split()[:3] == ["alarms-1", "alarm", "verdict"]
    assert lines[2].endswith("score 0.8")
