"""``wardwave explain`` of a sound: figure, numbers, and the map held against what people annotated."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

import wardwave
from inference.explanation_sound import SoundExplained
from ingest.types import SignalKind
from tests.sound_networks import FS_HZ
from tests.sound_sets import write_circor, write_icbhi
from training.explain_sound import Span, annotated_spans, map_inside

STEM = "101_1b1_Tc_sc_Litt3200"


@pytest.fixture(scope="module")
def breaths(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """9 s in breaths of 1.5 s: normal, crackle, wheeze, both, normal, normal."""
    folder = write_icbhi(tmp_path_factory.mktemp("sets") / "icbhi", {"101": "COPD", "102": "Healthy"})
    return folder / f"{STEM}.wav"


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".html", ".npz"])
def test_a_moment_of_a_sound_is_explained(
    breaths: Path, suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / f"why{suffix}"
    asked = ["explain", "lung-sounds-1", str(breaths), "--at", "4", "--class", "wheeze", "--out", str(out)]
    assert wardwave.main(asked) == 0
    said = capsys.readouterr().out
    assert "wheeze explained; crackle " in said
    assert "of the map lies in breaths annotated with wheeze, which take " in said
    assert "(1 is chance)" in said
    if suffix == ".html":
        text = out.read_text()
        for words in (
            f"lung-sounds-1 on {STEM}.wav, mono at 4 s: wheeze",
            "(1 is chance)",
            "HiResCAM",
            "acute",
        ):
            assert words in text
        assert "Research software" in text
    elif suffix == ".npz":
        held = np.load(out)
        assert held["cam"].shape[1] == len(held["attention"]) == 64
        assert held["frames"].shape == (48, 256)
        assert float(held["start_s"]) == pytest.approx(4 - 5.12 / 2, abs=0.05)
    else:
        assert out.read_bytes()[:4] in (b"\x89PNG", b"%PDF")


def test_a_murmur_is_held_against_systoles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_circor(tmp_path / "circor", {"1": "Present"})
    path = folder / "training_data" / "1_AV.wav"
    out = tmp_path / "why.png"
    assert wardwave.main(["explain", "heart-sounds-1", str(path), "--at", "3", "--out", str(out)]) == 0
    assert "of the map lies in systoles, which take " in capsys.readouterr().out


def test_annotations_are_those_of_either_layout(breaths: Path, tmp_path: Path) -> None:
    published = annotated_spans(breaths, SignalKind.LUNG_SOUND)
    assert [one.label for one in published[:4]] == ["normal", "crackle", "wheeze", "crackle and wheeze"]
    assert [one.sounds for one in published[:4]] == [(), ("crackle",), ("wheeze",), ("crackle", "wheeze")]
    assert (published[1].begin_s, published[1].end_s) == (1.5, 3.0)
    (tmp_path / "audio").mkdir()
    shutil.copy(breaths, tmp_path / "audio")
    rows = [
        f"{STEM},101,{n},{one.begin_s},{one.end_s},{int('crackle' in one.sounds)},"
        f"{int('wheeze' in one.sounds)},train,COPD,Tc,Litt3200,{FS_HZ}"
        for n, one in enumerate(published, 1)
    ]
    head = (
        "recording,patient,cycle,start_s,end_s,crackle,wheeze,official_split,diagnosis,location,device,"
        "native_fs_hz"
    )
    (tmp_path / "cycles.csv").write_text("\n".join([head, *rows]) + "\n")
    assert annotated_spans(tmp_path / "audio" / breaths.name, SignalKind.LUNG_SOUND) == published
    # Notes of one's own beside one's own recording are no annotations.
    own = tmp_path / "chest.wav"
    shutil.copy(breaths, own)
    own.with_suffix(".txt").write_text("coughs at the end\n")
    assert annotated_spans(own, SignalKind.LUNG_SOUND) == []


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([Span("wheeze", 0.0, 0.5, ("wheeze",))], (0.8, 0.5)),
        ([Span("wheeze", 0.0, 0.5, ("wheeze",)), Span("crackle", 0.5, 1.0, ("crackle",))], (0.8, 0.5)),
        ([Span("wheeze", 0.25, 0.5, ("wheeze",)), Span("both", 0.5, 1.0, ("wheeze",))], (0.6, 0.75)),
        ([Span("wheeze", -1.0, 3.0, ("wheeze",))], (None, None)),
        ([Span("crackle", 0.0, 0.5, ("crackle",))], (None, None)),
        ([], (None, None)),
    ],
)
def test_the_map_is_weighed_inside_what_was_annotated_with_the_class(
    spans: list[Span], expected: tuple[float | None, float | None]
) -> None:
    cam = np.array([[0.4, 0.2, 0.0, 0.0], [0.0, 0.2, 0.2, 0.0]], dtype=np.float32)
    attention = np.full(4, 0.25, dtype=np.float32)
    edges_hz = (60.0, 400.0, 1_900.0)
    found = SoundExplained("m", "wheeze", 0.5, {"wheeze": 0.5}, 0.0, 1.0, cam, edges_hz, attention, 0.25)
    mass, share = map_inside(found, spans)
    if expected[0] is None:
        assert (mass, share) == expected
    else:
        assert (mass, share) == (pytest.approx(expected[0]), pytest.approx(expected[1]))


@pytest.mark.parametrize(
    ("model", "arguments", "says"),
    [
        ("lung-sounds-1", ["--at", "900"], "--at 900: "),
        ("lung-sounds-1", ["--at", "4", "--class", "murmur"], "no such class; give one of crackle, wheeze"),
        ("lung-sounds-1", ["--at", "4", "--lead", "left"], "has mono"),
        ("lung-sounds-1", ["--at", "4", "--method", "grad_cam"], "sounds are explained by hires_cam"),
        ("lung-sounds-1", ["--at", "4", "--out", "x.gif"], ".png, .svg, .pdf, .html, .npz can be written"),
    ],
)
def test_what_cannot_be_explained_is_named_in_one_line(
    breaths: Path, model: str, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert wardwave.main(["explain", model, str(breaths), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


def test_a_sound_that_is_shorter_than_a_window_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(FS_HZ), FS_HZ)
    assert wardwave.main(["explain", "lung-sounds-1", str(tmp_path / "a.wav"), "--at", "0.5"]) == 2
    assert "looks at 5.12 s; give that or more" in capsys.readouterr().err
