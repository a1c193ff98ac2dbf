"""The report: what it shows is what was counted, in HTML, JSON, Markdown and the card alike."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

import wardwave
from models import store
from models.cnn_lstm import CnnLstm, cost_of
from models.spec import Architecture, Interval, ModelSpec
from training import report_run
from training.errors import DataMissing
from training.evaluation import Evaluation, Predictions, Strip, Table
from training.figures import Series, chart, nice_ticks, strip
from training.report import Facts, Report, files_of, summaries_of, to_markdown, write_report
from training.report_history import History, card_settings, history_of, of_card
from training.report_html import to_html
from training.report_summary import card_metrics, key_of, summarise, worst_records

CONFIG = Architecture(hidden=8, attention_width=16, heads=2)
CLASSES = ("N", "S", "V")


def card(name: str = "ecg-test", **changes: object) -> ModelSpec:
    fields: dict[str, object] = {
        "name": name,
        "description": "of a <test>",
        "thresholds": {"beat": 0.5},
        "normalisation": "asinh",
        "architecture": CONFIG,
        "cost": cost_of(CONFIG, 1000),
        "data": "none",
        "split": {"train": ("made/1",)},
        "metrics": {"old": Interval(value=0.5, low=0.4, high=0.6, n=3)},
        "training": {"seed": 7},
        "code_commit": "none",
    }
    return ModelSpec.model_validate(fields | changes)


def predictions(n: int = 300, patients: int = 6, seed: int = 0, skill: float = 0.6) -> Predictions:
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, n, p=[0.6, 0.3, 0.1])
    p = rng.dirichlet(np.ones(3), n)
    p[np.arange(n), truth] += skill
    p /= p.sum(1, keepdims=True)
    names = [f"made/{i % patients}" for i in range(n)]
    return Predictions(
        "Beats at the marks",
        CLASSES,
        tuple(f"{name} @ {i}.5 s" for i, name in enumerate(names)),
        tuple(names),
        truth,
        p,
        p.argmax(1),
        np.ones(n),
    )


def evaluation(**changes: object) -> Evaluation:
    whole = Evaluation(
        (predictions(),),
        (Table("EC57", ("record", "QRS Se"), (("all", "99.12 (98.00 to 99.90)"), ("<b>", 99.5)), "percent"),),
        {"qrs_se": Interval(value=0.9912, low=0.98, high=0.999, n=100)},
        (Strip("made/1: V as N", 125.0, np.zeros((1, 500), np.float32), ((1.5, "V"),)),),
        ("made for a test",),
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def report(found: Evaluation | None = None, history: History | None = None) -> Report:
    found = found or evaluation()
    facts = Facts(
        "test patients",
        {"made": 6},
        ("made/1",),
        "/data",
        "wardwave evaluate",
        "abc",
        1.0,
        "CPU",
        "today",
        {},
    )
    return Report(card(), facts, found, summaries_of(found), history or History({}, {}))


class Page(HTMLParser):
    """Tags that are opened and closed, and what they load."""

    VOID = ("meta", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [str(value) for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)


def test_the_page_is_whole_and_loads_nothing() -> None:
    page = Page(to_html(report(history=History({"step": (1, 2), "loss": (2.0, 1.0)}, {}))))
    assert page.open == []
    assert "script" not in page.tags
    assert page.tags.count("svg") == 3 + 1 + 1
    assert all(link.startswith("#") for link in page.loads)


def test_text_from_outside_is_escaped() -> None:
    text = to_html(report())
    assert "of a &lt;test&gt;" in text
    assert "&lt;b&gt;" in text
    assert "<b>" not in text


def test_the_same_numbers_are_in_page_json_markdown_and_card(tmp_path: Path) -> None:
    whole = report()
    files = write_report(whole, tmp_path / "made" / "report.md")
    assert {kind: path.name for kind, path in files.items()} == {
        "html": "report.html",
        "json": "report.json",
        "md": "report.md",
    }
    plain = json.loads(files["json"].read_text())
    truth, decided = whole.evaluation.predictions[0].truth, whole.evaluation.predictions[0].decided
    accuracy = float((truth == decided).mean())
    assert plain["classifications"][0]["figures"]["accuracy"]["value"] == pytest.approx(accuracy, abs=1e-4)
    key = "beats_at_the_marks_accuracy"
    assert plain["metrics"][key] == card_metrics(whole.evaluation, whole.summaries)[key].model_dump()
    assert plain["metrics"]["qrs_se"]["value"] == 0.9912
    shown = f"{100 * plain['metrics'][key]['value']:.2f}"
    assert shown in files["html"].read_text()
    assert f"| accuracy | {shown} (" in files["md"].read_text()
    counts = np.array(plain["classifications"][0]["confusion"])
    assert counts.sum() == len(truth)
    assert counts[2, 2] == ((truth == 2) & (decided == 2)).sum()
    assert plain["run"]["command"] == "wardwave evaluate"


def test_a_class_that_does_not_occur_leaves_gaps_not_nonsense(tmp_path: Path) -> None:
    some = predictions()
    keep = some.truth != 2
    without = replace(
        some,
        item=tuple(np.array(some.item)[keep]),
        patient=tuple(np.array(some.patient)[keep]),
        truth=some.truth[keep],
        probabilities=some.probabilities[keep],
        decided=some.decided[keep],
        weight=some.weight[keep],
    )
    whole = report(evaluation(predictions=(without,)))
    plain = json.loads(write_report(whole, tmp_path)["json"].read_text())
    absent = plain["classifications"][0]["classes"][2]
    assert absent["roc"] is None
    assert absent["recall"]["value"] is None
    assert not any(name.endswith("recall_V") for name in plain["metrics"])
    # What the card holds must be readable again: it knows no NaN.
    spec = card(metrics=plain["metrics"])
    assert ModelSpec.model_validate_json(spec.model_dump_json()) == spec


def test_classifications_without_items_are_left_out() -> None:
    nothing = replace(
        predictions(), item=(), patient=(), truth=np.zeros(0, np.int64), probabilities=np.zeros((0, 3)),
        decided=np.zeros(0, np.int64), weight=np.zeros(0),
    )  # fmt: skip
    assert summaries_of(evaluation(predictions=(nothing,))) == ()
    with pytest.raises(ValueError, match="no items"):
        summarise(nothing)


def test_weights_count() -> None:
    some = predictions()
    heavy = replace(some, weight=np.where(some.truth == 1, 3.0, 1.0))
    assert not summarise(some).weighted
    found = summarise(heavy)
    assert found.weighted
    assert found.confusion.sum() == pytest.approx(heavy.weight.sum())
    right = (heavy.truth == heavy.decided) @ heavy.weight / heavy.weight.sum()
    assert found.figures["accuracy"].value == pytest.approx(right, abs=1e-4)


def test_intervals_of_more_patients_are_narrower() -> None:
    few, many = (summarise(predictions(2000, n)).figures["macro_f1"] for n in (8, 400))
    assert few.low <= few.value <= few.high
    assert many.low < many.value < many.high


def test_the_worst_record_is_the_one_with_most_errors_and_its_surest_item_is_shown() -> None:
    some = predictions()
    decided = some.truth.copy()
    own = np.flatnonzero(np.array(some.patient) == "made/3")[:5]
    decided[own] = (some.truth[own] + 1) % 3
    p = np.full((len(decided), 3), 0.2)
    p[np.arange(len(decided)), decided] = 0.6
    p[own[2]] = np.eye(3)[decided[own[2]]] * 0.9 + 0.05
    (worst,) = worst_records(replace(some, decided=decided, probabilities=p))
    assert (worst.record, worst.wrong, worst.item) == ("made/3", 5, some.item[own[2]])
    assert re.fullmatch(r"[NSV] as [NSV] \(0\.95\)", worst.said)


@pytest.mark.parametrize(
    ("out", "kinds"),
    [("reports", ["html", "json"]), ("a/b.html", ["html", "json"]), ("b.md", ["html", "json", "md"])],
)
def test_where_the_report_goes(out: str, kinds: list[str]) -> None:
    files = files_of(Path(out), "model-test")
    assert list(files) == kinds
    assert files["html"] == (
        Path("reports/model-test.html") if out == "reports" else Path(out).with_suffix(".html")
    )


def test_history_is_read_from_the_run_else_from_the_card(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "log.csv").write_text("step,seconds,lr,loss\n1,0.1,0.01,2.5\n2,0.2,0.02,1.5\n3,0.3,0.")
    (tmp_path / "validation.csv").write_text("step,score\n2,0.7\n")
    path = tmp_path / "model" / "ecg-test.json"
    found = history_of(path, card())
    assert found.losses == {"step": (1, 2), "seconds": (0.1, 0.2), "lr": (0.01, 0.02), "loss": (2.5, 1.5)}
    assert found.validation == {"step": (2,), "score": (0.7,)}
    kept = card(training={"seed": 7} | card_settings(found))
    again = of_card(ModelSpec.model_validate_json(kept.model_dump_json()))
    assert again.losses["loss"] == found.losses["loss"]
    assert again.validation == found.validation
    assert history_of(tmp_path / "elsewhere" / "ecg-test.json", kept) == again
    assert history_of(tmp_path / "elsewhere" / "x.json", card()) == History({}, {})


def test_a_long_history_is_thinned_out_for_the_card() -> None:
    steps = tuple(float(i) for i in range(5000))
    kept = card_settings(History({"step": steps, "loss": steps}, {}))
    assert len(kept["history.losses.loss"]) == 60
    assert (kept["history.losses.step"][0], kept["history.losses.step"][-1]) == (0.0, 4999.0)


def test_ticks_are_round_and_inside() -> None:
    assert nice_ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert nice_ticks(-3, 41, 4) == [0, 20, 40]
    assert nice_ticks(2, 2) == [2]


def test_a_chart_survives_missing_values() -> None:
    text = chart("Loss", [Series("loss", [1, 2, 3], [1.0, float("nan"), 3.0])], "step", "loss")
    assert "nan" not in text
    assert text.count('<path class="line"') == 1


def test_markdown_keeps_the_plain_tables() -> None:
    text = to_markdown(evaluation(), card(), "test patients")
    assert "| all | 99.12 (98.00 to 99.90) |" in text
    assert "made for a test" in text


def test_the_terminal_gets_the_number_of_rows_of_a_long_table() -> None:
    long = Table("by lead", ("lead", "n"), tuple((f"lead{i}", i) for i in range(41)), "a note")
    found = evaluation(tables=(long, replace(long, title="short", rows=long.rows[:40])))
    screen = to_markdown(found, card(), "test patients", most=40)
    assert "### by lead\n\n41 rows: in the report.\n" in screen
    assert "lead40" not in screen
    assert "| lead39 | 39 |" in screen
    assert "| lead40 | 40 |" in to_markdown(found, card(), "test patients")


def test_annotated_and_found_marks_have_rows_and_colours_of_their_own() -> None:
    signal = np.zeros((1, 1250), np.float32)
    marks = ((1.0, "P"), (1.2, "QRS"), (1.21, "T"))
    drawn = strip(Strip("a lead", 125.0, signal, marks, ((1.02, "P"), (1.21, "QRS"))))
    above = re.findall(r'class="annotated" x="[\d.]+" y="([\d.]+)">(\w+)<', drawn)
    below = re.findall(r'class="found" x="[\d.]+" y="([\d.]+)">(\w+)<', drawn)
    assert [text for _, text in above] == ["P", "QRS"], "a text that would overprint is left out"
    assert [text for _, text in below] == ["P", "QRS"]
    assert max(float(y) for y, _ in above) + 100 < min(float(y) for y, _ in below)
    assert "annotated (above)" in drawn
    assert "mV peak to peak" in drawn
    alone = strip(Strip("a lead", 125.0, signal, ((1.0, "here"),)))
    assert "annotated" not in alone


class FakeTask:
    """Scores nothing: says what it is asked to say."""

    def split(self) -> object:
        from training.task import Split

        return Split(("made/0",), (), ("made/1", "made/2"))

    def evaluate(self, model: object, thresholds: object, names: object) -> Evaluation:
        return evaluation(strips=())


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    torch.manual_seed(0)
    folder = tmp_path / "run" / "model"
    store.save(CnnLstm(CONFIG), card(), folder)
    (tmp_path / "run" / "validation.csv").write_text("step,score\n10,0.5\n20,0.7\n")
    monkeypatch.setattr(report_run, "task_of_model", lambda spec, data: FakeTask())
    return folder


def test_the_command_writes_report_and_card(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(saved / "ecg-test.json")
    assert (
        wardwave.main(["evaluate", model, str(tmp_path), "--out", str(tmp_path / "r.html"), "--update-card"])
        == 0
    )
    assert "r.html" in capsys.readouterr().out
    plain = json.loads((tmp_path / "r.json").read_text())
    assert plain["run"]["records"] == {"made": 2}
    assert plain["run"]["command"].startswith("wardwave")
    spec = store.load(model)[1]
    assert spec.metrics["qrs_se"].value == 0.9912
    assert "old" in spec.metrics
    assert {name: f.model_dump() for name, f in spec.metrics.items() if name != "old"} == plain["metrics"]
    assert spec.training["history.validation.score"] == [0.5, 0.7]
    assert spec.metrics_code_commit == plain["run"]["commit"]
    assert "Training history" in (tmp_path / "r.html").read_text()


def test_a_figure_that_is_measured_no_more_leaves_the_card(saved: Path, tmp_path: Path) -> None:
    card_file = saved / "ecg-test.json"
    spec = store.read_spec(card_file)
    key = f"{key_of(evaluation(strips=()).predictions[0])}_roc_area_gone"
    figure = Interval(value=0.9, low=0.8, high=1.0, n=5)
    store.save_card(spec.model_copy(update={"metrics": spec.metrics | {key: figure}}), saved)
    command = ["evaluate", str(card_file), str(tmp_path), "--out", str(tmp_path / "r.html"), "--update-card"]
    assert wardwave.main(command) == 0
    metrics = store.read_spec(card_file).metrics
    assert key not in metrics
    assert "old" in metrics


def test_figures_of_another_side_do_not_replace_those_of_the_test(saved: Path, tmp_path: Path) -> None:
    command = [
        "evaluate",
        str(saved),
        str(tmp_path),
        "--side",
        "train",
        "--out",
        str(tmp_path),
        "--update-card",
    ]
    assert wardwave.main(command) == 0
    metrics = store.read_spec(saved).metrics
    assert "train_qrs_se" in metrics
    assert "qrs_se" not in metrics


def test_an_empty_side_and_a_missing_folder_are_named(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="no such folder"):
        report_run.score(str(saved), tmp_path / "nowhere", "test")
    with pytest.raises(DataMissing, match="no record of the validation side"):
        report_run.score(str(saved), tmp_path, "validation")


@pytest.mark.data
def test_worst_strips_come_from_the_recordings(data_dir: Path) -> None:
    from training.report_strips import strip_of

    found = strip_of("mitdb/119 @ 100.0 s", "V as N", data_dir, card())
    assert found is not None
    assert found.signal.shape == (1, 1250)
    assert found.marks == ((5.0, "here"),)
    assert np.ptp(found.signal) > 0.5
    assert strip_of("mitdb/none @ 1.0 s", "", data_dir, card()) is None
    assert strip_of("no recording", "", data_dir, card()) is None
    whole = strip_of("cinc2017/A00001", "", data_dir, card())
    assert whole is None or whole.signal.shape[1] <= 3750
