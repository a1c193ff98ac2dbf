"""The path of a sound to 4 kHz: any rate, any cut, nothing folded into the band."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.conditioning import HEART, LUNG, Conditioner, ConditioningSpec, condition

SLOT = np.zeros(1, dtype=np.int64)
BOTH = pytest.mark.parametrize("spec", [LUNG, HEART], ids=["lung", "heart"])


def tone(hz: float, fs_hz: float, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * fs_hz)) / fs_hz)[:, None]


def gain_db(hz: float, fs_hz: float, spec: ConditioningSpec) -> float:
    settled = condition(tone(hz, fs_hz), fs_hz, spec)[2_000:, 0]
    return float(20 * np.log10(np.sqrt(2 * np.mean(settled.astype(np.float64) ** 2)) + 1e-9))


@BOTH
@settings(max_examples=15, deadline=None)
@given(
    fs_hz=st.sampled_from([4_000.0, 8_000.0, 11_025.0, 44_100.0, 48_000.0]),
    cuts=st.lists(st.floats(0, 1), max_size=12),
)
def test_any_cut_of_a_sound_gives_what_the_whole_gives(
    spec: ConditioningSpec, fs_hz: float, cuts: list[float]
) -> None:
    sound = np.random.default_rng(5).normal(size=(round(0.3 * fs_hz), 1))
    edges = sorted({0, len(sound), *(round(cut * len(sound)) for cut in cuts)})
    stream = Conditioner(fs_hz, 1, spec)
    parts = [stream.push(SLOT, sound[a:b].T[None]).samples[0].T for a, b in pairwise(edges)]
    np.testing.assert_allclose(np.concatenate(parts), condition(sound, fs_hz, spec), atol=1e-6)


@pytest.mark.parametrize("fs_hz", [4_000.0, 8_000.0, 44_100.0, 48_000.0])
@pytest.mark.parametrize(
    ("spec", "kept_hz", "taken_hz"),
    [(LUNG, (100, 400, 1_500), (5, 15)), (HEART, (50, 60, 150, 300), (3, 6, 1_200, 1_800))],
    ids=["lung", "heart"],
)
def test_the_band_is_kept_and_the_rest_is_not(
    spec: ConditioningSpec, kept_hz: tuple[int, ...], taken_hz: tuple[int, ...], fs_hz: float
) -> None:
    assert all(abs(gain_db(hz, fs_hz, spec)) < 1.5 for hz in kept_hz)
    assert all(gain_db(hz, fs_hz, spec) < -20 for hz in taken_hz)


@pytest.mark.parametrize("fs_hz", [8_000.0, 44_100.0, 48_000.0])
def test_what_is_above_the_band_does_not_come_back_within_it(fs_hz: float) -> None:
    assert all(gain_db(hz, fs_hz, LUNG) < -40 for hz in (2_900.0, 3_300.0, 3_850.0))


@BOTH
def test_an_offset_is_gone_from_the_first_sample(spec: ConditioningSpec) -> None:
    assert np.abs(condition(np.full((4_000, 1), 0.7), 44_100.0, spec)).max() < 1e-6


@BOTH
def test_rates_of_sounds_are_those_that_carry_the_band(spec: ConditioningSpec) -> None:
    assert spec.rate_hz == 4_000.0
    assert spec.min_fs_hz < 4_000.0
    assert spec.min_fs_hz > 2 * spec.high_hz
