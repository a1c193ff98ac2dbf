"""Scoring of rates and silences: recordings whose truth is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import wardwave
from inference.sound_cli import _words
from inference.sound_score import cycles_within, icbhi, score_pieces, score_rates, stretched, with_apnoea
from ingest.sounds import HeartSound, LungSound, breaths, sound_times
from ingest.types import SignalKind
from tests.sound_playing import PlainListener, asked_at

FS = 4_000


def lungs(folder: Path) -> Path:
    """Two simulated patients in the layout of ICBHI 2017."""
    (folder / "audio").mkdir(parents=True)
    lines = ["recording,patient,cycle,start_s,end_s,crackle,wheeze,official_split,diagnosis,location,device"]
    for patient, split in (("101", "train"), ("102", "test")):
        name = f"{patient}_1b1_Al_sc_Made"
        sound = LungSound(1, patient).next_samples(24 * FS)[:, 0]
        soundfile.write(folder / "audio" / f"{name}.flac", sound, FS, subtype="PCM_16")
        starts = [breath.start_s for breath, _ in zip(breaths(1, patient, ()), range(9), strict=False)]
        lines += [
            f"{name},{patient},{n},{begin:.3f},{end:.3f},0,0,{split},Healthy,Al,Made"
            for n, (begin, end) in enumerate(zip(starts[:-1], starts[1:], strict=True))
        ]
    (folder / "cycles.csv").write_text("\n".join(lines))
    return folder


def hearts(folder: Path) -> Path:
    """Two simulated patients in the layout of CirCor 2022."""
    folder.mkdir()
    for patient in ("1001", "1002"):
        sound = HeartSound(1, patient).next_samples(15 * FS)[:, 0]
        soundfile.write(folder / f"{patient}_AV.flac", sound, FS, subtype="PCM_16")
        beats = [sound_times(beat) for beat in HeartSound(1, patient)._beats.between(0.0, 15.0)]
        rows = [row for s1, s2 in beats for row in ((s1, s1 + 0.1, 1), (s2, s2 + 0.08, 3))]
        np.savetxt(folder / f"{patient}_AV.tsv", rows, delimiter="\t")
    return folder


def test_simulated_patients_score_nearly_without_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lung, heart = lungs(tmp_path / "icbhi"), hearts(tmp_path / "circor")
    assert wardwave.main(["score-sounds", "--icbhi", str(lung), "--circor", str(heart)]) == 0
    train, test, made, *beats = [
        line for line in capsys.readouterr().out.splitlines() if not line.startswith(wardwave.NOTICE)
    ]
    assert train.startswith("breaths, ICBHI test: ")
    assert test.startswith("breaths, ICBHI train: ")
    assert made.startswith("made apnoeas of 30 s: 2 of 2 told; 0 false alarms")
    assert [line.split(":")[0] for line in beats] == ["beats, CirCor chosen on", "beats, CirCor held out"]
    for line in (train, test, *beats):
        assert "within 5/min 100%" in line
        assert line.endswith("technical alarms: none")


def test_recordings_without_breath_are_scored_without_a_rate(tmp_path: Path) -> None:
    lung = lungs(tmp_path / "icbhi")
    for path in (lung / "audio").iterdir():
        soundfile.write(path, np.zeros(24 * FS), FS, subtype="PCM_16")
    scores = score_rates(SignalKind.LUNG_SOUND, icbhi(lung))
    assert _words(scores["train"]) == "15 s of 1 patients, 0% usable, no rate; technical alarms: none"


def test_live_pieces_are_held_against_the_cycles(tmp_path: Path) -> None:
    lung = lungs(tmp_path / "icbhi")
    for path in (lung / "audio").iterdir():
        sound, fs_hz = soundfile.read(path)
        at = np.arange(10 * FS, 14 * FS)
        sound[at] += 0.05 * np.sin(2 * np.pi * 1_300 * at / FS)
        soundfile.write(path, sound, fs_hz, subtype="PCM_16")
    records = []
    for record in icbhi(lung):
        heard = (record.cycles_s[:, 0] < 14) & (record.cycles_s[:, 1] > 10)
        records.append(replace(record, labels={"crackle": np.zeros_like(heard), "wheeze": heard}))
    scores = score_pieces(records, PlainListener())  # type: ignore[arg-type]
    wheeze = scores["train", "wheeze"]
    assert wheeze.pieces == len(asked_at("bed", 24))
    assert 1 <= wheeze.positive < wheeze.pieces
    assert wheeze.auroc > 0.7
    assert np.isnan(scores["test", "crackle"].auroc)


def test_a_recording_made_longer_keeps_its_breaths(tmp_path: Path) -> None:
    records = icbhi(lungs(tmp_path / "icbhi"))
    sound, fs_hz = soundfile.read(records[0].path, dtype="float32")
    long, line = stretched(records[0], sound, fs_hz, 90.0)
    assert len(line) == 90 * FS
    lengths = np.diff(records[0].cycles_s, axis=1)
    assert long.cycles_s[-1, 1] >= 90.0
    np.testing.assert_allclose(np.diff(long.cycles_s, axis=1)[: len(lengths)], lengths)
    joins = np.diff(line)
    assert np.abs(joins).max() <= np.abs(np.diff(sound)).max()
    for score in score_rates(SignalKind.LUNG_SOUND, records, 60.0).values():
        assert score.n_seconds >= 25
        assert np.median(score.all_errors) < 1.0


def test_made_cases_are_told_with_their_alarms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lung = lungs(tmp_path / "icbhi")
    assert wardwave.main(["score-sounds", "--icbhi", str(lung), "--made"]) == 0
    said = dict(
        line.split(": 1 made; ") for line in capsys.readouterr().out.splitlines() if ": 1 made; " in line
    )
    assert "breath_silence 1" in said["apnoea, the heart goes on"]
    assert "contact_lost" not in said["apnoea, the heart goes on"]
    assert said["breathing goes on"] == "alarms: none"
    assert "contact_lost 1" in said["sensor off, its own noise"]


def test_nothing_named_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert wardwave.main(["score-sounds"]) == 2
    assert "give --icbhi DIR or --circor DIR" in capsys.readouterr().out


def test_a_span_with_little_annotated_has_no_truth() -> None:
    cycles = np.array([[0.0, 2.0], [2.0, 4.0], [4.0, 6.5]])
    assert cycles_within(cycles, 0.0, 6.5) is not None
    np.testing.assert_allclose(cycles_within(cycles, 0.0, 5.0), [2.0, 2.0, 2.5])
    assert cycles_within(cycles, 0.0, 20.0) is None


def test_a_made_apnoea_lies_where_it_is_counted(tmp_path: Path) -> None:
    record = icbhi(lungs(tmp_path / "icbhi"))[0]
    sound, fs_hz = soundfile.read(record.path, dtype="float32")
    line = with_apnoea(sound, fs_hz)
    level = np.square(line[: 210 * FS]).reshape(-1, FS).mean(axis=1)
    assert level[121:149].max() < 0.1 * np.median(level[:120])
    assert np.median(level[150:]) == pytest.approx(np.median(level[:60]), rel=0.2)
