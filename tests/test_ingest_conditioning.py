"""Chunked and whole processing give the same numbers; filters and times are what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.conditioning import ECG, Conditioner, condition, delay_s
from ingest.resample import MAX_FACTOR, Resampler

RATES = (125.0, 128.0, 173.61, 250.0, 257.5, 300.0, 360.0, 500.0, 1000.0)
SLOT = np.zeros(1, dtype=np.int64)


def in_pieces(samples: np.ndarray, fs_hz: float, cuts: list[int]) -> np.ndarray:
    conditioner = Conditioner(fs_hz, samples.shape[1], ECG)
    bounds = [0, *sorted(cuts), len(samples)]
    parts = [
        conditioner.push(SLOT, samples[begin:end].T[None]).samples[0].T
        for begin, end in zip(bounds[:-1], bounds[1:], strict=True)
    ]
    return np.concatenate(parts)


@settings(max_examples=60, deadline=None)
@given(
    fs_hz=st.sampled_from(RATES),
    cuts=st.lists(st.integers(0, 1500), max_size=12),
    missing=st.lists(st.tuples(st.integers(0, 1490), st.integers(1, 200)), max_size=3),
    offset=st.floats(-5, 5),
)
def test_any_cut_gives_the_same_numbers(
    fs_hz: float, cuts: list[int], missing: list[tuple[int, int]], offset: float
) -> None:
    samples = np.random.default_rng(1).normal(size=(1500, 2)) + offset
    for begin, length in missing:
        samples[begin : begin + length, 0] = np.nan
    whole = condition(samples, fs_hz, ECG)
    np.testing.assert_allclose(in_pieces(samples, fs_hz, cuts), whole, atol=1e-6)


@pytest.mark.parametrize("chunk", [1, 5, 10, 50])
def test_tiny_chunks_equal_the_whole(chunk: int) -> None:
    samples = np.random.default_rng(2).normal(size=(700, 1))
    whole = condition(samples, 360.0, ECG)
    pieces = in_pieces(samples, 360.0, list(range(chunk, 700, chunk)))
    np.testing.assert_allclose(pieces, whole, atol=1e-6)


@pytest.mark.parametrize("fs_hz", RATES)
def test_a_wave_in_the_band_passes_at_its_time(fs_hz: float) -> None:
    seconds = np.arange(round(20 * fs_hz)) / fs_hz
    wave = condition(np.sin(2 * np.pi * 8 * seconds)[:, None], fs_hz, ECG)[:, 0]
    times = np.arange(len(wave)) / ECG.rate_hz - delay_s(fs_hz, ECG)
    settled = slice(600, -60)
    lags = np.arange(-20, 21) / 1000
    scores = [np.dot(wave[settled], np.sin(2 * np.pi * 8 * (times[settled] - lag))) for lag in lags]
    assert abs(lags[int(np.argmax(scores))]) <= 0.012
    assert wave[settled].max() == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("mains_hz", [50.0, 60.0])
def test_mains_and_offset_are_removed(mains_hz: float) -> None:
    seconds = np.arange(5000) / 250.0
    hum = 4.2 + np.sin(2 * np.pi * mains_hz * seconds)
    out = condition(hum[:, None], 250.0, ECG)[625:, 0]
    assert np.abs(out).max() < 0.01


def test_a_stream_starts_settled_even_with_leading_gaps() -> None:
    samples = np.full((1000, 1), 3.0)
    samples[:300] = np.nan
    assert np.abs(condition(samples, 250.0, ECG)).max() < 1e-6


def test_beds_pushed_together_equal_beds_pushed_alone() -> None:
    samples = np.random.default_rng(3).normal(size=(5, 2, 720))
    together = Conditioner(360.0, 2, ECG, n_slots=8)
    slots = np.array([6, 0, 3, 7, 2])
    out = together.push(slots, samples).samples
    for row in range(5):
        alone = condition(samples[row].T, 360.0, ECG)
        np.testing.assert_allclose(out[row].T, alone, atol=1e-6)


def test_state_put_back_goes_on_bit_for_bit() -> None:
    samples = np.random.default_rng(4).normal(size=(1, 2, 1000))
    first = Conditioner(360.0, 2, ECG, n_slots=2)
    first.push(SLOT, samples[:, :, :457])
    second = Conditioner(360.0, 2, ECG, n_slots=4)
    second.restore(3, first.state(0))
    expected = first.push(SLOT, samples[:, :, 457:]).samples
    np.testing.assert_array_equal(second.push(np.array([3]), samples[:, :, 457:]).samples, expected)


@given(fs_hz=st.floats(100, 2000, allow_nan=False), n_in=st.integers(0, 100_000))
def test_output_count_follows_the_ratio(fs_hz: float, n_in: int) -> None:
    resampler = Resampler(fs_hz, 125.0)
    # The ratio is a fraction with terms up to MAX_FACTOR.
    assert abs(resampler.n_out(n_in) - n_in * 125.0 / fs_hz) <= 1 + n_in * 125.0 / fs_hz / MAX_FACTOR


def test_too_slow_a_signal_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"fs_hz=62\.5"):
        Conditioner(62.5, 1, ECG)
