"""A user's own WFDB folder: what it must tell, what is wrong with it, and fine-tuning on it end to end."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import wfdb

import wardwave
from ingest.conditioning import ECG
from models import store
from training.cli import register
from training.config import FolderConfig
from training.corpus import build_corpus, load_names
from training.errors import BadAnnotation, BadRecipe, DataMissing, TrainingError
from training.folder_labels import Labels, Patients, Shares, read_labels
from training.folder_sides import folds_of, patients_of, sides_of
from training.folder_source import Folder, open_folder
from training.monitor_recipes import MonitorRecipe
from training.monitor_sampling import Sampler
from training.session import check_sides, task_of_model
from training.sources import bit

FS_HZ = 250
SECONDS = 40
RECORDS = [f"p{patient}_{part}" for patient in range(1, 7) for part in "ab"]
LABELS = """
annotator = "lab"
[beats]
N = ["N"]
V = ["V"]
[rhythms]
other = ["(N"]
[patients]
before = "_"
"""
SMALL = {
    "optimizer.steps": "2",
    "optimizer.batch": "8",
    "optimizer.warmup_steps": "0",
    "run.validate_every": "2",
    "run.threads": "1",
}


def ecg(seed: int, seconds: int = SECONDS) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """A made ECG in mV (n, 1), samples of its beats and their symbols: every fifth is wide."""
    rng = np.random.default_rng(seed)
    n = seconds * FS_HZ
    beats = np.arange(FS_HZ, n - FS_HZ, round(0.8 * FS_HZ))
    symbols = ["V" if i % 5 == 4 else "N" for i in range(len(beats))]
    time, signal = np.arange(n), rng.normal(0, 0.01, n)
    for beat, symbol in zip(beats, symbols, strict=True):
        signal += np.exp(-(((time - beat) / (16.0 if symbol == "V" else 4.0)) ** 2))
    return signal[:, None], beats, symbols


def write_record(
    folder: Path, name: str, seed: int = 0, *, seconds: int = SECONDS, unit: str = "mV", fs_hz: int = FS_HZ
) -> None:
    signal, beats, symbols = ecg(seed, seconds)
    wfdb.wrsamp(
        name,
        fs=fs_hz,
        units=[unit],
        sig_name=["II"],
        p_signal=signal,
        fmt=["16"],
        adc_gain=[200.0],
        baseline=[0],
        write_dir=str(folder),
    )
    sample = np.concatenate([[1], beats])
    notes = ["(N", *[""] * len(beats)]
    wfdb.wrann(name, "lab", sample, ["+", *symbols], aux_note=notes, fs=fs_hz, write_dir=str(folder))


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Twelve records of six patients with their label map."""
    folder = tmp_path / "own"
    folder.mkdir()
    for seed, name in enumerate(RECORDS):
        write_record(folder, name, seed)
    (folder / "labels.toml").write_text(LABELS)
    return folder


def opened(folder: Path, labels: str | None = None) -> Folder:
    if labels is not None:
        (folder / "labels.toml").write_text(labels)
    return open_folder(FolderConfig(records=str(folder), labels=str(folder / "labels.toml")))


def test_records_are_read_with_the_users_own_labels(own: Path) -> None:
    folder = opened(own)
    assert folder.records == tuple(sorted(RECORDS))
    recording = next(read() for path, read in folder.readers(ECG) if path.name == "p1_a")
    assert recording.signal.shape == (1, SECONDS * 125)
    assert recording.beats_known.all()
    _, beats, symbols = ecg(0)
    np.testing.assert_array_equal(recording.beat_classes, [3 if s == "V" else 1 for s in symbols])
    # Positions are where the conditioned peaks appear.
    for at in recording.beats[::5]:
        around = recording.signal[0, round(at) - 8 : round(at) + 9]
        assert abs(int(around.argmax()) - 8) <= 1
    assert set(recording.rhythm[12:].tolist()) == {bit("other")}


def test_a_patient_stands_on_one_side(own: Path) -> None:
    folder = opened(own)
    sides = {name: folder.side_of(name) for name in RECORDS}
    for patient in range(1, 7):
        assert sides[f"p{patient}_a"] == sides[f"p{patient}_b"]
    assert sorted(set(sides.values())) == ["test", "train", "validation"]
    assert {name: opened(own).side_of(name) for name in RECORDS} == sides


def test_sides_and_patients_come_from_files(own: Path) -> None:
    (own / "who.csv").write_text("record,patient\n" + "".join(f"{name},{name[:2]}x\n" for name in RECORDS))
    (own / "split.csv").write_text(
        "patient,side\n" + "".join(f"p{i}x,{'train' if i < 5 else 'validation'}\n" for i in range(1, 7))
    )
    text = LABELS.replace('before = "_"', 'file = "who.csv"\n[split]\nfile = "split.csv"')
    folder = opened(own, text)
    assert [folder.side_of(name) for name in ("p1_a", "p4_b", "p5_a")] == ["train", "train", "validation"]


@pytest.mark.parametrize("k", [2, 3, 6])
def test_folds_are_by_patient_and_each_patient_tests_once(own: Path, k: int) -> None:
    folds = opened(own).folds(k)
    tested = [name for fold in folds for name in fold.test]
    assert sorted(tested) == sorted(f"folder/{name}" for name in RECORDS)
    for fold in folds:
        check_sides(fold)
        sides = [{name.split("_")[0] for name in side} for side in (fold.train, fold.validation, fold.test)]
        assert sum(map(len, sides)) == len(set.union(*sides)) == 6


def test_more_folds_than_patients_are_refused() -> None:
    with pytest.raises(DataMissing, match="5 folds of 4 patients"):
        folds_of({"a", "b", "c", "d"}, 5)


def drop_annotation(folder: Path) -> None:
    (folder / "p2_a.lab").unlink()


def drop_signal(folder: Path) -> None:
    (folder / "p2_a.dat").unlink()


def truncate_signal(folder: Path) -> None:
    (folder / "p2_a.dat").write_bytes((folder / "p2_a.dat").read_bytes()[:-2])


def damage_header(folder: Path) -> None:
    (folder / "p2_a.hea").write_text("nonsense\n")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (drop_annotation, r"1 records without annotations \.lab .*: p2_a"),
        (drop_signal, "whose signal file is missing: p2_a"),
        (truncate_signal, "whose signal file is shorter than its header says.*: p2_a"),
        (damage_header, "whose header cannot be read: p2_a"),
        (lambda folder: write_record(folder, "p2_a", seconds=8), "shorter than 10 s.*: p2_a"),
        (lambda folder: write_record(folder, "p2_a", unit="uV"), r"without a channel in mV \(uv\).*: p2_a"),
        (lambda folder: write_record(folder, "p2_a", fs_hz=50), "sampled at 50 Hz; 88 Hz is the least: p2_a"),
        (lambda folder: (folder / "RECORDS").write_text("p1_a p9_z p2_a p3_a"), "without a header.*: p9_z"),
        (lambda folder: (folder / "RECORDS").write_text("p1_a ward/p9_z"), "RECORDS: ward/p9_z lie in other"),
        (lambda folder: (folder / "p2_a.lab").write_bytes(b"\0\0"), r"annotations \.lab are empty.*: p2_a"),
    ],
)
def test_what_is_wrong_with_records_is_named(own: Path, spoil: Callable[[Path], object], says: str) -> None:
    spoil(own)
    with pytest.raises(TrainingError, match=says):
        opened(own)


def test_a_record_that_is_listed_twice_trains_once(own: Path) -> None:
    (own / "RECORDS").write_text("\n".join([*RECORDS, "p1_a"]))
    assert opened(own).records == tuple(RECORDS)


def test_a_patient_on_two_sides_of_the_file_is_refused(own: Path) -> None:
    rows = "".join(f"p{i},{'train' if i < 5 else 'validation'}\n" for i in range(1, 7))
    (own / "split.csv").write_text(rows + "p1,test\n")
    with pytest.raises(BadAnnotation, match=r"split\.csv: p1 is 'train' and 'test'; leave one row"):
        opened(own, LABELS + '[split]\nfile = "split.csv"\n')


def test_rhythm_marks_alone_do_not_say_that_there_are_no_beats(own: Path) -> None:
    wfdb.wrann("p1_a", "lab", np.array([9]), ["+"], aux_note=["(N"], write_dir=str(own))
    recordings = {path.name: read() for path, read in opened(own).readers(ECG)}
    assert not recordings["p1_a"].beats_known.any()
    assert recordings["p1_a"].rhythm[100:].all()
    assert recordings["p1_b"].beats_known.all()


def test_signals_under_another_name_are_part_of_the_caches_key(own: Path, tmp_path: Path) -> None:
    (own / "p1_a.dat").rename(own / "signals.dat")
    header = own / "p1_a.hea"
    header.write_text(header.read_text().replace("p1_a.dat", "signals.dat"))
    opened(own)
    name, cache = ("folder/p1_a",), tmp_path / "cache"
    before = load_names(tmp_path, name, ECG, cache)[0].signal
    assert len(list(cache.iterdir())) == 1
    content = (own / "signals.dat").read_bytes()
    (own / "signals.dat").write_bytes(content[1000:] + content[:1000])
    assert not np.array_equal(load_names(tmp_path, name, ECG, cache)[0].signal, before)


def test_everything_that_is_wrong_comes_in_one_error(own: Path) -> None:
    drop_annotation(own)
    write_record(own, "p3_b", seconds=8)
    with pytest.raises(TrainingError, match="p2_a") as caught:
        opened(own, LABELS.replace('V = ["V"]\n', ""))
    assert "p3_b" in str(caught.value)
    # The two records that cannot be used are not counted.
    n_wide = sum(symbol == "V" for symbol in ecg(0)[2]) * (len(RECORDS) - 2)
    assert f"'V' {n_wide} times" in str(caught.value)


def test_unknown_symbols_and_notes_are_counted(own: Path) -> None:
    n_wide = sum(symbol == "V" for symbol in ecg(0)[2]) * len(RECORDS)
    with pytest.raises(BadAnnotation, match=rf"'V' {n_wide} times; give them a class under \[beats\]"):
        opened(own, LABELS.replace('V = ["V"]\n', ""))
    with pytest.raises(BadAnnotation, match=rf"'\(N' {len(RECORDS)} times"):
        opened(own, LABELS.replace('other = ["(N"]', 'af = ["(AFIB"]'))
    opened(own, LABELS.replace('V = ["V"]\n', "") + '[ignore]\nsymbols = ["V"]\n')


def test_a_class_without_training_samples_is_named(own: Path) -> None:
    with pytest.raises(DataMissing, match=r"no training patient has class S \(0 on other sides\)"):
        opened(own, LABELS.replace("[beats]", '[beats]\nS = ["S"]'))


def test_doubtful_rates_and_gaps_are_warned_of(own: Path, caplog: pytest.LogCaptureFixture) -> None:
    signal, beats, symbols = ecg(0)
    signal[: 10 * FS_HZ] = np.nan
    layout = {"units": ["mV"], "sig_name": ["II"], "fmt": ["16"], "adc_gain": [200.0], "baseline": [0]}
    wfdb.wrsamp("p1_a", fs=FS_HZ, p_signal=signal, write_dir=str(own), **layout)
    write_record(own, "p2_a", fs_hz=1000)
    with caplog.at_level(logging.WARNING):
        folder = opened(own)
        assert "p2_a: median R-R interval 0.2 s: is the header's rate right?" in caplog.text
        assert "p1_a: median" not in caplog.text
        for path, read in folder.readers(ECG):
            if path.name in ("p1_a", "p1_b"):
                read()
    assert "p1_a: lead II misses 25 % of its samples" in caplog.text
    inside = int((beats < 10 * FS_HZ).sum())
    assert f"p1_a: {inside} of {len(beats)} annotated beats lie where lead II has no samples" in caplog.text
    assert "p1_b: " not in caplog.text


def test_symbols_of_no_beat_are_listed_unless_ignored(own: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, beats, symbols = ecg(0)
    symbols[1], symbols[2], symbols[3] = "~", "~", "x"
    wfdb.wrann("p1_a", "lab", beats, symbols, fs=FS_HZ, write_dir=str(own))
    with caplog.at_level(logging.INFO):
        opened(own, LABELS + "[ignore]\nsymbols = ['x']\n")
    assert "[ignore], or give them a class): '~' 2 times" in caplog.text
    assert "'x'" not in caplog.text


def test_rhythms_of_the_map_that_no_record_has_are_warned_of(
    own: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for seed, name in enumerate(RECORDS):
        _, beats, symbols = ecg(seed)
        wfdb.wrann(name, "lab", beats, symbols, fs=FS_HZ, write_dir=str(own))
    with caplog.at_level(logging.WARNING):
        opened(own, LABELS.replace("[rhythms]", '[rhythms]\naf = ["(AFIB"]'))
    assert "no record has a note of rhythm af, other" in caplog.text
    with pytest.raises(DataMissing, match="no annotation of any class"):
        opened(own, '[rhythms]\naf = ["(AFIB"]'.join(['annotator = "lab"\n', "\n"]))


def test_kinds_that_a_shipped_set_lacks_are_an_error(own: Path) -> None:
    opened(own)
    corpus = build_corpus(load_names(own, [f"folder/{name}" for name in RECORDS], ECG, own / "cache"))
    recipe = MonitorRecipe(name="x", description="x")
    noise = np.random.default_rng(0).normal(size=20_000).astype(np.float32)
    parts = (recipe.augment, recipe.loss, recipe.architecture)
    with pytest.raises(DataMissing, match="--set data.draw.vf=0"):
        Sampler(corpus, noise, recipe.data, *parts)
    sampler = Sampler(corpus, noise, recipe.data.model_copy(update={"sources": ("folder",)}), *parts)
    assert not set(sampler.kinds) & set(ABSENT)
    assert sampler.shares.sum() == pytest.approx(1.0)
    assert sampler.batch(0, 0, 4)["x"].shape == (4, 1, 1000)


def test_a_class_without_validation_samples_is_warned_of(own: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("p6_a", "p6_b"):
        _, beats, _ = ecg(0)
        wfdb.wrann(name, "lab", beats, ["N"] * len(beats), fs=FS_HZ, write_dir=str(own))
    (own / "split.csv").write_text(
        "".join(f"p{i},{'validation' if i == 6 else 'train'}\n" for i in range(1, 7))
    )
    with caplog.at_level(logging.WARNING):
        opened(own, LABELS + '[split]\nfile = "split.csv"\n')
    assert "no validation patient has class V" in caplog.text


def test_an_empty_or_foreign_label_map_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.toml"
    for text, says in {
        "annotator = 'atr'": "nothing could be learned",
        "[beats]\nQ = ['Q']": "beats.Q: no such class; there are N, S, V, F, unclassed",
        "[beats]\nN = ['N', 'V']\nV = ['V']": "V stands in two classes",
        "beats = [": "no TOML",
        "[beat]\nN = ['N']": "beat: Extra inputs",
        "[beats]\nN = ['N']\n[patients]\nprefix = 2\nbefore = '_'": "give one of",
    }.items():
        path.write_text(text)
        with pytest.raises(BadAnnotation, match=says):
            read_labels(path)
    with pytest.raises(DataMissing):
        read_labels(tmp_path / "none.toml")


def test_without_a_label_map_wfdb_codes_mean_what_aami_says() -> None:
    labels = Labels()
    assert [labels.beat_class(symbol) for symbol in "NAVFQ/+"] == [1, 2, 3, 4, -1, -1, None]
    assert [labels.rhythm_class(note) for note in ("(VFL", "(AFIB", "(SBR", "")] == [
        "vf",
        "af",
        "other",
        None,
    ]


@pytest.mark.parametrize(
    ("rule", "patients"),
    [
        (Patients(), {"p1_a": "p1_a", "p1_b": "p1_b"}),
        (Patients(prefix=2), {"p1_a": "p1", "p1_b": "p1"}),
        (Patients(before="_"), {"p1_a": "p1", "p1_b": "p1"}),
    ],
)
def test_rules_of_patients(rule: Patients, patients: dict[str, str], tmp_path: Path) -> None:
    assert patients_of(("p1_a", "p1_b"), rule, tmp_path) == patients


def test_too_few_patients_or_an_incomplete_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="2 patients cannot train, validate and test"):
        sides_of({"a", "b"}, Shares(), tmp_path)
    assert sorted(sides_of({"a", "b"}, Shares(test=0), tmp_path).values()) == ["train", "validation"]
    (tmp_path / "split.csv").write_text("a,train\n")
    with pytest.raises(DataMissing, match="no side for patient b"):
        sides_of({"a", "b"}, Shares(file="split.csv"), tmp_path)
    (tmp_path / "split.csv").write_text("a,train\nb,tests\n")
    with pytest.raises(BadAnnotation, match="'tests'; train, validation, test"):
        sides_of({"a", "b"}, Shares(file="split.csv"), tmp_path)


def test_signals_without_a_value_or_of_an_impossible_height_are_refused(own: Path) -> None:
    folder = opened(own)
    for scale, says in ((np.nan, "no finite sample"), (1000.0, "mV high")):
        signal, _, _ = ecg(0)
        wfdb.wrsamp(
            "p1_a",
            fs=FS_HZ,
            units=["mV"],
            sig_name=["II"],
            p_signal=signal * scale,
            fmt=["16"],
            adc_gain=[20.0],
            baseline=[0],
            write_dir=str(own),
        )
        read = next(read for path, read in folder.readers(ECG) if path.name == "p1_a")
        with pytest.raises(DataMissing, match=says):
            read()


def write_noise(data: Path) -> None:
    """What stands in for nstdb on a bare clone: two records of noise."""
    (data / "nstdb").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("bw", "ma"):
        wfdb.wrsamp(
            name,
            fs=360,
            units=["mV", "mV"],
            sig_name=["noise1", "noise2"],
            p_signal=rng.normal(0, 0.2, (360 * 60, 2)).cumsum(0) * 0.01 + rng.normal(0, 0.1, (360 * 60, 2)),
            fmt=["16", "16"],
            adc_gain=[200.0, 200.0],
            baseline=[0, 0],
            write_dir=str(data / "nstdb"),
        )


def arguments(own: Path, data: Path, out: Path, **settings: str) -> list[str]:
    chosen = SMALL | settings
    return [
        *("train", "ecg-cnn-lstm-1", "--records", str(own), "--labels", str(own / "labels.toml")),
        *("--data", str(data), "--out", str(out)),
        *(word for key, value in chosen.items() for word in ("--set", f"{key}={value}")),
    ]


ABSENT = ("beats_S", "beats_F", "vf", "vt", "asystole", "af", "noise", "unsure")


def test_fine_tuning_on_an_own_folder_from_the_shipped_model(
    own: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_noise(tmp_path / "data")
    command = arguments(own, tmp_path / "data", tmp_path / "out")
    with caplog.at_level(logging.WARNING):
        assert wardwave.main([*command, "--from-weights", "ecg-cnn-lstm-1"]) == 0
    assert f"no training window of kind {', '.join(ABSENT)}: not drawn" in caplog.text
    card = json.loads((tmp_path / "out" / "model" / "ecg-cnn-lstm-1.json").read_text())
    assert card["training"]["from_weights"] == "ecg-cnn-lstm-1"
    assert card["training"]["from_weights_drawn_anew"] == []
    assert card["training"]["folder.records"] == str(own)
    assert all(name.startswith("folder/p") for name in card["split"]["train"])
    labels = own / "labels.toml"
    pair = ["ecg-cnn-lstm-1", str(tmp_path / "out" / "model")]
    compare = ["models", "compare", *pair, "data", "--records", str(own), "--labels", str(labels)]
    assert wardwave.main(compare) == 0
    labels.write_text(LABELS + "[ignore]\nsymbols = ['x']\n")
    assert wardwave.main([*command, "--from-weights", "ecg-cnn-lstm-1"]) == 2
    assert "is of another run: labels is" in capsys.readouterr().err
    # The card alone tells on what it can be scored again.
    task = task_of_model(store.read_spec(tmp_path / "out" / "model"), tmp_path / "data")
    assert task.split().test == tuple(card["split"]["test"])
    assert len(card["split"]["train"]) + len(card["split"]["validation"]) + len(card["split"]["test"]) == 12


def test_the_beats_recipe_learns_from_own_records(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_noise(tmp_path / "data")
    settings = SMALL | {"data.cinc2017": "false", "data.made_beats": "50"}
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    labels = ["--labels", str(own / "labels.toml")]
    command = ["train", "ecg-beats-1", "--records", str(own), *labels, "--data", "data", "--out", "out"]
    assert wardwave.main([*command, *words]) == 0
    card = json.loads((tmp_path / "out" / "model" / "ecg-beats-1.json").read_text())
    assert card["split"]["test"] == [f"folder/p{opened(own).split().test[0][8]}_{part}" for part in "ab"]
    assert card["data"].startswith(f"own records {own}")
    command = ["crossval", *command[1:-1], "folds", "--folds", "2", "--report", "folds.md"]
    assert wardwave.main([*command, *words]) == 0
    report = (tmp_path / "folds.md").read_text()
    assert all(f"folder/{name}" in report for name in RECORDS)


def test_a_shipped_model_is_scored_on_all_own_records(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    command = [
        "evaluate",
        "ecg-cnn-lstm-1",
        "data",
        "--records",
        str(own),
        "--labels",
        str(own / "labels.toml"),
    ]
    assert wardwave.main([*command, "--out", "report"]) == 0
    (written,) = (tmp_path / "report").glob("*.json")
    for name in RECORDS:
        assert name in written.read_text()
    assert "no strip" not in capsys.readouterr().err
    assert wardwave.main([*command, "--update-card"]) == 2
    assert "--update-card" in capsys.readouterr().err


def test_the_check_command_reads_all_and_keeps_the_split(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels, split = str(own / "labels.toml"), own / "split.csv"
    command = ["datasets", "check", str(own), "--labels", labels]
    assert wardwave.main([*command, "--write-split", str(split)]) == 0
    assert "12 records of 6 patients (1 test, 4 train, 1 validation)" in capsys.readouterr().out
    before = opened(own)
    (own / "labels.toml").write_text(LABELS + '[split]\nfile = "split.csv"\n')
    assert {name: opened(own).side_of(name) for name in RECORDS} == {
        name: before.side_of(name) for name in RECORDS
    }
    signal_file = own / "p3_a.dat"
    signal_file.write_bytes(np.full(SECONDS * FS_HZ, -32768, dtype="<i2").tobytes())
    assert wardwave.main(command) == 1
    assert "p3_a" in capsys.readouterr().out


def test_labels_without_records_are_refused(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers())
    args = parser.parse_args(["train", "ecg-smoke", "--labels", str(tmp_path / "labels.toml")])
    with pytest.raises(BadRecipe, match="--records"):
        args.run(args)


def test_a_check_of_a_folder_names_the_label_map(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert wardwave.main(["datasets", "check", str(own)]) == 2
    assert "--labels labels.toml" in capsys.readouterr().err
