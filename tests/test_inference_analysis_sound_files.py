"""Sounds as people hand them in: what is read, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from inference.analysis import analyse
from inference.analysis_limits import AnalysisLimits
from inference.analysis_read import Opened, ReadOptions, read_upload
from inference.analysis_unpack import Upload
from inference.errors import BadUpload
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


def test_three_hours_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    with soundfile.SoundFile(path, "w", 2_000, 1, "PCM_16") as file:
        for _ in range(13):
            file.write(np.zeros(2_000 * 900, np.int16))
    with pytest.raises(BadUpload, match=r"long.flac: a sound of 3.2 h; at most 3 h: export a shorter part"):
        read(tmp_path, "long.flac", path.read_bytes())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.wav", r"a.wav: damaged: cut short, only 319,978 of 640,000 bytes"),
        ("a.flac", r"a.flac: not readable as FLAC"),
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
