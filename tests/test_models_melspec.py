"""The log-mel front end: tones stand in their band, and streams agree with recordings."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.melspec import HEART_MEL, LUNG_MEL, MelSpec, log_mel

SPECS = pytest.mark.parametrize("spec", [LUNG_MEL, HEART_MEL], ids=["lung", "heart"])
PICTURES = replace(LUNG_MEL, long=1024, short=32)
LEVELS, LINES, CLICKS = (slice(48 * i, 48 * (i + 1)) for i in range(3))


def _sound(n_samples: int, n_streams: int = 2) -> np.ndarray:
    """Steep like a chest's: a loud low tone beside hiss 80 dB below."""
    rng = np.random.default_rng(7)
    times = np.arange(n_samples) / 4_000
    tone = 0.8 * np.sin(2 * np.pi * 110 * times) * (1 + np.sin(2 * np.pi * 0.4 * times))
    return np.asarray(tone / 2 + 1e-4 * rng.standard_normal((n_streams, n_samples)), dtype=np.float32)


@SPECS
@pytest.mark.parametrize("tone_hz", [80.0, 130.0, 310.0])
def test_a_tone_is_loudest_in_the_band_that_holds_it(spec: MelSpec, tone_hz: float) -> None:
    tone = np.sin(2 * np.pi * tone_hz * np.arange(4_000) / 4_000)
    loudest = int(log_mel(tone, spec).mean(axis=1).argmax())
    edges_hz = spec.band_edges_hz()
    assert edges_hz[loudest] < tone_hz < edges_hz[loudest + 2]


@SPECS
def test_full_scale_is_about_nought_and_silence_is_the_floor(spec: MelSpec) -> None:
    centre_hz = spec.band_edges_hz()[spec.n_mels // 2 + 1]
    tone = np.sin(2 * np.pi * centre_hz * np.arange(4_000) / 4_000)
    assert log_mel(tone, spec)[spec.n_mels // 2].mean() == pytest.approx(0.0, abs=2.0)
    assert log_mel(np.zeros(4_000), spec) == pytest.approx(np.log(spec.floor))


@SPECS
def test_a_frame_is_seen_only_by_its_own_samples(spec: MelSpec) -> None:
    sound = np.zeros(4_000)
    sound[1_600] = 1.0
    frames = np.flatnonzero((log_mel(sound, spec) > np.log(spec.floor) + 0.1).any(axis=0))
    first = -(-(1_600 - spec.window + 1) // spec.hop)
    assert first <= frames[0] <= first + 1
    assert 1_600 // spec.hop - 1 <= frames[-1] <= 1_600 // spec.hop


@pytest.mark.parametrize("spec", [LUNG_MEL, HEART_MEL, PICTURES], ids=["lung", "heart", "pictures"])
@given(cuts=st.lists(st.integers(0, 3_999), max_size=30))
def test_any_cut_of_a_stream_gives_the_frames_of_the_whole(spec: MelSpec, cuts: list[int]) -> None:
    sound, rest, parts = _sound(4_000), np.zeros((2, 0), dtype=np.float32), []
    for begin, end in pairwise([0, *sorted(cuts), 4_000]):
        rest = np.concatenate([rest, sound[:, begin:end]], axis=1)
        parts.append(log_mel(rest, spec))
        rest = rest[:, parts[-1].shape[2] * spec.hop :]
    np.testing.assert_allclose(np.concatenate(parts, axis=2), log_mel(sound, spec), atol=1e-5)


def test_a_long_recording_is_the_same_as_its_pieces() -> None:
    sound = _sound(800_000, 1)
    whole = log_mel(sound, LUNG_MEL)
    begin = 9_000
    piece = sound[:, begin * 80 : LUNG_MEL.n_samples(5) + begin * 80]
    np.testing.assert_allclose(whole[:, :, begin : begin + 5], log_mel(piece, LUNG_MEL), atol=1e-5)


def test_the_levels_lie_in_the_middle_of_the_longest_frame() -> None:
    sound = _sound(8_000)
    frames = log_mel(sound, PICTURES)
    assert frames.shape == (2, PICTURES.n_rows, PICTURES.n_frames(8_000))
    np.testing.assert_allclose(
        frames[:, LEVELS], log_mel(sound[:, 384:], LUNG_MEL)[..., : frames.shape[2]], atol=1e-5
    )


def _hiss(n_samples: int = 12_000) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(n_samples) * 0.02


def test_a_line_stands_out_in_its_band_and_is_no_click() -> None:
    tone = 0.01 * np.sin(2 * np.pi * 420 * np.arange(12_000) / 4_000)
    frames = log_mel(_hiss() + tone, PICTURES).mean(axis=1)
    plain = log_mel(_hiss(), PICTURES).mean(axis=1)
    band = int((frames - plain)[LINES].argmax())
    edges_hz = PICTURES.band_edges_hz()
    assert edges_hz[band] < 420 < edges_hz[band + 2]
    assert (frames - plain)[LINES][band] > 1.0
    assert (frames - plain)[CLICKS].max() < 0.1


def test_a_click_stands_out_where_it_is_and_is_no_line() -> None:
    sound = _hiss()
    sound[6_000] += 0.5
    frames = log_mel(sound, PICTURES)
    clicks = frames[CLICKS].mean(axis=0)
    middle = (PICTURES.span / 2 + np.arange(len(clicks)) * PICTURES.hop) / 4_000
    assert abs(middle[clicks.argmax()] - 6_000 / 4_000) <= 0.02
    assert clicks.max() > np.sort(clicks)[-4] + 0.3
    assert frames[LINES].max() < log_mel(_hiss(), PICTURES)[LINES].max() + 0.5


def test_no_gain_moves_what_stands_out_and_nothing_does_in_silence() -> None:
    one, other = log_mel(_hiss(), PICTURES), log_mel(30 * _hiss(), PICTURES)
    np.testing.assert_allclose(one[48:], other[48:], atol=1e-2)
    assert not log_mel(np.zeros(4_000), PICTURES)[48:].any()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hop": 300}, "hop=300"),
        ({"high_hz": 2_100.0}, "half of rate_hz"),
        ({"n_mels": 300}, "holds no bin"),
        ({"floor": 0.0}, "floor=0.0"),
        ({"long": 128}, "long=128: need window=256 at least"),
        ({"long": 256, "n_mels": 100}, "a bin in each of 100 bands"),
        ({"short": 200}, "short=200: need hop=80"),
        ({"short": 32, "n_mels": 40}, "n_mels=40 one of 3"),
        ({"short": 4}, "short=4: too short"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(change: dict[str, float], said: str) -> None:
    numbers = {"rate_hz": 4_000.0, "window": 256, "hop": 80, "n_fft": 512, "n_mels": 48}
    with pytest.raises(ValueError, match=said):
        MelSpec(**{**numbers, "low_hz": 60.0, "high_hz": 1_900.0, **change})  # type: ignore[arg-type]
