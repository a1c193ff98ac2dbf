"""A recording is analysed as the ward would analyse it; hostile files are refused in one clear line."""

from __future__ import annotations

import errno
import io
import math
import os
import re
import shutil
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pyedflib
import pytest
import soundfile
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st

from inference import analysis_child, analysis_room
from inference.analysis import analyse
from inference.analysis_ecg import Networks, load_networks
from inference.analysis_findings import Findings, head_lines
from inference.analysis_gone import WHY, GoneWatch
from inference.analysis_job import AnalysisDesk, run_alone
from inference.analysis_limits import AnalysisLimits
from inference.analysis_read import Opened, ReadOptions, read_upload
from inference.analysis_sound import sound_findings, sound_picture
from inference.analysis_unpack import Upload
from inference.analysis_wire import Models, trace_of
from inference.cli import DEFAULT_BEATS, DEFAULT_MODEL
from inference.errors import AnalysisStopped, BadUpload
from inference.score_run import START_NS, play
from ingest.recording import Signal
from ingest.settings import IngestSettings
from ingest.simulate import Ward
from ingest.types import NS_PER_S, SignalKind

LIMITS = AnalysisLimits()
LENGTH_S = 45.0
VF_S = 22.0
LEADS = ("II", "V1")


@pytest.fixture(scope="module")
def ward() -> Ward:
    return Ward(1, 5, [f"bed-01:vf@{VF_S:g}s:23s"])


@pytest.fixture(scope="module")
def samples(ward: Ward) -> np.ndarray:
    chunks = ward.chunks(0, LENGTH_S)
    return np.concatenate([chunk.samples for chunk in chunks])[:, :2].astype(np.float64)


@pytest.fixture(scope="module")
def networks() -> Networks:
    return load_networks(DEFAULT_MODEL, DEFAULT_BEATS)


def wfdb_files(folder: Path, samples: np.ndarray, fmt: str = "16", name: str = "sim") -> list[Upload]:
    wfdb.wrsamp(
        name, fs=250, units=["mV"] * 2, sig_name=list(LEADS), p_signal=samples, fmt=[fmt] * 2,
        adc_gain=[200.0] * 2, baseline=[0] * 2, write_dir=str(folder),
    )  # fmt: skip
    return [Upload(path.name, path.read_bytes()) for path in sorted(folder.glob(f"{name}.*"))]


def as_edf(folder: Path, samples: np.ndarray) -> list[Upload]:
    path = folder / "sim.edf"
    with pyedflib.EdfWriter(str(path), 2, file_type=pyedflib.FILETYPE_EDFPLUS) as writer:
        writer.setSignalHeaders(
            [
                {"label": lead, "dimension": "mV", "sample_frequency": 250, "physical_max": 10.0,
                 "physical_min": -10.0, "digital_max": 32767, "digital_min": -32768, "transducer": "",
                 "prefilter": ""}
                for lead in LEADS
            ]
        )  # fmt: skip
        writer.writeSamples([np.ascontiguousarray(column) for column in samples.T])
    return [Upload(path.name, path.read_bytes())]


def as_csv(samples: np.ndarray) -> list[Upload]:
    rows = "\n".join(f"{i / 250:.3f},{a:.4f},{b:.4f}" for i, (a, b) in enumerate(samples))
    return [Upload("sim.csv", f"time_s,II,V1\n{rows}\n".encode())]


def as_zip(files: list[Upload], folder: str = "record/") -> list[Upload]:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.writestr(folder + file.name, file.data)
    return [Upload("sim.zip", out.getvalue())]


def read(
    tmp_path: Path, files: list[Upload], options: ReadOptions | None = None, limits: AnalysisLimits = LIMITS
) -> Opened:
    folder = tmp_path / "work"
    folder.mkdir(exist_ok=True)
    return read_upload(files, limits, options or ReadOptions(), folder)


FORMATS: dict[str, Callable[[Path, np.ndarray], list[Upload]]] = {
    "WFDB 16": lambda folder, x: wfdb_files(folder, x),
    "WFDB 212": lambda folder, x: wfdb_files(folder, x, "212"),
    "WFDB 516": lambda folder, x: wfdb_files(folder, x, "516"),
    "WFDB zip": lambda folder, x: as_zip(wfdb_files(folder, x)),
    "EDF": as_edf,
    "CSV": lambda folder, x: as_csv(x),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_back_the_samples(tmp_path: Path, samples: np.ndarray, name: str) -> None:
    opened = read(tmp_path, FORMATS[name](tmp_path, samples))
    (signal,) = opened.recording.signals
    assert opened.format == name.split()[0]
    assert (signal.kind, signal.channels, signal.fs_hz) == (SignalKind.ECG, LEADS, 250.0)
    np.testing.assert_allclose(signal.samples, samples, atol=0.006)
    assert ("taken as mV" in " ".join(opened.notes)) == (name == "CSV")


def test_a_recording_is_judged_as_the_live_pipeline_judges_it(
    tmp_path: Path, samples: np.ndarray, ward: Ward, networks: Networks
) -> None:
    files = wfdb_files(tmp_path, samples)
    opened = read(tmp_path, files)
    stages: list[tuple[str, float]] = []
    found = analyse(opened, networks, lambda name, share: stages.append((name, share)))
    assert found.ecg is not None
    assert max(share for name, share in stages if name == "ECG") == 1.0
    vf = next(alarm for alarm in found.ecg.alarms if alarm.kind == "vf")
    assert VF_S - 2 <= vf.onset_s <= vf.raised_s <= VF_S + 10
    true_s = np.array(
        [beat.time_s for beat in ward.truth("bed-01", LENGTH_S).beats if beat.time_s < VF_S - 1]
    )
    found_s = np.array(found.ecg.beats.times_s)
    nearest = np.abs(found_s[:, None] - true_s[true_s > 2][None]).min(axis=0)
    assert (nearest < 0.15).mean() > 0.95
    record = tmp_path / "sim"
    live = play([record], networks.predictor, networks.beats, IngestSettings())
    (alarms,) = live.values()
    expected = {(one.kind, (one.onset_ns - START_NS) / NS_PER_S) for one in alarms}
    assert {(one.kind, one.onset_s) for one in found.ecg.alarms} == {
        (kind, round(at_s, 3)) for kind, at_s in expected
    }
    assert msgspec.json.decode(msgspec.json.encode(found), type=Findings) == found
    assert any("high" in line for line in head_lines(found))


def test_the_child_process_finds_the_same_and_leaves_nothing_behind(
    tmp_path: Path, samples: np.ndarray, networks: Networks
) -> None:
    files = as_csv(samples[: 250 * 25])
    stages: list[str] = []
    result = run_alone(files, ReadOptions(), LIMITS, Models(), lambda stage: stages.append(stage.name))
    here = analyse(read(tmp_path, files), networks, lambda *_: None)
    assert result.findings.ecg == here.ecg
    assert result.findings.signals == here.signals
    assert result.findings.files[0].sha256
    assert result.findings.models == networks.names()
    (trace,) = result.traces.traces
    np.testing.assert_allclose(trace.physical(1.0, 3.0), samples[250:750], atol=0.001)
    folder = analysis_room.memory_folder()
    assert folder is None or not list(Path(folder).glob(f"{analysis_room.FOLDER}{os.getpid()}-*"))


@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_a_sound_is_measured_and_its_verdict_is_left_to_come(tmp_path: Path, ending: str) -> None:
    rng = np.random.default_rng(1)
    line = rng.normal(0, 0.1, 8_000).clip(-1, 1)
    line[4_000:] = 0.0
    line[:80] = 1.0
    path = tmp_path / f"s.{ending}"
    soundfile.write(path, line, 4_000, subtype="PCM_16")
    opened = read(tmp_path, [Upload(path.name, path.read_bytes())])
    found = analyse(opened, None, lambda *_: None)
    (sound,) = found.sounds
    assert sound.clipped_share == pytest.approx(0.01, abs=0.001)
    assert sound.silent_share == pytest.approx(0.5, abs=0.05)
    assert (sound.cycles, sound.verdict) == (None, None)
    assert "not looked for" in sound.statement
    picture = sound_picture(opened.recording.signals[0])
    assert picture.spectrum.max() == 255
    assert picture.spectrum[:, -20:].max() == 0
    assert picture.high.max() == pytest.approx(1.0, abs=0.001)


def test_an_eeg_without_a_network_says_that_nothing_was_looked_for(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    rows = "\n".join(f"{a:.3f},0" for a in rng.normal(0, 30, 1_000))
    files = [Upload("e.csv", f"Fp1-F7,F7-T7\n{rows}".encode())]
    found = analyse(read(tmp_path, files, ReadOptions(fs_hz=200.0)), None, lambda *_: None)
    (eeg,) = found.signals
    assert [channel.flat_share for channel in eeg.channels] == [0.0, 1.0]
    assert "seizures were not looked for" in eeg.statement
    assert found.eeg is not None
    assert [one.usable_share for one in found.eeg.electrodes] == [1.0, 0.0]
    assert "mV" not in " ".join(found.notes)


def test_channels_and_one_of_several_records_are_chosen(tmp_path: Path, samples: np.ndarray) -> None:
    both = wfdb_files(tmp_path, samples, name="a") + wfdb_files(tmp_path, samples, name="b")
    with pytest.raises(BadUpload, match=r"2 recordings \(a, b\); say which one"):
        read(tmp_path, both)
    opened = read(tmp_path, both, ReadOptions(record="b", channels=("V1",)))
    assert opened.recording.name == "b"
    assert opened.recording.signals[0].channels == ("V1",)
    with pytest.raises(BadUpload, match="no channel 'V9'; there are II, V1"):
        read(tmp_path, both, ReadOptions(record="a", channels=("V9",)))


def header(first: str, *lines: str) -> list[Upload]:
    return [Upload("r.hea", "\n".join([first, *lines]).encode()), Upload("r.dat", bytes(20_000))]


LINE = "r.dat 16 200(0)/mV 16 0 0 0 0 II"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (header("r 1 250 5000", "/etc/passwd 16 200/mV"), "'/etc/passwd' is no plain name"),
        (header("r 1 250 5000", "../r.dat 16 200/mV"), "'../r.dat' is no plain name"),
        (header("r 1 250 5000", "https://x.org/r.dat 16 200"), "is no plain name"),
        (header("r 1 250 5000", "s3://bucket/r.dat 16 200"), "is no plain name"),
        (header("r 1 250 5000", "other.dat 16 200"), "'other.dat' is not there"),
        (header("r/2 1 250 10000", "/abs/x 5000", "y 5000"), "segment '/abs/x 5000' is no plain name"),
        (header("r/1 1 250 10000", "y 5000"), "do not add up"),
        (header("r/1 1 250 5000", "y 5000"), "segment 'y.hea' is not there"),
        (header("r 2 250 5000", LINE), "says 2 signals but describes 1"),
        (header("r 1 250 50000", LINE), "truncated: r.hea says 50,000 samples, there are 10,000"),
        (header("r 1 1e99 5000", LINE), "rate 1e+99 Hz; 1 to 48000 Hz"),
        (header("r 1 -250 5000", LINE), "rate -250 Hz"),
        (header("r 1 nan 5000", LINE), "rate 'nan' is no finite number"),
        (header("r 1 250 5000", "r.dat 16 inf/mV"), "gain 'inf' is no finite number"),
        (header("r 1 250 5000", "r.dat 16 nan(0)/mV"), "gain 'nan'"),
        (header("r 1 250 5000", "r.dat 16 1e300/mV"), "gain 1e+300"),
        (header("r 1 250 5000", "r.dat 99 200/mV"), "format '99'"),
        (header("r 1 250 5000", "r.dat 16x5000 200/mV"), "truncated"),
        (header("r 1 250 999999999999", LINE), "truncated"),
        (header("r 0 250 5000"), "number of samples|holds no channel|not readable|no samples"),
        (header("<?xml version='1.0'?>"), "no WFDB header"),
        ([Upload("r.dat", bytes(100))], "without their header"),
        ([Upload("r.hea", b"\xff\xfe\x00")], "not UTF-8 text"),
        ([Upload("x.txt", b"hello")], "no recording that can be read"),
        ([Upload("../x.csv", b"II\n1")], "leads out of its folder"),
        ([Upload("x.csv", b"")], "empty, 0 bytes"),
        ([], "no file"),
    ],
)  # fmt: skip
def test_a_hostile_header_is_refused_in_one_line(tmp_path: Path, files: list[Upload], words: str) -> None:
    with pytest.raises(BadUpload, match=words.replace("+", r"\+")) as refusal:
        read(tmp_path, files)
    assert "\n" not in str(refusal.value)
    assert str(tmp_path) not in str(refusal.value)


def wav(data: bytes, promised: int | None = None, rate: int = 4_000) -> bytes:
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    body = b"WAVE" + head + struct.pack("<4sI", b"data", len(data) if promised is None else promised) + data
    return struct.pack("<4sI", b"RIFF", len(body)) + body


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("song.wav", b"ID3\x03" + bytes(500), "its content is no WAV (it looks like MP3)"),
        ("page.wav", b"<html>" + bytes(500), "it looks like HTML"),
        ("s.flac", wav(bytes(100)), "its content is no FLAC (it looks like WAV)"),
        ("s.flac", b"fLaC" + bytes(100), "damaged, or a sort of FLAC that is not read"),
        ("s.wav", wav(bytes(8_000), promised=80_000), "damaged: cut short, only 8,000 of 80,000 bytes"),
        ("s.wav", wav(b""), "holds no sound"),
        ("s.wav", wav(bytes(20_000), rate=2_000_000_000), "rate of|damaged"),
        ("s.wav", wav(bytes(20)), "at least 1 s"),
        ("s.wav", b"RIFF\x00\x00\x00\x00WAVE", "its head or its sound is missing"),
        ("e.edf", b"<?xml?>" + bytes(600), "its content is no EDF (it looks like XML)"),
        ("e.edf", b"0       " + b" " * 600, "number of signals '' is no finite number"),
        ("t.csv", b"<svg onload=alert(1)>", "its content is no table"),
        ("t.csv", b"II\n\x00", "bytes that are no text"),
        ("t.csv", b"time_s,II\n" + b"".join(b"%d,nan\n" % i for i in range(300)), "only missing samples"),
        ("t.csv", b"II\n" + b"1\n" * 500, "no rate"),
        ("t.csv", b"time_s,II\n0,inf\n0.004,1\n", "is no finite number"),
        ("t.csv", b"time_s,II\n0,1\n0.004,1e30\n" + b"".join(b"%.3f,1\n" % (i / 250) for i in range(2, 600)),
         "reaches 1e+30 mV"),
        ("t.csv", b"time_s,II\n0,1\n0,1\n", "not evenly spaced"),
        ("t.csv", b"time_s,what\n" + b"".join(b"%.3f,1\n" % (i / 250) for i in range(600)), "no known kind"),
        ("t.csv", ",".join(["II"] * 300).encode(), "300 channels; at most 64"),
        ("t.csv", b"time_s;II\n0;1\n0,004;2\n", "separated by semicolons"),
        ("t.csv", b"time_s\tII\n0\t1\n", "separated by tabs; name the file .tsv"),
        ("t.tsv", b"time_s,II\n0,1\n", "separated by commas; name the file .csv"),
        ("t.csv", b"time_s,II,V1\n0,000,0,12,-0,05\n", "decimal comma? write 0.12, not 0,12"),
        ("t.tsv", b"time_s\tII\n0,000\t0,12\n", "decimal comma; write 0.12, not 0,12"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_what_it_says_is_refused(
    tmp_path: Path, name: str, data: bytes, words: str
) -> None:
    with pytest.raises(BadUpload) as refusal:
        read(tmp_path, [Upload(name, data)])
    assert any(one in str(refusal.value) for one in words.split("|")), refusal.value
    assert str(tmp_path) not in str(refusal.value)


def a_table(samples: np.ndarray, head: str = "time_s,II,V1") -> list[Upload]:
    rows = "\n".join(f"{i / 250:.3f},{a:.6f},{b:.6f}" for i, (a, b) in enumerate(samples[:2500]))
    return [Upload("t.csv", f"{head}\n{rows}\n".encode())]


@pytest.mark.parametrize(("factor", "unit"), [(1_000, "uV"), (0.001, "V")])
def test_an_ecg_of_another_unit_is_refused_until_the_unit_is_named(
    tmp_path: Path, samples: np.ndarray, factor: float, unit: str
) -> None:
    with pytest.raises(BadUpload, match=rf"no unit in line 1.*\[{unit}\]\?\) or give it \(unit\)"):
        read(tmp_path, a_table(factor * samples))
    given = read(tmp_path, a_table(factor * samples), ReadOptions(unit=unit))
    named = read(tmp_path, a_table(factor * samples, f"time_s,II [{unit}],V1 [{unit}]"))
    for opened in (given, named):
        (signal,) = opened.recording.signals
        np.testing.assert_allclose(signal.samples, samples[:2500], atol=1e-3)
        assert opened.notes == []


def test_a_unit_that_is_named_is_believed_and_doubted_aloud(tmp_path: Path, samples: np.ndarray) -> None:
    opened = read(tmp_path, a_table(1_000 * samples), ReadOptions(unit="mV"))
    assert re.fullmatch(
        r"channel '(II|V1)' spans \d,\d{3} mV within a second, an ECG 0.01 to 20: is its unit right\? .*",
        opened.notes[0],
    )


def test_a_unit_that_is_none_is_refused(tmp_path: Path, samples: np.ndarray) -> None:
    with pytest.raises(BadUpload, match="ecg takes mV, uV, V"):
        read(tmp_path, a_table(samples), ReadOptions(unit="furlong"))
    with pytest.raises(BadUpload, match="unit 'm,V"):
        read(tmp_path, a_table(samples), ReadOptions(unit="m,V\n1,2"))


def test_a_flat_line_is_no_matter_of_units(tmp_path: Path) -> None:
    assert read(tmp_path, a_table(np.zeros((2500, 2)))).notes == [
        "no unit in the head of the table: ECG values are taken as mV"
    ]


def test_messages_name_no_options_of_a_command(tmp_path: Path, samples: np.ndarray) -> None:
    two = [*wfdb_files(tmp_path, samples, name="a"), *wfdb_files(tmp_path, samples, name="b")]
    untimed = Upload("t.csv", b"II\n" + b"1\n" * 500)
    unknown = Upload("t.csv", b"time_s,what\n" + b"".join(b"%.3f,1\n" % (i / 250) for i in range(600)))
    uneven = Upload("t.csv", b"time_s,II\n0,1\n0,1\n")
    for files in (two, [untimed], [unknown], [uneven]):
        with pytest.raises(BadUpload) as refusal:
            read(tmp_path, files)
        assert "--" not in str(refusal.value), refusal.value


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
@pytest.mark.parametrize("n_channels", [1, 2, 4])
def test_every_sort_of_wav_is_read(tmp_path: Path, subtype: str, n_channels: int) -> None:
    line = 0.5 * np.sin(np.arange(8_000)[:, None] * np.linspace(0.1, 0.2, n_channels))
    soundfile.write(tmp_path / "s.wav", line, 4_000, subtype=subtype)
    opened = read(tmp_path, [Upload("s.wav", (tmp_path / "s.wav").read_bytes())])
    (signal,) = opened.recording.signals
    assert signal.samples.shape == (8_000, n_channels)
    np.testing.assert_allclose(signal.samples, line, atol=0.02)


def test_a_folder_without_room_is_said_before_and_while_it_is_written(
    tmp_path: Path, samples: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    small = usage._replace(total=64_000_000, free=9_000)
    monkeypatch.setattr(analysis_room.shutil, "disk_usage", lambda _: small)
    monkeypatch.setattr(analysis_room, "MEMORY", tmp_path)
    with pytest.raises(BadUpload, match=r"MB left: hand in a shorter part, or .* \(shm_size\)"):
        read(tmp_path, as_csv(samples))
    assert "has 64 MB, a recording may have 200 MB" in (analysis_room.too_small(200_000_000) or "")
    assert analysis_room.too_small(64_000_000) is None
    monkeypatch.undo()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(BadUpload, match="is full: hand in a shorter part"):
        read(tmp_path, as_csv(samples))


def test_an_edf_whose_counts_are_wrong_is_refused(tmp_path: Path, samples: np.ndarray) -> None:
    (good,) = as_edf(tmp_path, samples)
    cases = {
        "truncated": good.data[:-100],
        "9999999 data records": None,
        "is no finite number": good.data[:244] + b"nan     " + good.data[252:],
        "data records of 1e+09 s": good.data[:244] + b"1e9     " + good.data[252:],
        "0 data records": good.data[:236] + b"0       " + good.data[244:],
        "its header does not fit": good.data[:252] + b"40  " + good.data[256:],
    }
    cases["9999999 data records"] = good.data[:236] + b"9999999 " + good.data[244:]
    for words, data in cases.items():
        assert data is not None
        with pytest.raises(BadUpload) as refusal:
            read(tmp_path, [Upload("sim.edf", data)])
        expected = "truncated" if words.startswith("9999999") else words
        assert expected in str(refusal.value)


def zipped(*members: tuple[str, bytes], mode: int = 0, packed: int = zipfile.ZIP_DEFLATED) -> list[Upload]:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packed) as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.compress_type, info.external_attr = packed, mode << 16
            archive.writestr(info, data)
    return [Upload("r.zip", out.getvalue())]


def encrypted() -> list[Upload]:
    (file,) = zipped(("a.csv", b"II"))
    data = bytearray(file.data)
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return [Upload("r.zip", bytes(data))]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (zipped(("bomb.csv", bytes(60_000_000))), "grows 1,0"),
        (zipped(*((f"{i}.dat", bytes(900_000)) for i in range(190))), "at most 100 MB"),
        (zipped(*((f"{i}.csv", b"x") for i in range(300))), "300 files; at most 200"),
        (zipped(("../../etc/cron.d/x.csv", b"II")), "leads out of its folder"),
        (zipped(("/etc/x.csv", b"II")), "leads out of its folder"),
        (zipped(("..\\x.csv", b"II")), "leads out of its folder"),
        (zipped(("link.csv", b"/etc/passwd"), mode=stat.S_IFLNK | 0o777), "symbolic link"),
        (zipped(("in.zip", zipped(("a.csv", b"II"))[0].data)), "an archive in the archive"),
        (zipped(("a.csv", b"II"), packed=zipfile.ZIP_LZMA), "packed by method 14"),
        (zipped(("a/x.csv", b"II"), ("b/x.csv", b"II")), "two files of this name"),
        (encrypted(), "is encrypted"),
        ([Upload("r.zip", zipped(("a.csv", b"II" * 500))[0].data[:60])], "broken archive"),
        (zipped(), "no recording|holds no files"),
    ],
)
def test_a_hostile_archive_is_refused(tmp_path: Path, files: list[Upload], words: str) -> None:
    limits = msgspec.structs.replace(LIMITS, max_unpacked_mb=100)
    with pytest.raises(BadUpload) as refusal:
        read(tmp_path, files, limits=limits)
    assert any(one in str(refusal.value) for one in words.split("|")), refusal.value


def test_what_is_too_large_or_too_long_is_refused_before_it_is_read(
    tmp_path: Path, samples: np.ndarray
) -> None:
    files = wfdb_files(tmp_path, samples)
    for words, limits in {
        "at most 1 MB": AnalysisLimits(max_upload_mb=1),
        "at most 0.01 h": AnalysisLimits(max_hours=0.01),
        "22,500 samples; at most 100": AnalysisLimits(max_samples=100),
        "2 channels; at most 1": AnalysisLimits(max_channels=1),
        "2 ECG leads; at most 1": AnalysisLimits(max_ecg_channels=1),
    }.items():
        given_files = [*files, Upload("x.atr", bytes(2_000_000))] if "MB" in words else files
        with pytest.raises(BadUpload, match=words):
            read(tmp_path, given_files, limits=limits)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(["x.csv", "x.hea", "x.edf", "x.wav", "x.zip"]))
def test_noise_is_refused_never_a_crash(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str
) -> None:
    begins = {"x.edf": b"0       ", "x.wav": b"RIFF\0\0\0\0WAVE", "x.zip": b"PK\x03\x04"}
    folder = tmp_path_factory.mktemp("noise")
    with pytest.raises(BadUpload):
        read_upload([Upload(name, begins.get(name, b"") + data)], LIMITS, ReadOptions(fs_hz=500.0), folder)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.floats(-5, 5, allow_nan=False, width=32)), min_size=300, max_size=320),
    st.sampled_from(
        [("II", "mV"), ("ecg", "uV"), ("V1 [mV]", None), ('"II"', "V"), ("MLII (uV)", None), ("V2 (mV)", "V")]
    ),
)
def test_a_table_is_read_as_it_is_written(
    tmp_path_factory: pytest.TempPathFactory, values: list[float | None], head: tuple[str, str | None]
) -> None:
    label, unit = head
    rows = "\n".join(f"{i / 250:.3f},{'' if value is None else value}" for i, value in enumerate(values))
    files = [Upload("t.csv", f"time_s,{label}\r\n{rows}".encode())]
    folder = tmp_path_factory.mktemp("table")
    if all(value is None for value in values):
        with pytest.raises(BadUpload, match="only missing"):
            read_upload(files, LIMITS, ReadOptions(unit=unit), folder)
        return
    (signal,) = read_upload(files, LIMITS, ReadOptions(unit=unit), folder).recording.signals
    named = next((one for one in ("uV", "mV") if one in label), unit)
    scale = {"uV": 1e-3, "mV": 1.0, "V": 1e3}[named or "mV"]
    expected = [math.nan if value is None else value * scale for value in values]
    np.testing.assert_allclose(signal.samples[:, 0], expected, rtol=1e-5, atol=1e-9)


def test_a_trace_travels_in_16_bits(samples: np.ndarray) -> None:
    line = samples.astype(np.float32).copy()
    line[10:20, 1] = np.nan
    trace = trace_of(Signal(SignalKind.ECG, LEADS, "mV", 250.0, line))
    np.testing.assert_allclose(trace.physical(0, LENGTH_S), line, atol=2e-4)
    assert trace.duration_s == LENGTH_S


def test_a_sound_of_silence_has_no_level() -> None:
    found = sound_findings(Signal(SignalKind.HEART_SOUND, ("mono",), "au", 4000.0, np.zeros((4000, 1), "f4")))
    assert (found.silent_share, found.peak_db) == (1.0, -180.0)


def test_an_analysis_is_stopped_by_its_time_or_by_its_user(samples: np.ndarray) -> None:
    late = AnalysisDesk(msgspec.structs.replace(LIMITS, time_s=1)).submit(as_csv(samples), ReadOptions())
    late.wait(30)
    assert isinstance(late.problem, AnalysisStopped)
    assert "not done after 1 s" in str(late.problem)
    desk = AnalysisDesk(LIMITS, at_once=1, most=2)
    first, second = (desk.submit(as_csv(samples), ReadOptions()) for _ in range(2))
    assert desk.ahead_of(second) == 1
    with pytest.raises(BadUpload, match="2 recordings wait already"):
        desk.submit(as_csv(samples), ReadOptions())
    second.cancel()
    first.cancel()
    for analysis in (first, second):
        analysis.wait(30)
        assert (str(analysis.problem), analysis.result) == ("cancelled", None)


def test_an_analysis_whose_browser_is_gone_is_cancelled_after_30_s(samples: np.ndarray) -> None:
    now_s, there = [0.0], [True]
    watch = GoneWatch(lambda: now_s[0])
    desk = AnalysisDesk(LIMITS, at_once=1)
    kept, left = (desk.submit(as_csv(samples), ReadOptions()) for _ in range(2))
    watch.watch(kept, lambda: True)
    watch.watch(left, lambda: there[0])
    now_s[0] = 100.0
    watch.look()
    there[0] = False
    for now_s[0] in (110.0, 129.9):
        watch.look()
    # A tab that is back within the time has lost nothing.
    there[0] = True
    watch.look()
    there[0] = False
    now_s[0] = 159.8
    watch.look()
    assert not left._cancelled.is_set()
    now_s[0] = 159.9
    watch.look()
    left.wait(30)
    assert (str(left.problem), left.result) == (WHY, None)
    assert not kept._cancelled.is_set()
    kept.cancel()
    kept.wait(30)


def test_a_child_without_memory_says_so(samples: np.ndarray) -> None:
    limits = msgspec.structs.replace(LIMITS, memory_mb=150)
    with pytest.raises((BadUpload, AnalysisStopped)) as stopped:
        run_alone(as_csv(samples), ReadOptions(), limits, Models(beats=None), lambda stage: None)
    assert "memory" in str(stopped.value) or "failed" in str(stopped.value)


def test_the_child_refuses_the_network() -> None:
    with pytest.raises(PermissionError, match="never uses the network"):
        analysis_child._refuse_network("socket.connect", ())
    analysis_child._refuse_network("open", ())
