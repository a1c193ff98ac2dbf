"""Sounds as people hand them in: what is read, and what is refused in one line."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

import wardwave
from inference.analysis import analyse
from inference.analysis_limits import AnalysisLimits
from inference.analysis_read import Opened, ReadOptions, read_upload
from inference.analysis_unpack import Upload
from inference.errors import BadUpload
from ingest import sound_files
from ingest.errors import BadRecording
from ingest.replay import read_sources
from ingest.types import SignalKind
from tests.sound_networks import FS_HZ, breathing

LIMITS = AnalysisLimits()


def read(folder: Path, name: str, data: bytes, kind: str | None = "lung_sound") -> Opened:
    work = folder / "work"
    work.mkdir(exist_ok=True)
    return read_upload([Upload(name, data)], LIMITS, ReadOptions(kind), work)


def written(folder: Path, name: str, line: np.ndarray, fs_hz: int, subtype: str | None = None) -> bytes:
    path = folder / name
    soundfile.write(path, line, fs_hz, subtype=subtype)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "subtype", "fs_hz", "off"),
    [
        ("a.wav", "PCM_U8", 4_000, 0.01),
        ("a.wav", "PCM_16", 4_000, 1e-4),
        ("a.wav", "PCM_24", 4_000, 1e-5),
        ("a.wav", "FLOAT", 4_000, 1e-6),
        ("a.wav", "DOUBLE", 44_100, 1e-6),
        ("a.flac", "PCM_16", 4_000, 1e-4),
        ("a.aiff", "PCM_16", 4_000, 1e-4),
    ],
)
def test_every_sort_of_sound_gives_back_its_samples(
    tmp_path: Path, name: str, subtype: str, fs_hz: int, off: float
) -> None:
    line = breathing(3.0, fs_hz=fs_hz)
    (signal,) = read(tmp_path, name, written(tmp_path, name, line, fs_hz, subtype)).recording.signals
    assert (signal.kind, signal.fs_hz) == (SignalKind.LUNG_SOUND, fs_hz)
    np.testing.assert_allclose(signal.samples[:, 0], line, atol=off)


@pytest.mark.parametrize("name", ["a.mp3", "a.ogg"])
def test_a_lossy_sound_is_read(tmp_path: Path, name: str) -> None:
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(3 * 16_000) / 16_000)
    opened = read(tmp_path, name, written(tmp_path, name, tone, 16_000), "heart_sound")
    (signal,) = opened.recording.signals
    assert (opened.format, signal.kind) == (name[2:].upper(), SignalKind.HEART_SOUND)
    power = np.abs(np.fft.rfft(signal.samples[:, 0]))
    assert power.argmax() / signal.duration_s == pytest.approx(440, abs=2)


def test_a_sound_of_96_khz_is_thinned_without_mirror_tones(tmp_path: Path) -> None:
    at = np.arange(2 * 96_000) / 96_000
    line = 0.2 * np.sin(2 * np.pi * 440 * at) + 0.2 * np.sin(2 * np.pi * 47_000 * at)
    data = written(tmp_path, "a.wav", line, 96_000, "FLOAT")
    (signal,) = read(tmp_path, "a.wav", data).recording.signals
    assert (signal.fs_hz, signal.duration_s) == (48_000, 2.0)
    power = np.abs(np.fft.rfft(signal.samples[:, 0]))
    assert power.argmax() == 880
    assert power[1_000:].max() < power.max() / 300


def test_stereo_keeps_both_channels_by_their_names(tmp_path: Path) -> None:
    both = np.stack([breathing(2.0), -breathing(2.0)], axis=1)
    (signal,) = read(tmp_path, "a.wav", written(tmp_path, "a.wav", both, FS_HZ)).recording.signals
    assert signal.channels == ("left", "right")


def test_an_offset_changes_nothing_that_is_found(tmp_path: Path) -> None:
    line = breathing(20.0)
    found = []
    for offset in (0.0, 0.4):
        data = written(tmp_path, "a.wav", line + offset, FS_HZ, "FLOAT")
        (sound,) = analyse(read(tmp_path, "a.wav", data), None, lambda *_: None).sounds
        assert sound.rates is not None
        found.append((sound.rates.median, sound.lost))
    assert found[0][0] == pytest.approx(found[1][0], abs=0.1)
    assert found[0][1] == found[1][1] == []


def test_a_sound_whose_kind_was_not_given_says_what_it_was_taken_for(tmp_path: Path) -> None:
    data = written(tmp_path, "heart.wav", breathing(2.0), FS_HZ)
    opened = read(tmp_path, "heart.wav", data, None)
    assert opened.recording.signals[0].kind is SignalKind.LUNG_SOUND
    assert "taken as a lung sound" in " ".join(opened.notes)
    assert "taken as" not in " ".join(read(tmp_path, "heart.wav", data).notes)


def test_more_than_three_hours_are_refused(tmp_path: Path) -> None:
    data = as_wav(np.zeros(round(3.2 * 3_600 * 100)), 100, "PCM_U8")
    with pytest.raises(BadUpload, match=r"long.wav: a sound of 3.2 h; at most 3 h: export a shorter part"):
        read(tmp_path, "long.wav", data)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.wav", r"a.wav: damaged: cut short, only 319,978 of 640,000 bytes"),
        ("a.flac", r"a.flac: damaged, its sound cannot be decoded to the end; copy or export it again"),
        ("a.mp3", r"a.mp3: cut short: \d+.\d of 20.0 s of sound are there; copy the file again"),
    ],
)
def test_a_sound_that_is_cut_short_is_refused(tmp_path: Path, name: str, words: str) -> None:
    data = written(tmp_path, name, breathing(20.0, fs_hz=16_000), 16_000)
    with pytest.raises(BadUpload, match=words) as refused:
        read(tmp_path, name, data[: len(data) // 2])
    assert "\n" not in str(refused.value)
    assert str(tmp_path) not in str(refused.value)


def test_a_sound_without_a_length_in_its_head_is_as_long_as_what_is_there(tmp_path: Path) -> None:
    data = written(tmp_path, "a.ogg", breathing(20.0, fs_hz=16_000), 16_000)
    (signal,) = read(tmp_path, "a.ogg", data[: len(data) // 2]).recording.signals
    assert 5 < signal.duration_s < 15


@pytest.mark.parametrize("name", ["a.mp3", "a.ogg", "a.opus", "a.aiff", "a.flac", "a.wav"])
@pytest.mark.parametrize("data", [b"", b"ID3\x03" + bytes(400), bytes(1_000), b"<html>" * 50])
def test_what_is_no_sound_is_refused_in_one_line(tmp_path: Path, name: str, data: bytes) -> None:
    with pytest.raises(BadUpload) as refused:
        read(tmp_path, name, data)
    assert str(refused.value).startswith(f"{name}: ")
    assert "\n" not in str(refused.value)


LINE = breathing(12.0)
OF_16_KHZ = breathing(12.0, fs_hz=16_000)


def as_wav(line: np.ndarray, fs_hz: int = FS_HZ, subtype: str | None = None, form: str = "WAV") -> bytes:
    held = io.BytesIO()
    soundfile.write(held, line, fs_hz, subtype=subtype, format=form)
    return held.getvalue()


def with_length(length: int) -> bytes:
    """A WAV whose head says something else of how much sound there is."""
    data = as_wav(LINE)
    return data[:40] + struct.pack("<I", length) + data[44:]


ANSWERED: dict[str, Callable[[], bytes]] = {
    "stereo.wav": lambda: as_wav(np.stack([LINE, LINE], axis=1)),
    "8-bit.wav": lambda: as_wav(LINE, subtype="PCM_U8"),
    "24-bit.wav": lambda: as_wav(LINE, subtype="PCM_24"),
    "float.wav": lambda: as_wav(LINE, subtype="FLOAT"),
    "telephone.wav": lambda: as_wav(LINE, subtype="ULAW"),
    "96-khz.wav": lambda: as_wav(breathing(12.0, fs_hz=96_000), 96_000),
    "lossless.flac": lambda: as_wav(LINE, form="FLAC"),
    "lossy.mp3": lambda: as_wav(OF_16_KHZ, 16_000, form="MP3"),
    "lossy.ogg": lambda: as_wav(OF_16_KHZ, 16_000, form="OGG"),
    "lossy.opus": lambda: as_wav(OF_16_KHZ, 16_000, "OPUS", "OGG"),
    "offset.wav": lambda: as_wav(LINE + 0.5, subtype="FLOAT"),
    "long-form.wav": lambda: as_wav(LINE, form="RF64"),
    "no-length.wav": lambda: with_length(0xFFFFFFFF),
}


@pytest.mark.parametrize("name", ANSWERED)
def test_what_sound_libraries_read_is_analysed_and_replayed(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(ANSWERED[name]())
    opened = read(tmp_path, name, (tmp_path / name).read_bytes())
    (sound,) = analyse(opened, None, lambda *_: None).sounds
    assert sound.rates is not None
    assert sound.rates.median == pytest.approx(15.0, abs=0.5)
    assert sound.lost == []
    assert ("gives no length" in " ".join(opened.notes)) == (name == "no-length.wav")
    (source,) = read_sources([str(tmp_path / name)], ["bed"], kind="lung_sound")
    assert source.signal.duration_s == pytest.approx(12.0, abs=0.1)


@pytest.mark.parametrize(
    ("name", "line", "words"),
    [
        ("silence.wav", np.zeros_like(LINE), "silent_share=1.0"),
        ("clipped.wav", np.clip(60 * LINE, -1, 1), "reason='clipped'"),
        ("slow.wav", LINE[::2], "Sampled at 2000 Hz: at least 3960 Hz are needed, so nothing was judged"),
    ],
)
def test_what_cannot_be_judged_is_said(tmp_path: Path, name: str, line: np.ndarray, words: str) -> None:
    data = as_wav(line, FS_HZ if len(line) == len(LINE) else FS_HZ // 2)
    (sound,) = analyse(read(tmp_path, name, data), None, lambda *_: None).sounds
    assert words in str(sound)
    assert sound.rates is None or sound.rates.median is None


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty.wav": (lambda: b"", "empty, 0 bytes; export it again"),
    "text.wav": (lambda: b"crackles at the base\n" * 20, "export it"),
    "cut.wav": (
        lambda: as_wav(LINE)[:50_000],
        "cut short, only 49,956 of 96,000 bytes of sound are there; copy",
    ),
    "no-sound.wav": (lambda: as_wav(LINE)[:40], "its head or its sound is missing; copy or export it again"),
    "says-more.wav": (
        lambda: with_length(960_000),
        "cut short, only 96,000 of 960,000 bytes of sound are there",
    ),
    "says-less.wav": (
        lambda: with_length(8_000),
        "promises 8,000 bytes of sound, but 88,000 more follow; export",
    ),
    "says-none.wav": (lambda: with_length(0), "holds no sound (0 bytes of it by its head); record or export"),
    "no-rate.wav": (lambda: as_wav(LINE)[:24] + bytes(4) + as_wav(LINE)[28:], "is not read; export it again"),
    "integers.wav": (
        lambda: as_wav(32_768 * LINE, subtype="FLOAT"),
        "the full scale of a sound is 1: export",
    ),
    "missing.wav": (
        lambda: as_wav(np.full(8_000, np.nan), subtype="FLOAT"),
        "holds only missing samples (NaN)",
    ),
    "bats.wav": (
        lambda: as_wav(breathing(1.0, fs_hz=384_000), 384_000),
        "read up to 192,000 Hz: export it at",
    ),
    "cut.flac": (
        lambda: as_wav(LINE, form="FLAC")[:9_000],
        "cannot be decoded to the end; copy or export it",
    ),
    "cut.mp3": (lambda: as_wav(OF_16_KHZ, 16_000, form="MP3")[:9_000], "of 12.0 s of sound are there; copy"),
    "noise.mp3": (lambda: np.random.default_rng(0).bytes(4_000), "a sort of MP3 that is not read; export it"),
    "voice.m4a": (lambda: b"\0\0\0 ftypM4A " + bytes(400), "ave it as WAV or FLAC"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_damaged_is_refused_with_the_way_out(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    make, words = REFUSED[name]
    data = make()
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadUpload) as refused:
        read(tmp_path, name, data)
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"{name}: ")
    assert words in line
    capfd.readouterr()
    assert wardwave.main(["replay", str(tmp_path / name), "--bed", "b", "--kind", "lung_sound"]) == 2
    # libmpg123 has notes of its own on bytes that are no MP3.
    (line,) = [one for one in capfd.readouterr().err.splitlines() if one.startswith("wardwave replay:")]
    assert name in line
    assert len(line.split(";")[-1].split(":")[-1]) > 8


def test_two_samples_are_too_few_to_be_judged(tmp_path: Path) -> None:
    with pytest.raises(BadUpload, match=r"a.wav: lung_sound is 0.0005 s long; at least 1 s is needed"):
        read(tmp_path, "a.wav", as_wav(LINE[:2]))


def test_a_stream_whose_end_is_missing_is_judged_with_a_doubt(tmp_path: Path) -> None:
    data = ANSWERED["lossy.opus"]()
    assert read(tmp_path, "a.opus", data).notes == []
    opened = read(tmp_path, "a.opus", data[: len(data) * 3 // 4])
    assert opened.notes == ["cut short: the end of the stream is missing; what is there was read"]
    assert 5 < opened.recording.signals[0].duration_s < 12


def test_a_replay_of_many_hours_asks_for_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound_files, "MAX_VALUES", 40_000)
    path = tmp_path / "night.wav"
    path.write_bytes(as_wav(LINE))
    with pytest.raises(BadRecording, match=r"night.wav: 0.0 h of 1 channel.* give a part \(--start S"):
        read_sources([str(path)], ["bed"], kind="lung_sound")
    (source,) = read_sources([str(path)], ["bed"], kind="lung_sound", duration_s=5.0)
    assert source.signal.duration_s == 5.0
