"""Recordings are read as they were written, whatever their format, or refused clearly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyedflib
import pytest
import soundfile
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.errors import BadRecording
from ingest.readers import read_signal_files
from ingest.recording import Coding, kind_of_channel
from ingest.types import SignalKind


def write_wfdb(
    folder: Path, name: str, digital: np.ndarray, names: list[str], units: list[str], fs: float = 250
) -> Path:
    n_channels = digital.shape[1]
    wfdb.wrsamp(
        name,
        fs=fs,
        units=units,
        sig_name=names,
        d_signal=digital.astype(np.int64),
        fmt=["16"] * n_channels,
        adc_gain=[200.0, 350.0, 1000.0][:n_channels],
        baseline=[1024, -7, 0][:n_channels],
        write_dir=str(folder),
    )
    return folder / name


def test_wfdb_is_lossless_and_split_by_kind(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    digital = rng.integers(-2000, 2000, (500, 3))
    recording = read_signal_files(
        write_wfdb(tmp_path, "r1", digital, ["MLII", "V1", "PLETH"], ["mV", "mV", "NU"])
    )
    ecg, pleth = recording.signals
    assert (ecg.kind, ecg.channels, ecg.unit, ecg.fs_hz) == (SignalKind.ECG, ("MLII", "V1"), "mV", 250.0)
    assert (pleth.kind, pleth.channels, pleth.unit) == (SignalKind.PLETH, ("PLETH",), "au")
    assert ecg.coding is not None
    assert pleth.coding is not None
    np.testing.assert_array_equal(ecg.coding.digitise(ecg.samples), digital[:, :2])
    np.testing.assert_array_equal(pleth.coding.digitise(pleth.samples), digital[:, 2:])
    np.testing.assert_allclose(ecg.samples[:, 0], (digital[:, 0] - 1024) / 200, rtol=1e-6)


def test_wfdb_missing_samples_stay_missing(tmp_path: Path) -> None:
    digital = np.arange(-50, 50)[:, None].repeat(2, axis=1)
    digital[10:20, 1] = -32768
    signal = read_signal_files(write_wfdb(tmp_path, "r2", digital, ["II", "V"], ["mV", "mV"])).signals[0]
    assert np.isnan(signal.samples[10:20, 1]).all()
    assert not np.isnan(signal.samples[:, 0]).any()
    assert signal.coding is not None
    np.testing.assert_array_equal(signal.coding.digitise(signal.samples), digital)


def test_wfdb_part(tmp_path: Path) -> None:
    path = write_wfdb(tmp_path, "r3", np.arange(1000)[:, None], ["II"], ["mV"])
    whole = read_signal_files(path).signals[0].samples
    part = read_signal_files(path.with_suffix(".hea"), start_s=1.0, duration_s=2.0).signals[0].samples
    np.testing.assert_array_equal(part, whole[250:750])


def test_wfdb_microvolts_become_millivolts_without_loss(tmp_path: Path) -> None:
    digital = np.arange(-300, 300)[:, None]
    signal = read_signal_files(write_wfdb(tmp_path, "r4", digital, ["aVF"], ["uV"])).signals[0]
    assert signal.unit == "mV"
    np.testing.assert_allclose(signal.samples[:, 0], (digital[:, 0] - 1024) / 200 / 1000, rtol=1e-5)
    assert signal.coding is not None
    np.testing.assert_array_equal(signal.coding.digitise(signal.samples), digital)


def test_wfdb_multi_segment_with_a_hole(tmp_path: Path) -> None:
    first, second = np.arange(100)[:, None], np.arange(500, 650)[:, None]
    write_wfdb(tmp_path, "m_1", first, ["II"], ["mV"])
    write_wfdb(tmp_path, "m_2", second, ["II"], ["mV"])
    (tmp_path / "m.hea").write_text("m/3 1 250 300\nm_1 100\n~ 50\nm_2 150\n")
    signal = read_signal_files(tmp_path / "m").signals[0]
    assert signal.n_samples == 300
    np.testing.assert_allclose(signal.samples[:100, 0], (first[:, 0] - 1024) / 200, rtol=1e-6)
    assert np.isnan(signal.samples[100:150]).all()
    np.testing.assert_allclose(signal.samples[150:, 0], (second[:, 0] - 1024) / 200, rtol=1e-6)


def test_unknown_channels_are_left_out_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_wfdb(tmp_path, "r5", np.ones((10, 2)), ["II", "noise1"], ["mV", "mV"])
    recording = read_signal_files(path)
    assert recording.left_out == ("noise1",)
    assert recording.signals[0].channels == ("II",)
    assert "noise1" in caplog.text
    assert read_signal_files(path, kind="ecg").signals[0].channels == ("II", "noise1")


def write_edf(path: Path, labels: list[str], rates: list[int], bdf: bool = False) -> list[np.ndarray]:
    kind = pyedflib.FILETYPE_BDFPLUS if bdf else pyedflib.FILETYPE_EDFPLUS
    rng = np.random.default_rng(2)
    signals = [rng.integers(-2048, 2048, rate * 3).astype(np.int32) for rate in rates]
    with pyedflib.EdfWriter(str(path), len(labels), file_type=kind) as writer:
        for i, (label, rate) in enumerate(zip(labels, rates, strict=True)):
            writer.setSignalHeader(
                i,
                {
                    "label": label,
                    "dimension": "uV",
                    "sample_frequency": rate,
                    "physical_min": -800.0,
                    "physical_max": 800.0,
                    "digital_min": -2048,
                    "digital_max": 2047,
                    "transducer": "",
                    "prefilter": "",
                },
            )
        writer.writeSamples(signals, digital=True)
    return signals


@pytest.mark.parametrize("bdf", [False, True])
def test_edf_groups_by_kind_and_rate(tmp_path: Path, bdf: bool) -> None:
    path = tmp_path / ("e.bdf" if bdf else "e.edf")
    digital = write_edf(path, ["EEG Fp1-REF", "EEG O2-REF", "EEG O2-REF", "ECG"], [256, 256, 256, 128], bdf)
    eeg, ecg = read_signal_files(path).signals
    assert (eeg.kind, eeg.unit, eeg.fs_hz) == (SignalKind.EEG, "uV", 256.0)
    assert eeg.channels == ("EEG Fp1-REF", "EEG O2-REF", "EEG O2-REF#2")
    assert (ecg.kind, ecg.unit, ecg.fs_hz) == (SignalKind.ECG, "mV", 128.0)
    assert eeg.coding is not None
    assert ecg.coding is not None
    np.testing.assert_array_equal(eeg.coding.digitise(eeg.samples), np.stack(digital[:3], axis=1))
    np.testing.assert_array_equal(ecg.coding.digitise(ecg.samples)[:, 0], digital[3])
    np.testing.assert_allclose(eeg.samples[:, 0], (digital[0] + 2048) * 1600 / 4095 - 800, atol=1e-3)


@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_sound_is_a_lung_sound_unless_said(tmp_path: Path, ending: str) -> None:
    values = np.random.default_rng(3).integers(-20_000, 20_000, 4000).astype(np.int16)
    path = tmp_path / f"s.{ending}"
    soundfile.write(path, values, 4000, subtype="PCM_16")
    signal = read_signal_files(path).signals[0]
    assert (signal.kind, signal.unit, signal.fs_hz) == (SignalKind.LUNG_SOUND, "au", 4000.0)
    assert signal.coding is not None
    np.testing.assert_array_equal(signal.coding.digitise(signal.samples)[:, 0], values)
    assert read_signal_files(path, kind="heart_sound").signals[0].kind is SignalKind.HEART_SOUND


def test_stereo_sound_has_two_channels(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "st.wav", np.zeros((100, 2), np.int16), 8000)
    assert read_signal_files(tmp_path / "st.wav").signals[0].channels == ("left", "right")
    soundfile.write(tmp_path / "quad.wav", np.zeros((100, 4), np.int16), 8000)
    names = ("channel 1", "channel 2", "channel 3", "channel 4")
    assert read_signal_files(tmp_path / "quad.wav").signals[0].channels == names


def test_csv_with_times_units_and_holes(tmp_path: Path) -> None:
    rows = "\n".join(f"{i * 0.004:.3f},{i},{'' if i == 3 else i * 2}" for i in range(10))
    (tmp_path / "c.csv").write_text("time_s,II [uV],RESP\n" + rows + "\n")
    ecg, resp = read_signal_files(tmp_path / "c.csv").signals
    assert (ecg.fs_hz, ecg.unit, ecg.coding) == (250.0, "mV", None)
    np.testing.assert_allclose(ecg.samples[:, 0], np.arange(10) / 1000)
    assert resp.kind is SignalKind.RESP
    assert np.flatnonzero(np.isnan(resp.samples[:, 0])).tolist() == [3]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("0.1,0.2\n0.3,0.4\n", "names the channels"),
        ("II,V1\n1,2\n", "no rate"),
        ("time,II\n0,1\n0.1,x\n", "line 3, column 2: 'x'"),
        ("time,II\n0,1\n0.1\n", "line 3 has 1 cells"),
        ("time,II\n0,1\n0.1,1\n9,1\n", "line 3: times are not evenly spaced"),
        ("time,shoe\n0,1\n0.1,1\n", "'shoe'"),
        ("time,II [kg]\n0,1\n0.1,1\n", "unit 'kg'"),
        ("time,II\n0,1\n5,1\n", "rate of 0.2 Hz"),
    ],
)
def test_a_wrong_csv_is_refused_with_the_place(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(BadRecording) as caught:
        read_signal_files(tmp_path / "bad.csv")
    assert said in str(caught.value)
    assert "bad.csv" in str(caught.value)


@pytest.mark.parametrize("name", ["none.edf", "none.wav", "none.csv", "none"])
def test_absent_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadRecording, match="no such file|no WFDB header"):
        read_signal_files(tmp_path / name)


@pytest.mark.parametrize("name", ["x.edf", "x.bdf", "x.wav", "x.flac"])
def test_damaged_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"this is not what the ending says" * 20)
    with pytest.raises(BadRecording, match=r"not readable as|that is not read"):
        read_signal_files(tmp_path / name)


def test_wfdb_header_without_its_data(tmp_path: Path) -> None:
    (tmp_path / "h.hea").write_text("h 1 250 100\nh.dat 16 200/mV 16 0 0 0 0 II\n")
    with pytest.raises(BadRecording, match="not readable as WFDB"):
        read_signal_files(tmp_path / "h")


def test_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRecording, match="'ekg' is none of ecg"):
        read_signal_files(tmp_path / "x", kind="ekg")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (n, "ecg")
        for n in ("II", "MLII", "V", "V1", "v5", "ii", "ECG1", "aVF", "MCL1", "ECG Lead II", "EKG", "V6")
    ]
    + [(n, "eeg") for n in ("Fp1", "FP1-F7", "EEG Fpz", "EEG T3-LE", "Cz", "O2", "P7", "T8-P8")]
    + [
        ("PLETH", "pleth"),
        ("ABP", "abp"),
        ("ART", "abp"),
        ("BP", "abp"),
        ("RESP", "resp"),
        ("noise1", None),
        ("CVP", None),
    ],
)
def test_kind_by_channel_name(name: str, kind: str | None) -> None:
    assert kind_of_channel(name) == kind


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(-32_767, 32_767), min_size=1, max_size=50),
    st.floats(0.5, 1e5),
    st.floats(-40_000, 40_000),
)
def test_coding_round_trip(values: list[int], gain: float, baseline: float) -> None:
    coding = Coding((gain,), (baseline,))
    digital = np.array([*values, -32_768], np.int16)[:, None]
    np.testing.assert_array_equal(coding.digitise(coding.physical(digital)), digital)


@pytest.mark.data
@pytest.mark.parametrize(
    ("record", "kinds", "fs_hz", "length_s"),
    [
        ("mitdb/101", {"ecg"}, 360.0, 1805.6),
        ("vfdb/418", {"ecg"}, 250.0, 2100.0),
        ("cinc2015/a103l", {"ecg", "pleth"}, 250.0, 330.0),
    ],
)
def test_real_records_are_lossless(
    data_dir: Path, record: str, kinds: set[str], fs_hz: float, length_s: float
) -> None:
    recording = read_signal_files(data_dir / record)
    assert {str(signal.kind) for signal in recording.signals} == kinds
    reference = wfdb.rdrecord(str(data_dir / record), physical=False)
    for signal in recording.signals:
        assert signal.fs_hz == fs_hz
        assert signal.duration_s == pytest.approx(length_s, abs=0.1)
        columns = [reference.sig_name.index(name) for name in signal.channels]
        assert signal.coding is not None
        np.testing.assert_array_equal(signal.coding.digitise(signal.samples), reference.d_signal[:, columns])


@pytest.mark.data
def test_a_real_record_with_missing_samples_keeps_them(data_dir: Path) -> None:
    found = 0
    for header in sorted((data_dir / "cinc2015").glob("*.hea"))[:60]:
        signals = read_signal_files(header).signals
        physical = wfdb.rdrecord(str(header.with_suffix("")))
        for signal in signals:
            for column, name in enumerate(signal.channels):
                expected = np.isnan(physical.p_signal[:, physical.sig_name.index(name)])
                np.testing.assert_array_equal(np.isnan(signal.samples[:, column]), expected)
                found += int(expected.sum())
    assert found > 0
