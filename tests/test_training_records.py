"""Readers and the shipped model on real recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ingest.conditioning import ECG
from models import store
from training.corpus import load_names
from training.errors import DataMissing
from training.monitor_scores import evaluate
from training.monitor_tables import to_evaluation
from training.report import to_markdown
from training.session import thresholds_of
from training.sources import Recording, bit, read_annotated, readers

pytestmark = pytest.mark.data


def read(data_dir: Path, source: str, record: str) -> Recording:
    return next(make() for path, make in readers(source, data_dir / source, ECG) if path.name == record)


def test_a_beat_of_mitdb_stands_where_its_peak_appears(data_dir: Path) -> None:
    recording = read(data_dir, "mitdb", "103")
    normal = recording.beats[recording.beat_classes == 1]
    around = normal[10:1000, None].round().astype(int) + np.arange(-12, 13)
    peaks = recording.signal[0][around].argmax(1) - 12
    assert recording.signal.dtype == np.float32
    assert abs(np.median(peaks)) <= 2
    assert np.mean(np.abs(peaks) <= 3) > 0.95


def test_rhythm_marks_hold_until_the_next(data_dir: Path) -> None:
    rhythm = read(data_dir, "vfdb", "418").rhythm
    assert (rhythm == bit("vf")).sum() / 125 == pytest.approx(246, abs=2)
    assert rhythm[99_624 // 2 - 20] == bit("other")


def test_flutter_of_207_is_no_silence(data_dir: Path) -> None:
    recording = read(data_dir, "mitdb", "207")
    assert (~recording.beats_known).sum() / 125 == pytest.approx(143, abs=4)


def test_an_alarm_of_cinc2015_says_what_it_knows(data_dir: Path) -> None:
    false_asystole = read(data_dir, "cinc2015", "a103l").rhythm
    assert false_asystole[37_499] & bit("asystole") == 0
    assert false_asystole[37_499] & bit("other")
    assert np.isfinite(read(data_dir, "cinc2015", "t107l").signal).all()


def test_the_cache_gives_what_the_reader_gives(data_dir: Path, tmp_path: Path) -> None:
    names = ("vfdb/419", "vfdb/423", "vfdb/610")
    first = load_names(data_dir, names, ECG, tmp_path)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    (next(iter(stamps))).write_bytes(b"damaged")
    again = load_names(data_dir, names, ECG, tmp_path)
    assert len(first) == len(again) == len(stamps) == 3
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.signal, two.signal)
        np.testing.assert_array_equal(one.rhythm, two.rhythm)
    changed = [path for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp]
    assert len(changed) == 1


def test_bad_data_is_named(data_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="no WFDB records"):
        list(readers("mitdb", tmp_path, ECG))
    with pytest.raises(DataMissing, match="atr"):
        read_annotated("mitdb", data_dir / "nstdb" / "bw", ECG)
    with pytest.raises(DataMissing, match="no reader"):
        list(readers("chbmit", data_dir / "mitdb", ECG))


@pytest.mark.slow
def test_the_shipped_model_finds_beats_and_fibrillation_of_patients_it_never_saw(data_dir: Path) -> None:
    model, spec = store.load("ecg-cnn-lstm-1")
    unseen = [read(data_dir, "mitdb", "103"), read(data_dir, "mitdb", "200"), read(data_dir, "vfdb", "422")]
    report = evaluate(model, spec.step_s, thresholds_of(spec), unseen)
    assert report.metrics["qrs_se"].value > 0.99
    assert report.metrics["qrs_ppv"].value > 0.99
    assert report.metrics["veb_f1"].value > 0.8
    assert report.metrics["rhythm_shockable_sensitivity"].value > 0.7
    text = to_markdown(to_evaluation(report), spec, "test")
    assert "| 103 |" in text
    assert "vfdb/422" in text
