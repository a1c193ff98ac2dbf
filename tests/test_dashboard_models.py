"""The models' cards on the page: every shipped one renders, damaged ones say so, what is live is named."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import msgspec
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import model_cards, model_charts, model_sounds, page_models, shared
from dashboard.feed import Feed
from dashboard.model_cards import Card, Damaged
from dashboard.system_state import SystemSnapshot, SystemState
from inference.types import LoadedModel, WorkerStatus
from ingest.settings import load_settings
from models import cards, curves, verdict
from models.errors import CardMismatch
from models.spec import Interval, ModelSpec

NAMES = [path.stem for folder in (cards.WEIGHTS, verdict.VERDICTS) for path in sorted(folder.glob("*.json"))]
LIVE = ("ecg-cnn-lstm-1", "ecg-beats-1")


def running(*models: LoadedModel) -> SystemState:
    state = SystemState(lambda: 0.0)
    blank = {
        name: {str: "", int: 0, float: 0.0}.get(kind, [] if str(kind).startswith("list") else {})
        for name, kind in ((f.name, f.type) for f in msgspec.structs.fields(WorkerStatus))
    }
    known = {
        "member": "a",
        "role": "infer",
        "state": "running",
        "host": "pc",
        "pid": 7,
        "models": list(models),
    }
    state.add_status(WorkerStatus(**(blank | known)), 0.0)
    return state


def snapshot(*models: LoadedModel) -> SystemSnapshot:
    return running(*models).snapshot()


def by_name(found: list[Card | Damaged]) -> dict[str, Card]:
    return {one.spec.name: one for one in found if isinstance(one, Card)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one shipped model and its curves."""
    for name in ("ecg-beats-1.json", "ecg-beats-1.safetensors", "curves/ecg-beats-1.json"):
        target = tmp_path / "weights" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(cards.WEIGHTS / name, target)
    return tmp_path / "weights"


def read(folder: Path) -> list[Card | Damaged]:
    return model_cards.read_cards(folder, folder / "none")


def test_every_shipped_card_is_read_with_its_weights_and_its_curves() -> None:
    found = by_name(model_cards.read_cards())
    assert list(found) == NAMES
    assert all(card.intact and card.size_bytes for card in found.values())
    assert all(card.curves_problem is None for card in found.values())
    assert all(card.curves for card in found.values() if isinstance(card.spec, ModelSpec))


@pytest.mark.parametrize("name", LIVE)
def test_the_curves_of_live_models_are_small_and_whole(name: str) -> None:
    card = by_name(model_cards.read_cards())[name]
    assert card.curves is not None
    for one in card.curves.classifications:
        assert len(one.confusion) == len(one.classes)
        drawn = [curve for item in one.classes for curve in (item.roc, item.pr) if curve is not None]
        assert drawn
        assert all(1 < len(curve.x) == len(curve.y) <= 210 for curve in drawn)
        assert all(0 <= value <= 1 for curve in drawn for value in (*curve.x, *curve.y))


def test_a_damaged_card_gives_one_clear_line_and_hides_no_other(folder: Path) -> None:
    whole = json.loads((folder / "ecg-beats-1.json").read_text())
    (folder / "no-json.json").write_text("{")
    (folder / "wrong.json").write_text(json.dumps(whole | {"fs_hz": -1}))
    (folder / "binary.json").write_bytes(b"\xff\xfe\x00")
    found = read(folder)
    bad = {one.path.stem: one.why for one in found if isinstance(one, Damaged)}
    assert bad.keys() == {"no-json", "wrong", "binary"}
    assert "fs_hz" in bad["wrong"]
    assert all("\n" not in why for why in bad.values())
    assert list(by_name(found)) == ["ecg-beats-1"]


def test_weights_that_are_not_the_cards_are_told(folder: Path) -> None:
    (folder / "ecg-beats-1.safetensors").write_bytes(b"else")
    card = by_name(read(folder))["ecg-beats-1"]
    assert (card.intact, card.size_bytes) == (False, 4)
    (folder / "ecg-beats-1.safetensors").unlink()
    card = by_name(read(folder))["ecg-beats-1"]
    assert (card.intact, card.size_bytes) == (False, None)


def test_curves_of_other_weights_or_damaged_ones_are_not_drawn(folder: Path) -> None:
    path = folder / "curves" / "ecg-beats-1.json"
    whole = path.read_text()
    path.write_text(json.dumps(json.loads(whole) | {"sha256": "0" * 64}))
    card = by_name(read(folder))["ecg-beats-1"]
    assert card.curves is None
    assert "of other weights" in (card.curves_problem or "")
    path.write_text(whole[:500])
    assert "the whole" in (by_name(read(folder))["ecg-beats-1"].curves_problem or "")
    path.write_text(" " * (curves.MOST_BYTES + 1))
    with pytest.raises(CardMismatch, match="larger than"):
        curves.read(folder / "ecg-beats-1.json", "")
    path.unlink()
    card = by_name(read(folder))["ecg-beats-1"]
    assert (card.curves, card.curves_problem) == (None, None)


def test_live_is_what_runs_with_the_same_name_and_weights() -> None:
    spec = by_name(model_cards.read_cards())["ecg-beats-1"].spec
    late = dataclasses.replace(snapshot(), listening_s=60.0)
    assert model_cards.live_word(spec, late) == "not running"
    early = dataclasses.replace(snapshot(), listening_s=1.0)
    assert model_cards.live_word(spec, early) == "listening"
    same = snapshot(LoadedModel(spec.name, spec.sha256))
    assert model_cards.live_word(spec, same) == "live in worker pc:7"
    other = snapshot(LoadedModel(spec.name, "else"))
    assert model_cards.live_word(spec, other) == "OTHER WEIGHTS of this name run in worker pc:7"


def test_figures_are_said_in_words_with_intervals() -> None:
    assert model_cards.percent(Interval(value=0.971, low=0.868, high=0.994, n=9)) == "97 % (87 to 99)"
    few = Interval(value=0.5, low=float("nan"), high=float("nan"), n=1)
    nearly = Interval(value=0.9963, low=0.989, high=1.0, n=9)
    assert model_cards.percent(nearly) == "99.6 % (99 to 100)"
    assert model_cards.percent(few) == "50 % (too few patients for an interval)"
    found = by_name(model_cards.read_cards())
    spec = found["ecg-beats-1"].spec
    asked = model_cards.questions(spec.metrics)
    assert {"N", "S", "V", "F"} <= asked["beats_at_the_annotations"].keys()
    assert set(spec.metrics) == set(model_cards.rest(spec.metrics)) | {
        f"{question}_{what}_{one}"
        for question, classes in asked.items()
        for one, figures in classes.items()
        for what in figures
    }
    assert model_cards.class_word("N", spec) == "normal beats (N)"
    assert model_cards.shockable_words(spec.metrics) is None
    assert "it finds 95 %" in (model_cards.shockable_words(found["ecg-cnn-lstm-1"].spec.metrics) or "")
    assert model_cards.class_word("N", found["ecg-af-1"].spec) == "normal rhythm (N)"
    assert {row["Side"] for row in model_cards.sides(found["ecg-af-1"].spec)} == {
        "train",
        "validation",
        "test",
    }
    assert model_cards.history(found["ecg-shock-1"].spec).keys() == {"losses", "validation"}


def test_a_confusion_matrix_shows_counts_and_shares_of_each_row() -> None:
    card = by_name(model_cards.read_cards())["ecg-cnn-lstm-1"]
    assert card.curves is not None
    one = card.curves.classifications[0]
    frame = model_charts.confusion_chart(one).data
    assert len(frame) == len(one.classes) ** 2
    assert frame.groupby("truth")["share"].sum().round(6).isin([0.0, 1.0]).all()


def page() -> None:
    """The page as it is."""
    from dashboard import page_models

    page_models.show()


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> SystemState:
    """Both live models run; the feed reads nothing."""
    specs = [by_name(model_cards.read_cards())[name].spec for name in LIVE]
    feed = Feed(load_settings())
    feed.system = running(*(LoadedModel(spec.name, spec.sha256) for spec in specs))
    monkeypatch.setattr(shared, "feed", lambda: feed)
    page_models.cards.clear()
    return feed.system


@pytest.mark.parametrize("name", NAMES)
def test_every_card_renders(name: str, heard: SystemState) -> None:
    app = AppTest.from_function(page, default_timeout=30)
    app.session_state["model_card"] = name
    app.run()
    assert not app.exception
    assert app.subheader[0].value == name
    said = "\n".join(text.value for text in app.text)
    assert model_cards.NEVER in said
    assert ("Live now in worker pc:7" in said) == (name in LIVE)
    judges = name == "icu-verdict-1"
    assert ("Not in this card. The command that makes it: wardwave verdict" in said) == judges
    assert bool(app.get("vega_lite_chart")) != judges
    assert not app.error
    assert name in app.dataframe[0].value["Model"].tolist()


def test_the_page_names_a_damaged_card(
    folder: Path, heard: SystemState, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "bad.json").write_text("{")
    monkeypatch.setattr(page_models, "cards", lambda: read(folder))
    app = AppTest.from_function(page, default_timeout=30).run()
    assert not app.exception
    assert [one.value.startswith("The card bad.json cannot be read") for one in app.error] == [True]
    assert app.subheader[0].value == "ecg-beats-1"


def sound_spec(**figures: tuple[float, float, float]) -> ModelSpec:
    """The card of the lungs' network with other figures."""
    spec = cards.read_spec(cards.WEIGHTS / "lung-sounds-1.json")
    metrics = {
        name: Interval(value=value, low=low, high=high, n=9) for name, (value, low, high) in figures.items()
    }
    return spec.model_copy(update={"metrics": metrics})


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"cv_crackle_auroc": (0.70, 0.6, 0.8)}, "WEAK: do not rely on it (asked: 0.85)"),
        ({"cv_crackle_auroc": (0.80, 0.6, 0.9)}, "short of what is asked: 0.85"),
        ({"cv_crackle_auroc": (0.86, 0.8, 0.9)}, "reaches what is asked: 0.85, not for certain"),
        ({"cv_crackle_auroc": (0.93, 0.9, 0.95)}, "reaches what is asked: 0.85"),
        ({"cv_wheeze_map_ratio": (1.2, 0.9, 1.5)}, "WEAK: do not rely on it: not shown to beat chance (1)"),
        ({"cv_wheeze_map_ratio": (1.2, 1.1, 1.5)}, "better than chance"),
        (
            {"patient_diagnosis_balanced_accuracy": (0.99, 0.9, 1.0)},
            "WEAK: do not rely on it: device and disease go together in the data",
        ),
        ({"icbhi_specificity": (0.9, 0.8, 1.0)}, ""),
        ({"crackle_auroc": (float("nan"), float("nan"), float("nan"))}, ""),
    ],
)
def test_a_weak_figure_of_a_network_for_sounds_is_called_so(
    figures: dict[str, tuple[float, float, float]], said: str
) -> None:
    (row,) = model_sounds.rows(sound_spec(**figures))
    assert row["What to make of it"] == said


def test_pooled_folds_go_before_the_test_side_of_one() -> None:
    spec = sound_spec(crackle_auroc=(0.95, 0.9, 1.0), cv_crackle_auroc=(0.6, 0.5, 0.7))
    assert [row["Figure (95 %)"] for row in model_sounds.rows(spec)] == ["0.600 (0.500 to 0.700)"]
    assert model_cards.key_figures(spec) == "WEAK: crackle AUROC 0.600"
    strong = sound_spec(cv_crackle_auroc=(0.6, 0.5, 0.7), cv_wheeze_auroc=(0.9, 0.8, 1.0))
    assert model_cards.key_figures(strong) == "crackle AUROC 0.600 (weak), wheeze AUROC 0.900"


def test_figures_by_device_stand_in_a_table_where_the_card_has_them() -> None:
    spec = sound_spec(
        cv_device_Meditron_crackle_auroc=(0.7, 0.6, 0.8),
        cv_device_Meditron_icbhi_score=(0.5, 0.4, 0.6),
        cv_device_Litt3200_wheeze_auroc=(0.38, float("nan"), float("nan")),
    )
    assert model_sounds.device_rows(spec) == [
        {
            "Device": "Litt3200",
            "Crackles (AUROC)": "–",
            "Wheezes (AUROC)": "0.380 (too few patients for an interval)",
            "ICBHI Score": "–",
            "Breaths": 9,
        },
        {
            "Device": "Meditron",
            "Crackles (AUROC)": "0.700 (0.600 to 0.800)",
            "Wheezes (AUROC)": "–",
            "ICBHI Score": "0.500 (0.400 to 0.600)",
            "Breaths": 9,
        },
    ]
    assert model_sounds.device_rows(sound_spec(cv_crackle_auroc=(0.7, 0.6, 0.8))) == []


@pytest.mark.parametrize("name", [name for name in NAMES if "sounds" in name])
def test_the_shipped_networks_for_sounds_are_told_in_words(name: str) -> None:
    spec = by_name(model_cards.read_cards())[name].spec
    assert isinstance(spec, ModelSpec)
    words = {row["What"] for row in model_sounds.rows(spec)}
    asked = {
        "lung": {
            "Breaths with crackles told from those without (AUROC)",
            "ICBHI Score: mean of the next two",
        },
        "heart": {"Patients with a murmur told from those without (AUROC)", "S1 and S2 found to 40 ms (F1)"},
    }[spec.task]
    assert asked <= words
    assert len(model_cards.key_figures(spec)) <= model_cards.LONGEST_FIGURES
