"""``wardwave analyse`` of sounds: which network listens, and what is said of its answer."""

from pathlib import Path

import pytest
import soundfile

import wardwave
from models import cards
from tests.sound_networks import FS_HZ, breathing


@pytest.fixture(scope="module")
def chest(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("sounds") / "chest.wav"
    soundfile.write(path, breathing(12.0), FS_HZ)
    return str(path)


def test_the_answer_names_model_thresholds_and_weakness(
    chest: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = cards.read_spec("lung-sounds-1")
    balanced = card.metrics["cv_recording_diagnosis_balanced_accuracy"].value
    called = ", ".join(f"{name} from {card.thresholds[name]:.0%}" for name in ("crackle", "wheeze"))
    report = tmp_path / "report.html"
    assert wardwave.main(["analyse", chest, "--kind", "lung", "--html", str(report)]) == 0
    for said in (capsys.readouterr().out, report.read_text()):
        for words in (
            f"Listened to by lung-sounds-1 (sha256 {card.sha256[:12]})",
            f"{called}; probabilities are calibrated on validation patients",
            "healthy ",
            "Weak evidence, not calibrated",
            f"each group counted alike in {balanced:.1%}",
            "Research software",
        ):
            assert words in said


def test_another_network_listens_where_it_is_named_by_its_card(
    chest: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = Path(wardwave.__file__).parent / "models" / "weights"
    for ending in ("json", "safetensors"):
        data = (weights / f"heart-sounds-1.{ending}").read_bytes()
        (tmp_path / f"mine.{ending}").write_bytes(data.replace(b'"heart-sounds-1"', b'"mine"'))
    monkeypatch.chdir(tmp_path)
    assert wardwave.main(["analyse", chest, "--kind", "heart", "--heart-model", "mine.json"]) == 0
    assert "Listened to by mine" in capsys.readouterr().out


def test_without_a_network_nothing_is_looked_for(chest: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert wardwave.main(["analyse", chest, "--lung-model", "none"]) == 0
    said = capsys.readouterr().out
    assert "No network listened: crackles, wheezes and murmurs were not looked for" in said
    assert "breaths a minute" in said


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (["--lung-model", "nosuch"], "no model 'nosuch'; shipped are"),
        (["--lung-model", "heart-sounds-1"], "a model of task heart; name one of task lung"),
        (["--heart-model", "ecg-cnn-lstm-1"], "name one of task heart"),
    ],
)
def test_a_network_that_cannot_listen_is_refused_in_one_line(
    chest: str, named: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert wardwave.main(["analyse", chest, *named]) == 2
    (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("wardwave analyse:")]
    assert words in line
