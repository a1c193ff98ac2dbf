"""Recordings annotated by a model: written, read back, scored against what is true."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import wfdb

import wardwave
from ingest.sim_ecg import EcgStream
from ingest.sim_events import parse_event
from ingest.simulate import Ward
from models import store
from models.spec import RHYTHM_CLASSES, STEP_CLASSES
from training.annotate import (
    Annotations,
    Windows,
    annotate,
    find_beats,
    rhythm_marks,
    run_whole,
    second_rhythms,
    write,
)
from training.annotate_lead import read_lead
from training.errors import CannotAnnotate
from training.scoring import beat_scores, beat_table
from training.sources import BEAT_CLASS

MODEL = "ecg-cnn-lstm-1"
FS_HZ = 360.0


def write_record(folder: Path, samples: np.ndarray, name: str = "made", **changes: object) -> Path:
    n = samples.shape[1]
    fields = {"fs": FS_HZ, "units": ["mV"] * n, "sig_name": ["II", "V1"][:n], "fmt": ["16"] * n} | changes
    wfdb.wrsamp(name, p_signal=samples, write_dir=str(folder), **fields)
    return folder / name


def made(seconds: float, *events: str, fs_hz: float = FS_HZ) -> np.ndarray:
    script = [parse_event(text) for text in events]
    return EcgStream(1, "bed-01", script, fs_hz).next_samples(round(seconds * fs_hz)).astype(np.float64)


def read_beats(path: Path, annotator: str) -> tuple[np.ndarray, np.ndarray]:
    read = wfdb.rdann(str(path), annotator)
    of = BEAT_CLASS if annotator != "ww" else {name: i for i, name in enumerate(STEP_CLASSES) if i}
    beats = [(s / FS_HZ, of[y]) for s, y in zip(read.sample, read.symbol, strict=True) if y in of]
    return np.array([t for t, _ in beats]), np.array([k for _, k in beats], dtype=np.int64)


def test_beats_and_rhythm_of_a_made_recording_are_written_and_read_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = ("bed-01:pvc@0s:60s", "bed-01:vf@60s:20s")
    path = write_record(tmp_path, made(110.3, *events))
    assert wardwave.main(["annotate", str(path), "--out", str(tmp_path), "--beats-model", "none"]) == 0
    assert "made.ww: lead II, 110 s at 360 Hz" in capsys.readouterr().out
    read = wfdb.rdann(str(path), "ww")
    assert read.fs == FS_HZ
    assert (np.diff(read.sample) >= 0).all()
    truth = Ward(1, 1, events).truth("bed-01", 110.0)
    true_s = np.array([beat.time_s for beat in truth.beats])
    true_class = np.array([STEP_CLASSES.index(beat.label) for beat in truth.beats])
    found_s, found_class = read_beats(path, "ww")
    # Around the fibrillation it may be late to begin and to end: those seconds are not judged.
    fair_true = ((true_s < 58) | (true_s > 86)) & (true_s > 0.3)
    fair_found = ((found_s < 58) | (found_s > 86)) & (found_s > 0.3)
    table = beat_table(true_s[fair_true], true_class[fair_true], found_s[fair_found], found_class[fair_found])
    scores = beat_scores(table)
    assert scores.qrs_se == scores.qrs_ppv == 1.0
    nearest = np.abs(true_s[fair_true][:, None] - found_s[None]).min(1)
    assert np.median(nearest) < 0.012
    marks = [
        (s / FS_HZ, note.strip("\0")) for s, note in zip(read.sample, read.aux_note, strict=True) if note
    ]
    assert marks[0] == (0.0, "(N")
    shockable = [t for t, note in marks if note in ("(VFIB", "(VT")]
    back_s = next(t for t, note in marks if note == "(N" and t > 60)
    assert shockable[0] == pytest.approx(60.0, abs=3.0)
    assert back_s == pytest.approx(80.0, abs=4.0)


def test_fibrillation_stands_between_brackets() -> None:
    labels = np.array([5, 5, 5, 0, 0, 0, 0, 1, 1, 1])
    assert rhythm_marks(labels) == [
        (0.0, "+", "(N"),
        (3.0, "+", "(VFIB"),
        (3.0, "[", ""),
        (7.0, "]", ""),
        (7.0, "+", "(VT"),
    ]


def test_a_lead_is_chosen_by_name(tmp_path: Path) -> None:
    spec = store.read_spec(MODEL)
    path = write_record(tmp_path, made(10))
    assert read_lead(path, spec).name == "II"
    assert read_lead(path.with_suffix(".hea"), spec, "V1").name == "V1"
    with pytest.raises(CannotAnnotate, match="no ECG lead 'V6'; there are II, V1"):
        read_lead(path, spec, "V6")


def test_another_signal_in_mv_is_not_taken_for_an_ecg(tmp_path: Path) -> None:
    path = write_record(tmp_path, made(10), sig_name=["RESP", "V1"])
    assert read_lead(path, store.read_spec(MODEL)).name == "V1"


@pytest.mark.parametrize(
    ("samples", "changes", "says"),
    [
        (np.zeros((3600, 1)), {"units": ["mmHg"], "sig_name": ["ABP"]}, "no ECG in mV in it .*ABP in mmHg"),
        (np.zeros((360, 1)), {}, "1.0 s, too short: ecg-cnn-lstm-1 needs 8 s"),
        (np.full((3600, 1), np.nan), {"adc_gain": [1000.0], "baseline": [0]}, "lead II holds no sample"),
        (np.zeros((3600, 1)), {"fs": 50.0}, "50 Hz, too slow"),
    ],
)  # fmt: skip
def test_what_cannot_be_annotated_is_named(
    tmp_path: Path, samples: np.ndarray, changes: dict[str, object], says: str
) -> None:
    path = write_record(tmp_path, samples, **changes)
    with pytest.raises(CannotAnnotate, match=says):
        read_lead(path, store.read_spec(MODEL))


def test_a_missing_and_a_damaged_record_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert wardwave.main(["annotate", str(tmp_path / "none")]) == 2
    assert "no such WFDB record (none.hea is not there)" in capsys.readouterr().err
    path = write_record(tmp_path, made(10))
    path.with_suffix(".dat").unlink()
    with pytest.raises(CannotAnnotate, match="unreadable"):
        read_lead(path, store.read_spec(MODEL))
    path.with_suffix(".hea").write_text("nonsense\n")
    with pytest.raises(CannotAnnotate, match="unreadable"):
        read_lead(path, store.read_spec(MODEL))


def test_a_reference_is_never_overwritten(tmp_path: Path) -> None:
    found = Annotations(np.array([10, 20]), ("+", "N"), ("(N", ""), FS_HZ)
    (tmp_path / "made.atr").write_text("the reference")
    with pytest.raises(CannotAnnotate, match="is there already"):
        write(found, "made", tmp_path, "atr")
    assert (tmp_path / "made.atr").read_text() == "the reference"
    with pytest.raises(CannotAnnotate, match="letters only"):
        write(found, "made", tmp_path, "../x")
    assert write(found, "made", tmp_path) == write(found, "made", tmp_path)


def test_a_second_network_decides_the_classes(tmp_path: Path) -> None:
    model, spec = store.load(MODEL)
    lead = read_lead(write_record(tmp_path, made(20)), spec)

    def all_supraventricular(signal: np.ndarray, peaks: np.ndarray) -> np.ndarray:
        assert signal is lead.signal
        assert np.abs(signal[peaks]).mean() > 3 * np.abs(signal).mean()
        return np.full(len(peaks), 2)

    found = annotate(model, spec, lead, all_supraventricular)
    assert {symbol for symbol in found.symbol if symbol in "NSVF"} == {"S"}


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    model, spec = store.load(MODEL)
    lead = read_lead(write_record(tmp_path, made(10)), spec)
    other = spec.model_copy(update={"window_classes": ("a",) * 6, "task": "af"})
    with pytest.raises(CannotAnnotate, match="task af"):
        annotate(model, other, lead)


def test_every_beat_is_found_once_whatever_the_length(tmp_path: Path) -> None:
    model, spec = store.load(MODEL)
    whole = made(40)
    lead = read_lead(write_record(tmp_path, whole), spec)
    longest = find_beats(run_whole(model, spec, lead.signal), spec).time_s
    assert longest[0] < 1.5
    for seconds in (9.0, 13.37, 20.5):
        part = write_record(tmp_path, whole[: round(seconds * FS_HZ)], "part")
        found = find_beats(run_whole(model, spec, read_lead(part, spec).signal), spec).time_s
        expected = longest[longest < seconds - 0.4]
        assert len(found[found < seconds - 0.4]) == len(expected)
        np.testing.assert_allclose(found[: len(expected)], expected, atol=0.03)


def test_short_stretches_take_the_rhythm_before() -> None:
    spec = store.read_spec(MODEL)
    n = 40
    rhythms = np.zeros((n, len(RHYTHM_CLASSES)), dtype=np.float32)
    rhythms[:, RHYTHM_CLASSES.index("other")] = 1
    rhythms[20:32] = np.eye(6)[RHYTHM_CLASSES.index("vf")]
    rhythms[5] = np.eye(6)[RHYTHM_CLASSES.index("noise")]
    start = np.arange(n) * 125
    found = Windows(start, np.zeros((n, 1000), np.float32), np.zeros((n, 125, 5), np.float32), rhythms)
    labels = second_rhythms(found, spec, n + 7)
    assert len(labels) == n + 7
    assert set(labels.tolist()) == {0, 5}
    # Windows 20 to 31 judge the seconds from 24 to 39.
    vf = np.flatnonzero(labels == 0)
    assert vf[0] in (24, 25)
    assert vf[-1] in (37, 38, 39)


@pytest.mark.data
@pytest.mark.parametrize(("record", "ectopic"), [("119", True), ("220", False)])
def test_a_real_recording_annotated_from_end_to_end(
    record: str, ectopic: bool, data_dir: Path, tmp_path: Path
) -> None:
    path = data_dir / "mitdb" / record
    command = ["annotate", str(path), "--out", str(tmp_path), "--beats-model", "none"]
    assert wardwave.main(command) == 0
    true_s, true_class = read_beats(path, "atr")
    found_s, found_class = read_beats(tmp_path / record, "ww")
    scores = beat_scores(beat_table(true_s, true_class, found_s, found_class))
    assert scores.qrs_se > 0.995
    assert scores.qrs_ppv > 0.995
    offset = found_s[np.abs(found_s[None] - true_s[:, None]).argmin(1)] - true_s
    assert abs(np.median(offset)) < 0.006
    if ectopic:
        assert scores.veb_se > 0.95
        assert scores.veb_ppv > 0.95
